//! Codes of knots.
//!
//! ```text
//! code     age 1: a step from the base to the newest knot
//!          else:  '0' lag, and such a step
//!                 '10' lag, and the state
//!                 '11' one bit for each tick after the base, 1 where a knot was set; their steps
//!                 (two at least; age 8 at most)
//! lag j    the newest knot is of tick n - j: symbol 0-30, or 31 and 8 bits (j - 31)
//! step     head symbol, by the class of the knot before at the new one's tick:
//!            0 turned: turn
//!            1 + 4 gain + 2 (1 with z) + (1 turned): residuals x, y; z; turn
//!            13 the state follows, only at age 1
//! state    line: '0' new with the knot; '10' that of the base; '11' gamma of its run
//!          head symbol: 1 x or y, 2 z, 4 vx or vy, 8 vz, 16 orientation
//!          1: residuals x, y   2: z      against the base predicted to the line's tick, in 1/64 m
//!          4: residuals vx, vy 8: vz     against the base's velocity, in its units
//!          16: turn
//! turn     as elsewhere, against the predicted orientation; of a quaternion before that the spin:
//!          '0' soft, '10' hard, '110' none; '111' three residuals in the codes for vx, vy
//!          of age 32
//! ```

use super::SnapshotError;
use super::code::{Code, CodeBuilder, later, read_lag};
use super::turn::{read_turn, turn};
use crate::bits::BitReader;
use crate::limits::AGE_MAX;
use crate::motion::{Gain, KNOT_GRID, Knot, Spin, Step, nearest_unit};
use crate::schema::OrientationKind;
use crate::space::METRIC_LIMIT;
use crate::tables::{KnotCodes, StepCodes, TurnCodes, Word, knots, steps};
use crate::units::Tick;

/// Knots after a baseline that one code may carry one by one.
pub const KNOT_STEPS_MAX: usize = 6;
/// Age of the baseline up to which it may.
const CHAIN_AGE_MAX: u32 = 8;

/// Head symbols of steps.
const TURNED: usize = 0;
const LINE: usize = 1;
const STATE: usize = 13;

const XY: usize = 1;
const Z: usize = 2;
const VXY: usize = 4;
const VZ: usize = 8;
const TURN: usize = 16;

/// The code of the newest of `since`, the knots that came after `base`, oldest first; where there
/// are more than [`KNOT_STEPS_MAX`] the newest alone. `base` is the newest knot of `age` ticks
/// before `tick`. All orientations are of `kind` ([`crate::sample::Orientation::fit`]).
///
/// `None` where only an absolute record can say it: a code beyond 56 bits, a lag beyond 286, a
/// knot that is not newer than its baseline.
#[must_use]
pub fn knot_code(
    kind: OrientationKind,
    base: &Knot,
    since: &[Knot],
    tick: Tick,
    age: u32,
) -> Option<Code> {
    let now = since.last()?;
    let lag = tick.since(now.tick)?;
    if lag >= age || now.tick <= base.tick {
        return None;
    }
    let mut code = CodeBuilder::default();
    if age > 1 {
        code.raw(0b0, 1)?;
        code.lag(&knots(age).lag, lag)?;
    }
    if push_step(&mut code, kind, base, now).is_some() {
        return code.code();
    }
    let chain = chain(kind, base, since, tick, age);
    let state = state(kind, base, now, lag, age);
    match (chain, state) {
        (Some(chain), Some(state)) if chain.len() < state.len() => Some(chain),
        (chain, state) => state.or(chain),
    }
}

fn chain(kind: OrientationKind, base: &Knot, since: &[Knot], tick: Tick, age: u32) -> Option<Code> {
    if !(2..=CHAIN_AGE_MAX).contains(&age) || since.len() < 2 {
        return None;
    }
    let (mut code, mut ticks) = (CodeBuilder::default(), 0);
    for knot in since {
        ticks |= 1 << knot.tick.since(tick - age)?.checked_sub(1)?;
    }
    code.raw(0b11 | ticks << 2, 2 + age)?;
    let mut from = base;
    for knot in since {
        push_step(&mut code, kind, from, knot)?;
        from = knot;
    }
    code.code()
}

