//! Cues: what happened at a moment, of use for a few ticks only. A shot, a hit, a horn.
//!
//! A cue is kept once for the world and named by reference in the queue of each session that gets
//! it. It rides in that session's datagrams until one of them is acknowledged or its life is over:
//! delivered once and in time, or not at all (P17).

mod route;

use crate::checksum::Checksum;
use crate::entity::EntityIdx;
use crate::session::SessionIdx;
use starling_protocol::limits::{CUE_BYTES_MAX, CUE_TICKS_MAX, CUES_PENDING_MAX};
use starling_protocol::planted::{self, Bug};
use starling_protocol::snapshot::{Cue, cue_bits};
use starling_protocol::space::IPos;
use starling_protocol::units::{EntityId, Tick, newer16};

/// Ticks for which the book keeps a cue: the longest life, and the tick itself.
const BOOK_TICKS: usize = CUE_TICKS_MAX as usize + 1;
/// Cues of clients in one tick of one world.
const CUES_PER_TICK_MAX: usize = 1_024;
/// Bits of a datagram that tell how many cues follow.
const COUNT_BITS: usize = 4;

/// A cue as it was given.
#[derive(Clone, Debug)]
pub(crate) struct GivenCue {
    pub(crate) life: u8,
    pub(crate) kind: u8,
    pub(crate) source: Option<EntityId>,
    pub(crate) position: Option<IPos>,
    len: u8,
    payload: [u8; CUE_BYTES_MAX],
}

impl GivenCue {
    /// `None` when the payload or the life is beyond its limit.
    pub(crate) fn new(kind: u8, life: u8, payload: &[u8]) -> Option<Self> {
        let mut bytes = [0; CUE_BYTES_MAX];
        bytes.get_mut(..payload.len())?.copy_from_slice(payload);
        let len = payload.len() as u8;
        let lives = u32::from(life) <= CUE_TICKS_MAX;
        lives.then_some(Self { life, kind, source: None, position: None, len, payload: bytes })
    }
}

/// Names a cue of the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CueRef {
    tick: Tick,
    index: u32,
}

/// The cues of the last few ticks.
#[derive(Debug, Default)]
pub(crate) struct CueBook {
    ticks: [Vec<GivenCue>; BOOK_TICKS],
    /// Cues of this tick for whoever sees an entity.
    pub(crate) watched: Vec<(CueRef, EntityIdx)>,
    /// Deliveries that this tick may still queue: as many as all queues together can hold.
    pub(crate) deliveries: usize,
    /// Working space: to whom the cue at hand goes.
    pub(crate) recipients: Vec<SessionIdx>,
}

impl CueBook {
    /// Begins a tick: forgets those that are as old as a cue can be.
    pub(crate) fn begin(&mut self, now: Tick, sessions: usize) {
        self.ticks[now.0 as usize % BOOK_TICKS].clear();
        self.watched.clear();
        self.deliveries = (sessions + 1) * CUES_PENDING_MAX;
    }

    /// Were so many given in this tick that clients' cues have to wait?
    pub(crate) fn is_full(&self, now: Tick) -> bool {
        self.ticks[now.0 as usize % BOOK_TICKS].len() >= CUES_PER_TICK_MAX
    }

    pub(crate) fn push(&mut self, cue: GivenCue, now: Tick) -> CueRef {
        let cues = &mut self.ticks[now.0 as usize % BOOK_TICKS];
        cues.push(cue);
        CueRef { tick: now, index: cues.len() as u32 - 1 }
    }

    fn find(&self, cue: CueRef) -> Option<&GivenCue> {
        self.ticks[cue.tick.0 as usize % BOOK_TICKS].get(cue.index as usize)
    }
}

/// A cue on its way to one session.
#[derive(Clone, Copy, Debug)]
struct Pending {
    cue: CueRef,
    id: u8,
    /// Its bit in the masks that sent datagrams keep.
    bit: u8,
    /// Sequence of the first datagram that can have carried it.
    since: u32,
    expires: Tick,
}

/// The cues on their way to one session, oldest first.
#[derive(Debug, Default)]
pub(crate) struct CueQueue {
    pending: Vec<Pending>,
    used: u64,
    next_id: u8,
}

const _: () = assert!(CUES_PENDING_MAX <= u64::BITS as usize);

impl CueQueue {
    /// Queues a cue for the datagrams from `sequence` on; `false` when too many wait.
    pub(crate) fn push(&mut self, book: &CueBook, cue: CueRef, sequence: u32) -> bool {
        let Some(given) = book.find(cue) else { return false };
        if self.pending.len() >= CUES_PENDING_MAX {
            return false;
        }
        if self.pending.capacity() == 0 {
            self.pending.reserve_exact(CUES_PENDING_MAX);
        }
        let bit = self.used.trailing_ones() as u8;
        self.used |= 1 << bit;
        let id = self.free_id();
        let expires = cue.tick + u32::from(given.life);
        self.pending.push(Pending { cue, id, bit, since: sequence, expires });
        true
    }

    /// The next number that no waiting cue has.
    fn free_id(&mut self) -> u8 {
        while self.pending.iter().any(|p| p.id == self.next_id) {
            self.next_id = self.next_id.wrapping_add(1);
        }
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        id
    }

    /// Drops what is of no use any more; returns how many.
    pub(crate) fn expire(&mut self, now: Tick) -> u64 {
        let late = if planted::is(Bug::CueLate) { 40 } else { 0 };
        self.remove(|pending| pending.expires + late < now)
    }

