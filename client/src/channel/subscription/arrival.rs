//! What arrives on subscriptions, and whether it is what must.

use super::{AGAIN_NS, Heard, SubscriptionState, Subscriptions};
use crate::channel::presence::PresenceChange;
use starling_protocol::close::{CloseCode, Retry};
use starling_protocol::delta;
use starling_protocol::message::control::INBOX;
use starling_protocol::message::events::{Answer, DeliveryClass, Event, LeaseTold, StateEntry};
use starling_protocol::planted::{self, Bug};
use starling_protocol::units::{ChannelKey, ChannelPosition, Nanos, Offset};

impl Subscriptions {
    pub(crate) fn subscribed(
        &mut self,
        now: Nanos,
        key: ChannelKey,
        mut answer: Answer,
        top: ChannelPosition,
        class: DeliveryClass,
    ) -> Heard {
        let Some(subscription) = self.by_key.get_mut(&key) else {
            // It ended here while its answer was under way, or the server was restarted before it
            // had kept the end and has it again.
            if !matches!(answer, Answer::Denied(_)) {
                self.end_there(key);
            }
            return Heard::Nothing;
        };
        match answer {
            Answer::Denied(_) if key == INBOX => return Heard::Breach,
            Answer::Denied(code) if code.retry() == Retry::Later => {
                subscription.state = SubscriptionState::Wanted;
                self.again_at = Some(now + AGAIN_NS);
                return Heard::Nothing;
            }
            Answer::Denied(code) => {
                let channel = subscription.channel.clone();
                self.by_key.remove(&key);
                return Heard::Ended { key, channel, code };
            }
            // Asked for twice, since the first answer was late: it begins where it began (P6).
            Answer::Reset(position) if subscription.has_read_beyond(position) => {
                subscription.known_to = subscription.position.map_or(Offset(0), |p| p.offset);
                subscription.values.restart();
                answer = Answer::Resumed;
            }
            Answer::Reset(position) => {
                (subscription.position, subscription.known_to) = (Some(position), Offset(0));
                subscription.values.restart();
                if let Some(members) = &mut subscription.members {
                    members.restart();
                }
            }
            Answer::Resumed => {
                let known = subscription.position.filter(|p| p.epoch == top.epoch);
                if let Some(known) = known.filter(|_| subscription.answered) {
                    subscription.known_to = known.offset; // it goes on from where it was asked for
                }
                subscription.position = Some(known.unwrap_or(top));
            }
        }
        subscription.leases.restart();
        (subscription.top, subscription.class) = (top.offset, class);
        (subscription.state, subscription.answered) = (SubscriptionState::Live, true);
        Heard::Subscribed { key, answer }
    }

    pub(crate) fn deliver(&mut self, event: Box<Event>) -> Heard {
        let key = event.key;
        let Some(subscription) = self.by_key.get_mut(&key) else { return Heard::Nothing };
        if subscription.state != SubscriptionState::Live {
            return Heard::Nothing; // of a subscription that is being taken up again
        }
        if subscription.knows(event.offset) {
            subscription.values.apply(&event);
            return Heard::Nothing; // told before
        }
        let Some(position) = &mut subscription.position else { return Heard::Breach };
        // A conflated channel skips what a newer value of the same key has replaced.
        let jumps =
            subscription.class == DeliveryClass::Conflated && event.offset > position.offset;
        if event.offset.0 != position.offset.0 + 1 && !jumps {
            if event.offset > position.offset {
                self.take_up_again(key);
            }
            return Heard::Breach;
        }
        position.offset = event.offset;
        subscription.top = subscription.top.max(event.offset);
        subscription.values.apply(&event);
        match subscription.members.as_mut().and_then(|members| members.apply(&event)) {
            Some(PresenceChange::Joined(member)) => Heard::Joined { key, member },
            Some(PresenceChange::Changed(member)) => Heard::Changed { key, member },
            Some(PresenceChange::Left(session)) => Heard::Left { key, session },
            None => Heard::Delivered(event),
        }
    }

