//! How one knot follows from the knot before: by little more than how far the line was off.
//!
//! Both sides know where the line leads and for how long it was followed. So most new knots are
//! told by the residual alone: it is added to the position, and the velocity is corrected by it.

use super::knot::nearest_unit;
use super::spin::spin_between;
use super::{KNOT_GRID, Knot, VELOCITY_STEP};
use crate::sample::Orientation;
use crate::space::METRIC_LIMIT;
use crate::units::Tick;

/// Classes of what a knot follows: [`Knot::step_class`].
pub const STEP_CLASSES: usize = 7;
/// What the line of something that stood counts as: nobody tells since when it stood.
const STILL_TICKS: u32 = 2;

/// What a new line's velocity is, by the residual of its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gain {
    /// The line drifted off: the residual over the ticks for which it was followed.
    Soft,
    /// Something began just now: the residual in one tick.
    Hard,
    /// It stands.
    Stop,
}

impl Gain {
    /// All of them, in the order of their numbers on the wire.
    pub const ALL: [Self; 3] = [Self::Soft, Self::Hard, Self::Stop];
}

/// What a spin becomes, by how far the orientation was off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spin {
    /// It drifted off: corrected by what it was off over the ticks for which it was followed.
    Soft,
    /// It changed just now: by all of it.
    Hard,
    /// It ended.
    None,
}

impl Spin {
    /// All of them, in the order of their numbers on the wire.
    pub const ALL: [Self; 3] = [Self::Soft, Self::Hard, Self::None];
}

/// A new line, told by what the old one was off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What becomes of the velocity.
    pub gain: Gain,
    /// What is added to the predicted position, in units of [`Knot::step_unit`].
    pub residual: [i32; 3],
}

impl Knot {
    /// For how many ticks its line was followed at `tick`, at least 1; always 2 of what stands.
    #[inline]
    #[must_use]
    pub fn followed(&self, tick: Tick) -> u32 {
        if self.is_still() { STILL_TICKS } else { self.line_ticks(tick).max(1) }
    }

    const fn line_ticks(&self, tick: Tick) -> u32 {
        tick.0.saturating_sub(self.tick.0).saturating_add(self.run)
    }

    /// Does it stand?
    #[inline]
    #[must_use]
    pub fn is_still(&self) -> bool {
        self.vel == [0; 3]
    }

    /// The class of the tables for what follows this knot at `tick`: 0 to 5 its line was followed
    /// for 1, 2, 3, 4 to 6, 7 to 12, more ticks; 6 it stood.
    #[inline]
    #[must_use]
    pub fn step_class(&self, tick: Tick) -> usize {
        match self.followed(tick) {
            _ if self.is_still() => 6,
            ticks @ ..=3 => ticks as usize - 1,
            4..=6 => 3,
            7..=12 => 4,
            _ => 5,
        }
    }

    /// What a step's residual counts in, in multiples of [`KNOT_GRID`].
    ///
    /// A line that fails after one tick belongs to something that shakes: it is told in coarser
    /// units. Where something stopped is told as well as can be.
    #[inline]
    #[must_use]
    pub fn step_unit(&self, tick: Tick, gain: Gain) -> i32 {
        if gain != Gain::Stop && self.followed(tick) == 1 { 2 } else { 1 }
    }

    /// For how many ticks its spin was followed at `tick`, at least 1; 2 of what rests.
    #[must_use]
    pub fn spun_for(&self, tick: Tick) -> u32 {
        if self.rests() { STILL_TICKS } else { tick.0.saturating_sub(self.tick.0).max(1) }
    }

    /// The same line, turned anew at `tick`.
    #[inline]
    #[must_use]
    pub fn turned(&self, tick: Tick, orientation: Orientation) -> Self {
        let run = if self.is_still() { 0 } else { self.line_ticks(tick) };
        Self { tick, run, orientation, ..*self }
    }

    /// What becomes of this knot's spin when it is turned to the orientation of `next`.
    #[must_use]
    pub fn spin_after(&self, next: &Self, spin: Spin) -> [i16; 3] {
        let ticks = match spin {
            Spin::Soft => self.spun_for(next.tick),
            Spin::Hard => 1,
            Spin::None => return [0; 3],
        };
        let off = spin_between(self.faces(next.tick), next.orientation, ticks);
        [0, 1, 2].map(|axis: usize| self.spin[axis].saturating_add(off[axis]))
    }

