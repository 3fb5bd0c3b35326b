//! A second connection when the first falls silent.
//!
//! A path that died says nothing, and the idle timeout is long. So when an uplink that the server
//! answers was not answered for half a second (or four round trips), a second connection is made.
//! Whichever speaks first wins: the old one ends the race, the new one resumes the session.

use super::{DIAL_NS_MAX, Phase, Session};
use crate::event::ClientEvent;
use starling_protocol::close::CloseCode;
use starling_protocol::units::Nanos;

/// Silence that is no reason yet.
const PATIENCE_NS_MIN: u64 = 500 * Nanos::MILLISECOND;
/// Ticks within which a server reports what it folded.
const REPORT_TICKS: u64 = 7;
/// After a race that nobody won the next one waits so long.
const PAUSE_NS: u64 = 2 * Nanos::SECOND;

/// The race that is on, if one is.
#[derive(Debug, Default)]
pub(super) struct Race {
    /// It is lost by the second connection at this moment.
    on: Option<Nanos>,
    not_before: Nanos,
}

impl Session {
    /// When a race begins, if nothing is heard before.
    pub(super) fn race_at(&self) -> Option<Nanos> {
        if !self.options.reconnect.race {
            return None;
        }
        if self.race.on.is_some() {
            return self.race.on;
        }
        let (clock, asked) = (self.clock.as_ref()?, self.uplink.unanswered()?);
        let patience_ns = PATIENCE_NS_MIN.max(4 * clock.rtt_ns().unwrap_or(0));
        let at = asked + patience_ns + REPORT_TICKS * clock.rate().period_ns();
        Some(at.max(self.race.not_before))
    }

    /// Begins a race, or ends one that has gone on for too long.
    pub(super) fn begin_race(&mut self, now: Nanos) {
        if self.race.on.is_some() {
            self.race.not_before = now + PAUSE_NS;
            return self.call_off_race();
        }
        self.race.on = Some(now + DIAL_NS_MAX);
        self.wishes.race = true;
        self.counts.races += 1;
    }

    /// The connection spoke: the second one is not needed.
    pub(super) fn call_off_race(&mut self) {
        if self.race.on.take().is_some() {
            self.wishes.calm = !std::mem::take(&mut self.wishes.race);
        }
    }

    /// The second connection stands first: the session goes on there.
    pub(super) fn win_race(&mut self) -> bool {
        let won = self.race.on.take().is_some() && self.is_live();
        if won {
            self.leave_at = None;
            self.queue.push(ClientEvent::Reconnecting { code: CloseCode::LOST, wait_ms: 0 });
        }
        won
    }

    /// The first connection is gone while the second is being made: that one is all there is.
    pub(super) fn race_alone(&mut self, now: Nanos, code: CloseCode) -> bool {
        let alone = self.is_live() && self.race.on.is_some() && code != CloseCode::REPLACED;
        if alone {
            self.race.on = None;
            self.inlets = super::Inlets::new();
            self.outbox.clear();
            self.leave_at = None;
            self.adrift_since.get_or_insert(now);
            self.phase = Phase::Dialling { until: now + DIAL_NS_MAX };
            self.queue.push(ClientEvent::Reconnecting { code, wait_ms: 0 });
        }
        alone
    }

    /// The second connection of a [`LinkWish::Race`](super::LinkWish::Race) could not be made.
    pub fn handle_rival_closed(&mut self, now: Nanos) {
        if self.race.on.take().is_some() {
            self.race.not_before = now + PAUSE_NS;
        }
    }
}
