//! The track of fleets: accepted fixes, and the line through the last two.

use super::grid::fold;
use crate::sample::Orientation;
use crate::space::{CIRCLE, IPos, Space};
use crate::units::Tick;

/// Fixes further apart than this many ticks predict nothing.
pub const PREDICT_TICKS_MAX: u32 = 65_535;
/// The line is followed for at most this many times the distance between its two fixes.
const FOLLOW_MAX: u32 = 4;

/// The newest accepted fix of an entity, and the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FixState {
    /// The tick that accepted it.
    pub tick: Tick,
    /// Where it is, on the wire grid ([`super::snap_fix`]).
    pub pos: IPos,
    /// The tick that accepted the fix before; equal to `tick` where there is none.
    pub prev_tick: Tick,
    /// Where that was; equal to `pos` where there is none.
    pub prev_pos: IPos,
    /// How it is turned.
    pub orientation: Orientation,
}

impl FixState {
    /// A first fix: nothing came before.
    #[must_use]
    pub const fn first(tick: Tick, pos: IPos, orientation: Orientation) -> Self {
        Self { tick, pos, prev_tick: tick, prev_pos: pos, orientation }
    }

    /// The fix that follows this one.
    #[must_use]
    pub const fn then(&self, tick: Tick, pos: IPos, orientation: Orientation) -> Self {
        Self { tick, pos, prev_tick: self.tick, prev_pos: self.pos, orientation }
    }

    /// Where the next fix is expected, should it be accepted in `tick`.
    ///
    /// On the line through the last two fixes, each axis rounded to the nearest step (halves go
    /// up), the shorter way round in longitude. At the last fix itself when there is no line,
    /// when its fixes are more than [`PREDICT_TICKS_MAX`] ticks apart, or when `tick` is further
    /// away than four times their distance.
    #[must_use]
    pub fn predict(&self, space: Space, tick: Tick) -> IPos {
        let apart = self.tick.0.saturating_sub(self.prev_tick.0);
        let ahead = tick.0.saturating_sub(self.tick.0);
        let (now, before) = (self.pos.0.map(i64::from), self.prev_pos.0.map(i64::from));
        if apart == 0 || apart > PREDICT_TICKS_MAX || ahead > FOLLOW_MAX * apart {
            return self.pos;
        }
        let mut at = now;
        for axis in 0..3 {
            let mut step = now[axis] - before[axis];
            if space == Space::Geodetic && axis == 1 {
                step = (step + CIRCLE / 2).rem_euclid(CIRCLE) - CIRCLE / 2;
            }
            at[axis] += nearest(step * i64::from(ahead), i64::from(apart));
        }
        fold(space, at)
    }
}

/// `a / b` to the nearest integer; halves go up.
const fn nearest(a: i64, b: i64) -> i64 {
    (2 * a + b).div_euclid(2 * b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(space: Space, from: [i32; 3], to: [i32; 3]) -> impl Fn(u32) -> IPos {
        let fix = FixState::first(Tick(10), IPos(from), Orientation::None).then(
            Tick(20),
            IPos(to),
            Orientation::None,
        );
        move |tick| fix.predict(space, Tick(tick))
    }

    #[test]
    fn a_line_goes_on_for_four_times_its_length() {
        let at = line(Space::Metric, [0, 160, 0], [160, 0, 7]);
        assert_eq!(at(20), IPos([160, 0, 7]));
        assert_eq!(at(25), IPos([240, -80, 11]));
        assert_eq!(at(60), IPos([800, -640, 35]));
        assert_eq!(at(61), IPos([160, 0, 7]));
    }

    #[test]
    fn a_first_fix_predicts_itself() {
        let fix = FixState::first(Tick(3), IPos([1, 2, 3]), Orientation::None);
        assert_eq!(fix.predict(Space::Geodetic, Tick(9)), fix.pos);
    }

    #[test]
    fn a_line_crosses_the_antimeridian() {
        let at = line(Space::Geodetic, [0, 1_799_999_000, 0], [0, -1_799_999_000, 0]);
        assert_eq!(at(30), IPos([0, -1_799_997_000, 0]));
    }

    #[test]
    fn a_line_ends_at_the_pole_and_at_the_edge() {
        let north = line(Space::Geodetic, [890_000_000, 0, 0], [899_000_000, 0, 0]);
        assert_eq!(north(60), IPos([900_000_000, 0, 0]));
        let edge = line(Space::Metric, [-1_024_000_000, 0, 0], [1_024_000_000, 0, 0]);
        assert_eq!(edge(60), IPos([1_024_000_000, 0, 0]));
    }
}
