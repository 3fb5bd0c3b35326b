//! Who is here: lists of members whose joins and leaves alternate (P8).
//!
//! A session is *here* from its attach until it ends, or until it was silent for the world's
//! `presence_ms`; it is here again with its next sign of life. It may say that it is *away*, and is
//! *quiet* after three quarters of that time without a sign of life. A connection that breaks and is
//! taken up within that time changes nothing. Members of a channel are the sessions that follow it
//! with presence and are here; members of the world's list are all sessions that are here.
//!
//! The same comings and goings are what a game and a host are told of their players.

use crate::World;
use crate::channel::log::Record;
use crate::channel::members::MemberList;
use crate::channel::name::{WORLD_PRESENCE, presence_of};
use crate::channel::publish::Refusal;
use crate::channel::refuse::NO_NUMBER;
use crate::channel::subscription::Source;
use crate::channel::{Channel, ChannelIdx, ChannelKind};
use crate::checksum::Checksum;
use crate::session::{Session, SessionIdx};
use starling_protocol::close::CloseCode;
use starling_protocol::limits::MEMBER_DATA_BYTES_MAX;
use starling_protocol::message::events::{Action, Member, MemberState, Publisher};
use starling_protocol::planted::{self, Bug};
use std::sync::Arc;

/// How a session is here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Presence {
    /// As it said.
    state: MemberState,
    /// What it shows beside its name.
    data: Vec<u8>,
    /// Nothing was heard of it for a while.
    pub(crate) quiet: bool,
}

impl Presence {
    fn shown(&self) -> MemberState {
        if self.quiet { MemberState::Quiet } else { self.state }
    }

    pub(crate) fn add_to(&self, sum: &mut Checksum) {
        sum.add(self.state as u8).add(u64::from(self.quiet)).add_bytes(&self.data);
    }
}

impl World {
    /// A sign of life: whoever had left is here again, and nobody is quiet.
    pub(crate) fn contact(&mut self, idx: SessionIdx) {
        self.sessions.touch(idx, self.now);
        if !self.sessions[idx].here {
            self.arrive(idx);
        } else if self.sessions[idx].presence.quiet {
            self.sessions[idx].presence.quiet = false;
            self.plan_wake(idx);
            self.tell_state(idx);
        }
    }

    /// A session says how it is here.
    pub(crate) fn set_presence(&mut self, idx: SessionIdx, state: MemberState, data: Vec<u8>) {
        match self.may_be(idx, state, &data) {
            Ok(()) => {
                let presence = &mut self.sessions[idx].presence;
                (presence.state, presence.data) = (state, data);
                self.tell_state(idx);
            }
            Err(Refusal { code, retry_after_ms }) => {
                self.refuse_events_request(idx, NO_NUMBER, code, retry_after_ms);
            }
        }
    }

    fn may_be(&mut self, idx: SessionIdx, state: MemberState, data: &[u8]) -> Result<(), Refusal> {
        if data.len() > MEMBER_DATA_BYTES_MAX {
            return Err(CloseCode::TOO_LARGE.into());
        }
        if !matches!(state, MemberState::Here | MemberState::Away) {
            return Err(CloseCode::FORBIDDEN.into()); // to be quiet is to say nothing
        }
        self.take_rated_turn(idx) // small, and its client says it once: told on every step
    }

    /// Nothing was heard of a session for a while.
    pub(crate) fn fall_quiet(&mut self, idx: SessionIdx) {
        self.sessions[idx].presence.quiet = true;
        self.tell_state(idx);
    }

    /// Tells on every list that has the session how it is here.
    fn tell_state(&mut self, idx: SessionIdx) {
        for channel in self.channels_with_presence(idx) {
            self.change(idx, &presence_of(&channel));
        }
        self.change(idx, WORLD_PRESENCE);
    }

    /// The session is here from now on.
    pub(crate) fn arrive(&mut self, idx: SessionIdx) {
        self.sessions[idx].here = true;
        self.keep_session(idx);
        self.plan_wake(idx);
        self.join(idx, WORLD_PRESENCE);
        for channel in self.channels_with_presence(idx) {
            self.join(idx, &presence_of(&channel));
        }
        self.player_arrived(idx);
    }

