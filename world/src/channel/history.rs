//! Reading earlier events of a channel, page by page.
//!
//! P10: a page holds every retained event of what was asked for, in order, and says which part of
//! it is kept no longer. An event stands at its first place with its newest content, its notes and
//! how many answer it, whether memory has it or the disk; one that only changes an earlier one is not
//! shown for itself, unless what it changes is kept no longer. Erased events keep their place.
//!
//! P12: a page is made in the moment in which it is written, and only if a grant covers it then.

use super::log::Record;
use super::notes::Unseen;
use super::pen::Pen;
use super::versions::target_of;
use super::{Channel, ChannelIdx, beside};
use crate::World;
use crate::checksum::Checksum;
use crate::counters::count;
use crate::durable::read::{EventRun, Permit, Reader};
use crate::session::SessionIdx;
use crate::shed::{self, step};
use starling_protocol::close::{CloseCode, Retry};
use starling_protocol::codec;
use starling_protocol::limits::{HISTORY_BYTES_MAX, HISTORY_EVENTS_MAX, HISTORY_IN_FLIGHT_MAX};
use starling_protocol::message::events::{
    Action, Entry, Event, EventDown, HistoryPage, HistoryQuery, HistoryRange,
};
use starling_protocol::units::{ChannelKey, Epoch, Offset, SessionId};
use std::collections::VecDeque;
use std::ops::Range;

/// How long a reader waits that asked too often, or for what the disk has and cannot tell now.
const RETRY_MS: u32 = 1_000;
/// Events have no key in a page.
const NO_KEY: ChannelKey = ChannelKey(0);

/// Reads of a session that wait for their page, answered in order.
#[derive(Debug, Default)]
pub(crate) struct Reads(VecDeque<Read>);

/// One of them.
#[derive(Debug)]
struct Read {
    query: HistoryQuery,
    disk: Disk,
}

/// What of a page comes from the disk.
#[derive(Debug)]
enum Disk {
    /// Nothing, as far as is known.
    Nothing,
    /// What this question asks for, before an offset.
    Asked(u64, Offset),
    /// This.
    Found(Run),
}

/// A run of events that memory does not hold.
#[derive(Debug)]
struct Run {
    /// As they stand, in the order asked for.
    entries: Vec<Entry>,
    /// There are more of those asked for.
    more: bool,
    /// It was asked for up to here, and without it.
    end: Offset,
    _permit: Permit,
}

impl Run {
    /// As much of what was found as fits a page.
    fn of(found: EventRun, end: Offset, _permit: Permit) -> Self {
        let EventRun { events, mut more, asides } = found;
        let mut entries = Vec::with_capacity(events.len());
        let mut room = HISTORY_BYTES_MAX;
        for (offset, record) in events {
            if room == 0 {
                more = true;
                break;
            }
            let event = record.event(NO_KEY, offset);
            let entry = beside::entry(event, &asides.versions, &asides.notes);
            room = room.saturating_sub(codec::encode(&entry).len());
            entries.push(entry);
        }
        Self { entries, more, end, _permit }
    }
}

/// Why there is no page yet.
enum Need {
    /// A run of events of this channel.
    Disk { channel: ChannelIdx, offsets: Range<Offset>, backwards: bool },
    /// There will be none.
    Refuse(CloseCode),
}

impl From<CloseCode> for Need {
    fn from(code: CloseCode) -> Self {
        Self::Refuse(code)
    }
}

impl Reads {
    /// Can one of them be answered, as far as is known?
    pub(crate) fn is_ready(&self) -> bool {
        self.0.front().is_some_and(|read| !matches!(read.disk, Disk::Asked(..)))
    }

    /// Forgets all of them: whoever resumes asks again.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// What was found on disk is looked for again.
    pub(crate) fn forget_found(&mut self) {
        for read in &mut self.0 {
            if matches!(read.disk, Disk::Found(_)) {
                read.disk = Disk::Nothing;
            }
        }
    }

    pub(crate) fn add_to(&self, sum: &mut Checksum) {
        for Read { query, disk } in &self.0 {
            sum.add(query.request).add_bytes(query.channel.as_bytes());
            sum.add(match disk {
                Disk::Nothing => 0,
                Disk::Asked(ticket, _) => *ticket,
                Disk::Found(run) => 1 << 63 | run.entries.len() as u64,
            });
        }
    }
}

impl World {
    /// Takes in a request for a page, or refuses it.
    pub(crate) fn read_history(&mut self, idx: SessionIdx, query: HistoryQuery) {
        let now = self.now;
        let taken = self.check_read(idx, &query.channel);
        let taken = taken.and_then(|()| self.spare(step::READERS)).and_then(|()| {
            let session = &mut self.sessions[idx];
            if session.reads.0.len() >= HISTORY_IN_FLIGHT_MAX {
                return Err(CloseCode::RATE_LIMITED);
            }
            session.may_read_now(now).map_err(|_| CloseCode::RATE_LIMITED)
        });
        match taken {
            Ok(()) => {
                self.sessions[idx].reads.0.push_back(Read { query, disk: Disk::Nothing });
                self.sessions.mark_dirty(idx);
            }
            Err(code) => {
                let wait_ms = if code == CloseCode::OVERLOADED { shed::RETRY_MS } else { RETRY_MS };
                let retry_after_ms = (code.retry() == Retry::Later).then_some(wait_ms);
                self.refuse_events_request(idx, query.request, code, retry_after_ms);
            }
        }
    }

