//! Which knot a server sets next. Policy, not wire: any knot within the band is right; these are
//! those that hold for long and take few bits to tell.

use super::knot::nearest_unit;
use super::{DEAD_BAND, Gain, KNOT_GRID, Knot, Spin, VELOCITY_STEP, snap_knot, snap_velocity};
use crate::space::{IPos, METRIC_LIMIT};
use crate::units::{Tick, TickRate};

/// Ticks ahead at which a line is tried against where the entity seems to be going: as many as there
/// are lanes of 16 bits in a vector.
const AHEAD: [i16; 8] = [0, 1, 2, 3, 4, 6, 9, 16];
/// What it is worth that a line holds at the first so many of these ticks: every tick four fifths of
/// the one before, for motion changes.
const WORTH: [u32; AHEAD.len() + 1] = [0, 100, 180, 244, 295, 336, 395, 446, 489];
/// Parts of a canonical step in which it is worked out what a line is off.
const PARTS: i16 = 2;
/// The band in these parts.
const BAND: i16 = DEAD_BAND as i16 * PARTS;
/// Fractions of a canonical step in which motion ahead is worked out.
const FRACTION: i64 = 256;
/// What makes parts of twice as many fractions.
const PART_SHIFT: u32 = (2 * FRACTION / PARTS as i64).trailing_zeros();
/// What a whole state takes on average, in eighths of a bit.
const STATE_COST: u32 = 400;
/// What a step takes besides its residuals, in eighths of a bit.
const STEP_COST: u32 = 24;
/// By how much a residual may differ from that of the nearest point, the likeliest first.
const NEAR: [i32; 3] = [0, -1, 1];
/// Residuals from here on are told by a state.
const FAR: i64 = 1 << 24;
/// Bounds of what a line is off, so that the sum of three fits 16 bits: where it begins, by what it is
/// slower or faster in a tick, and by what motion departs from a straight line. No band holds more.
const FROM_MAX: i32 = 2_000;
const BY_MAX: i32 = 400;
const BEND_MAX: i32 = 4_000;
/// Bounds of motion ahead in fractions a tick, so that all of 16 ticks fits 32 bits.
const SPEED_MAX: i64 = 1 << 22;
const CHANGE_MAX: i64 = 1 << 20;
/// The highest bit of every lane.
const TOPS: u128 = lanes(0x8000);
/// What lifts the square of what is out of the band to that bit, and no other.
const LIFT: u128 = lanes(0x7fff - BAND.pow(2) as u16);

const _: () = {
    let by = BY_MAX as i64 * VELOCITY_STEP * PARTS as i64 * AHEAD[AHEAD.len() - 1] as i64;
    assert!(FROM_MAX as i64 + by + BEND_MAX as i64 <= i16::MAX as i64);
    assert!(3 * (BAND as i64 + 1).pow(2) <= BAND.pow(2) as i64 + 0x8000);
};

/// The same number in every lane.
const fn lanes(number: u16) -> u128 {
    number as u128 * (u128::MAX / 0xffff)
}

/// How an entity moves at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Course {
    /// Where it was accepted.
    pub position: IPos,
    /// Canonical steps per second.
    pub velocity: [i32; 3],
    /// By how much the velocity changes from tick to tick.
    pub change: [i32; 3],
    /// How it spun between its last two samples.
    pub spin: [i16; 3],
}

impl Course {
    /// Does it stand?
    #[must_use]
    pub fn is_still(&self) -> bool {
        self.velocity == [0; 3]
    }
}

/// The line that an entity's track shall follow from `tick` on, in place of that of `last`; turned
/// as `last` was. It is within the band of where the entity was accepted.
#[must_use]
pub fn aim(last: &Knot, tick: Tick, course: &Course, rate: TickRate) -> Knot {
    let plain = Knot {
        tick,
        run: 0,
        pos: snap_knot(course.position),
        vel: snap_velocity(course.velocity, rate),
        orientation: last.faces(tick),
        spin: last.spin,
    };
    if course.is_still() || plain.vel == [0; 3] || tick <= last.tick {
        return plain;
    }
    let ahead = Ahead::of(course, plain.vel, rate);
    let line = [0, 1, 2].map(|axis: usize| ahead.line(axis, plain.pos[axis], plain.vel[axis], 0));
    let worth = worth(line.iter().map(|axis| axis.off).sum());
    let mut best = Best { line, worth, cost: STATE_COST };
    let steps = Steps { last, tick, course, ahead };
    for gain in [Gain::Soft, Gain::Hard] {
        if gain == Gain::Hard && last.followed(tick) == 1 {
            break; // The same again.
        }
        best.of_all(&steps.lines(gain), steps.keeps_height());
    }
    Knot { pos: best.line.map(|axis| axis.pos), vel: best.line.map(|axis| axis.vel), ..plain }
}