    /// Does `next` continue this knot's line?
    #[inline]
    #[must_use]
    pub fn is_continued_by(&self, next: &Self) -> bool {
        let run = if self.is_still() { 0 } else { self.line_ticks(next.tick) };
        (next.pos, next.vel, next.run) == (self.pos, self.vel, run) && next.tick > self.tick
    }

    /// The new line that `step` begins at `tick`, turned as predicted; `None` out of range.
    #[inline]
    #[must_use]
    pub fn step(&self, tick: Tick, step: &Step) -> Option<Self> {
        let mut next = *self;
        self.step_to_line(tick, step, &mut next)?;
        Some(next)
    }

    /// The same in a copy of this knot, so that it is built where it will lie.
    #[inline]
    pub(crate) fn step_to_line(&self, tick: Tick, step: &Step, next: &mut Self) -> Option<()> {
        let at = self.predict(tick).0;
        let unit = i64::from(self.step_unit(tick, step.gain));
        let ticks = i64::from(self.followed(tick));
        (next.tick, next.run, next.orientation) = (tick, 0, self.faces(tick));
        for (axis, at) in at.into_iter().enumerate() {
            let by = unit * i64::from(step.residual[axis]);
            let units = i64::from(nearest_unit(at)) + by;
            let pos = units * i64::from(KNOT_GRID);
            if !(-METRIC_LIMIT..=METRIC_LIMIT).contains(&pos) {
                return None;
            }
            next.pos[axis] = pos as i32;
            let sped = by * (i64::from(KNOT_GRID) / VELOCITY_STEP);
            let vel = match step.gain {
                Gain::Soft => i64::from(self.vel[axis]) + share(sped, ticks),
                Gain::Hard => i64::from(self.vel[axis]) + sped,
                Gain::Stop => 0,
            };
            next.vel[axis] = i16::try_from(vel).ok()?;
        }
        Some(())
    }

    /// The step that leads from this knot to the line of `next`, if there is one.
    #[inline]
    #[must_use]
    pub fn step_to(&self, next: &Self) -> Option<Step> {
        if next.run != 0 || next.tick <= self.tick {
            return None;
        }
        let far = |axis: i32| axis % KNOT_GRID != 0 || i64::from(axis).abs() > METRIC_LIMIT;
        if next.pos.into_iter().any(far) {
            return None;
        }
        let at = self.predict(next.tick).0;
        let off = |axis: usize| next.pos[axis] / KNOT_GRID - nearest_unit(at[axis]);
        let off = [off(0), off(1), off(2)];
        let gain = match next.is_still() {
            true => Gain::Stop,
            false => self.gain_to(next, off)?,
        };
        // One or two.
        let shift = self.step_unit(next.tick, gain) >> 1;
        let whole = off.iter().all(|units| units & shift == 0);
        whole.then(|| Step { gain, residual: off.map(|units| units >> shift) })
    }

    /// By which gain the velocity of `next` follows, if by one, where the position is so many units
    /// of the grid off.
    #[inline]
    fn gain_to(&self, next: &Self, off: [i32; 3]) -> Option<Gain> {
        let ticks = i64::from(self.followed(next.tick));
        let (mut soft, mut hard) = (true, true);
        for (axis, off) in off.into_iter().enumerate() {
            let sped = i64::from(off) * (i64::from(KNOT_GRID) / VELOCITY_STEP);
            let told = i64::from(next.vel[axis]) - i64::from(self.vel[axis]);
            // `told` is the quotient, without a division.
            soft &= (0..2 * ticks).contains(&(2 * sped + ticks - 2 * ticks * told));
            hard &= told == sped;
        }
        if soft { Some(Gain::Soft) } else { hard.then_some(Gain::Hard) }
    }
}

