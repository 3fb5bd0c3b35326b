//! Receipts: how far each member has read, as one cursor that only goes forward.
//!
//! Cursors are told like the values of a conflated channel: every change has a number, a follower
//! has a place among them, and what changed twice is told once. So they cost members and not
//! members times messages.

use super::log::Record;
use super::notes::User;
use super::versions::is_message;
use super::{Channel, ChannelIdx};
use crate::World;
use crate::checksum::Checksum;
use crate::counters::count;
use crate::session::{Session, SessionIdx};
use starling_protocol::close::CloseCode;
use starling_protocol::limits::SUBSCRIPTIONS_MAX;
use starling_protocol::message::events::{EventDown, Publisher, ReadCursor, Unread};
use starling_protocol::units::{ChannelKey, Offset, SessionId};
use std::collections::BTreeMap;
use std::ops::Bound;

/// Cursors of one channel.
const CURSORS_MAX: usize = 65_536;
/// Cursors told in one message.
const TOLD_MAX: usize = 128;
/// Cursors that a new follower is told: those that moved last.
const TOLD_AT_START_MAX: usize = 1_024;
/// Milliseconds between two messages of one channel about cursors.
const TELL_MS: u64 = 250;
/// What a cursor costs beside its user's name, for the bound in bytes.
const CURSOR_OVERHEAD_BYTES: usize = 128;

#[derive(Clone, Copy, Debug)]
struct Cursor {
    offset: Offset,
    session: SessionId,
    change: u64,
}

/// How far everybody has read in one channel.
#[derive(Debug, Default)]
pub(crate) struct Cursors {
    by_user: BTreeMap<User, Cursor>,
    by_change: BTreeMap<u64, User>,
    changes: u64,
    /// The newest change that went to the disk.
    kept: u64,
    bytes: usize,
}

impl Cursors {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How far a user has read; 0 where it never said so.
    pub(crate) fn of(&self, user: &User) -> Offset {
        self.by_user.get(user).map_or(Offset(0), |cursor| cursor.offset)
    }

    /// Moves a cursor forward; `false` where it stands there or further.
    ///
    /// # Errors
    /// `LIMIT` where there may be no more of them.
    fn advance(
        &mut self,
        user: User,
        session: SessionId,
        offset: Offset,
    ) -> Result<bool, CloseCode> {
        let old = self.by_user.get(&user).copied();
        if old.map_or(Offset(0), |cursor| cursor.offset) >= offset {
            return Ok(false);
        }
        match old {
            Some(old) => _ = self.by_change.remove(&old.change),
            None if self.by_user.len() >= CURSORS_MAX => return Err(CloseCode::LIMIT),
            None => self.bytes += cost(&user),
        }
        self.changes += 1;
        self.by_change.insert(self.changes, user.clone());
        self.by_user.insert(user, Cursor { offset, session, change: self.changes });
        Ok(true)
    }

    /// Puts back a cursor of an earlier life.
    pub(super) fn restore(&mut self, user: User, session: SessionId, offset: Offset) {
        if self.advance(user, session, offset).is_ok() {
            self.kept = self.changes;
        }
    }

    /// The cursors of users with a name that moved since the last call.
    pub(crate) fn take_unkept(&mut self) -> Vec<(String, Offset, SessionId)> {
        let range = (Bound::Excluded(self.kept), Bound::Unbounded);
        let cursor = |user: &User| match user {
            User::Named(subject) => {
                let cursor = self.by_user.get(user)?;
                Some((subject.clone(), cursor.offset, cursor.session))
            }
            User::Session(_) => None,
        };
        let unkept = self.by_change.range(range).filter_map(|(_, user)| cursor(user)).collect();
        self.kept = self.changes;
        unkept
    }

    /// A user has read nothing.
    pub(super) fn forget(&mut self, user: &User) {
        if let Some(cursor) = self.by_user.remove(user) {
            self.by_change.remove(&cursor.change);
            self.bytes -= cost(user);
        }
    }

    /// The place of a new follower among the changes.
    pub(crate) fn start(&self) -> u64 {
        let first = self.by_change.keys().rev().nth(TOLD_AT_START_MAX - 1);
        first.map_or(0, |change| change - 1)
    }

    /// What changed after this place, as much as one message holds, and the place after it.
    pub(crate) fn after(&self, told: u64) -> Option<(Vec<ReadCursor>, u64)> {
        let range = (Bound::Excluded(told), Bound::Unbounded);
        let mut last = told;
        let cursor = |(change, user): (&u64, &User)| {
            last = *change;
            self.by_user.get(user).map(|cursor| cursor.told(user))
        };
        let cursors: Vec<_> =
            self.by_change.range(range).take(TOLD_MAX).filter_map(cursor).collect();
        (!cursors.is_empty()).then_some((cursors, last))
    }

    pub(crate) fn add_to(&self, sum: &mut Checksum) {
        for (user, cursor) in &self.by_user {
            user.add_to(sum);
            sum.add(cursor.offset.0).add(cursor.session.0).add(cursor.change);
        }
    }
}