/// What two samples, each rounded to its ten bits, may be off in the spin between them.
const SPIN_NOISE: u16 = 130;

/// The spin with which `next` shall go on, which turns what `last` said; `measured` is what the last
/// two samples say of it. A spin that was followed for long is known better than two samples tell.
#[must_use]
pub fn aim_spin(last: &Knot, next: &Knot, measured: [i16; 3]) -> [i16; 3] {
    if measured == [0; 3] {
        return [0; 3];
    }
    let off = |spin: &[i16; 3]| {
        let each = spin.iter().zip(measured).map(|(said, is)| said.abs_diff(is));
        each.max().unwrap_or(0)
    };
    let soft = last.spin_after(next, Spin::Soft);
    if off(&soft) <= SPIN_NOISE {
        return soft;
    }
    let all = Spin::ALL.map(|spin| last.spin_after(next, spin));
    all.into_iter().min_by_key(off).unwrap_or(soft)
}

/// Where an entity will be in the next ticks, as far as one can tell.
#[derive(Clone, Copy, Debug)]
struct Ahead {
    from: IPos,
    vel: [i16; 3],
    /// By axis, how far it will have departed by the ticks of [`AHEAD`] from a line with velocity
    /// `vel`, in parts.
    bend: [[i16; AHEAD.len()]; 3],
}

/// One axis of a line that may be chosen.
#[derive(Clone, Copy, Debug)]
struct Line {
    pos: i32,
    vel: i16,
    /// What its residual takes, in eighths of a bit.
    cost: u32,
    /// Squares of what it is off at the ticks of [`AHEAD`], in parts, in lanes of 16 bits, the first
    /// lowest; of what is out of the band no more than just out of it, so that three of them fit.
    off: u128,
}

impl Line {
    /// There is no such line.
    const NONE: Self = Self { pos: 0, vel: 0, cost: 0, off: (BAND + 1).pow(2) as u128 };
}

impl Ahead {
    fn of(course: &Course, vel: [i16; 3], rate: TickRate) -> Self {
        let hz = i64::from(rate.hz());
        let per_tick = |v: i32, most: i64| (i64::from(v) * FRACTION / hz).clamp(-most, most) as i32;
        let bend = [0, 1, 2].map(|axis: usize| {
            let told = (VELOCITY_STEP * FRACTION) as i32 * i32::from(vel[axis]);
            let by = per_tick(course.velocity[axis], SPEED_MAX).wrapping_sub(told);
            let more = per_tick(course.change[axis], CHANGE_MAX);
            AHEAD.map(|k| {
                let k = i32::from(k);
                let parts = (2 * by * k + more * k * k) >> PART_SHIFT;
                parts.clamp(-BEND_MAX, BEND_MAX) as i16
            })
        });
        Self { from: course.position, vel, bend }
    }

    #[inline]
    fn line(&self, axis: usize, pos: i32, vel: i16, cost: u32) -> Line {
        let from = pos.wrapping_sub(self.from.0[axis]).clamp(-FROM_MAX / 2, FROM_MAX / 2);
        let from = from as i16 * PARTS;
        let by = (i32::from(vel) - i32::from(self.vel[axis])).clamp(-BY_MAX, BY_MAX) as i16;
        let by = by * VELOCITY_STEP as i16 * PARTS;
        let mut off = [0; 2 * AHEAD.len()];
        let lanes = off.as_chunks_mut::<2>().0.iter_mut();
        for ((lane, k), bend) in lanes.zip(AHEAD).zip(self.bend[axis]) {
            let apart = (from + by * k - bend).clamp(-BAND - 1, BAND + 1);
            *lane = (apart * apart).to_le_bytes();
        }
        Line { pos, vel, cost, off: u128::from_le_bytes(off) }
    }
}

/// What a line is worth, by the squares of what it is off, in lanes.
#[inline]
const fn worth(off: u128) -> u32 {
    let out = (off + LIFT) & TOPS;
    WORTH[out.trailing_zeros() as usize / 16]
}

