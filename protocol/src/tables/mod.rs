//! The prefix codes of the snapshot codec: versioned constants of the protocol.
//!
//! A code is canonical: symbols sorted by (length, number) get rising codes, and the first bit of
//! a code on the wire is its most significant. So lengths are all there is to agree on ([`v2`]).
//!
//! ```text
//! a signed residual r is folded to z = zigzag(r) and coded as symbol and raw bits:
//!   z < 8    symbol z, no raw bits
//!   else     symbol 4 + L, where L = length of z in bits (4 to 27), and the L - 1 low bits of z
//! ```

pub mod v2;
mod word;

pub(crate) use word::Word;

use crate::bits::{unzigzag, zigzag};
use crate::motion::STEP_CLASSES;
use crate::schema::OrientationKind;
use crate::snapshot::SnapshotError;

/// Symbols of every table.
pub const SYMBOLS: usize = 32;
/// Age classes of the tables for knots.
pub const CLASSES: usize = 8;
/// Longest code in bits.
pub const CODE_BITS_MAX: u32 = 12;
/// Bits that one table look-up decides; longer codes are rare and searched for.
const FAST_BITS: u32 = 8;

/// One prefix code, ready to encode and decode.
#[derive(Debug)]
pub struct Prefix {
    /// Per symbol: code with its first bit lowest, length in the top byte (0: no code).
    codes: [u32; SYMBOLS],
    /// Per next eight bits: symbol in the low byte, length in the high one (0: a longer code).
    fast: [u16; 1 << FAST_BITS],
}

/// Bits that were put together, to be appended in one go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) bits: u64,
    pub(crate) len: u32,
}

impl Prefix {
    /// The canonical code with these lengths.
    ///
    /// # Panics
    /// At compile time, when a length is above [`CODE_BITS_MAX`] or the code is not complete.
    #[must_use]
    pub const fn new(lengths: &[u8; SYMBOLS]) -> Self {
        let mut prefix = Self { codes: [0; SYMBOLS], fast: [0; 1 << FAST_BITS] };
        let mut next = 0u32;
        let mut len = 1;
        while len <= CODE_BITS_MAX {
            let mut symbol = 0;
            while symbol < SYMBOLS {
                if lengths[symbol] as u32 == len {
                    prefix.set(symbol, next, len);
                    next += 1;
                }
                symbol += 1;
            }
            next <<= 1;
            len += 1;
        }
        assert!(next == 1 << (CODE_BITS_MAX + 1), "a code uses every bit pattern once");
        prefix
    }

    const fn set(&mut self, symbol: usize, code: u32, len: u32) {
        let first_lowest = code.reverse_bits() >> (32 - len);
        self.codes[symbol] = first_lowest | len << 24;
        if len <= FAST_BITS {
            let mut pattern = first_lowest as usize;
            while pattern < 1 << FAST_BITS {
                self.fast[pattern] = symbol as u16 | (len as u16) << 8;
                pattern += 1 << len;
            }
        }
    }

    /// The code of a symbol, if it has one.
    #[inline]
    pub(crate) const fn symbol(&self, symbol: usize) -> Option<Piece> {
        let code = self.codes[symbol];
        let len = code >> 24;
        if len == 0 { None } else { Some(Piece { bits: (code & 0xff_ffff) as u64, len }) }
    }

    /// The code of a signed residual, if it has one: at most 12 + 26 bits.
    #[inline]
    pub(crate) fn residual(&self, residual: i32) -> Option<Piece> {
        let (symbol, raw) = residual_symbol(residual)?;
        let head = self.symbol(symbol)?;
        let low = u64::from(zigzag(residual)) & ((1 << raw) - 1);
        Some(Piece { bits: head.bits | low << head.len, len: head.len + raw })
    }

    /// Reads one symbol.
    ///
    /// # Errors
    /// When the code grows beyond 56 bits.
    #[inline]
    pub(crate) fn read_symbol(&self, word: &mut Word) -> Result<usize, SnapshotError> {
        let (symbol, len) = self.look_up(word.rest());
        word.skip(len)?;
        Ok(symbol)
    }

    #[inline]
    fn look_up(&self, next: u64) -> (usize, u32) {
        let fast = self.fast[next as usize & ((1 << FAST_BITS) - 1)];
        match fast >> 8 {
            0 => self.long(next),
            len => (usize::from(fast & 0xff), u32::from(len)),
        }
    }

    #[cold]
    fn long(&self, next: u64) -> (usize, u32) {
        let starts = |code: u32| {
            let len = code >> 24;
            len > FAST_BITS && next & ((1 << len) - 1) == u64::from(code & 0xff_ffff)
        };
        let symbol = self.codes.iter().position(|code| starts(*code));
        let symbol = symbol.expect("a complete code has a symbol for every bit pattern");
        (symbol, self.codes[symbol] >> 24)
    }

