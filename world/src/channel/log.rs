//! The memory of a channel: a run of events numbered 1, 2, 3, ... without gaps (P4).

use super::policy::ChannelPolicy;
use starling_protocol::message::events::{Action, Answer, Event, EventTail, Publisher};
use starling_protocol::planted::{self, Bug};
use starling_protocol::units::{ChannelKey, ChannelPosition, Epoch, MessageId, Offset, Tick};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What an event costs beside its payload, for the bound in bytes.
const RECORD_OVERHEAD_BYTES: usize = 64;

/// One accepted event. Inboxes that take the same event share it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) tick: Tick,
    /// Milliseconds since 1970 as of the newest tick; 0 without a clock.
    pub(crate) unix_ms: u64,
    pub(crate) publisher: Option<Publisher>,
    pub(crate) message: MessageId,
    pub(crate) action: Action,
    pub(crate) state_key: Option<String>,
    /// Milliseconds after which the value that it sets is removed.
    pub(crate) ttl_ms: Option<u32>,
    pub(crate) parent: Option<Offset>,
    pub(crate) payload: Vec<u8>,
}

impl Record {
    /// An empty message of the server itself.
    pub(crate) const fn new(tick: Tick, unix_ms: u64) -> Self {
        Self {
            tick,
            unix_ms,
            publisher: None,
            message: MessageId(0),
            action: Action::Message,
            state_key: None,
            ttl_ms: None,
            parent: None,
            payload: Vec::new(),
        }
    }

    /// The event as a subscriber gets it.
    pub(crate) fn event(&self, key: ChannelKey, offset: Offset) -> Event {
        Event {
            key,
            offset,
            tick: self.tick,
            unix_ms: self.unix_ms,
            publisher: self.publisher.clone(),
            message: self.message,
            action: self.action,
            state_key: self.state_key.clone(),
            parent: self.parent,
            payload: self.payload.clone(),
        }
    }

    /// What of it is the same for every subscriber.
    pub(crate) fn tail(&self) -> EventTail<'_> {
        EventTail {
            tick: self.tick,
            unix_ms: self.unix_ms,
            publisher: self.publisher.as_ref(),
            message: self.message,
            action: self.action,
            state_key: self.state_key.as_deref(),
            parent: self.parent,
            payload: &self.payload,
        }
    }

    pub(crate) fn cost(&self) -> usize {
        let key = self.state_key.as_ref().map_or(0, String::len);
        let publisher = self.publisher.as_ref().map_or(0, |p| p.subject.len());
        RECORD_OVERHEAD_BYTES + self.payload.len() + key + publisher
    }
}

/// Where a subscriber starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    /// What it is told.
    pub(crate) answer: Answer,
    /// The offset before the first one it gets; what is gone of those is told as a gap.
    pub(crate) after: Offset,
}

/// The newest events of a channel, bounded by its policy.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    epoch: Epoch,
    /// Offset of the oldest record; one beyond the top when there is none.
    pub(super) first: u64,
    pub(super) records: VecDeque<Arc<Record>>,
    /// How many of the newest are not on stable storage yet: numbered, and nobody's to see.
    unseen: usize,
    pub(super) bytes: usize,
    policy: ChannelPolicy,
    /// Messages before the oldest that were read again, as somebody has to do with them.
    pub(super) recalled: BTreeMap<Offset, Arc<Record>>,
}

impl Log {
    /// An empty log whose next offset is 1.
    pub(crate) fn new(epoch: Epoch, policy: ChannelPolicy) -> Self {
        let (records, recalled) = (VecDeque::new(), BTreeMap::new());
        Self { epoch, first: 1, records, unseen: 0, bytes: 0, policy, recalled }
    }

    /// The log of an earlier life, which goes on after `top`.
    pub(crate) fn go_on_after(top: ChannelPosition, policy: ChannelPolicy) -> Self {
        Self { first: top.offset.0 + 1, ..Self::new(top.epoch, policy) }
    }

