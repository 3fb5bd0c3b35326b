//! Sets of slots of one page.
//!
//! ```text
//! gaps       k 3; count - 1, 8 bits; each in rising order: g = slots passed over since the one
//!            before, as g >> k ones, a zero and the k low bits of g
//! presence   2 bits: 0 none; 1 bitmap: highest slot h 8, then a bit for each slot below h;
//!            2 gaps; 3 every slot up to h: h 8
//! ```

use super::SnapshotError;
use crate::bits::{BitReader, BitWriter, PUT_BITS_MAX};

/// Slots of one page, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotSet([u64; 4]);

impl SlotSet {
    /// No slot.
    pub const EMPTY: Self = Self([0; 4]);

    /// These slots.
    #[must_use]
    pub fn of(slots: impl IntoIterator<Item = u8>) -> Self {
        let mut set = Self::EMPTY;
        for slot in slots {
            set.add(slot);
        }
        set
    }

    /// Is this slot in it?
    #[inline]
    #[must_use]
    pub const fn has(&self, slot: u8) -> bool {
        self.0[(slot >> 6) as usize] >> (slot & 63) & 1 == 1
    }

    /// Adds a slot; true when it was not there.
    #[inline]
    pub const fn add(&mut self, slot: u8) -> bool {
        let fresh = !self.has(slot);
        self.0[(slot >> 6) as usize] |= 1 << (slot & 63);
        fresh
    }

    /// How many slots.
    #[must_use]
    pub const fn len(&self) -> u32 {
        let [a, b, c, d] = self.0;
        a.count_ones() + b.count_ones() + c.count_ones() + d.count_ones()
    }

    /// Is no slot in it?
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The highest slot.
    #[must_use]
    pub fn highest(&self) -> Option<u8> {
        let word = (0..4).rev().find(|w| self.0[*w] != 0)?;
        Some(word as u8 * 64 + self.0[word].ilog2() as u8)
    }

    /// The slots in rising order.
    pub fn iter(&self) -> impl Iterator<Item = u8> + use<> {
        Slots { words: self.0, at: 0 }
    }
}

/// What is left of a set, from the word `at` on.
struct Slots {
    words: [u64; 4],
    at: usize,
}

impl Iterator for Slots {
    type Item = u8;

    #[inline]
    fn next(&mut self) -> Option<u8> {
        while self.words.get(self.at) == Some(&0) {
            self.at += 1;
        }
        let left = self.words.get_mut(self.at)?;
        let slot = self.at as u8 * 64 + left.trailing_zeros() as u8;
        *left &= *left - 1;
        Some(slot)
    }

    /// Word by word, without asking at each slot whether its word ends.
    #[inline]
    fn fold<B, F: FnMut(B, u8) -> B>(self, init: B, mut each: F) -> B {
        let mut all = init;
        for (at, word) in self.words.into_iter().enumerate().skip(self.at) {
            let mut left = word;
            while left != 0 {
                all = each(all, at as u8 * 64 + left.trailing_zeros() as u8);
                left &= left - 1;
            }
        }
        all
    }
}

/// How a set is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    None,
    Bitmap { highest: u8 },
    Gaps(Gaps),
    All { highest: u8 },
}

/// A set as gaps: its parameter and its size in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gaps {
    k: u32,
    bits: usize,
}

impl Gaps {
    /// The gap list of a set that is not empty.
    pub(super) fn of(set: &SlotSet) -> Self {
        let count = set.len();
        let passed = u32::from(set.highest().unwrap_or_default()) + 1 - count;
        let k = (passed / count).checked_ilog2().map_or(0, |log| log.min(7));
        // Without low bits the quotients are the gaps, and their sum is known.
        let quotients = if k == 0 { passed } else { gaps(set).map(|gap| gap >> k).sum() };
        Self { k, bits: 11 + quotients as usize + count as usize * (1 + k as usize) }
    }

    pub(super) const fn bits(self) -> usize {
        self.bits
    }

    pub(super) fn write(self, set: &SlotSet, bits: &mut BitWriter<'_>) {
        bits.put(u64::from(self.k), 3);
        bits.put(u64::from(set.len() - 1), 8);
        let low = |gap: u32| u64::from(gap) & ((1 << self.k) - 1);
        let fits = |gap: u32| (gap >> self.k) + 1 + self.k <= PUT_BITS_MAX;
        if gaps(set).all(fits) {
            let one = |gap: u32| {
                let ones = gap >> self.k;
                (((1 << ones) - 1) | low(gap) << (ones + 1), ones + 1 + self.k)
            };
            return bits.put_all(self.bits - 11, gaps(set).map(one));
        }
        for gap in gaps(set) {
            let mut ones = gap >> self.k;
            while ones >= 32 {
                bits.put(0xffff_ffff, 32);
                ones -= 32;
            }
            bits.put((1 << ones) - 1, ones + 1);
            bits.put(low(gap), self.k);
        }
    }
}

/// Slots passed over before each slot of a set.
fn gaps(set: &SlotSet) -> impl Iterator<Item = u32> {
    let mut next = 0;
    set.iter().map(move |slot| {
        let gap = u32::from(slot) - next;
        next = u32::from(slot) + 1;
        gap
    })
}

