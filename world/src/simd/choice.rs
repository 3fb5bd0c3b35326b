//! The kernel of a choice: who of many is above a threshold, who is at it, and what they take.

use super::Level;
use super::slots::SLOTS;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// What is to be chosen from of 64 slots. Lanes that are not due take nothing.
#[derive(Clone, Debug)]
pub(crate) struct Lanes {
    pub(crate) hunger: [u8; SLOTS],
    pub(crate) bits: [u16; SLOTS],
}

/// A lane for each of 64: hungrier than the threshold, and exactly as hungry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parted {
    pub(crate) above: u64,
    pub(crate) at: u64,
}

/// Parts all lanes by a threshold, in order; returns what those above it take, and those at it.
#[inline]
pub(crate) fn part(
    level: Level,
    lanes: &[Lanes],
    threshold: u8,
    parted: &mut Vec<Parted>,
) -> (u32, u32) {
    parted.clear();
    match level {
        Level::Scalar => scalar(lanes, threshold, parted),
        // SAFETY: `detect` found what these need.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { avx2(lanes, threshold, parted) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx512 => unsafe { avx512(lanes, threshold, parted) },
    }
}

fn scalar(lanes: &[Lanes], threshold: u8, parted: &mut Vec<Parted>) -> (u32, u32) {
    let mut sums = (0, 0);
    for lanes in lanes {
        let mut here = Parted::default();
        for (lane, (hunger, bits)) in lanes.hunger.iter().zip(&lanes.bits).enumerate() {
            let (above, at) = (*hunger > threshold, *hunger == threshold);
            here.above |= u64::from(above) << lane;
            here.at |= u64::from(at) << lane;
            sums.0 += if above { u32::from(*bits) } else { 0 };
            sums.1 += if at { u32::from(*bits) } else { 0 };
        }
        parted.push(here);
    }
    sums
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,popcnt,lzcnt")]
fn avx2(lanes: &[Lanes], threshold: u8, parted: &mut Vec<Parted>) -> (u32, u32) {
    let threshold = _mm256_set1_epi8(threshold as i8);
    let low = _mm256_set1_epi32(0xffff);
    let (mut above_sum, mut at_sum) = (_mm256_setzero_si256(), _mm256_setzero_si256());
    for lanes in lanes {
        let mut here = Parted::default();
        for half in 0..SLOTS / 16 {
            let hungers = &lanes.hunger.as_chunks::<16>().0[half];
            // SAFETY: sixteen lanes may be read from where sixteen lanes are.
            let hunger = unsafe { _mm_loadu_si128(hungers.as_ptr().cast()) };
            let bits = &lanes.bits.as_chunks::<16>().0[half];
            // SAFETY: as above.
            let bits = unsafe { _mm256_loadu_si256(bits.as_ptr().cast()) };
            let limit = _mm256_castsi256_si128(threshold);
            let at = _mm_cmpeq_epi8(hunger, limit);
            let most = _mm_cmpeq_epi8(_mm_max_epu8(hunger, limit), hunger);
            let above = _mm_andnot_si128(at, most);
            here.above |= u64::from(_mm_movemask_epi8(above) as u16) << (half * 16);
            here.at |= u64::from(_mm_movemask_epi8(at) as u16) << (half * 16);
            let of_above = _mm256_and_si256(bits, _mm256_cvtepi8_epi16(above));
            let of_at = _mm256_and_si256(bits, _mm256_cvtepi8_epi16(at));
            above_sum = _mm256_add_epi32(above_sum, _mm256_and_si256(of_above, low));
            above_sum = _mm256_add_epi32(above_sum, _mm256_srli_epi32::<16>(of_above));
            at_sum = _mm256_add_epi32(at_sum, _mm256_and_si256(of_at, low));
            at_sum = _mm256_add_epi32(at_sum, _mm256_srli_epi32::<16>(of_at));
        }
        parted.push(here);
    }
    (sum8(above_sum), sum8(at_sum))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,popcnt,lzcnt")]
#[inline]
fn sum8(lanes: __m256i) -> u32 {
    let four = _mm_add_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256::<1>(lanes));
    let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
    let one = _mm_add_epi32(two, _mm_shuffle_epi32::<0b10_11_00_01>(two));
    _mm_cvtsi128_si32(one) as u32
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,bmi1,bmi2,popcnt,lzcnt")]
fn avx512(lanes: &[Lanes], threshold: u8, parted: &mut Vec<Parted>) -> (u32, u32) {
    let threshold = _mm512_set1_epi8(threshold as i8);
    let low = _mm512_set1_epi32(0xffff);
    let (mut above_sum, mut at_sum) = (_mm512_setzero_si512(), _mm512_setzero_si512());
    for lanes in lanes {
        // SAFETY: 64 lanes may be read from where 64 lanes are.
        let hunger = unsafe { _mm512_loadu_si512(lanes.hunger.as_ptr().cast()) };
        let above = _mm512_cmpgt_epu8_mask(hunger, threshold);
        let at = _mm512_cmpeq_epu8_mask(hunger, threshold);
        parted.push(Parted { above, at });
        for (half, bits) in lanes.bits.as_chunks::<32>().0.iter().enumerate() {
            // SAFETY: 32 lanes may be read from where 32 lanes are.
            let bits = unsafe { _mm512_loadu_si512(bits.as_ptr().cast()) };
            let of_above = _mm512_maskz_mov_epi16((above >> (half * 32)) as u32, bits);
            let of_at = _mm512_maskz_mov_epi16((at >> (half * 32)) as u32, bits);
            above_sum = _mm512_add_epi32(above_sum, _mm512_and_si512(of_above, low));
            above_sum = _mm512_add_epi32(above_sum, _mm512_srli_epi32::<16>(of_above));
            at_sum = _mm512_add_epi32(at_sum, _mm512_and_si512(of_at, low));
            at_sum = _mm512_add_epi32(at_sum, _mm512_srli_epi32::<16>(of_at));
        }
    }
    (_mm512_reduce_add_epi32(above_sum) as u32, _mm512_reduce_add_epi32(at_sum) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_level_parts_alike(
            hungers in prop::collection::vec(prop_oneof![0..4u8, any::<u8>()], 3 * SLOTS),
            bits in prop::collection::vec(any::<u16>(), 3 * SLOTS),
            threshold in prop_oneof![0..4u8, any::<u8>()],
        ) {
            let lanes = |n: usize| Lanes {
                hunger: std::array::from_fn(|i| hungers[n * SLOTS + i]),
                bits: std::array::from_fn(|i| bits[n * SLOTS + i]),
            };
            let lanes = [0, 1, 2].map(lanes);
            let all = || hungers.iter().zip(&bits);
            let sum = |is: &dyn Fn(u8) -> bool| -> u32 {
                all().filter(|(hunger, _)| is(**hunger)).map(|(_, bits)| u32::from(*bits)).sum()
            };
            let sums = (sum(&|hunger| hunger > threshold), sum(&|hunger| hunger == threshold));
            for level in Level::all() {
                let mut parted = vec![Parted::default()];
                prop_assert_eq!(part(level, &lanes, threshold, &mut parted), sums, "{:?}", level);
                prop_assert_eq!(parted.len(), 3);
                for (slot, (hunger, _)) in all().enumerate() {
                    let here = parted[slot / SLOTS];
                    let (above, at) = (*hunger > threshold, *hunger == threshold);
                    prop_assert_eq!(here.above >> (slot % SLOTS) & 1 == 1, above, "{:?}", level);
                    prop_assert_eq!(here.at >> (slot % SLOTS) & 1 == 1, at, "{:?}", level);
                }
            }
        }
    }
}
