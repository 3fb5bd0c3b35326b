//! Which knot a server sets next. Policy, not wire: any knot within the band is right; these are
//! those that hold for long and take few bits to tell.

use super::{
    DEAD_BAND, Gain, KNOT_GRID, Knot, Spin, Step, VELOCITY_STEP, snap_knot, snap_velocity,
};
use crate::space::IPos;
use crate::units::{Tick, TickRate};

/// Ticks ahead at which a line is tried against where the entity seems to be going.
const AHEAD: [i64; 10] = [0, 1, 2, 3, 4, 5, 6, 8, 12, 16];
/// What it is worth that a line holds up to each of these ticks: every tick four fifths of the one
/// before, for motion changes.
const WORTH: [i64; AHEAD.len()] = [100, 180, 244, 295, 336, 369, 395, 433, 473, 489];
/// Fractions of a canonical step in which motion ahead is worked out.
const FRACTION: i64 = 256;
/// What a whole state takes on average, in eighths of a bit.
const STATE_COST: i64 = 400;
/// What a step takes besides its residuals, in eighths of a bit.
const STEP_COST: i64 = 24;

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

    /// Where it will be in the next ticks, as far as one can tell, in fractions of a step.
    fn ahead(&self, rate: TickRate) -> [[i64; 3]; AHEAD.len()] {
        let hz = i64::from(rate.hz());
        let scaled = |v: i32| i64::from(v) * FRACTION / hz;
        let mut ahead = [[0; 3]; AHEAD.len()];
        for axis in 0..3 {
            let from = i64::from(self.position.0[axis]) * FRACTION;
            let (by, more) = (scaled(self.velocity[axis]), scaled(self.change[axis]));
            for (k, at) in AHEAD.into_iter().zip(&mut ahead) {
                at[axis] = from + by * k + more * k * k / 2;
            }
        }
        ahead
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
    let ahead = course.ahead(rate);
    let (mut best, mut worth, mut cost) = (plain, worth_of(&plain, &ahead), STATE_COST);
    for gain in [Gain::Soft, Gain::Hard] {
        if gain == Gain::Hard && last.followed(tick) == 1 {
            break; // The same again.
        }
        for step in candidates(last, tick, course, gain) {
            let Some(next) = last.step(tick, &step) else { continue };
            let (more, bits) = (worth_of(&next, &ahead), step_cost(&step));
            if more * cost > worth * bits {
                (best, worth, cost) = (next, more, bits);
            }
        }
    }
    best
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

/// Residuals that lead near the accepted position.
fn candidates(
    last: &Knot,
    tick: Tick,
    course: &Course,
    gain: Gain,
) -> impl Iterator<Item = Step> + use<> {
    let at = last.predict(tick).0;
    let unit = i64::from(last.step_unit(tick, gain) * KNOT_GRID);
    let nearest = [0, 1, 2].map(|axis: usize| {
        let off = i64::from(course.position.0[axis]) - i64::from(snap_knot(IPos(at))[axis]);
        (2 * off + unit).div_euclid(2 * unit) as i32
    });
    // What keeps its height needs no word on it.
    let level = nearest[2] == 0 && course.velocity[2] == 0 && last.vel[2] == 0;
    let heights = if level { 0..=0 } else { -1..=1 };
    (-1..=1).flat_map(move |x| {
        let heights = heights.clone();
        (-1..=1).flat_map(move |y| {
            let residual = move |z| [nearest[0] + x, nearest[1] + y, nearest[2] + z];
            heights.clone().map(move |z| Step { gain, residual: residual(z) })
        })
    })
}

/// How well a line stays within the band, as far as one can tell; nothing if it does not begin in it.
fn worth_of(knot: &Knot, ahead: &[[i64; 3]; AHEAD.len()]) -> i64 {
    let band = DEAD_BAND * FRACTION;
    let within = |(k, at): (i64, &[i64; 3])| {
        let mut square = 0;
        for (axis, at) in at.iter().enumerate() {
            let told = i64::from(knot.pos[axis]) + VELOCITY_STEP * i64::from(knot.vel[axis]) * k;
            let off = told * FRACTION - at;
            if off.abs() > band {
                return false;
            }
            square += off * off;
        }
        square <= band * band
    };
    let held = AHEAD.into_iter().zip(ahead).take_while(|ahead| within(*ahead)).count();
    held.checked_sub(1).map_or(0, |last| WORTH[last])
}

/// About what a step takes, in eighths of a bit.
fn step_cost(step: &Step) -> i64 {
    let [x, y, z] = step.residual.map(residual_cost);
    STEP_COST + x + y + if step.residual[2] == 0 { 0 } else { z }
}

/// Ten, and twelve for each doubling.
fn residual_cost(residual: i32) -> i64 {
    const SMALL: [i64; 8] = [10, 22, 29, 34, 38, 41, 44, 46];
    let size = residual.unsigned_abs() as usize;
    SMALL.get(size).copied().unwrap_or_else(|| 10 + 12 * i64::from((size + 1).ilog2()) + 6)
}
