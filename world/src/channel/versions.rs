//! Versions and threads: what later events made of earlier ones.
//!
//! The log keeps every event as it was said. Beside it a small index says of each message that was
//! changed what it is now, and of each that was answered how many answers it has, so that history
//! shows it at its first place as it stands.

use super::erase::changes;
use super::log::{Log, Record};
use crate::checksum::Checksum;
use starling_protocol::close::CloseCode;
use starling_protocol::limits::EVENT_BYTES_MAX;
use starling_protocol::message::events::{Action, Version};
use starling_protocol::units::Offset;
use std::collections::BTreeMap;

/// What an entry costs beside its content, for the bound in bytes.
const ENTRY_OVERHEAD_BYTES: usize = 96;
/// Bytes of contents that one channel keeps for messages that were changed.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a message is now.
#[derive(Clone, Debug)]
pub(crate) struct Changed {
    pub(crate) version: Version,
    pub(crate) content: Vec<u8>,
}

impl Changed {
    fn bytes(&self) -> usize {
        ENTRY_OVERHEAD_BYTES + self.content.len()
    }
}

/// Which messages of a channel were changed, and which were answered.
#[derive(Debug, Default)]
pub(crate) struct Versions {
    by_target: BTreeMap<Offset, Changed>,
    replies: BTreeMap<Offset, u32>,
    bytes: usize,
}

impl Versions {
    /// What a message is now, where it was changed.
    pub(crate) fn get(&self, target: Offset) -> Option<&Changed> {
        self.by_target.get(&target)
    }

    /// How many messages answer this one.
    pub(crate) fn replies(&self, parent: Offset) -> u32 {
        self.replies.get(&parent).copied().unwrap_or(0)
    }

    /// Was it deleted?
    pub(crate) fn is_deleted(&self, target: Offset) -> bool {
        self.get(target).is_some_and(|changed| changed.version.deleted)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes + ENTRY_OVERHEAD_BYTES * self.replies.len()
    }

    /// May a message be changed like this? What is on its way to the disk counts as done.
    ///
    /// # Errors
    /// `CONFLICT` for what is no message, sets a key or is deleted; `TOO_LARGE` where it would be
    /// longer than an event may be; `LIMIT` where the channel keeps as much as it may.
    pub(crate) fn check(
        &self,
        target: Offset,
        log: &Log,
        action: Action,
        payload: usize,
    ) -> Result<(), CloseCode> {
        let earlier = log.any(target).filter(|earlier| is_message(earlier));
        let earlier = earlier.filter(|e| e.state_key.is_none() && !self.is_deleted(target));
        let said = earlier.ok_or(CloseCode::CONFLICT)?.payload.len();
        let now = self.get(target).map_or(said, |changed| changed.content.len());
        let stands = log.unseen_length_of(target, now).ok_or(CloseCode::CONFLICT)?;
        if matches!(action, Action::Append(_)) && stands + payload > EVENT_BYTES_MAX {
            return Err(CloseCode::TOO_LARGE);
        }
        let frees = matches!(action, Action::Delete(_));
        if !frees && self.bytes + stands + payload > BYTES_MAX {
            return Err(CloseCode::LIMIT);
        }
        Ok(())
    }

    /// Takes in an event of the channel: it may change an earlier one, or answer it.
    pub(crate) fn take(&mut self, offset: Offset, record: &Record, log: &Log) {
        if let Action::Delete(target) = record.action
            && let Some(parent) = log.get(target).and_then(|earlier| earlier.parent)
        {
            self.unanswer(parent);
        }
        self.apply(offset, record, log);
    }

    fn apply(&mut self, offset: Offset, record: &Record, log: &Log) {
        if let Some(target) = target_of(record.action) {
            // Else it was erased meanwhile, or is on disk only.
            if let Some(said) = log.get(target).filter(|said| is_message(said)) {
                self.retell(target, said, offset, record);
            }
        } else if record.action == Action::Message
            && let Some(parent) = record.parent.filter(|parent| log.get(*parent).is_some())
        {
            self.answered(parent, 1);
        }
    }

    /// Takes in an event that changes a message, which said this.
    pub(crate) fn retell(
        &mut self,
        target: Offset,
        said: &Record,
        offset: Offset,
        record: &Record,
    ) {
        match record.action {
            Action::Update(_) => self.change(target, offset, record, record.payload.clone()),
            Action::Append(_) => {
                let now = self.get(target).map_or(&said.payload, |changed| &changed.content);
                let content = [now.as_slice(), &record.payload].concat();
                self.change(target, offset, record, content);
            }
            Action::Delete(_) => self.change(target, offset, record, Vec::new()),
            _ => {}
        }
    }

