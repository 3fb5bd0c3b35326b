//! The index: leaves of up to 64 entities along a curve, and a canopy of boxes over them.
//!
//! One point per tree element is what makes R-trees slow. Here an element is a leaf of neighbours
//! on a Hilbert curve; their coordinates lie axis by axis and are tested 64 at a time. A leaf owns
//! a stretch of the curve: a leaf that is full is cut in two, two that are nearly empty become one.
//! An entity stays in its leaf until it leaves the leaf's fat box, or is found off its stretch when
//! its leaf's turn comes; then it goes to the leaf to which the curve sends it. Nothing is ever
//! built anew, so that every tick costs the same, and whoever keeps masks over lanes follows by
//! [`Index::shifts`], which tells who changed lanes since the index was settled last.

use crate::canopy::Canopy;
use crate::curve;
use crate::entity::EntityIdx;
use crate::leaf::{Grid, GridBox, LEAF, Leaf, Probe, bits};
use crate::simd::{self, Level};
use starling_protocol::space::Space;
use starling_protocol::units::KindId;

/// No lane.
const NO_LANE: u32 = u32::MAX;
/// No shift.
const NO_SHIFT: u32 = u32::MAX;
/// Each leaf's turn comes once in so many ticks.
const TURN_TICKS: u32 = 8;
/// Leaves with at most so many entities together become one.
const MERGED_MAX: u32 = 52;
/// The least that a fat box reaches beyond the core, in grid steps.
const MARGIN_MIN: u32 = 2_048;

/// A leaf's number.
pub(crate) type LeafIdx = u32;

/// Entities that changed lanes. In order, each as of those before it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shift {
    /// One went from a lane to a lane of another leaf.
    One { entity: EntityIdx, from: Lane, to: Lane },
    /// All in these lanes went to the same lanes of another leaf; who they were is in
    /// [`Index::moved_out`], from this place on.
    Many { from: LeafIdx, to: LeafIdx, lanes: u64, who: u32 },
    /// One is gone.
    Gone { entity: EntityIdx, from: Lane },
}

impl Shift {
    fn from(&self) -> LeafIdx {
        match *self {
            Self::One { from, .. } | Self::Gone { from, .. } => from.leaf(),
            Self::Many { from, .. } => from,
        }
    }
}

/// A lane of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lane(u32);

impl Lane {
    fn new(leaf: LeafIdx, lane: usize) -> Self {
        Self(leaf * LEAF as u32 + lane as u32)
    }

    /// Of which leaf.
    #[inline]
    pub(crate) const fn leaf(self) -> LeafIdx {
        self.0 / LEAF as u32
    }

    /// Which of it.
    #[inline]
    pub(crate) const fn lane(self) -> usize {
        self.0 as usize % LEAF
    }
}

/// Where everything is.
#[derive(Debug)]
pub struct Index {
    space: Space,
    simd: Level,
    leaves: Vec<Leaf>,
    /// Boxes of the leaves as they are: they grow as entities move, and shrink when their turn
    /// comes.
    bounds: Vec<GridBox>,
    /// In which round each leaf changed last.
    stamps: Vec<u32>,
    /// The newest shift out of each leaf.
    heads: Vec<u32>,
    /// The leaves along the curve, and where each begins.
    order: Vec<LeafIdx>,
    firsts: Vec<u64>,
    free: Vec<LeafIdx>,
    canopy: Canopy,
    /// Leaf and lane of each entity.
    lanes: Vec<u32>,
    len: usize,
    /// Leaves with entities that strayed.
    strays: Vec<LeafIdx>,
    /// Leaves whose fat box grew, or that are new.
    reshaped: Vec<LeafIdx>,
    shifts: Vec<Shift>,
    /// The shift before each out of the same leaf.
    earlier: Vec<u32>,
    moved_out: Vec<u32>,
    /// How often it was settled.
    round: u32,
    /// It was settled, and nothing changed lanes since.
    is_settled: bool,
    /// Something moved, came or went since.
    is_stirred: bool,
}

