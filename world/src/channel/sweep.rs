//! Forgetting: events by age, channels that nothing holds any more.

use super::{Channel, ChannelIdx, Channels, oldest_kept};
use crate::World;
use crate::durable::rows;
use crate::journal::Table;
use crate::session::SessionIdx;
use starling_protocol::units::Tick;

/// Channels looked at in one tick: a full world is swept in a minute at 20 Hz.
const CHANNELS_PER_TICK: usize = 64;
/// State that nobody follows and nobody changed for so long is forgotten with its channel.
const STATE_IDLE_MS: u32 = 24 * 3_600 * 1_000;

impl World {
    /// Looks at the next few channels, and at the inbox of one session in turn.
    pub(crate) fn sweep_channels(&mut self) {
        let now = self.now;
        let rate = self.config.tick_rate;
        let oldest = |retention_ms: u32| oldest_kept(now, rate.ticks_in_ms(retention_ms.into()));
        for turn in 0..self.channels.turns() {
            if let Some(idx) = self.channels.durable_in(turn) {
                self.retain(idx);
            }
        }
        for channel in self.channels.sweep(oldest) {
            self.forget_channel(&channel);
        }
        let rows = self.sessions.rows().max(1) as u32;
        for turn in 0..CHANNELS_PER_TICK as u32 {
            let idx = SessionIdx((now.0.wrapping_mul(CHANNELS_PER_TICK as u32) + turn) % rows);
            if let Some(session) = self.sessions.get_mut(idx) {
                session.inbox.expire(oldest(session.inbox.policy().retention_ms));
            }
        }
    }

    /// Removes from the disk what a durable channel is to keep no longer. P6: whoever comes to read
    /// it is told that it is gone.
    pub(crate) fn retain(&mut self, idx: ChannelIdx) {
        let now_ms = self.kept_ms();
        let channel = &mut self.channels[idx];
        let (top, newest) = (channel.log.top().offset, channel.log.newest());
        let Some(kept) = channel.kept.as_deref_mut() else { return };
        let id = kept.id;
        let Some(gone) = kept.expire(top, newest, now_ms) else { return };
        self.counters.events_expired += gone.end.0 - gone.start.0;
        self.channels.forget_before(idx, gone.end);
        let keys = rows::event_keys(id, gone);
        self.durable.journal.remove_range(Table::Event, keys.clone());
        self.durable.journal.remove_range(Table::Note, keys);
        self.journal_channel(idx);
    }

    fn forget_channel(&mut self, channel: &Channel) {
        if channel.kept.as_ref().is_some_and(|kept| kept.written) {
            self.durable.journal.remove(Table::Channel, channel.name.clone().into_bytes());
        }
        if let Some(kept) = &channel.kept {
            self.forget_rows_beside(kept.id);
        }
        self.channel_forgotten(channel.maker);
    }
}

impl Channels {
    /// How many are looked at in one tick.
    fn turns(&self) -> usize {
        CHANNELS_PER_TICK.min(self.rows.len())
    }

    /// The channel that is looked at in this turn, if it is durable and can be read.
    fn durable_in(&self, turn: usize) -> Option<ChannelIdx> {
        let at = (self.swept + 1 + turn) % self.rows.len();
        let kept = self.rows[at].as_deref()?.kept.as_deref()?;
        (!kept.damaged).then_some(ChannelIdx(at as u32))
    }

    /// Returns the channels that were forgotten.
    fn sweep(&mut self, oldest: impl Fn(u32) -> Tick) -> Vec<Channel> {
        let mut forgotten = Vec::new();
        for _ in 0..self.turns() {
            self.swept = (self.swept + 1) % self.rows.len();
            let Some(channel) = self.rows[self.swept].as_deref_mut() else { continue };
            let before = channel.log.bytes();
            channel.log.expire(oldest(channel.log.policy().retention_ms));
            self.bytes -= before - channel.log.bytes();
            if channel.subscribers.is_empty() {
                channel.beside.values.forget_snapshot();
                channel.beside.made = Default::default();
                if let Some(members) = &mut channel.members {
                    members.forget_snapshot();
                }
            }
            self.retire(ChannelIdx(self.swept as u32));
            self.let_go_quiet(ChannelIdx(self.swept as u32));
            let Some(channel) = self.rows[self.swept].as_deref_mut() else { continue };
            if channel.is_idle(oldest(STATE_IDLE_MS)) && !channel.is_the_worlds() {
                let idx = ChannelIdx(self.swept as u32);
                forgotten.extend(self.remove(idx).map(|channel| *channel));
            }
        }
        forgotten
    }
}
