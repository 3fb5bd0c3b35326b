//! What one session sees now: the union of its areas, filtered by what it may see.

use super::area::{Area, Ready};
use super::marks::{Mark, Marks};
use super::region::{Region, Side};
use super::viewer::Viewer;
use crate::atlas::{Atlas, Place};
use crate::entity::{Entities, EntityIdx, Traits};
use crate::leaf::{Grid, Probe};
use crate::space::{Cartesian, distance2, flat_distance2};
use starling_protocol::space::{METRIC_STEPS, Space};

/// Farther than any two places of either space.
const EVERYWHERE_M: f64 = 4e7;

/// What one session sees, worked out for one session after another.
#[derive(Debug, Default)]
pub(super) struct Sight {
    marks: Marks,
    /// What becomes visible, in order.
    pub(super) enters: Vec<EntityIdx>,
    /// What was visible and no longer is, in order.
    pub(super) leaves: Vec<EntityIdx>,
    /// How many of what was visible still is.
    kept: usize,
    ranked: Vec<(f64, EntityIdx)>,
}

impl Sight {
    /// Works out what a session sees. `seen` is what it saw, in order, and then what it sees.
    pub(super) fn look(
        &mut self,
        viewer: &Viewer<'_>,
        areas: &mut [(u8, Area)],
        seen: &mut Vec<EntityIdx>,
        atlas: &Atlas,
        entities: &Entities,
    ) {
        self.enters.clear();
        self.leaves.clear();
        self.kept = 0;
        self.marks.begin(entities.rows());
        seen.iter().for_each(|entity| self.marks.was_visible(*entity));
        for (_, area) in areas {
            self.look_into(viewer, area, atlas, entities);
        }
        self.enters.sort_unstable();
        if self.kept < seen.len() {
            let gone = |entity: &&EntityIdx| self.marks.of(**entity) != Mark::Seen;
            self.leaves.extend(seen.iter().filter(gone));
            seen.retain(|entity| self.marks.of(*entity) == Mark::Seen);
        }
        if !self.enters.is_empty() {
            seen.extend_from_slice(&self.enters);
            seen.sort_unstable();
        }
    }

    fn look_into(
        &mut self,
        viewer: &Viewer<'_>,
        area: &mut Area,
        atlas: &Atlas,
        entities: &Entities,
    ) {
        let filter = Filter::new(viewer, area.kinds, area.team);
        match &mut area.shape {
            Ready::Around { entity, radius_m, hysteresis, flat } => {
                let Some(center) = viewer.center(*entity) else { return };
                let place = atlas.place(center);
                let region = Region::sphere(place.point, *radius_m, *hysteresis, *flat);
                self.look_round(&region, place.grid, &filter, atlas, entities);
            }
            Ready::Fixed { region, grid } => {
                self.look_round(region, *grid, &filter, atlas, entities);
            }
            Ready::Follow { target } => {
                let passes = |e: &EntityIdx| filter.passes(entities.traits(*e));
                if let Some(entity) = entities.target(target).filter(passes) {
                    self.found(entity);
                }
            }
            Ready::Nearest { count, center, flat, reach_m } => {
                let own = if center.is_some() { None } else { viewer.center(None) };
                let own_place = || own.map(|own| atlas.place(own));
                let from = center.map(|pos| atlas.locate(pos)).or_else(own_place);
                let Some(from) = from else { return };
                let search = Search { from, own, flat: *flat, want: *count + *count / 4 };
                *reach_m = self.rank(&search, *reach_m, &filter, atlas, entities);
                self.take_nearest(*count);
            }
        }
    }

    fn found(&mut self, entity: EntityIdx) {
        let mark = self.marks.of(entity);
        if mark != Mark::Seen {
            self.marks.see(entity);
            self.note(entity, mark);
        }
    }

    #[inline]
    fn note(&mut self, entity: EntityIdx, mark: Mark) {
        if mark == Mark::Old {
            self.kept += 1;
        } else {
            self.enters.push(entity);
        }
    }