impl Index {
    /// Holds nothing.
    #[must_use]
    pub fn new(space: Space) -> Self {
        let mut index = Self {
            space,
            simd: Level::detect(),
            leaves: Vec::new(),
            bounds: Vec::new(),
            stamps: Vec::new(),
            heads: Vec::new(),
            order: Vec::new(),
            firsts: Vec::new(),
            free: Vec::new(),
            canopy: Canopy::default(),
            lanes: Vec::new(),
            len: 0,
            strays: Vec::new(),
            reshaped: Vec::new(),
            shifts: Vec::new(),
            earlier: Vec::new(),
            moved_out: Vec::new(),
            round: 1,
            is_settled: false,
            is_stirred: true,
        };
        let first = index.take_leaf(0);
        index.order.push(first);
        index.firsts.push(0);
        index
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

    /// How many leaves it has.
    #[must_use]
    pub fn leaves(&self) -> usize {
        self.order.len()
    }

    /// The boxes of its leaves, along the curve.
    pub fn boxes(&self) -> impl Iterator<Item = GridBox> + '_ {
        self.order.iter().map(|leaf| self.bounds[*leaf as usize])
    }

    fn take_leaf(&mut self, first: u64) -> LeafIdx {
        let leaf = self.free.pop().unwrap_or_else(|| {
            self.leaves.push(Leaf::empty(0));
            self.bounds.push(GridBox::EMPTY);
            self.stamps.push(0);
            self.heads.push(NO_SHIFT);
            self.leaves.len() as u32 - 1
        });
        self.leaves[leaf as usize] = Leaf::empty(first);
        self.bounds[leaf as usize] = GridBox::EMPTY;
        self.stamps[leaf as usize] = self.round;
        leaf
    }

    /// Where in the order the leaf is to which the curve sends a key.
    fn find(&self, key: u64) -> usize {
        self.firsts.partition_point(|first| *first <= key) - 1
    }

    fn position(&self, leaf: LeafIdx) -> usize {
        let first = self.leaves[leaf as usize].first;
        let from = self.firsts.partition_point(|other| *other < first);
        let at = self.order[from..].iter().position(|other| *other == leaf);
        from + at.expect("a leaf in use has its place in the order")
    }

    /// Whoever kept masks has followed by now.
    fn begin(&mut self) {
        if !std::mem::take(&mut self.is_settled) {
            return;
        }
        for shift in self.shifts.drain(..) {
            self.heads[shift.from() as usize] = NO_SHIFT;
        }
        self.earlier.clear();
        self.moved_out.clear();
        self.reshaped.clear();
    }

    fn note(&mut self, shift: Shift) {
        let head = &mut self.heads[shift.from() as usize];
        self.earlier.push(std::mem::replace(head, self.shifts.len() as u32));
        self.shifts.push(shift);
    }

    /// Takes in an entity that it does not hold.
    pub fn insert(&mut self, entity: EntityIdx, kind: KindId, at: Grid) {
        self.begin();
        if self.lanes.len() <= entity.at() {
            self.lanes.resize(entity.at() + 1, NO_LANE);
        }
        self.len += 1;
        self.is_stirred = true;
        self.settle_in(entity, kind.0 & 63, at, curve::key(self.space, at));
    }

    /// Gives an entity a lane in the leaf to which the curve sends it.
    fn settle_in(&mut self, entity: EntityIdx, sort: u8, at: Grid, key: u64) -> Lane {
        let mut place = self.find(key);
        while self.leaves[self.order[place] as usize].used == u64::MAX {
            self.cut(place);
            place = self.find(key);
        }
        let number = self.order[place];
        let leaf = &mut self.leaves[number as usize];
        let lane = leaf.used.trailing_ones() as usize;
        leaf.put(lane, entity, sort, at);
        self.bounds[number as usize].include(at);
        self.stamps[number as usize] = self.round;
        self.reach(number, at);
        let lane = Lane::new(number, lane);
        self.lanes[entity.at()] = lane.0;
        lane
    }

    /// Makes a leaf responsible for a point.
    fn reach(&mut self, number: LeafIdx, at: Grid) {
        let leaf = &mut self.leaves[number as usize];
        leaf.core.include(at);
        if !leaf.fat.contains(at) {
            leaf.fat = fat(&leaf.core);
            self.reshaped.push(number);
        }
    }

