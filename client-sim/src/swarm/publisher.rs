//! When a client publishes, and to whom.

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
    mean_ns: f64,
    due_ns: u64,
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
        let publishes = per_s > 0.0;
        let mean_ns = 1e9 / per_s;
        publishes.then_some(Self { client, channel, rng, mean_ns, due_ns: 0, number: 0 })
    }

    /// From now on, not all at once.
    pub(super) fn start(&mut self, now_ns: u64) {
        self.due_ns = now_ns + self.wait_ns();
    }

    /// The next event if it is due.
    pub(super) fn next(&mut self, now_ns: u64) -> Option<Publish> {
        if self.due_ns == 0 || now_ns < self.due_ns {
            return None;
        }
        // A late swarm does not make up for what it missed in one go.
        self.due_ns = now_ns.max(self.due_ns) + self.wait_ns();
        self.number += 1;
        let by_place = self.channel.is_none() || self.rng.random_bool(0.5);
        let scope = match self.channel.filter(|_| !by_place) {
            Some(channel) => EventScope::Channel(channel),
            None => EventScope::Near { radius_m: NEAR_M },
        };
        let event = EventNo { publisher: self.client, number: self.number };
        Some(Publish { client: self.client, scope, event })
    }

    /// Exponential waiting times: a Poisson process.
    fn wait_ns(&mut self) -> u64 {
        let share: f64 = self.rng.random::<f64>().max(1e-12);
        (-share.ln() * self.mean_ns) as u64
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
