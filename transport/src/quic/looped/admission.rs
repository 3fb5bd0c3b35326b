//! Who may begin a handshake: limits in all, for addresses that are not proven, and for each
//! neighbourhood of addresses.

use crate::quic::handshakes::Handshakes;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// What to do with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Accept,
    /// Ask for proof of the address.
    Retry,
    /// Say that the server is full.
    Refuse,
    /// Give no answer.
    Ignore,
}

/// Addresses that one household or one provider's customer has: a /24 or a /56.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Neighbourhood(u64);

impl Neighbourhood {
    fn of(address: SocketAddr) -> Self {
        match address.ip().to_canonical() {
            IpAddr::V4(v4) => Self(u64::from(u32::from(v4) >> 8)),
            // The top bit tells the families apart: no global address begins with it unset there.
            IpAddr::V6(v6) => Self((u128::from(v6) >> 72) as u64 | 1 << 63),
        }
    }
}

/// The handshakes under way, by the place of their connections.
#[derive(Debug)]
pub(super) struct Admission {
    limits: Handshakes,
    origins: BTreeMap<usize, Neighbourhood>,
    neighbours: BTreeMap<Neighbourhood, usize>,
}

impl Admission {
    /// Nobody yet, at a server of so many shards.
    pub(super) const fn new(shards: u8) -> Self {
        let limits = Handshakes::of_shard(shards);
        Self { limits, origins: BTreeMap::new(), neighbours: BTreeMap::new() }
    }

    /// Judges an attempt; `full` says that no more connections may be.
    pub(super) fn judge(&self, from: SocketAddr, proven: bool, full: bool) -> Verdict {
        let handshaking = self.origins.len();
        let neighbours = self.neighbours.get(&Neighbourhood::of(from)).copied().unwrap_or(0);
        if handshaking >= self.limits.max {
            Verdict::Ignore
        } else if full {
            Verdict::Refuse
        } else if neighbours >= self.limits.neighbourhood_max {
            Verdict::Ignore
        } else if handshaking >= self.limits.unproven_max && !proven {
            Verdict::Retry
        } else {
            Verdict::Accept
        }
    }

    /// A handshake has begun.
    pub(super) fn begin(&mut self, place: usize, from: SocketAddr) {
        self.end(place);
        let origin = Neighbourhood::of(from);
        self.origins.insert(place, origin);
        *self.neighbours.entry(origin).or_default() += 1;
    }

    /// A handshake is over, one way or the other.
    pub(super) fn end(&mut self, place: usize) {
        let Some(origin) = self.origins.remove(&place) else { return };
        if let Some(count) = self.neighbours.get_mut(&origin) {
            *count -= 1;
            if *count == 0 {
                self.neighbours.remove(&origin);
            }
        }
    }

    /// Handshakes under way.
    pub(super) fn count(&self) -> usize {
        self.origins.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEIGHBOURS: usize = Handshakes::SERVER.neighbourhood_max;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn the_first_get_in_unproven_and_later_ones_are_asked() {
        let mut admission = Admission::new(1);
        for place in 0..Handshakes::SERVER.unproven_max {
            let from = address(&format!("10.0.{place}.1:5"));
            assert_eq!(admission.judge(from, false, false), Verdict::Accept);
            admission.begin(place, from);
        }
        let from = address("10.1.0.1:5");
        assert_eq!(admission.judge(from, false, false), Verdict::Retry);
        assert_eq!(admission.judge(from, true, false), Verdict::Accept);
        assert_eq!(admission.judge(from, true, true), Verdict::Refuse);
        admission.end(7);
        assert_eq!(admission.judge(from, false, false), Verdict::Accept);
    }

    #[test]
    fn one_neighbourhood_cannot_take_every_place() {
        let mut admission = Admission::new(1);
        for place in 0..NEIGHBOURS {
            admission.begin(place, address(&format!("[2001:db8:0:{:x}::1]:5", place % 256)));
        }
        let neighbour = address("[2001:db8:0:55::9]:7");
        assert_eq!(admission.judge(neighbour, true, false), Verdict::Ignore);
        let other = address("[2001:db8:0:100::9]:7");
        assert_eq!(admission.judge(other, true, false), Verdict::Accept);
        (0..3).for_each(|place| admission.end(place));
        assert_eq!(admission.judge(neighbour, true, false), Verdict::Accept);
        (3..NEIGHBOURS).for_each(|place| admission.end(place));
        assert_eq!(admission.count(), 0);
        assert!(admission.neighbours.is_empty());
    }

    #[test]
    fn beyond_all_limits_nobody_is_answered() {
        let mut admission = Admission::new(1);
        for place in 0..Handshakes::SERVER.max {
            admission.begin(place, address(&format!("10.{}.{}.1:5", place / 256, place % 256)));
        }
        assert_eq!(admission.judge(address("11.0.0.1:1"), true, true), Verdict::Ignore);
    }

    #[test]
    fn each_shard_has_its_share_of_the_limits() {
        let mut admission = Admission::new(4);
        let of = |place: usize| address(&format!("10.{}.{}.1:5", place / 256, place % 256));
        for place in 0..256 {
            let verdict = if place < 16 { Verdict::Accept } else { Verdict::Retry };
            assert_eq!(admission.judge(of(place), false, false), verdict, "{place}");
            admission.begin(place, of(place));
        }
        assert_eq!(admission.judge(of(256), true, false), Verdict::Ignore);
    }
}
