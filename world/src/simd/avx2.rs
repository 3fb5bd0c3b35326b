//! Eight lanes at a time.

use super::{Axes, BLOCK, Grid, GridBox, LEAF, Leaf, Ring, Row, Verdict, sieve_with};
use std::arch::x86_64::*;

const WIDTH: usize = 8;

#[target_feature(enable = "avx2,bmi1,bmi2,popcnt,lzcnt")]
#[inline]
pub(super) fn load(from: &[i32], at: usize) -> __m256i {
    let lanes: &[i32; WIDTH] = from[at..at + WIDTH].try_into().expect("a slice of this length");
    // SAFETY: eight lanes may be read from where eight lanes are.
    unsafe { _mm256_loadu_si256(lanes.as_ptr().cast()) }
}

#[target_feature(enable = "avx2,bmi1,bmi2,popcnt,lzcnt")]
#[inline]
pub(super) fn squares(axes: &Axes, at: usize, center: [__m256i; 3], flat: bool) -> __m256 {
    let d = [0, 1].map(|a| _mm256_cvtepi32_ps(_mm256_sub_epi32(load(&axes[a], at), center[a])));
    let sum = _mm256_add_ps(_mm256_mul_ps(d[0], d[0]), _mm256_mul_ps(d[1], d[1]));
    if flat {
        return sum;
    }
    let dz = _mm256_cvtepi32_ps(_mm256_sub_epi32(load(&axes[2], at), center[2]));
    _mm256_add_ps(sum, _mm256_mul_ps(dz, dz))
}

#[target_feature(enable = "avx2,bmi1,bmi2,popcnt,lzcnt")]
pub(super) fn within(axes: &Axes, center: Grid, limit: f32, flat: bool) -> u64 {
    let center = center.map(|c| _mm256_set1_epi32(c));
    let limit = _mm256_set1_ps(limit);
    let mut bits = 0;
    for at in (0..LEAF).step_by(WIDTH) {
        let near = _mm256_cmp_ps::<_CMP_LE_OQ>(squares(axes, at, center, flat), limit);
        bits |= u64::from(_mm256_movemask_ps(near) as u8) << at;
    }
    bits
}

#[target_feature(enable = "avx2,bmi1,bmi2,popcnt,lzcnt")]
pub(super) fn inside(axes: &Axes, bounds: &GridBox) -> u64 {
    let min = bounds.min.map(|c| _mm256_set1_epi32(c));
    let max = bounds.max.map(|c| _mm256_set1_epi32(c));
    let mut bits = 0;
    for at in (0..LEAF).step_by(WIDTH) {
        let mut out = _mm256_setzero_si256();
        for axis in 0..3 {
            let lanes = load(&axes[axis], at);
            let beyond = _mm256_cmpgt_epi32(lanes, max[axis]);
            out = _mm256_or_si256(out, _mm256_cmpgt_epi32(min[axis], lanes));
            out = _mm256_or_si256(out, beyond);
        }
        let out = _mm256_movemask_ps(_mm256_castsi256_ps(out)) as u8;
        bits |= u64::from(!out) << at;
    }
    bits
}

#[target_feature(enable = "avx2,bmi1,bmi2,popcnt,lzcnt")]
#[inline]
fn near(sides: [&[i32; BLOCK]; 6], at: usize, center: [__m256i; 3], limit: f32, flat: bool) -> u8 {
    let away = |axis: usize| {
        let low = _mm256_min_epi32(center[axis], load(sides[axis + 3], at));
        let nearest = _mm256_max_epi32(low, load(sides[axis], at));
        let away = _mm256_cvtepi32_ps(_mm256_sub_epi32(center[axis], nearest));
        _mm256_mul_ps(away, away)
    };
    let mut square = _mm256_add_ps(away(0), away(1));
    if !flat {
        square = _mm256_add_ps(square, away(2));
    }
    let limit = _mm256_set1_ps(limit);
    _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LE_OQ>(square, limit)) as u8
}

