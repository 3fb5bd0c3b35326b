//! The index: leaves of up to 64 entities along a curve, and a canopy of boxes over them.
//!
//! One point per tree element is what makes R-trees slow. Here an element is a leaf of neighbours
//! on a Hilbert curve; their coordinates lie axis by axis and are tested 64 at a time. A leaf owns
//! a stretch of the curve: a leaf that is full is cut in two, two that are nearly empty become one.
//! An entity stays in its leaf until it leaves the leaf's fat box, or is found off its stretch when
//! its leaf's turn comes; then it goes to the leaf to which the curve sends it. Nothing is ever
//! built anew, so that every tick costs the same, and whoever keeps masks over lanes follows by
//! `Index::shifts`, which tells who changed lanes since the index was settled last.

mod growth;

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
mod tests;
