//! Codes: what changed of one entity since a baseline, in at most 56 bits.
//!
//! A code depends on the entity, the tick and the baseline alone, so the server makes it once and
//! appends it to the datagram of every client that has this baseline.
//!
//! ```text
//! knot   head symbol: 1 x or y, 2 z, 4 vx or vy, 8 vz, 16 orientation
//!        lag j, only when the baseline is not one tick old: symbol 0-30, or 31 and 8 bits (j - 31)
//!        1: residuals x, y   2: z      against the base predicted to tick - j, in 1/64 m
//!        4: residuals vx, vy 8: vz     against the base's velocity, in its units
//!        16: turn
//! fix    fixes since the baseline: '0' one, '10' two, '11' three
//!        lag j of the last: symbol 0-30, or 31 and 8 bits (j - 31)
//!        gamma, for each but the last: ticks to the next
//!        each, oldest first: head symbol 1 first axis, 2 second, 4 third, 8 orientation;
//!        residuals against the prediction from the fix before, in units of the grid; turn
//! turn   heading: residual; look: residuals yaw, pitch;
//!        quaternion: '1' and three residuals where the largest component is the same,
//!        else '0' and 32 bits
//! ```

use super::SnapshotError;
use super::turn::{read_turn, turn};
use crate::bits::{BitReader, PUT_BITS_MAX};
use crate::motion::{FixState, KNOT_GRID, Knot, add_residual, nearest_unit, residual};
use crate::schema::OrientationKind;
use crate::space::{METRIC_LIMIT, Space};
use crate::tables::{FIXES, Piece, Prefix, Word, knots};
use crate::units::Tick;
use std::num::NonZeroU64;

/// Fixes after a baseline that one code may carry.
pub const FIX_STEPS_MAX: usize = 3;
/// The lag symbol that is followed by eight raw bits.
const LAG_ESCAPE: u32 = 31;

const XY: usize = 1;
const Z: usize = 2;
const VXY: usize = 4;
const VZ: usize = 8;
const KNOT_TURN: usize = 16;
const FIX_TURN: usize = 8;

/// What changed of one entity since a baseline: 1 to 56 bits in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(NonZeroU64);

impl Code {
    /// The bits, first one lowest.
    #[inline]
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0.get() & ((1 << PUT_BITS_MAX) - 1)
    }

    /// How many bits.
    #[inline]
    #[must_use]
    pub const fn len(self) -> u32 {
        (self.0.get() >> PUT_BITS_MAX) as u32
    }

    /// All of it in one number, which is never zero and has not all bits set.
    #[inline]
    #[must_use]
    pub const fn word(self) -> NonZeroU64 {
        self.0
    }

    /// The code whose [`Code::word`] this is.
    #[inline]
    #[must_use]
    pub const fn of_word(word: NonZeroU64) -> Self {
        Self(word)
    }

    /// Never: a code has at least one bit.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        false
    }
}

/// Puts a code together, as long as it fits.
#[derive(Debug, Default)]
pub(super) struct CodeBuilder {
    bits: u64,
    len: u32,
}

impl CodeBuilder {
    #[inline]
    pub(super) fn push(&mut self, piece: Piece) -> Option<()> {
        let len = self.len + piece.len;
        if len > PUT_BITS_MAX {
            return None;
        }
        self.bits |= piece.bits << self.len;
        self.len = len;
        Some(())
    }

    pub(super) fn raw(&mut self, bits: u64, len: u32) -> Option<()> {
        self.push(Piece { bits, len })
    }

    #[inline]
    pub(super) fn residual(&mut self, prefix: &Prefix, residual: i32) -> Option<()> {
        self.push(prefix.residual(residual)?)
    }

    fn lag(&mut self, prefix: &Prefix, lag: u32) -> Option<()> {
        if lag < LAG_ESCAPE {
            return self.push(prefix.symbol(lag as usize)?);
        }
        self.push(prefix.symbol(LAG_ESCAPE as usize)?)?;
        let rest = lag - LAG_ESCAPE;
        if rest < 256 { self.raw(u64::from(rest), 8) } else { None }
    }

    fn code(self) -> Option<Code> {
        NonZeroU64::new(self.bits | u64::from(self.len) << PUT_BITS_MAX).map(Code)
    }
}

