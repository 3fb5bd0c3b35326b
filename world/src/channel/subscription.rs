//! The channels that one session follows, and how far it has read in each.

use super::ChannelIdx;
use super::deltas::Bases;
use super::state::StatePages;
use crate::durable::read::Ahead;
use starling_protocol::message::control::INBOX;
use starling_protocol::message::events::Member;
use starling_protocol::units::{ChannelKey, ChannelPosition, Offset, Tick};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

/// What a subscription reads from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The session's own inbox.
    Inbox,
    /// A channel of the world.
    Channel(ChannelIdx),
}

/// One subscription: a place in a log, never a copy of it.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub(crate) source: Source,
    /// Where the client was told that it starts. A client that resumes without naming a place has
    /// not heard that yet, and starts there again.
    pub(crate) base: ChannelPosition,
    /// The last offset that was written, or told as gone.
    pub(crate) read: Offset,
    /// What is still to be written before the next event.
    pub(crate) pages: Option<Pages>,
    /// It began with pages, or an earlier life of the world may have begun it so: one who stands
    /// where it began may not have got them.
    pub(crate) paged: bool,
    /// What the next values may be told as differences to.
    pub(crate) bases: Bases,
    /// Its place among the changes of the channel's cursors.
    pub(crate) cursors_told: u64,
    /// What comes next, where that is on disk only.
    pub(crate) ahead: Option<Ahead>,
    /// The session is one of the channel's members.
    pub(crate) presence: bool,
    /// The client came back without naming it: it may have ended it while it was away.
    pub(crate) unnamed: bool,
    /// The newest tick in which something of it was written.
    pub(crate) told: Tick,
}

/// The rest of what a channel is at a place, page by page.
#[derive(Clone, Debug)]
pub(crate) enum Pages {
    /// A presence list.
    Members(MemberPages),
    /// A channel with state.
    State(StatePages),
}

/// The rest of a list of members that is being written page by page.
#[derive(Clone, Debug)]
pub(crate) struct MemberPages {
    pub(crate) members: Arc<[Arc<Member>]>,
    pub(crate) next: usize,
}

/// All subscriptions of a session.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    by_key: BTreeMap<ChannelKey, Subscription>,
    /// Those with something to write.
    pub(crate) ready: BTreeSet<ChannelKey>,
    /// Those that its client was told are lost, until it asks for them again.
    pub(crate) lost: BTreeSet<ChannelKey>,
    /// The one that wrote last: the next in order has the next turn.
    turn: ChannelKey,
}

impl Subscriptions {
    /// The inbox alone, which every session follows from its start.
    pub(crate) fn with_inbox(at: ChannelPosition) -> Self {
        let inbox = Subscription::new(Source::Inbox, at, false, Tick(0));
        let by_key = BTreeMap::from([(INBOX, inbox)]);
        Self { by_key, ready: BTreeSet::new(), lost: BTreeSet::new(), turn: INBOX }
    }

    pub(crate) fn get(&self, key: ChannelKey) -> Option<&Subscription> {
        self.by_key.get(&key)
    }

    pub(crate) fn get_mut(&mut self, key: ChannelKey) -> Option<&mut Subscription> {
        self.by_key.get_mut(&key)
    }

    pub(crate) fn insert(&mut self, key: ChannelKey, subscription: Subscription) {
        self.by_key.insert(key, subscription);
    }

    pub(crate) fn remove(&mut self, key: ChannelKey) -> Option<Subscription> {
        self.ready.remove(&key);
        self.by_key.remove(&key)
    }

    /// How many beside the inbox.
    pub(crate) fn len(&self) -> usize {
        self.by_key.len() - 1
    }

    /// All of them in order of key, the inbox first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ChannelKey, &Subscription)> + '_ {
        self.by_key.iter().map(|(key, subscription)| (*key, subscription))
    }

    /// All keys, the inbox first.
    pub(crate) fn keys(&self) -> Vec<ChannelKey> {
        self.by_key.keys().copied().collect()
    }

    /// How many pages from the disk they hold, or have asked for.
    pub(crate) fn pages_ahead(&self) -> usize {
        self.by_key.values().filter(|subscription| subscription.ahead.is_some()).count()
    }

    /// Whose turn it is to write: each in order of key, round and round.
    pub(crate) fn next_turn(&mut self) -> Option<ChannelKey> {
        let after = (Bound::Excluded(self.turn), Bound::Unbounded);
        let next = self.ready.range(after).next().or_else(|| self.ready.first()).copied()?;
        self.turn = next;
        Some(next)
    }
}

impl Subscription {
    /// May a client that goes on after this event lack pages? They come before all events.
    pub(crate) fn may_lack_pages(&self, after: Offset) -> bool {
        self.pages.is_some() || self.paged && after == self.base.offset
    }

    pub(crate) fn new(source: Source, at: ChannelPosition, presence: bool, now: Tick) -> Self {
        Self {
            source,
            base: at,
            read: at.offset,
            pages: None,
            ahead: None,
            paged: false,
            bases: Bases::default(),
            cursors_told: 0,
            presence,
            unnamed: false,
            told: now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_with_something_to_say_take_turns() {
        let mut subscriptions = Subscriptions::with_inbox(ChannelPosition::default());
        subscriptions.ready.extend([ChannelKey(3), ChannelKey(9), ChannelKey(5)]);
        let turns: Vec<_> = (0..5).filter_map(|_| subscriptions.next_turn()).map(|k| k.0).collect();
        assert_eq!(turns, [3, 5, 9, 3, 5]);
    }
}
