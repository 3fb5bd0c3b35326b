//! Sixteen lanes at a time.

use super::{Axes, BLOCK, Grid, GridBox, LEAF, Leaf, Ring, Row, Verdict, sieve_with};
use std::arch::x86_64::*;

const WIDTH: usize = 16;

#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,bmi1,bmi2,popcnt,lzcnt")]
#[inline]
pub(super) fn load(from: &[i32], at: usize) -> __m512i {
    let lanes: &[i32; WIDTH] = from[at..at + WIDTH].try_into().expect("a slice of this length");
    // SAFETY: sixteen lanes may be read from where sixteen lanes are.
    unsafe { _mm512_loadu_si512(lanes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,bmi1,bmi2,popcnt,lzcnt")]
#[inline]
pub(super) fn squares(axes: &Axes, at: usize, center: [__m512i; 3], flat: bool) -> __m512 {
    let d = [0, 1].map(|a| _mm512_cvtepi32_ps(_mm512_sub_epi32(load(&axes[a], at), center[a])));
    let sum = _mm512_add_ps(_mm512_mul_ps(d[0], d[0]), _mm512_mul_ps(d[1], d[1]));
    if flat {
        return sum;
    }
    let dz = _mm512_cvtepi32_ps(_mm512_sub_epi32(load(&axes[2], at), center[2]));
    _mm512_add_ps(sum, _mm512_mul_ps(dz, dz))
}

#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,bmi1,bmi2,popcnt,lzcnt")]
pub(super) fn within(axes: &Axes, center: Grid, limit: f32, flat: bool) -> u64 {
    let center = center.map(|c| _mm512_set1_epi32(c));
    let limit = _mm512_set1_ps(limit);
    let mut bits = 0;
    for at in (0..LEAF).step_by(WIDTH) {
        let near = _mm512_cmp_ps_mask::<_CMP_LE_OQ>(squares(axes, at, center, flat), limit);
        bits |= u64::from(near) << at;
    }
    bits
}

#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,bmi1,bmi2,popcnt,lzcnt")]
pub(super) fn inside(axes: &Axes, bounds: &GridBox) -> u64 {
    let min = bounds.min.map(|c| _mm512_set1_epi32(c));
    let max = bounds.max.map(|c| _mm512_set1_epi32(c));
    let mut bits = 0;
    for at in (0..LEAF).step_by(WIDTH) {
        let mut inside = u16::MAX;
        for axis in 0..3 {
            let lanes = load(&axes[axis], at);
            inside = _mm512_mask_cmpge_epi32_mask(inside, lanes, min[axis]);
            inside = _mm512_mask_cmple_epi32_mask(inside, lanes, max[axis]);
        }
        bits |= u64::from(inside) << at;
    }
    bits
}

#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,bmi1,bmi2,popcnt,lzcnt")]
#[inline]
fn near(sides: [&[i32; BLOCK]; 6], center: [__m512i; 3], limit: f32, flat: bool) -> u16 {
    let away = |axis: usize| {
        let low = _mm512_min_epi32(center[axis], load(sides[axis + 3], 0));
        let nearest = _mm512_max_epi32(low, load(sides[axis], 0));
        let away = _mm512_cvtepi32_ps(_mm512_sub_epi32(center[axis], nearest));
        _mm512_mul_ps(away, away)
    };
    let mut square = _mm512_add_ps(away(0), away(1));
    if !flat {
        square = _mm512_add_ps(square, away(2));
    }
    _mm512_cmp_ps_mask::<_CMP_LE_OQ>(square, _mm512_set1_ps(limit))
}

/// Within the ring for sure, and perhaps: the limit of each lane depends on whether it was.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,bmi1,bmi2,popcnt,lzcnt")]
#[inline]
fn judge(axes: &Axes, old: u64, center: [__m512i; 3], ring: &Ring, flat: bool) -> (u64, u64) {
    let limits = |limit: [f32; 2]| limit.map(|limit| _mm512_set1_ps(limit));
    let sure = limits([ring.enter.sure, ring.leave.sure]);
    let maybe = limits([ring.enter.maybe, ring.leave.maybe]);
    let (mut found, mut doubt) = (0, 0);
    for at in (0..LEAF).step_by(WIDTH) {
        let square = squares(axes, at, center, flat);
        let was = (old >> at) as u16;
        let within = |limit: [__m512; 2]| {
            _mm512_cmp_ps_mask::<_CMP_LE_OQ>(square, _mm512_mask_blend_ps(was, limit[0], limit[1]))
        };
        let within_sure = within(sure);
        found |= u64::from(within_sure) << at;
        doubt |= within_sure ^ within(maybe);
    }
    if doubt == 0 {
        return (found, found);
    }
    // Rare: who is in doubt is only looked for when someone is.
    let mut perhaps = 0;
    for at in (0..LEAF).step_by(WIDTH) {
        let limit = _mm512_mask_blend_ps((old >> at) as u16, maybe[0], maybe[1]);
        let within = _mm512_cmp_ps_mask::<_CMP_LE_OQ>(squares(axes, at, center, flat), limit);
        perhaps |= u64::from(within) << at;
    }
    (found, perhaps)
}

#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,bmi1,bmi2,popcnt,lzcnt")]
pub(super) fn sieve(row: Row<'_>, ring: &Ring, verdicts: &mut Vec<Verdict>) {
    let center = ring.center.map(|c| _mm512_set1_epi32(c));
    let limit = ring.leave.maybe;
    let near = |block| near(row.boxes.block(block), center, limit, ring.flat);
    let judge = |leaf: &Leaf, old, flat| judge(&leaf.axes, old, center, ring, flat);
    sieve_with(row, verdicts, near, judge, ring);
}

#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,bmi1,bmi2,popcnt,lzcnt")]
pub(super) fn touching(sides: [&[i32; BLOCK]; 6], bounds: &GridBox) -> u16 {
    let mut bits = u16::MAX;
    for axis in 0..3 {
        let (min, max) = (load(sides[axis], 0), load(sides[axis + 3], 0));
        bits = _mm512_mask_cmple_epi32_mask(bits, min, _mm512_set1_epi32(bounds.max[axis]));
        bits = _mm512_mask_cmpge_epi32_mask(bits, max, _mm512_set1_epi32(bounds.min[axis]));
    }
    bits
}

#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,bmi1,bmi2,popcnt,lzcnt")]
pub(super) fn touched(sides: [&[i32; BLOCK]; 6], center: Grid, limit: f32, flat: bool) -> u16 {
    near(sides, center.map(|c| _mm512_set1_epi32(c)), limit, flat)
}

#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,bmi1,bmi2,popcnt,lzcnt")]
pub(super) fn round(axes: &Axes, lanes: u64) -> GridBox {
    let mut bounds = GridBox::EMPTY;
    for (axis, coordinates) in axes.iter().enumerate() {
        let (mut min, mut max) = (_mm512_set1_epi32(i32::MAX), _mm512_set1_epi32(i32::MIN));
        for at in (0..LEAF).step_by(WIDTH) {
            let (used, lanes) = ((lanes >> at) as u16, load(coordinates, at));
            min = _mm512_mask_min_epi32(min, used, min, lanes);
            max = _mm512_mask_max_epi32(max, used, max, lanes);
        }
        bounds.min[axis] = _mm512_reduce_min_epi32(min);
        bounds.max[axis] = _mm512_reduce_max_epi32(max);
    }
    bounds
}