    /// Puts the event before the oldest that is held in front of it, while there is room.
    pub(crate) fn recall(&mut self, record: Record) -> bool {
        let bytes = self.bytes + record.cost();
        let room = self.records.len() < self.policy.events_max && bytes <= self.policy.bytes_max;
        if room && self.first > 1 {
            self.bytes = bytes;
            self.first -= 1;
            self.records.push_front(Arc::new(record));
        }
        room
    }

    /// The place of the newest event that may be seen; offset 0 before the first.
    pub(crate) fn top(&self) -> ChannelPosition {
        self.position(self.newest().0 - self.unseen as u64)
    }

    /// The newest number that was given, to an event that may be seen or not yet.
    pub(crate) fn newest(&self) -> Offset {
        Offset(self.first + self.records.len() as u64 - 1)
    }

    /// The oldest offset still kept; one beyond the top when nothing is.
    pub(crate) fn first(&self) -> Offset {
        Offset(self.first)
    }

    /// How many events are kept.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Is no event kept?
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Was there never an event?
    pub(crate) fn is_untouched(&self) -> bool {
        self.newest() == Offset(0)
    }

    /// The event with this number, while it is kept. P5: what is not on stable storage yet is not
    /// to be had.
    pub(crate) fn get(&self, offset: Offset) -> Option<&Record> {
        self.seen(offset).or_else(|| self.recalled.get(&offset)).map(Arc::as_ref)
    }

    /// The event with this number, if it may be seen.
    pub(crate) fn seen(&self, offset: Offset) -> Option<&Arc<Record>> {
        if offset > self.top().offset {
            return None;
        }
        let index = offset.0.checked_sub(self.first)?;
        self.records.get(usize::try_from(index).ok()?)
    }

    /// The event with this number, on stable storage or not: for what decides, never for what is
    /// told.
    pub(crate) fn any(&self, offset: Offset) -> Option<&Record> {
        let Some(index) = offset.0.checked_sub(self.first) else {
            return self.recalled.get(&offset).map(Arc::as_ref);
        };
        self.records.get(usize::try_from(index).ok()?).map(Arc::as_ref)
    }

    /// The event with this number, to be shared.
    pub(crate) fn share(&self, offset: Offset) -> Option<Arc<Record>> {
        let index = offset.0.checked_sub(self.first)?;
        self.records.get(usize::try_from(index).ok()?).map(Arc::clone)
    }

    /// Where the value of a key will stand when everything is to be seen, if that changes it; 0
    /// where there will be none.
    pub(crate) fn unseen_value_of(&self, key: &str) -> Option<Offset> {
        let unseen = self.top().offset.0 + 1..=self.newest().0;
        let sets = |o: &u64| {
            let record = self.any(Offset(*o));
            let action = record.filter(|r| r.state_key.as_deref() == Some(key))?.action;
            match action {
                Action::Message => Some(Offset(*o)),
                Action::Clear => Some(Offset(0)),
                _ => None,
            }
        };
        unseen.rev().find_map(|o| sets(&o))
    }

