//! The front of a snapshot datagram, and the two reports that may follow it.
//!
//! ```text
//! byte 0     bits 0-1 type = 0, 4 FOLD, 8 CLOCK, 16 CUES, 32 PARTIAL, 64 and 128 zero
//! bytes 1-2  tick, low 16 bits
//! byte 3     sequence of this datagram, low 8 bits
//! FOLD       newest 16; received: '1' all, or '0' and 32 bits; steps: 2 bits 0 all one, 1 all
//!            none, 2 fifteen times '0' one, '10' none, '110' two, '1110' 8 bits, '1111' 16 bits;
//!            applied: '0', or '1' and 16 bits
//! CLOCK      echo 16, hold 16, late 16
//! PARTIAL    first page 6, last page 6
//! ```

use super::SnapshotError;
use crate::bits::{BitReader, BitWriter};
use crate::limits::FOLD_TICKS;

/// Type of a snapshot datagram in the two low bits of its first byte.
pub const SNAPSHOT_TYPE: u8 = 0;
/// Units of [`Clock`] in a millisecond.
pub const CLOCK_UNITS_PER_MS: u32 = 16;

pub(super) const TYPE_MASK: u8 = 3;
pub(super) const FOLD: u8 = 4;
pub(super) const CLOCK: u8 = 8;
pub(super) const CUES: u8 = 16;
pub(super) const PARTIAL: u8 = 32;
pub(super) const RESERVED: u8 = 0xc0;
pub(super) const HEADER_BYTES: usize = 4;

const STEPS_ONE: u64 = 0;
const STEPS_NONE: u64 = 1;
const STEPS_LISTED: u64 = 2;

/// What became of this client's own datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fold {
    /// The newest uplink sequence that was folded, in this tick or before.
    pub newest: u16,
    /// Bit `i`: sequence newest - 1 - i was folded.
    pub received: u32,
    /// By how much the newest sequence rose in this tick, in the one before, and so on.
    ///
    /// So the newest sequence as of `i` ticks ago is `newest` less the first `i` steps.
    pub steps: [u16; FOLD_TICKS - 1],
    /// The newest numbered input that was applied to this client's avatar.
    pub applied: Option<u16>,
}

impl Fold {
    /// The newest sequence folded as of `ticks_ago` ticks before the datagram's.
    #[must_use]
    pub fn newest_at(&self, ticks_ago: usize) -> Option<u16> {
        let later = self.steps.get(..ticks_ago)?;
        Some(later.iter().fold(self.newest, |newest, step| newest.wrapping_sub(*step)))
    }
}

/// What a client needs to set its clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// The sequence of the uplink datagram that this answers.
    pub echo: u16,
    /// From its arrival to the sending of this one, in 1/16 ms; the greatest value means more.
    pub hold: u16,
    /// From the tick's deadline to the sending of this one, in 1/16 ms; the greatest means more.
    pub late: u16,
}

/// The pages that a datagram speaks of, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cover {
    /// First page.
    pub first: u8,
    /// Last page.
    pub last: u8,
}

impl Cover {
    /// Every page.
    pub const ALL: Self = Self { first: 0, last: super::PAGES_MAX as u8 - 1 };

    /// Is this page among them?
    #[must_use]
    pub const fn has(self, page: u8) -> bool {
        self.first <= page && page <= self.last
    }
}

pub(super) fn write_fold(bits: &mut BitWriter<'_>, fold: &Fold) {
    bits.put(u64::from(fold.newest), 16);
    bits.flag(fold.received == u32::MAX);
    if fold.received != u32::MAX {
        bits.put(u64::from(fold.received), 32);
    }
    match fold.steps {
        [1, ..] if fold.steps.iter().all(|s| *s == 1) => bits.put(STEPS_ONE, 2),
        [0, ..] if fold.steps.iter().all(|s| *s == 0) => bits.put(STEPS_NONE, 2),
        steps => {
            bits.put(STEPS_LISTED, 2);
            steps.iter().for_each(|step| write_step(bits, *step));
        }
    }
    bits.flag(fold.applied.is_some());
    if let Some(number) = fold.applied {
        bits.put(u64::from(number), 16);
    }
}

