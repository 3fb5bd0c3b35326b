//! A small seeded random number generator, so that a link's faults replay exactly.

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
///
/// Not for secrets. The same seed gives the same faults on every platform.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    /// A generator whose whole sequence follows from `seed`.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 random bits.
    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number in `0..bound`; 0 when `bound` is 0.
    ///
    /// Multiply-shift: the bias is below `bound / 2^64`, far under what a link test can see.
    pub(crate) const fn below(&mut self, bound: u64) -> u64 {
        ((self.next() as u128 * bound as u128) >> 64) as u64
    }
}

/// Derives an independent seed for part `lane` of something seeded with `seed`.
pub(crate) const fn derive(seed: u64, lane: u64) -> u64 {
    mix(seed ^ mix(lane.wrapping_add(0x9e37_79b9_7f4a_7c15)))
}

/// A seed of 32 bytes, as quinn wants it.
pub(crate) fn wide(seed: u64) -> [u8; 32] {
    let mut dice = Rng::new(seed);
    let mut wide = [0; 32];
    wide.chunks_exact_mut(8).for_each(|part| part.copy_from_slice(&dice.next().to_be_bytes()));
    wide
}

const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_the_published_one() {
        // First outputs for seed 1234567 of the reference implementation.
        let mut rng = Rng::new(1_234_567);
        assert_eq!(rng.next(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn bounded_numbers_stay_below_their_bound_and_spread_evenly() {
        let mut rng = Rng::new(7);
        let mut hits = [0_u32; 10];
        (0..10_000).for_each(|_| hits[rng.below(10) as usize] += 1);
        assert!(hits.iter().all(|&n| (850..1150).contains(&n)), "{hits:?}");
    }

    #[test]
    fn lanes_of_one_seed_differ() {
        assert_ne!(derive(1, 0), derive(1, 1));
        assert_ne!(derive(1, 0), derive(2, 0));
    }
}