    /// The session is not here any more, for the time being or for good.
    pub(crate) fn depart(&mut self, idx: SessionIdx) {
        if !std::mem::replace(&mut self.sessions[idx].here, false) {
            return;
        }
        self.keep_session(idx);
        for channel in self.channels_with_presence(idx) {
            self.leave(idx, &presence_of(&channel));
        }
        self.leave(idx, WORLD_PRESENCE);
        self.sessions[idx].presence.quiet = false;
        self.player_left(idx);
    }

    /// The session follows this channel with presence from now on.
    pub(crate) fn join_channel(&mut self, idx: SessionIdx, channel: &str) {
        if self.sessions[idx].here {
            self.join(idx, &presence_of(channel));
        }
    }

    /// The session follows this channel with presence no more.
    pub(crate) fn leave_channel(&mut self, idx: SessionIdx, channel: &str) {
        if self.sessions[idx].here {
            self.leave(idx, &presence_of(channel));
        }
    }

    fn join(&mut self, idx: SessionIdx, list: &str) {
        // Where there may be no channel more, there is no list for this one.
        let Ok(list) = self.channel_for(idx, list, ChannelKind::Presence) else {
            self.counters.presence_refused += 1;
            return;
        };
        let session = &self.sessions[idx];
        let member = Member {
            session: session.id,
            subject: session.principal.subject.clone(),
            since: self.now,
            state: MemberState::Here,
            data: session.presence.data.clone(),
        };
        if self.members(list).is_some_and(|members| members.insert(member)) {
            self.counters.presence_joins += 1;
            self.note_in(list, idx, Action::Join);
            self.change_in(list, idx);
        }
    }

    fn leave(&mut self, idx: SessionIdx, list: &str) {
        let Some(list) = self.channels.find(list) else { return };
        let id = self.sessions[idx].id;
        if self.members(list).is_some_and(|members| members.remove(id)) {
            self.counters.presence_leaves += 1;
            if planted::is(Bug::MemberStays) {
                return;
            }
            self.note_in(list, idx, Action::Leave);
        }
    }

    fn change(&mut self, idx: SessionIdx, list: &str) {
        if let Some(list) = self.channels.find(list) {
            self.change_in(list, idx);
        }
    }

    fn change_in(&mut self, list: ChannelIdx, idx: SessionIdx) {
        let session = &self.sessions[idx];
        let (id, state) = (session.id, session.presence.shown());
        let data = session.presence.data.clone();
        if self.members(list).is_some_and(|members| members.change(id, state, &data)) {
            self.counters.presence_changes += 1;
            self.note_in(list, idx, Action::Change(state));
        }
    }

    fn members(&mut self, list: ChannelIdx) -> Option<&mut MemberList> {
        self.channels[list].members.as_mut()
    }

    /// Appends what became of a session to a list. The followers of a long one are told with the
    /// tick, of all that came about in it at once.
    fn note_in(&mut self, list: ChannelIdx, idx: SessionIdx, action: Action) {
        let session = &self.sessions[idx];
        let payload = match action {
            Action::Leave => Vec::new(),
            _ => session.presence.data.clone(),
        };
        let record =
            Record { publisher: Some(session.publisher()), action, payload, ..self.new_record() };
        let Channel { members: Some(members), log, .. } = &mut self.channels[list] else { return };
        log.keep(members.policy());
        if members.is_long() {
            self.channels.append(list, Arc::new(record));
            self.channels.list_changed(list);
        } else {
            self.append(list, record);
        }
        if matches!(action, Action::Join | Action::Leave) {
            self.channels.count_changed(list);
        }
    }

    fn channels_with_presence(&self, idx: SessionIdx) -> Vec<String> {
        let with_presence = |source| match source {
            Source::Inbox => None,
            Source::Channel(channel) => Some(self.channels[channel].name.clone()),
        };
        let subscriptions = self.sessions[idx].subscriptions.iter();
        subscriptions
            .filter(|(_, s)| s.presence)
            .filter_map(|(_, s)| with_presence(s.source))
            .collect()
    }
}

impl Session {
    /// This session as the publisher of an event.
    pub(crate) fn publisher(&self) -> Publisher {
        Publisher { session: self.id, subject: self.principal.subject.clone() }
    }
}