    /// Writes the pages that a session waits for, as far as its link allows and the disk has
    /// answered.
    pub(super) fn write_pages(&mut self, idx: SessionIdx, pen: &mut Pen<'_>) {
        while pen.may_write()
            && self.sessions[idx].reads.is_ready()
            && let Some(read) = self.sessions[idx].reads.0.pop_front()
        {
            let request = read.query.request;
            let message = match self.page(idx, &read) {
                Ok(page) => {
                    self.counters.history_pages += 1;
                    self.counters.history_events += page.entries.len() as u64;
                    EventDown::History(Box::new(page))
                }
                Err(Need::Disk { channel, offsets, backwards }) => {
                    let end = offsets.end;
                    let reader = Reader::History(self.sessions[idx].id);
                    match self.ask_events(reader, channel, offsets, backwards) {
                        Some(ticket) => {
                            let disk = Disk::Asked(ticket, end);
                            self.sessions[idx].reads.0.push_front(Read { disk, ..read });
                            return;
                        }
                        None => self.no_page(request, CloseCode::STORE_BUSY),
                    }
                }
                Err(Need::Refuse(code)) => self.no_page(request, code),
            };
            pen.event(&message);
        }
    }

    fn no_page(&mut self, request: u32, code: CloseCode) -> EventDown {
        count(&mut self.counters.requests_refused, code);
        let retry_after_ms = (code.retry() == Retry::Later).then_some(RETRY_MS);
        EventDown::RequestRefused { request, code, retry_after_ms }
    }

    /// The disk has answered the question of a session: with a run, or with nothing that is worth
    /// telling, so that what there is to say is found out anew.
    pub(crate) fn page_found(
        &mut self,
        session: SessionId,
        ticket: u64,
        found: Option<(EventRun, Permit)>,
    ) {
        let Some(idx) = self.sessions.by_id(session) else { return };
        let asked =
            |read: &&mut Read| matches!(read.disk, Disk::Asked(asked, _) if asked == ticket);
        let Some(read) = self.sessions[idx].reads.0.iter_mut().find(asked) else { return };
        let Disk::Asked(_, end) = read.disk else { return };
        read.disk = match found {
            Some((found, permit)) => Disk::Found(Run::of(found, end, permit)),
            None => Disk::Nothing,
        };
        if self.sessions[idx].is_live() {
            self.sessions.mark_dirty(idx);
        }
    }

    fn page(&self, idx: SessionIdx, read: &Read) -> Result<HistoryPage, Need> {
        let query = &read.query;
        self.check_read(idx, &query.channel)?;
        let run = match &read.disk {
            Disk::Found(run) => Some(run),
            _ => None,
        };
        match self.channels.find(&query.channel) {
            Some(channel) => self.page_of(channel, query, run),
            None => Ok(empty(query.request, Epoch(0), Offset(0))),
        }
    }

    fn page_of(
        &self,
        idx: ChannelIdx,
        query: &HistoryQuery,
        run: Option<&Run>,
    ) -> Result<HistoryPage, Need> {
        let channel = &self.channels[idx];
        if channel.is_damaged() {
            return Err(CloseCode::STORE_DAMAGED.into());
        }
        let top = channel.log.top();
        let page = empty(query.request, top.epoch, top.offset);
        let asked = Asked::of(query.range, channel);
        let unseen = Unseen::of(&channel.log);
        let mut book = Book { channel, query, asked, page, unseen, room: HISTORY_BYTES_MAX };
        let need = match query.range {
            HistoryRange::Newest => book.fill_backwards(run),
            _ => book.fill(run),
        };
        let backwards = query.range == HistoryRange::Newest;
        match need {
            Some(offsets) => Err(Need::Disk { channel: idx, offsets, backwards }),
            None => Ok(book.page),
        }
    }
}

/// A page that is being made.
struct Book<'a> {
    channel: &'a Channel,
    query: &'a HistoryQuery,
    asked: Asked,
    page: HistoryPage,
    unseen: Unseen,
    /// Bytes that still fit.
    room: usize,
}