    /// Cuts a leaf in two where half of its entities lie on either side.
    fn cut(&mut self, place: usize) {
        let number = self.order[place];
        let leaf = &self.leaves[number as usize];
        let mut members = [(0u64, 0u8); LEAF];
        for (lane, member) in members.iter_mut().enumerate() {
            *member = (curve::key(self.space, leaf.at(lane)), lane as u8);
        }
        members.sort_unstable();
        let half = LEAF / 2;
        let after = self.firsts.get(place + 1).copied().unwrap_or(u64::MAX);
        let first = members[half].0.clamp(leaf.first, after);
        let lanes = members[half..].iter().fold(0, |mask, (_, lane)| mask | 1u64 << lane);
        let other = self.take_leaf(first);
        self.order.insert(place + 1, other);
        self.firsts.insert(place + 1, first);
        self.give(number, other, lanes);
        for number in [number, other] {
            let bounds = self.leaves[number as usize].round(self.leaves[number as usize].used);
            self.bounds[number as usize] = bounds;
            let leaf = &mut self.leaves[number as usize];
            leaf.core = bounds;
            leaf.fat = fat(&bounds);
            self.reshaped.push(number);
        }
    }

    /// Gives all in these lanes to the same lanes of another leaf, which are free.
    fn give(&mut self, from: LeafIdx, to: LeafIdx, lanes: u64) {
        let who = self.moved_out.len() as u32;
        self.moved_out.extend_from_slice(&self.leaves[from as usize].entities);
        for lane in bits(lanes) {
            let leaf = &self.leaves[from as usize];
            let (entity, sort, at) =
                (EntityIdx(leaf.entities[lane]), leaf.sorts[lane], leaf.at(lane));
            self.leaves[to as usize].put(lane, entity, sort, at);
            self.lanes[entity.at()] = Lane::new(to, lane).0;
        }
        let strayed = self.leaves[from as usize].strayed & lanes;
        if strayed != 0 {
            self.leaves[to as usize].strayed |= strayed;
            self.strays.push(to);
        }
        self.leaves[from as usize].vacate(lanes);
        self.stamps[from as usize] = self.round;
        self.stamps[to as usize] = self.round;
        self.note(Shift::Many { from, to, lanes, who });
    }

    /// Does it hold this entity?
    #[must_use]
    pub fn holds(&self, entity: EntityIdx) -> bool {
        self.lane(entity).is_some()
    }

    /// The lane of an entity.
    #[inline]
    pub(crate) fn lane(&self, entity: EntityIdx) -> Option<Lane> {
        let lane = *self.lanes.get(entity.at())?;
        (lane != NO_LANE).then_some(Lane(lane))
    }

    /// Forgets an entity.
    pub fn remove(&mut self, entity: EntityIdx) {
        let Some(from) = self.lane(entity) else { return };
        self.begin();
        self.leaves[from.leaf() as usize].vacate(1 << from.lane());
        self.stamps[from.leaf() as usize] = self.round;
        self.lanes[entity.at()] = NO_LANE;
        self.len -= 1;
        self.is_stirred = true;
        self.note(Shift::Gone { entity, from });
    }

    /// The leaves by number; those out of use are empty.
    #[inline]
    pub(crate) fn rows(&self) -> &[Leaf] {
        &self.leaves
    }

    /// The best that the machine can do.
    pub(crate) fn simd(&self) -> Level {
        self.simd
    }

    /// The box that holds all of a leaf's entities now.
    #[inline]
    pub(crate) fn bounds(&self, leaf: LeafIdx) -> GridBox {
        self.bounds[leaf as usize]
    }

    /// The box that a leaf's entities will not leave without a shift or a new shape.
    #[inline]
    pub(crate) fn fat(&self, leaf: LeafIdx) -> &GridBox {
        &self.leaves[leaf as usize].fat
    }

    /// Calls `found` with every leaf whose fat box touches this one.
    pub(crate) fn each_near(&self, reach: &GridBox, mut found: impl FnMut(LeafIdx)) {
        for leaf in self.order.iter().filter(|leaf| self.fat(**leaf).touches(reach)) {
            found(*leaf);
        }
    }

