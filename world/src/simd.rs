//! Kernels over the 64 lanes of a leaf, or of a block of slots: the one module with `unsafe`.
//!
//! Each kernel has a scalar twin and one for AVX2 and for AVX-512, chosen once at run time by
//! [`Level::detect`]. All of them do the same operations in the same order and never fuse a
//! multiplication with an addition, so that their results are equal bit for bit. What they cannot
//! decide exactly in 32-bit floats they report as doubtful, and the caller decides it.
#![allow(unsafe_code, reason = "intrinsics need it; see docs/adr/0015")]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod choice;
mod scalar;
mod slots;

pub(crate) use choice::{Lanes, Parted, part};
pub(crate) use slots::{fetch, fetch_row, newer, same};

use crate::leaf::{Axes, Grid, GridBox, LEAF, Leaf};

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

/// A limit on a squared distance, with room for rounding: at most `sure` is within it, more than
/// `maybe` is beyond it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Limit {
    pub(crate) sure: f32,
    pub(crate) maybe: f32,
}

impl Limit {
    /// A limit in square grid steps.
    ///
    /// A difference of coordinates, its square and the sum of three are off by less than one part
    /// in three million in 32-bit floats, the limit itself by less than one in sixteen million.
    #[must_use]
    pub(crate) fn new(squared: f64) -> Self {
        Self { sure: (squared * (1.0 - 2e-6)) as f32, maybe: (squared * (1.0 + 2e-6)) as f32 }
    }
}

/// Within which distance one comes and beyond which one goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ring {
    pub(crate) center: Grid,
    pub(crate) enter: Limit,
    pub(crate) leave: Limit,
    /// Heights are ignored.
    pub(crate) flat: bool,
}

/// What is to be decided about one leaf of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Which of the row's leaves.
    pub(crate) at: usize,
    /// Who was seen.
    pub(crate) old: u64,
    /// Who is seen for sure.
    pub(crate) new: u64,
    /// Who lies within rounding of the limit.
    pub(crate) doubt: u64,
}

/// One viewer's row: leaves, boxes round them, masks, and which masks may have a bit.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) leaves: &'a [Leaf],
    pub(crate) list: &'a [u32],
    pub(crate) boxes: &'a Boxes,
    pub(crate) masks: &'a [u64],
    pub(crate) live: &'a [u16],
    /// The leaf and the lane of the viewer, who is not looked at.
    pub(crate) own: (usize, u64),
}

/// Sieves all of one viewer's leaves; tells of those where what is seen is not what was.
#[inline]
pub(crate) fn sieve(level: Level, row: Row<'_>, ring: &Ring, verdicts: &mut Vec<Verdict>) {
    match level {
        Level::Scalar => scalar::sieve(row, ring, verdicts),
        // SAFETY: `detect` found what these need.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { avx2::sieve(row, ring, verdicts) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx512 => unsafe { avx512::sieve(row, ring, verdicts) },
    }
}

