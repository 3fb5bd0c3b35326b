//! Which knot a server sets next. Policy, not wire: any knot within the band is right; these are
//! those that hold for long and take few bits to tell.

use super::knot::nearest_unit;
use super::{DEAD_BAND, Gain, KNOT_GRID, Knot, Spin, VELOCITY_STEP, snap_knot, snap_velocity};
use crate::space::{IPos, METRIC_LIMIT};
use crate::units::{Tick, TickRate};

/// Ticks ahead at which a line is tried against where the entity seems to be going.
const AHEAD: [i32; 10] = [0, 1, 2, 3, 4, 5, 6, 8, 12, 16];
/// What it is worth that a line holds at the first so many of these ticks: every tick four fifths of
/// the one before, for motion changes.
const WORTH: [u32; AHEAD.len() + 1] = [0, 100, 180, 244, 295, 336, 369, 395, 433, 473, 489];
/// Fractions of a canonical step in which motion ahead is worked out.
const FRACTION: i32 = 256;
/// The band in these fractions.
const BAND: i32 = DEAD_BAND as i32 * FRACTION;
/// What a whole state takes on average, in eighths of a bit.
const STATE_COST: u32 = 400;
/// What a step takes besides its residuals, in eighths of a bit.
const STEP_COST: u32 = 24;
/// By how much a residual may differ from that of the nearest point, the likeliest first.
const NEAR: [i32; 3] = [0, -1, 1];
/// Fastest motion and its fastest change that are worked out, in fractions a tick: 16 ticks of them
/// are less than 2^31. No band holds what is faster.
const BY_MAX: i64 = 1 << 26;
const MORE_MAX: i64 = 1 << 21;

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
    let ahead = Ahead::of(course, rate);
    let line =
        [0, 1, 2].map(|axis: usize| ahead.try_line(axis, plain.pos[axis], plain.vel[axis], 0));
    let mut best =
        Best { line, worth: WORTH[held(&line[0], &line[1], &line[2])], cost: STATE_COST };
    let steps = Steps { last, tick, course, ahead };
    for gain in [Gain::Soft, Gain::Hard] {
        if gain == Gain::Hard && last.followed(tick) == 1 {
            break; // The same again.
        }
        best.of_all(&steps.tries(gain), steps.keeps_height());
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
    /// How far it moves in a tick, and by how much more in each tick than in the one before, in
    /// fractions of a step.
    by: [i32; 3],
    more: [i32; 3],
}

/// One axis of a line that may be chosen.
#[derive(Clone, Copy, Debug, Default)]
struct Try {
    pos: i32,
    vel: i16,
    /// What its residual takes, in eighths of a bit.
    cost: u32,
    /// What the line is worth if the other axes are never off; nothing if there is no such line.
    worth: u32,
    /// Squares of how far off it is at the ticks of [`AHEAD`], in fractions; of what is out of the
    /// band no more than just out of it, so that three of them fit.
    off: [u32; AHEAD.len()],
}

impl Ahead {
    fn of(course: &Course, rate: TickRate) -> Self {
        let scaled = |v: i32, most: i64| {
            let fractions = i64::from(v) * i64::from(FRACTION) / i64::from(rate.hz());
            fractions.clamp(-most, most) as i32
        };
        Self {
            from: course.position,
            by: course.velocity.map(|v| scaled(v, BY_MAX)),
            more: course.change.map(|v| scaled(v, MORE_MAX)),
        }
    }

    #[inline]
    fn try_line(&self, axis: usize, pos: i32, vel: i16, cost: u32) -> Try {
        let from = pos.wrapping_sub(self.from.0[axis]).clamp(-BAND, BAND) * FRACTION;
        let by = i32::from(vel) * (VELOCITY_STEP as i32 * FRACTION) - self.by[axis];
        let more = self.more[axis];
        let mut off = [0; AHEAD.len()];
        for (k, off) in AHEAD.into_iter().zip(&mut off) {
            let apart = from + by * k - more * k * k / 2;
            *off = apart.clamp(-BAND - 1, BAND + 1).pow(2) as u32;
        }
        let held = off.iter().take_while(|off| **off <= BAND.pow(2) as u32).count();
        Try { pos, vel, cost, worth: WORTH[held], off }
    }
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

    /// By axis, the steps that lead near the accepted position, the nearest first.
    fn tries(&self, gain: Gain) -> [[Try; 3]; 3] {
        let at = self.last.predict(self.tick).0;
        let unit = i64::from(self.last.step_unit(self.tick, gain));
        let ticks = i64::from(self.last.followed(self.tick));
        [0, 1, 2].map(|axis: usize| {
            let from = i64::from(nearest_unit(at[axis]));
            let grid = unit * i64::from(KNOT_GRID);
            let off = i64::from(self.course.position.0[axis]) - from * i64::from(KNOT_GRID);
            let nearest = (2 * off + grid).div_euclid(2 * grid);
            NEAR.map(|near| {
                let residual = nearest + i64::from(near);
                let pos = (from + unit * residual) * i64::from(KNOT_GRID);
                let sped = unit * residual * (i64::from(KNOT_GRID) / VELOCITY_STEP);
                let more = match gain {
                    Gain::Soft => (2 * sped + ticks).div_euclid(2 * ticks),
                    Gain::Hard | Gain::Stop => sped,
                };
                let vel = i16::try_from(i64::from(self.last.vel[axis]) + more);
                let Ok(vel) = vel else { return Try::default() };
                if pos.abs() > METRIC_LIMIT {
                    return Try::default();
                }
                let cost = if axis == 2 && residual == 0 { 0 } else { 1 };
                self.ahead.try_line(axis, pos as i32, vel, cost * residual_cost(residual as i32))
            })
        })
    }
}

/// The best line so far.
struct Best {
    line: [Try; 3],
    worth: u32,
    cost: u32,
}

impl Best {
    /// Takes the best of all combinations, where it is better. What one axis is worth by itself says
    /// of most that they are not.
    fn of_all(&mut self, [x, y, z]: &[[Try; 3]; 3], keeps_height: bool) {
        let level = keeps_height && z[0].cost == 0;
        let z = if level { &z[..1] } else { &z[..] };
        for z in z {
            for y in y {
                for x in x {
                    let cost = STEP_COST + x.cost + y.cost + z.cost;
                    let most = x.worth.min(y.worth).min(z.worth);
                    if most * self.cost <= self.worth * cost {
                        continue;
                    }
                    let worth = WORTH[held(x, y, z)];
                    if worth * self.cost > self.worth * cost {
                        *self = Self { line: [*x, *y, *z], worth, cost };
                    }
                }
            }
        }
    }
}

/// At how many of the ticks of [`AHEAD`] a line is still within the band.
#[inline]
fn held(x: &Try, y: &Try, z: &Try) -> usize {
    let within = |k: &usize| x.off[*k] + y.off[*k] + z.off[*k] <= BAND.pow(2) as u32;
    (0..AHEAD.len()).take_while(within).count()
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
        let within = |k: &&i32| {
            let k = i128::from(**k);
            let off = [0, 1, 2].map(|axis: usize| {
                let ahead =
                    per_tick(course.velocity[axis]) * k + per_tick(course.change[axis]) * k * k / 2;
                let told = i128::from(knot.pos[axis]) + 2 * i128::from(knot.vel[axis]) * k;
                (told - i128::from(course.position.0[axis])) * 256 - ahead
            });
            off.map(|off| off * off).iter().sum::<i128>() <= (39 * 256i128).pow(2)
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
