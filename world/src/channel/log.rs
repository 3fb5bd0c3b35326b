//! The memory of a channel: a run of events numbered 1, 2, 3, ... without gaps (P4).

use super::policy::ChannelPolicy;
use starling_protocol::message::events::{Action, Answer, Event, Publisher};
use starling_protocol::units::{ChannelKey, ChannelPosition, Epoch, MessageId, Offset, Tick};
use std::collections::VecDeque;
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

    fn cost(&self) -> usize {
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
    first: u64,
    records: VecDeque<Arc<Record>>,
    bytes: usize,
    policy: ChannelPolicy,
}

impl Log {
    /// An empty log whose next offset is 1.
    pub(crate) fn new(epoch: Epoch, policy: ChannelPolicy) -> Self {
        Self { epoch, first: 1, records: VecDeque::new(), bytes: 0, policy }
    }

    /// The newest event's place; offset 0 before the first.
    pub(crate) fn top(&self) -> ChannelPosition {
        self.position(self.first + self.records.len() as u64 - 1)
    }

    /// The oldest offset still kept; one beyond the top when nothing is.
    pub(crate) fn first(&self) -> Offset {
        Offset(self.first)
    }

    /// Is no event kept?
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Was there never an event?
    pub(crate) fn is_untouched(&self) -> bool {
        self.top().offset == Offset(0)
    }

    /// The event with this number, while it is kept.
    pub(crate) fn get(&self, offset: Offset) -> Option<&Record> {
        let index = offset.0.checked_sub(self.first)?;
        self.records.get(usize::try_from(index).ok()?).map(Arc::as_ref)
    }

    /// Gives the event the next number, and forgets the oldest beyond the policy's bounds.
    pub(crate) fn append(&mut self, record: Arc<Record>) -> ChannelPosition {
        self.bytes += record.cost();
        self.records.push_back(record);
        while self.records.len() > self.policy.events_max || self.bytes > self.policy.bytes_max {
            self.forget_oldest();
        }
        self.top()
    }

    /// Forgets what is older than `oldest`.
    pub(crate) fn expire(&mut self, oldest: Tick) {
        while self.records.front().is_some_and(|r| r.tick < oldest) {
            self.forget_oldest();
        }
    }

    /// Forgets the older half, to make room for others.
    pub(crate) fn forget_half(&mut self) {
        let half = self.records.len().div_ceil(2);
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

    /// Where a subscriber starts that has seen everything up to `seen`.
    ///
    /// In this epoch it goes on from there. Of another epoch nothing that it saw is known to
    /// precede what is kept, so it gets all of that; a place that does not exist is the top.
    pub(crate) fn start_after(&self, seen: ChannelPosition) -> Start {
        let top = self.top().offset;
        if seen.epoch != self.epoch {
            return self.reset_to(Offset(self.first - 1));
        }
        if seen.offset > top {
            return self.reset_to(top);
        }
        Start { answer: Answer::Resumed, after: seen.offset }
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
            let start = log.start_after(at(3, offset));
            assert_eq!(start, Start { answer: Answer::Resumed, after: Offset(offset) });
            assert_eq!(log.has_all_after(start.after), offset >= 2, "3 is the oldest kept");
        }
    }

    #[test]
    fn another_epoch_or_a_place_beyond_the_top_is_a_reset() {
        assert_eq!(log_of(6).start_after(at(2, 6)).answer, Answer::Reset(at(3, 2)));
        assert_eq!(log_of(6).start_after(at(3, 7)).answer, Answer::Reset(at(3, 6)));
    }
}
