//! Subscriptions: where each stands in its channel, and whether what arrives is what must.
//!
//! Offsets count 1, 2, 3, ... within an epoch. The next event is delivered if it is exactly the
//! next; one that came before is dropped; a hole that no Gap announced stops the subscription,
//! and it is taken up again from its position. The last two are breaches of the protocol and are
//! counted.

mod arrival;
mod presence;

pub use presence::PresenceCount;

use super::leases::Leases;
use super::presence::PresenceList;
use super::state::KeyedState;
use crate::error::RequestError;
use crate::session::outbox::Outbox;
use starling_protocol::close::CloseCode;
use starling_protocol::limits::{CHANNEL_NAME_BYTES_MAX, SUBSCRIPTIONS_MAX};
use starling_protocol::message::control::INBOX;
use starling_protocol::message::events::{
    Answer, DeliveryClass, Event, EventUp, LeaseTold, Member,
};
use starling_protocol::planted::{self, Bug};
use starling_protocol::stream::StreamKind;
use starling_protocol::units::{ChannelKey, ChannelPosition, Epoch, Nanos, Offset, SessionId};
use std::collections::BTreeMap;

/// A subscription that was denied for the time being is asked for again after this.
const AGAIN_NS: u64 = Nanos::SECOND;

/// How to subscribe.
///
/// ```
/// use starling_client::SubscribeOptions;
///
/// // From now on, and I am seen in `presence/lobby`:
/// let lobby = SubscribeOptions { presence: true, ..SubscribeOptions::default() };
/// // From where another life of this program stopped:
/// let after = |stood| SubscribeOptions { resume: Some(stood), ..SubscribeOptions::default() };
/// # let _ = (lobby, after);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// Go on after this event; from now where absent. Where the server goes on from there, values
    /// of keys that were set before are not told again.
    pub resume: Option<ChannelPosition>,
    /// Count me among the channel's members.
    pub presence: bool,
}

/// How far a subscription has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriptionState {
    /// Not asked for on this connection yet.
    Wanted,
    /// Asked for.
    Asked,
    /// Events arrive.
    Live,
}

/// One subscription.
///
/// ```
/// use starling_client::{ConnectOptions, Session, SubscribeOptions, SubscriptionState};
/// use starling_protocol::units::Nanos;
///
/// # fn main() -> Result<(), starling_client::RequestError> {
/// let mut session = Session::new(Nanos(0), ConnectOptions::new("plaza"));
/// let news = session.subscribe("news", SubscribeOptions::default())?;
/// let subscription = session.subscription(news).expect("it was just made");
/// assert_eq!(subscription.channel(), "news");
/// assert_eq!(subscription.state(), SubscriptionState::Wanted, "no connection stands yet");
/// assert_eq!((subscription.position(), subscription.behind()), (None, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Subscription {
    channel: String,
    presence: bool,
    state: SubscriptionState,
    /// The server may know it: it was asked for in this session.
    asked: bool,
    position: Option<ChannelPosition>,
    /// Up to there events may come again, after a second answer to one subscription.
    known_to: Offset,
    /// It was answered on this connection.
    answered: bool,
    top: Offset,
    class: DeliveryClass,
    members: Option<Box<PresenceList>>,
    values: KeyedState,
    leases: Leases,
    count: Option<PresenceCount>,
}

impl Subscription {
    /// The channel's name.
    #[must_use]
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// How far it has come.
    #[must_use]
    pub const fn state(&self) -> SubscriptionState {
        self.state
    }

    /// The last event that was delivered; `None` until the first answer.
    #[must_use]
    pub const fn position(&self) -> Option<ChannelPosition> {
        self.position
    }

    /// Events that are known to exist and did not arrive yet.
    #[must_use]
    pub fn behind(&self) -> u64 {
        let offset = self.position.map_or(0, |p| p.offset.0);
        self.top.0.saturating_sub(offset)
    }

    /// Who is there, for a channel named `presence/...`.
    #[must_use]
    pub fn members(&self) -> Option<&PresenceList> {
        self.members.as_deref()
    }

    /// How its events are delivered.
    #[must_use]
    pub const fn class(&self) -> DeliveryClass {
        self.class
    }

    /// The values of its keys.
    #[must_use]
    pub const fn values(&self) -> &KeyedState {
        &self.values
    }