    fn look_round(
        &mut self,
        region: &Region,
        grid: Grid,
        filter: &Filter<'_>,
        atlas: &Atlas,
        entities: &Entities,
    ) {
        let space = atlas.space();
        let probe = region.probe(atlas, grid);
        match (space, region) {
            // In metric worlds the grid is exact, so that nothing but the leaf is looked at.
            (Space::Metric, Region::Sphere { center, enter2, leave2, flat: false }) => {
                let [x, y, z] = center.map(|c| c * METRIC_STEPS);
                let scale = METRIC_STEPS * METRIC_STEPS;
                let (enter2, leave2) = (enter2 * scale, leave2 * scale);
                let side = |_: EntityIdx, at: Grid| {
                    let [dx, dy, dz] =
                        [f64::from(at[0]) - x, f64::from(at[1]) - y, f64::from(at[2]) - z];
                    let d2 = dx * dx + dy * dy + dz * dz;
                    Side::of(d2 <= enter2, d2 > leave2)
                };
                self.look_by(&probe, side, filter, atlas, entities);
            }
            _ => {
                let side = |entity, _| region.side(space, &atlas.place(entity));
                self.look_by(&probe, side, filter, atlas, entities);
            }
        }
    }

    #[inline]
    fn look_by(
        &mut self,
        probe: &Probe,
        side: impl Fn(EntityIdx, Grid) -> Side,
        filter: &Filter<'_>,
        atlas: &Atlas,
        entities: &Entities,
    ) {
        atlas.probe(probe, filter.kinds, |entity, at| {
            let mark = self.marks.of(entity);
            let old = mark == Mark::Old;
            let sees = match side(entity, at) {
                Side::Inside => mark != Mark::Seen,
                Side::Margin => old,
                Side::Outside => false,
            };
            let passes = |filter: &Filter<'_>| filter.passes(entities.traits(entity));
            if sees && ((old && filter.stands) || passes(filter)) {
                self.marks.see(entity);
                self.note(entity, mark);
            }
        });
    }

    /// Ranks the nearest few and returns how far the next search should begin with.
    fn rank(
        &mut self,
        search: &Search,
        reach_m: f64,
        filter: &Filter<'_>,
        atlas: &Atlas,
        entities: &Entities,
    ) -> f64 {
        let mut reach = reach_m;
        loop {
            self.collect(search, reach, filter, atlas, entities);
            if self.ranked.len() >= search.want {
                break;
            }
            if reach >= EVERYWHERE_M {
                return reach;
            }
            reach *= 2.0;
        }
        self.ranked.truncate(search.want);
        self.ranked.last().map_or(reach, |(d2, _)| d2.sqrt() * 1.2 + 1.0)
    }

    fn collect(
        &mut self,
        search: &Search,
        reach: f64,
        filter: &Filter<'_>,
        atlas: &Atlas,
        entities: &Entities,
    ) {
        let ranked = &mut self.ranked;
        ranked.clear();
        let probe = atlas.sphere(search.from.grid, reach, search.flat);
        let limit = if reach >= EVERYWHERE_M { f64::INFINITY } else { reach * reach };
        atlas.probe(&probe, filter.kinds, |entity, _| {
            let d2 = search.distance2(atlas.place(entity).point);
            if d2 <= limit && search.own != Some(entity) && filter.passes(entities.traits(entity)) {
                ranked.push((d2, entity));
            }
        });
        let order =
            |a: &(f64, EntityIdx), b: &(f64, EntityIdx)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        if ranked.len() > search.want {
            ranked.select_nth_unstable_by(search.want, order);
            ranked.truncate(search.want);
        }
        ranked.sort_unstable_by(order);
    }

    fn take_nearest(&mut self, count: usize) {
        let ranked = std::mem::take(&mut self.ranked);
        for (rank, (_, entity)) in ranked.iter().enumerate() {
            if rank < count || self.marks.of(*entity) == Mark::Old {
                self.found(*entity);
            }
        }
        self.ranked = ranked;
    }
}

/// Who passes.
struct Filter<'a> {
    viewer: &'a Viewer<'a>,
    kinds: u64,
    team: Option<u8>,
    /// Whoever was visible passes: this area lets everyone through, and nobody changed hands.
    stands: bool,
}

impl<'a> Filter<'a> {
    fn new(viewer: &'a Viewer<'a>, kinds: u64, team: Option<u8>) -> Self {
        let stands = kinds == u64::MAX && team.is_none() && viewer.stands;
        Self { viewer, kinds, team, stands }
    }
}

impl Filter<'_> {
    #[inline]
    fn passes(&self, traits: &Traits) -> bool {
        self.kinds >> (traits.kind.0 & 63) & 1 == 1
            && self.team.is_none_or(|team| team == traits.team)
            && self.viewer.may_see(traits)
    }
}

/// A search for the nearest few.
struct Search {
    from: Place,
    own: Option<EntityIdx>,
    flat: bool,
    want: usize,
}

impl Search {
    fn distance2(&self, point: Cartesian) -> f64 {
        if self.flat {
            flat_distance2(self.from.point, point)
        } else {
            distance2(self.from.point, point)
        }
    }
}