fn write_step(bits: &mut BitWriter<'_>, step: u16) {
    let wide = u64::from(step);
    match step {
        1 => bits.put(0b0, 1),
        0 => bits.put(0b01, 2),
        2 => bits.put(0b011, 3),
        3..256 => bits.put(wide << 4 | 0b0111, 12),
        256.. => bits.put(wide << 4 | 0b1111, 20),
    }
}

pub(super) fn read_fold(bits: &mut BitReader<'_>) -> Result<Fold, SnapshotError> {
    let newest = bits.take(16)? as u16;
    let received = if bits.flag()? { u32::MAX } else { bits.take(32)? as u32 };
    let mut steps = [0; FOLD_TICKS - 1];
    match bits.take(2)? {
        STEPS_ONE => steps.fill(1),
        STEPS_NONE => {}
        STEPS_LISTED => {
            for step in &mut steps {
                *step = read_step(bits)?;
            }
        }
        _ => return Err(SnapshotError::Malformed("an unknown way to list steps")),
    }
    let applied = if bits.flag()? { Some(bits.take(16)? as u16) } else { None };
    Ok(Fold { newest, received, steps, applied })
}

fn read_step(bits: &mut BitReader<'_>) -> Result<u16, SnapshotError> {
    let ones = bits.peek().trailing_ones().min(4);
    bits.skip((ones + 1).min(4))?;
    Ok(match ones {
        0 => 1,
        1 => 0,
        2 => 2,
        3 => bits.take(8)? as u16,
        _ => bits.take(16)? as u16,
    })
}

pub(super) fn write_clock(bits: &mut BitWriter<'_>, clock: &Clock) {
    let [echo, hold, late] = [clock.echo, clock.hold, clock.late].map(u64::from);
    bits.put(echo | hold << 16 | late << 32, 48);
}

pub(super) fn read_clock(bits: &mut BitReader<'_>) -> Result<Clock, SnapshotError> {
    let all = bits.take(48)?;
    Ok(Clock { echo: all as u16, hold: (all >> 16) as u16, late: (all >> 32) as u16 })
}

pub(super) fn write_cover(bits: &mut BitWriter<'_>, cover: Cover) {
    bits.put(u64::from(cover.first) | u64::from(cover.last) << 6, 12);
}

pub(super) fn read_cover(bits: &mut BitReader<'_>) -> Result<Cover, SnapshotError> {
    let all = bits.take(12)? as u16;
    let cover = Cover { first: (all & 0x3f) as u8, last: (all >> 6) as u8 };
    if cover.first > cover.last {
        return Err(SnapshotError::Malformed("a cover whose last page is before its first"));
    }
    Ok(cover)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fold() -> impl Strategy<Value = Fold> {
        let step = prop_oneof![Just(1u16), Just(0), Just(2), 3u16..300, any::<u16>()];
        let steps = prop_oneof![Just([1; 15]), Just([0; 15]), prop::array::uniform15(step)];
        let received = prop_oneof![Just(u32::MAX), any::<u32>()];
        (any::<u16>(), received, steps, any::<Option<u16>>()).prop_map(
            |(newest, received, steps, applied)| Fold { newest, received, steps, applied },
        )
    }

    proptest! {
        #[test]
        fn reports_survive(fold in fold(), echo: u16, hold: u16, late: u16, pages in (0u8..64, 0u8..64)) {
            let clock = Clock { echo, hold, late };
            let cover = Cover { first: pages.0.min(pages.1), last: pages.0.max(pages.1) };
            let mut out = Vec::new();
            let mut w = BitWriter::new(&mut out);
            write_fold(&mut w, &fold);
            write_clock(&mut w, &clock);
            write_cover(&mut w, cover);
            w.finish();
            let mut r = BitReader::new(&out);
            prop_assert_eq!(read_fold(&mut r)?, fold);
            prop_assert_eq!(read_clock(&mut r)?, clock);
            prop_assert_eq!(read_cover(&mut r)?, cover);
            prop_assert!(r.only_padding_left());
        }
    }

    #[test]
    fn a_steady_client_costs_twenty_bits() {
        let fold = Fold { newest: 9, received: u32::MAX, steps: [1; 15], applied: None };
        let mut out = Vec::new();
        let mut w = BitWriter::new(&mut out);
        write_fold(&mut w, &fold);
        assert_eq!(w.bits_len(), 20);
        assert_eq!(fold.newest_at(0), Some(9));
        assert_eq!(fold.newest_at(15), Some(65_530));
        assert_eq!(fold.newest_at(16), None);
    }
}