    /// A datagram with these cues arrived.
    pub(crate) fn arrived(&mut self, sequence: u32, mask: u64) {
        if mask != 0 {
            self.remove(|p| {
                mask >> p.bit & 1 == 1 && sequence.wrapping_sub(p.since) < u32::MAX / 2
            });
        }
    }

    fn remove(&mut self, gone: impl Fn(&Pending) -> bool) -> u64 {
        let before = self.pending.len();
        let used = &mut self.used;
        self.pending.retain(|pending| {
            let goes = gone(pending);
            if goes {
                *used &= !(1 << pending.bit);
            }
            !goes
        });
        (before - self.pending.len()) as u64
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// The cues as datagrams carry them.
    pub(crate) fn iter<'a>(&'a self, book: &'a CueBook) -> impl Iterator<Item = Cue<'a>> {
        self.pending.iter().filter_map(|pending| {
            let given = book.find(pending.cue)?;
            Some(Cue {
                id: pending.id,
                tick: pending.cue.tick,
                life: given.life,
                kind: given.kind,
                source: given.source,
                position: given.position,
                payload: &given.payload[..usize::from(given.len)],
            })
        })
    }

    /// Room that they take in a datagram.
    pub(crate) fn bits(&self, book: &CueBook) -> usize {
        if self.pending.is_empty() {
            return 0;
        }
        COUNT_BITS + self.iter(book).map(|cue| cue_bits(&cue)).sum::<usize>()
    }

    /// The first so many, as a mask.
    pub(crate) fn first(&self, count: usize) -> u64 {
        self.pending.iter().take(count).fold(0, |mask, p| mask | 1 << p.bit)
    }
}

/// Which of a session's own cues were taken already: clients repeat theirs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CueIds {
    newest: Option<u16>,
    taken: u64,
}

impl CueIds {
    /// Notes an id; `false` when it was taken before, or is too old to tell.
    pub(crate) fn note(&mut self, id: u16) -> bool {
        if planted::is(Bug::CueTwice) {
            return true;
        }
        let Some(newest) = self.newest else {
            self.newest = Some(id);
            return true;
        };
        if newer16(id, newest) {
            let ahead = u32::from(id.wrapping_sub(newest));
            let shifted = self.taken.checked_shl(ahead).unwrap_or(0);
            self.taken = shifted | 1u64.checked_shl(ahead - 1).unwrap_or(0);
            self.newest = Some(id);
            return true;
        }
        let back = u32::from(newest.wrapping_sub(id));
        let bit = back.checked_sub(1).and_then(|shift| 1u64.checked_shl(shift));
        let fresh = bit.is_some_and(|bit| self.taken & bit == 0);
        self.taken |= bit.unwrap_or(0);
        fresh
    }

    /// Adds what is known to a checksum.
    pub(crate) fn add_to(self, sum: &mut Checksum) {
        sum.add(self.newest.map_or(0, |id| u64::from(id) + 1)).add(self.taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(life: u8) -> GivenCue {
        GivenCue::new(1, life, &[7; 3]).expect("within limits")
    }

    #[test]
    fn a_cue_rides_until_its_datagram_arrives() {
        let (mut book, mut queue) = (CueBook::default(), CueQueue::default());
        book.begin(Tick(5), 1);
        let cue = book.push(given(3), Tick(5));
        assert!(queue.push(&book, cue, 10));
        let mask = queue.first(1);
        queue.arrived(9, mask);
        assert_eq!(queue.iter(&book).count(), 1, "a datagram before it cannot have carried it");
        queue.arrived(10, mask);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_cue_rides_until_its_life_is_over() {
        let (mut book, mut queue) = (CueBook::default(), CueQueue::default());
        book.begin(Tick(5), 1);
        let cue = book.push(given(3), Tick(5));
        queue.push(&book, cue, 0);
        assert_eq!(queue.expire(Tick(8)), 0);
        assert_eq!(queue.expire(Tick(9)), 1);
        assert_eq!(queue.bits(&book), 0);
    }

    #[test]
    fn waiting_cues_have_different_numbers_and_a_most() {
        let (mut book, mut queue) = (CueBook::default(), CueQueue::default());
        book.begin(Tick(1), 1);
        let mut ids = std::collections::BTreeSet::new();
        for _ in 0..CUES_PENDING_MAX {
            let cue = book.push(given(15), Tick(1));
            assert!(queue.push(&book, cue, 0));
        }
        let cue = book.push(given(15), Tick(1));
        assert!(!queue.push(&book, cue, 0));
        ids.extend(queue.iter(&book).map(|cue| cue.id));
        assert_eq!(ids.len(), CUES_PENDING_MAX);
    }

    #[test]
    fn a_repeated_cue_is_taken_once() {
        let mut ids = CueIds::default();
        let fresh = [9, 9, 11, 10, 10, 9, 11, 100, 11].map(|id| ids.note(id));
        assert_eq!(fresh, [true, false, true, true, false, false, false, true, false]);
    }

    #[test]
    fn a_payload_or_a_life_beyond_its_limit_is_no_cue() {
        assert!(GivenCue::new(0, 3, &[0; CUE_BYTES_MAX + 1]).is_none());
        assert!(GivenCue::new(0, CUE_TICKS_MAX as u8 + 1, &[]).is_none());
    }
}
