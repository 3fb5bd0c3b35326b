//! Reading earlier events of a channel, page by page.
//!
//! P10: a page holds every retained event of what was asked for, in order, and says which part of
//! it is kept no longer. An event stands at its first place with its newest content, its notes and
//! how many answer it; one that only changes an earlier one is not shown for itself, unless what it
//! changes is not in memory any more. Erased events keep their place.
//!
//! P12: a page is made in the moment in which it is written, and only if a grant covers it then.

use super::deliver::Pen;
use super::log::Record;
use super::{Channel, ChannelIdx};
use crate::World;
use crate::counters::count;
use crate::session::SessionIdx;
use starling_protocol::close::{CloseCode, Retry};
use starling_protocol::codec;
use starling_protocol::limits::{HISTORY_BYTES_MAX, HISTORY_EVENTS_MAX, HISTORY_IN_FLIGHT_MAX};
use starling_protocol::message::events::{
    Action, Entry, EventDown, HistoryPage, HistoryQuery, HistoryRange,
};
use starling_protocol::units::{ChannelKey, Epoch, Offset};
use std::collections::VecDeque;

/// How long a reader waits that asked too often, or for what the disk has and cannot tell now.
const RETRY_MS: u32 = 1_000;
/// Events have no key in a page.
const NO_KEY: ChannelKey = ChannelKey(0);

/// Reads of a session that wait for their page.
pub(crate) type Reads = VecDeque<HistoryQuery>;

impl World {
    /// Takes in a request for a page, or refuses it.
    pub(crate) fn read_history(&mut self, idx: SessionIdx, query: HistoryQuery) {
        let now = self.now;
        let taken = self.check_read(idx, &query.channel).and_then(|()| {
            let session = &mut self.sessions[idx];
            if session.reads.len() >= HISTORY_IN_FLIGHT_MAX {
                return Err(CloseCode::RATE_LIMITED);
            }
            session.may_read_now(now).map_err(|_| CloseCode::RATE_LIMITED)
        });
        match taken {
            Ok(()) => {
                self.sessions[idx].reads.push_back(query);
                self.sessions.mark_dirty(idx);
            }
            Err(code) => {
                let retry_after_ms = (code.retry() == Retry::Later).then_some(RETRY_MS);
                self.refuse_events_request(idx, query.request, code, retry_after_ms);
            }
        }
    }

    /// Writes the pages that a session waits for, as far as its link allows.
    pub(super) fn write_pages(&mut self, idx: SessionIdx, pen: &mut Pen<'_>) {
        while pen.may_write()
            && let Some(query) = self.sessions[idx].reads.pop_front()
        {
            let request = query.request;
            let message = match self.page(idx, &query) {
                Ok(page) => {
                    self.counters.history_pages += 1;
                    self.counters.history_events += page.entries.len() as u64;
                    EventDown::History(Box::new(page))
                }
                Err(code) => {
                    count(&mut self.counters.requests_refused, code);
                    let retry_after_ms = (code.retry() == Retry::Later).then_some(RETRY_MS);
                    EventDown::RequestRefused { request, code, retry_after_ms }
                }
            };
            pen.event(&message);
        }
    }

    fn page(&self, idx: SessionIdx, query: &HistoryQuery) -> Result<HistoryPage, CloseCode> {
        self.check_read(idx, &query.channel)?;
        match self.channels.find(&query.channel) {
            Some(channel) => self.page_of(channel, query),
            None => Ok(empty(query.request, Epoch(0), Offset(0))),
        }
    }