/// Within the ring for sure, and perhaps: the limit of each lane depends on whether it was.
#[target_feature(enable = "avx2,bmi1,bmi2,popcnt,lzcnt")]
#[inline]
fn judge(axes: &Axes, old: u64, center: [__m256i; 3], ring: &Ring, flat: bool) -> (u64, u64) {
    let numbers = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    let lanes = |old: u64| {
        let was = _mm256_and_si256(_mm256_set1_epi32(old as i32), numbers);
        _mm256_castsi256_ps(_mm256_cmpeq_epi32(was, numbers))
    };
    let within = |square: __m256, limit: [__m256; 2], was: __m256| {
        let limit = _mm256_blendv_ps(limit[0], limit[1], was);
        _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LE_OQ>(square, limit)) as u8
    };
    let limits = |limit: [f32; 2]| limit.map(|limit| _mm256_set1_ps(limit));
    let sure = limits([ring.enter.sure, ring.leave.sure]);
    let maybe = limits([ring.enter.maybe, ring.leave.maybe]);
    let (mut found, mut doubt) = (0, 0);
    for at in (0..LEAF).step_by(WIDTH) {
        let square = squares(axes, at, center, flat);
        let was = lanes(old >> at);
        let within_sure = within(square, sure, was);
        found |= u64::from(within_sure) << at;
        doubt |= within_sure ^ within(square, maybe, was);
    }
    if doubt == 0 {
        return (found, found);
    }
    // Rare: who is in doubt is only looked for when someone is.
    let mut perhaps = 0;
    for at in (0..LEAF).step_by(WIDTH) {
        let square = squares(axes, at, center, flat);
        perhaps |= u64::from(within(square, maybe, lanes(old >> at))) << at;
    }
    (found, perhaps)
}

#[target_feature(enable = "avx2,bmi1,bmi2,popcnt,lzcnt")]
pub(super) fn sieve(row: Row<'_>, ring: &Ring, verdicts: &mut Vec<Verdict>) {
    let center = ring.center.map(|c| _mm256_set1_epi32(c));
    let near = |block| {
        let sides = row.boxes.block(block);
        let halves = [0, WIDTH].map(|at| near(sides, at, center, ring.leave.maybe, ring.flat));
        u16::from_le_bytes(halves)
    };
    let judge = |leaf: &Leaf, old, flat| judge(&leaf.axes, old, center, ring, flat);
    sieve_with(row, verdicts, near, judge, ring);
}

#[target_feature(enable = "avx2,bmi1,bmi2,popcnt,lzcnt")]
pub(super) fn touching(sides: [&[i32; BLOCK]; 6], bounds: &GridBox) -> u16 {
    let mut bits = 0;
    for at in (0..BLOCK).step_by(WIDTH) {
        let mut out = _mm256_setzero_si256();
        for axis in 0..3 {
            let (min, max) = (load(sides[axis], at), load(sides[axis + 3], at));
            let above = _mm256_cmpgt_epi32(min, _mm256_set1_epi32(bounds.max[axis]));
            let below = _mm256_cmpgt_epi32(_mm256_set1_epi32(bounds.min[axis]), max);
            out = _mm256_or_si256(out, _mm256_or_si256(above, below));
        }
        let out = _mm256_movemask_ps(_mm256_castsi256_ps(out)) as u8;
        bits |= u16::from(!out) << at;
    }
    bits
}

#[target_feature(enable = "avx2,bmi1,bmi2,popcnt,lzcnt")]
pub(super) fn touched(sides: [&[i32; BLOCK]; 6], center: Grid, limit: f32, flat: bool) -> u16 {
    let center = center.map(|c| _mm256_set1_epi32(c));
    u16::from_le_bytes([0, WIDTH].map(|at| near(sides, at, center, limit, flat)))
}

#[target_feature(enable = "avx2,bmi1,bmi2,popcnt,lzcnt")]
pub(super) fn round(axes: &Axes, lanes: u64) -> GridBox {
    let bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    let (least, most) = (_mm256_set1_epi32(i32::MIN), _mm256_set1_epi32(i32::MAX));
    let (mut min, mut max) = ([most; 3], [least; 3]);
    for at in (0..LEAF).step_by(WIDTH) {
        let byte = _mm256_set1_epi32((lanes >> at & 0xff) as i32);
        let used = _mm256_cmpeq_epi32(_mm256_and_si256(byte, bit), bit);
        for axis in 0..3 {
            let lanes = load(&axes[axis], at);
            min[axis] = _mm256_min_epi32(min[axis], _mm256_blendv_epi8(most, lanes, used));
            max[axis] = _mm256_max_epi32(max[axis], _mm256_blendv_epi8(least, lanes, used));
        }
    }
    let fold = |of: __m256i, by: fn(i32, i32) -> i32| {
        let low = [of, _mm256_permute2x128_si256::<1>(of, of)].map(|half| {
            let half = _mm256_castsi256_si128(half);
            let (a, b) = (_mm_extract_epi32::<0>(half), _mm_extract_epi32::<1>(half));
            let (c, d) = (_mm_extract_epi32::<2>(half), _mm_extract_epi32::<3>(half));
            by(by(a, b), by(c, d))
        });
        by(low[0], low[1])
    };
    GridBox { min: min.map(|of| fold(of, i32::min)), max: max.map(|of| fold(of, i32::max)) }
}
