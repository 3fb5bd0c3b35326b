//! Erasing everything that a subject published: asked for, gone about, answered when it is done.
//!
//! One subject after another, and of each one channel after another by name: first what memory
//! holds, then, page by page, what is on disk only; then the inboxes of sessions. A tick does so
//! much of it and no more. It is done when the tombstones are on stable storage and nothing that
//! was read before can be told (P10). An erasure that was begun is ended by the next life of the
//! world, also one that is refused because the store failed meanwhile.

use crate::World;
use crate::channel::ChannelIdx;
use crate::checksum::Checksum;
use crate::counters::count;
use crate::durable::open::each_row;
use crate::durable::read::{EventRun, Reader};
use crate::durable::row::RowPen;
use crate::journal::{Health, KEY_BYTES_MAX, Shelf, ShelfError, Table};
use crate::session::SessionIdx;
use starling_protocol::close::CloseCode;
use starling_protocol::message::events::EventDown;
use starling_protocol::units::{Offset, SessionId};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// Erasures that wait or are under way.
const ERASURES_MAX: usize = 64;
/// Channels and inboxes gone through in one tick, and events in them.
const PLACES_PER_TICK_MAX: usize = 256;
const EVENTS_PER_TICK_MAX: usize = 8_192;
/// When one is worth asking for again that there was no room for.
const RETRY_MS: u32 = 1_000;
/// The key of an erasure's row in the table of the world itself: this and the subject.
const KEY: &[u8] = b"erase/";
const V1: u8 = 1;

/// Erasures in the order they were asked for; the first is under way.
#[derive(Debug, Default)]
pub(crate) struct Erasures(VecDeque<Erasure>);

/// Everything of one subject.
#[derive(Debug)]
struct Erasure {
    subject: String,
    /// Who waits for the answer, under which number; nobody where an earlier life was asked.
    asker: Option<(SessionId, u32)>,
    /// Events so far.
    events: u64,
    /// A channel was damaged, so that not everything could be erased.
    damaged: bool,
    at: At,
}

/// How far it is.
#[derive(Clone, Debug)]
enum At {
    /// All channels up to this name are done.
    Channels(Option<String>),
    /// In this channel, which has this name in keys, what is on disk only.
    Disk { name: String, channel: ChannelIdx, id: u64, offsets: Range<Offset>, asked: bool },
    /// All inboxes before this row of sessions are done.
    Inboxes(u32),
    /// Waits until this change is on stable storage.
    Committing(u64),
}

/// What a part of an erasure came to.
enum Step {
    /// It must wait: for the store, an answer of it, or the next tick.
    Waits,
    /// There is more to do.
    GoesOn,
    /// All is done.
    Done,
}

/// What one tick may still do.
struct Budget {
    places: usize,
    events: usize,
}

impl Budget {
    /// Takes a place with so many events; `false` when it is used up.
    fn take(&mut self, events: usize) -> bool {
        if self.places == 0 || self.events == 0 {
            return false;
        }
        self.places -= 1;
        self.events = self.events.saturating_sub(events);
        true
    }
}

impl Erasures {
    pub(crate) fn add_to(&self, sum: &mut Checksum) {
        for erasure in &self.0 {
            sum.add_bytes(erasure.subject.as_bytes()).add(erasure.events);
            sum.add(erasure.asker.map_or(0, |(session, request)| session.0 ^ u64::from(request)));
            match &erasure.at {
                At::Channels(name) => sum.add_bytes(name.as_deref().unwrap_or("").as_bytes()),
                At::Disk { name, offsets, .. } => {
                    sum.add_bytes(name.as_bytes()).add(offsets.start.0)
                }
                At::Inboxes(row) => sum.add(*row),
                At::Committing(change) => sum.add(*change),
            };
        }
    }
}

impl Erasure {
    fn of(subject: String, asker: Option<(SessionId, u32)>) -> Self {
        Self { subject, asker, events: 0, damaged: false, at: At::Channels(None) }
    }
}

fn row_key(subject: &str) -> Vec<u8> {
    [KEY, subject.as_bytes()].concat()
}

impl World {
    /// Takes in a request to erase what a subject published; one that is said again while it is
    /// under way is the same.
    pub(crate) fn erase(&mut self, idx: SessionIdx, request: u32, subject: String) {
        let asker = (self.sessions[idx].id, request);
        let subject = self.subject_of_theirs(idx, subject);
        if self.erasures.0.iter().any(|e| e.asker == Some(asker) && e.subject == subject) {
            return;
        }
        match self.check_erase(idx, &subject) {
            Ok(()) => {
                self.durable.journal.put(Table::World, row_key(&subject), RowPen::new(V1).done());
                self.erasures.0.push_back(Erasure::of(subject, Some(asker)));
            }
            Err(code) => {
                let retry_after_ms = (code == CloseCode::RATE_LIMITED).then_some(RETRY_MS);
                self.refuse_events_request(idx, request, code, retry_after_ms);
            }
        }
    }

