//! Connections by their keys.
//!
//! Every datagram looks its connection up, and a tick's worth of them leaves nothing in the caches:
//! a hash finds it in two reads where a tree takes six. Keys are the transport's own numbers, so
//! nobody outside can make them collide, and whoever goes through all of them sorts.

use super::connection::Connection;
use starling_transport::ConnKey;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Every connection of a Front.
pub(super) type Roster = HashMap<ConnKey, Box<Connection>, BuildHasherDefault<KeyHasher>>;

/// 2^64 over the golden ratio: multiplying by it spreads numbers that lie close together.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Hashes one key.
#[derive(Debug, Default)]
pub(super) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(byte.into()));
    }

    fn write_u64(&mut self, number: u64) {
        let product = (self.0 ^ number).wrapping_mul(SPREAD);
        self.0 = product ^ product >> 32;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::hash::BuildHasher;

    #[test]
    fn keys_of_neighbours_are_far_apart_at_both_ends_of_their_hashes() {
        let hash = |key: u64| BuildHasherDefault::<KeyHasher>::default().hash_one(ConnKey(key));
        // As a server makes them: a number that counts up, and a place.
        let hashes: Vec<_> = (0..1_024).map(|n| hash(n << 24 | n)).collect();
        let ends = |bits: fn(u64) -> u64| hashes.iter().map(|h| bits(*h)).collect::<BTreeSet<_>>();
        assert!(ends(|h| h % 1_024).len() > 512, "{}", ends(|h| h % 1_024).len());
        assert_eq!(ends(|h| h >> 57).len(), 128);
    }
}