pub(super) fn read_gaps(bits: &mut BitReader<'_>) -> Result<SlotSet, SnapshotError> {
    let k = bits.take(3)? as u32;
    let count = bits.take(8)? as u32 + 1;
    let mut set = SlotSet::EMPTY;
    let mut next = 0;
    for _ in 0..count {
        let slot = next + read_gap(bits, k)?;
        let slot =
            u8::try_from(slot).map_err(|_| SnapshotError::Malformed("a slot beyond the page"))?;
        set.add(slot);
        next = u32::from(slot) + 1;
    }
    Ok(set)
}

fn read_gap(bits: &mut BitReader<'_>, k: u32) -> Result<u32, SnapshotError> {
    let mut quotient = 0;
    loop {
        let ones = bits.peek().trailing_ones().min(32);
        quotient += ones;
        if quotient > 255 {
            return Err(SnapshotError::Malformed("a slot beyond the page"));
        }
        bits.skip(ones)?;
        if ones < 32 {
            bits.skip(1)?;
            return Ok(quotient << k | bits.take(k)? as u32);
        }
    }
}

impl Presence {
    /// The cheapest way to tell a set.
    pub(super) fn of(set: &SlotSet) -> Self {
        let Some(highest) = set.highest() else { return Self::None };
        if set.len() == u32::from(highest) + 1 {
            return Self::All { highest };
        }
        let gaps = Gaps::of(set);
        if gaps.bits < 8 + usize::from(highest) {
            Self::Gaps(gaps)
        } else {
            Self::Bitmap { highest }
        }
    }

    pub(super) fn bits(self) -> usize {
        2 + match self {
            Self::None => 0,
            Self::Bitmap { highest } => 8 + usize::from(highest),
            Self::Gaps(gaps) => gaps.bits,
            Self::All { .. } => 8,
        }
    }

    pub(super) fn write(self, set: &SlotSet, bits: &mut BitWriter<'_>) {
        match self {
            Self::None => bits.put(0, 2),
            Self::Bitmap { highest } => {
                bits.put(1 | u64::from(highest) << 2, 10);
                let mut left = u32::from(highest);
                for word in set.0 {
                    let here = left.min(64);
                    bits.put(word & 0xffff_ffff & mask(here), here.min(32));
                    bits.put(word >> 32 & mask(here.saturating_sub(32)), here.saturating_sub(32));
                    left -= here;
                }
            }
            Self::Gaps(gaps) => {
                bits.put(2, 2);
                gaps.write(set, bits);
            }
            Self::All { highest } => bits.put(3 | u64::from(highest) << 2, 10),
        }
    }
}

const fn mask(bits: u32) -> u64 {
    if bits >= 64 { u64::MAX } else { (1 << bits) - 1 }
}

pub(super) fn read_presence(bits: &mut BitReader<'_>) -> Result<SlotSet, SnapshotError> {
    match bits.take(2)? {
        0 => Ok(SlotSet::EMPTY),
        1 => read_bitmap(bits),
        2 => read_gaps(bits),
        _ => {
            let highest = bits.take(8)? as u8;
            Ok(SlotSet::of(0..=highest))
        }
    }
}

fn read_bitmap(bits: &mut BitReader<'_>) -> Result<SlotSet, SnapshotError> {
    let highest = bits.take(8)? as u8;
    let mut set = SlotSet::EMPTY;
    let mut left = u32::from(highest);
    for word in &mut set.0 {
        let here = left.min(64);
        *word = bits.take(here.min(32))? | bits.take(here.saturating_sub(32))? << 32;
        left -= here;
    }
    set.add(highest);
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set() -> impl Strategy<Value = SlotSet> {
        let slots = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..256),
            (0u8..=255).prop_map(|h| (0..=h).collect()),
            prop::collection::vec(0u8..40, 0..20),
        ];
        slots.prop_map(|slots: Vec<u8>| SlotSet::of(slots))
    }

    proptest! {
        #[test]
        fn a_set_survives_every_way_of_telling_it(set in set()) {
            let presence = Presence::of(&set);
            let mut ways = vec![presence];
            if let Some(highest) = set.highest() {
                ways.extend([Presence::Bitmap { highest }, Presence::Gaps(Gaps::of(&set))]);
            }
            for way in ways {
                let mut out = Vec::new();
                let mut w = BitWriter::new(&mut out);
                way.write(&set, &mut w);
                prop_assert_eq!(w.bits_len(), way.bits());
                prop_assert!(way.bits() >= presence.bits());
                w.finish();
                let mut r = BitReader::new(&out);
                prop_assert_eq!(read_presence(&mut r)?, set);
                prop_assert!(r.only_padding_left());
            }
        }

        #[test]
        fn a_set_lists_its_slots_in_order(slots in prop::collection::btree_set(any::<u8>(), 0..256)) {
            let mut set = SlotSet::EMPTY;
            prop_assert!(slots.iter().all(|slot| set.add(*slot)));
            prop_assert!(slots.iter().all(|slot| !set.add(*slot)));
            prop_assert!(set.iter().eq(slots.iter().copied()));
            prop_assert_eq!(set.len() as usize, slots.len());
            prop_assert_eq!(set.highest(), slots.last().copied());
        }
    }
}
