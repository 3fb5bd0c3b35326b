//! From logs and letters to streams, within what each link allows.
//!
//! A session's letters go first, in order; then its channels take turns. Every channel writes from
//! its own place in its log, so that a slow session costs no copies; a log that has moved on
//! without it is told as a gap before the next event (P6).

use super::Channels;
use super::log::Log;
use super::members::MemberList;
use super::subscription::{Pages, Source, Subscription};
use crate::World;
use crate::input::ConnId;
use crate::output::{Output, Write};
use crate::session::{Session, SessionIdx};
use starling_protocol::close::CloseCode;
use starling_protocol::codec;
use starling_protocol::frame;
use starling_protocol::message::events::{Answer, DeliveryClass, EventDown, Member};
use starling_protocol::stream::StreamKind;
use starling_protocol::units::{ChannelKey, Offset, Tick};

/// Bytes that a channel writes before the next has its turn.
const TURN_BYTES: usize = 4 * 1024;
/// Members in one page, and bytes of their subjects.
const PAGE_MEMBERS_MAX: usize = 512;
const PAGE_BYTES_MAX: usize = 16 * 1024;
/// A session whose oldest message waits longer than this is closed.
const PATIENCE_MS: u64 = 5_000;

/// What was written to one session.
#[derive(Default)]
struct Written {
    delivered: u64,
    missed: u64,
}

impl World {
    /// Writes what waits for every session, as far as its link allows, and closes whoever is too
    /// slow. At the end of each step and of each tick.
    pub(crate) fn flush_mail(&mut self, out: &mut Output) {
        let patience_ticks = self.config.tick_rate.ticks_in_ms(PATIENCE_MS);
        for idx in self.sessions.take_dirty() {
            self.write_out(idx, out);
            let Some(session) = self.sessions.get(idx).filter(|s| s.is_live()) else { continue };
            if session.mail.is_too_slow(self.now, patience_ticks) {
                self.close(idx, CloseCode::SLOW_CONSUMER, out);
            } else if session.has_pending() {
                self.sessions.mark_dirty(idx);
            }
        }
    }

    /// Writes what waits for one session, as far as its link allows.
    pub(crate) fn write_out(&mut self, idx: SessionIdx, out: &mut Output) {
        let Some(session) = self.sessions.get_mut(idx) else { return };
        let Some(conn) = session.conn else { return };
        let mut pen = Pen { conn, left: session.link.stream_left(self.now), out };
        let written = write_session(session, &mut self.channels, &mut pen, self.now);
        session.link.leave(pen.left, self.now);
        self.counters.events_delivered += written.delivered;
        self.counters.events_missed += written.missed;
    }
}

/// Writes frames to one connection until its allowance is used up.
///
/// A frame may begin while any of it is left, so that it is exceeded by less than one frame and no
/// frame is too long to be ever written.
struct Pen<'a> {
    conn: ConnId,
    left: u32,
    out: &'a mut Output,
}

impl Pen<'_> {
    fn may_write(&self) -> bool {
        self.left > 0
    }

    fn event(&mut self, message: &EventDown) -> usize {
        let start = self.out.arena.len();
        frame::write(&codec::encode(message), &mut self.out.arena);
        self.finish(StreamKind::Events, start)
    }

    fn framed(&mut self, stream: StreamKind, bytes: &[u8]) {
        let start = self.out.arena.len();
        self.out.arena.extend_from_slice(bytes);
        self.finish(stream, start);
    }

    /// Frames that follow each other on one stream become one write.
    fn finish(&mut self, stream: StreamKind, start: usize) -> usize {
        let end = self.out.arena.len();
        self.left = self.left.saturating_sub((end - start) as u32);
        match self.out.writes.last_mut() {
            Some(last)
                if last.conn == self.conn && last.stream == stream && last.bytes.end == start =>
            {
                last.bytes.end = end;
            }
            _ => self.out.writes.push(Write { conn: self.conn, stream, bytes: start..end }),
        }
        end - start
    }
}

fn write_session(
    session: &mut Session,
    channels: &mut Channels,
    pen: &mut Pen<'_>,
    now: Tick,
) -> Written {
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
        take_turn(session, channels, key, pen, now, &mut written);
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
    now: Tick,
    written: &mut Written,
) {
    let Session { subscriptions, inbox, .. } = session;
    let Some(subscription) = subscriptions.get_mut(key) else { return };
    let mut share = TURN_BYTES;
    while share > 0 && pen.may_write() {
        let next = match subscription.source {
            Source::Inbox => subscription.next_message(key, inbox, None),
            Source::Channel(idx) => {
                let channel = &mut channels[idx];
                subscription.next_message(key, &channel.log, channel.members.as_mut())
            }
        };
        let Some(message) = next else {
            subscriptions.ready.remove(&key);
            return;
        };
        written.count(&message);
        subscription.told = now;
        share = share.saturating_sub(pen.event(&message));
    }
}

impl Subscription {
    /// What comes next in this channel, if anything does: a page of members, a gap, an event.
    fn next_message(
        &mut self,
        key: ChannelKey,
        log: &Log,
        list: Option<&mut MemberList>,
    ) -> Option<EventDown> {
        if let Some(pages) = &mut self.members {
            let (members, last) = pages.next_page();
            if last {
                self.members = None;
            }
            return Some(EventDown::Members { key, members, last });
        }
        let next = Offset(self.read.0 + 1);
        if next < log.first() {
            return Some(self.skip_gap(key, next, log, list));
        }
        let event = log.get(next)?.event(key, next);
        self.read = next;
        Some(EventDown::Deliver(Box::new(event)))
    }

    /// The log has moved on without this subscriber. A presence list starts anew from its members,
    /// which is better than a hole.
    fn skip_gap(
        &mut self,
        key: ChannelKey,
        from: Offset,
        log: &Log,
        list: Option<&mut MemberList>,
    ) -> EventDown {
        let Some(list) = list else {
            let to = Offset(log.first().0 - 1);
            self.read = to;
            return EventDown::Gap { key, from, to };
        };
        let (at, members) = list.snapshot(log);
        self.base = at;
        self.read = at.offset;
        self.members = Some(Pages { members, next: 0 });
        EventDown::Subscribed {
            key,
            answer: Answer::Reset(at),
            top: log.top(),
            class: DeliveryClass::Ordered,
        }
    }
}

impl Written {
    fn count(&mut self, message: &EventDown) {
        match message {
            EventDown::Deliver(_) => self.delivered += 1,
            EventDown::Gap { from, to, .. } => self.missed += to.0 - from.0 + 1,
            _ => {}
        }
    }
}

impl Pages {
    /// The next page, and whether it is the last.
    fn next_page(&mut self) -> (Vec<Member>, bool) {
        let rest = &self.members[self.next..];
        let mut bytes = 0;
        let fits = |member: &&Member| {
            bytes += member.subject.len();
            bytes <= PAGE_BYTES_MAX
        };
        let count = rest.iter().take(PAGE_MEMBERS_MAX).take_while(fits).count();
        let page = rest[..count.max(1).min(rest.len())].to_vec();
        self.next += page.len();
        (page, self.next == self.members.len())
    }
}

impl Session {
    /// Is there anything left to write?
    fn has_pending(&self) -> bool {
        !self.mail.is_empty() || !self.subscriptions.ready.is_empty()
    }
}
