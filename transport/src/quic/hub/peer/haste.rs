//! What of a connection presses, and what can wait for the next tick.

use super::{Peer, Phase};
use crate::quic::delay::{ACK_DELAY, DEFERRAL, PROMPT_EVERY, REST};
use quinn_proto::{Side, Transmit};
use std::time::{Duration, Instant};

/// After its streams were last heard of, somebody may wait for what a packet sets in motion.
const LIVELY: Duration = Duration::from_secs(2);

/// A smaller packet has room for every frame that is not a datagram or of a stream.
const ROOMY_BYTES: usize = 1_100;

/// When what happened to a connection, and until when it is in a hurry.
#[derive(Debug)]
pub(super) struct Haste {
    /// When the last packet arrived.
    received_at: Option<Instant>,
    /// When an acknowledgement goes at the latest that waits for something to ride with.
    owed_until: Option<Instant>,
    /// When an acknowledgement goes at once next.
    prompt_at: Instant,
    /// Until then whatever arrives is looked after at once.
    lively_until: Instant,
}

impl Haste {
    /// A new connection is in a hurry.
    pub(super) fn new(now: Instant) -> Self {
        let lively_until = now + LIVELY;
        Self { received_at: None, owed_until: None, prompt_at: now, lively_until }
    }

    /// A packet has arrived.
    pub(super) fn heard(&mut self, now: Instant) {
        if self.received_at.is_none_or(|last| now.saturating_duration_since(last) > REST) {
            self.prompt_at = self.prompt_at.max(now + REST);
        }
        self.received_at = Some(now);
    }

    /// Something happened that is more than datagrams and their acknowledgements.
    pub(super) fn stir(&mut self, now: Instant) {
        self.lively_until = now + LIVELY;
    }

    /// Nothing but datagrams and acknowledgements for a while.
    pub(super) fn is_calm(&self, now: Instant) -> bool {
        now >= self.lively_until
    }

    /// Is the next acknowledgement to go at once?
    pub(super) fn is_prompt(&self, now: Instant) -> bool {
        now >= self.prompt_at
    }

    /// One went at once.
    pub(super) fn prompted(&mut self, now: Instant) {
        self.prompt_at = now + PROMPT_EVERY;
    }

    /// Is this the time at which QUIC wants to acknowledge the last packet?
    pub(super) fn is_acknowledgement(&self, at: Instant) -> bool {
        self.received_at.is_some_and(|received| received + ACK_DELAY == at)
    }

    /// An acknowledgement waits for something to ride with, but not for longer than this.
    pub(super) const fn owe(&mut self, until: Instant) {
        self.owed_until = Some(until);
    }

    /// Does one?
    pub(super) const fn is_owing(&self) -> bool {
        self.owed_until.is_some()
    }

    /// When it goes at the latest.
    pub(super) const fn owed_until(&self) -> Option<Instant> {
        self.owed_until
    }

    /// It went with a packet.
    pub(super) const fn paid(&mut self) {
        self.owed_until = None;
    }

    /// What is owed until now goes next.
    pub(super) fn pass(&mut self, now: Instant) {
        self.owed_until = self.owed_until.filter(|until| *until > now);
    }
}

impl Peer {
    /// After a packet: can there be no other? All datagrams are out, no stream has said a word for
    /// long, and whatever else there was would have fitted in.
    pub(in crate::quic::hub) fn is_spent(&mut self, now: Instant, transmit: &Transmit) -> bool {
        let roomy = transmit.segment_size.is_none() && transmit.size < ROOMY_BYTES;
        roomy && self.is_calm(now) && self.space() >= self.datagram_space_empty
    }

    /// It stands, on a path that is known, and its streams have been silent for a while.
    fn is_calm(&self, now: Instant) -> bool {
        matches!(self.phase, Phase::Up) && self.haste.is_calm(now)
    }

    /// After a packet with so many datagrams: is there nothing to do but to acknowledge it, and time
    /// for that?
    pub(in crate::quic::hub) fn may_wait(&mut self, now: Instant, datagrams: u64) -> bool {
        let sent = self.datagram_space >= self.datagram_space_empty;
        let server = self.connection.side() == Side::Server;
        if !(server && sent && self.is_calm(now)) || self.haste.is_prompt(now) {
            return false;
        }
        // One that asked for no acknowledgement brought one.
        self.owes_acknowledgement() || datagrams == 0
    }

    /// Sees to the acknowledgement of a packet to which nothing was sent since. Says whether it goes
    /// at once, as now and then one does; else a server's waits for what is sent next.
    pub(in crate::quic::hub) fn acknowledges_promptly(&mut self, now: Instant) -> bool {
        let owed = self.haste.is_owing();
        let news = self.owes_acknowledgement() && !owed;
        let prompt = news && self.haste.is_prompt(now) && matches!(self.phase, Phase::Up);
        if prompt {
            self.haste.prompted(now);
        }
        prompt
    }

    /// Does a packet wait for its acknowledgement that may wait for the next tick?
    ///
    /// QUIC's timer for it is met here, ahead of time, so that its other timers show and none of
    /// them is late: from then on QUIC acknowledges as soon as it is asked for a packet. Nothing
    /// else is due before that timer, or QUIC would have named the other.
    fn owes_acknowledgement(&mut self) -> bool {
        let due = self.connection.poll_timeout();
        let due = due.filter(|&at| self.haste.is_acknowledgement(at));
        if let Some(at) = due.filter(|_| self.connection.side() == Side::Server) {
            self.connection.handle_timeout(at);
            self.haste.owe(at + DEFERRAL);
        }
        self.haste.is_owing()
    }
}
