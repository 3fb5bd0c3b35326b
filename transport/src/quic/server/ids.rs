//! The server's connection ids: eight bytes, random enough to be unique, marked enough to be known.
//!
//! ```text
//! 6 bytes   random
//! 2 bytes   a mark: keyed hash of the six
//! ```
//!
//! The mark lets a server that came back tell packets of its former life, which get a stateless
//! reset, from noise, which gets nothing. Ids that are also the first ids of a retried handshake
//! have to differ from all others without being checked, hence the six random bytes: quinn's own
//! generator has three, and with a thousand connections one retry in three thousand went nowhere.

use crate::conditioner::rng::derive;
use aws_lc_rs::rand;
use quinn_proto::{ConnectionId, ConnectionIdGenerator, InvalidCid};
use std::time::Duration;

const RANDOM_BYTES: usize = 6;
const MARK_BYTES: usize = 2;

/// Makes and knows the ids of one key.
pub(super) struct MarkedIds {
    key: u64,
}

impl MarkedIds {
    pub(super) const fn new(key: u64) -> Self {
        Self { key }
    }

    fn mark(&self, random: [u8; RANDOM_BYTES]) -> [u8; MARK_BYTES] {
        let [a, b, c, d, e, f] = random;
        let hash = derive(self.key, u64::from_be_bytes([0, 0, a, b, c, d, e, f]));
        let [first, second, ..] = hash.to_be_bytes();
        [first, second]
    }
}

impl ConnectionIdGenerator for MarkedIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut random = [0; RANDOM_BYTES];
        rand::fill(&mut random).expect("the system has randomness, or there is no TLS either");
        let mut id = [0; RANDOM_BYTES + MARK_BYTES];
        id[..RANDOM_BYTES].copy_from_slice(&random);
        id[RANDOM_BYTES..].copy_from_slice(&self.mark(random));
        ConnectionId::new(&id)
    }

    fn validate(&self, id: &ConnectionId) -> Result<(), InvalidCid> {
        let (random, mark) = id.split_first_chunk().ok_or(InvalidCid)?;
        if self.mark(*random) == mark { Ok(()) } else { Err(InvalidCid) }
    }

    fn cid_len(&self) -> usize {
        RANDOM_BYTES + MARK_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ids_are_known_to_whoever_has_the_key() {
        let id = MarkedIds::new(1).generate_cid();
        assert!(MarkedIds::new(1).validate(&id).is_ok());
        assert!(MarkedIds::new(2).validate(&id).is_err());
        assert!(MarkedIds::new(1).validate(&ConnectionId::new(&id[..4])).is_err());
    }

    #[test]
    fn ten_thousand_ids_differ() {
        let mut ids = MarkedIds::new(1);
        let made: BTreeSet<_> = (0..10_000).map(|_| ids.generate_cid().to_vec()).collect();
        assert_eq!(made.len(), 10_000);
    }
}