fn push_step(code: &mut CodeBuilder, kind: OrientationKind, from: &Knot, to: &Knot) -> Option<()> {
    let codes = steps(from.step_class(to.tick));
    if from.is_continued_by(to) {
        code.push(codes.head.symbol(TURNED)?)?;
        return push_turn(code, &codes.turn, kind, from, to);
    }
    let Step { gain, residual: [x, y, z] } = from.step_to(to)?;
    let turned = is_turned(from, to);
    let head = LINE + 4 * gain as usize + 2 * usize::from(z != 0) + usize::from(turned);
    code.push(codes.head.symbol(head)?)?;
    code.residual(&codes.plane, x)?;
    code.residual(&codes.plane, y)?;
    if z != 0 {
        code.residual(&codes.height, z)?;
    }
    if turned {
        push_turn(code, &codes.turn, kind, from, to)?;
    }
    Some(())
}

fn state(kind: OrientationKind, base: &Knot, now: &Knot, lag: u32, age: u32) -> Option<Code> {
    let mut code = CodeBuilder::default();
    match age {
        1 => code.push(steps(base.step_class(now.tick)).head.symbol(STATE)?)?,
        _ => {
            code.raw(0b01, 2)?;
            code.lag(&knots(age).lag, lag)?;
        }
    }
    let codes = knots(age);
    if base.is_continued_by(now) {
        code.raw(0b01, 2)?;
        push_changes(&mut code, kind, codes, base, now, &[0; 6])?;
        return code.code();
    }
    match now.run {
        0 => code.raw(0b0, 1)?,
        run => {
            code.raw(0b11, 2)?;
            code.gamma(run)?;
        }
    }
    let begun = now.tick.0.checked_sub(now.run).map(Tick).filter(|begun| *begun > base.tick)?;
    let at = base.predict(begun).0;
    let moved = |axis: usize| now.pos[axis] / KNOT_GRID - nearest_unit(at[axis]);
    let sped = |axis: usize| i32::from(now.vel[axis]) - i32::from(base.vel[axis]);
    let changes = [moved(0), moved(1), moved(2), sped(0), sped(1), sped(2)];
    push_changes(&mut code, kind, codes, base, now, &changes)?;
    code.code()
}

fn push_changes(
    code: &mut CodeBuilder,
    kind: OrientationKind,
    codes: &KnotCodes,
    base: &Knot,
    now: &Knot,
    [x, y, z, vx, vy, vz]: &[i32; 6],
) -> Option<()> {
    let turned = is_turned(base, now);
    let head = usize::from(x | y != 0)
        | usize::from(*z != 0) << 1
        | usize::from(vx | vy != 0) << 2
        | usize::from(*vz != 0) << 3
        | usize::from(turned) << 4;
    code.push(codes.head.symbol(head)?)?;
    if head & XY != 0 {
        code.residual(&codes.position_xy, *x)?;
        code.residual(&codes.position_xy, *y)?;
    }
    if head & Z != 0 {
        code.residual(&codes.position_z, *z)?;
    }
    if head & VXY != 0 {
        code.residual(&codes.velocity_xy, *vx)?;
        code.residual(&codes.velocity_xy, *vy)?;
    }
    if head & VZ != 0 {
        code.residual(&codes.velocity_z, *vz)?;
    }
    if turned {
        push_turn(code, &codes.turn, kind, base, now)?;
    }
    Some(())
}

/// Is there more to tell than that it spins on?
fn is_turned(from: &Knot, to: &Knot) -> bool {
    to.spin != from.spin || to.orientation != from.faces(to.tick)
}

