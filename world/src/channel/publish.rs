//! Publishing: checked, numbered, acknowledged.

use super::log::Record;
use super::name::{self, Name};
use super::recipients::{channel_of, grant_name};
use super::{Channel, ChannelIdx, ChannelKind, state};
use crate::World;
use crate::counters::count;
use crate::durable::pending::Asked;
use crate::durable::recall::Wish;
use crate::durable::seen::{self, Author, Fate};
use crate::realm::Realm;
use crate::session::SessionIdx;
use starling_protocol::close::{CloseCode, Retry};
use starling_protocol::limits::{CHANNEL_NAME_BYTES_MAX, EVENT_BYTES_MAX};
use starling_protocol::message::control::INBOX;
use starling_protocol::message::events::{Action, EventDown, Publish, Publisher, Receipt, Scope};
use starling_protocol::planted::{self, Bug};
use starling_protocol::units::{ChannelPosition, MessageId, Offset};
use std::borrow::Cow;
use std::sync::Arc;

/// How long a publisher waits when the world keeps as many events as it may, or the disk is behind.
const RETRY_WHEN_FULL_MS: u32 = 1_000;

/// What an accepted publish is answered.
pub(crate) enum Accepted {
    /// Where it stands.
    Now(Receipt),
    /// Nothing, until it is on stable storage.
    OnceKept,
}

/// Why a publish was not accepted.
pub(crate) struct Refusal {
    pub(crate) code: CloseCode,
    pub(crate) retry_after_ms: Option<u32>,
}

impl From<CloseCode> for Refusal {
    fn from(code: CloseCode) -> Self {
        let later = code.retry() == Retry::Later;
        Self { code, retry_after_ms: later.then_some(RETRY_WHEN_FULL_MS) }
    }
}

impl World {
    /// Takes in one event of a client, once, and answers it: at once, or when it is on stable
    /// storage (P5).
    pub(crate) fn publish(&mut self, idx: SessionIdx, publish: Publish) {
        let message = publish.message;
        let content = self.content(&publish);
        self.once(idx, (message, content), |world| world.accept(idx, publish));
    }

    /// Does what a message of a client asks, once however often it is repeated, and answers it.
    /// An id that was used for other content is refused, where both are known (not 0).
    pub(super) fn once(
        &mut self,
        idx: SessionIdx,
        (message, content): (MessageId, u64),
        accept: impl FnOnce(&mut Self) -> Result<Accepted, Refusal>,
    ) {
        let now = self.now;
        let answer = match self.repeated(idx, message, content) {
            Some(answer) => {
                self.counters.events_repeated += 1;
                answer
            }
            None => accept(self),
        };
        let told = match answer {
            Ok(Accepted::OnceKept) => return,
            Ok(Accepted::Now(receipt)) => EventDown::Published { message, receipt },
            Err(Refusal { code, retry_after_ms }) => {
                count(&mut self.counters.events_refused, code);
                EventDown::PublishRefused { message, code, retry_after_ms }
            }
        };
        self.sessions.event(idx, &told, now);
    }

    /// P7: what is said of a message that was accepted within the last ten minutes. One that is on
    /// its way to the disk is waited for once more.
    fn repeated(
        &mut self,
        idx: SessionIdx,
        message: MessageId,
        content: u64,
    ) -> Option<Result<Accepted, Refusal>> {
        if planted::is(Bug::PublishTwice) {
            return None;
        }
        if let Some(receipt) = self.sessions[idx].repeats.find(message, self.now) {
            return Some(Ok(Accepted::Now(receipt)));
        }
        let Asked { session, author, .. } = self.asked(idx, message)?;
        let seen = &mut self.durable.seen;
        match seen.find(&author, message)? {
            Fate::Kept(stands) | Fate::Pending(stands, _) if !stands.may_be(content) => {
                return Some(Err(CloseCode::CONFLICT.into()));
            }
            Fate::Kept(stands) => return Some(Ok(Accepted::Now(Receipt::Channel(stands.at)))),
            Fate::Damaged => return Some(Err(CloseCode::STORE_DAMAGED.into())),
            Fate::Pending(..) => {}
        }
        let waits = seen.wait(&author, message, session);
        Some(if waits { Ok(Accepted::OnceKept) } else { Err(CloseCode::STORE_BUSY.into()) })
    }

