//! Where everything is: the exact place of each entity, and the index over them.

use crate::config::WorldConfig;
use crate::entity::EntityIdx;
use crate::executor::Executor;
use crate::leaf::{Grid, Probe};
use crate::space::{Cartesian, cartesian, flattened};
use crate::spatial::Index;
use starling_protocol::space::{IPos, METRIC_STEPS, Space};
use starling_protocol::units::KindId;

/// Grid steps per metre in geodetic worlds: the Earth fits in 32 bits.
const ECEF_STEPS: f64 = 256.0;
/// In how many ticks the depth of all entities is looked at once.
const SOUNDING_TICKS: usize = 64;
/// Entities deeper than this below the ellipsoid are not pruned by the index at all.
const DEPTH_MAX_M: f64 = 1_000_000.0;

/// The exact place of one entity.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    /// In metres, in a frame where straight lines are distances.
    pub(crate) point: Cartesian,
    /// On the canonical grid.
    pub(crate) pos: IPos,
    /// In the index.
    pub(crate) grid: Grid,
}

/// Where everything is.
#[derive(Debug)]
pub(crate) struct Atlas {
    space: Space,
    /// Exact places on the globe; in metric worlds the index's grid is exact.
    places: Vec<Place>,
    index: Index,
    /// Lowest altitude in a geodetic world, in metres; 0 when nothing is below the ellipsoid.
    lowest_m: f64,
    /// The lowest of those looked at since the last time that all were, and who is next.
    sounded_m: f64,
    sounded: usize,
}

impl Atlas {
    /// An empty map of a world of this configuration.
    #[must_use]
    pub(crate) fn new(config: &WorldConfig) -> Self {
        Self {
            space: config.space,
            places: Vec::new(),
            index: Index::with_zones(config.space, config.zone_entities_max),
            lowest_m: 0.0,
            sounded_m: 0.0,
            sounded: 0,
        }
    }

    /// The space of the world.
    #[must_use]
    pub(crate) fn space(&self) -> Space {
        self.space
    }

    /// The index.
    #[must_use]
    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// The exact place of an entity.
    #[must_use]
    #[inline]
    pub(crate) fn place(&self, entity: EntityIdx) -> Place {
        match self.space {
            Space::Metric => self.locate(IPos(self.index.at(entity))),
            Space::Geodetic => self.places[entity.at()],
        }
    }

    /// The place of a grid point.
    #[inline]
    #[must_use]
    pub(crate) fn locate(&self, pos: IPos) -> Place {
        Place { point: cartesian(self.space, pos), pos, grid: grid(self.space, pos) }
    }

    /// Takes in a new entity.
    pub(crate) fn insert(&mut self, entity: EntityIdx, kind: KindId, pos: IPos) {
        let grid = self.note(entity, pos);
        self.index.insert(entity, kind, grid);
    }

    /// Notes that an entity moved.
    pub(crate) fn moved(&mut self, entity: EntityIdx, pos: IPos) {
        let grid = self.note(entity, pos);
        self.index.moved(entity, grid);
    }

    fn note(&mut self, entity: EntityIdx, pos: IPos) -> Grid {
        if self.space == Space::Metric {
            return pos.0;
        }
        let place = self.locate(pos);
        if self.places.len() <= entity.at() {
            self.places.resize(entity.at() + 1, Place::default());
        }
        self.places[entity.at()] = place;
        self.lowest_m = self.lowest_m.min(depth(&place));
        self.sounded_m = self.sounded_m.min(depth(&place));
        place.grid
    }

    /// Forgets an entity.
    pub(crate) fn remove(&mut self, entity: EntityIdx) {
        self.index.remove(entity);
    }

    /// Brings the index up to what moved, once in each tick.
    pub(crate) fn refresh(&mut self, exec: &impl Executor) {
        self.index.settle_on(exec);
        if self.lowest_m < 0.0 {
            self.sound();
        }
    }

    /// Looks at the depth of some more entities: whoever was lowest may have risen or gone.
    fn sound(&mut self) {
        let next = self.sounded + self.places.len().div_ceil(SOUNDING_TICKS);
        for at in self.sounded..next.min(self.places.len()) {
            if self.index.holds(EntityIdx(at as u32)) {
                self.sounded_m = self.sounded_m.min(depth(&self.places[at]));
            }
        }
        self.sounded = next;
        if next >= self.places.len() {
            self.lowest_m = std::mem::take(&mut self.sounded_m);
            self.sounded = 0;
        }
    }

    /// A probe that hits everything within so many metres of a place.
    ///
    /// In geodetic worlds the index holds the foot of each entity on the ellipsoid. Two feet are
    /// never further apart than what stands above them; below the ellipsoid they are, by the ratio
    /// of the radii at most.
    #[must_use]
    pub(crate) fn sphere(&self, grid: Grid, radius_m: f64, flat: bool) -> Probe {
        match self.space {
            Space::Metric => Probe::sphere(grid, radius_m * METRIC_STEPS + 2.0, flat),
            Space::Geodetic => {
                let depth = -self.lowest_m;
                let stretch =
                    if depth > DEPTH_MAX_M { f64::INFINITY } else { 6.3e6 / (6.3e6 - depth) };
                Probe::sphere(grid, radius_m * stretch * ECEF_STEPS + 4.0, false)
            }
        }
    }

    /// Calls `found` with what the probe hits and perhaps a little more.
    #[inline]
    pub(crate) fn probe(&self, probe: &Probe, kinds: u64, found: impl FnMut(EntityIdx, Grid)) {
        self.index.probe(probe, kinds, found);
    }
}

/// Altitude in metres where it is below the ellipsoid, in geodetic worlds.
fn depth(place: &Place) -> f64 {
    (f64::from(place.pos.0[2]) / 100.0).min(0.0)
}

/// A point of the index: see [`Grid`].
#[must_use]
pub(crate) fn grid(space: Space, pos: IPos) -> Grid {
    match space {
        Space::Metric => pos.0,
        Space::Geodetic => flattened(space, pos).map(to_grid),
    }
}

/// ECEF metres on the index's grid.
#[must_use]
pub(crate) fn to_grid(metres: f64) -> i32 {
    (metres * ECEF_STEPS).round_ties_even() as i32
}