    /// So many more messages answer this one.
    pub(crate) fn answered(&mut self, parent: Offset, more: u32) {
        *self.replies.entry(parent).or_default() += more;
    }

    /// Takes over what another knows of a message.
    pub(crate) fn adopt(&mut self, target: Offset, from: &mut Self) {
        self.forget(target);
        self.replies.remove(&target);
        self.replies.extend(from.replies.remove_entry(&target));
        if let Some(changed) = from.by_target.remove(&target) {
            from.bytes -= changed.bytes();
            self.bytes += changed.bytes();
            self.by_target.insert(target, changed);
        }
    }

    /// Forgets all that is known of a message.
    pub(crate) fn leave(&mut self, target: Offset) {
        self.forget(target);
        self.replies.remove(&target);
    }

    /// Takes back what an event did that is erased: it has its tombstone in the log, if it is there.
    pub(crate) fn undo(&mut self, offset: Offset, was: &Record, log: &Log) {
        match was.action {
            Action::Message => {
                let deleted = self.is_deleted(offset);
                self.forget(offset);
                if let Some(parent) = was.parent.filter(|_| !deleted) {
                    self.unanswer(parent);
                }
            }
            Action::Update(target) | Action::Append(target) => self.make_again(target, log),
            // It stays deleted, by nobody.
            Action::Delete(target) => {
                if let Some(changed) = self.by_target.get_mut(&target) {
                    changed.version.publisher = None;
                }
            }
            _ => {}
        }
    }

    /// Works out what a message is from the events that are in memory. One that is on disk only is
    /// shown as it was first said, and what changes it for itself.
    fn make_again(&mut self, target: Offset, log: &Log) {
        self.forget(target);
        if log.get(target).is_none() {
            return;
        }
        for offset in (target.0 + 1..=log.top().offset.0).map(Offset) {
            if let Some(record) = log.get(offset).filter(|record| changes(record, target)) {
                self.apply(offset, record, log);
            }
        }
    }

    fn forget(&mut self, target: Offset) {
        self.bytes -= self.by_target.remove(&target).map_or(0, |changed| changed.bytes());
    }

    /// Forgets what is known of events that memory does not hold any more.
    pub(crate) fn retire(&mut self, log: &Log) {
        let changed = self.by_target.range(..log.first()).map(|(target, _)| *target);
        let answered = self.replies.range(..log.first()).map(|(target, _)| *target);
        let before = changed.chain(answered).filter(|target| !log.is_recalled(*target));
        for target in before.collect::<Vec<_>>() {
            self.leave(target);
        }
    }

    fn change(&mut self, target: Offset, offset: Offset, record: &Record, content: Vec<u8>) {
        let count = self.get(target).map_or(1, |changed| changed.version.count) + 1;
        let version = Version {
            offset,
            count,
            tick: record.tick,
            publisher: record.publisher.clone(),
            deleted: matches!(record.action, Action::Delete(_)),
        };
        let changed = Changed { version, content };
        self.bytes += changed.bytes();
        let old = self.by_target.insert(target, changed);
        self.bytes -= old.map_or(0, |old| old.bytes());
    }

    fn unanswer(&mut self, parent: Offset) {
        if let Some(replies) = self.replies.get_mut(&parent) {
            *replies -= 1;
            if *replies == 0 {
                self.replies.remove(&parent);
            }
        }
    }

    pub(crate) fn add_to(&self, sum: &mut Checksum) {
        for (target, changed) in &self.by_target {
            sum.add(target.0).add(changed.version.offset.0).add(changed.version.count);
            sum.add(u64::from(changed.version.deleted)).add_bytes(&changed.content);
        }
        for (parent, replies) in &self.replies {
            sum.add(parent.0).add(*replies);
        }
    }
}

/// Which earlier event it is about.
pub(crate) const fn target_of(action: Action) -> Option<Offset> {
    match action {
        Action::Update(to) | Action::Append(to) | Action::Delete(to) | Action::Annotate(to) => {
            Some(to)
        }
        _ => None,
    }
}

/// Is it a message, which can be changed, answered and noted on?
pub(crate) fn is_message(record: &Record) -> bool {
    record.action == Action::Message
}
