//! What a session is to be told in this tick.

use super::slots::{NO_BASE, SlotState, Slots};
use starling_protocol::limits::ENTERS_PER_DATAGRAM_TICK_MAX;
use starling_protocol::units::Tick;

/// A baseline older than this is told anew: datagrams name it by 16 bits.
const BASE_TICKS_MAX: u32 = 60_000;

/// What is to be told of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// The entity left.
    Leave,
    /// An entity entered.
    Enter,
    /// Something changed since the slot's baseline.
    Change,
}

/// One slot of which something is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// Which.
    pub(crate) slot: u16,
    /// What.
    pub(crate) news: News,
}

/// What a session is to be told, and what it must not be thought to know.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    /// In order of slot.
    pub(crate) due: Vec<Due>,
    /// Slots of which no datagram may speak: their enters are on the bulk stream.
    pub(crate) withheld: Vec<u16>,
    enters: usize,
}

impl Agenda {
    /// Goes through the slots of a session; frees those whose leave has arrived.
    pub(crate) fn collect(&mut self, slots: &mut Slots, stirred: &[Tick], now: Tick) {
        self.due.clear();
        self.withheld.clear();
        self.enters = 0;
        for word in 0..slots.words() {
            let mut used = slots.word(word);
            while used != 0 {
                let slot = word * 64 + used.trailing_zeros() as usize;
                used &= used - 1;
                let base = slots.base(slot);
                let news = match slots.state(slot) {
                    SlotState::Held => {
                        if stirred[slots.entity(slot).at()] <= base {
                            continue;
                        }
                        changed(base, now)
                    }
                    SlotState::Entering if base == NO_BASE => News::Enter,
                    SlotState::Entering => {
                        slots.hold(slot, base);
                        if stirred[slots.entity(slot).at()] <= base {
                            continue;
                        }
                        changed(base, now)
                    }
                    SlotState::Leaving if base == NO_BASE => News::Leave,
                    SlotState::Leaving => {
                        slots.free(slot);
                        continue;
                    }
                    SlotState::Bulk | SlotState::BulkLeaving => {
                        self.withheld.push(slot as u16);
                        continue;
                    }
                    SlotState::Free => continue,
                };
                self.enters += usize::from(news == News::Enter);
                self.due.push(Due { slot: slot as u16, news });
            }
        }
    }

    /// Are there more enters than datagrams should carry?
    #[must_use]
    pub(crate) fn is_crowd(&self) -> bool {
        self.enters > ENTERS_PER_DATAGRAM_TICK_MAX
    }

    /// The parts of both lists that concern one page.
    #[must_use]
    pub(crate) fn page(&self, page: u8) -> (&[Due], &[u16]) {
        let (from, to) = (u16::from(page) << 8, u16::from(page) << 8 | 0xff);
        let due = &self.due[self.due.partition_point(|d| d.slot < from)..];
        let due = &due[..due.partition_point(|d| d.slot <= to)];
        let withheld = &self.withheld[self.withheld.partition_point(|s| *s < from)..];
        (due, &withheld[..withheld.partition_point(|s| *s <= to)])
    }

    /// The first page from `page` on of which either list speaks.
    #[must_use]
    pub(crate) fn next_page(&self, page: u8) -> Option<u8> {
        let from = u16::from(page) << 8;
        let due = self.due.get(self.due.partition_point(|d| d.slot < from)).map(|d| d.slot);
        let withheld = self.withheld.get(self.withheld.partition_point(|s| *s < from)).copied();
        due.into_iter().chain(withheld).min().map(|slot| (slot >> 8) as u8)
    }
}

fn changed(base: Tick, now: Tick) -> News {
    if now.0 - base.0 > BASE_TICKS_MAX { News::Enter } else { News::Change }
}

/// The baseline that most changes of a page share.
#[must_use]
pub(crate) fn common_base(due: &[Due], slots: &Slots) -> Option<Tick> {
    let mut candidate = None;
    let mut lead = 0u32;
    for item in due.iter().filter(|item| item.news == News::Change) {
        let base = slots.base(usize::from(item.slot));
        if lead == 0 {
            candidate = Some(base);
        }
        if candidate == Some(base) {
            lead += 1;
        } else {
            lead -= 1;
        }
    }
    candidate
}
