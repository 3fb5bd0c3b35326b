//! What a channel keeps beside its events, and when something of it ends by itself.

use super::leases::Leases;
use super::log::Record;
use super::state::Values;
use super::{Channel, ChannelIdx, Channels};
use crate::World;
use crate::checksum::Checksum;
use starling_protocol::close::CloseCode;
use starling_protocol::message::events::Action;
use starling_protocol::units::{Offset, Tick, TickRate};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Bytes that all channels of a world keep beside their events.
const BESIDE_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Values and leases that end by themselves in one tick; the rest ends in the next.
const ENDS_PER_TICK_MAX: usize = 4_096;

/// What a channel keeps beside its events.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    /// The value of each key.
    pub(crate) values: Values,
    /// What somebody is doing just now.
    pub(crate) leases: Leases,
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

    fn take(&mut self, offset: Offset, record: &Arc<Record>, rate: TickRate) {
        self.touched = record.tick;
        self.values.take(offset, record, rate);
    }

    fn bytes(&self) -> usize {
        self.values.bytes()
    }

    fn next_end(&self) -> Option<Tick> {
        self.values.next_end().into_iter().chain(self.leases.next_end()).min()
    }

    pub(crate) fn add_to(&self, sum: &mut Checksum) {
        self.values.add_to(sum);
        self.leases.add_to(sum);
    }
}

/// What of all channels is due when, and how much all of them keep beside their events.
#[derive(Debug, Default)]
pub(super) struct Timetable {
    ends: BTreeSet<(Tick, ChannelIdx)>,
    /// Channels whose followers are to be told of leases.
    lease_news: BTreeSet<ChannelIdx>,
    bytes: usize,
}

impl Timetable {
    /// A channel is gone.
    pub(super) fn forget(&mut self, idx: ChannelIdx, channel: &Channel) {
        self.bytes -= channel.beside.bytes();
        self.lease_news.remove(&idx);
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
        let channel = self.rows[idx.at()].as_deref_mut();
        let beside = &mut channel.expect("whoever changes it has found it").beside;
        let before = beside.bytes();
        let changed = change(beside);
        self.timetable.bytes = self.timetable.bytes + beside.bytes() - before;
        self.timetable.plan(idx, beside);
        changed
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

    fn due(&self, now: Tick) -> Option<ChannelIdx> {
        self.timetable.ends.first().filter(|(at, _)| *at <= now).map(|(_, idx)| *idx)
    }
}

impl World {
    /// An event has its number: what it changes beside the log is changed.
    pub(crate) fn take_in(&mut self, idx: ChannelIdx, offset: Offset, record: &Arc<Record>) {
        let rate = self.config.tick_rate;
        self.channels.with_beside(idx, |beside| beside.take(offset, record, rate));
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
        let ended = self.channels[idx].beside.values.ended(now).map(str::to_owned);
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