/// What may come next on the track.
struct Steps<'a> {
    last: &'a Knot,
    tick: Tick,
    course: &'a Course,
    ahead: Ahead,
}

impl Steps<'_> {
    /// What keeps its height needs no word on it.
    fn keeps_height(&self) -> bool {
        self.course.velocity[2] == 0 && self.last.vel[2] == 0
    }

    /// By axis, the lines of steps that lead near the accepted position, the nearest first.
    fn lines(&self, gain: Gain) -> [[Line; 3]; 3] {
        let at = self.last.predict(self.tick).0;
        let unit = self.last.step_unit(self.tick, gain);
        let ticks = match gain {
            Gain::Soft => i64::from(self.last.followed(self.tick)),
            Gain::Hard | Gain::Stop => 1,
        };
        let mut lines = [[Line::NONE; 3]; 3];
        for (axis, lines) in lines.iter_mut().enumerate() {
            let from = i64::from(nearest_unit(at[axis]));
            let grid = i64::from(unit * KNOT_GRID);
            let off = i64::from(self.course.position.0[axis]) - from * i64::from(KNOT_GRID);
            // Halves go up; the grid is a power of two.
            let nearest = (2 * off + grid) >> (2 * grid).trailing_zeros();
            if nearest.abs() >= FAR {
                continue;
            }
            for (near, line) in NEAR.into_iter().zip(lines) {
                let residual = nearest as i32 + near;
                *line = self.line(axis, from, unit * residual, ticks, residual);
            }
        }
        lines
    }

    /// The line that begins `by` units of the grid from where the last one leads.
    #[inline]
    fn line(&self, axis: usize, from: i64, by: i32, ticks: i64, residual: i32) -> Line {
        let pos = (from + i64::from(by)) * i64::from(KNOT_GRID);
        let sped = by * (KNOT_GRID / VELOCITY_STEP as i32);
        let more = match i32::try_from(ticks) {
            Ok(1) => sped,
            Ok(ticks) if ticks < FAR as i32 => (2 * sped + ticks).div_euclid(2 * ticks),
            _ => 0,
        };
        let vel = i16::try_from(i32::from(self.last.vel[axis]).saturating_add(more));
        match vel {
            Ok(vel) if pos.abs() <= METRIC_LIMIT => {
                let told = axis != 2 || residual != 0;
                let cost = if told { residual_cost(residual) } else { 0 };
                self.ahead.line(axis, pos as i32, vel, cost)
            }
            _ => Line::NONE,
        }
    }
}

/// The best line so far.
struct Best {
    line: [Line; 3],
    worth: u32,
    cost: u32,
}

impl Best {
    /// Takes the best of all combinations, where it is better.
    fn of_all(&mut self, [x, y, z]: &[[Line; 3]; 3], keeps_height: bool) {
        let level = keeps_height && z[0].cost == 0;
        let z = if level { &z[..1] } else { &z[..] };
        for z in z {
            for y in y {
                let (cost, off) = (STEP_COST + y.cost + z.cost, y.off + z.off);
                for x in x {
                    let (cost, worth) = (cost + x.cost, worth(off + x.off));
                    if worth * self.cost > self.worth * cost {
                        *self = Self { line: [*x, *y, *z], worth, cost };
                    }
                }
            }
        }
    }
}

/// About what a residual takes, in eighths of a bit: ten, and twelve for each doubling.
fn residual_cost(residual: i32) -> u32 {
    const SMALL: [u32; 8] = [10, 22, 29, 34, 38, 41, 44, 46];
    let size = residual.unsigned_abs();
    SMALL.get(size as usize).copied().unwrap_or_else(|| 10 + 12 * (size + 1).ilog2() + 6)
}

#[cfg(test)]
mod tests {
    use super::super::Step;
    use super::*;
    use proptest::prelude::*;

    /// How well a line stays near where the entity seems to be going, in the plainest arithmetic.
    fn worth_of(knot: &Knot, course: &Course, rate: TickRate) -> u32 {
        let per_tick = |v: i32| i128::from(v) * 256 / i128::from(rate.hz());
        let vel = snap_velocity(course.velocity, rate);
        let within = |k: &&i16| {
            let k = i128::from(**k);
            let off = [0, 1, 2].map(|axis: usize| {
                let [vel, told] = [vel[axis], knot.vel[axis]].map(i128::from);
                let by = per_tick(course.velocity[axis]) - 512 * vel;
                let bend = (2 * by * k + per_tick(course.change[axis]) * k * k).div_euclid(256);
                let from = i128::from(knot.pos[axis] - course.position.0[axis]);
                2 * from + 4 * (told - vel) * k - bend
            });
            off.map(|off| off * off).iter().sum::<i128>() <= 78 * 78
        };
        WORTH[AHEAD.iter().take_while(within).count()]
    }