    /// A digest of what a publish to a channel says, in a world with a store; else 0.
    fn content(&self, publish: &Publish) -> u64 {
        let Publish { action, key, parent, payload, .. } = publish;
        match channel_of(&publish.scope).filter(|_| self.durable.journal.is_on()) {
            Some(channel) => seen::content(&channel, *action, key.as_deref(), *parent, payload),
            None => 0,
        }
    }

    /// Who asks, as it is known after a restart; nobody in a world without a store.
    pub(crate) fn asked(&self, idx: SessionIdx, message: MessageId) -> Option<Asked> {
        let session = &self.sessions[idx];
        let author = || Author::of(session.id, &session.principal.subject);
        let on = self.durable.journal.is_on();
        on.then(|| Asked { session: session.id, author: author(), message })
    }

    /// Appends an event to a channel and wakes whoever follows it; where the channel is durable,
    /// once it is on stable storage.
    pub(crate) fn append(&mut self, idx: ChannelIdx, record: Record) -> ChannelPosition {
        if self.channels[idx].kept.is_some() {
            return self.append_unseen(idx, record, None);
        }
        let record = Arc::new(record);
        let position = self.channels.append(idx, Arc::clone(&record));
        self.take_in(idx, position.offset, &record);
        self.wake_subscribers(idx);
        position
    }

    /// Appends an event that a session asked for under a message id, and remembers that it did.
    pub(super) fn append_asked(
        &mut self,
        channel: ChannelIdx,
        record: Record,
        idx: SessionIdx,
        message: MessageId,
    ) -> Accepted {
        self.counters.events_accepted += 1;
        if self.channels[channel].kept.is_some() {
            let asked = self.asked(idx, message);
            let at = self.append_unseen(channel, record, asked);
            if planted::is(Bug::AckEarly) {
                return Accepted::Now(Receipt::Channel(at));
            }
            return Accepted::OnceKept;
        }
        let receipt = Receipt::Channel(self.append(channel, record));
        self.sessions[idx].repeats.remember(message, receipt, self.now);
        Accepted::Now(receipt)
    }

    /// Everyone who follows a channel has something to read.
    pub(crate) fn wake_subscribers(&mut self, idx: ChannelIdx) {
        for (subscriber, key) in &self.channels[idx].subscribers {
            self.sessions.ready(*subscriber, *key);
        }
    }

    /// Appends an event to the inbox of each recipient.
    pub(crate) fn append_to_inboxes(&mut self, recipients: &[SessionIdx], record: Record) -> u32 {
        let record = Arc::new(record);
        let mut taken = 0;
        for idx in recipients {
            if let Some(session) = self.sessions.get_mut(*idx) {
                session.inbox.append(Arc::clone(&record));
                taken += 1;
                self.sessions.ready(*idx, INBOX);
            }
        }
        taken
    }

    /// Appends an event of the server itself, which needs no grant.
    pub(crate) fn publish_as_server(
        &mut self,
        scope: &Scope,
        record: Record,
    ) -> Result<Receipt, CloseCode> {
        let Some(channel) = channel_of(scope) else {
            let recipients = self.recipients(None, scope)?;
            return Ok(Receipt::Inboxes(self.append_to_inboxes(&recipients, record)));
        };
        match name::parse(&channel, Realm::World)? {
            Name::Plain(_) | Name::User(_) => {
                if self.channels.is_durable(&channel) {
                    self.may_keep(self.channels.find(&channel))?;
                }
                let channel = self.channels.find_or_make(&channel, ChannelKind::Plain, None)?;
                Ok(Receipt::Channel(self.append(channel, record)))
            }
            Name::Presence(_) | Name::Count(_) => Err(CloseCode::UNKNOWN_CHANNEL),
        }
    }