    /// How often it was settled. What changes from now on carries this number.
    pub(crate) fn round(&self) -> u32 {
        self.round
    }

    /// Did a leaf change in this round or later?
    #[inline]
    pub(crate) fn changed_since(&self, leaf: LeafIdx, round: u32) -> bool {
        self.stamps[leaf as usize] >= round
    }

    /// Did anything change in this round or later?
    pub(crate) fn stirred_since(&self, round: u32) -> bool {
        self.round > round
    }

    /// Leaves that are new, or reach further than they did when the index was settled last.
    pub(crate) fn reshaped(&self) -> &[LeafIdx] {
        &self.reshaped
    }

    /// The numbers of the shifts out of a leaf, newest first.
    pub(crate) fn shifts_from(&self, leaf: LeafIdx) -> impl Iterator<Item = u32> + '_ {
        let some = |number: u32| (number != NO_SHIFT).then_some(number);
        std::iter::successors(some(self.heads[leaf as usize]), move |number| {
            some(self.earlier[*number as usize])
        })
    }

    /// A shift by its number.
    pub(crate) fn shift(&self, number: u32) -> &Shift {
        &self.shifts[number as usize]
    }

    /// Who was in a lane that [`Shift::Many`] emptied.
    pub(crate) fn moved_out(&self, who: u32, lane: usize) -> EntityIdx {
        EntityIdx(self.moved_out[who as usize + lane])
    }

    /// Notes that an entity moved.
    #[inline]
    pub fn moved(&mut self, entity: EntityIdx, at: Grid) {
        let Some(lane) = self.lane(entity) else { return };
        let number = lane.leaf() as usize;
        let leaf = &mut self.leaves[number];
        leaf.place(lane.lane(), at);
        self.is_stirred = true;
        self.stamps[number] = self.round;
        if !self.bounds[number].contains(at) {
            if leaf.fat.contains(at) {
                self.bounds[number].include(at);
                return;
            }
            if leaf.strayed == 0 {
                self.strays.push(lane.leaf());
            }
            leaf.strayed |= 1 << lane.lane();
        }
    }

    /// Brings everything into order that moved since the last time. Probes find things as of now.
    ///
    /// Whoever keeps masks over lanes follows afterwards, before anything changes again.
    pub fn settle(&mut self) {
        self.begin();
        if !std::mem::take(&mut self.is_stirred) {
            self.is_settled = true;
            return;
        }
        while let Some(number) = self.strays.pop() {
            self.send_strays(number);
        }
        let turns = self.round % TURN_TICKS..self.leaves.len() as u32;
        for number in turns.step_by(TURN_TICKS as usize) {
            if self.leaves[number as usize].used != 0 {
                self.take_turn(number);
            }
        }
        self.merge();
        let bounds = &self.bounds;
        self.canopy.cover(self.order.iter().map(|leaf| bounds[*leaf as usize]));
        self.is_settled = true;
        self.round += 1;
    }

    /// Sends those who left a leaf's fat box where the curve says.
    fn send_strays(&mut self, number: LeafIdx) {
        let strayed = std::mem::take(&mut self.leaves[number as usize].strayed);
        for lane in bits(strayed) {
            let at = self.leaves[number as usize].at(lane);
            let key = curve::key(self.space, at);
            if self.owns(self.position(number), key) {
                self.reach(number, at);
            } else {
                self.send(number, lane, key);
            }
        }
        self.bounds[number as usize] =
            self.leaves[number as usize].round(self.leaves[number as usize].used);
    }

    /// Is this leaf's stretch of the curve the one with this key?
    fn owns(&self, place: usize, key: u64) -> bool {
        let after = self.firsts.get(place + 1).copied().unwrap_or(u64::MAX);
        self.firsts[place] <= key && key < after
    }

    fn send(&mut self, number: LeafIdx, lane: usize, key: u64) {
        let leaf = &mut self.leaves[number as usize];
        let (entity, sort, at) = (EntityIdx(leaf.entities[lane]), leaf.sorts[lane], leaf.at(lane));
        leaf.vacate(1 << lane);
        self.stamps[number as usize] = self.round;
        let to = self.settle_in(entity, sort, at, key);
        self.note(Shift::One { entity, from: Lane::new(number, lane), to });
    }

    /// Brings one leaf's boxes up to date and sends away whom the curve does not send here.
    fn take_turn(&mut self, number: LeafIdx) {
        let place = self.position(number);
        let leaf = &self.leaves[number as usize];
        let outside = leaf.used & !simd::inside(self.simd, &leaf.axes, &leaf.core);
        let is_stranger = |lane: &usize| !self.owns(place, curve::key(self.space, leaf.at(*lane)));
        let strangers = bits(outside).filter(is_stranger).fold(0, |mask, lane| mask | 1u64 << lane);
        let core = leaf.round(leaf.used & !strangers);
        let kinds = bits(leaf.used).fold(0, |kinds, lane| kinds | 1 << leaf.sorts[lane]);
        let leaf = &mut self.leaves[number as usize];
        leaf.kinds = kinds;
        for lane in bits(strangers) {
            let key = curve::key(self.space, self.leaves[number as usize].at(lane));
            self.send(number, lane, key);
        }
        self.bounds[number as usize] = core;
        let leaf = &mut self.leaves[number as usize];
        let new = fat(&core);
        leaf.core = core;
        let grows = !leaf.fat.holds(&new);
        leaf.fat = new;
        if grows {
            self.reshaped.push(number);
        }
    }

    /// Makes one leaf of two neighbours that are nearly empty, one pair in each round.
    fn merge(&mut self) {
        let count = |index: &Self, place: usize| {
            index.order.get(place).map_or(0, |leaf| index.leaves[*leaf as usize].used.count_ones())
        };
        let pairs = self.order.len() - 1;
        let looked = pairs.min(pairs / TURN_TICKS as usize + 1);
        for i in 0..looked {
            let place = (self.round as usize * looked + i) % pairs;
            if count(self, place) + count(self, place + 1) <= MERGED_MAX {
                self.absorb(place);
                return;
            }
        }
    }

    /// Takes all of the next leaf into this one.
    fn absorb(&mut self, place: usize) {
        let (number, next) = (self.order[place], self.order[place + 1]);
        self.order.remove(place + 1);
        self.firsts.remove(place + 1);
        let clash = self.leaves[next as usize].used & self.leaves[number as usize].used;
        let lanes = self.leaves[next as usize].used & !clash;
        let core = self.leaves[next as usize].core;
        if lanes != 0 {
            self.give(next, number, lanes);
        }
        for lane in bits(clash) {
            let leaf = &self.leaves[next as usize];
            let (entity, sort, at) =
                (EntityIdx(leaf.entities[lane]), leaf.sorts[lane], leaf.at(lane));
            let free = self.leaves[number as usize].used.trailing_ones() as usize;
            self.leaves[number as usize].put(free, entity, sort, at);
            let to = Lane::new(number, free);
            self.lanes[entity.at()] = to.0;
            self.leaves[next as usize].vacate(1 << lane);
            self.note(Shift::One { entity, from: Lane::new(next, lane), to });
        }
        self.stamps[number as usize] = self.round;
        let bounds = self.bounds[next as usize];
        self.bounds[number as usize] = self.bounds[number as usize].with(&bounds);
        let leaf = &mut self.leaves[number as usize];
        leaf.core = leaf.core.with(&core);
        leaf.fat = fat(&leaf.core).with(&self.bounds[number as usize]);
        self.reshaped.push(number);
        self.leaves[next as usize] = Leaf::empty(0);
        self.bounds[next as usize] = GridBox::EMPTY;
        self.free.push(next);
    }

    /// Calls `found` with every entity that the probe hits and whose kind passes, and with its
    /// place, leaf by leaf.
    #[inline]
    pub fn probe(&self, probe: &Probe, kinds: u64, mut found: impl FnMut(EntityIdx, Grid)) {
        self.canopy.touching(self.simd, probe, |place| {
            let leaf = &self.leaves[self.order[place] as usize];
            if leaf.kinds & kinds == 0 {
                return;
            }
            let mut hits = leaf.mask(self.simd, probe);
            if leaf.kinds & !kinds != 0 {
                hits &= leaf.of_kinds(kinds);
            }
            for lane in bits(hits) {
                found(EntityIdx(leaf.entities[lane]), leaf.at(lane));
            }
        });
    }
}