    /// What all steps near the accepted position are worth at best, and what that takes.
    fn best_of_all(last: &Knot, tick: Tick, course: &Course, rate: TickRate) -> (u32, u32) {
        let plain = aim(&Knot { tick, ..*last }, tick, course, rate);
        let mut best = (worth_of(&plain, course, rate), STATE_COST);
        let at = snap_knot(last.predict(tick));
        for gain in [Gain::Soft, Gain::Hard] {
            let unit = last.step_unit(tick, gain) * KNOT_GRID;
            for near in 0..27 {
                let residual = [0, 1, 2].map(|axis: usize| {
                    let off = f64::from(course.position.0[axis] - at[axis]) / f64::from(unit);
                    (off + 0.5).floor() as i32 + near / 3i32.pow(axis as u32) % 3 - 1
                });
                let Some(next) = last.step(tick, &Step { gain, residual }) else { continue };
                if residual[2] != 0 && course.velocity[2] == 0 && last.vel[2] == 0 {
                    continue;
                }
                let [x, y, z] = residual.map(residual_cost);
                let cost = STEP_COST + x + y + if residual[2] == 0 { 0 } else { z };
                let worth = worth_of(&next, course, rate);
                if worth * best.1 > best.0 * cost {
                    best = (worth, cost);
                }
            }
        }
        best
    }

    fn steps(most: i32) -> impl Strategy<Value = [i32; 3]> {
        prop::array::uniform3(-most..=most)
    }

    proptest! {
        #[test]
        fn no_step_nearby_is_better_than_the_one_that_is_aimed(
            at in steps(64_000), vel in prop::array::uniform3(-300i16..300), after in 1u32..40,
            off in steps(600), speed in steps(20_000), change in steps(3_000), hz in 1u16..128,
            level: bool,
        ) {
            let flat = |[x, y, z]: [i32; 3]| if level { [x, y, 0] } else { [x, y, z] };
            let (off, speed, change) = (flat(off), flat(speed), flat(change));
            let vel = if level { [vel[0], vel[1], 0] } else { vel };
            let (rate, tick) = (TickRate::new(hz).expect("in range"), Tick(100) + after);
            let last = Knot { tick: Tick(100), pos: at.map(|v| v * KNOT_GRID), vel, ..Knot::default() };
            let near = last.predict(tick).0;
            let position = IPos([0, 1, 2].map(|axis: usize| near[axis] + off[axis]));
            let course = Course { position, velocity: speed, change, ..Course::default() };
            prop_assume!(snap_velocity(speed, rate) != [0; 3]);
            let aimed = aim(&last, tick, &course, rate);
            prop_assert!(aimed.holds(tick, position));
            let cost = match last.step_to(&aimed) {
                Some(Step { residual: [x, y, z], .. }) => {
                    let height = if z == 0 { 0 } else { residual_cost(z) };
                    STEP_COST + residual_cost(x) + residual_cost(y) + height
                }
                None => STATE_COST,
            };
            let (worth, least) = best_of_all(&last, tick, &course, rate);
            let mine = worth_of(&aimed, &course, rate);
            prop_assert!(mine * least >= worth * cost, "{mine} for {cost}, not {worth} for {least}");
        }

        #[test]
        fn any_course_is_answered_within_the_band(
            last in any::<([i32; 3], [i16; 3])>(), position in steps(1_024_000_000),
            velocity: [i32; 3], change: [i32; 3], after in 1u32..99_999, hz in 1u16..128,
        ) {
            let rate = TickRate::new(hz).expect("in range");
            let pos = last.0.map(|axis| axis % 64_000_000 * KNOT_GRID);
            let last = Knot { tick: Tick(7), pos, vel: last.1, ..Knot::default() };
            let course = Course { position: IPos(position), velocity, change, ..Course::default() };
            let tick = Tick(7) + after;
            prop_assert!(aim(&last, tick, &course, rate).holds(tick, course.position));
        }
    }
}
