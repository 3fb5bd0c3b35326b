//! The index: leaves of up to 64 entities along a curve, and a canopy of boxes over them.
//!
//! One point per tree element is what makes R-trees slow. Here an element is a leaf of neighbours
//! on a Hilbert curve; their coordinates lie axis by axis and are tested 64 at a time. A leaf owns
//! a stretch of the curve: a leaf that is full lends to a neighbour or is cut in two, two that are
//! nearly empty become one.
//! An entity stays in its leaf until it leaves the leaf's fat box, or is found off its stretch when
//! its leaf's turn comes; then it goes to the leaf to which the curve sends it. Nothing is ever
//! built anew, so that every tick costs the same, and whoever keeps masks over lanes follows by
//! `Index::shifts`, which tells who changed lanes since the index was settled last.
//!
//! Where an entity is, is noted by entity; its leaf fetches that when the index is settled
//! (`sweep`), on any number of threads. Stretches of leaves make up zones (`zone`).

mod growth;
mod shift;
mod sweep;
mod zone;

use crate::canopy::Canopy;
use crate::curve;
use crate::entity::EntityIdx;
use crate::executor::{Executor, Serial, run_parts, width};
use crate::leaf::{Grid, GridBox, Leaf, Probe, bits};
use crate::simd::Level;
use shift::Shifts;
pub(crate) use shift::{Lane, LeafIdx, Shift};
use starling_protocol::limits::ZONE_ENTITIES_MAX;
use starling_protocol::space::Space;
use starling_protocol::units::KindId;
use sweep::Sweep;
use zone::{ZoneIdx, Zones};

/// No lane.
const NO_LANE: u32 = u32::MAX;
/// Each leaf's turn comes once in so many ticks.
const TURN_TICKS: u32 = 8;
/// Leaves with at most so many entities together become one.
const MERGED_MAX: u32 = 58;
/// A leaf that is full gives some of its entities to a neighbour with at most so many.
const LENT_MAX: u32 = 56;
/// Leaves that a probe tests before it looks at who is in them.
const BATCH: usize = 16;
/// The least that a fat box reaches beyond the core, in grid steps.
const MARGIN_MIN: u32 = 2_048;

