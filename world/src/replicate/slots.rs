//! A session's snapshot table as the server keeps it: which entity is in which slot, and what of
//! it the client is known to hold.
//!
//! A slot's *baseline* is the tick of the newest acknowledged datagram that covered it. Datagrams
//! sent before the slot got its present meaning (an entity entered, or left) do not count: each
//! slot knows since when they do.
//!
//! Slots lie in blocks of 64, with a word of 64 bits for each property, so that a tick looks at 64
//! of them at a time. Nearly all slots have the same baseline, the tick of the newest datagram that
//! arrived: it is kept once for the block, and an acknowledgement moves it by one store. Slots
//! with another baseline are *odd* and keep their own.

use super::block::Past;
pub(crate) use super::block::{BLOCK, BLOCKS_PER_PAGE, Block, NO_BASE, NO_FLOOR, WordMask, bits};
use crate::entity::EntityIdx;
use crate::simd::{self, Level};
use starling_protocol::limits::SLOTS_MAX;
use starling_protocol::units::Tick;

/// What a slot means at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum SlotState {
    /// Nothing: it may be taken.
    Free,
    /// An entity whose enter is not acknowledged.
    Entering,
    /// An entity that the client holds.
    Held,
    /// An entity whose enter is under way on the bulk stream.
    Bulk,
    /// An entity that left; the leave is not acknowledged.
    Leaving,
    /// An entity that left while its enter is still under way on the bulk stream.
    BulkLeaving,
}

/// The slots of one session.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    blocks: Vec<Block>,
    /// Of each block what few ticks need.
    pasts: Vec<Past>,
    count: usize,
    leaving: usize,
    /// All that is to be told was, as of what stirred up to this tick; `None` when nobody looked
    /// since something changed here.
    calm: Option<Tick>,
}

impl Slots {
    /// Takes the lowest free slot for an entity that enters; `None` when the table is full.
    pub(crate) fn take(&mut self, entity: EntityIdx, now: Tick) -> Option<usize> {
        let slot = self.lowest_free()?;
        let block = &mut self.blocks[slot / BLOCK];
        block.used |= 1 << (slot % BLOCK);
        block.put(slot, entity);
        self.set_hunger(slot, 0);
        self.count += 1;
        self.set(slot, SlotState::Entering, now);
        Some(slot)
    }

    fn lowest_free(&mut self) -> Option<usize> {
        let blocks = self.blocks.len();
        if let Some(at) = self.blocks.iter().position(|block| block.used != u64::MAX) {
            return Some(at * BLOCK + self.blocks[at].used.trailing_ones() as usize);
        }
        if blocks * BLOCK >= SLOTS_MAX {
            return None;
        }
        if self.blocks.capacity() == blocks {
            self.blocks.reserve_exact(blocks.max(1));
            self.pasts.reserve_exact(blocks.max(1));
        }
        // The blocks of a page move together: what covers one covers all.
        let page = &self.blocks[blocks - blocks % BLOCKS_PER_PAGE..];
        let common = page.first().map_or(NO_BASE, Block::common);
        self.blocks.push(Block::new(common));
        self.pasts.push(Past::new());
        Some(blocks * BLOCK)
    }

    /// Takes up again the slot of an entity that left and is back before its leave was
    /// acknowledged. `born` is when it came into being: what left before was another of its index.
    pub(crate) fn revive(&mut self, entity: EntityIdx, born: Tick, now: Tick) -> Option<usize> {
        if self.leaving == 0 {
            return None;
        }
        let slot = self.find(entity, |block, past| block.leaving_since(past, born))?;
        let state = match self.state(slot) {
            SlotState::BulkLeaving => SlotState::Bulk,
            _ => SlotState::Entering,
        };
        self.set(slot, state, now);
        Some(slot)
    }

    /// The entity is not visible any more; `false` when it was not.
    pub(crate) fn depart(&mut self, entity: EntityIdx, now: Tick) -> bool {
        let Some(slot) = self.visible_slot(entity) else { return false };
        let state = match self.state(slot) {
            SlotState::Bulk => SlotState::BulkLeaving,
            _ => SlotState::Leaving,
        };
        self.set(slot, state, now);
        true
    }

