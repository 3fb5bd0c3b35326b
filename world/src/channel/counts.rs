//! How many are on a presence list, for those who need no names.
//!
//! A count has no log: what a slow reader did not see of it is replaced by what is so now. It is
//! told when it has changed, and at most a few times a second, whatever comes and goes.

use super::name::count_of;
use super::{ChannelIdx, Channels};
use crate::World;
use starling_protocol::message::events::EventDown;
use starling_protocol::units::{ChannelKey, Offset, Tick};

/// Milliseconds between two tellings of one count.
const COUNT_EVERY_MS: u64 = 250;

/// How many are on a list.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    users: u32,
    sessions: u32,
    /// How often it was told; a reader has seen it up to one of these.
    version: u64,
    told: Option<Tick>,
}

impl Count {
    /// What a reader that has seen it up to `read` is told.
    pub(super) fn message(&self, key: ChannelKey, read: &mut Offset) -> Option<EventDown> {
        let (users, sessions) = (self.users, self.sessions);
        let news = read.0 < self.version;
        read.0 = self.version;
        news.then_some(EventDown::Count { key, users, sessions })
    }
}

impl Channels {
    /// Somebody came to this list, or left it.
    pub(crate) fn count_changed(&mut self, list: ChannelIdx) {
        if let Some(count) = self.find(&count_of(&self[list].name)) {
            self.timetable.counts_due.insert(count);
        }
    }

    /// Somebody changed on a long list, whose followers are told once a tick.
    pub(crate) fn list_changed(&mut self, list: ChannelIdx) {
        self.timetable.list_news.insert(list);
    }

    /// Works out a count anew; `true` if it is to be told.
    fn recount(&mut self, idx: ChannelIdx, now: Tick) -> bool {
        let list = self.find(&super::name::list_of_count(&self[idx].name));
        let members = list.and_then(|list| self[list].members.as_ref());
        let (users, sessions) = members.map_or((0, 0), super::members::MemberList::counts);
        let Some(count) = &mut self[idx].count else { return false };
        let same = (users, sessions) == (count.users, count.sessions) && count.version > 0;
        if !same {
            *count = Count { users, sessions, version: count.version + 1, told: Some(now) };
        }
        !same
    }
}

impl World {
    /// Tells those who follow long lists and counts what became of them. Once a tick.
    pub(crate) fn tell_presence(&mut self) {
        for list in std::mem::take(&mut self.channels.timetable.list_news) {
            self.wake_subscribers(list);
        }
        let pause = self.config.tick_rate.ticks_in_ms(COUNT_EVERY_MS);
        for idx in std::mem::take(&mut self.channels.timetable.counts_due) {
            let told = self.channels[idx].count.and_then(|count| count.told);
            let early = |told| self.now.since(told).is_some_and(|ticks| ticks < pause);
            if told.is_some_and(early) {
                self.channels.timetable.counts_due.insert(idx);
            } else if self.channels.recount(idx, self.now) {
                self.wake_subscribers(idx);
            }
        }
    }
}