/// Where everything is.
#[derive(Debug)]
pub struct Index {
    space: Space,
    simd: Level,
    /// Where each entity is, and in which lane of which leaf.
    grids: Vec<Grid>,
    lanes: Vec<u32>,
    len: usize,
    leaves: Vec<Leaf>,
    /// Boxes of the leaves as they are.
    bounds: Vec<GridBox>,
    /// In which round each leaf changed last.
    stamps: Vec<u32>,
    free: Vec<LeafIdx>,
    zones: Zones,
    shifts: Shifts,
    /// Leaves whose fat box grew, or that are new, and a canopy over those boxes.
    reshaped: Vec<LeafIdx>,
    reshapes: Canopy,
    /// What each thread found out about its share of the leaves.
    sweeps: Vec<Sweep>,
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
        Self::with_zones(space, ZONE_ENTITIES_MAX)
    }

    /// Holds nothing; its zones will hold at most so many entities each, and at least two.
    #[must_use]
    pub fn with_zones(space: Space, zone_entities_max: usize) -> Self {
        let mut index = Self {
            space,
            simd: Level::detect(),
            grids: Vec::new(),
            lanes: Vec::new(),
            len: 0,
            leaves: Vec::new(),
            bounds: Vec::new(),
            stamps: Vec::new(),
            free: Vec::new(),
            zones: Zones::new(zone_entities_max, 0),
            shifts: Shifts::default(),
            reshaped: Vec::new(),
            reshapes: Canopy::default(),
            sweeps: Vec::new(),
            round: 1,
            is_settled: false,
            is_stirred: true,
        };
        index.take_leaf(0, 0, u64::MAX);
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
        self.leaves.len() - self.free.len()
    }

    /// How many zones it has.
    #[must_use]
    pub fn zones(&self) -> usize {
        self.zones.order.len()
    }

    /// How many entities crossed from one zone into another.
    #[must_use]
    pub fn handovers(&self) -> u64 {
        self.zones.handovers
    }

    /// The boxes of its leaves, along the curve.
    pub fn boxes(&self) -> impl Iterator<Item = GridBox> + '_ {
        let zones = self.zones.order.iter().map(|zone| &self.zones.rows[*zone as usize]);
        zones.flat_map(|zone| &zone.order).map(|leaf| self.bounds[*leaf as usize])
    }

    fn take_leaf(&mut self, zone: ZoneIdx, first: u64, after: u64) -> LeafIdx {
        let leaf = self.free.pop().unwrap_or_else(|| {
            self.leaves.push(Leaf::empty());
            self.bounds.push(GridBox::EMPTY);
            self.stamps.push(0);
            self.shifts.add_leaf();
            self.leaves.len() as u32 - 1
        });
        self.leaves[leaf as usize] = Leaf { zone, first, after, ..Leaf::empty() };
        self.bounds[leaf as usize] = GridBox::EMPTY;
        self.stamps[leaf as usize] = self.round;
        leaf
    }

    /// Whoever kept masks has followed by now.
    fn begin(&mut self) {
        if std::mem::take(&mut self.is_settled) {
            self.shifts.clear();
            self.reshaped.clear();
            self.reshapes.cover(std::iter::empty());
        }
    }

    /// Takes in an entity that it does not hold.
    pub fn insert(&mut self, entity: EntityIdx, kind: KindId, at: Grid) {
        self.begin();
        if self.lanes.len() <= entity.at() {
            self.lanes.resize(entity.at() + 1, NO_LANE);
            self.grids.resize(entity.at() + 1, [0; 3]);
        }
        self.grids[entity.at()] = at;
        self.len += 1;
        self.is_stirred = true;
        let number = self.make_room(curve::key(self.space, at), None);
        self.put(number, entity, kind.0 & 63, at);
    }

    /// Puts an entity into a free lane of a leaf.
    fn put(&mut self, number: LeafIdx, entity: EntityIdx, sort: u8, at: Grid) -> Lane {
        let leaf = &mut self.leaves[number as usize];
        let lane = leaf.used.trailing_ones() as usize;
        leaf.put(lane, entity, sort, at);
        self.zones.rows[leaf.zone as usize].len += 1;
        self.stamps[number as usize] = self.round;
        self.reach(number, at);
        let lane = Lane::new(number, lane);
        self.lanes[entity.at()] = lane.0;
        lane
    }

    /// The leaf to which the curve sends a key, with a free lane, in a zone with room. Whoever is in
    /// that zone already takes no more room there.
    fn make_room(&mut self, key: u64, who: Option<EntityIdx>) -> LeafIdx {
        loop {
            let (at, place) = self.zones.find(key);
            let zone = self.zones.order[at];
            let row = &self.zones.rows[zone as usize];
            let number = row.order[place];
            let from = who.and_then(|who| self.lane(who)).map(|from| from.leaf() as usize);
            let stays = from.is_some_and(|leaf| self.leaves[leaf].zone == zone);
            if row.len - usize::from(stays) >= self.zones.limit {
                self.split(at);
            } else if self.leaves[number as usize].used == u64::MAX {
                self.relieve(zone, place);
            } else {
                return number;
            }
        }
    }

    /// Makes a leaf responsible for a point.
    fn reach(&mut self, number: LeafIdx, at: Grid) {
        self.bounds[number as usize].include(at);
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

    /// Where an entity is that it holds.
    #[inline]
    pub(crate) fn at(&self, entity: EntityIdx) -> Grid {
        self.grids[entity.at()]
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
        let leaf = &mut self.leaves[from.leaf() as usize];
        leaf.vacate(1 << from.lane());
        self.zones.rows[leaf.zone as usize].len -= 1;
        self.stamps[from.leaf() as usize] = self.round;
        self.lanes[entity.at()] = NO_LANE;
        self.len -= 1;
        self.is_stirred = true;
        self.shifts.note(Shift::Gone { entity, from });
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

    /// Where on the curve a leaf begins.
    pub(crate) fn begins(&self, leaf: LeafIdx) -> u64 {
        self.leaves[leaf as usize].first
    }

    /// Calls `found` with every leaf whose fat box touches this one.
    pub(crate) fn each_near(&self, reach: &GridBox, found: impl FnMut(LeafIdx)) {
        self.zones.near(self.simd, reach, found);
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

    /// Calls `found` with every leaf that is new, or reaches further than it did when the index was
    /// settled last, and whose fat box touches this one. It may be called twice with the same.
    pub(crate) fn each_reshaped(&self, reach: &GridBox, mut found: impl FnMut(LeafIdx)) {
        self.reshapes.touching(self.simd, &Probe::Box(*reach), |at| found(self.reshaped[at]));
    }

    /// The numbers of the shifts out of a leaf, newest first.
    pub(crate) fn shifts_from(&self, leaf: LeafIdx) -> impl Iterator<Item = u32> + '_ {
        self.shifts.from(leaf)
    }

    /// A shift by its number.
    pub(crate) fn shift(&self, number: u32) -> &Shift {
        &self.shifts.all[number as usize]
    }

    /// Who was in a lane that [`Shift::Many`] emptied.
    pub(crate) fn moved_out(&self, who: u32, lane: usize) -> EntityIdx {
        self.shifts.moved_out(who, lane)
    }

    /// Notes where an entity is now. Probes find it there when the index was settled.
    #[inline]
    pub fn moved(&mut self, entity: EntityIdx, at: Grid) {
        let Some(lane) = self.lane(entity) else { return };
        self.grids[entity.at()] = at;
        self.stamps[lane.leaf() as usize] = self.round;
        self.is_stirred = true;
    }

    /// Brings everything into order that moved since the last time. Probes find things as of now.
    ///
    /// Whoever keeps masks over lanes follows afterwards, before anything changes again.
    pub fn settle(&mut self) {
        self.settle_on(&Serial);
    }

    /// The same on the threads of an executor, with the same result.
    pub fn settle_on(&mut self, exec: &impl Executor) {
        self.begin();
        if std::mem::take(&mut self.is_stirred) {
            self.sweep(exec);
            self.depart();
            self.merge();
            self.merge_zones();
            self.zones.cover(&self.leaves, &self.bounds);
            let fats = self.reshaped.iter().map(|leaf| self.leaves[*leaf as usize].fat);
            self.reshapes.cover(fats);
            self.round += 1;
        }
        self.is_settled = true;
    }

    /// Looks at every leaf alone.
    fn sweep(&mut self, exec: &impl Executor) {
        let Self { space, simd, round, grids, leaves, bounds, stamps, sweeps, .. } = self;
        let scenery = sweep::Scenery { space: *space, simd: *simd, round: *round, grids };
        sweeps.resize_with(width(exec), Sweep::default);
        let share = leaves.len().div_ceil(sweeps.len());
        let shares = leaves.chunks_mut(share).zip(bounds.chunks_mut(share));
        let shares = shares.zip(stamps.chunks(share)).zip(sweeps.iter_mut()).enumerate();
        let parts = shares.map(|(at, (((leaves, bounds), stamps), sweep))| {
            let first = (at * share) as LeafIdx;
            sweep::Part { first, leaves, bounds, stamps, sweep }
        });
        run_parts(exec, parts, |part| part.run(scenery));
    }

    /// Sends those who left a leaf where the curve says.
    fn depart(&mut self) {
        let mut sweeps = std::mem::take(&mut self.sweeps);
        for sweep in &mut sweeps {
            self.reshaped.append(&mut sweep.reshaped);
            for (entity, key) in sweep.departures.drain(..) {
                self.send(entity, key);
            }
        }
        self.sweeps = sweeps;
    }

    /// Sends an entity to where the curve says. Room is made there first: that may move the entity,
    /// too, and no lane is given to another before who was in it is noted to have left.
    fn send(&mut self, entity: EntityIdx, key: u64) {
        let (number, at) = (self.make_room(key, Some(entity)), self.grids[entity.at()]);
        let from = self.lane(entity).expect("who departs is in a leaf");
        if from.leaf() == number {
            return self.reach(number, at);
        }
        let leaf = &mut self.leaves[from.leaf() as usize];
        let (sort, zone) = (leaf.sorts[from.lane()], leaf.zone);
        leaf.vacate(1 << from.lane());
        self.zones.rows[zone as usize].len -= 1;
        self.stamps[from.leaf() as usize] = self.round;
        let to = self.put(number, entity, sort, at);
        self.zones.handovers += u64::from(self.leaves[number as usize].zone != zone);
        self.shifts.note(Shift::One { entity, from, to });
    }

    /// Calls `found` with every entity that the probe hits and whose kind passes, and with its
    /// place, leaf by leaf.
    ///
    /// Some leaves are tested before anyone in them is looked at: to wait for the lines of a leaf is
    /// what takes time, and those of the next can be under way.
    #[inline]
    pub fn probe(&self, probe: &Probe, kinds: u64, mut found: impl FnMut(EntityIdx, Grid)) {
        let mut batch = [(0, 0u64); BATCH];
        let mut count = 0;
        let mut tell = |batch: &[(LeafIdx, u64)]| {
            for &(number, hits) in batch {
                let leaf = &self.leaves[number as usize];
                bits(hits).for_each(|lane| found(EntityIdx(leaf.entities[lane]), leaf.at(lane)));
            }
        };
        self.zones.touching(self.simd, probe, |number| {
            let leaf = &self.leaves[number as usize];
            batch[count] = (number, leaf.mask(self.simd, probe) & leaf.of_kinds(kinds));
            count += 1;
            if count == BATCH {
                tell(&batch);
                count = 0;
            }
        });
        tell(&batch[..count]);
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