fn push_turn(
    code: &mut CodeBuilder,
    codes: &TurnCodes,
    kind: OrientationKind,
    from: &Knot,
    to: &Knot,
) -> Option<()> {
    let faced = from.faces(to.tick);
    if kind == OrientationKind::Quaternion {
        let spins = Spin::ALL.iter().position(|spin| from.spin_after(to, *spin) == to.spin);
        code.raw([0b0, 0b01, 0b011, 0b111][spins.unwrap_or(3)], [1, 2, 3, 3][spins.unwrap_or(3)])?;
        if spins.is_none() {
            let codes = &knots(u32::from(AGE_MAX) + 1).velocity_xy;
            for (new, old) in to.spin.into_iter().zip(from.spin) {
                code.residual(codes, i32::from(new) - i32::from(old))?;
            }
        }
    }
    turn(code, codes.of(kind), kind, faced, to.orientation)
}

/// Reads what [`push_turn`] made; `to` spins and faces as is predicted.
fn read_turned(
    word: &mut Word,
    codes: &TurnCodes,
    kind: OrientationKind,
    from: &Knot,
    to: &mut Knot,
) -> Result<(), SnapshotError> {
    let mut spin = None;
    if kind == OrientationKind::Quaternion {
        let mut ones = 0;
        while ones < Spin::ALL.len() && word.take(1)? == 1 {
            ones += 1;
        }
        spin = Spin::ALL.get(ones);
        if spin.is_none() {
            let codes = &knots(u32::from(AGE_MAX) + 1).velocity_xy;
            for axis in &mut to.spin {
                *axis = sped(*axis, codes.read_residual(word)?)?;
            }
        }
    }
    to.orientation = read_turn(word, codes.of(kind), kind, to.orientation)?;
    if let Some(spin) = spin {
        to.spin = from.spin_after(to, *spin);
    }
    Ok(())
}

/// Reads what [`knot_code`] made into a copy of its base.
///
/// It is built where it will lie: to move what was just put together of small pieces takes longer than
/// to read it.
#[inline]
pub(super) fn read_knot(
    bits: &mut BitReader<'_>,
    kind: OrientationKind,
    base: &Knot,
    tick: Tick,
    age: u32,
    now: &mut Knot,
) -> Result<(), SnapshotError> {
    let mut word = Word::new(bits);
    if age == 1 {
        read_step(&mut word, kind, base, tick, true, now)?;
    } else {
        read_older(&mut word, kind, base, tick, age, now)?;
    }
    word.finish(bits)
}

fn read_older(
    word: &mut Word,
    kind: OrientationKind,
    base: &Knot,
    tick: Tick,
    age: u32,
    now: &mut Knot,
) -> Result<(), SnapshotError> {
    if word.take(1)? == 0 {
        let lag = read_lag(word, &knots(age).lag)?;
        return read_step(word, kind, base, later(base.tick, tick, lag)?, false, now);
    }
    if word.take(1)? == 0 {
        let lag = read_lag(word, &knots(age).lag)?;
        *now = read_state(word, kind, base, later(base.tick, tick, lag)?, age)?;
        return Ok(());
    }
    if age > CHAIN_AGE_MAX {
        return Err(SnapshotError::Malformed("a chain of steps from too old a baseline"));
    }
    let ticks = word.take(age)?;
    if ticks.count_ones() < 2 {
        return Err(SnapshotError::Malformed("a chain of less than two steps"));
    }
    for after in (0..age).filter(|after| ticks >> after & 1 == 1) {
        let from = *now;
        read_step(word, kind, &from, tick - age + 1 + after, false, now)?;
    }
    Ok(())
}

const UNKNOWN_STEP: SnapshotError = SnapshotError::Malformed("a step that knots do not take");
const OUT_OF_RANGE: SnapshotError = SnapshotError::Malformed("a knot out of range");

