//! 64 slots of a session's table, with a word of 64 bits for each property.

use crate::entity::EntityIdx;
use crate::simd::{self, Level};
use starling_protocol::limits::{PAGE_SLOTS, SLOTS_MAX};
use starling_protocol::units::Tick;

/// Slots of one block.
pub(crate) const BLOCK: usize = 64;
/// Blocks of one page.
pub(crate) const BLOCKS_PER_PAGE: usize = PAGE_SLOTS / BLOCK;

const _: () = assert!(BLOCK == u64::BITS as usize && SLOTS_MAX.is_multiple_of(BLOCK));

/// No baseline: ticks begin with 1.
pub(crate) const NO_BASE: Tick = Tick(0);
/// No baseline is older than this.
pub(crate) const NO_FLOOR: Tick = Tick(u32::MAX);

/// What every tick reads of 64 slots: five cache lines, the first of which says whether there is
/// more to read.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct Block {
    /// The baseline of every slot that is not odd.
    pub(super) common: Tick,
    /// No slot that is odd and held has an older baseline.
    floor: Tick,
    pub(super) used: u64,
    pub(super) entering: u64,
    pub(super) leaving: u64,
    pub(super) bulk: u64,
    pub(super) odd: u64,
    entities: [EntityIdx; BLOCK],
}

/// What only odd and hungry slots need.
#[derive(Clone, Debug)]
pub(crate) struct Past {
    /// Of odd slots.
    pub(super) bases: [Tick; BLOCK],
    pub(super) since: [Tick; BLOCK],
    /// How long each has waited for a place in a datagram, weighted by nearness.
    pub(super) hunger: [u8; BLOCK],
}

/// Some slots of one datagram: a word of the table, and which of its slots.
pub(crate) type WordMask = (u16, u64);

impl Past {
    pub(super) const fn new() -> Self {
        Self { bases: [NO_BASE; BLOCK], since: [Tick(0); BLOCK], hunger: [0; BLOCK] }
    }
}

impl Block {
    pub(super) fn new(common: Tick) -> Self {
        let (floor, entities) = (NO_FLOOR, [EntityIdx(0); BLOCK]);
        Self { common, floor, used: 0, entering: 0, leaving: 0, bulk: 0, odd: 0, entities }
    }

    /// The baseline of every slot that is not odd.
    #[inline]
    pub(crate) const fn common(&self) -> Tick {
        self.common
    }

    /// No held slot has an older baseline: while nothing stirred after it there is nothing to tell.
    #[inline]
    pub(crate) fn floor(&self) -> Tick {
        let even = self.held() & !self.odd;
        if even == 0 { self.floor } else { self.floor.min(self.common) }
    }

    /// A slot is held as of `base`.
    pub(super) fn lower_floor(&mut self, base: Tick) {
        self.floor = self.floor.min(base);
    }

    /// Slots that are not free.
    #[inline]
    pub(crate) const fn used(&self) -> u64 {
        self.used
    }

    /// Slots whose entity the session sees.
    #[inline]
    pub(crate) const fn visible(&self) -> u64 {
        self.used & !self.leaving
    }

    /// Slots whose entity the client holds.
    #[inline]
    pub(crate) const fn held(&self) -> u64 {
        self.used & !(self.entering | self.leaving | self.bulk)
    }

    /// Slots whose enter is to be told by datagrams.
    #[inline]
    pub(crate) const fn entering(&self) -> u64 {
        self.entering
    }

    /// Slots whose leave is to be told by datagrams.
    #[inline]
    pub(crate) const fn leaving(&self) -> u64 {
        self.leaving & !self.bulk
    }

    /// Slots whose entity left after `born`.
    pub(super) fn leaving_since(&self, past: &Past, born: Tick) -> u64 {
        let late = bits(self.leaving).filter(|slot| past.since[*slot] > born);
        late.fold(0, |late, slot| late | 1 << slot)
    }

    /// Slots that belong to the bulk stream for now.
    #[inline]
    pub(crate) const fn bulk(&self) -> u64 {
        self.bulk
    }

    /// Slots with a baseline of their own.
    #[inline]
    pub(crate) const fn odd(&self) -> u64 {
        self.odd
    }

    /// Which entity is in a slot.
    #[inline]
    pub(crate) const fn entity(&self, slot: usize) -> EntityIdx {
        self.entities[slot % BLOCK]
    }

    /// Puts an entity into a slot.
    pub(super) const fn put(&mut self, slot: usize, entity: EntityIdx) {
        self.entities[slot % BLOCK] = entity;
    }

    /// The slots in which an entity is, or was before they were free.
    pub(super) fn with(&self, entity: EntityIdx) -> u64 {
        simd::same(&self.entities, entity)
    }

    /// The baseline of a slot, or [`NO_BASE`].
    #[inline]
    pub(crate) const fn base(&self, slot: usize, past: &Past) -> Tick {
        if self.odd >> (slot % BLOCK) & 1 == 1 { past.bases[slot % BLOCK] } else { self.common }
    }

    /// Held slots of which there is news: their entity stirred after their baseline.
    #[inline]
    pub(crate) fn changed(&self, past: &Past, stirred: &[Tick], level: Level) -> u64 {
        let held = self.held();
        let mut changed =
            simd::newer(level, &self.entities, held & !self.odd, stirred, self.common);
        for slot in bits(held & self.odd) {
            let news = stirred[self.entities[slot].at()] > past.bases[slot];
            changed |= u64::from(news) << slot;
        }
        changed
    }

    /// A datagram of `tick` that did not skip the slots `counts` has arrived; returns those whose
    /// leave it told.
    fn settle(&mut self, past: &mut Past, counts: u64, tick: Tick) -> u64 {
        let mut left = 0;
        for slot in bits(self.odd & counts & !self.bulk) {
            let bit = 1 << slot;
            if past.since[slot] <= tick && past.bases[slot] < tick {
                past.bases[slot] = tick;
                self.entering &= !bit;
                left |= self.leaving & bit;
            }
            if past.bases[slot] == self.common {
                self.odd &= !bit;
            }
        }
        self.floor = if self.odd & self.held() == 0 { NO_FLOOR } else { self.floor.min(tick) };
        left
    }

    /// A datagram of `tick` that did not speak of the slots `skipped` has arrived; returns those
    /// whose leave it told.
    pub(super) fn ack(&mut self, past: &mut Past, tick: Tick, skipped: u64) -> u64 {
        if tick > self.common {
            let kept = self.used & skipped & !self.odd;
            for slot in bits(kept) {
                past.bases[slot] = self.common;
            }
            if kept != 0 {
                self.lower_floor(self.common);
            }
            self.odd |= kept;
            self.common = tick;
        }
        if self.odd == 0 { 0 } else { self.settle(past, !skipped, tick) }
    }
}

/// The bits of a word that are set, lowest first.
#[inline]
pub(crate) fn bits(word: u64) -> impl Iterator<Item = usize> {
    let mut left = word;
    std::iter::from_fn(move || {
        let bit = left.trailing_zeros() as usize;
        left &= left.wrapping_sub(1);
        (bit < BLOCK).then_some(bit)
    })
}
