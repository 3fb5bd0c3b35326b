//! The end of a server (P14): everyone is told, what was accepted is completed, then connections end.
//!
//! ```text
//! drain ----- notice -----> settle ------------------> close ---> gone
//! newcomers   everyone      nothing more is taken in,  with
//! refused     served on     the rest is committed      going_away
//!                           and acknowledged
//! ```
//!
//! The server ends connections, not the client, for only the server knows when what it accepted is
//! on stable storage. So a client has one reconnect: after the close, within its jitter.

use super::Front;
use crate::room::directory::Lender;
use crate::room::pool::RoomId;
use starling_protocol::close::CloseCode;
use starling_protocol::planted::{self, Bug};
use starling_protocol::units::Nanos;
use starling_transport::{ConnKey, Transport};
use starling_world::input::Command;
use std::collections::BTreeSet;

/// Who is told of a drain is served on for so long, or half the time to the deadline.
const NOTICE_NS: u64 = Nanos::SECOND;
/// The last answers have so long to arrive before their connections are closed.
const PARTING_NS: u64 = Nanos::SECOND / 10;

/// A drain under way.
#[derive(Clone, Debug)]
pub(super) struct Drain {
    deadline: Nanos,
    pub(super) jitter_ms: u32,
    stage: Stage,
}

#[derive(Clone, Debug)]
enum Stage {
    /// Everyone is served until then.
    Notice(Nanos),
    /// These rooms have not said yet that they have settled.
    Settling(BTreeSet<RoomId>),
    /// All is done; connections are closed then.
    Parting(Nanos),
    /// They were.
    Over,
}

impl Drain {
    /// When there is something to do next, unless a room says something.
    pub(super) fn next_timeout(&self) -> Option<Nanos> {
        match self.stage {
            Stage::Notice(at) | Stage::Parting(at) => Some(at.min(self.deadline)),
            Stage::Settling(_) => Some(self.deadline),
            Stage::Over => None,
        }
    }

    /// Is nothing more taken in from those who are here?
    const fn is_deaf(&self) -> bool {
        !matches!(self.stage, Stage::Notice(_))
    }
}

impl<T: Transport, L: Lender> Front<T, L> {
    /// Refuses new sessions from now on, tells every client, completes what was accepted and closes
    /// everyone, at the latest after `deadline_ms`. Clients spread their reconnects over `jitter_ms`.
    pub fn drain(&mut self, now: Nanos, deadline_ms: u32, jitter_ms: u32) {
        let whole_ns = u64::from(deadline_ms) * Nanos::MILLISECOND;
        let stage = Stage::Notice(now + NOTICE_NS.min(whole_ns / 2));
        self.draining = Some(Drain { deadline: now + whole_ns, jitter_ms, stage });
        for (_, entry) in self.directory.worlds().all() {
            entry.mailbox.inbox().tell(Command::Drain { deadline_ms, jitter_ms });
            self.rooms.ring(entry.id);
        }
        tracing::info!(deadline_ms, connections = self.connections.len(), "draining");
    }

    /// Ends a drain's notice, or begins without one: nothing more is taken in, and what was accepted
    /// is completed. `within_ms` is the time that this may take.
    pub fn settle(&mut self, now: Nanos, within_ms: u32) {
        if self.draining.as_ref().is_some_and(Drain::is_deaf) {
            return;
        }
        let deadline = now + u64::from(within_ms) * Nanos::MILLISECOND;
        let jitter_ms = self.draining.as_ref().map_or(0, |drain| drain.jitter_ms);
        let asked: BTreeSet<RoomId> = self.entered.keys().copied().collect();
        for (id, entered) in &self.entered {
            entered.mailbox.inbox().tell(Command::Settle);
            self.rooms.ring(*id);
        }
        self.draining = Some(Drain { deadline, jitter_ms, stage: Stage::Settling(asked) });
    }

    /// Is the drain over, with everyone who had a session gone?
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.draining.is_some() && self.connections.values().all(|c| c.seat.is_none())
    }

    /// Is a message of this connection not taken in any more?
    pub(super) fn is_deaf_to(&self, conn: ConnKey) -> bool {
        let deaf = self.draining.as_ref().is_some_and(Drain::is_deaf);
        deaf && self.connections.get(&conn).is_some_and(|c| c.seat.is_some())
    }

    /// A room has nothing left to do.
    pub(super) fn has_settled(&mut self, room: RoomId) {
        if let Some(Drain { stage: Stage::Settling(rooms), .. }) = &mut self.draining {
            rooms.remove(&room);
        }
    }

    /// Does what a drain has to do next.
    pub(super) fn tend_drain(&mut self, now: Nanos) {
        let Some(drain) = &mut self.draining else { return };
        let deadline = drain.deadline;
        match &mut drain.stage {
            Stage::Notice(at) if now >= *at => {
                let left_ms = deadline.since(now) / Nanos::MILLISECOND;
                self.settle(now, u32::try_from(left_ms).unwrap_or(u32::MAX));
            }
            Stage::Settling(rooms) => {
                rooms.retain(|room| self.entered.contains_key(room));
                if rooms.is_empty() {
                    drain.stage = Stage::Parting(deadline.min(now + PARTING_NS));
                } else if now >= deadline {
                    tracing::warn!(rooms = rooms.len(), "what was accepted is not yet stored");
                    self.part(now);
                }
            }
            Stage::Parting(at) if now >= *at => self.part(now),
            Stage::Notice(_) | Stage::Parting(_) | Stage::Over => {}
        }
    }

    fn part(&mut self, now: Nanos) {
        if let Some(drain) = &mut self.draining {
            drain.stage = Stage::Over;
        }
        if planted::is(Bug::DrainStuck) {
            return;
        }
        self.close_all(now);
    }

    /// Closes every connection: the server goes away now.
    pub fn close_all(&mut self, now: Nanos) {
        let mut open: Vec<_> = self.connections.keys().copied().collect();
        open.sort_unstable();
        for conn in open {
            self.close(now, conn, CloseCode::GOING_AWAY, "the server stops");
        }
    }
}
