//! From logs and letters to streams, within what each link allows.
//!
//! A session's letters go first, in order; then its channels take turns. Every channel writes from
//! its own place in its log, so that a slow session costs no copies; a log that has moved on
//! without it is told as a gap before the next event (P6), or read from the disk where it is kept
//! there.

use super::log::Log;
use super::pen::{Encoded, Pen};
use super::state::StatePages;
use super::subscription::{MemberPages, Pages, Source, Subscription};
use super::{Channel, ChannelIdx, Channels};
use crate::World;
use crate::durable::read::Ahead;
use crate::output::Output;
use crate::session::{Session, SessionIdx};
use starling_protocol::close::CloseCode;
use starling_protocol::message::control::Capabilities;
use starling_protocol::message::events::{Answer, DeliveryClass, EventDown, Member};
use starling_protocol::planted::{self, Bug};
use starling_protocol::units::{ChannelKey, ChannelPosition, Offset, Tick, TickRate};
use std::ops::Range;
use std::sync::Arc;

/// Bytes that a channel writes before the next has its turn.
const TURN_BYTES: usize = 4 * 1024;
/// Members in one page, and bytes of them.
const PAGE_MEMBERS_MAX: usize = 512;
const PAGE_BYTES_MAX: usize = 16 * 1024;

/// What was written to one session.
#[derive(Default)]
struct Written {
    delivered: u64,
    missed: u64,
    /// What is to be read from the disk before more can be written.
    asks: Vec<Ask>,
    /// Subscriptions that begin somewhere else now.
    moved: Vec<ChannelKey>,
}

/// Events of a channel that one subscription needs next.
struct Ask {
    key: ChannelKey,
    channel: ChannelIdx,
    offsets: Range<Offset>,
}

/// What comes next in a subscription.
enum Next {
    Message(EventDown),
    /// The event with this number, which memory holds.
    Event(Offset),
    /// Nothing now.
    Nothing,
    /// These events, which are on disk only.
    OnDisk(Range<Offset>),
}

impl World {
    /// Writes what waits for every session, as far as its link allows, and closes whoever is too
    /// slow. At the end of each step and of each tick.
    pub(crate) fn flush_mail(&mut self, out: &mut Output) {
        let patience_ticks = self.config.tick_rate.ticks_in_ms(self.shed.patience_ms());
        let mut encoded = Encoded::default();
        for idx in self.sessions.take_dirty() {
            self.write_to(idx, out, &mut encoded);
            let Some(session) = self.sessions.get(idx).filter(|s| s.is_live()) else { continue };
            if session.is_too_slow(self.now, patience_ticks) {
                self.close(idx, CloseCode::SLOW_CONSUMER, out);
            } else if session.has_pending() {
                self.sessions.mark_dirty(idx);
            }
        }
    }

    /// Writes what waits for one session, as far as its link allows.
    pub(crate) fn write_out(&mut self, idx: SessionIdx, out: &mut Output) {
        self.write_to(idx, out, &mut Encoded::default());
    }

    fn write_to(&mut self, idx: SessionIdx, out: &mut Output, encoded: &mut Encoded) {
        let Some(session) = self.sessions.get_mut(idx) else { return };
        let Some(conn) = session.conn else { return };
        let muted = session.muted;
        let mut pen = Pen::new(conn, session.link.stream_left(self.now), out, encoded);
        if !muted {
            self.write_pages(idx, &mut pen);
        }
        let Some(session) = self.sessions.get_mut(idx) else { return };
        let clock = (self.now, self.config.tick_rate);
        let written = write_session(session, &mut self.channels, &mut pen, clock);
        session.link.leave(pen.left, self.now);
        self.counters.events_delivered += written.delivered;
        self.counters.events_missed += written.missed;
        for Ask { key, channel, offsets } in written.asks {
            self.ask_ahead(idx, key, channel, offsets);
        }
        for key in written.moved {
            self.keep_subscription(idx, key);
        }
    }
}

fn write_session(
    session: &mut Session,
    channels: &mut Channels,
    pen: &mut Pen<'_>,
    (now, rate): (Tick, TickRate),
) -> Written {
    if session.held {
        return Written::default();
    }
    if session.muted {
        while pen.may_write()
            && let Some(letter) = session.mail.pop_control()
        {
            pen.framed(letter.stream, &letter.frame);
        }
        return Written::default();
    }
    while pen.may_write()
        && let Some(letter) = session.mail.pop()
    {
        pen.framed(letter.stream, &letter.frame);
    }
    let mut written = Written::default();
    let before = pen.left;
    while pen.may_write()
        && let Some(key) = session.subscriptions.next_turn()
    {
        take_turn(session, channels, key, pen, (now, rate), &mut written);
    }
    let waiting = !session.subscriptions.ready.is_empty();
    let progress = pen.left != before;
    session.mail.stalled = match (waiting, progress) {
        (false, _) => None,
        (true, true) => Some(now),
        (true, false) => session.mail.stalled.or(Some(now)),
    };
    written
}

