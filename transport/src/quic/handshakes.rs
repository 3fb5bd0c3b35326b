//! How many handshakes a server has under way, and for how long.

use std::time::Duration;

/// A client that takes longer for its handshake is given up.
pub(super) const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(3);

/// Limits of one server, or of one shard of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Handshakes {
    /// Handshakes under way beyond which a client has to prove its address first.
    pub(super) unproven_max: usize,
    /// Handshakes under way beyond which nobody is answered.
    pub(super) max: usize,
    /// Handshakes under way from one neighbourhood: it alone cannot take every place.
    pub(super) neighbourhood_max: usize,
}

impl Handshakes {
    /// The whole server's.
    pub(super) const SERVER: Self = Self { unproven_max: 64, max: 1_024, neighbourhood_max: 768 };

    /// The share of each shard: clients are spread over shards by their addresses.
    pub(super) const fn of_shard(shards: u8) -> Self {
        let shards = if shards == 0 { 1 } else { shards as usize };
        Self {
            unproven_max: Self::SERVER.unproven_max.div_ceil(shards),
            max: Self::SERVER.max.div_ceil(shards),
            neighbourhood_max: Self::SERVER.neighbourhood_max.div_ceil(shards),
        }
    }
}

const _: () = {
    let least = Handshakes::of_shard(u8::MAX);
    assert!(0 < least.unproven_max && least.unproven_max < least.neighbourhood_max);
    assert!(least.neighbourhood_max < least.max);
};
