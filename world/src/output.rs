//! What comes out of a world: one batch per tick or step.

use crate::input::ConnId;
use crate::journal::{Change, Query};
use starling_protocol::close::CloseCode;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::{EntityId, SessionId};
use std::ops::Range;

/// Everything that one tick or step wants done. Cleared by its reader, which keeps the memory.
#[derive(Debug, Default)]
pub struct Output {
    /// Payloads of datagrams and stream writes, one after another.
    pub arena: Vec<u8>,
    /// Stream bytes, in order; written before the datagrams so that both share packets.
    pub writes: Vec<Write>,
    /// Datagrams to send now.
    pub datagrams: Vec<Outgoing>,
    /// Connections to close, after their writes.
    pub closes: Vec<Close>,
    /// What happened, for log and metrics.
    pub notes: Vec<Note>,
    /// What is to be kept, in order: all of it or nothing.
    pub journal: Vec<Change>,
    /// What is asked of the store.
    pub queries: Vec<Query>,
}

/// Bytes for a stream.
#[derive(Clone, Debug)]
pub struct Write {
    /// To whom.
    pub conn: ConnId,
    /// On which stream.
    pub stream: StreamKind,
    /// Where in the arena: whole frames.
    pub bytes: Range<usize>,
}

/// One datagram.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// To whom.
    pub conn: ConnId,
    /// Where in the arena.
    pub bytes: Range<usize>,
}

/// A connection to close.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// Which.
    pub conn: ConnId,
    /// With this code.
    pub code: CloseCode,
}

/// Something a log or a counter wants to know. The core emits, the shell logs.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Note {
    /// A session began or was taken up again.
    Joined {
        /// Which.
        session: SessionId,
        /// On this connection.
        conn: ConnId,
        /// It was resumed.
        resumed: bool,
    },
    /// A session lost its connection and waits.
    Parked {
        /// Which.
        session: SessionId,
    },
    /// A session ended.
    Gone {
        /// Which.
        session: SessionId,
        /// Why.
        code: CloseCode,
    },
    /// A session ended because what it was granted was taken back.
    Revoked {
        /// Which.
        session: SessionId,
        /// Name of its token, which is good for nothing any more; empty in open mode, and where the
        /// tokens of its subject or its tenant were taken back as such.
        token: String,
    },
    /// A connection was refused.
    Refused {
        /// Which.
        conn: ConnId,
        /// Why.
        code: CloseCode,
    },
    /// What was accepted before [`Command::Settle`](crate::input::Command::Settle) is on stable
    /// storage, or will never be, and all answers are among the writes.
    Settled,
    /// An entity appeared.
    Spawned {
        /// Which.
        entity: EntityId,
    },
    /// An entity disappeared.
    Despawned {
        /// Which.
        entity: EntityId,
    },
}

impl Output {
    /// Empties everything and keeps the memory.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.writes.clear();
        self.datagrams.clear();
        self.closes.clear();
        self.notes.clear();
        self.journal.clear();
        self.queries.clear();
    }
}