/// Reads a step from `from`, of which `to` is a copy.
#[inline]
fn read_step(
    word: &mut Word,
    kind: OrientationKind,
    from: &Knot,
    tick: Tick,
    may_be_state: bool,
    to: &mut Knot,
) -> Result<(), SnapshotError> {
    if tick <= from.tick {
        return Err(SnapshotError::Malformed("a change before its baseline"));
    }
    let codes: &StepCodes = steps(from.step_class(tick));
    let head = codes.head.read_symbol(word)?;
    if head == TURNED {
        let turned = from.turned(tick, from.faces(tick));
        (to.tick, to.run, to.orientation) = (tick, turned.run, turned.orientation);
        return read_turned(word, &codes.turn, kind, from, to);
    }
    if head == STATE && may_be_state {
        *to = read_state(word, kind, from, tick, 1)?;
        return Ok(());
    }
    if head >= STATE {
        return Err(UNKNOWN_STEP);
    }
    let parts = head - LINE;
    let x = codes.plane.read_residual(word)?;
    let y = codes.plane.read_residual(word)?;
    let z = if parts & 2 != 0 { codes.height.read_residual(word)? } else { 0 };
    let step = Step { gain: Gain::ALL[parts >> 2], residual: [x, y, z] };
    from.step_to_line(tick, &step, to).ok_or(OUT_OF_RANGE)?;
    if parts & 1 != 0 {
        read_turned(word, &codes.turn, kind, from, to)?;
    }
    Ok(())
}

fn read_state(
    word: &mut Word,
    kind: OrientationKind,
    base: &Knot,
    tick: Tick,
    age: u32,
) -> Result<Knot, SnapshotError> {
    let codes = knots(age);
    let (mut now, begun) = read_line(word, base, tick)?;
    let head = codes.head.read_symbol(word)?;
    let moves = head & (XY | Z | VXY | VZ) != 0;
    match begun {
        None if moves => return Err(SnapshotError::Malformed("a line that is and is not new")),
        None => {}
        Some(begun) => {
            let mut at = base.predict(begun).0.map(nearest_unit);
            if head & XY != 0 {
                at[0] = moved(at[0], codes.position_xy.read_residual(word)?)?;
                at[1] = moved(at[1], codes.position_xy.read_residual(word)?)?;
            }
            if head & Z != 0 {
                at[2] = moved(at[2], codes.position_z.read_residual(word)?)?;
            }
            now.pos = at.map(|unit| unit * KNOT_GRID);
        }
    }
    if head & VXY != 0 {
        now.vel[0] = sped(now.vel[0], codes.velocity_xy.read_residual(word)?)?;
        now.vel[1] = sped(now.vel[1], codes.velocity_xy.read_residual(word)?)?;
    }
    if head & VZ != 0 {
        now.vel[2] = sped(now.vel[2], codes.velocity_z.read_residual(word)?)?;
    }
    if head & TURN != 0 {
        read_turned(word, &codes.turn, kind, base, &mut now)?;
    }
    Ok(now)
}

/// The knot as far as its line is that of the base, and when its line begins if it is another.
fn read_line(
    word: &mut Word,
    base: &Knot,
    tick: Tick,
) -> Result<(Knot, Option<Tick>), SnapshotError> {
    let run = match word.take(1)? {
        0 => 0,
        _ if word.take(1)? == 0 => return Ok((base.turned(tick, base.faces(tick)), None)),
        _ => word.gamma()?,
    };
    let begun = u64::from(tick.0).checked_sub(run).filter(|begun| *begun > u64::from(base.tick.0));
    let begun = begun.ok_or(SnapshotError::Malformed("a line before its baseline"))?;
    let orientation = base.faces(tick);
    Ok((Knot { tick, run: run as u32, orientation, ..*base }, Some(Tick(begun as u32))))
}

fn moved(unit: i32, residual: i32) -> Result<i32, SnapshotError> {
    let now = i64::from(unit) + i64::from(residual);
    let in_range = now.abs() * i64::from(KNOT_GRID) <= METRIC_LIMIT;
    if in_range { Ok(now as i32) } else { Err(OUT_OF_RANGE) }
}

fn sped(unit: i16, change: i32) -> Result<i16, SnapshotError> {
    i16::try_from(i32::from(unit) + change).map_err(|_| OUT_OF_RANGE)
}
