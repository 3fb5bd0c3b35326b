//! What a channel keeps beside its events, and when something of it ends by itself.

use super::cursors::Cursors;
use super::deltas::MadeLast;
use super::leases::Leases;
use super::log::{Log, Record};
use super::notes::{Notes, Unseen, User};
use super::state::Values;
use super::versions::{Versions, is_message};
use super::{Channel, ChannelIdx, Channels};
use crate::World;
use crate::checksum::Checksum;
use starling_protocol::close::CloseCode;
use starling_protocol::message::events::{Action, Entry, Event};
use starling_protocol::units::{Offset, SessionId, Tick, TickRate};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Bytes that all channels of a world keep beside their events.
const BESIDE_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Values and leases that end by themselves in one tick; the rest ends in the next.
const ENDS_PER_TICK_MAX: usize = 4_096;
/// When an end is tried again that a store could not take.
const LATER_MS: u64 = 1_000;

/// What a channel keeps beside its events.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    /// The value of each key.
    pub(crate) values: Values,
    /// What messages are now that were changed or answered.
    pub(crate) versions: Versions,
    /// What was noted on messages.
    pub(crate) notes: Notes,
    /// Who has read how far.
    pub(crate) cursors: Cursors,
    /// What somebody is doing just now.
    pub(crate) leases: Leases,
    /// The difference between two values that was made last: only kept for speed.
    pub(crate) made: MadeLast,
    /// The tick of the newest event.
    touched: Tick,
    /// When something of it ends by itself, as it stands in [`Timetable`].
    planned: Option<Tick>,
}

impl Beside {
    /// Does anything of it hold the channel, although nobody follows it?
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The tick of the channel's newest event.
    pub(crate) fn touched(&self) -> Tick {
        self.touched
    }

    /// Takes in an event that has its number.
    fn take(&mut self, offset: Offset, record: &Arc<Record>, log: &Log, rate: TickRate) {
        self.touched = record.tick;
        self.values.take(offset, record, rate);
        self.versions.take(offset, record, log);
        if let Action::Delete(target) = record.action {
            self.notes.end(target);
        }
    }

    /// Makes again what an event of an earlier life did to others.
    fn replay(&mut self, offset: Offset, log: &Log) {
        let Some(record) = log.get(offset) else { return };
        self.versions.take(offset, record, log);
        match record.action {
            Action::Delete(target) => self.notes.end(target),
            Action::Annotate(target) if log.get(target).is_some_and(is_message) => {
                self.notes.replay(record);
            }
            _ => {}
        }
    }

    /// An event as it stands now, for history: with its newest content, its notes and how many
    /// answer it.
    pub(super) fn entry(&self, event: Event, unseen: &Unseen) -> Entry {
        let notes = unseen.told(event.offset, &self.notes);
        entry(event, &self.versions, notes)
    }

    /// Forgets what is known of events that memory does not hold any more: what there is to know of
    /// them is on disk (P10), where they are.
    pub(crate) fn retire(&mut self, log: &Log) {
        self.versions.retire(log);
        self.notes.retire(log);
    }

    fn bytes(&self) -> usize {
        self.values.bytes() + self.versions.bytes() + self.notes.bytes() + self.cursors.bytes()
    }

    fn next_end(&self) -> Option<Tick> {
        self.values.next_end().into_iter().chain(self.leases.next_end()).min()
    }

    pub(crate) fn add_to(&self, sum: &mut Checksum) {
        self.values.add_to(sum);
        self.versions.add_to(sum);
        self.notes.add_to(sum);
        self.cursors.add_to(sum);
        self.leases.add_to(sum);
    }
}

/// An event with what these know of it.
pub(super) fn entry(mut event: Event, versions: &Versions, notes: &Notes) -> Entry {
    let replies = versions.replies(event.offset);
    if event.action == Action::Tombstone {
        return Entry { version: None, notes: Vec::new(), replies, event };
    }
    let changed = versions.get(event.offset);
    if let Some(changed) = changed {
        event.payload.clone_from(&changed.content);
    }
    let version = changed.map(|changed| changed.version.clone());
    Entry { version, notes: notes.summaries(event.offset), replies, event }
}

/// What of all channels is due when, and how much all of them keep beside their events.
#[derive(Debug, Default)]
pub(super) struct Timetable {
    ends: BTreeSet<(Tick, ChannelIdx)>,
    /// Channels whose followers are to be told of leases.
    lease_news: BTreeSet<ChannelIdx>,
    /// Channels whose followers are to be told of cursors.
    cursor_news: BTreeSet<ChannelIdx>,
    /// Presence lists whose followers are told once a tick.
    pub(super) list_news: BTreeSet<ChannelIdx>,
    /// Counts that may have changed.
    pub(super) counts_due: BTreeSet<ChannelIdx>,
    bytes: usize,
}

impl Timetable {
    /// A channel is gone.
    pub(super) fn forget(&mut self, idx: ChannelIdx, channel: &Channel) {
        self.bytes -= channel.beside.bytes();
        let news = [&mut self.lease_news, &mut self.cursor_news];
        for news in news.into_iter().chain([&mut self.list_news, &mut self.counts_due]) {
            news.remove(&idx);
        }
        if let Some(at) = channel.beside.planned {
            self.ends.remove(&(at, idx));
        }
    }