    /// What others do at this moment, such as typing.
    pub fn leases(&self, now: Nanos) -> impl Iterator<Item = &LeaseTold> {
        self.leases.at(now)
    }

    /// How many are there, for a channel named `count/...`; `None` until it was told.
    #[must_use]
    pub const fn count(&self) -> Option<PresenceCount> {
        self.count
    }

    /// Was something told of the same life of the channel that lies beyond this place? Not of lists,
    /// which are told whole as of a place before their newest event.
    fn has_read_beyond(&self, place: ChannelPosition) -> bool {
        let beyond = |p: ChannelPosition| p.epoch == place.epoch && p.offset > place.offset;
        self.members.is_none() && self.position.is_some_and(beyond)
    }

    /// Of a run of events that begins here: is it the next one, or does it begin with what was told
    /// before and may come again?
    fn takes_from(&self, from: Offset) -> bool {
        let known = self.position.map_or(Offset(0), |p| p.offset);
        from.0 == known.0 + 1 || from <= known && from <= self.known_to
    }

    /// May all up to there come again, and was told?
    fn knows(&self, to: Offset) -> bool {
        to <= self.known_to && self.position.is_some_and(|p| to <= p.offset)
    }

    fn request(&self, key: ChannelKey) -> EventUp {
        EventUp::Subscribe {
            key,
            channel: self.channel.clone(),
            // Amid the pages there is nothing to go on from.
            resume: self.position.filter(|_| self.values.is_complete()),
            presence: self.presence,
        }
    }
}

/// What a message on the events stream came to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Heard {
    /// Nothing that an application would want to know.
    Nothing,
    Subscribed {
        key: ChannelKey,
        answer: Answer,
    },
    Delivered(Box<Event>),
    Joined {
        key: ChannelKey,
        member: Member,
    },
    Changed {
        key: ChannelKey,
        member: Member,
    },
    Left {
        key: ChannelKey,
        session: SessionId,
    },
    Run {
        key: ChannelKey,
        here: Vec<Member>,
        left: Vec<SessionId>,
    },
    Counted {
        key: ChannelKey,
        count: PresenceCount,
    },
    MembersComplete {
        key: ChannelKey,
    },
    StateComplete {
        key: ChannelKey,
    },
    Leases {
        key: ChannelKey,
        leases: Vec<LeaseTold>,
    },
    Gap {
        key: ChannelKey,
        from: Offset,
        to: Offset,
    },
    Ended {
        key: ChannelKey,
        channel: String,
        code: CloseCode,
    },
    /// The server broke the rules of the channel.
    Breach,
}

/// The subscriptions of one session.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    by_key: BTreeMap<ChannelKey, Subscription>,
    next_key: u32,
    /// Those that ended here, until the server says that it knows; `true` once it was told on this
    /// connection.
    ending: BTreeMap<ChannelKey, bool>,
    /// Some are not asked for yet, or not told to have ended.
    wanted: bool,
    again_at: Option<Nanos>,
}

impl Subscriptions {
    pub(crate) fn new() -> Self {
        let mut by_key = BTreeMap::new();
        by_key.insert(INBOX, inbox());
        let (ending, next_key) = (BTreeMap::new(), INBOX.0 + 1);
        Self { by_key, next_key, ending, wanted: false, again_at: None }
    }

    pub(crate) fn want(
        &mut self,
        channel: &str,
        options: SubscribeOptions,
    ) -> Result<ChannelKey, RequestError> {
        if channel.len() > CHANNEL_NAME_BYTES_MAX {
            return Err(RequestError::TooLarge);
        }
        if self.by_key.len() > SUBSCRIPTIONS_MAX {
            return Err(RequestError::Limit); // the inbox does not count
        }
        let key = ChannelKey(self.next_key);
        self.next_key = self.next_key.wrapping_add(1).max(INBOX.0 + 1);
        let members = channel.starts_with("presence/").then(Box::default);
        self.by_key.insert(
            key,
            Subscription {
                channel: channel.to_owned(),
                presence: options.presence,
                state: SubscriptionState::Wanted,
                asked: false,
                position: options.resume,
                top: Offset(0),
                known_to: Offset(0),
                answered: false,
                class: DeliveryClass::Ordered,
                members,
                values: KeyedState::default(),
                leases: Leases::default(),
                count: None,
            },
        );
        self.wanted = true;
        Ok(key)
    }

