//! Random numbers of one entity.

use rand::SeedableRng;
use rand::{Rng, RngExt};
use rand_pcg::Pcg64Mcg;

/// A generator for one entity of one run. Neighbouring entities get unrelated streams.
#[must_use]
pub fn entity_rng(seed: u64, entity: u32) -> Pcg64Mcg {
    Pcg64Mcg::seed_from_u64(mix(seed ^ mix(u64::from(entity) + 1)))
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014).
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A standard normal number (Box and Muller 1958).
pub(super) fn gauss(rng: &mut impl Rng) -> f64 {
    let u: f64 = rng.random::<f64>().max(1e-12);
    let v: f64 = rng.random();
    (-2.0 * u.ln()).sqrt() * (v * std::f64::consts::TAU).cos()
}

/// A waiting time whose mean is `mean`.
pub(super) fn waiting(rng: &mut impl Rng, mean: f64) -> f64 {
    -rng.random::<f64>().max(1e-12).ln() * mean
}