impl Cursor {
    fn told(&self, user: &User) -> ReadCursor {
        let subject = match user {
            User::Named(subject) => subject.clone(),
            User::Session(_) => String::new(),
        };
        ReadCursor { subject, session: self.session, offset: self.offset }
    }
}

fn cost(user: &User) -> usize {
    CURSOR_OVERHEAD_BYTES + 2 * user.bytes()
}

impl Channel {
    /// What somebody has not read: messages after its cursor that are in memory, not deleted and
    /// not its own.
    fn unread(&self, session: &Session) -> Unread {
        let read = self.beside.cursors.of(&session.user());
        let top = self.log.top().offset;
        let first = self.log.first().0.max(read.0 + 1);
        let offsets = (first..=top.0).map(Offset);
        let unread = offsets.filter(|offset| {
            let counts = |record| is_for_reading(record) && !session.published(record);
            self.log.get(*offset).is_some_and(counts) && !self.beside.versions.is_deleted(*offset)
        });
        Unread { count: unread.count() as u32, read, top }
    }
}

fn is_for_reading(record: &Record) -> bool {
    is_message(record) && record.state_key.is_none()
}

impl Session {
    /// Is this event its own, whichever of the user's sessions published it?
    fn published(&self, record: &Record) -> bool {
        let subject = &self.principal.subject;
        let own =
            |p: &Publisher| p.session == self.id || !subject.is_empty() && p.subject == *subject;
        record.publisher.as_ref().is_some_and(own)
    }
}

impl World {
    /// Somebody has read everything in a channel up to an event.
    pub(crate) fn read_up_to(&mut self, idx: SessionIdx, key: ChannelKey, offset: Offset) {
        if let Err(code) = self.advance_cursor(idx, key, offset) {
            self.refuse_ask(idx, key.0, code);
        }
    }

    fn advance_cursor(
        &mut self,
        idx: SessionIdx,
        key: ChannelKey,
        offset: Offset,
    ) -> Result<(), CloseCode> {
        let channel = self.followed(idx, key).ok_or(CloseCode::UNKNOWN_CHANNEL)?;
        let Channel { log, members, .. } = &self.channels[channel];
        if members.is_some() {
            return Err(CloseCode::FORBIDDEN);
        }
        self.channels.check_beside()?;
        let offset = offset.min(log.top().offset);
        let (user, session) = (self.sessions[idx].user(), self.sessions[idx].id);
        let advance = |cursors: &mut Cursors| cursors.advance(user, session, offset);
        if self.channels.with_beside(channel, |beside| advance(&mut beside.cursors))? {
            self.channels.cursor_news(channel);
        }
        Ok(())
    }

    /// A session without a subject that follows a channel no more has no cursor there.
    pub(super) fn forget_cursor(&mut self, idx: SessionIdx, channel: ChannelIdx) {
        let user = self.sessions[idx].user();
        if matches!(user, User::Session(_)) {
            self.channels.with_beside(channel, |beside| beside.cursors.forget(&user));
        }
    }

    /// Says how much of some channels a session has not read.
    pub(crate) fn count_unread(&mut self, idx: SessionIdx, request: u32, channels: &[String]) {
        match self.unread(idx, channels) {
            Ok(channels) => {
                self.sessions.event(idx, &EventDown::Unread { request, channels }, self.now);
            }
            Err(code) => self.refuse_ask(idx, request, code),
        }
    }

    fn unread(&mut self, idx: SessionIdx, names: &[String]) -> Result<Vec<Unread>, CloseCode> {
        if names.len() > SUBSCRIPTIONS_MAX {
            return Err(CloseCode::LIMIT);
        }
        let mut counts = Vec::new();
        for name in names {
            // P12: asked of channels that it does not follow, too.
            self.check_subscribe(idx, name)?;
            let now = self.now;
            self.sessions[idx].may_count_now(now).map_err(|_| CloseCode::RATE_LIMITED)?;
            let nothing = Unread { count: 0, read: Offset(0), top: Offset(0) };
            let found = self.channels.find(name);
            let unread = |channel: ChannelIdx| self.channels[channel].unread(&self.sessions[idx]);
            counts.push(found.map_or(nothing, unread));
        }
        Ok(counts)
    }

    fn refuse_ask(&mut self, idx: SessionIdx, request: u32, code: CloseCode) {
        count(&mut self.counters.requests_refused, code);
        let refused = EventDown::RequestRefused { request, code, retry_after_ms: None };
        self.sessions.event(idx, &refused, self.now);
    }

    /// A few times a second lets followers read what became of cursors.
    pub(crate) fn tell_cursors(&mut self) {
        let period = self.config.tick_rate.ticks_in_ms(TELL_MS).max(1);
        if !self.now.0.is_multiple_of(period) {
            return;
        }
        for channel in self.channels.take_cursor_news() {
            if !self.journal_cursors(channel) {
                self.channels.cursor_news(channel); // once more when the store takes it
            }
            for (subscriber, key) in &self.channels[channel].subscribers {
                self.sessions.ready(*subscriber, *key);
            }
        }
    }
}
