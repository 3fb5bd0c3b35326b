//! What others are doing just now: leases, which end by themselves.

use starling_protocol::message::events::LeaseTold;
use starling_protocol::units::{Nanos, SessionId};
use std::collections::BTreeMap;

/// Leases that one subscription holds; more are only told.
const HELD_MAX: usize = 4_096;

/// The leases of one subscription.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leases {
    held: BTreeMap<(SessionId, String), (Nanos, LeaseTold)>,
}

impl Leases {
    /// The server told of some.
    pub(crate) fn told(&mut self, now: Nanos, leases: &[LeaseTold]) {
        self.held.retain(|_, (ends, _)| *ends > now);
        for lease in leases {
            let name = (lease.who.session, lease.name.clone());
            if lease.ttl_ms == 0 {
                self.held.remove(&name);
            } else if self.held.len() < HELD_MAX || self.held.contains_key(&name) {
                let ends = now + u64::from(lease.ttl_ms) * Nanos::MILLISECOND;
                self.held.insert(name, (ends, lease.clone()));
            }
        }
    }

    /// Those that last at this moment.
    pub(crate) fn at(&self, now: Nanos) -> impl Iterator<Item = &LeaseTold> {
        self.held.values().filter(move |(ends, _)| *ends > now).map(|(_, lease)| lease)
    }

    /// The channel starts anew: those that last are told again.
    pub(crate) fn restart(&mut self) {
        self.held.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use starling_protocol::message::events::Publisher;

    fn typing(session: u64, ttl_ms: u32) -> LeaseTold {
        let who = Publisher { session: SessionId(session), subject: String::new() };
        LeaseTold { who, name: "typing".into(), ttl_ms, data: Vec::new() }
    }

    #[test]
    fn a_lease_ends_by_a_word_or_by_itself() {
        let mut leases = Leases::default();
        let ms = Nanos::from_millis;
        leases.told(ms(0), &[typing(1, 100), typing(2, 50)]);
        assert_eq!(leases.at(ms(49)).count(), 2);
        assert_eq!(leases.at(ms(50)).count(), 1);
        leases.told(ms(60), &[typing(1, 0)]);
        assert_eq!(leases.at(ms(60)).count(), 0);
    }

    #[test]
    fn no_server_makes_it_hold_more_than_a_bound() {
        let mut leases = Leases::default();
        for session in 0..HELD_MAX as u64 + 9 {
            leases.told(Nanos(0), &[typing(session, 100)]);
        }
        assert_eq!(leases.at(Nanos(1)).count(), HELD_MAX);
    }
}
