//! Keyed state: the newest value of each key, beside the events that set them.
//!
//! A value is the event that set it, shared with the log while that has it. A subscriber that
//! cannot go on without a hole is told all values as of one event and then the events after it, so
//! that it never needs the events that made the state what it is.

use super::log::{Log, Record};
use crate::checksum::Checksum;
use starling_protocol::close::CloseCode;
use starling_protocol::limits::{STATE_BYTES_MAX, STATE_KEYS_MAX, STATE_TTL_MS_MAX};
use starling_protocol::message::events::{Action, Publish, StateEntry};
use starling_protocol::units::{Offset, Tick, TickRate};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Entries in one page, and bytes of their keys and values.
const PAGE_ENTRIES_MAX: usize = 512;
const PAGE_BYTES_MAX: usize = 16 * 1024;
/// What a value costs beside its key and payload, for the bound in bytes.
const VALUE_OVERHEAD_BYTES: usize = 64;

/// The value of a key.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    /// The event that set it.
    offset: Offset,
    /// When the server removes it.
    ends: Option<Tick>,
    record: Arc<Record>,
}

impl Value {
    fn key(&self) -> &str {
        self.record.state_key.as_deref().unwrap_or_default()
    }

    fn bytes(&self) -> usize {
        cost(self.key(), self.record.payload.len())
    }

    fn entry(&self, now: Tick, rate: TickRate) -> StateEntry {
        StateEntry {
            key: self.key().to_owned(),
            offset: self.offset,
            tick: self.record.tick,
            publisher: self.record.publisher.clone(),
            ttl_ms: self.ends.map(|end| ms_until(end, now, rate)),
            payload: self.record.payload.clone(),
        }
    }
}

/// The values of one channel's keys.
#[derive(Debug, Default)]
pub(crate) struct Values {
    by_key: BTreeMap<String, Value>,
    /// Those that end by themselves, the next one first.
    ends: BTreeSet<(Tick, String)>,
    bytes: usize,
    /// All values as they are now, shared by those who read them page by page.
    snapshot: Option<Arc<[Value]>>,
}

impl Values {
    /// The event that set this key's value; 0 where there is none.
    pub(crate) fn offset_of(&self, key: &str) -> Offset {
        self.by_key.get(key).map_or(Offset(0), |value| value.offset)
    }

    /// Has a newer value of the same key, or its removal, taken the place of what this event said?
    pub(crate) fn is_replaced(&self, offset: Offset, record: &Record) -> bool {
        let Some(key) = &record.state_key else { return false };
        match self.by_key.get(key) {
            Some(value) => value.offset > offset,
            None => record.action == Action::Message,
        }
    }

    /// The event that set this key's value.
    pub(crate) fn get(&self, key: &str) -> Option<(Offset, Arc<Record>)> {
        self.by_key.get(key).map(|value| (value.offset, Arc::clone(&value.record)))
    }

    /// The keys whose values a subject set.
    pub(crate) fn keys_of(&self, subject: &str) -> Vec<String> {
        let of_it = self.by_key.iter().filter(|(_, value)| value.record.is_of(subject));
        of_it.map(|(key, _)| key.clone()).collect()
    }

    /// Is there no value?
    pub(crate) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Bytes of all values.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Is there room for this value? None makes room for another. What is on its way to the disk
    /// counts as done.
    ///
    /// # Errors
    /// `LIMIT` where it would be one key or a few bytes too many.
    pub(crate) fn check_room(&self, key: &str, payload: usize, log: &Log) -> Result<(), CloseCode> {
        let unseen = (log.newest().0 - log.top().offset.0) as usize;
        let most = self.bytes + log.bytes() + cost(key, payload);
        if self.by_key.len() + unseen < STATE_KEYS_MAX && most <= STATE_BYTES_MAX {
            return Ok(()); // whatever is on its way
        }
        let mut changed = log.unseen_values();
        changed.insert(key, Some(payload));
        let (mut keys, mut bytes) = (self.by_key.len(), self.bytes);
        for (key, payload) in changed {
            let old = self.by_key.get(key);
            keys = keys - usize::from(old.is_some()) + usize::from(payload.is_some());
            bytes -= old.map_or(0, Value::bytes);
            bytes += payload.map_or(0, |payload| cost(key, payload));
        }
        if keys > STATE_KEYS_MAX || bytes > STATE_BYTES_MAX {
            return Err(CloseCode::LIMIT);
        }
        Ok(())
    }

    /// Takes in an event of the channel: it may set the value of a key, or remove it.
    pub(crate) fn take(&mut self, offset: Offset, record: &Arc<Record>, rate: TickRate) {
        let Some(key) = &record.state_key else { return };
        match record.action {
            Action::Message => {
                let ends = record.ttl_ms.map(|ms| record.tick + rate.ticks_in_ms(ms.into()).max(1));
                self.restore(offset, ends, Arc::clone(record));
            }
            Action::Clear => self.remove(key),
            _ => {}
        }
    }

