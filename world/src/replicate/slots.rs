//! A session's snapshot table as the server keeps it: which entity is in which slot, and what of
//! it the client is known to hold.
//!
//! A slot's *baseline* is the tick of the newest acknowledged datagram that covered it. Datagrams
//! sent before the slot got its present meaning (an entity entered, or left) do not count: each
//! slot knows since when they do.

use crate::entity::EntityIdx;
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

impl SlotState {
    /// Does the session see the entity?
    #[must_use]
    pub(crate) const fn is_visible(self) -> bool {
        matches!(self, Self::Entering | Self::Held | Self::Bulk)
    }
}

/// No baseline: ticks begin with 1.
pub(crate) const NO_BASE: Tick = Tick(0);

/// The slots of one session, column by column.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    entities: Vec<EntityIdx>,
    bases: Vec<Tick>,
    since: Vec<Tick>,
    states: Vec<SlotState>,
    /// How long each has waited for a place in a datagram, weighted by nearness.
    hunger: Vec<u16>,
    used: Vec<u64>,
    count: usize,
    leaving: usize,
}

impl Slots {
    /// Takes the lowest free slot for an entity that enters; `None` when the table is full.
    pub(crate) fn take(&mut self, entity: EntityIdx, now: Tick) -> Option<usize> {
        let slot = self.lowest_free()?;
        self.used[slot / 64] |= 1 << (slot % 64);
        self.count += 1;
        self.entities[slot] = entity;
        self.hunger[slot] = 0;
        self.set(slot, SlotState::Entering, now);
        Some(slot)
    }

    fn lowest_free(&mut self) -> Option<usize> {
        if let Some(word) = self.used.iter().position(|word| *word != u64::MAX) {
            return Some(word * 64 + self.used[word].trailing_ones() as usize);
        }
        let len = self.states.len();
        if len >= SLOTS_MAX {
            return None;
        }
        self.used.push(0);
        self.entities.resize(len + 64, EntityIdx(0));
        self.bases.resize(len + 64, NO_BASE);
        self.since.resize(len + 64, Tick(u32::MAX));
        self.states.resize(len + 64, SlotState::Free);
        self.hunger.resize(len + 64, 0);
        Some(len)
    }

    /// Takes up again the slot of an entity that left and is back before its leave was
    /// acknowledged.
    pub(crate) fn revive(&mut self, entity: EntityIdx, now: Tick) -> Option<usize> {
        if self.leaving == 0 {
            return None;
        }
        let slot = self.iter().find(|slot| {
            let state = self.states[*slot];
            let leaving = matches!(state, SlotState::Leaving | SlotState::BulkLeaving);
            leaving && self.entities[*slot] == entity
        })?;
        let state = match self.states[slot] {
            SlotState::BulkLeaving => SlotState::Bulk,
            _ => SlotState::Entering,
        };
        self.set(slot, state, now);
        Some(slot)
    }

    /// Gives a slot another meaning; what was sent before this tick no longer counts for it.
    pub(crate) fn set(&mut self, slot: usize, state: SlotState, now: Tick) {
        let leaving =
            |state| usize::from(matches!(state, SlotState::Leaving | SlotState::BulkLeaving));
        self.leaving = self.leaving + leaving(state) - leaving(self.states[slot]);
        self.states[slot] = state;
        self.bases[slot] = NO_BASE;
        self.since[slot] = now;
    }

    /// The client holds the entity as of `base`.
    pub(crate) fn hold(&mut self, slot: usize, base: Tick) {
        self.states[slot] = SlotState::Held;
        self.bases[slot] = base;
    }

    /// Frees a slot.
    pub(crate) fn free(&mut self, slot: usize) {
        self.set(slot, SlotState::Free, Tick(u32::MAX));
        self.used[slot / 64] &= !(1 << (slot % 64));
        self.count -= 1;
    }

