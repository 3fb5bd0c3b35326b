//! Kernels over a block of 64 slots, and how what they need comes in time.

use super::Level;
use crate::entity::EntityIdx;
use starling_protocol::units::Tick;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// Slots of one block.
pub(crate) const SLOTS: usize = u64::BITS as usize;

/// Bytes of a cache line.
const LINE: usize = 64;

/// The slots among `lanes` whose entity's tick in `ticks` is newer than `than`. Who has none there
/// is not newer.
#[inline]
pub(crate) fn newer(
    level: Level,
    entities: &[EntityIdx; SLOTS],
    lanes: u64,
    ticks: &[Tick],
    than: Tick,
) -> u64 {
    match level {
        Level::Scalar => scalar_newer(entities, lanes, ticks, than),
        // SAFETY: `detect` found what these need.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { avx2_newer(entities, lanes, ticks, than) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx512 => unsafe { avx512_newer(entities, lanes, ticks, than) },
    }
}

fn scalar_newer(entities: &[EntityIdx; SLOTS], lanes: u64, ticks: &[Tick], than: Tick) -> u64 {
    let mut newer = 0;
    for (i, entity) in entities.iter().enumerate() {
        newer |= u64::from(ticks.get(entity.at()).is_some_and(|tick| *tick > than)) << i;
    }
    newer & lanes
}

/// How many of the ticks an index of 32 bits with a sign can name.
#[cfg(target_arch = "x86_64")]
fn reach(ticks: &[Tick]) -> i32 {
    i32::try_from(ticks.len()).unwrap_or(i32::MAX)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,popcnt,lzcnt")]
fn avx2_newer(entities: &[EntityIdx; SLOTS], lanes: u64, ticks: &[Tick], than: Tick) -> u64 {
    // There is only a comparison with signs: with the highest bit turned it is the one without.
    let turn = _mm256_set1_epi32(i32::MIN);
    let than = _mm256_xor_si256(_mm256_set1_epi32(than.0 as i32), turn);
    let len = _mm256_set1_epi32(reach(ticks));
    let mut newer = 0;
    for (at, eight) in entities.as_chunks::<8>().0.iter().enumerate() {
        if lanes >> (at * 8) & 0xff == 0 {
            continue;
        }
        // SAFETY: eight lanes may be read from where eight lanes are.
        let rows = unsafe { _mm256_loadu_si256(eight.as_ptr().cast()) };
        // Rows beyond 2^31 are negative, and so not below the length either way.
        let from_zero = _mm256_cmpgt_epi32(rows, _mm256_set1_epi32(-1));
        let known = _mm256_and_si256(_mm256_cmpgt_epi32(len, rows), from_zero);
        // SAFETY: only lanes whose row is in `ticks`, a list of transparent 32-bit numbers, are
        // read.
        let found = unsafe {
            let none = _mm256_setzero_si256();
            _mm256_mask_i32gather_epi32::<4>(none, ticks.as_ptr().cast(), rows, known)
        };
        let later = _mm256_cmpgt_epi32(_mm256_xor_si256(found, turn), than);
        let later = _mm256_and_si256(later, known);
        let bits = _mm256_movemask_ps(_mm256_castsi256_ps(later)) as u8;
        newer |= u64::from(bits) << (at * 8);
    }
    newer & lanes
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,bmi1,bmi2,popcnt,lzcnt")]
fn avx512_newer(entities: &[EntityIdx; SLOTS], lanes: u64, ticks: &[Tick], than: Tick) -> u64 {
    let than = _mm512_set1_epi32(than.0 as i32);
    let len = _mm512_set1_epi32(reach(ticks));
    let mut newer = 0;
    for (at, sixteen) in entities.as_chunks::<16>().0.iter().enumerate() {
        let wanted = (lanes >> (at * 16)) as u16;
        if wanted == 0 {
            continue;
        }
        // SAFETY: sixteen lanes may be read from where sixteen lanes are.
        let rows = unsafe { _mm512_loadu_si512(sixteen.as_ptr().cast()) };
        let known = _mm512_mask_cmplt_epu32_mask(wanted, rows, len);
        // SAFETY: only lanes whose row is in `ticks`, a list of transparent 32-bit numbers, are
        // read.
        let found = unsafe {
            let none = _mm512_setzero_si512();
            _mm512_mask_i32gather_epi32::<4>(none, known, rows, ticks.as_ptr().cast())
        };
        newer |= u64::from(_mm512_mask_cmpgt_epu32_mask(known, found, than)) << (at * 16);
    }
    newer
}

/// The slots in which this entity is.
#[inline]
pub(crate) fn same(entities: &[EntityIdx; SLOTS], entity: EntityIdx) -> u64 {
    let mut same = 0;
    for (at, eight) in entities.as_chunks::<8>().0.iter().enumerate() {
        let bit = |i: usize| u64::from(eight[i] == entity) << i;
        let bits = [0, 1, 2, 3, 4, 5, 6, 7].map(bit).into_iter().fold(0, |all, bit| all | bit);
        same |= bits << (at * 8);
    }
    same
}

/// Begins to bring the first cache line of something that will be needed soon.
#[inline]
pub(crate) fn fetch<T>(soon: &T) {
    fetch_row(std::slice::from_ref(soon), LINE.min(size_of::<T>()));
}

/// Begins to bring the first `bytes` of a row that will be needed soon.
#[inline]
pub(crate) fn fetch_row<T>(soon: &[T], bytes: usize) {
    #[cfg(target_arch = "x86_64")]
    for at in (0..bytes.min(size_of_val(soon))).step_by(LINE) {
        // SAFETY: within what was lent; nothing is read or written, and a fetch cannot fail.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(soon.as_ptr().cast::<i8>().add(at)) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (soon, bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_level_finds_who_is_newer(
            entities in prop::collection::vec(prop_oneof![0..80u32, any::<u32>()], SLOTS),
            ticks in prop::collection::vec(prop_oneof![0..20u32, any::<u32>()], 0..100),
            than in prop_oneof![0..20u32, any::<u32>()],
            lanes: u64,
        ) {
            let entities: [_; SLOTS] = std::array::from_fn(|i| EntityIdx(entities[i]));
            let ticks: Vec<_> = ticks.into_iter().map(Tick).collect();
            for level in Level::all() {
                let found = newer(level, &entities, lanes, &ticks, Tick(than));
                for (i, entity) in entities.iter().enumerate() {
                    let tick = ticks.get(entity.at());
                    let is = lanes >> i & 1 == 1 && tick.is_some_and(|tick| tick.0 > than);
                    prop_assert_eq!(found >> i & 1 == 1, is, "{:?}, slot {}", level, i);
                }
            }
        }

        #[test]
        fn the_slots_of_an_entity_are_found(
            entities in prop::collection::vec(0..9u32, SLOTS), entity in 0..9u32,
        ) {
            let entities: [_; SLOTS] = std::array::from_fn(|i| EntityIdx(entities[i]));
            let found = same(&entities, EntityIdx(entity));
            for (i, other) in entities.iter().enumerate() {
                prop_assert_eq!(found >> i & 1 == 1, other.0 == entity);
            }
        }
    }

    #[test]
    fn anything_may_be_fetched() {
        fetch(&());
        fetch(&7u8);
        fetch_row(&[0u64; 40], usize::MAX);
        fetch_row::<u8>(&[], 64);
    }
}