    fn accept(&mut self, idx: SessionIdx, publish: Publish) -> Result<Accepted, Refusal> {
        self.take_turn(idx)?;
        check_shape(&publish)?;
        let grants = &self.sessions[idx].principal.grants;
        if let Some(channel) = channel_of(&publish.scope).map(Cow::into_owned) {
            self.check_publish(idx, &channel, &publish)?;
            self.take_namespace_turn(idx, &channel)?;
            return self.accept_in_channel(idx, &channel, publish);
        }
        if !grant_name(&publish.scope).is_some_and(|name| grants.may_publish(name)) {
            return Err(CloseCode::FORBIDDEN.into());
        }
        let recipients = self.recipients(Some(idx), &publish.scope)?;
        let message = publish.message;
        let record = self.record(idx, publish);
        let receipt = Receipt::Inboxes(self.append_to_inboxes(&recipients, record));
        self.counters.events_accepted += 1;
        self.sessions[idx].repeats.remember(message, receipt, self.now);
        Ok(Accepted::Now(receipt))
    }

    /// A publish goes on that waited for a message on disk; or there is a reason why it cannot.
    pub(crate) fn publish_recalled(
        &mut self,
        idx: SessionIdx,
        publish: Publish,
        read: Result<(), CloseCode>,
    ) {
        let (message, content) = (publish.message, self.content(&publish));
        self.once(idx, (message, content), |world| {
            read?;
            let name = channel_of(&publish.scope).map(Cow::into_owned).unwrap_or_default();
            world.check_publish(idx, &name, &publish)?; // P12: as it is now
            world.accept_in_channel(idx, &name, publish)
        });
    }

    pub(crate) fn take_turn(&mut self, idx: SessionIdx) -> Result<(), Refusal> {
        self.spare_publishes()?;
        self.take_rated_turn(idx)
    }

    /// The same of what no step of the ladder gives up.
    pub(crate) fn take_rated_turn(&mut self, idx: SessionIdx) -> Result<(), Refusal> {
        let taken = self.sessions[idx].may_publish_now(self.now);
        taken.map_err(|ticks| self.too_often(ticks))
    }

    /// A namespace may have a rate of its own.
    fn take_namespace_turn(&mut self, idx: SessionIdx, channel: &str) -> Result<(), Refusal> {
        let namespace = self.channels.namespace(channel)?;
        let Some(per_second) = namespace.publishes_per_second else { return Ok(()) };
        let rate = self.config.tick_rate;
        let session = &mut self.sessions[idx];
        let taken = session.may_publish_in(&namespace.name, per_second, rate, self.now);
        taken.map_err(|ticks| self.too_often(ticks))
    }

    fn too_often(&self, ticks: u32) -> Refusal {
        let hz = u64::from(self.config.tick_rate.hz());
        let retry_after_ms = Some((u64::from(ticks) * 1000).div_ceil(hz) as u32);
        Refusal { code: CloseCode::RATE_LIMITED, retry_after_ms }
    }

    fn accept_in_channel(
        &mut self,
        idx: SessionIdx,
        name: &str,
        publish: Publish,
    ) -> Result<Accepted, Refusal> {
        if self.channels.is_durable(name) {
            self.may_keep(self.channels.find(name))?;
            self.may_remember(idx)?;
        }
        if let Some(place) = self.on_disk_of(name, &publish) {
            return self.recall(self.sessions[idx].id, place, Wish::Publish(Box::new(publish)));
        }
        self.check_expected(name, &publish)?;
        self.check_target(idx, name, &publish)?;
        self.check_parent(name, &publish)?;
        self.check_value_room(name, &publish)?;
        self.channels.make_room()?;
        let channel = self.channel_for(idx, name, ChannelKind::Plain)?;
        let message = publish.message;
        let record = self.record(idx, publish);
        Ok(self.append_asked(channel, record, idx, message))
    }

    /// Compare and set: of the key's value where there is a key, of the channel otherwise. P4: by
    /// the newest number given, seen or not: two that expect the same cannot both get it.
    fn check_expected(&self, name: &str, publish: &Publish) -> Result<(), CloseCode> {
        let Some(expected) = publish.expected else { return Ok(()) };
        let channel = self.channels.find(name).map(|c| &self.channels[c]);
        let stands = channel.map_or(Offset(0), |channel| match &publish.key {
            Some(key) => {
                let unseen = channel.log.unseen_value_of(key);
                unseen.unwrap_or_else(|| channel.beside.values.offset_of(key))
            }
            None => channel.log.newest(),
        });
        if expected == stands { Ok(()) } else { Err(CloseCode::CONFLICT) }
    }