    /// The slot of an entity among those that `of` names.
    fn find(&self, entity: EntityIdx, of: impl Fn(&Block, &Past) -> u64) -> Option<usize> {
        self.blocks.iter().zip(&self.pasts).enumerate().find_map(|(at, (block, past))| {
            let with = block.with(entity);
            let same = if with == 0 { 0 } else { with & of(block, past) };
            (same != 0).then(|| at * BLOCK + same.trailing_zeros() as usize)
        })
    }

    /// While nothing stirred after this tick there is nothing to tell, if somebody has looked.
    #[inline]
    pub(crate) fn calm(&self) -> Option<Tick> {
        self.calm
    }

    /// Somebody has looked: only what stirs after `floor` is to be told, if nothing else is.
    pub(super) fn set_calm(&mut self, floor: Tick, is_calm: bool) {
        self.calm = is_calm.then_some(floor);
    }

    /// Gives a slot another meaning; what was sent before this tick no longer counts for it.
    pub(crate) fn set(&mut self, slot: usize, state: SlotState, now: Tick) {
        self.calm = None;
        let block = &mut self.blocks[slot / BLOCK];
        let (at, bit) = (slot % BLOCK, 1 << (slot % BLOCK));
        self.leaving -= usize::from(block.leaving & bit != 0);
        let put = |word: &mut u64, on: bool| *word = *word & !bit | if on { bit } else { 0 };
        put(&mut block.entering, state == SlotState::Entering);
        put(&mut block.leaving, matches!(state, SlotState::Leaving | SlotState::BulkLeaving));
        put(&mut block.bulk, matches!(state, SlotState::Bulk | SlotState::BulkLeaving));
        self.leaving += usize::from(block.leaving & bit != 0);
        block.odd |= bit;
        let past = &mut self.pasts[slot / BLOCK];
        (past.bases[at], past.since[at]) = (NO_BASE, now);
    }

    /// The client holds the entity as of `base`.
    pub(crate) fn hold(&mut self, slot: usize, base: Tick) {
        self.calm = None;
        let block = &mut self.blocks[slot / BLOCK];
        let (at, bit) = (slot % BLOCK, 1 << (slot % BLOCK));
        block.entering &= !bit;
        block.bulk &= !bit;
        self.pasts[slot / BLOCK].bases[at] = base;
        block.lower_floor(base);
        block.odd |= bit;
        if base == block.common {
            block.odd &= !bit;
        }
    }

    /// Frees a slot.
    pub(crate) fn free(&mut self, slot: usize) {
        self.set(slot, SlotState::Held, Tick(0));
        let (block, bit) = (&mut self.blocks[slot / BLOCK], 1 << (slot % BLOCK));
        block.used &= !bit;
        block.odd &= !bit;
        self.count -= 1;
    }

    /// A datagram of `tick` that covered the pages `first` to `last`, but for the slots `skipped`
    /// (in order of words), has arrived. Slots whose leave it told are free.
    pub(crate) fn ack(
        &mut self,
        first: u8,
        last: u8,
        tick: Tick,
        skipped: impl Iterator<Item = WordMask>,
    ) {
        self.calm = None;
        let mut skipped = skipped.peekable();
        let first = usize::from(first) * BLOCKS_PER_PAGE;
        let end = (usize::from(last) + 1) * BLOCKS_PER_PAGE;
        for at in first..end.min(self.blocks.len()) {
            while skipped.next_if(|(word, _)| usize::from(*word) < at).is_some() {}
            let here = skipped.next_if(|(word, _)| usize::from(*word) == at);
            let left =
                self.blocks[at].ack(&mut self.pasts[at], tick, here.map_or(0, |(_, mask)| mask));
            for slot in bits(left) {
                self.free(at * BLOCK + slot);
            }
        }
    }

