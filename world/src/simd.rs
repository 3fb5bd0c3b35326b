//! Kernels over the 64 lanes of a leaf: the one module with `unsafe`.
//!
//! Each kernel has a scalar twin and one for AVX2 and for AVX-512, chosen once at run time by
//! [`Level::detect`]. All of them do the same operations in the same order and never fuse a
//! multiplication with an addition, so that their results are equal bit for bit. What they cannot
//! decide exactly in 32-bit floats they report as doubtful, and the caller decides it.
#![allow(unsafe_code, reason = "intrinsics need it; see docs/adr/0015")]

use crate::leaf::{Axes, Grid, GridBox, LEAF};

/// Boxes that are tested at once.
pub(crate) const BLOCK: usize = 16;

/// What the machine can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// Plain Rust.
    Scalar,
    /// 8 lanes at a time.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 16 lanes at a time.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    /// The best that this machine can do.
    #[must_use]
    pub(crate) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let found = |avx512: bool, avx2: bool| (avx512 && avx2, avx2);
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl");
            let bits = is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2")
                && is_x86_feature_detected!("popcnt")
                && is_x86_feature_detected!("lzcnt");
            match found(avx512 && bits, bits && is_x86_feature_detected!("avx2")) {
                (true, _) => return Self::Avx512,
                (_, true) => return Self::Avx2,
                _ => {}
            }
        }
        Self::Scalar
    }

    /// Every level that this machine can do.
    #[cfg(test)]
    pub(crate) fn all() -> Vec<Self> {
        let mut all = vec![Self::Scalar];
        #[cfg(target_arch = "x86_64")]
        {
            let best = Self::detect();
            all.extend((best != Self::Scalar).then_some(Self::Avx2));
            all.extend((best == Self::Avx512).then_some(Self::Avx512));
        }
        all
    }
}

/// Lanes within a distance whose square is `limit`. Differences may wrap round for what is far
/// away, which can only add false hits.
#[inline]
pub(crate) fn within(level: Level, axes: &Axes, center: Grid, limit: f32, flat: bool) -> u64 {
    match level {
        Level::Scalar => scalar::within(axes, center, limit, flat),
        // SAFETY: `detect` found what these need.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { avx2::within(axes, center, limit, flat) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx512 => unsafe { avx512::within(axes, center, limit, flat) },
    }
}

/// Lanes in a box.
#[inline]
pub(crate) fn inside(level: Level, axes: &Axes, bounds: &GridBox) -> u64 {
    match level {
        Level::Scalar => scalar::inside(axes, bounds),
        // SAFETY: `detect` found what these need.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { avx2::inside(axes, bounds) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx512 => unsafe { avx512::inside(axes, bounds) },
    }
}

/// Boxes axis by axis, a multiple of [`BLOCK`] of them; those that fill up hold nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Boxes {
    min: [Vec<i32>; 3],
    max: [Vec<i32>; 3],
    len: usize,
}

impl Boxes {
    /// Replaces all of them.
    pub(crate) fn fill(&mut self, boxes: impl Iterator<Item = GridBox>) {
        for side in self.min.iter_mut().chain(&mut self.max) {
            side.clear();
        }
        boxes.for_each(|bounds| self.push(&bounds));
        self.len = self.min[0].len();
        while !self.min[0].len().is_multiple_of(BLOCK) {
            self.push(&GridBox::EMPTY);
        }
    }

    fn push(&mut self, bounds: &GridBox) {
        for axis in 0..3 {
            self.min[axis].push(bounds.min[axis]);
            self.max[axis].push(bounds.max[axis]);
        }
    }

    /// How many blocks.
    pub(crate) fn blocks(&self) -> usize {
        self.min[0].len() / BLOCK
    }

    /// The box round a block.
    pub(crate) fn round(&self, block: usize) -> GridBox {
        let range = block * BLOCK..(block + 1) * BLOCK;
        let mut bounds = GridBox::EMPTY;
        for axis in 0..3 {
            bounds.min[axis] =
                self.min[axis][range.clone()].iter().fold(i32::MAX, |a, b| a.min(*b));
            bounds.max[axis] =
                self.max[axis][range.clone()].iter().fold(i32::MIN, |a, b| a.max(*b));
        }
        bounds
    }

    fn block(&self, block: usize) -> [&[i32; BLOCK]; 6] {
        let range = block * BLOCK..(block + 1) * BLOCK;
        let [a, b, c] = &self.min;
        let [d, e, f] = &self.max;
        [a, b, c, d, e, f]
            .map(|side| side[range.clone()].try_into().expect("a block has this length"))
    }

    /// Which of a block a box touches.
    #[inline]
    pub(crate) fn touching(&self, level: Level, block: usize, bounds: &GridBox) -> u16 {
        let sides = self.block(block);
        let touching = match level {
            Level::Scalar => scalar::touching(sides, bounds),
            // SAFETY: `detect` found what these need.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { avx2::touching(sides, bounds) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Level::Avx512 => unsafe { avx512::touching(sides, bounds) },
        };
        // A box that holds everything touches even those that only fill up.
        let filled = (self.len - block * BLOCK).min(BLOCK);
        touching & (u32::MAX >> (32 - filled)) as u16
    }
}