    fn page_of(&self, idx: ChannelIdx, query: &HistoryQuery) -> Result<HistoryPage, CloseCode> {
        let channel = &self.channels[idx];
        if channel.is_damaged() {
            return Err(CloseCode::STORE_DAMAGED);
        }
        let top = channel.log.top();
        let limit = usize::from(query.limit.clamp(1, HISTORY_EVENTS_MAX));
        let mut page = empty(query.request, top.epoch, top.offset);
        let asked = Asked::of(query.range, channel);
        // What the disk alone has is not gone: it is never told as expired.
        if asked.from < channel.log.first() {
            on_disk_too(channel)?;
        }
        page.expired = asked.expired(channel);
        match query.range {
            HistoryRange::Newest => {
                if fill_backwards(&mut page, channel, query, &asked, limit) {
                    on_disk_too(channel)?;
                    page.expired = gone(channel, Offset(1), asked.to);
                }
            }
            _ => fill(&mut page, channel, query, &asked, limit),
        }
        Ok(page)
    }
}

/// Is there more on disk than in memory?
///
/// # Errors
/// `STORE_BUSY`: a page that needs it cannot be made.
fn on_disk_too(channel: &Channel) -> Result<(), CloseCode> {
    if channel.first_kept() < channel.log.first() { Err(CloseCode::STORE_BUSY) } else { Ok(()) }
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

    fn expired(&self, channel: &Channel) -> Option<(Offset, Offset)> {
        gone(channel, self.from, self.to)
    }

    fn covers(&self, record: &Record) -> bool {
        self.times.is_none_or(|(from, to)| (from..=to).contains(&record.unix_ms))
    }
}

/// The part of a run of offsets that is kept no longer.
fn gone(channel: &Channel, from: Offset, to: Offset) -> Option<(Offset, Offset)> {
    let last = Offset(channel.first_kept().0 - 1).min(to);
    (from <= last).then_some((from, last))
}

/// The oldest first, up to the limit.
fn fill(
    page: &mut HistoryPage,
    channel: &Channel,
    query: &HistoryQuery,
    asked: &Asked,
    limit: usize,
) {
    let mut room = HISTORY_BYTES_MAX;
    for offset in asked.from.max(channel.log.first()).0..=asked.to.0 {
        let offset = Offset(offset);
        let Some(entry) = shown(channel, query, asked, offset) else { continue };
        let bytes = codec::encode(&entry).len();
        if page.entries.len() == limit || (bytes > room && !page.entries.is_empty()) {
            page.next = Some(offset);
            return;
        }
        room = room.saturating_sub(bytes);
        page.entries.push(entry);
    }
}

/// The newest, up to the limit, the oldest of them first. Says whether there was room for more.
fn fill_backwards(
    page: &mut HistoryPage,
    channel: &Channel,
    query: &HistoryQuery,
    asked: &Asked,
    limit: usize,
) -> bool {
    let mut room = HISTORY_BYTES_MAX;
    let mut fits = true;
    for offset in (channel.log.first().0..=asked.to.0).rev() {
        let Some(entry) = shown(channel, query, asked, Offset(offset)) else { continue };
        let bytes = codec::encode(&entry).len();
        fits = page.entries.len() < limit && (bytes <= room || page.entries.is_empty());
        if !fits {
            break;
        }
        room = room.saturating_sub(bytes);
        page.entries.push(entry);
    }
    page.entries.reverse();
    fits && page.entries.len() < limit
}

/// An event as history shows it, if it does.
fn shown(channel: &Channel, query: &HistoryQuery, asked: &Asked, offset: Offset) -> Option<Entry> {
    let record = channel.log.get(offset).filter(|record| asked.covers(record))?;
    if query.thread.is_some_and(|parent| record.parent != Some(parent)) {
        return None;
    }
    let target = match record.action {
        Action::Update(to) | Action::Append(to) | Action::Delete(to) | Action::Annotate(to) => {
            Some(to)
        }
        _ => None,
    };
    let seen_there = target.is_some_and(|target| target >= channel.log.first());
    (!seen_there).then(|| channel.beside.entry(record.event(NO_KEY, offset)))
}

const fn empty(request: u32, epoch: Epoch, top: Offset) -> HistoryPage {
    HistoryPage { request, epoch, top, expired: None, entries: Vec::new(), next: None }
}