/// The code of the newest knot `now` for a client that holds `base`, the newest knot of `age`
/// ticks before `tick`. Both orientations are of `kind` ([`crate::sample::Orientation::fit`]).
///
/// `None` where only an absolute record can say it: a code beyond 56 bits, a lag beyond 286, a
/// knot that is not newer than its baseline.
#[inline]
#[must_use]
pub fn knot_code(
    kind: OrientationKind,
    base: &Knot,
    now: &Knot,
    tick: Tick,
    age: u32,
) -> Option<Code> {
    let lag = tick.since(now.tick)?;
    if lag >= age || now.tick <= base.tick {
        return None;
    }
    let codes = knots(age);
    let at = base.predict(now.tick).0;
    let moved = |axis: usize| now.pos[axis] / KNOT_GRID - nearest_unit(at[axis]);
    let [x, y, z] = [moved(0), moved(1), moved(2)];
    let sped = |axis: usize| i32::from(now.vel[axis]) - i32::from(base.vel[axis]);
    let [vx, vy, vz] = [sped(0), sped(1), sped(2)];
    let turned = now.orientation != base.orientation;
    let head = usize::from(x | y != 0)
        | usize::from(z != 0) << 1
        | usize::from(vx | vy != 0) << 2
        | usize::from(vz != 0) << 3
        | usize::from(turned) << 4;

    let mut code = CodeBuilder::default();
    code.push(codes.head.symbol(head)?)?;
    if age > 1 {
        code.lag(&codes.lag, lag)?;
    }
    if head & XY != 0 {
        code.residual(&codes.position_xy, x)?;
        code.residual(&codes.position_xy, y)?;
    }
    if head & Z != 0 {
        code.residual(&codes.position_z, z)?;
    }
    if head & VXY != 0 {
        code.residual(&codes.velocity_xy, vx)?;
        code.residual(&codes.velocity_xy, vy)?;
    }
    if head & VZ != 0 {
        code.residual(&codes.velocity_z, vz)?;
    }
    if turned {
        turn(&mut code, codes.turn.of(kind), kind, base.orientation, now.orientation)?;
    }
    code.code()
}

/// Reads what [`knot_code`] made.
pub(super) fn read_knot(
    bits: &mut BitReader<'_>,
    kind: OrientationKind,
    base: &Knot,
    tick: Tick,
    age: u32,
) -> Result<Knot, SnapshotError> {
    let (codes, mut word) = (knots(age), Word::new(bits));
    let head = codes.head.read_symbol(&mut word)?;
    let lag = if age > 1 { read_lag(&mut word, &codes.lag)? } else { 0 };
    let mut now = Knot { tick: later(base.tick, tick, lag)?, ..*base };
    let mut at = base.predict(now.tick).0.map(nearest_unit);
    if head & XY != 0 {
        at[0] = moved(at[0], codes.position_xy.read_residual(&mut word)?)?;
        at[1] = moved(at[1], codes.position_xy.read_residual(&mut word)?)?;
    }
    if head & Z != 0 {
        at[2] = moved(at[2], codes.position_z.read_residual(&mut word)?)?;
    }
    now.pos = at.map(|unit| unit * KNOT_GRID);
    if head & VXY != 0 {
        now.vel[0] = sped(now.vel[0], codes.velocity_xy.read_residual(&mut word)?)?;
        now.vel[1] = sped(now.vel[1], codes.velocity_xy.read_residual(&mut word)?)?;
    }
    if head & VZ != 0 {
        now.vel[2] = sped(now.vel[2], codes.velocity_z.read_residual(&mut word)?)?;
    }
    if head & KNOT_TURN != 0 {
        now.orientation = read_turn(&mut word, codes.turn.of(kind), kind, base.orientation)?;
    }
    word.finish(bits)?;
    Ok(now)
}

/// The code of the fixes `steps` (oldest first) that came after the fix `base`, in `tick`. All
/// positions are on the grid and all orientations of `kind`.
///
/// `None` where only an absolute record can say it: none or more than [`FIX_STEPS_MAX`] fixes, a
/// code beyond 56 bits, a lag beyond 286.
#[must_use]
pub fn fix_code(
    kind: OrientationKind,
    space: Space,
    base: &FixState,
    steps: &[FixState],
    tick: Tick,
) -> Option<Code> {
    let lag = tick.since(steps.last()?.tick)?;
    let mut code = CodeBuilder::default();
    match steps.len() {
        1 => code.raw(0b0, 1)?,
        2 => code.raw(0b01, 2)?,
        FIX_STEPS_MAX => code.raw(0b11, 2)?,
        _ => return None,
    }
    code.lag(&FIXES.lag, lag)?;
    for pair in steps.windows(2) {
        let apart = pair[1].tick.since(pair[0].tick).filter(|ticks| *ticks > 0)?;
        let n = apart.ilog2();
        code.raw(1 << n, n + 1)?;
        code.raw(u64::from(apart & !(1 << n)), n)?;
    }
    let mut from = *base;
    for step in steps {
        step.tick.since(from.tick).filter(|ticks| *ticks > 0)?;
        fix_step(&mut code, kind, space, &from, step)?;
        from = from.then(step.tick, step.pos, step.orientation);
    }
    code.code()
}

