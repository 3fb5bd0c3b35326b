//! What silence ends: presence, tokens, parked sessions.
//!
//! Every session has one wake-up, at the first tick in which something of it may end. Signs of life
//! do not move it, and neither does a new entity, which cannot end before its session is looked at;
//! when it comes, the session is looked at and the next is planned.

use super::SessionIdx;
use crate::World;
use crate::entity::EntityIdx;
use crate::output::Output;
use starling_protocol::close::CloseCode;
use starling_protocol::message::control::{Authority, ControlDown};
use starling_protocol::units::Tick;

/// How long a session goes on after its token has ended, so that a refresh may still arrive.
const EXPIRY_GRACE_MS: u64 = 10_000;

/// A session is quiet after this part of the presence time without a sign of life: where that time
/// is twice the interval at which devices speak, after one that they missed.
const QUIET_AFTER: (u32, u32) = (3, 4);

impl World {
    /// Ends what is silent for too long. Once a tick, before interest is worked out.
    pub(crate) fn expire(&mut self, out: &mut Output) {
        while let Some(idx) = self.sessions.next_due(self.now) {
            self.look_at(idx, out);
            if self.sessions.get(idx).is_some() {
                self.plan_wake(idx);
            }
        }
    }

    /// Plans when a session is looked at next.
    pub(crate) fn plan_wake(&mut self, idx: SessionIdx) {
        let session = &self.sessions[idx];
        let mute_at = session.expires.filter(|_| session.is_live() && !session.muted);
        let silence = [self.quiet_at(idx), self.leave_at(idx)];
        let times = [mute_at, self.token_end(idx), self.gone_at(idx)].into_iter().chain(silence);
        let silent =
            self.sessions[idx].owned.iter().map(|(_, e)| self.entity_leave_at(idx, e)).min();
        let times = times.chain([self.asleep_leave_at(idx)]);
        let first = times.flatten().chain(silent).min();
        // Never in this tick again, so that looking at every session that is due comes to an end.
        self.sessions.wake_at(idx, first.map(|at| at.max(self.now + 1)));
    }

    fn look_at(&mut self, idx: SessionIdx, out: &mut Output) {
        let now = self.now;
        let due = |at: Option<Tick>| at.is_some_and(|at| at <= now);
        if due(self.gone_at(idx)) {
            return self.end_session(idx, CloseCode::LOST, out);
        }
        self.judge_token(idx);
        let (leaves, expires) = (due(self.leave_at(idx)), due(self.token_end(idx)));
        self.drop_silent(idx, out);
        if due(self.asleep_leave_at(idx)) {
            self.drop_asleep(idx);
        }
        if leaves {
            self.depart(idx);
        } else if due(self.quiet_at(idx)) {
            self.fall_quiet(idx);
        }
        if expires {
            self.close(idx, CloseCode::EXPIRED, out);
        }
    }

    fn drop_silent(&mut self, idx: SessionIdx, out: &mut Output) {
        let owned = self.sessions[idx].owned.iter();
        let silent = owned.filter(|(_, entity)| self.entity_leave_at(idx, *entity) <= self.now);
        for (handle, entity) in silent.collect::<Vec<_>>() {
            let gone = ControlDown::Despawned { handle, code: CloseCode::LOST };
            self.sessions.control(idx, &gone, self.now);
            self.remove_entity(entity, out);
        }
    }

    /// When a session that is here counts as having left.
    fn leave_at(&self, idx: SessionIdx) -> Option<Tick> {
        let contact = self.sessions.contact(idx);
        self.sessions[idx].here.then(|| contact + self.presence_ticks() + 1)
    }

    /// When a session that is here and not quiet falls quiet.
    fn quiet_at(&self, idx: SessionIdx) -> Option<Tick> {
        let session = &self.sessions[idx];
        let (part, of) = QUIET_AFTER;
        let silent = self.presence_ticks() / of * part;
        (session.here && !session.presence.quiet).then(|| self.sessions.contact(idx) + silent + 1)
    }

    /// When a live session is closed for its token.
    fn token_end(&self, idx: SessionIdx) -> Option<Tick> {
        let session = &self.sessions[idx];
        let grace = self.config.tick_rate.ticks_in_ms(EXPIRY_GRACE_MS);
        session.expires.filter(|_| session.is_live()).map(|end| Tick(end.0.saturating_add(grace)))
    }

    /// When a parked session is gone for good.
    fn gone_at(&self, idx: SessionIdx) -> Option<Tick> {
        let park = self.config.tick_rate.ticks_in_ms(self.config.park_ms.into());
        let left = park.saturating_sub(self.sessions[idx].parked_before);
        self.sessions[idx].parked.map(|since| since + left + 1)
    }

    /// Is its time over?
    pub(super) fn is_gone(&self, idx: SessionIdx) -> bool {
        self.gone_at(idx).is_some_and(|at| at <= self.now)
    }

    /// When an entity leaves for silence.
    fn entity_leave_at(&self, idx: SessionIdx, entity: EntityIdx) -> Tick {
        self.sign_of_life(idx, entity) + self.presence_ticks() + 1
    }

    /// The newest tick in which an entity is known to have been there.
    ///
    /// A gateway must speak of each of its entities. The only entity of a session is there while
    /// the session is, and so are those of a host, which does not repeat what stands still.
    fn sign_of_life(&self, idx: SessionIdx, entity: EntityIdx) -> Tick {
        let session = &self.sessions[idx];
        let gateway = self.config.authority == Authority::Client && session.owned.len() > 1;
        if gateway { self.entities.contact(entity) } else { self.sessions.contact(idx) }
    }

    pub(super) fn presence_ticks(&self) -> u32 {
        self.config.tick_rate.ticks_in_ms(self.config.presence_ms.into())
    }
}
