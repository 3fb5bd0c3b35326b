//! Subscriptions to presence lists, and to how many are on them.

use super::{Heard, SubscriptionState, Subscriptions};
use starling_protocol::message::events::Member;
use starling_protocol::units::{ChannelKey, Offset, SessionId};

/// How many are on a presence list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PresenceCount {
    /// Users: sessions of the same subject count once.
    pub users: u32,
    /// Sessions.
    pub sessions: u32,
}

impl Subscriptions {
    pub(crate) fn members(&mut self, key: ChannelKey, members: Vec<Member>, last: bool) -> Heard {
        let list = self.by_key.get_mut(&key).and_then(|s| s.members.as_mut());
        let complete = list.is_some_and(|list| list.page(members, last));
        if complete { Heard::MembersComplete { key } } else { Heard::Nothing }
    }

    /// A run of a presence list's events at once: it counts as all of them.
    pub(crate) fn members_changed(
        &mut self,
        key: ChannelKey,
        (from, to): (Offset, Offset),
        here: Vec<Member>,
        left: Vec<SessionId>,
    ) -> Heard {
        let Some(subscription) = self.by_key.get_mut(&key) else { return Heard::Nothing };
        if subscription.state != SubscriptionState::Live {
            return Heard::Nothing; // of a subscription that is being taken up again
        }
        if subscription.knows(to) {
            return Heard::Nothing; // told before
        }
        let next = to >= from && subscription.takes_from(from);
        let (Some(position), Some(members)) =
            (&mut subscription.position, &mut subscription.members)
        else {
            return Heard::Breach;
        };
        if !next {
            if to > position.offset {
                self.take_up_again(key);
            }
            return Heard::Breach;
        }
        position.offset = to;
        subscription.top = subscription.top.max(to);
        let (here, left) = members.apply_run(here, left);
        match here.is_empty() && left.is_empty() {
            true => Heard::Nothing,
            false => Heard::Run { key, here, left },
        }
    }

    pub(crate) fn counted(&mut self, key: ChannelKey, count: PresenceCount) -> Heard {
        let Some(subscription) = self.by_key.get_mut(&key) else { return Heard::Nothing };
        subscription.count = Some(count);
        Heard::Counted { key, count }
    }
}