    /// Ends a subscription.
    pub(crate) fn drop_key(&mut self, key: ChannelKey) -> Result<(), RequestError> {
        if key == INBOX {
            return Err(RequestError::Unknown);
        }
        let asked = self.by_key.get(&key).ok_or(RequestError::Unknown)?.asked;
        if asked && self.ending.len() >= SUBSCRIPTIONS_MAX {
            return Err(RequestError::Busy);
        }
        self.by_key.remove(&key);
        if asked {
            self.end_there(key);
        }
        Ok(())
    }

    /// The server has to be told that this one ended, on every connection until it says so: while
    /// it stands there, its channel can have no other key, and its member is in the list (P8).
    fn end_there(&mut self, key: ChannelKey) {
        self.ending.entry(key).or_insert(false);
        self.wanted = true;
    }

    pub(crate) fn get(&self, key: ChannelKey) -> Option<&Subscription> {
        self.by_key.get(&key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ChannelKey, &Subscription)> {
        self.by_key.iter().map(|(key, subscription)| (*key, subscription))
    }

    /// Tells what ended, then asks for what is wanted, as far as there is room.
    pub(crate) fn flush(&mut self, outbox: &mut Outbox) {
        if !self.wanted {
            return;
        }
        for (key, told) in self.ending.iter_mut().filter(|(_, told)| !**told) {
            if outbox.event(&EventUp::Unsubscribe { key: *key }).is_err() {
                return;
            }
            *told = true;
        }
        let wanted = |s: &Subscription| s.state == SubscriptionState::Wanted;
        for (key, subscription) in self.by_key.iter_mut().filter(|(_, s)| wanted(s)) {
            if !outbox.has_room(StreamKind::Events) {
                return;
            }
            if outbox.event(&subscription.request(*key)).is_ok() {
                subscription.state = SubscriptionState::Asked;
                subscription.asked = true;
            }
        }
        self.wanted = false;
    }

    /// When those that were denied for the time being are asked for again.
    pub(crate) const fn again_at(&self) -> Option<Nanos> {
        self.again_at
    }

    /// Their time has come.
    pub(crate) fn again(&mut self, now: Nanos) {
        if self.again_at.is_some_and(|at| now >= at) {
            self.again_at = None;
            self.wanted = true;
        }
    }

    /// The last event seen on each channel, for a Hello that resumes.
    pub(crate) fn positions(&self) -> Vec<(ChannelKey, ChannelPosition)> {
        let behind = u64::from(planted::is(Bug::ResumeBehind));
        let place = |p: ChannelPosition| {
            let offset = Offset(p.offset.0.saturating_sub(behind));
            ChannelPosition { offset, ..p }
        };
        // P6: one that is being asked for again still stands where it stood.
        self.by_key.iter().filter_map(|(key, s)| Some((*key, place(s.position?)))).collect()
    }

    /// The session goes on: what was live is still subscribed and the server answers for each;
    /// what was not answered is asked for again. What ended since the Hello named it, or so late that
    /// its end may not have arrived or not have been kept, is told again before anything is asked.
    pub(crate) fn resume(&mut self) {
        self.ending.values_mut().for_each(|told| *told = false);
        for subscription in self.by_key.values_mut() {
            subscription.answered = false;
            if subscription.state == SubscriptionState::Asked {
                subscription.state = SubscriptionState::Wanted;
            }
        }
        self.wanted = true;
    }

    /// A new session begins: everything is asked for again, each from its own position, and the
    /// inbox is new.
    pub(crate) fn restart(&mut self, epoch: Epoch) {
        self.ending.clear();
        for subscription in self.by_key.values_mut() {
            subscription.state = SubscriptionState::Wanted;
            (subscription.asked, subscription.answered) = (false, false);
        }
        let mut own = inbox();
        own.position = Some(ChannelPosition { epoch, offset: Offset(0) });
        self.by_key.insert(INBOX, own);
        self.wanted = true;
    }
}

fn inbox() -> Subscription {
    Subscription {
        channel: String::new(),
        presence: false,
        state: SubscriptionState::Live,
        asked: false,
        position: None,
        top: Offset(0),
        known_to: Offset(0),
        answered: false,
        class: DeliveryClass::Ordered,
        members: None,
        values: KeyedState::default(),
        leases: Leases::default(),
        count: None,
    }
}

#[cfg(test)]
mod tests;
