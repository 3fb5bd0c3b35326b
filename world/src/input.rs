//! What goes into a world.

use crate::grants::Principal;
use crate::journal::News;
use serde::{Deserialize, Serialize};
use starling_protocol::limits::RESUME_TOKEN_BYTES;
use starling_protocol::message::bulk::BulkUp;
use starling_protocol::message::control::ControlUp;
use starling_protocol::message::events::EventUp;
use starling_protocol::message::host::HostUp;
use starling_protocol::units::{ChannelKey, ChannelPosition, SessionId};
use std::collections::BTreeSet;
use std::ops::Range;

/// The shell's name for a connection. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnId(pub u64);

/// Something that must not wait for a tick.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// An admitted connection wants a session.
    Attach(Box<Attach>),
    /// A connection is gone.
    Detach {
        /// Which.
        conn: ConnId,
    },
    /// A message on the control stream, after the Hello.
    Control {
        /// From whom.
        conn: ConnId,
        /// What.
        message: ControlUp,
    },
    /// A message on the events stream.
    Event {
        /// From whom.
        conn: ConnId,
        /// What.
        message: EventUp,
    },
    /// A message on the bulk stream.
    Bulk {
        /// From whom.
        conn: ConnId,
        /// What.
        message: BulkUp,
    },
    /// A message on the host stream.
    Host {
        /// From whom.
        conn: ConnId,
        /// What.
        message: HostUp,
    },
    /// The shell verified a fresh token for this connection.
    Regrant {
        /// Whose.
        conn: ConnId,
        /// The new principal; the subject must be the same.
        principal: Principal,
    },
    /// The shell refused a fresh token.
    RegrantRefused {
        /// Whose.
        conn: ConnId,
    },
    /// What these were granted is taken back: their sessions end, live and parked.
    Revoke(Whom),
    /// The store has something to say.
    Store(News),
    /// The server drains: refuse new sessions, tell everyone.
    Drain {
        /// Milliseconds until connections are closed.
        deadline_ms: u32,
        /// Upper bound of the clients' random wait.
        jitter_ms: u32,
    },
    /// P13: ticks have not kept their deadlines for a while, or have kept them again: the world
    /// gives up one thing more, or one less ([`shed::step`](crate::shed::step)).
    Strain {
        /// Whether there is too little time.
        too_much: bool,
    },
    /// The server is about to end all connections: once everything that was accepted until now is
    /// on stable storage and answered, [`Note::Settled`](crate::output::Note::Settled) says so.
    Settle,
}

/// Whose grants are taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Whom {
    /// One session, and the token that it came with.
    Session(SessionId),
    /// Everyone whose token has this subject.
    Subject(String),
    /// Everyone whose subject begins so.
    Under(String),
    /// Everyone.
    Everyone,
    /// Each of these, with its token: told to a world that opens, whose store may know sessions that
    /// were revoked while it did not stand.
    Sessions(BTreeSet<SessionId>),
}

/// An admitted connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Attach {
    /// The connection.
    pub conn: ConnId,
    /// Who it is and what it may do.
    pub principal: Principal,
    /// The resume token to hand out; random bytes come from the shell, never from the seed.
    pub token: [u8; RESUME_TOKEN_BYTES],
    /// Digest of `token`, which is what the world keeps.
    pub token_digest: [u8; 32],
    /// A parked session to take up.
    pub resume: Option<ResumeRequest>,
    /// Schema that the client was built for.
    pub schema_hash: Option<u64>,
    /// Bits of [`starling_protocol::message::control::Capabilities`].
    pub capabilities: u32,
}

/// A parked session to take up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ResumeRequest {
    /// Which.
    pub session: SessionId,
    /// Digest of the token presented.
    pub token_digest: [u8; 32],
    /// Last event seen on each channel.
    pub channels: Vec<(ChannelKey, ChannelPosition)>,
}

/// Uplink datagrams that arrived since the last tick, and what each link may carry now.
///
/// Filled by the shell, swapped whole, cleared without giving memory back.
#[derive(Debug, Default)]
pub struct TickInputs {
    /// Payloads, one after another.
    pub arena: Vec<u8>,
    /// Each datagram in order of arrival.
    pub datagrams: Vec<Datagram>,
    /// What each link may carry this tick; a link not named keeps its last.
    pub links: Vec<Link>,
    /// When the tick is run, in microseconds since the world's epoch: told to clients for their
    /// clocks, decides nothing.
    pub now_us: u64,
    /// The server's clock in milliseconds since 1970, by which fixes that lie in the future are
    /// rejected; `None` where fixes are replayed.
    pub unix_ms: Option<u64>,
}

/// One uplink datagram.
#[derive(Clone, Debug)]
pub struct Datagram {
    /// From whom.
    pub conn: ConnId,
    /// Where in the arena.
    pub bytes: Range<usize>,
    /// When it arrived, in microseconds since the world's epoch.
    pub at_us: u64,
}

/// What a link may carry now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Whose.
    pub conn: ConnId,
    /// Bytes of datagrams this tick.
    pub datagram_bytes: u32,
    /// Bytes that the stream buffers will still take.
    pub stream_bytes: u32,
    /// Smoothed round-trip time in microseconds.
    pub rtt_us: u32,
}

impl TickInputs {
    /// Appends one datagram.
    pub fn push(&mut self, conn: ConnId, at_us: u64, payload: &[u8]) {
        let start = self.arena.len();
        self.arena.extend_from_slice(payload);
        self.datagrams.push(Datagram { conn, bytes: start..self.arena.len(), at_us });
    }

    /// Empties everything and keeps the memory.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.datagrams.clear();
        self.links.clear();
    }
}