fn fix_step(
    code: &mut CodeBuilder,
    kind: OrientationKind,
    space: Space,
    from: &FixState,
    step: &FixState,
) -> Option<()> {
    let moved = residual(space, from.predict(space, step.tick), step.pos);
    let turned = step.orientation != from.orientation;
    let axes = (0..3).filter(|axis| moved[*axis] != 0).fold(0, |head, axis| head | 1 << axis);
    let head = if turned { axes | FIX_TURN } else { axes };
    code.push(FIXES.head.symbol(head)?)?;
    for axis in (0..3).filter(|axis| moved[*axis] != 0) {
        code.residual(axis_codes(axis), moved[axis])?;
    }
    if turned {
        turn(code, FIXES.turn.of(kind), kind, from.orientation, step.orientation)?;
    }
    Some(())
}

/// Reads what [`fix_code`] made: the fixes, oldest first, and how many there are.
pub(super) fn read_fixes(
    bits: &mut BitReader<'_>,
    kind: OrientationKind,
    space: Space,
    base: &FixState,
    tick: Tick,
) -> Result<([FixState; FIX_STEPS_MAX], usize), SnapshotError> {
    let mut word = Word::new(bits);
    let count = match word.take(1)? {
        0 => 1,
        _ => 2 + word.take(1)? as usize,
    };
    let lag = read_lag(&mut word, &FIXES.lag)?;
    let mut ticks = [tick; FIX_STEPS_MAX];
    ticks[count - 1] = later(Tick(0), tick, lag)?;
    let mut apart = [0; FIX_STEPS_MAX];
    for gap in &mut apart[..count - 1] {
        *gap = word.gamma()?;
    }
    for i in (0..count - 1).rev() {
        let before = u64::from(ticks[i + 1].0).checked_sub(apart[i]);
        ticks[i] = Tick(before.ok_or(SnapshotError::Malformed("a fix before time"))? as u32);
    }
    let mut steps = [*base; FIX_STEPS_MAX];
    let mut from = *base;
    for (step, tick) in steps.iter_mut().zip(ticks).take(count) {
        from = read_fix_step(&mut word, kind, space, &from, tick)?;
        *step = from;
    }
    word.finish(bits)?;
    Ok((steps, count))
}

fn read_fix_step(
    word: &mut Word,
    kind: OrientationKind,
    space: Space,
    from: &FixState,
    tick: Tick,
) -> Result<FixState, SnapshotError> {
    if tick <= from.tick {
        return Err(SnapshotError::Malformed("a fix that is not newer than the one before"));
    }
    let head = FIXES.head.read_symbol(word)?;
    if head > 15 {
        return Err(SnapshotError::Malformed("a head symbol that fixes do not have"));
    }
    let mut moved = [0; 3];
    for axis in (0..3).filter(|axis| head >> axis & 1 == 1) {
        moved[axis] = axis_codes(axis).read_residual(word)?;
    }
    let pos = add_residual(space, from.predict(space, tick), moved)
        .ok_or(SnapshotError::Malformed("a position out of range"))?;
    let orientation = match head & FIX_TURN {
        0 => from.orientation,
        _ => read_turn(word, FIXES.turn.of(kind), kind, from.orientation)?,
    };
    Ok(from.then(tick, pos, orientation))
}

fn axis_codes(axis: usize) -> &'static Prefix {
    if axis < 2 { &FIXES.plane } else { &FIXES.altitude }
}

fn read_lag(word: &mut Word, prefix: &Prefix) -> Result<u32, SnapshotError> {
    let symbol = prefix.read_symbol(word)? as u32;
    if symbol < LAG_ESCAPE { Ok(symbol) } else { Ok(LAG_ESCAPE + word.take(8)? as u32) }
}

/// The tick `lag` before `tick`, which must not lie before `base`.
fn later(base: Tick, tick: Tick, lag: u32) -> Result<Tick, SnapshotError> {
    match tick.0.checked_sub(lag).map(Tick) {
        Some(then) if then >= base => Ok(then),
        _ => Err(SnapshotError::Malformed("a change before its baseline")),
    }
}

fn moved(unit: i32, residual: i32) -> Result<i32, SnapshotError> {
    let now = i64::from(unit) + i64::from(residual);
    let in_range = now.abs() * i64::from(KNOT_GRID) <= METRIC_LIMIT;
    if in_range { Ok(now as i32) } else { Err(SnapshotError::Malformed("a position out of range")) }
}

fn sped(unit: i16, change: i32) -> Result<i16, SnapshotError> {
    i16::try_from(i32::from(unit) + change)
        .map_err(|_| SnapshotError::Malformed("a velocity out of range"))
}