    /// A value that there is no room for is refused: none makes room for another.
    fn check_value_room(&self, name: &str, publish: &Publish) -> Result<(), Refusal> {
        let Some(key) = publish.key.as_ref().filter(|_| publish.action == Action::Message) else {
            return Ok(());
        };
        if let Some(channel) = self.channels.find(name) {
            let Channel { beside, log, .. } = &self.channels[channel];
            beside.values.check_room(key, publish.payload.len(), log)?;
        }
        Ok(self.channels.check_beside()?)
    }

    /// What changes an earlier event must name one that is kept, and come from the one who
    /// published it, or from somebody who may do so to any.
    fn check_target(
        &self,
        idx: SessionIdx,
        name: &str,
        publish: &Publish,
    ) -> Result<(), CloseCode> {
        let grants = &self.sessions[idx].principal.grants;
        let (target, own) = match publish.action {
            Action::Update(o) | Action::Append(o) => (o, !grants.may_update_any(name)),
            Action::Delete(o) => (o, !grants.may_delete_any(name)),
            _ => return Ok(()),
        };
        let channel = self.channels.find(name).ok_or(CloseCode::CONFLICT)?;
        let Channel { log, beside, .. } = &self.channels[channel];
        let earlier = log.any(target).ok_or(CloseCode::CONFLICT)?;
        if own && !self.is_publisher(idx, earlier.publisher.as_ref()) {
            return Err(CloseCode::FORBIDDEN);
        }
        beside.versions.check(target, log, publish.action, publish.payload.len())
    }

    /// What answers a message must name one that is kept and was not deleted.
    fn check_parent(&self, name: &str, publish: &Publish) -> Result<(), CloseCode> {
        let Some(parent) = publish.parent else { return Ok(()) };
        let channel = self.channels.find(name).ok_or(CloseCode::CONFLICT)?;
        self.check_message(channel, parent)
    }

    fn is_publisher(&self, idx: SessionIdx, publisher: Option<&Publisher>) -> bool {
        let session = &self.sessions[idx];
        let subject = &session.principal.subject;
        publisher.is_some_and(|p| {
            p.session == session.id || (!subject.is_empty() && p.subject == *subject)
        })
    }

    fn record(&self, idx: SessionIdx, publish: Publish) -> Record {
        Record {
            publisher: Some(self.sessions[idx].publisher()),
            message: publish.message,
            action: publish.action,
            state_key: publish.key,
            ttl_ms: publish.ttl_ms,
            parent: publish.parent,
            payload: publish.payload,
            ..self.new_record()
        }
    }

    /// An empty message of the server itself, accepted now.
    pub(crate) fn new_record(&self) -> Record {
        Record::new(self.now, self.unix_ms)
    }
}

/// What can be refused without looking at the world.
fn check_shape(publish: &Publish) -> Result<(), CloseCode> {
    if publish.payload.len() > EVENT_BYTES_MAX {
        return Err(CloseCode::TOO_LARGE);
    }
    if publish.key.as_ref().is_some_and(|k| k.is_empty() || k.len() > CHANNEL_NAME_BYTES_MAX) {
        return Err(CloseCode::BAD_NAME);
    }
    match publish.action {
        Action::Message | Action::Update(_) | Action::Delete(_) | Action::Append(_) => {}
        Action::Clear => {}
        // What the server alone makes: comings and goings, notes, tombstones.
        _ => return Err(CloseCode::FORBIDDEN),
    }
    state::check_shape(publish)?;
    if publish.parent.is_some() && publish.action != Action::Message {
        return Err(CloseCode::CONFLICT);
    }
    let in_channel = matches!(publish.scope, Scope::Channel(_) | Scope::User(_));
    let plain =
        publish.expected.is_none() && publish.parent.is_none() && publish.action == Action::Message;
    if in_channel || plain { Ok(()) } else { Err(CloseCode::CONFLICT) }
}
