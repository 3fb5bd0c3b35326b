//! One page of a datagram: what a server says of up to 256 slots.
//!
//! ```text
//! base       '0' and 5 bits age (0: no base), or '1' and 16 bits of its tick
//! mixed      1 bit
//! skip       '0', or '1' and gaps: slots that this datagram does not speak of
//! leaves     '0', or '1', count - 1 in 8 bits and as many slots of 8 bits
//! records    '0', or '1', count - 1 in 8 bits, each: slot 8; enter: '0', or '1' and enter record;
//!            state
//! presence   slots that have a code, then the codes in the order of slots; when mixed, before
//!            each '0' for the page's base or '1' and 5 bits own age
//! fields     '0', or '1', count - 1 in 8 bits, each: slot 8 and fields
//! ```

use super::code::Code;
use super::presence::{Gaps, Presence, SlotSet};
use super::record::{Enter, Fields, write_enter, write_fields};
use super::state::{State, write_state};
use crate::bits::BitWriter;
use crate::limits::AGE_MAX;
use crate::schema::Kind;
use crate::space::Space;
use crate::units::Tick;

/// What one datagram says of one page. Reused from page to page; allocates only while it grows.
#[derive(Debug)]
pub struct Page {
    space: Space,
    tick: Tick,
    index: u8,
    base: Option<Tick>,
    skipped: SlotSet,
    leaves: SlotSet,
    records: Section,
    present: SlotSet,
    codes: Vec<Code>,
    /// Of the first so many codes: 0 for the page's base, else the age of their own.
    ages: Vec<u8>,
    code_bits: usize,
    mixed: usize,
    fields: Section,
}

/// Parts that were written in advance.
#[derive(Debug, Default)]
struct Section {
    bytes: Vec<u8>,
    bits: usize,
    count: usize,
}

impl Section {
    fn clear(&mut self) {
        self.bytes.clear();
        (self.bits, self.count) = (0, 0);
    }

    fn add(&mut self, write: impl FnOnce(&mut BitWriter<'_>)) {
        let mut bits = BitWriter::resume(&mut self.bytes, self.bits);
        write(&mut bits);
        self.bits = bits.bits_len();
        bits.finish();
        self.count += 1;
        assert!(self.count <= super::PAGE, "a slot is told once in a page");
    }

    const fn bits(&self) -> usize {
        if self.count == 0 { 1 } else { 9 + self.bits }
    }

    fn write(&self, out: &mut BitWriter<'_>) {
        out.flag(self.count > 0);
        if self.count > 0 {
            out.put(self.count as u64 - 1, 8);
            out.bits(&self.bytes, self.bits);
        }
    }
}

impl Page {
    /// An empty page of a world in this space.
    #[must_use]
    pub fn new(space: Space) -> Self {
        Self {
            space,
            tick: Tick(0),
            index: 0,
            base: None,
            skipped: SlotSet::EMPTY,
            leaves: SlotSet::EMPTY,
            records: Section::default(),
            present: SlotSet::EMPTY,
            codes: Vec::new(),
            ages: Vec::new(),
            code_bits: 0,
            mixed: 0,
            fields: Section::default(),
        }
    }

    /// Starts page number `index` of a datagram of `tick`, forgetting what it said before.
    ///
    /// `base` is the tick against which most codes are made.
    ///
    /// # Panics
    /// When `base` is not 1 to 65,535 ticks before `tick`: our own bug.
    pub fn start(&mut self, index: u8, tick: Tick, base: Option<Tick>) {
        let age = base.map(|base| tick.since(base));
        assert!(
            matches!(age, None | Some(Some(1..=0xffff))),
            "a base lies before its datagram, within 16 bits"
        );
        (self.index, self.tick, self.base) = (index, tick, base);
        (self.skipped, self.leaves, self.present) =
            (SlotSet::EMPTY, SlotSet::EMPTY, SlotSet::EMPTY);
        self.records.clear();
        self.fields.clear();
        self.codes.clear();
        self.ages.clear();
        (self.code_bits, self.mixed) = (0, 0);
    }

    /// This datagram does not speak of `slot`: its acknowledgement moves no baseline of it.
    pub const fn skip(&mut self, slot: u8) {
        self.skipped.add(slot);
    }

    /// The entity in `slot` has left.
    pub const fn leave(&mut self, slot: u8) {
        self.leaves.add(slot);
    }

    /// An entity enters into `slot`. `kind` is that of the record, and `state`'s orientation too.
    pub fn enter(&mut self, slot: u8, kind: &Kind, enter: &Enter<'_>, state: &State) {
        let (space, tick) = (self.space, self.tick);
        self.records.add(|bits| {
            bits.put(u64::from(slot) | 1 << 8, 9);
            write_enter(bits, kind, enter);
            write_state(bits, space, tick, state);
        });
    }

