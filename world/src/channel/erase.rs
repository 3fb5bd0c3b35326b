//! What becomes of one channel when everything that a subject published is erased.
//!
//! P10: an erased event keeps its number and its time, as a tombstone. What only took something away,
//! a Delete or a Clear, stays without a name, so that nothing comes back by it. What the subject left
//! beside the events goes too: values, edits, notes, receipts.

use super::log::{Log, Record};
use super::notes::User;
use super::subscription::Pages;
use super::versions::target_of;
use super::{Channel, ChannelIdx, Channels};
use crate::World;
use crate::durable::rows;
use crate::journal::Table;
use starling_protocol::message::events::Action;
use starling_protocol::units::Offset;
use std::sync::Arc;

impl Record {
    /// Did this subject publish it?
    pub(crate) fn is_of(&self, subject: &str) -> bool {
        self.publisher.as_ref().is_some_and(|publisher| publisher.subject == subject)
    }

    /// What is left of it when it is erased.
    pub(crate) fn erased(&self) -> Self {
        let bare = Self::new(self.tick, self.unix_ms);
        match self.action {
            Action::Delete(_) => Self { action: self.action, ..bare },
            Action::Clear => {
                Self { action: Action::Clear, state_key: self.state_key.clone(), ..bare }
            }
            _ => Self { action: Action::Tombstone, ..bare },
        }
    }
}

/// An event that was erased, as it was.
pub(crate) type Erased = (Offset, Arc<Record>);

impl Channels {
    /// The first channel whose name comes after this one.
    pub(crate) fn next_after(&self, name: Option<&str>) -> Option<ChannelIdx> {
        use std::ops::Bound::{Excluded, Unbounded};
        let after = name.map_or(Unbounded, Excluded);
        self.by_name.range::<str, _>((after, Unbounded)).next().map(|(_, idx)| *idx)
    }

    /// Puts tombstones in the place of a subject's events in memory; returns what they were.
    fn erase_in_log(&mut self, idx: ChannelIdx, subject: &str) -> Vec<Erased> {
        self.weigh(idx, |log| log.erase(subject))
    }

    /// Takes back what an erased event did to others; what was not to be seen yet did nothing.
    fn undo(&mut self, idx: ChannelIdx, (offset, was): &Erased) {
        // What was read again is read once more, as the disk has it then.
        for message in target_of(was.action).into_iter().chain([*offset]) {
            self.let_go(idx, message);
        }
        self.with_beside_and_log(idx, |beside, log| {
            beside.notes.unsay(was);
            if *offset <= log.top().offset {
                beside.versions.undo(*offset, was, log);
            }
            if was.action == Action::Message {
                beside.notes.end(*offset);
            }
        });
    }

    /// Forgets the notes and the receipt of a subject, and what was made for speed of its events.
    fn forget_user(&mut self, idx: ChannelIdx, subject: &str) {
        self.with_beside(idx, |beside| {
            let user = User::Named(subject.to_owned());
            beside.notes.forget(&user);
            beside.cursors.forget(&user);
            beside.made = Default::default();
            beside.values.forget_snapshot();
        });
    }
}

impl Channel {
    /// The event that sets the value of a key once everything is seen, if any does.
    fn standing_value(&self, key: &str) -> Option<(Offset, Arc<Record>)> {
        match self.log.unseen_value_of(key) {
            Some(Offset(0)) => None,
            Some(offset) => Some((offset, self.log.share(offset)?)),
            None => self.beside.values.get(key),
        }
    }
}

impl World {
    /// Erases what a subject published in one channel, as far as it is in memory, and what it left
    /// beside the events; returns how many events it was.
    pub(crate) fn erase_in_channel(&mut self, idx: ChannelIdx, subject: &str) -> u64 {
        if self.channels[idx].members.is_some() {
            self.erase_in_list(idx, subject);
            return 0;
        }
        let erased = self.channels.erase_in_log(idx, subject);
        for event in &erased {
            self.erase_event(idx, event);
        }
        self.channels.forget_user(idx, subject);
        self.forget_receipt(idx, subject);
        self.clear_values(idx, subject);
        self.forget_readings(idx, subject);
        erased.len() as u64
    }

    /// An event has its tombstone in memory, if it is there: the disk gets it too, and what the
    /// event did to others is taken back.
    pub(crate) fn erase_event(&mut self, idx: ChannelIdx, event: &Erased) {
        self.channels.undo(idx, event);
        let (offset, was) = event;
        let Some(id) = self.channels[idx].kept.as_deref().map(|kept| kept.id) else { return };
        let row = rows::event(&was.erased());
        self.durable.journal.put(Table::Event, rows::event_key(id, *offset), row);
        self.erase_aside(id, event);
        // One on its way to the disk had its value sent there before.
        let unseen = *offset > self.channels[idx].log.top().offset;
        let sets = unseen && was.action == Action::Message;
        if let Some(key) = was.state_key.as_deref().filter(|_| sets) {
            let standing = self.channels[idx].standing_value(key);
            self.journal_standing(id, key, standing);
        }
    }

    /// A list of members has no history: who is behind gets it anew, and who is on it stays.
    fn erase_in_list(&mut self, idx: ChannelIdx, subject: &str) {
        let log = &self.channels[idx].log;
        let (first, top) = (log.first().0, log.top().offset.0);
        let of_it = |offset: u64| log.get(Offset(offset)).is_some_and(|r| r.is_of(subject));
        if (first..=top).any(of_it) {
            self.channels.forget_before(idx, Offset(top + 1));
            if let Some(members) = &mut self.channels[idx].members {
                members.forget_snapshot();
            }
        }
    }

    /// Removes a subject's values as their keys are cleared: followers hear of it.
    fn clear_values(&mut self, idx: ChannelIdx, subject: &str) {
        for key in self.channels[idx].beside.values.keys_of(subject) {
            if self.channels[idx].log.unseen_value_of(&key).is_some() {
                continue; // another takes its place, or it is being removed
            }
            let (action, state_key) = (Action::Clear, Some(key));
            let record = Record { action, state_key, ..self.new_record() };
            self.append(idx, record);
        }
    }

    /// What followers were about to be told of a subject's values is told no more.
    fn forget_readings(&mut self, idx: ChannelIdx, subject: &str) {
        for (follower, key) in &self.channels[idx].subscribers {
            let Some(session) = self.sessions.get_mut(*follower) else { continue };
            let Some(subscription) = session.subscriptions.get_mut(*key) else { continue };
            subscription.bases.forget(subject);
            if let Some(Pages::State(pages)) = &mut subscription.pages {
                pages.leave_out(subject);
            }
        }
    }
}

impl Log {
    /// Puts tombstones in the place of a subject's events; returns what they were.
    pub(crate) fn erase(&mut self, subject: &str) -> Vec<Erased> {
        let mut erased = Vec::new();
        for (record, offset) in self.records.iter_mut().zip(self.first..) {
            if record.is_of(subject) {
                let bare = Arc::new(record.erased());
                self.bytes = self.bytes - record.cost() + bare.cost();
                erased.push((Offset(offset), std::mem::replace(record, bare)));
            }
        }
        erased
    }
}

/// Does an event change this message?
pub(super) fn changes(record: &Record, message: Offset) -> bool {
    target_of(record.action) == Some(message) && !matches!(record.action, Action::Annotate(_))
}
