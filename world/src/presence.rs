//! Who is here: lists of members whose joins and leaves alternate (P8).
//!
//! A session is *here* from its attach until it ends, or until it was silent for the world's
//! `presence_ms`; it is here again with its next sign of life. A connection that breaks and is
//! taken up within that time changes nothing. Members of a channel are the sessions that follow it
//! with presence and are here; members of the world's list are all sessions that are here.
//!
//! The same comings and goings are what a game and a host are told of their players.

use crate::World;
use crate::channel::log::Record;
use crate::channel::name::{WORLD_PRESENCE, presence_of};
use crate::channel::subscription::Source;
use crate::channel::{ChannelIdx, ChannelKind};
use crate::session::{Session, SessionIdx};
use starling_protocol::message::events::{Action, Member, MemberState, Publisher};

impl World {
    /// A sign of life: whoever was away is here again.
    pub(crate) fn contact(&mut self, idx: SessionIdx) {
        self.sessions.touch(idx, self.now);
        if !self.sessions[idx].here {
            self.arrive(idx);
        }
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
        let subject = session.principal.subject.clone();
        let member = Member {
            session: session.id,
            subject,
            since: self.now,
            state: MemberState::Here,
            data: Vec::new(),
        };
        let joined = self.channels[list].members.as_mut().is_some_and(|m| m.insert(member));
        if joined {
            self.counters.presence_joins += 1;
            self.note_in(list, idx, Action::Join);
        }
    }

    fn leave(&mut self, idx: SessionIdx, list: &str) {
        let Some(list) = self.channels.find(list) else { return };
        let id = self.sessions[idx].id;
        let left = self.channels[list].members.as_mut().is_some_and(|m| m.remove(id));
        if left {
            self.counters.presence_leaves += 1;
            self.note_in(list, idx, Action::Leave);
        }
    }

    fn note_in(&mut self, list: ChannelIdx, idx: SessionIdx, action: Action) {
        let publisher = Some(self.sessions[idx].publisher());
        let record = Record { publisher, action, ..self.new_record() };
        self.append(list, record);
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
