//! Subscriptions: begun, taken up again, ended.

use super::log::Start;
use super::name::{self, Name};
use super::subscription::{Pages, Source, Subscription};
use super::{ChannelIdx, ChannelKind};
use crate::World;
use crate::counters::count;
use crate::session::SessionIdx;
use crate::shed::step;
use starling_protocol::close::CloseCode;
use starling_protocol::limits::{PRESENCE_MEMBERS_MAX, SUBSCRIPTIONS_MAX};
use starling_protocol::message::control::INBOX;
use starling_protocol::message::events::{Answer, DeliveryClass, EventDown};
use starling_protocol::units::{ChannelKey, ChannelPosition};

/// A request for a subscription.
pub(crate) struct Request {
    pub(crate) key: ChannelKey,
    pub(crate) channel: String,
    pub(crate) resume: Option<ChannelPosition>,
    pub(crate) presence: bool,
}

impl World {
    /// Begins a subscription and answers exactly one of resumed, reset and denied.
    pub(crate) fn subscribe(&mut self, idx: SessionIdx, request: Request) {
        let key = request.key;
        match self.may_follow(idx, &request).and_then(|kind| self.follow(idx, request, kind)) {
            Ok(()) => self.counters.subscriptions += 1,
            Err(code) => {
                count(&mut self.counters.subscriptions_denied, code);
                let top = ChannelPosition::default();
                let denied = EventDown::Subscribed {
                    key,
                    answer: Answer::Denied(code),
                    top,
                    class: DeliveryClass::Ordered,
                };
                self.sessions.event(idx, &denied, self.now);
            }
        }
    }

    /// Ends a subscription at the client's wish.
    pub(crate) fn unsubscribe(&mut self, idx: SessionIdx, key: ChannelKey) {
        let code = match self.sessions[idx].subscriptions.get(key) {
            Some(_) if key == INBOX => CloseCode::FORBIDDEN,
            Some(_) => CloseCode::GOODBYE,
            None => CloseCode::UNKNOWN_CHANNEL,
        };
        if code == CloseCode::GOODBYE {
            self.unfollow(idx, key);
        }
        self.sessions.event(idx, &EventDown::Unsubscribed { key, code }, self.now);
    }

    /// Ends every subscription that the session's grants no longer cover.
    pub(crate) fn recheck_subscriptions(&mut self, idx: SessionIdx) {
        let mut ended = Vec::new();
        for key in self.sessions[idx].subscriptions.keys() {
            let Some(channel) = self.followed(idx, key) else { continue };
            let name = self.channels[channel].name.as_str();
            let member = self.sessions[idx].subscriptions.get(key).is_some_and(|s| s.presence);
            let may = self.check_subscribe(idx, name);
            let may = may.and_then(|()| if member { self.check_member(idx, name) } else { Ok(()) });
            if may.is_err() {
                self.unfollow(idx, key);
                ended.push(key);
            }
        }
        self.withdraw(idx, &ended);
        for key in ended {
            let told = EventDown::Unsubscribed { key, code: CloseCode::FORBIDDEN };
            self.sessions.event(idx, &told, self.now);
        }
    }

    /// Takes every subscription up again on a new connection, from where the client says it is.
    ///
    /// A client that names no place for a key has not heard that it was answered, so it starts
    /// where that answer would have told it to. An inbox in which there never was anything is not
    /// spoken of: a client without an events stream has no use for it.
    pub(crate) fn resume_subscriptions(
        &mut self,
        idx: SessionIdx,
        seen: &[(ChannelKey, ChannelPosition)],
    ) {
        for key in self.sessions[idx].subscriptions.keys() {
            let named = seen.iter().find(|(k, _)| *k == key).map(|(_, position)| *position);
            if key == INBOX && named.is_none() && self.sessions[idx].inbox.is_untouched() {
                continue; // as at the start of a session
            }
            let Some(subscription) = self.sessions[idx].subscriptions.get(key) else { continue };
            let (source, base) = (subscription.source, subscription.base);
            if self.is_damaged(source) {
                // P16: its numbers may be older than what the client has; it is told nothing of them.
                self.unfollow(idx, key);
                let told = EventDown::Unsubscribed { key, code: CloseCode::STORE_DAMAGED };
                self.sessions.event(idx, &told, self.now);
                continue;
            }
            let mut start = self.start(idx, source, Some(named.unwrap_or(base)));
            if named.is_none() && start.answer == Answer::Resumed {
                start.answer = Answer::Reset(base);
            }
            self.begin(idx, key, source, start);
            if let Some(subscription) = self.sessions[idx].subscriptions.get_mut(key) {
                subscription.unnamed = named.is_none();
            }
        }
        self.tell_unknown(idx, seen);
    }

    fn is_damaged(&self, source: Source) -> bool {
        matches!(source, Source::Channel(channel) if self.channels[channel].is_damaged())
    }

