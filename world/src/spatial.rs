//! The index: an R-tree whose leaves hold 64 entities. The one file that names rstar.
//!
//! One point per tree element is what makes R-trees slow. Here an element is a box round up to 64
//! entities that are neighbours on a Hilbert curve; their coordinates lie beside the tree, axis by
//! axis, and are tested 64 at a time. Boxes are fat: they hold for several ticks of movement.
//! What leaves its box, appears or jumps goes to loose leaves, which every probe looks at, until
//! the next rebuild. The curve may be as crooked as it likes (at the antimeridian, at the poles):
//! it decides which entities share a leaf, and never which are found.

use crate::entity::EntityIdx;
use crate::leaf::{Grid, GridBox, LEAF, Leaf, Probe};
use rstar::{AABB, DefaultParams, RStarInsertionStrategy, RTree, RTreeObject, RTreeParams};
use starling_protocol::units::KindId;
use std::ops::ControlFlow;

/// Bits of each coordinate that the Hilbert curve looks at.
const HILBERT_BITS: u32 = 12;
/// No lane.
const NO_LANE: u32 = u32::MAX;

/// One entity as the index sees it.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Which.
    pub entity: EntityIdx,
    /// Its kind.
    pub kind: KindId,
    /// Where it is.
    pub at: Grid,
    /// What places it on the curve: x and y, or longitude and ECEF z.
    pub curve: [i32; 2],
}

/// A box as rstar knows it.
fn envelope(bounds: &GridBox) -> AABB<[f64; 3]> {
    AABB::from_bounds(bounds.min.map(f64::from), bounds.max.map(f64::from))
}

/// A leaf as the tree holds it.
#[derive(Clone, Debug)]
struct Bough {
    envelope: AABB<[f64; 3]>,
    leaf: u32,
}

impl RTreeObject for Bough {
    type Envelope = AABB<[f64; 3]>;

    fn envelope(&self) -> Self::Envelope {
        self.envelope
    }
}

#[derive(Debug)]
struct Fan;

impl RTreeParams for Fan {
    const MIN_SIZE: usize = 6;
    const MAX_SIZE: usize = 16;
    const REINSERTION_COUNT: usize = DefaultParams::REINSERTION_COUNT;
    type DefaultInsertionStrategy = RStarInsertionStrategy;
}

/// Where everything is.
#[derive(Debug)]
pub struct Index {
    tree: RTree<Bough, Fan>,
    /// Those of the tree, then the loose ones.
    leaves: Vec<Leaf>,
    in_tree: usize,
    loose: usize,
    /// Leaf and lane of each entity.
    lanes: Vec<u32>,
    /// Longest step of each entity in one tick, measured, halved by each rebuild.
    strides: Vec<u32>,
    order: Vec<(u32, u32)>,
    len: usize,
}

impl Default for Index {
    fn default() -> Self {
        Self::new()
    }
}