/// The same for every level: `near` tells which boxes of a block are within the leave distance,
/// `judge` who of a leaf is within the ring for sure and perhaps, given who was.
#[inline(always)]
fn sieve_with(
    row: Row<'_>,
    verdicts: &mut Vec<Verdict>,
    near: impl Fn(usize) -> u16,
    judge: impl Fn(&Leaf, u64, bool) -> (u64, u64),
    ring: &Ring,
) {
    for (block, live) in row.live.iter().enumerate().take(row.boxes.blocks()) {
        let near = near(block) & row.boxes.filled(block);
        let mut left = near | live;
        while left != 0 {
            let bit = left.trailing_zeros() as usize;
            left &= left - 1;
            let at = block * BLOCK + bit;
            let old = row.masks[at];
            let (mut new, mut maybe) = (0, 0);
            if near >> bit & 1 == 1 {
                let leaf = &row.leaves[row.list[at] as usize];
                let flat = ring.flat || row.boxes.is_level(at, ring.center[2]);
                (new, maybe) = judge(leaf, old, flat);
                (new, maybe) = (new & leaf.used, maybe & leaf.used);
            }
            if at == row.own.0 {
                (new, maybe) = (new & !row.own.1, maybe & !row.own.1);
            }
            if old != new || new != maybe {
                verdicts.push(Verdict { at, old, new, doubt: maybe & !new });
            }
        }
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

/// The box round the entities in these lanes.
#[inline]
pub(crate) fn round(level: Level, axes: &Axes, lanes: u64) -> GridBox {
    match level {
        Level::Scalar => scalar::round(axes, lanes),
        // SAFETY: `detect` found what these need.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { avx2::round(axes, lanes) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx512 => unsafe { avx512::round(axes, lanes) },
    }
}

/// Boxes axis by axis, [`BLOCK`] of them.
#[derive(Clone, Debug)]
#[repr(align(64))]
struct Block {
    min: [[i32; BLOCK]; 3],
    max: [[i32; BLOCK]; 3],
}

impl Block {
    /// Boxes that hold nothing.
    const EMPTY: Self = Self { min: [[i32::MAX; BLOCK]; 3], max: [[i32::MIN; BLOCK]; 3] };
}

/// Blocks of boxes; those that fill up hold nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Boxes {
    blocks: Vec<Block>,
    len: usize,
}

impl Boxes {
    /// Replaces all of them.
    pub(crate) fn fill(&mut self, boxes: impl Iterator<Item = GridBox>) {
        self.blocks.clear();
        self.len = 0;
        for bounds in boxes {
            let lane = self.len % BLOCK;
            if lane == 0 {
                self.blocks.push(Block::EMPTY);
            }
            let block = &mut self.blocks[self.len / BLOCK];
            for axis in 0..3 {
                block.min[axis][lane] = bounds.min[axis];
                block.max[axis][lane] = bounds.max[axis];
            }
            self.len += 1;
        }
    }

    /// How many blocks.
    pub(crate) fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// The box round a block.
    pub(crate) fn round(&self, block: usize) -> GridBox {
        let Block { min, max } = &self.blocks[block];
        GridBox {
            min: min.map(|side| side.into_iter().fold(i32::MAX, i32::min)),
            max: max.map(|side| side.into_iter().fold(i32::MIN, i32::max)),
        }
    }

    #[inline(always)]
    fn block(&self, block: usize) -> [&[i32; BLOCK]; 6] {
        let Block { min: [a, b, c], max: [d, e, f] } = &self.blocks[block];
        [a, b, c, d, e, f]
    }

    /// Does all of a box lie at this height? Then heights make no difference.
    #[inline(always)]
    fn is_level(&self, at: usize, z: i32) -> bool {
        let block = &self.blocks[at / BLOCK];
        block.min[2][at % BLOCK] == z && block.max[2][at % BLOCK] == z
    }

    /// Which of a block do not only fill up.
    #[inline]
    fn filled(&self, block: usize) -> u16 {
        (u32::MAX >> (32 - (self.len - block * BLOCK).min(BLOCK))) as u16
    }

    /// Which of a block a sphere touches, given the square of its radius. Differences may wrap
    /// round for what is far away, which can only add false hits.
    #[inline]
    pub(crate) fn touched(
        &self,
        level: Level,
        block: usize,
        center: Grid,
        limit: f32,
        flat: bool,
    ) -> u16 {
        let sides = self.block(block);
        let touched = match level {
            Level::Scalar => scalar::touched(sides, center, limit, flat),
            // SAFETY: `detect` found what these need.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { avx2::touched(sides, center, limit, flat) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Level::Avx512 => unsafe { avx512::touched(sides, center, limit, flat) },
        };
        touched & self.filled(block)
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
        touching & self.filled(block)
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

    fn limit() -> impl Strategy<Value = f64> {
        prop_oneof![0.0..1e5f64, 1e5..2e19f64]
    }

    proptest! {
        #[test]
        fn every_level_sieves_alike_and_decides_only_what_is_sure(
            axes in prop::collection::vec(axes(), 1..40),
            center in prop::array::uniform3(-300..300i32),
            used: u64,
            seed: u64,
            (enter, more) in (limit(), 1.0..1.5f64),
            flat: bool,
        ) {
            let mut leaves = vec![Leaf::empty(); axes.len()];
            for (leaf, axes) in leaves.iter_mut().zip(axes) {
                // Differences of places in a metric world do not wrap round.
                leaf.axes = axes.map(|axis| axis.map(|c| c / 2));
                leaf.used = used;
            }
            let list: Vec<u32> = (0..leaves.len() as u32).collect();
            let mut boxes = Boxes::default();
            boxes.fill(leaves.iter().map(|leaf| leaf.round(leaf.used)));
            let mask = |i: usize| seed.rotate_left(i as u32).wrapping_mul(0x9e37_79b9_7f4a_7c15) & used;
            let masks: Vec<u64> = (0..boxes.blocks() * BLOCK)
                .map(|i| if i < list.len() { mask(i) } else { 0 })
                .collect();
            let live: Vec<u16> = vec![u16::MAX; boxes.blocks()];
            let own = (3, 1 << 17);
            let row = Row { leaves: &leaves, list: &list, boxes: &boxes, masks: &masks, live: &live, own };
            let leave = enter * more;
            let ring = Ring { center, enter: Limit::new(enter), leave: Limit::new(leave), flat };
            let mut first = Vec::new();
            sieve(Level::Scalar, row, &ring, &mut first);
            for level in Level::all() {
                let mut verdicts = Vec::new();
                sieve(level, row, &ring, &mut verdicts);
                prop_assert_eq!(&verdicts, &first);
            }
            for (at, leaf) in leaves.iter().enumerate() {
                let verdict = first.iter().find(|v| v.at == at);
                let (new, doubt) = verdict.map_or((masks[at], 0), |v| (v.new, v.doubt));
                for lane in 0..LEAF {
                    let there = leaf.at(lane);
                    let d2: i128 = (0..if flat { 2 } else { 3 })
                        .map(|a| i128::from(there[a].abs_diff(center[a])).pow(2))
                        .sum();
                    let old = masks[at] >> lane & 1 == 1;
                    let limit = if old { leave } else { enter };
                    let own = at == own.0 && own.1 >> lane & 1 == 1;
                    let sees = used >> lane & 1 == 1 && !own && (d2 as f64) <= limit;
                    if doubt >> lane & 1 == 0 {
                        prop_assert_eq!(new >> lane & 1 == 1, sees, "leaf {} lane {}", at, lane);
                    }
                }
            }
        }

        #[test]
        fn every_level_finds_the_same_lanes(
            axes in axes(),
            center in prop::array::uniform3(coordinate()),
            limit in prop_oneof![0.0..1e5f32, 0.0..2e19f32],
            flat: bool,
            lanes in prop_oneof![any::<u64>(), Just(0), Just(u64::MAX)],
            bounds in bounds(),
            boxes in prop::collection::vec(bounds(), 0..40),
        ) {
            let mut table = Boxes::default();
            table.fill(boxes.iter().copied());
            let mut leaf = Leaf::empty();
            leaf.axes = axes;
            for level in Level::all() {
                prop_assert_eq!(round(level, &axes, lanes), leaf.round(lanes));
                let near = within(level, &axes, center, limit, flat);
                prop_assert_eq!(near, within(Level::Scalar, &axes, center, limit, flat));
                for lane in 0..LEAF {
                    let at = [axes[0][lane], axes[1][lane], axes[2][lane]];
                    let hit = inside(level, &axes, &bounds) >> lane & 1 == 1;
                    prop_assert_eq!(hit, bounds.contains(at));
                }
                for block in 0..table.blocks() {
                    let touched = |level| table.touched(level, block, center, limit, flat);
                    prop_assert_eq!(touched(level), touched(Level::Scalar));
                }
                for (i, other) in boxes.iter().enumerate() {
                    let touching = table.touching(level, i / BLOCK, &bounds);
                    prop_assert_eq!(touching >> (i % BLOCK) & 1 == 1, other.touches(&bounds));
                }
            }
        }
    }
}
