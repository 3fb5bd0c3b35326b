//! Epochs: which life of a channel this is.

use starling_protocol::planted::{self, Bug};
use starling_protocol::units::Epoch;

/// Mints an epoch for each life of a channel.
///
/// Within a world's life no two are equal; those of another life are equal by a chance of one in
/// four billion each.
#[derive(Debug)]
pub(super) struct Epochs {
    salt: u32,
    minted: u32,
}

impl Epochs {
    pub(super) fn new(world: Epoch, seed: u64) -> Self {
        let life = if planted::is(Bug::EpochKept) { 0 } else { seed ^ salt(world.0.into()) };
        let salt = salt(life);
        Self { salt: salt as u32, minted: 0 }
    }

    pub(super) fn mint(&mut self) -> Epoch {
        self.minted = self.minted.wrapping_add(1);
        Epoch(mix(self.minted) ^ self.salt)
    }
}

/// A one-to-one scramble of 32 bits (the finaliser of MurmurHash3).
const fn mix(bits: u32) -> u32 {
    let bits = (bits ^ (bits >> 16)).wrapping_mul(0x85eb_ca6b);
    let bits = (bits ^ (bits >> 13)).wrapping_mul(0xc2b2_ae35);
    bits ^ (bits >> 16)
}

/// Another scramble, of 64 bits (the finaliser of SplitMix64): with the one that numbers the lives
/// of channels, the second of one life of the world would be the third of another.
const fn salt(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn no_channel_of_one_life_of_the_world_has_the_epoch_of_one_of_another() {
        let mut seen = BTreeMap::new();
        for world in 1..60 {
            let mut epochs = Epochs::new(Epoch(world), 0);
            for minted in 0..60 {
                let other = seen.insert(epochs.mint(), (world, minted));
                assert_eq!(other, None, "{world} {minted}");
            }
        }
    }

    #[test]
    fn another_life_of_the_world_has_other_epochs() {
        let first = |world, seed| Epochs::new(Epoch(world), seed).mint();
        assert_ne!(first(1, 0), first(2, 0));
        assert_ne!(first(1, 0), first(1, 1));
    }
}