    /// P12: where tenants meet, one names its own people, whose subjects begin with its name there.
    fn subject_of_theirs(&self, idx: SessionIdx, subject: String) -> String {
        self.realm(idx).subject(subject).unwrap_or_default()
    }

    fn check_erase(&mut self, idx: SessionIdx, subject: &str) -> Result<(), CloseCode> {
        if !self.sessions[idx].principal.grants.admin {
            return Err(CloseCode::FORBIDDEN);
        }
        if subject.is_empty() || KEY.len() + subject.len() > KEY_BYTES_MAX {
            return Err(CloseCode::BAD_NAME);
        }
        if self.durable.health == Health::Failed {
            return Err(CloseCode::STORE_BUSY);
        }
        let now = self.now;
        let taken = self.sessions[idx].may_read_now(now);
        match self.erasures.0.len() {
            0..ERASURES_MAX => taken.map_err(|_| CloseCode::RATE_LIMITED),
            _ => Err(CloseCode::RATE_LIMITED),
        }
    }

    /// Goes on with what an earlier life was asked for and did not end.
    pub(crate) fn restore_erasures(&mut self, shelf: &dyn Shelf) -> Result<(), ShelfError> {
        let end = [KEY, &[0xff]].concat();
        let erasures = &mut self.erasures.0;
        each_row(shelf, Table::World, KEY.to_vec()..end, |key, _| {
            if let Ok(subject) = std::str::from_utf8(&key[KEY.len()..]) {
                erasures.push_back(Erasure::of(subject.to_owned(), None));
            }
        })
    }

    /// Does as much as a tick may. A store that takes nothing now is waited for; one that never
    /// will again is not.
    pub(crate) fn go_on_erasing(&mut self) {
        if self.durable.health == Health::Failed {
            return self.give_up_erasing();
        }
        let mut budget = Budget { places: PLACES_PER_TICK_MAX, events: EVENTS_PER_TICK_MAX };
        while let Some(mut erasure) = self.erasures.0.pop_front() {
            let step = self.erase_on(&mut erasure, &mut budget);
            if let Step::Done = step {
                self.erased(&erasure);
                continue;
            }
            self.erasures.0.push_front(erasure);
            if let Step::Waits = step {
                return;
            }
        }
    }

    /// Whoever waits is told that it is not done: what is on stable storage of the request is
    /// taken up by the next life.
    fn give_up_erasing(&mut self) {
        for erasure in std::mem::take(&mut self.erasures.0) {
            let asker =
                erasure.asker.map(|(session, request)| (self.sessions.by_id(session), request));
            if let Some((Some(idx), request)) = asker {
                self.refuse_events_request(idx, request, CloseCode::STORE_BUSY, None);
            }
        }
    }

    /// Does the next part of an erasure.
    fn erase_on(&mut self, erasure: &mut Erasure, budget: &mut Budget) -> Step {
        let durable = self.durable.journal.is_on();
        if let At::Committing(change) = erasure.at {
            let done = !durable || self.durable.journal.has(change);
            return if done { Step::Done } else { Step::Waits };
        }
        if durable && self.may_keep(None).is_err() {
            return Step::Waits;
        }
        let done = match erasure.at.clone() {
            At::Channels(after) => self.erase_next_channel(erasure, after, budget),
            At::Inboxes(row) => self.erase_next_inbox(erasure, row, budget),
            At::Disk { asked: true, .. } | At::Committing(_) => None,
            At::Disk { name, channel, id, offsets, .. } => {
                return self.ask_to_erase(erasure, name, (channel, id), offsets);
            }
        };
        if done.is_some() { Step::GoesOn } else { Step::Waits }
    }

    /// Asks for what is on disk only of a channel that may have gone while it waited.
    fn ask_to_erase(
        &mut self,
        erasure: &mut Erasure,
        name: String,
        (channel, id): (ChannelIdx, u64),
        offsets: Range<Offset>,
    ) -> Step {
        if self.channels.first_kept_of(channel, id).is_none() {
            self.pass_over(erasure, name);
            return Step::GoesOn;
        }
        if self.ask_events(Reader::Erasure, channel, offsets, false).is_some()
            && let At::Disk { asked, .. } = &mut erasure.at
        {
            *asked = true;
        }
        Step::Waits
    }