/// What is nearest to `sped` over so many ticks; halves go up.
#[inline]
fn share(sped: i64, ticks: i64) -> i64 {
    let (twice, parts) = (2 * sped + ticks, 2 * ticks);
    match (i32::try_from(twice), i32::try_from(parts)) {
        _ if ticks == 1 => sped,
        // Half as long as a division of 64 bits.
        (Ok(twice), Ok(parts)) => twice.div_euclid(parts).into(),
        _ => twice.div_euclid(parts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn knots() -> impl Strategy<Value = Knot> {
        let near = prop::array::uniform3(-2000i32..2000);
        let far = prop::array::uniform3(-64_000_000i32..=64_000_000);
        let vel = prop_oneof![Just([0; 3]), prop::array::uniform3(-40i16..40), any::<[i16; 3]>()];
        (prop_oneof![4 => near, 1 => far], vel, 0u32..40).prop_map(|(pos, vel, run)| Knot {
            tick: Tick(100),
            run: if vel == [0; 3] { 0 } else { run },
            pos: pos.map(|v| v * KNOT_GRID),
            vel,
            ..Knot::default()
        })
    }

    fn steps() -> impl Strategy<Value = Step> {
        let small = prop::array::uniform3(-9i32..9);
        let residual = prop_oneof![4 => small, 1 => prop::array::uniform3(-70_000_000..70_000_000)];
        (0usize..3, residual).prop_map(|(gain, residual)| Step { gain: Gain::ALL[gain], residual })
    }

    /// The step to `next`, found by making each that may be it.
    fn next_by_trial(from: &Knot, next: &Knot) -> Option<Step> {
        let at = from.predict(next.tick).0;
        let off = [0, 1, 2].map(|axis: usize| next.pos[axis] / KNOT_GRID - nearest_unit(at[axis]));
        let gains = if next.is_still() { &Gain::ALL[2..] } else { &Gain::ALL[..2] };
        let mut steps = gains.iter().map(|gain| {
            let unit = from.step_unit(next.tick, *gain);
            Step { gain: *gain, residual: off.map(|units| units.div_euclid(unit)) }
        });
        steps.find(|step| {
            let made = from.step(next.tick, step);
            made.is_some_and(|made| {
                (made.pos, made.vel, made.run) == (next.pos, next.vel, next.run)
            })
        })
    }

    proptest! {
        #[test]
        fn a_step_is_found_again_from_the_line_that_it_made(
            from in knots(), step in steps(), after in 1u32..50,
        ) {
            let tick = from.tick + after;
            let Some(next) = from.step(tick, &step) else { return Ok(()) };
            prop_assert!(next.pos.iter().all(|axis| axis % KNOT_GRID == 0));
            let found = from.step_to(&next).expect("a step led here");
            prop_assert_eq!(from.step(tick, &found), Some(next));
        }

        #[test]
        fn a_step_is_found_where_one_leads_and_nowhere_else(
            from in knots(), step in steps(), after in 1u32..50, off in prop::array::uniform6(-1i32..=1),
            run in 0u32..2,
        ) {
            let tick = from.tick + after;
            let Some(mut next) = from.step(tick, &step) else { return Ok(()) };
            prop_assert_eq!(next_by_trial(&from, &next), from.step_to(&next));
            for (axis, off) in off.into_iter().enumerate() {
                match axis {
                    0..3 => next.pos[axis] += off * KNOT_GRID / 2,
                    _ => next.vel[axis - 3] = next.vel[axis - 3].saturating_add(off as i16),
                }
            }
            next.run = run;
            prop_assert_eq!(next_by_trial(&from, &next), from.step_to(&next));
        }

        #[test]
        fn a_turn_leaves_the_line_as_it_was(from in knots(), after in 1u32..50, ahead in 0u32..99) {
            let then = from.tick + after;
            let turned = from.turned(then, Orientation::Heading(7));
            prop_assert!(from.is_continued_by(&turned));
            prop_assert_eq!(turned.predict(then + ahead), from.predict(then + ahead));
            let again = turned.turned(then + 5, Orientation::Heading(9));
            prop_assert_eq!(again.predict(then + 5 + ahead), from.predict(then + 5 + ahead));
        }
    }

    #[test]
    fn a_line_that_drifted_is_corrected_by_as_much_as_it_drifted_in_each_tick() {
        let from = Knot { tick: Tick(10), vel: [10, 0, 0], ..Knot::default() };
        let soft = Step { gain: Gain::Soft, residual: [3, -3, 0] };
        let next = from.step(Tick(14), &soft).expect("in range");
        // Led to 80; 3 units of 16 further after 4 ticks are 12 steps a tick, 6 units of velocity.
        assert_eq!((next.pos, next.vel), ([128, -48, 0], [16, -6, 0]));
        let hard = Step { gain: Gain::Hard, ..soft };
        assert_eq!(from.step(Tick(14), &hard).map(|knot| knot.vel), Some([34, -24, 0]));
        let stop = Step { gain: Gain::Stop, ..soft };
        assert_eq!(from.step(Tick(11), &stop).map(|knot| knot.pos), Some([64, -48, 0]));
    }
}