/// Lets one channel write, up to its share.
fn take_turn(
    session: &mut Session,
    channels: &mut Channels,
    key: ChannelKey,
    pen: &mut Pen<'_>,
    (now, rate): (Tick, TickRate),
    written: &mut Written,
) {
    let Session { subscriptions, inbox, capabilities, .. } = session;
    let deltas = *capabilities & Capabilities::DELTAS != 0;
    let Some(subscription) = subscriptions.get_mut(key) else { return };
    let mut share = TURN_BYTES;
    while share > 0 && pen.may_write() {
        let next = match subscription.source {
            Source::Inbox => subscription.next_event(key, inbox, inbox.first()),
            Source::Channel(idx) => subscription.next_message(key, &mut channels[idx], now, rate),
        };
        let bytes = match (next, subscription.source) {
            (Next::Message(message), _) => {
                written.count(&message);
                pen.event(&message)
            }
            (Next::Event(offset), source) => {
                written.delivered += 1;
                match source {
                    Source::Inbox => write_letter(key, offset, inbox, pen),
                    Source::Channel(idx) => {
                        subscription.write_event(key, offset, &mut channels[idx], deltas, pen)
                    }
                }
            }
            (next, source) => {
                if let (Next::OnDisk(offsets), Source::Channel(channel)) = (next, source) {
                    written.asks.push(Ask { key, channel, offsets });
                }
                subscriptions.ready.remove(&key);
                return;
            }
        };
        subscription.told = now;
        share = share.saturating_sub(bytes);
    }
}

/// Writes an event of an inbox; the same may lie in others.
fn write_letter(key: ChannelKey, offset: Offset, inbox: &Log, pen: &mut Pen<'_>) -> usize {
    let record = inbox.seen(offset).expect("it was just found there");
    pen.deliver(key, offset, record, Arc::strong_count(record) > 1)
}

impl Subscription {
    /// What comes next in this channel, if anything does: a page of what it is, a new beginning, a
    /// gap, an event.
    fn next_message(
        &mut self,
        key: ChannelKey,
        channel: &mut Channel,
        now: Tick,
        rate: TickRate,
    ) -> Next {
        if let Some(pages) = &mut self.pages {
            let (message, last) = pages.next_message(key, now, rate);
            if last {
                self.pages = None;
            }
            return Next::Message(message);
        }
        if let Some(count) = &channel.count {
            let news = count.message(key, &mut self.read);
            return news.map_or(Next::Nothing, Next::Message);
        }
        let first = channel.first_kept();
        let conflated = channel.class() == DeliveryClass::Conflated;
        // Where only the newest values matter, the old ones are not worth the disk.
        let needed = if conflated { channel.log.first() } else { first };
        let behind = self.read.0 + 1 < needed.0;
        if behind && let Some((at, pages)) = channel.pages() {
            return Next::Message(self.begin_anew(key, channel, at, pages));
        }
        if let Some(list) = &channel.members
            && let Some(run) = list.run(key, &channel.log, self.read)
        {
            self.read = run.to;
            return Next::Message(run.into_message());
        }
        if conflated {
            self.skip_replaced(channel);
        }
        match self.next_event(key, &channel.log, first) {
            Next::Nothing => match channel.beside.cursors.after(self.cursors_told) {
                Some((cursors, told)) => {
                    self.cursors_told = told;
                    Next::Message(EventDown::Cursors { key, cursors })
                }
                None => Next::Nothing,
            },
            next => next,
        }
    }

    /// P4, conflated: what a newer value of the same key has replaced is passed over.
    fn skip_replaced(&mut self, channel: &Channel) {
        let next = |read: Offset| Offset(read.0 + 1);
        while let Some(record) = channel.log.get(next(self.read))
            && channel.beside.values.is_replaced(next(self.read), record)
        {
            self.read = next(self.read);
        }
    }

    /// Writes an event that memory holds; a value as a difference to what the subscriber got last,
    /// where it takes that.
    fn write_event(
        &mut self,
        key: ChannelKey,
        offset: Offset,
        channel: &mut Channel,
        deltas: bool,
        pen: &mut Pen<'_>,
    ) -> usize {
        let Channel { log, beside, subscribers, .. } = channel;
        let record = log.seen(offset).expect("it was just found there");
        if deltas && record.state_key.is_some() {
            let (event, record) = (record.event(key, offset), Arc::clone(record));
            return pen.event(&self.bases.deliver(event, record, &mut beside.made));
        }
        pen.deliver(key, offset, record, subscribers.len() > 1)
    }