    fn plan(&mut self, idx: ChannelIdx, beside: &mut Beside) {
        let next = beside.next_end();
        let old = std::mem::replace(&mut beside.planned, next);
        if old != next {
            self.ends.extend(next.map(|at| (at, idx)));
            if let Some(at) = old {
                self.ends.remove(&(at, idx));
            }
        }
    }
}

impl Channels {
    /// Is there room for more beside the events?
    ///
    /// # Errors
    /// `OVERLOADED` where all channels together keep as much as they may.
    pub(super) fn check_beside(&self) -> Result<(), CloseCode> {
        if self.timetable.bytes > BESIDE_BYTES_MAX { Err(CloseCode::OVERLOADED) } else { Ok(()) }
    }

    /// Changes what a channel keeps beside its events.
    pub(super) fn with_beside<R>(
        &mut self,
        idx: ChannelIdx,
        change: impl FnOnce(&mut Beside) -> R,
    ) -> R {
        self.with_beside_and_log(idx, |beside, _| change(beside))
    }

    /// Forgets what a channel knows of events that memory does not hold any more.
    pub(super) fn retire(&mut self, idx: ChannelIdx) {
        self.with_beside_and_log(idx, |beside, log| beside.retire(log));
    }

    pub(super) fn with_beside_and_log<R>(
        &mut self,
        idx: ChannelIdx,
        change: impl FnOnce(&mut Beside, &Log) -> R,
    ) -> R {
        let channel = self.rows[idx.at()].as_deref_mut();
        let Channel { beside, log, .. } = channel.expect("whoever changes it has found it");
        let before = beside.bytes();
        let changed = change(beside, log);
        self.timetable.bytes = self.timetable.bytes + beside.bytes() - before;
        self.timetable.plan(idx, beside);
        changed
    }

    /// Puts back what an earlier life kept beside a channel's events, and makes again what its
    /// events say of each other.
    pub(crate) fn restore_beside(
        &mut self,
        idx: ChannelIdx,
        values: Vec<(Offset, Option<Tick>, Record)>,
        cursors: Vec<(String, (Offset, SessionId))>,
    ) {
        self.with_beside_and_log(idx, |beside, log| {
            for (offset, ends, record) in values {
                beside.values.restore(offset, ends, Arc::new(record));
            }
            for (subject, (offset, session)) in cursors {
                beside.cursors.restore(User::Named(subject), session, offset);
            }
            for offset in (log.first().0..=log.top().offset.0).map(Offset) {
                beside.replay(offset, log);
            }
        });
    }

    /// What is on disk of a channel cannot be read.
    pub(crate) fn damage(&mut self, idx: ChannelIdx) {
        if let Some(kept) = self[idx].kept.as_deref_mut() {
            kept.damaged = true;
        }
    }

    /// Followers of a channel are to be told of leases.
    pub(super) fn lease_news(&mut self, idx: ChannelIdx) {
        self.timetable.lease_news.insert(idx);
        self.with_beside(idx, |_| ());
    }

    /// The channels whose followers are to be told of leases, and none from now on.
    pub(super) fn take_lease_news(&mut self) -> BTreeSet<ChannelIdx> {
        std::mem::take(&mut self.timetable.lease_news)
    }

    /// Followers of a channel are to be told of cursors.
    pub(super) fn cursor_news(&mut self, idx: ChannelIdx) {
        self.timetable.cursor_news.insert(idx);
    }

    /// The channels whose followers are to be told of cursors, and none from now on.
    pub(super) fn take_cursor_news(&mut self) -> BTreeSet<ChannelIdx> {
        std::mem::take(&mut self.timetable.cursor_news)
    }

    fn due(&self, now: Tick) -> Option<ChannelIdx> {
        self.timetable.ends.first().filter(|(at, _)| *at <= now).map(|(_, idx)| *idx)
    }
}

impl World {
    /// An event has its number: what it changes beside the log is changed.
    pub(crate) fn take_in(&mut self, idx: ChannelIdx, offset: Offset, record: &Arc<Record>) {
        let rate = self.config.tick_rate;
        self.channels.with_beside_and_log(idx, |beside, log| {
            beside.take(offset, record, log, rate);
        });
        self.channels.retire(idx);
    }

    /// Ends what has a time of its own. Once a tick.
    pub(crate) fn end_in_channels(&mut self) {
        for _ in 0..ENDS_PER_TICK_MAX {
            let Some(idx) = self.channels.due(self.now) else { return };
            self.end_one(idx);
        }
    }

    fn end_one(&mut self, idx: ChannelIdx) {
        let now = self.now;
        if self.channels.with_beside(idx, |beside| beside.leases.end_one(now)) {
            return self.channels.lease_news(idx);
        }
        // A store that takes nothing now takes it later, and the value lasts so long.
        let durable = self.channels[idx].kept.is_some();
        if durable && self.may_keep(Some(idx)).is_err() {
            let later = now + self.config.tick_rate.ticks_in_ms(LATER_MS).max(1);
            return self.channels.with_beside(idx, |beside| beside.values.end_later(later));
        }
        let ended = self.channels.with_beside(idx, |beside| beside.values.take_ended(now));
        if let Some(key) = ended {
            self.counters.state_ended += 1;
            // Where the channel is durable the value stands until that is on stable storage.
            self.channels.with_beside(idx, |beside| beside.values.let_end(&key));
            let (action, state_key) = (Action::Clear, Some(key));
            let record = Record { action, state_key, ..self.new_record() };
            self.append(idx, record);
        }
    }
}