    /// What the client follows and this life of the world does not know, as the process died before
    /// it was kept: it asks again, from a place where it may not have got all pages.
    fn tell_unknown(&mut self, idx: SessionIdx, seen: &[(ChannelKey, ChannelPosition)]) {
        self.sessions[idx].subscriptions.lost.clear();
        for (key, _) in seen.iter().filter(|(key, _)| *key != INBOX).take(SUBSCRIPTIONS_MAX) {
            if self.sessions[idx].subscriptions.get(*key).is_none() {
                let lost = EventDown::Unsubscribed { key: *key, code: CloseCode::LOST };
                self.sessions.event(idx, &lost, self.now);
                self.sessions[idx].subscriptions.lost.insert(*key);
            }
        }
    }

    /// Where a subscription stands that the last life of the world forgot and that is asked for
    /// again. What it was promised there was told to nobody: the disk had not got that far.
    fn was_lost(&mut self, idx: SessionIdx, request: &Request) -> Option<ChannelPosition> {
        let lost = self.sessions[idx].subscriptions.lost.remove(&request.key);
        request.resume.filter(|_| lost)
    }

    /// Ends every subscription, as when the session is gone.
    pub(crate) fn unfollow_all(&mut self, idx: SessionIdx) {
        for key in self.sessions[idx].subscriptions.keys() {
            self.unfollow(idx, key);
        }
    }

    fn may_follow(&mut self, idx: SessionIdx, request: &Request) -> Result<ChannelKind, CloseCode> {
        let now = self.now;
        let session = &mut self.sessions[idx];
        if request.key == INBOX {
            return Err(CloseCode::BAD_NAME);
        }
        if session.subscriptions.len() >= SUBSCRIPTIONS_MAX
            && session.subscriptions.get(request.key).is_none()
        {
            return Err(CloseCode::LIMIT);
        }
        session.may_subscribe_now(now).map_err(|_| CloseCode::RATE_LIMITED)?;
        self.check_subscribe(idx, &request.channel)?;
        if !self.goes_on(idx, request) {
            self.spare(step::READERS)?;
        }
        match name::parse(&request.channel, self.realm(idx))? {
            Name::Plain(name) if request.presence => {
                self.check_member(idx, name).map(|()| ChannelKind::Plain)
            }
            _ if request.presence => Err(CloseCode::FORBIDDEN),
            Name::Plain(_) | Name::User(_) => Ok(ChannelKind::Plain),
            Name::Presence(_) => Ok(ChannelKind::Presence),
            Name::Count(_) => Ok(ChannelKind::Count),
        }
    }

    /// P13: does this take up what was followed before? A place in the channel's epoch was told by
    /// it; one of another epoch is no place, and all of the channel is the dearest read there is.
    fn goes_on(&self, idx: SessionIdx, request: &Request) -> bool {
        let Some(position) = request.resume else { return false };
        let known = self.channels.find(&request.channel);
        known.is_some_and(|channel| self.channels[channel].log.top().epoch == position.epoch)
            || self.sessions[idx].subscriptions.lost.contains(&request.key)
    }

    fn follow(
        &mut self,
        idx: SessionIdx,
        request: Request,
        kind: ChannelKind,
    ) -> Result<(), CloseCode> {
        let channel = self.channel_for(idx, &request.channel, kind)?;
        if self.channels[channel].is_damaged() {
            return Err(CloseCode::STORE_DAMAGED);
        }
        self.end_unnamed(idx, request.key, channel);
        self.check_key(idx, request.key, channel)?;
        if request.presence {
            self.check_room(idx, &request.channel)?;
        }
        self.channels[channel].subscribers.insert(idx, request.key);
        let source = Source::Channel(channel);
        let old = self.sessions[idx].subscriptions.get(request.key);
        // P6: asked for again by whoever had heard no answer. It was answered at the resume, and
        // begins where it began.
        let unheard = old.filter(|old| old.unnamed && request.resume.is_none()).map(|old| old.base);
        let mut start = self.start(idx, source, request.resume.or(unheard));
        if let Some(base) = unheard.filter(|_| start.answer == Answer::Resumed) {
            start.answer = Answer::Reset(base);
        }
        let was_here = old.is_some_and(|old| old.presence);
        let promised = old.filter(|old| old.paged).map(|old| old.base);
        let promised = promised.or_else(|| self.was_lost(idx, &request));
        let mut subscription =
            Subscription::new(source, ChannelPosition::default(), request.presence, self.now);
        if let Some(base) = promised {
            (subscription.base, subscription.paged) = (base, true);
        }
        self.sessions[idx].subscriptions.insert(request.key, subscription);
        self.begin(idx, request.key, source, start);
        self.keep_subscription(idx, request.key);
        match (was_here, request.presence) {
            (false, true) => self.join_channel(idx, &request.channel),
            (true, false) => self.leave_channel(idx, &request.channel),
            _ => {}
        }
        Ok(())
    }