impl Book<'_> {
    /// The oldest first; or what is needed from the disk for it.
    fn fill(&mut self, run: Option<&Run>) -> Option<Range<Offset>> {
        let (channel, to) = (self.channel, self.asked.to);
        let (kept, held) = (channel.first_kept(), channel.log.first());
        self.page.expired = gone(channel, self.asked.from, to);
        let mut next = self.asked.from.max(kept);
        if next < held && next <= to {
            let Some(run) = run else { return Some(next..held.min(Offset(to.0 + 1))) };
            for entry in run.entries.iter().filter(|entry| entry.event.offset >= kept) {
                let offset = entry.event.offset;
                if !self.take_found(entry) {
                    self.page.next = Some(offset);
                    return None;
                }
                next = Offset(offset.0 + 1);
            }
            next = if run.more { next } else { next.max(run.end) };
            if next < channel.log.first() && next <= to {
                self.page.next = Some(next); // the rest is on disk still
                return None;
            }
        }
        for offset in next.max(held).0..=to.0 {
            let record = channel.log.get(Offset(offset));
            if record.is_some_and(|record| !self.take(Offset(offset), record)) {
                self.page.next = Some(Offset(offset));
                return None;
            }
        }
        None
    }

    /// The newest, the oldest of them first; or what is needed from the disk for it.
    fn fill_backwards(&mut self, run: Option<&Run>) -> Option<Range<Offset>> {
        let (channel, to) = (self.channel, self.asked.to);
        let (kept, held) = (channel.first_kept(), channel.log.first());
        let in_memory = (held.0..=to.0).rev().map(Offset);
        let mut fits = true;
        for (offset, record) in in_memory.filter_map(|o| Some((o, channel.log.get(o)?))) {
            fits = fits && self.take(offset, record);
        }
        fits = fits && self.page.entries.len() < self.limit();
        if fits && kept < held {
            let Some(run) = run else { return Some(kept..held) };
            // What memory lost since the question was asked is left to the next page.
            for entry in run.entries.iter().filter(|_| run.end == held) {
                fits = fits && self.take_found(entry);
            }
            fits = fits && !run.more && run.end == held;
        }
        if fits && self.page.entries.len() < self.limit() {
            self.page.expired = gone(channel, Offset(1), to);
        }
        self.page.entries.reverse();
        None
    }

    fn limit(&self) -> usize {
        usize::from(self.query.limit.clamp(1, HISTORY_EVENTS_MAX))
    }

    /// Takes an event of memory into the page if it is shown; `false` when it does not fit any more.
    fn take(&mut self, offset: Offset, record: &Record) -> bool {
        if !self.is_shown(record.action, record.parent, record.unix_ms) {
            return true;
        }
        let event = record.event(NO_KEY, offset);
        self.put(self.channel.beside.entry(event, &self.unseen))
    }

    /// The same with an event of the disk.
    fn take_found(&mut self, entry: &Entry) -> bool {
        let Event { action, parent, unix_ms, .. } = entry.event;
        !self.is_shown(action, parent, unix_ms) || self.put(entry.clone())
    }

    fn put(&mut self, entry: Entry) -> bool {
        let bytes = codec::encode(&entry).len();
        let full = self.page.entries.len() == self.limit();
        if full || (bytes > self.room && !self.page.entries.is_empty()) {
            return false;
        }
        self.room = self.room.saturating_sub(bytes);
        self.page.entries.push(entry);
        true
    }

    /// Does history show such an event?
    fn is_shown(&self, action: Action, parent: Option<Offset>, unix_ms: u64) -> bool {
        let other_thread = self.query.thread.is_some_and(|thread| parent != Some(thread));
        let seen_there = || target_of(action).is_some_and(|to| to >= self.channel.first_kept());
        !other_thread && self.asked.covers(unix_ms) && !seen_there()
    }
}

/// Offsets that were asked for, and times.
struct Asked {
    from: Offset,
    to: Offset,
    times: Option<(u64, u64)>,
}

impl Asked {
    fn of(range: HistoryRange, channel: &Channel) -> Self {
        let (top, first) = (channel.log.top().offset, channel.log.first());
        match range {
            HistoryRange::Offsets { from, to } => {
                Self { from: Offset(from.0.max(1)), to: to.min(top), times: None }
            }
            HistoryRange::Times { from_ms, to_ms } => {
                let oldest = channel.log.get(first).map_or(u64::MAX, |record| record.unix_ms);
                // Whatever was there before the oldest may lie in the time asked for, unless that
                // begins after the oldest.
                let from = if from_ms > oldest { first } else { Offset(1) };
                Self { from, to: top, times: Some((from_ms, to_ms)) }
            }
            _ => Self { from: first, to: top, times: None },
        }
    }

    fn covers(&self, unix_ms: u64) -> bool {
        self.times.is_none_or(|(from, to)| (from..=to).contains(&unix_ms))
    }
}

/// The part of a run of offsets that is kept no longer.
fn gone(channel: &Channel, from: Offset, to: Offset) -> Option<(Offset, Offset)> {
    let last = Offset(channel.first_kept().0 - 1).min(to);
    (from <= last).then_some((from, last))
}

const fn empty(request: u32, epoch: Epoch, top: Offset) -> HistoryPage {
    HistoryPage { request, epoch, top, expired: None, entries: Vec::new(), next: None }
}