    /// The blocks in order.
    #[inline]
    #[must_use]
    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Begins to bring what a tick looks at.
    #[inline]
    pub(crate) fn fetch(&self) {
        simd::fetch_row(&self.blocks, BLOCKS_PER_PAGE * size_of::<Block>());
    }

    /// Begins to bring what an acknowledgement moves.
    #[inline]
    pub(crate) fn fetch_heads(&self) {
        self.blocks.iter().for_each(simd::fetch);
    }

    /// Which slots of a block changed.
    #[inline]
    #[must_use]
    pub(crate) fn changed(&self, at: usize, stirred: &[Tick], level: Level) -> u64 {
        self.blocks[at].changed(&self.pasts[at], stirred, level)
    }

    /// The slots in use, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.slots_of(Block::used)
    }

    /// The slots whose entity the client holds, in order.
    pub(crate) fn held(&self) -> impl Iterator<Item = usize> + '_ {
        self.slots_of(Block::held)
    }

    fn slots_of(&self, of: fn(&Block) -> u64) -> impl Iterator<Item = usize> + '_ {
        let blocks = self.blocks.iter().enumerate();
        blocks.flat_map(move |(at, block)| bits(of(block)).map(move |slot| at * BLOCK + slot))
    }

    /// Which entity.
    #[inline]
    #[must_use]
    pub(crate) fn entity(&self, slot: usize) -> EntityIdx {
        self.blocks[slot / BLOCK].entity(slot)
    }

    /// What it means.
    #[must_use]
    pub(crate) fn state(&self, slot: usize) -> SlotState {
        let (block, bit) = (&self.blocks[slot / BLOCK], 1 << (slot % BLOCK));
        let (bulk, leaving) = (block.bulk & bit != 0, block.leaving & bit != 0);
        match (bulk, leaving) {
            (true, true) => SlotState::BulkLeaving,
            (true, false) => SlotState::Bulk,
            (false, true) => SlotState::Leaving,
            (false, false) if block.entering & bit != 0 => SlotState::Entering,
            (false, false) if block.used & bit != 0 => SlotState::Held,
            (false, false) => SlotState::Free,
        }
    }

    /// Its baseline, or [`NO_BASE`].
    #[inline]
    #[must_use]
    pub(crate) fn base(&self, slot: usize) -> Tick {
        self.blocks[slot / BLOCK].base(slot, &self.pasts[slot / BLOCK])
    }

    /// Since when it has its present meaning.
    #[must_use]
    pub(crate) fn since(&self, slot: usize) -> Tick {
        self.pasts[slot / BLOCK].since[slot % BLOCK]
    }

    /// The slot of an entity, visible or leaving.
    #[must_use]
    pub(crate) fn slot_of(&self, entity: EntityIdx) -> Option<usize> {
        self.find(entity, |block, _| block.used())
    }

    /// How long it has waited.
    #[must_use]
    pub(crate) fn hunger(&self, slot: usize) -> u8 {
        self.pasts[slot / BLOCK].hunger[slot % BLOCK]
    }

    /// It waited once more, or got its place.
    pub(crate) fn set_hunger(&mut self, slot: usize, hunger: u8) {
        self.pasts[slot / BLOCK].hunger[slot % BLOCK] = hunger;
    }

    /// Everyone got a place.
    pub(crate) fn sate(&mut self) {
        self.pasts.iter_mut().for_each(|past| past.hunger.fill(0));
    }

    /// The slot in which the session sees this entity.
    #[must_use]
    pub(crate) fn visible_slot(&self, entity: EntityIdx) -> Option<usize> {
        self.find(entity, |block, _| block.visible())
    }

    /// Slots in use.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A datagram that covered one page has arrived.
    fn told(slots: &mut Slots, page: u8, tick: Tick, skipped: &[WordMask]) {
        slots.ack(page, page, tick, skipped.iter().copied());
    }

    #[test]
    fn the_lowest_free_slot_is_taken_first() {
        let mut slots = Slots::default();
        for i in 0..70 {
            assert_eq!(slots.take(EntityIdx(i), Tick(1)), Some(i as usize));
        }
        slots.free(3);
        slots.free(66);
        assert_eq!(slots.take(EntityIdx(100), Tick(2)), Some(3));
        assert_eq!(slots.take(EntityIdx(101), Tick(2)), Some(66));
        assert_eq!(slots.len(), 70);
        assert!(slots.iter().eq(0..70));
    }

    #[test]
    fn a_full_table_takes_no_more() {
        let mut slots = Slots::default();
        assert!((0..SLOTS_MAX as u32).all(|i| slots.take(EntityIdx(i), Tick(1)).is_some()));
        assert_eq!(slots.take(EntityIdx(0), Tick(1)), None);
    }

    #[test]
    fn an_acknowledgement_counts_from_when_the_slot_got_its_meaning() {
        let mut slots = Slots::default();
        let old = slots.take(EntityIdx(0), Tick(5)).expect("room");
        let new = slots.take(EntityIdx(1), Tick(9)).expect("room");
        told(&mut slots, 0, Tick(7), &[]);
        assert_eq!([slots.base(old), slots.base(new)], [Tick(7), NO_BASE]);
        assert_eq!([slots.state(old), slots.state(new)], [SlotState::Held, SlotState::Entering]);
        told(&mut slots, 0, Tick(9), &[(0, 1 << old)]);
        assert_eq!([slots.base(old), slots.base(new)], [Tick(7), Tick(9)]);
        told(&mut slots, 0, Tick(6), &[]);
        assert_eq!([slots.base(old), slots.base(new)], [Tick(7), Tick(9)], "never back");
        told(&mut slots, 0, Tick(8), &[]);
        assert_eq!([slots.base(old), slots.base(new)], [Tick(8), Tick(9)], "late, and newer");
        slots.set(old, SlotState::Leaving, Tick(12));
        told(&mut slots, 0, Tick(11), &[]);
        assert_eq!([slots.base(old), slots.base(new)], [NO_BASE, Tick(11)]);
        told(&mut slots, 0, Tick(12), &[]);
        assert_eq!(slots.state(old), SlotState::Free, "its leave arrived");
    }

    #[test]
    fn a_datagram_counts_for_the_pages_that_it_covers() {
        let mut slots = Slots::default();
        (0..600).for_each(|i| assert!(slots.take(EntityIdx(i), Tick(1)).is_some()));
        told(&mut slots, 1, Tick(3), &[]);
        let bases = [255, 256, 511, 512].map(|slot| slots.base(slot));
        assert_eq!(bases, [NO_BASE, Tick(3), Tick(3), NO_BASE]);
    }

    #[test]
    fn what_the_bulk_stream_brought_is_held_as_of_its_tick() {
        let mut slots = Slots::default();
        let slot = slots.take(EntityIdx(0), Tick(1)).expect("room");
        slots.set(slot, SlotState::Bulk, Tick(5));
        told(&mut slots, 0, Tick(7), &[(0, 1)]);
        slots.hold(slot, Tick(5));
        assert_eq!((slots.base(slot), slots.state(slot)), (Tick(5), SlotState::Held));
        told(&mut slots, 0, Tick(8), &[]);
        assert_eq!(slots.base(slot), Tick(8));
    }

    #[test]
    fn an_entity_that_comes_back_gets_its_slot_again() {
        let mut slots = Slots::default();
        slots.take(EntityIdx(0), Tick(1));
        let slot = slots.take(EntityIdx(7), Tick(1)).expect("room");
        assert_eq!(slots.revive(EntityIdx(7), Tick(0), Tick(2)), None, "it did not leave");
        assert!(slots.depart(EntityIdx(7), Tick(3)));
        assert!(slots.visible_slot(EntityIdx(7)).is_none() && !slots.depart(EntityIdx(7), Tick(3)));
        assert_eq!(slots.revive(EntityIdx(7), Tick(3), Tick(4)), None, "another of its index");
        assert_eq!(slots.revive(EntityIdx(7), Tick(0), Tick(4)), Some(slot));
        assert_eq!(slots.visible_slot(EntityIdx(7)), Some(slot));
        assert_eq!(slots.state(slot), SlotState::Entering);
    }
}