    /// Puts back a value of an earlier life.
    pub(crate) fn restore(&mut self, offset: Offset, ends: Option<Tick>, record: Arc<Record>) {
        let Some(key) = record.state_key.clone() else { return };
        self.remove(&key);
        self.ends.extend(ends.map(|end| (end, key.clone())));
        let value = Value { offset, ends, record };
        self.bytes += value.bytes();
        self.by_key.insert(key, value);
    }

    /// When the next value ends by itself.
    pub(crate) fn next_end(&self) -> Option<Tick> {
        self.ends.first().map(|(end, _)| *end)
    }

    /// The key of a value whose time is over. It lasts until an event removes it.
    pub(crate) fn take_ended(&mut self, now: Tick) -> Option<String> {
        self.ends.first().filter(|(end, _)| *end <= now)?;
        let (_, key) = self.ends.pop_first()?;
        Some(key)
    }

    /// The next value to end does so later.
    pub(crate) fn end_later(&mut self, later: Tick) {
        let Some((_, key)) = self.ends.pop_first() else { return };
        if let Some(value) = self.by_key.get_mut(&key) {
            value.ends = Some(later);
            self.ends.insert((later, key));
        }
    }

    /// The removal of this value is on its way: it is not due once more.
    pub(crate) fn let_end(&mut self, key: &str) {
        if let Some(value) = self.by_key.get_mut(key)
            && let Some(end) = value.ends.take()
        {
            self.ends.remove(&(end, key.to_owned()));
        }
    }

    /// All values as they are now.
    pub(crate) fn snapshot(&mut self) -> Arc<[Value]> {
        let all = || self.by_key.values().cloned().collect();
        Arc::clone(self.snapshot.get_or_insert_with(all))
    }

    /// Gives back the memory of what was made for those who read page by page.
    pub(crate) fn forget_snapshot(&mut self) {
        self.snapshot = None;
    }

    pub(crate) fn add_to(&self, sum: &mut Checksum) {
        for (key, value) in &self.by_key {
            sum.add_bytes(key.as_bytes()).add(value.offset.0);
            sum.add(value.ends.map_or(0, |end| u64::from(end.0) + 1));
            sum.add_bytes(&value.record.payload);
        }
    }

    fn remove(&mut self, key: &str) {
        self.snapshot = None;
        if let Some(old) = self.by_key.remove(key) {
            self.bytes -= old.bytes();
            if let Some(end) = old.ends {
                self.ends.remove(&(end, key.to_owned()));
            }
        }
    }
}

/// The rest of a channel's values that is being written page by page.
#[derive(Clone, Debug)]
pub(crate) struct StatePages {
    pub(crate) values: Arc<[Value]>,
    pub(crate) next: usize,
}

impl StatePages {
    /// The next page, and whether it is the last.
    pub(crate) fn next_page(&mut self, now: Tick, rate: TickRate) -> (Vec<StateEntry>, bool) {
        let rest = &self.values[self.next..];
        let mut bytes = 0;
        let fits = |value: &&Value| {
            bytes += value.bytes();
            bytes <= PAGE_BYTES_MAX
        };
        let count = rest.iter().take(PAGE_ENTRIES_MAX).take_while(fits).count();
        let page = &rest[..count.max(1).min(rest.len())];
        let entries = page.iter().map(|value| value.entry(now, rate)).collect();
        self.next += page.len();
        (entries, self.next == self.values.len())
    }

    /// What is still to be told is told without what this subject set.
    pub(crate) fn leave_out(&mut self, subject: &str) {
        let rest = self.values[self.next..].iter();
        self.values = rest.filter(|value| !value.record.is_of(subject)).cloned().collect();
        self.next = 0;
    }
}

/// Does a publish that names a key, or says how long a value lasts, make sense?
///
/// # Errors
/// `BAD_NAME` for a Clear without a key; `CONFLICT` for what a key has no part in, and for a life
/// without a value; `LIMIT` for too long a life.
pub(crate) fn check_shape(publish: &Publish) -> Result<(), CloseCode> {
    match (publish.action, publish.key.is_some()) {
        (Action::Clear, false) => return Err(CloseCode::BAD_NAME),
        (Action::Message | Action::Clear, _) | (_, false) => {}
        _ => return Err(CloseCode::CONFLICT),
    }
    match publish.ttl_ms {
        Some(_) if publish.key.is_none() || publish.action == Action::Clear => {
            Err(CloseCode::CONFLICT)
        }
        Some(ms) if ms > STATE_TTL_MS_MAX => Err(CloseCode::LIMIT),
        _ => Ok(()),
    }
}

/// Milliseconds from now to a tick, and never 0 before it has come.
fn ms_until(end: Tick, now: Tick, rate: TickRate) -> u32 {
    let ticks = u64::from(end.since(now).unwrap_or(0));
    u32::try_from((ticks * 1_000).div_ceil(u64::from(rate.hz()))).unwrap_or(u32::MAX).max(1)
}

fn cost(key: &str, payload: usize) -> usize {
    VALUE_OVERHEAD_BYTES + key.len() + payload
}
