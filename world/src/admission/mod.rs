//! What comes in with datagrams: who may say what, and what of it is believed.
//!
//! Datagrams are folded in order of arrival. Of the samples of an entity the newest wins; each is
//! judged by itself ([`judge`]), and what is not accepted is told to its sender with the reason.

mod arrivals;
mod judge;

pub(crate) use arrivals::Arrivals;
pub(crate) use judge::Judges;

use crate::World;
use crate::cue::GivenCue;
use crate::entity::{Accepted, EntityIdx};
use crate::executor::Executor;
use crate::input::TickInputs;
use crate::replicate::AHEAD;
use crate::session::{Session, SessionIdx};
use judge::{Claim, Verdict};
use starling_protocol::close::CloseCode;
use starling_protocol::message::control::{Authority, RejectReason, Rejection, RequestKind};
use starling_protocol::units::{Tick, newer16};
use starling_protocol::uplink::{CueScope, CueUp, SampleUp, Uplink};

/// Ticks before or after the present that a label may lie; others are taken for the present.
const LABEL_TICKS_MAX: u32 = 200;

impl World {
    /// Folds the datagrams that arrived since the last tick.
    pub(crate) fn fold_datagrams(&mut self, inputs: &TickInputs, exec: &impl Executor) {
        self.note_datagrams(inputs, exec);
        for (at, datagram) in inputs.datagrams.iter().enumerate() {
            let [far, near] = AHEAD.map(|ahead| self.sender(at + ahead));
            far.inspect(|session| session.fetch());
            near.inspect(|session| session.owned.fetch());
            let Some(idx) = self.count_arrival(at) else { continue };
            // What was said before may have ended the session.
            if self.sessions.get(idx).is_none_or(|session| session.conn != Some(datagram.conn)) {
                continue;
            }
            let bytes = inputs.arena.get(datagram.bytes.clone()).unwrap_or_default();
            if let Ok(uplink) = Uplink::decode_again(self.config.space, bytes) {
                self.heard(idx);
                self.take_all(idx, &uplink, inputs);
            }
        }
    }

    fn sender(&self, at: usize) -> Option<&Session> {
        self.sessions.get(self.arrivals.sender(at)?)
    }

    fn take_all(&mut self, idx: SessionIdx, uplink: &Uplink<'_>, inputs: &TickInputs) {
        let label = self.label(uplink.tick);
        for input in uplink.inputs() {
            self.take_input(idx, input.number, input.payload);
        }
        for sample in uplink.samples() {
            self.take_sample(idx, &sample, label, inputs.unix_ms);
        }
        for cue in uplink.cues() {
            self.take_cue(idx, &cue);
        }
    }

    /// The tick that a client named by its low bits, if it can be meant.
    fn label(&self, low: u16) -> Tick {
        let label = self.now.unwrap16(low);
        if label.0.abs_diff(self.now.0) <= LABEL_TICKS_MAX { label } else { self.now }
    }

    fn take_sample(
        &mut self,
        idx: SessionIdx,
        sample: &SampleUp,
        label: Tick,
        unix_ms: Option<u64>,
    ) {
        let entity = match self.owned_entity(idx, sample) {
            Ok(entity) => entity,
            Err(reason) => return self.reject_sample(idx, sample, reason),
        };
        self.entities.touch(entity, self.now);
        if self.entities.sequence(entity).is_some_and(|newest| !newer16(sample.sequence, newest)) {
            self.counters.samples_old += 1;
            return;
        }
        self.entities.set_sequence(entity, sample.sequence);
        let claim = Claim { sample: sample.sample, label };
        let context = judge::Context {
            config: &self.config,
            accepted: self.entities.accepted(entity),
            now: self.now,
            unix_ms,
        };
        match self.judges.judge(entity, &claim, &context) {
            Verdict::Accept => self.accept_sample(entity, &claim),
            Verdict::Rebase => {
                self.counters.rebases += 1;
                self.accept_sample(entity, &claim);
            }
            Verdict::Repeat => self.counters.samples_old += 1,
            Verdict::Reject(reason) => self.reject_sample(idx, sample, reason),
        }
    }