    /// The next event of a channel, whose payload is a difference to the value that its key has.
    /// What cannot be read is as good as a hole.
    pub(crate) fn deliver_delta(&mut self, mut event: Box<Event>, bytes: u32) -> Heard {
        let Some(subscription) = self.by_key.get(&event.key) else { return Heard::Nothing };
        if subscription.state != SubscriptionState::Live {
            return Heard::Nothing; // of a subscription that is being taken up again
        }
        let base = event.state_key.as_ref().and_then(|key| subscription.values.get(key));
        match base.map(|base| delta::decode(&event.payload, &base.payload, bytes)) {
            Some(Ok(payload)) => {
                event.payload = payload;
                self.deliver(event)
            }
            _ => {
                self.take_up_again(event.key);
                Heard::Breach
            }
        }
    }

    pub(crate) fn gap(&mut self, key: ChannelKey, from: Offset, to: Offset) -> Heard {
        let Some(subscription) = self.by_key.get_mut(&key) else { return Heard::Nothing };
        // It may come before the answer that it belongs to.
        let live = subscription.state == SubscriptionState::Live;
        if live && subscription.knows(to) {
            return Heard::Nothing; // told before
        }
        let next = to >= from && subscription.takes_from(from);
        let Some(position) = subscription.position.as_mut().filter(|_| next) else {
            if live {
                self.take_up_again(key);
            }
            return if live { Heard::Breach } else { Heard::Nothing };
        };
        let from = Offset(position.offset.0 + 1);
        position.offset = to;
        subscription.top = subscription.top.max(to);
        if planted::is(Bug::GapSwallowed) { Heard::Nothing } else { Heard::Gap { key, from, to } }
    }

    pub(crate) fn state_page(
        &mut self,
        key: ChannelKey,
        entries: Vec<StateEntry>,
        last: bool,
    ) -> Heard {
        let values = self.by_key.get_mut(&key).map(|s| &mut s.values);
        let complete = values.is_some_and(|values| values.page(entries, last));
        if complete { Heard::StateComplete { key } } else { Heard::Nothing }
    }

    pub(crate) fn leases_told(
        &mut self,
        now: Nanos,
        key: ChannelKey,
        leases: Vec<LeaseTold>,
    ) -> Heard {
        let Some(subscription) = self.by_key.get_mut(&key) else { return Heard::Nothing };
        subscription.leases.told(now, &leases);
        Heard::Leases { key, leases }
    }

    pub(crate) fn ended(&mut self, key: ChannelKey, code: CloseCode) -> Heard {
        if key == INBOX {
            return Heard::Breach;
        }
        self.ending.remove(&key);
        if code == CloseCode::LOST {
            // The server was restarted before it had kept it: asked for again, from its position.
            if let Some(subscription) = self.by_key.get_mut(&key) {
                subscription.state = SubscriptionState::Wanted;
                self.wanted = true;
            }
            return Heard::Nothing;
        }
        match self.by_key.remove(&key) {
            Some(ended) => Heard::Ended { key, channel: ended.channel, code },
            None => Heard::Nothing, // the echo of our own unsubscribe
        }
    }

    pub(crate) fn tops(&mut self, tops: &[(ChannelKey, Offset)]) {
        for (key, top) in tops {
            if let Some(subscription) = self.by_key.get_mut(key) {
                subscription.top = subscription.top.max(*top);
            }
        }
    }

    /// The inbox has a hole only if the server broke its promise; it cannot be subscribed anew.
    pub(super) fn take_up_again(&mut self, key: ChannelKey) {
        if let Some(subscription) = self.by_key.get_mut(&key).filter(|_| key != INBOX) {
            subscription.state = SubscriptionState::Wanted;
            self.wanted = true;
        }
    }
}
