//! What comes in with datagrams: who may say what, and what of it is believed.
//!
//! Datagrams of a session are folded in order of arrival. Of the samples of an entity the newest wins;
//! each is judged by itself ([`judge`]), and what is not accepted is told to its sender with the reason.

mod arrivals;
mod claims;
mod judge;

pub(crate) use arrivals::Arrivals;
pub(crate) use judge::Judges;

use crate::World;
use crate::config::WorldConfig;
use crate::cue::GivenCue;
use crate::executor::Executor;
use crate::input::TickInputs;
use crate::replicate::AHEAD;
use crate::session::{Session, SessionIdx};
use claims::Filed;
use judge::Claim;
use starling_protocol::close::CloseCode;
use starling_protocol::message::control::{Authority, RejectReason, Rejection, RequestKind};
use starling_protocol::units::Tick;
use starling_protocol::uplink::{CueScope, CueUp, SampleUp, Uplink};

/// Ticks before or after the present that a label may lie; others are taken for the present.
const LABEL_TICKS_MAX: u32 = 200;

impl World {
    /// Folds the datagrams that arrived since the last tick.
    pub(crate) fn fold_datagrams(&mut self, inputs: &TickInputs, exec: &impl Executor) {
        let parts = self.note_datagrams(inputs, exec);
        self.judge_claims(parts, inputs.unix_ms, exec);
        for (at, datagram) in inputs.datagrams.iter().enumerate() {
            let [far, near] = AHEAD.map(|ahead| self.waiting(at + ahead));
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
                self.take_all(idx, &uplink, at as u32, inputs);
            }
        }
    }

    /// The sender of a datagram that waits in line.
    fn waiting(&self, at: usize) -> Option<&Session> {
        self.sessions.get(self.arrivals.in_line(at)?)
    }

    fn take_all(&mut self, idx: SessionIdx, uplink: &Uplink<'_>, at: u32, inputs: &TickInputs) {
        let label = label(self.now, uplink.tick);
        for input in uplink.inputs() {
            self.take_input(idx, input.number, input.payload);
        }
        for (nth, sample) in (0..).zip(uplink.samples()) {
            self.take_sample(idx, &sample, (at, nth), label, inputs.unix_ms);
        }
        for cue in uplink.cues() {
            self.take_cue(idx, &cue);
        }
    }

    fn take_sample(
        &mut self,
        session: SessionIdx,
        &SampleUp { handle, sequence, sample }: &SampleUp,
        place: (u32, u32),
        label: Tick,
        unix_ms: Option<u64>,
    ) {
        let row = &self.sessions[session];
        let (hosts, may) = (self.sessions.host == Some(session), row.principal().grants.r#move);
        let may = may_move(&self.config, hosts, may);
        let owned = may.and_then(|()| row.owned().get(handle).ok_or(RejectReason::NotYours));
        match owned {
            Ok(entity) => {
                let claim = Claim { sample, label };
                let filed = Filed { entity, place, session, handle, sequence, claim };
                self.judge_claim(&filed, unix_ms);
            }
            Err(reason) => self.refuse_sample(session, Rejection { handle, sequence, reason }),
        }
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

/// The tick that a client named by its low bits, if it can be meant.
fn label(now: Tick, low: u16) -> Tick {
    let label = now.unwrap16(low);
    if label.0.abs_diff(now.0) <= LABEL_TICKS_MAX { label } else { now }
}

/// May a session say where its entities are?
fn may_move(config: &WorldConfig, hosts: bool, granted: bool) -> Result<(), RejectReason> {
    let speaks = match config.authority {
        Authority::Client => true,
        Authority::Server => false,
        Authority::Host => hosts,
    };
    if !speaks {
        return Err(RejectReason::WrongAuthority);
    }
    if !granted && !hosts {
        return Err(RejectReason::Forbidden);
    }
    Ok(())
}