    /// A client that ended a subscription while it was away, or just before the process died, may
    /// follow the same channel under another key.
    fn end_unnamed(&mut self, idx: SessionIdx, key: ChannelKey, channel: ChannelIdx) {
        let other = self.channels[channel].subscribers.get(&idx).copied().filter(|k| *k != key);
        let unnamed = |key: &ChannelKey| {
            self.sessions[idx].subscriptions.get(*key).is_some_and(|other| other.unnamed)
        };
        if let Some(other) = other.filter(unnamed) {
            self.unfollow(idx, other);
        }
    }

    /// A key names one channel and a channel has one key; the same pair again starts it anew.
    fn check_key(
        &self,
        idx: SessionIdx,
        key: ChannelKey,
        channel: ChannelIdx,
    ) -> Result<(), CloseCode> {
        let other_key = self.channels[channel].subscribers.get(&idx).is_some_and(|k| *k != key);
        let other_channel = self.followed(idx, key).is_some_and(|c| c != channel);
        if other_key || other_channel { Err(CloseCode::BAD_NAME) } else { Ok(()) }
    }

    fn check_room(&mut self, idx: SessionIdx, channel: &str) -> Result<(), CloseCode> {
        let list = self.channel_for(idx, &name::presence_of(channel), ChannelKind::Presence)?;
        let members = self.channels[list].members.as_ref().map_or(0, |m| m.len());
        if members >= PRESENCE_MEMBERS_MAX { Err(CloseCode::LIMIT) } else { Ok(()) }
    }

    /// Where a subscription starts.
    fn start(&self, idx: SessionIdx, source: Source, seen: Option<ChannelPosition>) -> Start {
        let (log, first) = match source {
            Source::Inbox => {
                let inbox = &self.sessions[idx].inbox;
                (inbox, inbox.first())
            }
            Source::Channel(channel) => {
                let channel = &self.channels[channel];
                (&channel.log, channel.first_kept())
            }
        };
        seen.map_or_else(|| log.start_now(), |seen| log.start_after(seen, first))
    }

    /// Tells where a subscription starts and lets its deliveries begin.
    fn begin(&mut self, idx: SessionIdx, key: ChannelKey, source: Source, start: Start) {
        let (start, pages, top) = self.with_pages(idx, key, source, start);
        let class = match source {
            Source::Inbox => DeliveryClass::Ordered,
            Source::Channel(channel) => self.channels[channel].class(),
        };
        let told = EventDown::Subscribed { key, answer: start.answer, top, class };
        self.sessions.event(idx, &told, self.now);
        if let Some(subscription) = self.sessions[idx].subscriptions.get_mut(key) {
            let base = ChannelPosition { epoch: top.epoch, offset: start.after };
            subscription.base = base;
            subscription.read = start.after;
            subscription.paged = pages.is_some();
            subscription.bases.clear();
            subscription.pages = pages;
            subscription.ahead = None;
            if subscription.paged {
                self.keep_subscription(idx, key);
            }
        }
        if let Source::Channel(channel) = source {
            let start = self.channels[channel].beside.cursors.start();
            if let Some(subscription) = self.sessions[idx].subscriptions.get_mut(key) {
                subscription.cursors_told = start;
            }
            self.tell_leases_to(idx, key, channel);
        }
        self.sessions.ready(idx, key);
    }

    /// A presence list, or a channel with state, that cannot go on without a hole starts from its
    /// members or its values.
    fn with_pages(
        &mut self,
        idx: SessionIdx,
        key: ChannelKey,
        source: Source,
        start: Start,
    ) -> (Start, Option<Pages>, ChannelPosition) {
        let Source::Channel(channel) = source else {
            return (start, None, self.sessions[idx].inbox.top());
        };
        let subscription = self.sessions[idx].subscriptions.get(key);
        let cut = subscription.is_some_and(|s| s.may_lack_pages(start.after));
        let channel = &mut self.channels[channel];
        let goes_on =
            start.answer == Answer::Resumed && start.after.0 + 1 >= channel.first_kept().0;
        let top = channel.log.top();
        if (!goes_on || cut)
            && let Some((at, pages)) = channel.pages()
        {
            let start = Start { answer: Answer::Reset(at), after: at.offset };
            return (start, Some(pages), top);
        }
        (start, None, top)
    }

    /// The channel that a key names.
    pub(super) fn followed(&self, idx: SessionIdx, key: ChannelKey) -> Option<ChannelIdx> {
        match self.sessions[idx].subscriptions.get(key)?.source {
            Source::Inbox => None,
            Source::Channel(channel) => Some(channel),
        }
    }

    pub(crate) fn unfollow(&mut self, idx: SessionIdx, key: ChannelKey) {
        let Some(channel) = self.followed(idx, key) else { return };
        let ended = self.sessions[idx].subscriptions.remove(key);
        self.forget_subscription(idx, key);
        self.channels[channel].subscribers.remove(&idx);
        self.end_leases(idx, channel);
        self.forget_cursor(idx, channel);
        if ended.is_some_and(|subscription| subscription.presence) {
            let name = self.channels[channel].name.clone();
            self.leave_channel(idx, &name);
        }
    }
}