    /// A channel is gone, or damaged, which is told.
    fn pass_over(&self, erasure: &mut Erasure, name: String) {
        let found = self.channels.find(&name);
        erasure.damaged |= found.is_some_and(|idx| self.channels[idx].is_damaged());
        erasure.at = At::Channels(Some(name));
    }

    /// `None` where the tick has done enough.
    fn erase_next_channel(
        &mut self,
        erasure: &mut Erasure,
        after: Option<String>,
        budget: &mut Budget,
    ) -> Option<()> {
        let Some(idx) = self.channels.next_after(after.as_deref()) else {
            erasure.at = At::Inboxes(0);
            return Some(());
        };
        budget.take(self.channels[idx].log.len()).then_some(())?;
        let name = self.channels[idx].name.clone();
        if self.channels[idx].is_damaged() {
            erasure.damaged = true;
            erasure.at = At::Channels(Some(name));
            return Some(());
        }
        let (first, held) = (self.channels[idx].first_kept(), self.channels[idx].log.first());
        let id = self.channels[idx].kept.as_deref().map(|kept| kept.id);
        erasure.events += self.erase_in_channel(idx, &erasure.subject);
        erasure.at = match id.filter(|_| first < held) {
            Some(id) => At::Disk { name, channel: idx, id, offsets: first..held, asked: false },
            None => At::Channels(Some(name)),
        };
        Some(())
    }

    /// The store has told what of a channel is on disk only: what the subject published of it gets
    /// its tombstones. `None` where the channel is gone, or damaged.
    pub(crate) fn erase_found(&mut self, run: Option<EventRun>) {
        let Some(mut erasure) = self.erasures.0.pop_front() else { return };
        if let At::Disk { name, channel, id, offsets, .. } = erasure.at.clone() {
            let next = run.map(|run| self.erase_run(&mut erasure, channel, offsets, run));
            match next {
                Some(Some(offsets)) => {
                    erasure.at = At::Disk { name, channel, id, offsets, asked: false };
                }
                Some(None) => erasure.at = At::Channels(Some(name)),
                None => self.pass_over(&mut erasure, name),
            }
        }
        self.erasures.0.push_front(erasure);
        // The next page need not wait for a tick.
        self.go_on_erasing();
    }

    /// Returns what is still to be read.
    fn erase_run(
        &mut self,
        erasure: &mut Erasure,
        channel: ChannelIdx,
        offsets: Range<Offset>,
        run: EventRun,
    ) -> Option<Range<Offset>> {
        let last = run.events.last().map(|(offset, _)| *offset);
        let first = self.channels[channel].first_kept();
        for (offset, record) in run.events {
            if offset >= first && record.is_of(&erasure.subject) {
                erasure.events += 1;
                self.erase_event(channel, &(offset, Arc::new(record)));
            }
        }
        let next = last.filter(|_| run.more)?;
        Some(Offset(next.0 + 1)..offsets.end)
    }

    fn erase_next_inbox(
        &mut self,
        erasure: &mut Erasure,
        row: u32,
        budget: &mut Budget,
    ) -> Option<()> {
        if row as usize >= self.sessions.rows() {
            erasure.at = At::Committing(self.durable.journal.written());
            return Some(());
        }
        let session = self.sessions.get_mut(SessionIdx(row));
        budget.take(session.as_ref().map_or(0, |session| session.inbox.len())).then_some(())?;
        if let Some(session) = session {
            erasure.events += session.inbox.erase(&erasure.subject).len() as u64;
        }
        erasure.at = At::Inboxes(row + 1);
        Some(())
    }

    /// P10: everything is done, also on disk, and nothing of it is told from now on.
    fn erased(&mut self, erasure: &Erasure) {
        let Erasure { subject, asker, events, damaged, .. } = erasure;
        self.counters.erasures += 1;
        self.counters.events_erased += events;
        self.read_anew();
        self.durable.journal.remove(Table::World, row_key(subject));
        let Some((session, request)) = *asker else { return };
        let Some(idx) = self.sessions.by_id(session) else { return };
        let told = match damaged {
            false => EventDown::Erased { request, events: *events },
            true => {
                let code = CloseCode::STORE_DAMAGED;
                count(&mut self.counters.requests_refused, code);
                EventDown::RequestRefused { request, code, retry_after_ms: None }
            }
        };
        self.sessions.event(idx, &told, self.now);
    }
}
