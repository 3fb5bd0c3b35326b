//! Reading what is on disk only, page by page.
//!
//! A reader that is behind what memory holds asks the store for a run of rows and gets it some
//! steps later. It reads in order, so that there is no moment at which what it reads from the disk
//! and what is live could cross. P10, P16: a run has no hole but at its beginning, where events are
//! kept no longer; any other, and any row that cannot be read, is damage, and stops the channel.

use super::aside::Asides;
use super::half::{Half, Taken};
use super::rows;
use crate::World;
use crate::channel::ChannelIdx;
use crate::channel::log::Record;
use crate::checksum::Checksum;
use crate::journal::{Query, RowRange, Rows, Table};
use crate::session::SessionIdx;
use starling_protocol::close::CloseCode;
use starling_protocol::message::events::EventDown;
use starling_protocol::units::{ChannelKey, Offset, SessionId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

/// Events in one page, and bytes of their rows.
pub(crate) const PAGE_EVENTS_MAX: usize = 128;
const PAGE_BYTES_MAX: usize = 32 * 1024;
/// Questions of a world that the store has not answered yet.
const UNDER_WAY_MAX: usize = 64;
/// Pages of a world that are held, or asked for.
const PAGES_MAX: usize = 1_024;
/// Pages of one session that are held, or asked for.
pub(crate) const SESSION_PAGES_MAX: usize = 2;

/// Who reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// A subscription that is behind what memory holds.
    Subscription(SessionId, ChannelKey),
    /// A page of history.
    History(SessionId),
    /// What is erased.
    Erasure,
    /// Somebody who has to do with this message.
    Recall(Offset),
}

impl Reader {
    /// Does it want to know what later events made of what it reads?
    pub(super) const fn wants_asides(&self) -> bool {
        matches!(self, Self::History(_) | Self::Recall(_))
    }
}

/// A run of events of a channel.
#[derive(Debug, Default)]
pub(crate) struct EventRun {
    /// In the order asked for.
    pub(crate) events: Vec<(Offset, Record)>,
    /// There are more of those asked for.
    pub(crate) more: bool,
    /// What later events made of them, where that was wanted.
    pub(crate) asides: Asides,
}

/// A page that a subscription reads from, or has asked for.
#[derive(Clone, Debug)]
pub(crate) enum Ahead {
    /// Of this question.
    Asked(u64),
    /// The rest of it.
    Page { events: VecDeque<(Offset, Record)>, _permit: Permit },
}

impl Ahead {
    /// Which page, or how much of it is left.
    pub(crate) fn weight(&self) -> u64 {
        match self {
            Self::Asked(ticket) => *ticket,
            Self::Page { events, .. } => 1 << 63 | events.len() as u64,
        }
    }

    /// The event with this number, if the page has it; what comes before is passed over.
    pub(crate) fn next(&mut self, next: Offset) -> Option<Record> {
        let Self::Page { events, .. } = self else { return None };
        while events.front().is_some_and(|(offset, _)| *offset < next) {
            events.pop_front();
        }
        let here = events.front().is_some_and(|(offset, _)| *offset == next);
        here.then(|| events.pop_front()).flatten().map(|(_, record)| record)
    }
}

/// Whoever holds a page, or has asked for one, holds one of these.
#[derive(Clone, Debug, Default)]
pub(crate) struct Permit {
    /// Counts them: nobody reads it but by how many there are.
    one_of: Arc<()>,
}

/// A question that the store has not answered yet.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) reader: Reader,
    channel: ChannelIdx,
    /// The channel's name in keys, which is never given again.
    pub(super) id: u64,
    offsets: Range<Offset>,
    pub(super) backwards: bool,
    page: Permit,
    /// Its events, while what was made of them is read.
    pub(super) half: Option<Half>,
}

/// Who reads what, within bounds.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    questions: BTreeMap<u64, Question>,
    asked: u64,
    /// What was asked up to here is told to nobody any more.
    stale: u64,
    pages: Permit,
    /// Subscriptions that could not ask yet, each once.
    waiting: VecDeque<(SessionId, ChannelKey)>,
    queued: BTreeSet<(SessionId, ChannelKey)>,
}

impl Reads {
    fn has_room(&self) -> bool {
        self.questions.len() < UNDER_WAY_MAX && self.pages_held() < PAGES_MAX
    }

    fn pages_held(&self) -> usize {
        Arc::strong_count(&self.pages.one_of) - 1
    }

