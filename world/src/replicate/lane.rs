//! What one thread needs to write the datagrams of its share of sessions, used again every tick.

use super::Scene;
use super::due::Agenda;
use super::slots::WordMask;
use crate::counters::Counters;
use crate::entity::EntityIdx;
use crate::input::ConnId;
use crate::session::SessionIdx;
use crate::space::Cartesian;
use starling_protocol::limits::DATAGRAM_BYTES_MAX;
use starling_protocol::message::bulk::BulkDown;
use starling_protocol::snapshot::{BulkWriter, Page};
use starling_protocol::space::Space;
use std::ops::Range;

/// Working space and output of one share of sessions.
#[derive(Debug)]
pub(crate) struct Lane {
    /// What the session at hand is to be told.
    pub(crate) agenda: Agenda,
    /// Slots that the datagram at hand does not speak of.
    pub(crate) skipped: Vec<WordMask>,
    /// Slots whose enters go over the bulk stream.
    pub(crate) crowd: Vec<u16>,
    /// The page at hand.
    pub(crate) page: Page,
    /// The bulk message at hand.
    pub(crate) bulk: BulkWriter,
    /// Which slots found no place; see [`super::share`].
    pub(crate) share: super::share::Share,
    /// The datagram at hand: small, because a writer clears the room it takes.
    pub(crate) draft: Vec<u8>,
    /// Datagrams, one after another.
    pub(crate) arena: Vec<u8>,
    /// To whom, and where in the arena.
    pub(crate) datagrams: Vec<(ConnId, Range<usize>)>,
    /// Bulk messages.
    pub(crate) bulks: Vec<(SessionIdx, BulkDown)>,
    /// Where the session at hand looks from, and how far, where what is far away may wait.
    pub(crate) centres: Vec<(Cartesian, f64)>,
    /// Entities for which a session's table had no slot.
    pub(crate) turned_away: Vec<(SessionIdx, EntityIdx)>,
    /// What is counted.
    pub(crate) tally: Tally,
}

/// What replication counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Entities that entered a view.
    pub(crate) enters: u64,
    /// Entities that left a view.
    pub(crate) leaves: u64,
    /// Datagrams.
    pub(crate) datagrams: u64,
    /// Bytes of them.
    pub(crate) bytes: u64,
    /// Datagrams without news.
    pub(crate) heartbeats: u64,
    /// Codes appended.
    pub(crate) codes: u64,
    /// Records written.
    pub(crate) records: u64,
    /// Slots that found no place.
    pub(crate) skipped: u64,
    /// Slots that waited for the turn of their ring.
    pub(crate) deferred: u64,
    /// Entities that a full table could not take.
    pub(crate) exhausted: u64,
    /// Bulk messages.
    pub(crate) bulks: u64,
    /// Cues that expired before their datagram was acknowledged.
    pub(crate) cues_expired: u64,
}

impl Lane {
    /// A fresh one for a world in this space.
    #[must_use]
    pub(crate) fn new(space: Space) -> Self {
        Self {
            agenda: Agenda::default(),
            skipped: Vec::new(),
            crowd: Vec::new(),
            page: Page::new(space),
            bulk: BulkWriter::new(space),
            share: super::share::Share::default(),
            draft: Vec::with_capacity(DATAGRAM_BYTES_MAX + 64),
            arena: Vec::new(),
            datagrams: Vec::new(),
            bulks: Vec::new(),
            centres: Vec::new(),
            turned_away: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Sends the datagram at hand.
    pub(crate) fn send(&mut self, scene: &Scene<'_>, session: SessionIdx) {
        let Some(conn) = scene.sessions.get(session).and_then(|s| s.conn()) else { return };
        let start = self.arena.len();
        self.arena.extend_from_slice(&self.draft);
        self.tally.datagrams += 1;
        self.tally.bytes += self.draft.len() as u64;
        self.datagrams.push((conn, start..self.arena.len()));
    }

    /// Adds what was counted to the world's counters.
    pub(crate) fn report(&mut self, counters: &mut Counters) {
        let tally = std::mem::take(&mut self.tally);
        counters.enters += tally.enters;
        counters.leaves += tally.leaves;
        counters.datagrams += tally.datagrams;
        counters.datagram_bytes += tally.bytes;
        counters.heartbeats += tally.heartbeats;
        counters.codes_sent += tally.codes;
        counters.records += tally.records;
        counters.skipped += tally.skipped;
        counters.deferred += tally.deferred;
        counters.slots_exhausted += tally.exhausted;
        counters.bulks += tally.bulks;
        counters.cues_expired += tally.cues_expired;
    }
}
