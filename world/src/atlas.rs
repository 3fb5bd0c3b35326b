//! Where everything is: the exact place of each entity, and the index over them.

use crate::config::{Profile, WorldConfig};
use crate::entity::{Entities, EntityIdx};
use crate::leaf::{Grid, Probe};
use crate::space::{Cartesian, cartesian, flattened};
use crate::spatial::{Entry, Index};
use starling_protocol::space::{IPos, METRIC_STEPS, Space};
use starling_protocol::units::{KindId, Tick};

/// Grid steps per metre in geodetic worlds: the Earth fits in 32 bits.
const ECEF_STEPS: f64 = 256.0;
/// Milliseconds between rebuilds of the index in games; fleets rebuild each tick that moves them.
const REBUILD_MS: u64 = 400;
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
    rebuild_ticks: u32,
    rebuilt: Tick,
    places: Vec<Place>,
    index: Index,
    /// Lowest altitude in a geodetic world, in metres; 0 when nothing is below the ellipsoid.
    lowest_m: f64,
    entries: Vec<Entry>,
    moved: bool,
}

impl Atlas {
    /// An empty map of a world of this configuration.
    #[must_use]
    pub(crate) fn new(config: &WorldConfig) -> Self {
        let rebuild_ticks = match config.profile {
            Profile::Fleet => 1,
            _ => (u64::from(config.tick_rate.hz()) * REBUILD_MS / 1000).max(1) as u32,
        };
        Self {
            space: config.space,
            rebuild_ticks,
            rebuilt: Tick(0),
            places: Vec::new(),
            index: Index::new(),
            lowest_m: 0.0,
            entries: Vec::new(),
            moved: false,
        }
    }

    /// The space of the world.
    #[must_use]
    pub(crate) fn space(&self) -> Space {
        self.space
    }

    /// The exact place of an entity.
    #[must_use]
    pub(crate) fn place(&self, entity: EntityIdx) -> &Place {
        &self.places[entity.at()]
    }

    /// The place of a grid point.
    #[must_use]
    pub(crate) fn locate(&self, pos: IPos) -> Place {
        Place { point: cartesian(self.space, pos), pos, grid: grid(self.space, pos) }
    }

    /// Takes in a new entity.
    pub(crate) fn insert(&mut self, entity: EntityIdx, kind: KindId, pos: IPos) {
        if self.places.len() <= entity.at() {
            self.places.resize(entity.at() + 1, Place::default());
        }
        let place = self.settle(entity, pos);
        self.index.insert(entity, kind, place.grid);
    }

    /// Notes that an entity moved.
    pub(crate) fn moved(&mut self, entity: EntityIdx, kind: KindId, pos: IPos) {
        let place = self.settle(entity, pos);
        self.index.moved(entity, kind, place.grid);
    }

    fn settle(&mut self, entity: EntityIdx, pos: IPos) -> Place {
        let place = self.locate(pos);
        self.places[entity.at()] = place;
        self.moved = true;
        if self.space == Space::Geodetic {
            self.lowest_m = self.lowest_m.min(f64::from(pos.0[2]) / 100.0);
        }
        place
    }

    /// Forgets an entity.
    pub(crate) fn remove(&mut self, entity: EntityIdx) {
        self.index.remove(entity);
    }

    /// Sorts the index anew when it is time.
    pub(crate) fn refresh(&mut self, entities: &Entities, now: Tick) {
        let due = now.since(self.rebuilt).is_some_and(|t| t >= self.rebuild_ticks) && self.moved;
        if due || self.index.is_worn() {
            self.rebuild(entities, now);
        }
    }

    fn rebuild(&mut self, entities: &Entities, now: Tick) {
        self.entries.clear();
        self.lowest_m = 0.0;
        for entity in entities.iter() {
            let place = &self.places[entity.at()];
            let curve = match self.space {
                Space::Metric => [place.grid[0], place.grid[1]],
                Space::Geodetic => [place.pos.0[1], place.grid[2]],
            };
            if self.space == Space::Geodetic {
                self.lowest_m = self.lowest_m.min(f64::from(place.pos.0[2]) / 100.0);
            }
            let kind = entities.kind(entity);
            self.entries.push(Entry { entity, kind, at: place.grid, curve });
        }
        self.index.rebuild(&self.entries, self.rebuild_ticks);
        self.rebuilt = now;
        self.moved = false;
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