impl Index {
    /// Holds nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            tree: RTree::new_with_params(),
            leaves: Vec::new(),
            in_tree: 0,
            loose: 0,
            lanes: Vec::new(),
            strides: Vec::new(),
            order: Vec::new(),
            len: 0,
        }
    }

    /// How many entities it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Does it hold none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Entities that every probe has to look at.
    #[must_use]
    pub fn loose(&self) -> usize {
        self.loose
    }

    /// So many loose entities cost more than a rebuild.
    #[must_use]
    pub fn is_worn(&self) -> bool {
        self.loose > 2 * LEAF + self.len / 32
    }

    /// Takes in an entity that it does not hold.
    pub fn insert(&mut self, entity: EntityIdx, kind: KindId, at: Grid) {
        if self.lanes.len() <= entity.at() {
            self.lanes.resize(entity.at() + 1, NO_LANE);
            self.strides.resize(entity.at() + 1, 0);
        }
        self.strides[entity.at()] = 0;
        self.len += 1;
        self.loosen(entity, kind, at);
    }

    fn loosen(&mut self, entity: EntityIdx, kind: KindId, at: Grid) {
        let full = self.leaves[self.in_tree..].last().is_none_or(|leaf| leaf.used >> 63 == 1);
        if full {
            self.leaves.push(Leaf::empty());
        }
        let last = self.leaves.len() - 1;
        let leaf = &mut self.leaves[last];
        let lane = (64 - leaf.used.leading_zeros()) as usize;
        leaf.put(lane, entity, kind, at);
        self.lanes[entity.at()] = (last * LEAF + lane) as u32;
        self.loose += 1;
    }

    fn lane(&self, entity: EntityIdx) -> Option<(usize, usize)> {
        let lane = *self.lanes.get(entity.at())?;
        (lane != NO_LANE).then_some((lane as usize / LEAF, lane as usize % LEAF))
    }

    /// Forgets an entity.
    pub fn remove(&mut self, entity: EntityIdx) {
        let Some((leaf, lane)) = self.lane(entity) else { return };
        self.vacate(leaf, lane);
        self.lanes[entity.at()] = NO_LANE;
        self.len -= 1;
    }

    fn vacate(&mut self, leaf: usize, lane: usize) {
        self.leaves[leaf].vacate(lane);
        self.loose -= usize::from(leaf >= self.in_tree);
    }

    /// Notes that an entity moved.
    pub fn moved(&mut self, entity: EntityIdx, kind: KindId, at: Grid) {
        let Some((leaf, lane)) = self.lane(entity) else { return };
        let axes = &self.leaves[leaf].axes;
        let step = (0..3).map(|axis| at[axis].abs_diff(axes[axis][lane])).max().unwrap_or(0);
        let stride = &mut self.strides[entity.at()];
        *stride = (*stride).max(step);
        if self.leaves[leaf].bounds.contains(at) {
            self.leaves[leaf].place(lane, at);
        } else if leaf >= self.in_tree {
            self.leaves[leaf].place(lane, at);
            self.leaves[leaf].bounds.include(at);
        } else {
            self.vacate(leaf, lane);
            self.loosen(entity, kind, at);
        }
    }

    /// Sorts everything anew. The boxes will hold for `ticks` ticks of movement as measured.
    pub fn rebuild(&mut self, entries: &[Entry], ticks: u32) {
        self.order(entries);
        self.leaves.clear();
        self.loose = 0;
        self.len = entries.len();
        self.lanes.fill(NO_LANE);
        let order = std::mem::take(&mut self.order);
        for members in order.chunks(LEAF) {
            self.grow_leaf(entries, members, ticks);
        }
        self.order = order;
        self.in_tree = self.leaves.len();
        let boughs = self.leaves.iter().enumerate();
        let boughs = boughs
            .map(|(i, leaf)| Bough { envelope: envelope(&leaf.bounds), leaf: i as u32 })
            .collect();
        self.tree = RTree::bulk_load_with_params(boughs);
    }

    fn order(&mut self, entries: &[Entry]) {
        let mut low = [i32::MAX; 2];
        let mut high = [i32::MIN; 2];
        for entry in entries {
            for axis in 0..2 {
                low[axis] = low[axis].min(entry.curve[axis]);
                high[axis] = high[axis].max(entry.curve[axis]);
            }
        }
        let span = [0, 1].map(|axis| high[axis].abs_diff(low[axis]).max(1));
        let cell = |curve: [i32; 2], axis: usize| {
            let offset = u64::from(curve[axis].abs_diff(low[axis]));
            (offset * ((1 << HILBERT_BITS) - 1) / u64::from(span[axis])) as u32
        };
        self.order.clear();
        self.order.extend(
            entries
                .iter()
                .enumerate()
                .map(|(i, e)| (hilbert(cell(e.curve, 0), cell(e.curve, 1)), i as u32)),
        );
        self.order.sort_unstable();
    }

    fn grow_leaf(&mut self, entries: &[Entry], members: &[(u32, u32)], ticks: u32) {
        let number = self.leaves.len();
        let mut leaf = Leaf::empty();
        let mut stride = 0;
        for (lane, &(_, i)) in members.iter().enumerate() {
            let entry = &entries[i as usize];
            leaf.put(lane, entry.entity, entry.kind, entry.at);
            if self.lanes.len() <= entry.entity.at() {
                self.lanes.resize(entry.entity.at() + 1, NO_LANE);
                self.strides.resize(entry.entity.at() + 1, 0);
            }
            self.lanes[entry.entity.at()] = (number * LEAF + lane) as u32;
            stride = stride.max(self.strides[entry.entity.at()]);
            self.strides[entry.entity.at()] /= 2;
        }
        leaf.bounds = leaf.bounds.grown(margin(&leaf.bounds, stride, ticks));
        self.leaves.push(leaf);
    }

    /// Calls `found` with every entity that the probe hits and whose kind may pass, and with its
    /// place, leaf by leaf.
    #[inline]
    pub fn probe(&self, probe: &Probe, kinds: u64, mut found: impl FnMut(EntityIdx, Grid)) {
        let bounds = probe.bounds();
        let mut visit = |leaf: &Leaf| {
            if leaf.kinds & kinds == 0 {
                return;
            }
            let mut hits = leaf.mask(probe);
            while hits != 0 {
                let lane = hits.trailing_zeros() as usize;
                hits &= hits - 1;
                let at = [leaf.axes[0][lane], leaf.axes[1][lane], leaf.axes[2][lane]];
                found(EntityIdx(leaf.entities[lane]), at);
            }
        };
        for leaf in &self.leaves[self.in_tree..] {
            if leaf.bounds.intersects(&bounds) {
                visit(leaf);
            }
        }
        let _: ControlFlow<()> =
            self.tree.locate_in_envelope_intersecting_int(envelope(&bounds), |bough| {
                visit(&self.leaves[bough.leaf as usize]);
                ControlFlow::Continue(())
            });
    }
}