    /// Reads one signed residual.
    ///
    /// # Errors
    /// When the code grows beyond 56 bits.
    #[inline]
    pub(crate) fn read_residual(&self, word: &mut Word) -> Result<i32, SnapshotError> {
        let next = word.rest();
        let (symbol, len) = self.look_up(next);
        if symbol < 8 {
            word.skip(len)?;
            return Ok(unzigzag(symbol as u32));
        }
        let raw = symbol as u32 - 5;
        word.skip(len + raw)?;
        let low = (next >> len) as u32 & ((1 << raw) - 1);
        Ok(unzigzag(1 << raw | low))
    }
}

/// The symbol of a signed residual, and how many raw bits follow it; `None` beyond 2^26.
#[inline]
#[must_use]
pub const fn residual_symbol(residual: i32) -> Option<(usize, u32)> {
    let z = zigzag(residual);
    if z < 8 {
        return Some((z as usize, 0));
    }
    let raw = z.ilog2();
    let symbol = 5 + raw as usize;
    if symbol < SYMBOLS { Some((symbol, raw)) } else { None }
}

/// The codes for the states of knots of one age class.
#[derive(Debug)]
pub(crate) struct KnotCodes {
    pub(crate) head: Prefix,
    pub(crate) lag: Prefix,
    pub(crate) position_xy: Prefix,
    pub(crate) position_z: Prefix,
    pub(crate) velocity_xy: Prefix,
    pub(crate) velocity_z: Prefix,
    pub(crate) turn: TurnCodes,
}

/// The codes for the steps of knots of one class.
#[derive(Debug)]
pub(crate) struct StepCodes {
    pub(crate) head: Prefix,
    pub(crate) plane: Prefix,
    pub(crate) height: Prefix,
    pub(crate) turn: TurnCodes,
}

/// The codes for fixes.
#[derive(Debug)]
pub(crate) struct FixCodes {
    pub(crate) head: Prefix,
    pub(crate) lag: Prefix,
    pub(crate) plane: Prefix,
    pub(crate) altitude: Prefix,
    pub(crate) turn: TurnCodes,
}

/// The codes for changes of orientation, by the kind's orientation.
#[derive(Debug)]
pub(crate) struct TurnCodes {
    heading: Prefix,
    look: Prefix,
    quaternion: Prefix,
}

impl TurnCodes {
    const fn new(
        heading: &[u8; SYMBOLS],
        look: &[u8; SYMBOLS],
        quaternion: &[u8; SYMBOLS],
    ) -> Self {
        Self {
            heading: Prefix::new(heading),
            look: Prefix::new(look),
            quaternion: Prefix::new(quaternion),
        }
    }

    /// The code for a kind; that of headings for a kind without orientation, which never turns.
    pub(crate) const fn of(&self, kind: OrientationKind) -> &Prefix {
        match kind {
            OrientationKind::None | OrientationKind::Heading => &self.heading,
            OrientationKind::Look => &self.look,
            OrientationKind::Quaternion => &self.quaternion,
        }
    }
}

const fn knot_codes(class: usize) -> KnotCodes {
    KnotCodes {
        head: Prefix::new(&v2::HEAD[class]),
        lag: Prefix::new(&v2::LAG[class]),
        position_xy: Prefix::new(&v2::POSITION_XY[class]),
        position_z: Prefix::new(&v2::POSITION_Z[class]),
        velocity_xy: Prefix::new(&v2::VELOCITY_XY[class]),
        velocity_z: Prefix::new(&v2::VELOCITY_Z[class]),
        turn: TurnCodes::new(&v2::HEADING[class], &v2::LOOK[class], &v2::QUATERNION[class]),
    }
}

static KNOTS: [KnotCodes; CLASSES] = [
    knot_codes(0),
    knot_codes(1),
    knot_codes(2),
    knot_codes(3),
    knot_codes(4),
    knot_codes(5),
    knot_codes(6),
    knot_codes(7),
];

const fn step_codes(class: usize) -> StepCodes {
    StepCodes {
        head: Prefix::new(&v2::STEP_HEAD[class]),
        plane: Prefix::new(&v2::STEP_PLANE[class]),
        height: Prefix::new(&v2::STEP_HEIGHT[class]),
        turn: TurnCodes::new(
            &v2::STEP_HEADING[class],
            &v2::STEP_LOOK[class],
            &v2::STEP_QUATERNION[class],
        ),
    }
}

static STEPS: [StepCodes; STEP_CLASSES] = [
    step_codes(0),
    step_codes(1),
    step_codes(2),
    step_codes(3),
    step_codes(4),
    step_codes(5),
    step_codes(6),
];

