//! When a client publishes, and to whom.

use super::rhythm::Rhythm;
use crate::motion::entity_rng;
use crate::target::{ChannelNo, ClientNo, EventNo, EventScope, Publish};
use rand::RngExt;
use rand_pcg::Pcg64Mcg;

/// Metres within which others hear an event by place.
const NEAR_M: u32 = 10;

/// The events of one client: half to its channel, half to who is near.
pub(super) struct Publisher {
    client: ClientNo,
    channel: Option<ChannelNo>,
    rng: Pcg64Mcg,
    rhythm: Rhythm,
    number: u32,
}

impl Publisher {
    /// `None` for a client that publishes nothing.
    pub(super) fn new(
        seed: u64,
        client: ClientNo,
        channel: Option<ChannelNo>,
        per_s: f64,
    ) -> Option<Self> {
        let rng = entity_rng(seed ^ 0x00e7_e175, client.0);
        Some(Self { client, channel, rng, rhythm: Rhythm::new(per_s)?, number: 0 })
    }

    /// From now on, not all at once.
    pub(super) fn start(&mut self, now_ns: u64) {
        self.rhythm.start(now_ns, &mut self.rng);
    }

    /// The next event if it is due.
    pub(super) fn next(&mut self, now_ns: u64) -> Option<Publish> {
        if !self.rhythm.beats(now_ns, &mut self.rng) {
            return None;
        }
        self.number += 1;
        let by_place = self.channel.is_none() || self.rng.random_bool(0.5);
        let scope = match self.channel.filter(|_| !by_place) {
            Some(channel) => EventScope::Channel(channel),
            None => EventScope::Near { radius_m: NEAR_M },
        };
        let event = EventNo { publisher: self.client, number: self.number };
        Some(Publish { client: self.client, scope, event })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_at_the_rate_asked_for_half_of_them_to_the_channel() {
        let channel = Some(ChannelNo(3));
        let mut publisher = Publisher::new(1, ClientNo(0), channel, 2.0).expect("it publishes");
        publisher.start(0);
        let mut all = Vec::new();
        for ms in 0..1_000_000 {
            all.extend(publisher.next(ms * 1_000_000));
        }
        let to_channel = all.iter().filter(|p| matches!(p.scope, EventScope::Channel(_))).count();
        assert!((1900..2100).contains(&all.len()), "{}", all.len());
        assert!((850..1150).contains(&to_channel), "{to_channel}");
        assert!(all.iter().zip(1..).all(|(p, n)| p.event.number == n));
    }

    #[test]
    fn no_rate_no_publisher() {
        assert!(Publisher::new(1, ClientNo(0), None, 0.0).is_none());
    }
}