/// Plain Rust, which is what the others are tested against.
mod scalar {
    use super::{Axes, BLOCK, Grid, GridBox, LEAF};

    #[inline]
    pub(super) fn squares(axes: &Axes, center: Grid, flat: bool) -> [f32; LEAF] {
        let mut squares = [0.0f32; LEAF];
        for lane in 0..LEAF {
            let dx = axes[0][lane].wrapping_sub(center[0]) as f32;
            let dy = axes[1][lane].wrapping_sub(center[1]) as f32;
            squares[lane] = dx * dx + dy * dy;
        }
        if !flat {
            for lane in 0..LEAF {
                let dz = axes[2][lane].wrapping_sub(center[2]) as f32;
                squares[lane] += dz * dz;
            }
        }
        squares
    }

    /// Eight at a time, which compilers turn into one compare and one gather of bits.
    #[inline]
    pub(super) fn mask(test: impl Fn(usize) -> bool) -> u64 {
        let mut bits = 0;
        for byte in 0..LEAF / 8 {
            let mut part = 0u8;
            for bit in 0..8 {
                part |= u8::from(test(byte * 8 + bit)) << bit;
            }
            bits |= u64::from(part) << (byte * 8);
        }
        bits
    }

    pub(super) fn within(axes: &Axes, center: Grid, limit: f32, flat: bool) -> u64 {
        let squares = squares(axes, center, flat);
        mask(|lane| squares[lane] <= limit)
    }

    pub(super) fn inside(axes: &Axes, bounds: &GridBox) -> u64 {
        let [xs, ys, zs] = axes;
        let (min, max) = (bounds.min, bounds.max);
        mask(|lane| {
            (xs[lane] >= min[0])
                & (xs[lane] <= max[0])
                & (ys[lane] >= min[1])
                & (ys[lane] <= max[1])
                & (zs[lane] >= min[2])
                & (zs[lane] <= max[2])
        })
    }

    pub(super) fn touching(sides: [&[i32; BLOCK]; 6], bounds: &GridBox) -> u16 {
        let [x0, y0, z0, x1, y1, z1] = sides;
        let mut bits = 0;
        for i in 0..BLOCK {
            let touches = (x0[i] <= bounds.max[0])
                & (y0[i] <= bounds.max[1])
                & (z0[i] <= bounds.max[2])
                & (x1[i] >= bounds.min[0])
                & (y1[i] >= bounds.min[1])
                & (z1[i] >= bounds.min[2]);
            bits |= u16::from(touches) << i;
        }
        bits
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{Axes, BLOCK, Grid, GridBox, LEAF};
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
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::{Axes, BLOCK, Grid, GridBox, LEAF};
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
    pub(super) fn touching(sides: [&[i32; BLOCK]; 6], bounds: &GridBox) -> u16 {
        let mut bits = u16::MAX;
        for axis in 0..3 {
            let (min, max) = (load(sides[axis], 0), load(sides[axis + 3], 0));
            bits = _mm512_mask_cmple_epi32_mask(bits, min, _mm512_set1_epi32(bounds.max[axis]));
            bits = _mm512_mask_cmpge_epi32_mask(bits, max, _mm512_set1_epi32(bounds.min[axis]));
        }
        bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn coordinate() -> impl Strategy<Value = i32> {
        prop_oneof![-300..300i32, any::<i32>(), Just(i32::MIN), Just(i32::MAX)]
    }

    fn axes() -> impl Strategy<Value = Axes> {
        prop::collection::vec(coordinate(), 3 * LEAF).prop_map(|flat| {
            let mut axes = [[0; LEAF]; 3];
            for (i, c) in flat.into_iter().enumerate() {
                axes[i / LEAF][i % LEAF] = c;
            }
            axes
        })
    }

    fn bounds() -> impl Strategy<Value = GridBox> {
        (prop::array::uniform3(coordinate()), prop::array::uniform3(coordinate()))
            .prop_map(|(min, max)| GridBox { min, max })
    }

    proptest! {
        #[test]
        fn every_level_finds_the_same_lanes(
            axes in axes(),
            center in prop::array::uniform3(coordinate()),
            limit in prop_oneof![0.0..1e5f32, 0.0..2e19f32],
            flat: bool,
            bounds in bounds(),
            boxes in prop::collection::vec(bounds(), 0..40),
        ) {
            let mut table = Boxes::default();
            table.fill(boxes.iter().copied());
            for level in Level::all() {
                let near = within(level, &axes, center, limit, flat);
                prop_assert_eq!(near, within(Level::Scalar, &axes, center, limit, flat));
                for lane in 0..LEAF {
                    let at = [axes[0][lane], axes[1][lane], axes[2][lane]];
                    let hit = inside(level, &axes, &bounds) >> lane & 1 == 1;
                    prop_assert_eq!(hit, bounds.contains(at));
                }
                for (i, other) in boxes.iter().enumerate() {
                    let touching = table.touching(level, i / BLOCK, &bounds);
                    prop_assert_eq!(touching >> (i % BLOCK) & 1 == 1, other.intersects(&bounds));
                }
            }
        }
    }
}