    /// How long the values of keys will be that change when everything is to be seen; `None` of
    /// those that will be removed.
    pub(crate) fn unseen_values(&self) -> BTreeMap<&str, Option<usize>> {
        let unseen = (self.top().offset.0 + 1..=self.newest().0).map(Offset);
        let value = |record: &'_ Record| match record.action {
            Action::Message => Some(Some(record.payload.len())),
            Action::Clear => Some(None),
            _ => None,
        };
        let records = unseen.filter_map(|offset| self.any(offset));
        records.filter_map(|r| Some((r.state_key.as_deref()?, value(r)?))).collect()
    }

    /// What becomes of a message, and how long it is, when everything is to be seen; `None` where it
    /// will be deleted. `bytes` is how long it is now.
    pub(crate) fn unseen_length_of(&self, target: Offset, bytes: usize) -> Option<usize> {
        let unseen = (self.top().offset.0 + 1..=self.newest().0).map(Offset);
        let mut records = unseen.filter_map(|offset| self.any(offset));
        records.try_fold(bytes, |bytes, record| match record.action {
            Action::Delete(to) if to == target => None,
            Action::Update(to) if to == target => Some(record.payload.len()),
            Action::Append(to) if to == target => Some(bytes + record.payload.len()),
            _ => Some(bytes),
        })
    }

    /// Keeps as much as this says from now on.
    pub(crate) fn keep(&mut self, policy: ChannelPolicy) {
        self.policy = policy;
    }

    /// Gives the event the next number, and forgets the oldest beyond the policy's bounds.
    pub(crate) fn append(&mut self, record: Arc<Record>) -> ChannelPosition {
        debug_assert_eq!(self.unseen, 0, "a log is durable or it is not");
        self.push(record);
        self.top()
    }

    /// Gives the event the next number; it may be seen once [`Log::show_through`] says so.
    pub(crate) fn append_unseen(&mut self, record: Arc<Record>) -> ChannelPosition {
        self.unseen += 1;
        self.push(record);
        self.position(self.newest().0)
    }

    /// Everything up to this event is on stable storage and may be seen.
    pub(crate) fn show_through(&mut self, offset: Offset) {
        self.unseen = self.unseen.min((self.newest().0 - offset.0) as usize);
        self.trim();
    }

    /// Forgets what is older than `oldest`.
    pub(crate) fn expire(&mut self, oldest: Tick) {
        while self.may_forget() && self.records.front().is_some_and(|r| r.tick < oldest) {
            self.forget_oldest();
        }
    }

    /// Forgets what comes before this event.
    pub(crate) fn forget_before(&mut self, first: Offset) {
        while self.may_forget() && self.first < first.0 {
            self.forget_oldest();
        }
    }

    /// Forgets the older half, to make room for others.
    pub(crate) fn forget_half(&mut self) {
        let half = (self.records.len() - self.unseen).div_ceil(2);
        (0..half).for_each(|_| self.forget_oldest());
    }

    /// Bytes that the events kept take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What the policy says.
    pub(crate) fn policy(&self) -> ChannelPolicy {
        self.policy
    }

    /// Where a new subscriber starts: from now.
    pub(crate) fn start_now(&self) -> Start {
        self.reset_to(self.top().offset)
    }

    /// Where a subscriber starts that has seen everything up to `seen`, of a channel that keeps
    /// everything from `first` on, here or on disk.
    ///
    /// In this epoch it goes on from there. Of another epoch nothing that it saw is known to
    /// precede what is kept, so it gets all of that; a place that does not exist is the top.
    pub(crate) fn start_after(&self, seen: ChannelPosition, first: Offset) -> Start {
        let top = self.top().offset;
        if seen.epoch != self.epoch {
            return self.reset_to(Offset(first.0 - 1));
        }
        if seen.offset > top {
            return self.reset_to(top);
        }
        let after = match seen.offset {
            Offset(offset) if planted::is(Bug::ResumeSkips) => Offset((offset + 1).min(top.0)),
            Offset(offset) if planted::is(Bug::ResumeRepeats) => Offset(offset.saturating_sub(1)),
            offset => offset,
        };
        Start { answer: Answer::Resumed, after }
    }

    /// Is everything after this offset kept?
    pub(crate) fn has_all_after(&self, offset: Offset) -> bool {
        offset.0 + 1 >= self.first
    }

    fn reset_to(&self, offset: Offset) -> Start {
        Start { answer: Answer::Reset(self.position(offset.0)), after: offset }
    }

    fn position(&self, offset: u64) -> ChannelPosition {
        ChannelPosition { epoch: self.epoch, offset: Offset(offset) }
    }

    fn push(&mut self, record: Arc<Record>) {
        self.bytes += record.cost();
        self.records.push_back(record);
        self.trim();
    }

    fn trim(&mut self) {
        let over = |log: &Self| {
            log.records.len() > log.policy.events_max || log.bytes > log.policy.bytes_max
        };
        while over(self) && self.may_forget() {
            self.forget_oldest();
        }
    }

    /// Is the oldest event there, and to be seen? What is not is held whatever it takes: it was
    /// not delivered yet.
    fn may_forget(&self) -> bool {
        self.records.len() > self.unseen
    }

    fn forget_oldest(&mut self) {
        if let Some(record) = self.records.pop_front() {
            self.bytes -= record.cost();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(tick: u32, bytes: usize) -> Arc<Record> {
        Arc::new(Record { payload: vec![0; bytes], ..Record::new(Tick(tick), 0) })
    }

    fn log_of(events: u64) -> Log {
        let policy = ChannelPolicy { events_max: 4, bytes_max: 1000, retention_ms: 1000 };
        let mut log = Log::new(Epoch(3), policy);
        (0..events).for_each(|i| assert_eq!(log.append(record(i as u32, 1)).offset, Offset(i + 1)));
        log
    }

    fn at(epoch: u32, offset: u64) -> ChannelPosition {
        ChannelPosition { epoch: Epoch(epoch), offset: Offset(offset) }
    }

    #[test]
    fn offsets_count_from_one_and_the_oldest_are_forgotten() {
        let log = log_of(6);
        assert_eq!((log.first(), log.top()), (Offset(3), at(3, 6)));
        assert!(log.get(Offset(2)).is_none() && log.get(Offset(7)).is_none());
        assert_eq!(log.get(Offset(3)).map(|r| r.tick), Some(Tick(2)));
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut log = log_of(0);
        for i in 0..3 {
            log.append(record(i, 400));
        }
        assert_eq!((log.first(), log.top().offset), (Offset(2), Offset(3)));
    }

    #[test]
    fn age_is_bounded_and_numbers_go_on() {
        let mut log = log_of(3);
        log.expire(Tick(9));
        assert!(log.is_empty());
        assert_eq!(log.top(), at(3, 3));
        assert_eq!(log.append(record(9, 1)), at(3, 4));
    }

    #[test]
    fn a_start_in_this_epoch_resumes_and_knows_what_is_gone() {
        let log = log_of(6);
        for offset in 0..=6 {
            let start = log.start_after(at(3, offset), log.first());
            assert_eq!(start, Start { answer: Answer::Resumed, after: Offset(offset) });
            assert_eq!(log.has_all_after(start.after), offset >= 2, "3 is the oldest kept");
        }
    }

    #[test]
    fn another_epoch_or_a_place_beyond_the_top_is_a_reset() {
        let log = log_of(6);
        assert_eq!(log.start_after(at(2, 6), log.first()).answer, Answer::Reset(at(3, 2)));
        assert_eq!(log.start_after(at(3, 7), log.first()).answer, Answer::Reset(at(3, 6)));
    }

    #[test]
    fn what_is_not_on_stable_storage_has_a_number_and_is_not_to_be_seen() {
        let mut log = log_of(2);
        assert_eq!(log.append_unseen(record(2, 1)), at(3, 3));
        assert_eq!(log.append_unseen(record(2, 1)), at(3, 4));
        assert_eq!((log.top(), log.newest()), (at(3, 2), Offset(4)));
        assert!(log.get(Offset(3)).is_none() && log.any(Offset(3)).is_some());
        log.show_through(Offset(3));
        assert_eq!((log.top(), log.newest()), (at(3, 3), Offset(4)));
        assert!(log.get(Offset(3)).is_some() && log.get(Offset(4)).is_none());
    }

    #[test]
    fn what_is_not_to_be_seen_yet_is_not_forgotten() {
        let mut log = log_of(0);
        for _ in 0..9 {
            log.append_unseen(record(0, 400));
        }
        log.expire(Tick(99));
        log.forget_half();
        log.forget_before(Offset(9));
        assert_eq!((log.first(), log.top(), log.newest()), (Offset(1), at(3, 0), Offset(9)));
        log.show_through(Offset(9));
        assert_eq!((log.first(), log.top()), (Offset(8), at(3, 9)));
    }

    #[test]
    fn a_log_goes_on_and_recalls_what_came_before() {
        let log = log_of(6);
        let mut again = Log::go_on_after(log.top(), log.policy());
        assert_eq!((again.top(), again.first()), (log.top(), Offset(7)));
        assert!((0..4).all(|_| again.recall(Record::new(Tick(1), 0))));
        assert!(!again.recall(Record::new(Tick(1), 0)), "the policy's bounds hold");
        assert_eq!((again.top(), again.first()), (log.top(), log.first()));
    }
}
