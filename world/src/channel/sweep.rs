//! Forgetting: events by age, channels that nothing holds any more.

use super::{ChannelIdx, Channels, oldest_kept};
use crate::World;
use crate::session::SessionIdx;
use starling_protocol::units::{SessionId, Tick};

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
        for maker in self.channels.sweep(oldest) {
            self.channel_forgotten(maker);
        }
        let rows = self.sessions.rows().max(1) as u32;
        for turn in 0..CHANNELS_PER_TICK as u32 {
            let idx = SessionIdx((now.0.wrapping_mul(CHANNELS_PER_TICK as u32) + turn) % rows);
            if let Some(session) = self.sessions.get_mut(idx) {
                session.inbox.expire(oldest(session.inbox.policy().retention_ms));
            }
        }
    }
}

impl Channels {
    /// Returns who made the channels that were forgotten.
    fn sweep(&mut self, oldest: impl Fn(u32) -> Tick) -> Vec<Option<SessionId>> {
        let mut makers = Vec::new();
        for _ in 0..CHANNELS_PER_TICK.min(self.rows.len()) {
            self.swept = (self.swept + 1) % self.rows.len();
            let Some(channel) = self.rows[self.swept].as_deref_mut() else { continue };
            let before = channel.log.bytes();
            channel.log.expire(oldest(channel.log.policy().retention_ms));
            self.bytes -= before - channel.log.bytes();
            if channel.subscribers.is_empty() {
                channel.beside.values.forget_snapshot();
                if let Some(members) = &mut channel.members {
                    members.forget_snapshot();
                }
            }
            if channel.is_idle(oldest(STATE_IDLE_MS)) && !channel.is_the_worlds() {
                makers.push(self.remove(ChannelIdx(self.swept as u32)));
            }
        }
        makers
    }
}