/// How far a leaf's box is grown: as far as its fastest member goes, but not so far for one racer
/// that the whole leaf becomes useless.
fn margin(bounds: &GridBox, stride: u32, ticks: u32) -> i32 {
    let side = (0..2).map(|a| bounds.max[a].abs_diff(bounds.min[a])).max().unwrap_or(0);
    let travel = stride.saturating_mul(ticks.saturating_sub(1));
    travel.min((side / 2).max(1 << 13)) as i32
}

/// Distance along a Hilbert curve over a square of 2^12 cells a side.
fn hilbert(mut x: u32, mut y: u32) -> u32 {
    let mut distance = 0;
    for level in (0..HILBERT_BITS).rev() {
        let (right, up) = (x >> level & 1, y >> level & 1);
        distance = distance << 2 | ((3 * right) ^ up);
        if up == 0 {
            if right == 1 {
                (x, y) = (!x, !y);
            }
            (x, y) = (y, x);
        }
    }
    distance
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::CellGrid;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn entry(entity: u32, at: Grid) -> Entry {
        Entry { entity: EntityIdx(entity), kind: KindId(0), at, curve: [at[0], at[1]] }
    }

    fn found(index: &Index, center: Grid, radius: u32, flat: bool) -> Vec<EntityIdx> {
        let mut all = Vec::new();
        index.probe(&Probe::Sphere { center, radius, flat }, u64::MAX, |e, _| all.push(e));
        all.sort_unstable();
        all
    }

    /// The probe may hit a little more than the sphere holds, so the hits are filtered exactly.
    fn assert_like_the_grid(index: &Index, places: &[(EntityIdx, Grid)], probes: &[(Grid, u32)]) {
        let oracle = CellGrid::new(20_000, places);
        for &(center, radius) in probes {
            for flat in [false, true] {
                let all = found(index, center, radius, flat);
                assert!(all.windows(2).all(|w| w[0] < w[1]), "nothing is found twice");
                let exact = oracle.within(center, radius, flat);
                let missed: Vec<_> = exact.iter().filter(|e| !all.contains(e)).collect();
                assert!(missed.is_empty(), "missed {missed:?} round {center:?} within {radius}");
                let wider = oracle.within(center, radius + radius / 1000 + 8, flat);
                assert!(all.iter().all(|e| wider.contains(e)), "found what is far away");
            }
        }
    }

    fn coordinate() -> impl Strategy<Value = i32> {
        prop_oneof![-60_000..60_000i32, -1_024_000_000..=1_024_000_000i32]
    }

    fn place() -> impl Strategy<Value = Grid> {
        (coordinate(), coordinate(), -5_000..5_000i32).prop_map(|(x, y, z)| [x, y, z])
    }

    proptest! {
        #[test]
        fn the_index_finds_what_the_grid_finds(
            places in prop::collection::vec(place(), 0..400),
            moves in prop::collection::vec((any::<prop::sample::Index>(), place()), 0..60),
            gone in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
            late in prop::collection::vec(place(), 0..40),
            probes in prop::collection::vec((place(), 0..200_000u32), 1..8),
        ) {
            let mut now: BTreeMap<u32, Grid> =
                places.iter().enumerate().map(|(i, p)| (i as u32, *p)).collect();
            let entries: Vec<_> = now.iter().map(|(e, p)| entry(*e, *p)).collect();
            let mut index = Index::new();
            index.rebuild(&entries, 8);
            for (which, to) in moves {
                if places.is_empty() { break }
                let e = which.index(places.len()) as u32;
                index.moved(EntityIdx(e), KindId(0), to);
                now.insert(e, to);
            }
            for which in gone {
                if places.is_empty() { break }
                let e = which.index(places.len()) as u32;
                index.remove(EntityIdx(e));
                now.remove(&e);
            }
            for (i, p) in late.iter().enumerate() {
                index.insert(EntityIdx(1_000 + i as u32), KindId(0), *p);
                now.insert(1_000 + i as u32, *p);
            }
            prop_assert_eq!(index.len(), now.len());
            let places: Vec<_> = now.iter().map(|(e, p)| (EntityIdx(*e), *p)).collect();
            assert_like_the_grid(&index, &places, &probes);
            let entries: Vec<_> = now.iter().map(|(e, p)| entry(*e, *p)).collect();
            index.rebuild(&entries, 8);
            prop_assert_eq!(index.loose(), 0);
            assert_like_the_grid(&index, &places, &probes);
        }
    }

    #[test]
    fn steady_movement_stays_inside_the_fat_boxes() {
        let mut index = Index::new();
        let mut places: Vec<Grid> = (0..640).map(|i| [i * 1000, (i % 25) * 900, 0]).collect();
        let entries = |places: &[Grid]| -> Vec<Entry> {
            places.iter().enumerate().map(|(i, p)| entry(i as u32, *p)).collect()
        };
        for round in 0..4 {
            index.rebuild(&entries(&places), 8);
            for _ in 0..7 {
                for (i, p) in places.iter_mut().enumerate() {
                    p[0] += 300;
                    index.moved(EntityIdx(i as u32), KindId(0), *p);
                }
            }
            assert!(round == 0 || index.loose() == 0, "{} came loose", index.loose());
        }
    }

    #[test]
    fn many_loose_entities_ask_for_a_rebuild() {
        let mut index = Index::new();
        for i in 0..200 {
            index.insert(EntityIdx(i), KindId(0), [i as i32, 0, 0]);
        }
        assert!(index.is_worn());
        index.rebuild(&[], 8);
        assert!(!index.is_worn() && index.is_empty());
    }

    #[test]
    fn leaves_without_a_wanted_kind_are_passed_over() {
        let mut index = Index::new();
        index.insert(EntityIdx(1), KindId(3), [0; 3]);
        let mut hits = 0;
        let probe = Probe::Box(GridBox::ALL);
        index.probe(&probe, 1 << 4, |_, _| hits += 1);
        assert_eq!(hits, 0);
        index.probe(&probe, 1 << 3, |_, _| hits += 1);
        assert_eq!(hits, 1);
    }
}