    /// The next event of a log that is kept from `first` on, here or on disk, or a gap where that
    /// is gone.
    fn next_event(&mut self, key: ChannelKey, log: &Log, first: Offset) -> Next {
        let next = Offset(self.read.0 + 1);
        if next < first {
            let to = Offset(first.0 - 1);
            self.read = to;
            if planted::is(Bug::GapSilent) {
                return self.next_event(key, log, first);
            }
            return Next::Message(EventDown::Gap { key, from: next, to });
        }
        if next < log.first() {
            return self.next_on_disk(key, next, log);
        }
        self.ahead = None;
        if log.seen(next).is_none() {
            return Next::Nothing;
        }
        self.read = next;
        Next::Event(next)
    }

    /// The next event of the page that was read for it, or that one is needed.
    fn next_on_disk(&mut self, key: ChannelKey, next: Offset, log: &Log) -> Next {
        if let Some(Ahead::Asked(_)) = self.ahead {
            return Next::Nothing;
        }
        if let Some(record) = self.ahead.as_mut().and_then(|ahead| ahead.next(next)) {
            self.bases.clear(); // told whole, and nothing to refer to
            self.read = next;
            return Next::Message(EventDown::Deliver(Box::new(record.event(key, next))));
        }
        self.ahead = None;
        Next::OnDisk(next..log.first())
    }

    /// The log has moved on without this subscriber. What can be told whole starts anew, which is
    /// better than a hole.
    fn begin_anew(
        &mut self,
        key: ChannelKey,
        channel: &Channel,
        at: ChannelPosition,
        pages: Pages,
    ) -> EventDown {
        self.base = at;
        self.read = at.offset;
        (self.pages, self.paged) = (Some(pages), true);
        self.bases.clear();
        let (answer, top, class) = (Answer::Reset(at), channel.log.top(), channel.class());
        EventDown::Subscribed { key, answer, top, class }
    }
}

impl Channel {
    /// What the channel is at a place, page by page, for whoever cannot go on without a hole: where
    /// it is a presence list or has state.
    pub(super) fn pages(&mut self) -> Option<(ChannelPosition, Pages)> {
        if let Some(list) = &mut self.members {
            let (at, members) = list.snapshot(&self.log);
            return Some((at, Pages::Members(MemberPages { members, next: 0 })));
        }
        let values = &mut self.beside.values;
        let state = |values| Pages::State(StatePages { values, next: 0 });
        (!values.is_empty()).then(|| (self.log.top(), state(values.snapshot())))
    }
}

impl Pages {
    /// The next page, and whether it is the last.
    fn next_message(&mut self, key: ChannelKey, now: Tick, rate: TickRate) -> (EventDown, bool) {
        match self {
            Self::Members(pages) => {
                let (members, last) = pages.next_page();
                (EventDown::Members { key, members, last }, last)
            }
            Self::State(pages) => {
                let (entries, last) = pages.next_page(now, rate);
                (EventDown::State { key, entries, last }, last)
            }
        }
    }
}

impl Written {
    fn count(&mut self, message: &EventDown) {
        match message {
            EventDown::Deliver(_) | EventDown::DeliverDelta { .. } => self.delivered += 1,
            EventDown::MembersChanged { from, to, .. } => self.delivered += to.0 - from.0 + 1,
            EventDown::Gap { from, to, .. } => self.missed += to.0 - from.0 + 1,
            EventDown::Subscribed { key, .. } => self.moved.push(*key),
            _ => {}
        }
    }
}

impl MemberPages {
    /// The next page, and whether it is the last.
    fn next_page(&mut self) -> (Vec<Member>, bool) {
        let rest = &self.members[self.next..];
        let mut bytes = 0;
        let fits = |member: &&Arc<Member>| {
            bytes += super::members::MEMBER_BYTES + member.subject.len() + member.data.len();
            bytes <= PAGE_BYTES_MAX
        };
        let count = rest.iter().take(PAGE_MEMBERS_MAX).take_while(fits).count();
        let page = rest[..count.max(1).min(rest.len())]
            .iter()
            .map(|m| m.as_ref().clone())
            .collect::<Vec<_>>();
        self.next += page.len();
        (page, self.next == self.members.len())
    }
}

impl Session {
    /// Has it been too slow? Not while it may be told nothing.
    fn is_too_slow(&self, now: Tick, patience_ticks: u32) -> bool {
        !self.muted && self.mail.is_too_slow(now, patience_ticks)
    }

    /// Is there anything left to write, that may be written?
    fn has_pending(&self) -> bool {
        if self.muted {
            return !self.held && self.mail.has_control();
        }
        !self.mail.is_empty() || self.reads.is_ready() || !self.subscriptions.ready.is_empty()
    }
}