    fn wait(&mut self, session: SessionId, key: ChannelKey) {
        if self.queued.insert((session, key)) {
            self.waiting.push_back((session, key));
        }
    }

    fn next_waiting(&mut self) -> Option<(SessionId, ChannelKey)> {
        let next = self.waiting.pop_front()?;
        self.queued.remove(&next);
        Some(next)
    }

    /// Questions that the store has not answered yet.
    pub(crate) fn under_way(&self) -> usize {
        self.questions.len()
    }

    pub(crate) fn add_to(&self, sum: &mut Checksum) {
        sum.add(self.asked).add(self.stale).add(self.pages_held() as u64);
        for (ticket, question) in &self.questions {
            sum.add(*ticket).add(question.id).add(question.offsets.start.0);
        }
        for (session, key) in &self.waiting {
            sum.add(session.0).add(key.0);
        }
    }
}

impl World {
    /// Asks for a run of events of a durable channel that may all be seen, from the first on, or
    /// from the last back; the ticket of the question. `None` where too much is under way: to be
    /// tried again later.
    pub(crate) fn ask_events(
        &mut self,
        reader: Reader,
        channel: ChannelIdx,
        offsets: Range<Offset>,
        backwards: bool,
    ) -> Option<u64> {
        let id = self.channels[channel].kept.as_deref()?.id;
        let reads = &mut self.durable.reads;
        if !reads.has_room() {
            return None;
        }
        reads.asked += 1;
        let (ticket, page) = (reads.asked, reads.pages.clone());
        let rows = RowRange {
            table: Table::Event,
            keys: rows::event_keys(id, offsets.clone()),
            rows_max: PAGE_EVENTS_MAX,
            bytes_max: PAGE_BYTES_MAX,
            backwards,
        };
        let question = Question { reader, channel, id, offsets, backwards, page, half: None };
        reads.questions.insert(ticket, question);
        self.durable.journal.ask(Query { ticket, rows });
        self.counters.store_queries += 1;
        Some(ticket)
    }

    /// A subscription is behind what memory holds: asks for the next page, or lets it wait for its
    /// turn to ask.
    pub(crate) fn ask_ahead(
        &mut self,
        idx: SessionIdx,
        key: ChannelKey,
        channel: ChannelIdx,
        offsets: Range<Offset>,
    ) {
        let session = self.sessions[idx].id;
        let full = self.sessions[idx].subscriptions.pages_ahead() >= SESSION_PAGES_MAX;
        let reader = Reader::Subscription(session, key);
        let ticket = match full {
            true => None,
            false => self.ask_events(reader, channel, offsets, false),
        };
        match ticket {
            Some(ticket) => {
                if let Some(subscription) = self.sessions[idx].subscriptions.get_mut(key) {
                    subscription.ahead = Some(Ahead::Asked(ticket));
                }
            }
            None => self.durable.reads.wait(session, key),
        }
    }

    /// The store answers a question.
    pub(crate) fn found(&mut self, ticket: u64, rows: Rows) {
        let Some(mut question) = self.durable.reads.questions.remove(&ticket) else { return };
        let (reader, id) = (question.reader.clone(), question.id);
        let mut answered = false;
        let stale = ticket <= self.durable.reads.stale && reader != Reader::Erasure;
        let kept = self.channels.first_kept_of(question.channel, question.id);
        if let Some(first) = kept.filter(|_| !stale) {
            match question.take(rows, first) {
                Some(Taken::Whole(run)) => {
                    self.counters.events_read += run.events.len() as u64;
                    self.deliver_run(ticket, question, run);
                    answered = true;
                }
                Some(Taken::Half(rows)) => {
                    self.durable.reads.questions.insert(ticket, question);
                    self.durable.journal.ask(Query { ticket, rows });
                    self.counters.store_queries += 1;
                    return;
                }
                None => self.stop_damaged(question.channel),
            }
        }
        match reader {
            _ if answered => {}
            Reader::History(session) => self.page_found(session, ticket, None),
            Reader::Subscription(session, key) => self.not_found(session, key, ticket),
            Reader::Erasure => self.erase_found(None),
            Reader::Recall(message) => self.recalled(id, message, None),
        }
        self.let_ask();
    }

    /// A subscription whose question has no answer that may be told asks anew.
    fn not_found(&mut self, session: SessionId, key: ChannelKey, ticket: u64) {
        let Some(idx) = self.sessions.by_id(session) else { return };
        let Some(subscription) = self.sessions[idx].subscriptions.get_mut(key) else { return };
        if matches!(subscription.ahead, Some(Ahead::Asked(asked)) if asked == ticket) {
            subscription.ahead = None;
            self.sessions.ready(idx, key);
        }
    }

