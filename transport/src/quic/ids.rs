//! A server's connection ids: eight bytes, random enough to be unique, marked enough to be known,
//! and naming the shard that has the connection.
//!
//! ```text
//! 5 bytes   random
//! 1 byte    the shard, masked with a byte of a keyed hash of the five
//! 2 bytes   a mark: keyed hash of the six
//! ```
//!
//! The mark lets a server that came back tell packets of its former life, which get a stateless
//! reset, from noise, which gets nothing. The shard lets whichever socket a packet comes to find
//! the thread that has its connection, after a client has moved to another port or network. Ids
//! that are also the first ids of a retried handshake have to differ from all others without being
//! checked, hence the five random bytes: quinn's own generator has three, and with a thousand
//! connections one retry in three thousand went nowhere.

use crate::conditioner::rng::{Rng, derive};
use aws_lc_rs::rand;
use quinn_proto::{ConnectionId, ConnectionIdGenerator, InvalidCid};
use std::time::Duration;

const RANDOM_BYTES: usize = 5;
const MARK_BYTES: usize = 2;
const ID_BYTES: usize = RANDOM_BYTES + 1 + MARK_BYTES;
/// Bit of a packet's first byte that says that its header is long (RFC 9000, section 17.2).
const LONG_HEADER: u8 = 0x80;
/// Where a long header has the length of the id that the packet goes to.
const LONG_ID_LENGTH_AT: usize = 5;

/// Makes and knows the ids of one key.
#[derive(Clone)]
pub(in crate::quic) struct MarkedIds {
    key: u64,
    shard: u8,
    /// Where ids come from in a simulation; the system's randomness otherwise.
    dice: Option<Rng>,
}

impl MarkedIds {
    pub(in crate::quic) const fn new(key: u64, shard: u8) -> Self {
        Self { key, shard, dice: None }
    }

    /// The same, but the ids follow from a seed: for simulation only, for they can be guessed.
    pub(in crate::quic) fn seeded(self, seed: u64) -> Self {
        Self { dice: Some(Rng::new(seed)), ..self }
    }

    /// The shard that has the connection which a packet is for, if the packet says so.
    pub(in crate::quic) fn shard_of(&self, packet: &[u8]) -> Option<u8> {
        let long = packet.first()? & LONG_HEADER != 0;
        let id = match long {
            true if usize::from(*packet.get(LONG_ID_LENGTH_AT)?) != ID_BYTES => return None,
            true => &packet[LONG_ID_LENGTH_AT + 1..],
            false => &packet[1..],
        };
        self.read(id.first_chunk()?)
    }

    fn write(&self, random: [u8; RANDOM_BYTES]) -> [u8; ID_BYTES] {
        let [a, b, c, d, e] = random;
        let [mask, first, second] = self.hash(random);
        let shard = self.shard ^ mask;
        // The mark covers the shard too: a flipped bit of it is noise.
        [a, b, c, d, e, shard, first ^ spread(self.shard), second]
    }

    fn read(&self, id: &[u8; ID_BYTES]) -> Option<u8> {
        let [a, b, c, d, e, shard, first, second] = *id;
        let [mask, mark, rest] = self.hash([a, b, c, d, e]);
        let shard = shard ^ mask;
        (first == mark ^ spread(shard) && second == rest).then_some(shard)
    }

    fn hash(&self, [a, b, c, d, e]: [u8; RANDOM_BYTES]) -> [u8; 3] {
        let hash = derive(self.key, u64::from_be_bytes([0, 0, 0, a, b, c, d, e]));
        let [mask, first, second, ..] = hash.to_be_bytes();
        [mask, first, second]
    }
}

/// A shard's share of the mark.
const fn spread(shard: u8) -> u8 {
    shard.wrapping_mul(0x9d)
}

impl ConnectionIdGenerator for MarkedIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut random = [0; RANDOM_BYTES];
        match &mut self.dice {
            Some(dice) => random.copy_from_slice(&dice.next().to_be_bytes()[..RANDOM_BYTES]),
            None => rand::fill(&mut random)
                .expect("the system has randomness, or there is no TLS either"),
        }
        ConnectionId::new(&self.write(random))
    }

    fn validate(&self, id: &ConnectionId) -> Result<(), InvalidCid> {
        let id: &[u8; ID_BYTES] = (**id).try_into().map_err(|_| InvalidCid)?;
        self.read(id).map(|_| ()).ok_or(InvalidCid)
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
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
        let id = MarkedIds::new(1, 0).generate_cid();
        assert!(MarkedIds::new(1, 0).validate(&id).is_ok());
        assert!(MarkedIds::new(2, 0).validate(&id).is_err());
        assert!(MarkedIds::new(1, 0).validate(&ConnectionId::new(&id[..4])).is_err());
    }

    #[test]
    fn ten_thousand_ids_differ() {
        let mut ids = MarkedIds::new(1, 0);
        let made: BTreeSet<_> = (0..10_000).map(|_| ids.generate_cid().to_vec()).collect();
        assert_eq!(made.len(), 10_000);
    }

    #[test]
    fn every_shard_knows_whose_packet_it_has() {
        let here = MarkedIds::new(9, 0);
        for shard in [0, 1, 7, 255] {
            let id = MarkedIds::new(9, shard).generate_cid();
            let short = [&[0x40][..], &id, &[1, 2, 3]].concat();
            assert_eq!(here.shard_of(&short), Some(shard));
            let long = [&[0xe0, 0, 0, 0, 1, 8][..], &id, &[0]].concat();
            assert_eq!(here.shard_of(&long), Some(shard));
            assert_eq!(MarkedIds::new(8, 0).shard_of(&short), None);
        }
    }

    #[test]
    fn a_flipped_bit_of_an_id_makes_it_nobodys() {
        let ids = MarkedIds::new(3, 5);
        let id = ids.write([1, 2, 3, 4, 5]);
        for bit in 0..64 {
            let mut flipped = id;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(ids.read(&flipped), None, "bit {bit}");
        }
    }

    #[test]
    fn what_is_too_short_names_no_shard() {
        let ids = MarkedIds::new(3, 5);
        for length in 0..20 {
            assert_eq!(ids.shard_of(&vec![0x40; length.min(8)]), None);
            assert_eq!(ids.shard_of(&[&[0xc0; 5][..], &vec![8; length.min(8)]].concat()), None);
        }
    }
}
