//! A Welcome that waits until the token that it brings is on stable storage.
//!
//! P11: in a world with a store a token opens its session after a restart too. Were a client told its
//! token before that is kept, a loss of power in between would leave it with one that nobody knows. So
//! nothing is written to such a session before the store has said that its row is there: the Welcome
//! is part of the next commit, and everything after it comes behind it. Nobody waits for a store
//! that takes nothing, nor longer than [`HOLD_MS`]: then what is told is as good as this life of the
//! world (ADR 0042).

use super::SessionIdx;
use crate::World;
use crate::checksum::Checksum;
use crate::input::ConnId;
use crate::journal::Health;
use starling_protocol::units::Tick;
use std::collections::VecDeque;

/// A Welcome waits for the store at most so long.
const HOLD_MS: u64 = 2_000;

/// Whose Welcomes wait, the oldest first. A session may be in it more than once.
#[derive(Debug, Default)]
pub(crate) struct Held(VecDeque<Hold>);

/// One of them.
#[derive(Clone, Copy, Debug)]
struct Hold {
    session: SessionIdx,
    conn: ConnId,
    /// With this change all that the session began with is kept.
    change: u64,
    since: Tick,
}

impl Held {
    pub(crate) fn add_to(&self, sum: &mut Checksum) {
        for hold in &self.0 {
            sum.add(hold.session.0).add(hold.conn.0).add(hold.change).add(hold.since.0);
        }
    }
}

impl World {
    /// A session has begun or was taken up: it is told so when that is on stable storage.
    pub(super) fn hold(&mut self, idx: SessionIdx, conn: ConnId) {
        if !self.keeps(idx) || !self.is_worth_waiting_for() {
            return;
        }
        let change = self.durable.journal.written();
        let session = &mut self.sessions[idx];
        session.held = true;
        session.muted = true;
        let hold = Hold { session: idx, conn, change, since: self.now };
        self.durable.held.0.push_back(hold);
    }

    fn is_worth_waiting_for(&self) -> bool {
        matches!(self.durable.health, Health::Well | Health::Behind)
    }

    /// Welcomes go that have waited for what is on stable storage now, or long enough.
    pub(crate) fn let_go(&mut self) {
        let hold_ticks = self.config.tick_rate.ticks_in_ms(HOLD_MS);
        while let Some(hold) = self.durable.held.0.front().copied() {
            let kept = self.durable.journal.has(hold.change);
            let long = self.now.since(hold.since).is_some_and(|ticks| ticks > hold_ticks);
            if !kept && !long && self.is_worth_waiting_for() {
                return;
            }
            self.durable.held.0.pop_front();
            self.tell_held(hold, kept);
        }
    }

    /// Unless its connection is another by now, which waits in its own turn.
    fn tell_held(&mut self, hold: Hold, kept: bool) {
        let same = |session: &&mut super::Session| session.conn == Some(hold.conn) && session.held;
        let Some(session) = self.sessions.get_mut(hold.session).filter(same) else { return };
        session.held = false;
        self.counters.welcomes_unkept += u64::from(!kept);
        self.judge_token(hold.session);
        self.contact(hold.session);
        self.plan_wake(hold.session);
    }
}
