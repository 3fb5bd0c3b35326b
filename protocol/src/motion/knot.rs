//! The canonical track of games: a straight line in integers, broken by knots.

use super::spin::spun;
use crate::sample::Orientation;
use crate::space::{IPos, METRIC_LIMIT};
use crate::units::{Tick, TickRate};

/// Canonical steps of one wire unit of a knot's position: 1/64 m.
pub const KNOT_GRID: i32 = 16;
/// Canonical steps per tick of one unit of a knot's velocity.
pub const VELOCITY_STEP: i64 = 2;
/// Greatest Euclidean distance in canonical steps between a track and the accepted position:
/// 0.0381 m, which leaves room below the 0.04 m that a game world states.
pub const DEAD_BAND: i64 = 39;

/// The state of an entity from a tick on, until the next knot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Knot {
    /// From this tick on.
    pub tick: Tick,
    /// For how many ticks before that its line is followed already: more than zero where only the
    /// orientation is new, and never of what stands.
    pub run: u32,
    /// Where it was when its line began, `run` ticks before `tick`: canonical steps, multiples of
    /// [`KNOT_GRID`].
    pub pos: [i32; 3],
    /// How it moves on: units of [`VELOCITY_STEP`] canonical steps per tick.
    pub vel: [i16; 3],
    /// How it is turned at `tick`.
    pub orientation: Orientation,
    /// How it spins on: see [`super::spun`].
    pub spin: [i16; 3],
}

impl Knot {
    /// Where the track is at `tick`, kept within the metric range. Before the knot: as at its tick.
    ///
    /// ```
    /// use starling_protocol::{motion::Knot, space::IPos, units::Tick};
    /// let knot = Knot { tick: Tick(10), pos: [1600, 0, 0], vel: [3, -1, 0], ..Knot::default() };
    /// assert_eq!(knot.predict(Tick(12)), IPos([1612, -4, 0]));
    /// ```
    #[inline]
    #[must_use]
    pub fn predict(&self, tick: Tick) -> IPos {
        let ticks = i64::from(tick.0.saturating_sub(self.tick.0)) + i64::from(self.run);
        let mut pos = self.pos;
        for (axis, vel) in pos.iter_mut().zip(self.vel) {
            let at = i64::from(*axis) + VELOCITY_STEP * i64::from(vel) * ticks;
            *axis = at.clamp(-METRIC_LIMIT, METRIC_LIMIT) as i32;
        }
        IPos(pos)
    }

    /// How it is turned at `tick`. Before the knot: as at its tick.
    #[inline]
    #[must_use]
    pub fn faces(&self, tick: Tick) -> Orientation {
        spun(self.orientation, self.spin, tick.0.saturating_sub(self.tick.0))
    }

    /// Does it stay as it is?
    #[inline]
    #[must_use]
    pub fn rests(&self) -> bool {
        self.vel == [0; 3] && self.spin == [0; 3]
    }

    /// Is the track at `tick` within [`DEAD_BAND`] of `accepted`?
    #[inline]
    #[must_use]
    pub fn holds(&self, tick: Tick, accepted: IPos) -> bool {
        let at = self.predict(tick);
        let square = |axis: usize| (i64::from(at.0[axis]) - i64::from(accepted.0[axis])).pow(2);
        square(0) + square(1) + square(2) <= DEAD_BAND * DEAD_BAND
    }
}

/// A position on the grid of knots: each axis to the nearest multiple of [`KNOT_GRID`].
#[inline]
#[must_use]
pub fn snap_knot(pos: IPos) -> [i32; 3] {
    pos.0.map(|axis| nearest_unit(axis) * KNOT_GRID)
}

/// The nearest multiple of [`KNOT_GRID`], as an index; halves go up.
#[inline]
pub(crate) const fn nearest_unit(axis: i32) -> i32 {
    ((axis as i64 + KNOT_GRID as i64 / 2) >> KNOT_GRID.trailing_zeros()) as i32
}

/// A velocity in canonical steps per second as a knot holds it; saturates.
#[must_use]
pub fn snap_velocity(steps_per_second: [i32; 3], rate: TickRate) -> [i16; 3] {
    let unit = VELOCITY_STEP * i64::from(rate.hz());
    steps_per_second.map(|v| {
        let units = (i64::from(v) + unit / 2).div_euclid(unit);
        units.clamp(i64::from(i16::MIN), i64::from(i16::MAX)) as i16
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_track_stays_in_range_for_ever() {
        let knot =
            Knot { pos: [0, 1_024_000_000, -1_024_000_000], vel: [i16::MAX; 3], ..Knot::default() };
        let far = knot.predict(Tick(u32::MAX));
        assert_eq!(far, IPos([1_024_000_000; 3]));
        assert_eq!(Knot { tick: Tick(9), ..knot }.predict(Tick(3)).0, knot.pos);
    }

    #[test]
    fn snapping_moves_a_point_by_half_a_unit_at_most() {
        for v in -100..100 {
            let [snapped, ..] = snap_knot(IPos([v, 0, 0]));
            assert_eq!(snapped % KNOT_GRID, 0);
            assert!((snapped - v).abs() <= KNOT_GRID / 2, "{v} became {snapped}");
        }
    }

    #[test]
    fn the_dead_band_is_a_ball() {
        let knot = Knot::default();
        assert!(knot.holds(Tick(5), IPos([39, 0, 0])));
        assert!(knot.holds(Tick(5), IPos([22, 22, 22])));
        assert!(!knot.holds(Tick(5), IPos([23, 23, 23])));
    }

    #[test]
    fn a_velocity_is_rounded_to_eighths_of_a_unit_per_tick() {
        let rate = TickRate::new(20).expect("in range");
        assert_eq!(snap_velocity([1024, -1024, i32::MAX], rate), [26, -26, i16::MAX]);
    }
}