    fn owned_entity(&self, idx: SessionIdx, sample: &SampleUp) -> Result<EntityIdx, RejectReason> {
        let session = &self.sessions[idx];
        let speaks = match self.config.authority {
            Authority::Client => true,
            Authority::Server => false,
            Authority::Host => self.sessions.host == Some(idx),
        };
        if !speaks {
            return Err(RejectReason::WrongAuthority);
        }
        if !session.principal().grants.r#move && self.sessions.host != Some(idx) {
            return Err(RejectReason::Forbidden);
        }
        session.owned().get(sample.handle).ok_or(RejectReason::NotYours)
    }

    fn accept_sample(&mut self, entity: EntityIdx, claim: &Claim) {
        self.counters.samples_accepted += 1;
        let accepted = Accepted {
            position: claim.sample.position,
            velocity: claim.sample.velocity,
            orientation: claim.sample.orientation,
            fix: claim.sample.fix,
            tick: self.now,
        };
        self.entities.accept_sampled(entity, accepted, claim.label);
    }

    fn reject_sample(&mut self, idx: SessionIdx, sample: &SampleUp, reason: RejectReason) {
        self.counters.samples_rejected[reason as usize] += 1;
        let rejection = Rejection { handle: sample.handle, sequence: sample.sequence, reason };
        self.sessions.reject(idx, rejection);
    }

    fn take_cue(&mut self, idx: SessionIdx, cue: &CueUp<'_>) {
        let Some(view) = self.replication.view_mut(idx) else { return };
        if !self.sessions[idx].cue_ids.note(cue.id) {
            self.counters.cues_repeated += 1;
            return;
        }
        let room = view.may_give(self.now) && !self.cues.is_full(self.now);
        let given = if room { self.give_cue(idx, cue) } else { Err(CloseCode::RATE_LIMITED) };
        match given {
            Ok(()) => self.counters.cues += 1,
            Err(code) => self.refuse_cue(idx, code),
        }
    }

    /// Gives a session's cue to whom it is for.
    fn give_cue(&mut self, idx: SessionIdx, cue: &CueUp<'_>) -> Result<(), CloseCode> {
        if !self.sessions[idx].principal().grants.may_publish(grant_name(&cue.scope)) {
            return Err(CloseCode::FORBIDDEN);
        }
        let given = GivenCue::new(cue.kind, cue.life, cue.payload).ok_or(CloseCode::TOO_LARGE)?;
        let mine = |world: &Self, handle| {
            world.sessions[idx].owned().get(handle).ok_or(CloseCode::UNKNOWN_ENTITY)
        };
        match cue.scope {
            CueScope::NearMine { entity, radius_m } => {
                let entity = mine(self, entity)?;
                self.cue_near_entity(Some(idx), entity, f64::from(radius_m), given);
            }
            CueScope::WatchersOfMine { entity } => {
                let entity = mine(self, entity)?;
                self.cue_watchers(entity, given);
            }
            CueScope::Near { center, radius_m } => {
                if !self.config.space.contains(center) {
                    return Err(CloseCode::BAD_POSITION);
                }
                self.cue_near(Some(idx), center, f64::from(radius_m), given);
            }
            CueScope::World => self.cue_world(Some(idx), given),
        }
        Ok(())
    }

    /// Told at most once a second, however many are refused.
    fn refuse_cue(&mut self, idx: SessionIdx, code: CloseCode) {
        self.counters.cues_refused += 1;
        let second = u32::from(self.config.tick_rate.hz());
        let view = self.replication.view_mut(idx);
        if view.is_some_and(|view| view.may_tell_refusal(self.now, second)) {
            self.refuse_request(idx, RequestKind::Cue, code);
        }
    }
}

/// The name that a scope has in grants, as for events.
const fn grant_name(scope: &CueScope) -> &'static str {
    match scope {
        CueScope::NearMine { .. } | CueScope::Near { .. } => "@near",
        CueScope::WatchersOfMine { .. } => "@watchers",
        CueScope::World => "@world",
    }
}