    /// What was read until now, and what is under way, is told no more: it is read anew. Something
    /// of it was erased.
    pub(crate) fn read_anew(&mut self) {
        self.durable.reads.stale = self.durable.reads.asked;
        for row in 0..self.sessions.rows() as u32 {
            let idx = SessionIdx(row);
            let Some(session) = self.sessions.get_mut(idx) else { continue };
            session.reads.forget_found();
            for key in session.subscriptions.keys() {
                let subscription = session.subscriptions.get_mut(key).expect("one of its keys");
                if matches!(subscription.ahead, Some(Ahead::Page { .. })) {
                    subscription.ahead = None;
                }
            }
        }
    }

    fn deliver_run(&mut self, ticket: u64, question: Question, run: EventRun) {
        match question.reader {
            Reader::Erasure => self.erase_found(Some(run)),
            Reader::Recall(message) => self.recalled(question.id, message, Some(run)),
            Reader::History(session) => {
                self.page_found(session, ticket, Some((run, question.page)));
            }
            Reader::Subscription(session, key) => {
                let Some(idx) = self.sessions.by_id(session) else { return };
                let Some(subscription) = self.sessions[idx].subscriptions.get_mut(key) else {
                    return;
                };
                // One that began anew meanwhile has asked for something else, or for nothing.
                if matches!(subscription.ahead, Some(Ahead::Asked(asked)) if asked == ticket) {
                    let (events, _permit) = (run.events.into(), question.page);
                    subscription.ahead = Some(Ahead::Page { events, _permit });
                    self.sessions.ready(idx, key);
                }
            }
        }
    }

    /// As many of those that wait to ask as there is room for try again.
    pub(crate) fn let_ask(&mut self) {
        for _ in 0..self.durable.reads.waiting.len() {
            if !self.durable.reads.has_room() {
                return;
            }
            let Some((session, key)) = self.durable.reads.next_waiting() else { return };
            if let Some(idx) = self.sessions.by_id(session) {
                self.sessions.ready(idx, key);
            }
        }
    }

    /// P16: what is on disk of a channel cannot be read. It stands still: nobody follows it any
    /// more, and nothing is taken for it.
    pub(crate) fn stop_damaged(&mut self, channel: ChannelIdx) {
        let Some(kept) = self.channels[channel].kept.as_deref_mut() else { return };
        if std::mem::replace(&mut kept.damaged, true) {
            return;
        }
        self.counters.channels_damaged += 1;
        let followers = self.channels[channel].subscribers.clone();
        for (idx, key) in followers {
            self.unfollow(idx, key);
            let code = CloseCode::STORE_DAMAGED;
            self.sessions.event(idx, &EventDown::Unsubscribed { key, code }, self.now);
        }
    }
}

/// The run that these rows are, of a channel whose events are kept from `first` on; `None` where it
/// is damaged.
pub(super) fn run_of(question: &Question, rows: Rows, first: Offset) -> Option<EventRun> {
    if rows.damaged.is_some() {
        return None;
    }
    let mut events = Vec::with_capacity(rows.rows.len());
    for (key, value) in &rows.rows {
        let (id, offset) = rows::read_event_key(key)?;
        let known = id == question.id && question.offsets.contains(&offset);
        events.push(known.then(|| Some((offset, rows::read_event(value)?)))??);
    }
    let run = EventRun { events, more: rows.more, asides: Asides::default() };
    is_whole(&run, question, first).then_some(run)
}

/// Is there nothing missing but what is kept no longer?
fn is_whole(run: &EventRun, question: &Question, first: Offset) -> bool {
    let mut offsets: Vec<_> = run.events.iter().map(|(offset, _)| offset.0).collect();
    let (mut from, mut to) = (question.offsets.start.0.max(first.0), question.offsets.end.0);
    if question.backwards {
        offsets.reverse();
    }
    // Where there is more, the run ends where it ends.
    match (run.more, question.backwards) {
        (true, false) => to = offsets.last().map_or(to, |last| last + 1),
        (true, true) => from = offsets.first().copied().unwrap_or(from),
        _ => {}
    }
    let kept = offsets.iter().filter(|offset| **offset >= from);
    kept.copied().eq(from..to.max(from))
}