pub(crate) static FIXES: FixCodes = FixCodes {
    head: Prefix::new(&v2::FIX_HEAD),
    lag: Prefix::new(&v2::FIX_LAG),
    plane: Prefix::new(&v2::FIX_PLANE),
    altitude: Prefix::new(&v2::FIX_ALTITUDE),
    turn: TurnCodes::new(&v2::FIX_HEADING, &v2::FIX_LOOK, &v2::FIX_QUATERNION),
};

/// The class of a baseline that is `age` ticks old: 1, 2, 3, 4, 5-6, 7-9, 10-15, 16-31.
///
/// Older ones share the class of age 1: a page that was quiet for long changes by single knots.
#[must_use]
pub const fn class(age: u32) -> usize {
    match age {
        2 => 1,
        3 => 2,
        4 => 3,
        5..=6 => 4,
        7..=9 => 5,
        10..=15 => 6,
        16..=31 => 7,
        _ => 0,
    }
}

/// The codes for a baseline that is `age` ticks old.
#[inline]
pub(crate) fn knots(age: u32) -> &'static KnotCodes {
    &KNOTS[class(age)]
}

/// The codes for what follows a knot, by [`crate::motion::Knot::step_class`].
#[inline]
pub(crate) fn steps(class: usize) -> &'static StepCodes {
    &STEPS[class]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bits::{BitReader, BitWriter};
    use crate::limits::AGE_MAX;

    fn all() -> impl Iterator<Item = &'static Prefix> {
        let knots = KNOTS.iter().flat_map(|k| {
            let six =
                [&k.head, &k.lag, &k.position_xy, &k.position_z, &k.velocity_xy, &k.velocity_z];
            six.into_iter().chain(turns(&k.turn))
        });
        let steps = STEPS
            .iter()
            .flat_map(|s| [&s.head, &s.plane, &s.height].into_iter().chain(turns(&s.turn)));
        let fixes = [&FIXES.head, &FIXES.lag, &FIXES.plane, &FIXES.altitude].into_iter();
        knots.chain(steps).chain(fixes).chain(turns(&FIXES.turn))
    }

    fn turns(codes: &'static TurnCodes) -> [&'static Prefix; 3] {
        [&codes.heading, &codes.look, &codes.quaternion]
    }

    fn read_back(piece: Piece, read: impl Fn(&mut Word) -> i32) -> i32 {
        let mut out = Vec::new();
        let mut w = BitWriter::new(&mut out);
        w.put(piece.bits, piece.len);
        w.put(0x55, 8);
        w.finish();
        let mut r = BitReader::new(&out);
        let mut word = Word::new(&r);
        let value = read(&mut word);
        assert_eq!(word.finish(&mut r), Ok(()));
        assert_eq!(r.take(8), Ok(0x55));
        value
    }

    #[test]
    fn every_symbol_of_every_table_survives() {
        for prefix in all() {
            for symbol in 0..SYMBOLS {
                if let Some(piece) = prefix.symbol(symbol) {
                    let got =
                        read_back(piece, |r| prefix.read_symbol(r).expect("long enough") as i32);
                    assert_eq!(got, symbol as i32);
                }
            }
        }
    }

    #[test]
    fn every_size_of_residual_survives() {
        let powers = (0..27).flat_map(|p| [1 << p, (1 << p) - 1, -(1 << p), 1 - (1 << p)]);
        for r in powers.chain([0, i32::MAX, i32::MIN]) {
            for prefix in all() {
                if let Some(piece) = prefix.residual(r) {
                    let got = read_back(piece, |b| prefix.read_residual(b).expect("long enough"));
                    assert_eq!(got, r);
                }
            }
        }
        assert!(knots(1).position_xy.residual(1 << 25).is_some());
        assert!(knots(1).position_xy.residual(1 << 26).is_none());
    }

    #[test]
    fn every_lag_within_an_age_has_a_code() {
        for age in 2..=u32::from(AGE_MAX) {
            let lag = &knots(age).lag;
            assert!((0..age as usize).all(|j| lag.symbol(j).is_some()), "age {age}");
        }
        assert!((0..SYMBOLS).all(|j| knots(32).lag.symbol(j).is_some()));
    }

    #[test]
    fn every_mask_has_a_code() {
        for age in 1..=32 {
            assert!((0..32).all(|mask| knots(age).head.symbol(mask).is_some()), "age {age}");
        }
        assert!((0..16).all(|mask| FIXES.head.symbol(mask).is_some()));
        for class in 0..STEP_CLASSES {
            assert!((0..14).all(|head| steps(class).head.symbol(head).is_some()), "class {class}");
        }
    }
}
