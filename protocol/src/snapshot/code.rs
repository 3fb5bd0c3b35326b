//! Codes: what changed of one entity since a baseline, in at most 56 bits.
//!
//! A code depends on the entity, the tick and the baseline alone, so the server makes it once and
//! appends it to the datagram of every client that has this baseline.
//!
//! ```text
//! knot   see `knot_code.rs`
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
use crate::motion::{FixState, add_residual, residual};
use crate::schema::OrientationKind;
use crate::space::Space;
use crate::tables::{FIXES, Piece, Prefix, Word};
use crate::units::Tick;
use std::num::NonZeroU64;

/// Fixes after a baseline that one code may carry.
pub const FIX_STEPS_MAX: usize = 3;
/// The lag symbol that is followed by eight raw bits.
const LAG_ESCAPE: u32 = 31;

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

    pub(super) fn lag(&mut self, prefix: &Prefix, lag: u32) -> Option<()> {
        if lag < LAG_ESCAPE {
            return self.push(prefix.symbol(lag as usize)?);
        }
        self.push(prefix.symbol(LAG_ESCAPE as usize)?)?;
        let rest = lag - LAG_ESCAPE;
        if rest < 256 { self.raw(u64::from(rest), 8) } else { None }
    }

    /// `None` for zero.
    pub(super) fn gamma(&mut self, value: u32) -> Option<()> {
        let n = value.checked_ilog2()?;
        self.raw(1 << n, n + 1)?;
        self.raw(u64::from(value & !(1 << n)), n)
    }

    pub(super) fn code(self) -> Option<Code> {
        NonZeroU64::new(self.bits | u64::from(self.len) << PUT_BITS_MAX).map(Code)
    }
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
        code.gamma(pair[1].tick.since(pair[0].tick)?)?;
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

pub(super) fn read_lag(word: &mut Word, prefix: &Prefix) -> Result<u32, SnapshotError> {
    let symbol = prefix.read_symbol(word)? as u32;
    if symbol < LAG_ESCAPE { Ok(symbol) } else { Ok(LAG_ESCAPE + word.take(8)? as u32) }
}

/// The tick `lag` before `tick`, which must not lie before `base`.
pub(super) fn later(base: Tick, tick: Tick, lag: u32) -> Result<Tick, SnapshotError> {
    match tick.0.checked_sub(lag).map(Tick) {
        Some(then) if then >= base => Ok(then),
        _ => Err(SnapshotError::Malformed("a change before its baseline")),
    }
}