    /// A datagram of `tick` that covered the slots `first..end`, but for `skipped`, has arrived.
    pub(crate) fn ack(&mut self, first: usize, end: usize, tick: Tick, skipped: &[(u16, Tick)]) {
        let end = end.min(self.states.len());
        if first >= end {
            return;
        }
        // Skipped slots are put back afterwards, so that the loop over all is without branches.
        let bases = &mut self.bases[first..end];
        for (base, since) in bases.iter_mut().zip(&self.since[first..end]) {
            let newer = if *since <= tick { tick } else { NO_BASE };
            *base = (*base).max(newer);
        }
        for &(slot, before) in skipped {
            self.bases[usize::from(slot)] = before;
        }
    }

    /// The slots in use, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.used.iter().enumerate().flat_map(|(word, used)| {
            let mut left = *used;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros() as usize;
                left &= left.wrapping_sub(1);
                (bit < 64).then_some(word * 64 + bit)
            })
        })
    }

    /// How many words of 64 slots there are.
    #[must_use]
    pub(crate) fn words(&self) -> usize {
        self.used.len()
    }

    /// Which of 64 slots are in use: for loops that change slots as they go.
    #[must_use]
    pub(crate) fn word(&self, word: usize) -> u64 {
        self.used[word]
    }

    /// Which entity.
    #[inline]
    #[must_use]
    pub(crate) fn entity(&self, slot: usize) -> EntityIdx {
        self.entities[slot]
    }

    /// What it means.
    #[inline]
    #[must_use]
    pub(crate) fn state(&self, slot: usize) -> SlotState {
        self.states[slot]
    }

    /// Its baseline, or [`NO_BASE`].
    #[inline]
    #[must_use]
    pub(crate) fn base(&self, slot: usize) -> Tick {
        self.bases[slot]
    }

    /// How long it has waited.
    #[must_use]
    pub(crate) fn hunger(&self, slot: usize) -> u16 {
        self.hunger[slot]
    }

    /// It waited once more, or got its place.
    pub(crate) fn set_hunger(&mut self, slot: usize, hunger: u16) {
        self.hunger[slot] = hunger;
    }

    /// Everyone got a place.
    pub(crate) fn sate(&mut self) {
        self.hunger.fill(0);
    }

    /// Does the session see this entity?
    #[must_use]
    pub(crate) fn sees(&self, entity: EntityIdx) -> bool {
        let mut rows = self.entities.iter().zip(&self.states);
        rows.any(|(other, state)| *other == entity && state.is_visible())
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
        slots.ack(0, 256, Tick(7), &[]);
        assert_eq!([slots.base(old), slots.base(new)], [Tick(7), NO_BASE]);
        slots.ack(0, 256, Tick(9), &[(old as u16, Tick(7))]);
        assert_eq!([slots.base(old), slots.base(new)], [Tick(7), Tick(9)]);
        slots.ack(0, 256, Tick(6), &[]);
        assert_eq!([slots.base(old), slots.base(new)], [Tick(7), Tick(9)], "never back");
        slots.set(old, SlotState::Leaving, Tick(12));
        slots.ack(0, 256, Tick(11), &[]);
        assert_eq!(slots.base(old), NO_BASE);
    }

    #[test]
    fn an_entity_that_comes_back_gets_its_slot_again() {
        let mut slots = Slots::default();
        slots.take(EntityIdx(0), Tick(1));
        let slot = slots.take(EntityIdx(7), Tick(1)).expect("room");
        assert_eq!(slots.revive(EntityIdx(7), Tick(2)), None, "it did not leave");
        slots.set(slot, SlotState::Leaving, Tick(3));
        assert!(!slots.sees(EntityIdx(7)));
        assert_eq!(slots.revive(EntityIdx(7), Tick(4)), Some(slot));
        assert!(slots.sees(EntityIdx(7)));
        assert_eq!(slots.state(slot), SlotState::Entering);
    }
}