/// The box that holds its leaf for some time: members may wander so far beyond the core.
fn fat(core: &GridBox) -> GridBox {
    if core.is_empty() {
        return GridBox::EMPTY;
    }
    let side = core.sides().into_iter().max().unwrap_or(0);
    core.grown((side / 8).max(MARGIN_MIN) as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::CellGrid;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Everything in its lane, as someone knows it who only follows the shifts.
    #[derive(Default)]
    struct Follower(BTreeMap<(LeafIdx, usize), EntityIdx>);

    impl Follower {
        fn follow(&mut self, index: &Index) {
            for shift in &index.shifts {
                match *shift {
                    Shift::One { entity, from, to } => {
                        let old = self.0.remove(&(from.leaf(), from.lane()));
                        assert!(old.is_none_or(|old| old == entity));
                        if old.is_some() {
                            self.0.insert((to.leaf(), to.lane()), entity);
                        }
                    }
                    Shift::Many { from, to, lanes, who } => {
                        for lane in bits(lanes) {
                            let Some(old) = self.0.remove(&(from, lane)) else { continue };
                            assert_eq!(old.0, index.moved_out[who as usize + lane]);
                            self.0.insert((to, lane), old);
                        }
                    }
                    Shift::Gone { entity, from } => {
                        let old = self.0.remove(&(from.leaf(), from.lane()));
                        assert!(old.is_none_or(|old| old == entity));
                    }
                }
            }
        }

        /// Nobody of whom it knows is elsewhere; from now on it knows everyone.
        fn check(&mut self, index: &Index, now: &BTreeMap<u32, Grid>) {
            for (&(leaf, lane), &entity) in &self.0 {
                assert_eq!(index.lane(entity), Some(Lane::new(leaf, lane)), "{entity:?}");
            }
            let lanes = now.keys().map(|e| (index.lane(EntityIdx(*e)).expect("held"), *e));
            self.0 = lanes.map(|(at, e)| ((at.leaf(), at.lane()), EntityIdx(e))).collect();
            assert_eq!(self.0.len(), now.len(), "each has a lane of its own");
        }
    }

    fn found(index: &Index, probe: &Probe) -> Vec<EntityIdx> {
        let mut all = Vec::new();
        index.probe(probe, u64::MAX, |e, _| all.push(e));
        all.sort_unstable();
        assert!(all.windows(2).all(|w| w[0] < w[1]), "nothing is found twice");
        all
    }

    /// The probe may hit a little more than the sphere holds.
    fn assert_like_the_grid(index: &Index, now: &BTreeMap<u32, Grid>, probes: &[(Grid, u32)]) {
        let places: Vec<_> = now.iter().map(|(e, p)| (EntityIdx(*e), *p)).collect();
        let oracle = CellGrid::new(20_000, &places);
        for &(center, radius) in probes {
            for flat in [false, true] {
                let all = found(index, &Probe::Sphere { center, radius, flat });
                let exact = oracle.within(center, radius, flat);
                let missed: Vec<_> = exact.iter().filter(|e| !all.contains(e)).collect();
                assert!(missed.is_empty(), "missed {missed:?} round {center:?} within {radius}");
                let wider = oracle.within(center, radius + radius / 1000 + 8, flat);
                assert!(all.iter().all(|e| wider.contains(e)), "found what is far away");
            }
        }
        assert_eq!(found(index, &Probe::Box(GridBox::ALL)).len(), now.len());
    }

    fn assert_in_order(index: &Index) {
        assert!(index.firsts.windows(2).all(|w| w[0] <= w[1]) && index.firsts[0] == 0);
        for (place, number) in index.order.iter().enumerate() {
            let leaf = &index.leaves[*number as usize];
            assert_eq!(leaf.first, index.firsts[place]);
            assert!(index.fat(*number).holds(&leaf.round(leaf.used)), "the fat box holds all");
            assert!(index.bounds[*number as usize].holds(&leaf.round(leaf.used)));
        }
    }

    fn coordinate() -> impl Strategy<Value = i32> {
        prop_oneof![
            4 => -60_000..60_000i32,
            1 => -200..200i32,
            1 => -1_024_000_000..=1_024_000_000i32
        ]
    }

    fn place() -> impl Strategy<Value = Grid> {
        (coordinate(), coordinate(), -5_000..5_000i32).prop_map(|(x, y, z)| [x, y, z])
    }

    /// What happens to an entity: it comes, jumps, steps or goes.
    fn event() -> impl Strategy<Value = (u32, u8, Grid)> {
        (0..300u32, 0..10u8, place())
    }

    fn apply(index: &mut Index, now: &mut BTreeMap<u32, Grid>, (e, what, to): (u32, u8, Grid)) {
        let entity = EntityIdx(e);
        match (now.get(&e).copied(), what) {
            (None, _) => {
                index.insert(entity, KindId(e as u8 % 5), to);
                now.insert(e, to);
            }
            (Some(_), 0) => {
                index.remove(entity);
                now.remove(&e);
            }
            (Some(_), 1..3) => {
                index.moved(entity, to);
                now.insert(e, to);
            }
            (Some(at), _) => {
                let to = [0, 1, 2].map(|axis| at[axis] + to[axis] % 4_000);
                index.moved(entity, to);
                now.insert(e, to);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_index_finds_what_the_grid_finds_and_tells_who_changed_lanes(
            rounds in prop::collection::vec(prop::collection::vec(event(), 0..200), 1..24),
            probes in prop::collection::vec((place(), 0..200_000u32), 1..6),
            globe: bool,
        ) {
            let space = if globe { Space::Geodetic } else { Space::Metric };
            let (mut index, mut now) = (Index::new(space), BTreeMap::new());
            let mut follower = Follower::default();
            for events in rounds {
                events.into_iter().for_each(|event| apply(&mut index, &mut now, event));
                index.settle();
                prop_assert_eq!(index.len(), now.len());
                assert_in_order(&index);
                assert_like_the_grid(&index, &now, &probes);
                follower.follow(&index);
                follower.check(&index, &now);
            }
        }
    }

    #[test]
    fn a_crowd_in_one_point_has_leaves_enough() {
        let mut index = Index::new(Space::Metric);
        for e in 0..5_000 {
            index.insert(EntityIdx(e), KindId(0), [7, 7, 7]);
        }
        index.settle();
        assert_eq!(found(&index, &Probe::sphere([7; 3], 1.0, false)).len(), 5_000);
        assert!(index.leaves() < 200, "{}", index.leaves());
    }

    #[test]
    fn leaves_that_empty_become_few() {
        let mut index = Index::new(Space::Metric);
        for e in 0..5_000i32 {
            index.insert(EntityIdx(e as u32), KindId(0), [e % 70 * 2_000, e / 70 * 2_000, 0]);
        }
        index.settle();
        let before = index.leaves();
        (0..5_000).filter(|e| e % 50 != 0).for_each(|e| index.remove(EntityIdx(e)));
        for i in 0..1_000 {
            index.moved(EntityIdx(0), [i, 0, 0]);
            index.settle();
        }
        assert!(index.leaves() * 10 < before, "{} of {before}", index.leaves());
        assert_eq!(found(&index, &Probe::Box(GridBox::ALL)).len(), 100);
    }

    #[test]
    fn only_kinds_that_are_asked_for_are_found() {
        let mut index = Index::new(Space::Metric);
        for e in 0..100 {
            index.insert(EntityIdx(e), KindId(e as u8 % 2 * 3), [e as i32, 0, 0]);
        }
        index.settle();
        let mut hits = [0; 3];
        for (hit, kinds) in hits.iter_mut().zip([1 << 4, 1 << 3, u64::MAX]) {
            index.probe(&Probe::Box(GridBox::ALL), kinds, |_, _| *hit += 1);
        }
        assert_eq!(hits, [0, 50, 100]);
    }
}
