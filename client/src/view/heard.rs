//! What one datagram did.

use starling_protocol::snapshot::{Applied, Clock, Cover, Fold, Left};
use starling_protocol::units::{Slot, Tick};

/// What the last datagram did. Its lists are reused from datagram to datagram.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Its tick.
    pub tick: Tick,
    /// Low bits of its sequence.
    pub sequence: u8,
    /// What became of this session's uplinks.
    pub fold: Option<Fold>,
    /// The server's word on its clock.
    pub clock: Option<Clock>,
    /// The pages it spoke of; `None` for a bulk message.
    pub cover: Option<Cover>,
    /// Entities that left.
    pub left: Vec<Left>,
    /// Slots of entities that entered.
    pub entered: Vec<Slot>,
    /// Slots whose entity has a newer state.
    pub updated: Vec<Slot>,
    /// Slots whose fields or block were told.
    pub fields: Vec<Slot>,
}

impl Heard {
    pub(super) fn copy(&mut self, applied: &Applied<'_>) {
        (self.tick, self.sequence) = (applied.tick, applied.sequence);
        (self.fold, self.clock, self.cover) = (applied.fold, applied.clock, applied.cover);
        self.left.clear();
        self.left.extend_from_slice(applied.left());
        let lists = [
            (&mut self.entered, applied.entered()),
            (&mut self.updated, applied.updated()),
            (&mut self.fields, applied.fields()),
        ];
        for (mine, theirs) in lists {
            mine.clear();
            mine.extend_from_slice(theirs);
        }
    }
}

/// Counts the datagrams that did not arrive, by the holes in their sequence.
#[derive(Debug, Default)]
pub(super) struct Losses {
    newest: Option<(Tick, u8)>,
    pub(super) lost: u64,
}

impl Losses {
    /// Holes are counted within so many ticks only: eight bits say no more.
    const TICKS_MAX: u32 = 16;

    pub(super) fn note(&mut self, tick: Tick, sequence: u8) {
        let Some((newest_tick, newest)) = self.newest else {
            self.newest = Some((tick, sequence));
            return;
        };
        let ahead = sequence.wrapping_sub(newest);
        if tick < newest_tick || tick == newest_tick && ahead >= 128 {
            self.lost = self.lost.saturating_sub(1); // it was only late
            return;
        }
        if tick.0 - newest_tick.0 <= Self::TICKS_MAX {
            self.lost += u64::from(ahead.saturating_sub(1));
        }
        self.newest = Some((tick, sequence));
    }

    /// A new connection counts from anew.
    pub(super) const fn restart(&mut self) {
        self.newest = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_losses_until_they_are_filled() {
        let mut losses = Losses::default();
        for (tick, sequence) in [(1, 254), (2, 255), (3, 2), (4, 3)] {
            losses.note(Tick(tick), sequence);
        }
        assert_eq!(losses.lost, 2);
        losses.note(Tick(2), 0);
        assert_eq!(losses.lost, 1);
        losses.note(Tick(100), 90);
        assert_eq!(losses.lost, 1, "after a long silence nothing can be said");
    }
}