    /// The state in full of the entity in `slot`, where no code can say it.
    pub fn absolute(&mut self, slot: u8, state: &State) {
        let (space, tick) = (self.space, self.tick);
        self.records.add(|bits| {
            bits.put(u64::from(slot), 9);
            write_state(bits, space, tick, state);
        });
    }

    /// What changed in `slot` since the page's base. Slots come in rising order.
    #[inline]
    pub fn code(&mut self, slot: u8, code: Code) {
        debug_assert!(self.base.is_some(), "a code without a base has its own");
        self.push(slot, code);
    }

    /// What changed in `slot` since a baseline of its own, `age` ticks (1 to 31) before.
    ///
    /// # Panics
    /// When the age is another: our own bug.
    #[inline]
    pub fn code_since(&mut self, slot: u8, age: u8, code: Code) {
        assert!((1..=AGE_MAX).contains(&age), "an own baseline is 1 to 31 ticks old");
        self.mixed += 1;
        self.ages.resize(self.codes.len(), 0);
        self.ages.push(age);
        self.push(slot, code);
    }

    #[inline]
    fn push(&mut self, slot: u8, code: Code) {
        debug_assert!(self.present.highest() < Some(slot), "codes come in the order of slots");
        self.present.add(slot);
        self.codes.push(code);
        self.code_bits += code.len() as usize;
    }

    /// Fields of the entity in `slot` that changed.
    pub fn fields(&mut self, slot: u8, kind: &Kind, fields: &Fields<'_>) {
        self.fields.add(|bits| {
            bits.put(u64::from(slot), 8);
            write_fields(bits, kind, fields);
        });
    }

    /// Its number.
    #[must_use]
    pub const fn index(&self) -> u8 {
        self.index
    }

    /// The tick against which most of its codes are made.
    #[must_use]
    pub const fn base(&self) -> Option<Tick> {
        self.base
    }

    /// Has it nothing to say but that its slots stand?
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.codes.is_empty()
            && self.records.count + self.fields.count == 0
            && self.skipped.is_empty()
            && self.leaves.is_empty()
    }

    /// Its exact size, without the bits that name it.
    #[must_use]
    pub fn bits(&self) -> usize {
        self.bits_with(Presence::of(&self.present))
    }

    /// How it tells which slots have a code, and its exact size then.
    pub(super) fn measure(&self) -> (Presence, usize) {
        let presence = Presence::of(&self.present);
        (presence, self.bits_with(presence))
    }

    fn bits_with(&self, presence: Presence) -> usize {
        let base = if self.long_base().is_some() { 17 } else { 6 };
        let skip = if self.skipped.is_empty() { 1 } else { 1 + Gaps::of(&self.skipped).bits() };
        let leaves = match self.leaves.len() {
            0 => 1,
            count => 9 + 8 * count as usize,
        };
        let ages = if self.mixed > 0 { self.codes.len() + 5 * self.mixed } else { 0 };
        base + 1
            + skip
            + leaves
            + self.records.bits()
            + presence.bits()
            + self.code_bits
            + ages
            + self.fields.bits()
    }

    pub(super) const fn tick(&self) -> Tick {
        self.tick
    }

    pub(super) fn write(&self, presence: Presence, out: &mut BitWriter<'_>) {
        self.write_base(out);
        out.flag(self.mixed > 0);
        out.flag(!self.skipped.is_empty());
        if !self.skipped.is_empty() {
            Gaps::of(&self.skipped).write(&self.skipped, out);
        }
        self.write_leaves(out);
        self.records.write(out);
        presence.write(&self.present, out);
        self.write_codes(out);
        self.fields.write(out);
    }

    fn long_base(&self) -> Option<Tick> {
        self.base.filter(|base| self.tick.0 - base.0 > u32::from(AGE_MAX))
    }

    fn write_base(&self, out: &mut BitWriter<'_>) {
        match (self.base, self.long_base()) {
            (_, Some(base)) => out.put(1 | u64::from(base.low16()) << 1, 17),
            (Some(base), None) => out.put(u64::from(self.tick.0 - base.0) << 1, 6),
            (None, None) => out.put(0, 6),
        }
    }

    fn write_leaves(&self, out: &mut BitWriter<'_>) {
        out.flag(!self.leaves.is_empty());
        if !self.leaves.is_empty() {
            out.put(u64::from(self.leaves.len() - 1), 8);
            self.leaves.iter().for_each(|slot| out.put(u64::from(slot), 8));
        }
    }

    fn write_codes(&self, out: &mut BitWriter<'_>) {
        if self.mixed == 0 {
            let told = |code: &Code| (code.bits(), code.len());
            return out.put_pairs(self.code_bits, &self.codes, told);
        }
        let ages = self.ages.iter().copied().chain(std::iter::repeat(0));
        for (code, age) in self.codes.iter().zip(ages) {
            match age {
                0 => out.put(0, 1),
                age => out.put(1 | u64::from(age) << 1, 6),
            }
            out.put(code.bits(), code.len());
        }
    }
}
