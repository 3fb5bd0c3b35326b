//! A viewer that looks alone: fixed areas, several at once, and everything on the globe.
//!
//! It keeps masks like a group, and looks only at leaves that changed, or at all of its leaves when
//! an area moved.

use super::area::{Area, Ready};
use super::lane::Lane;
use super::region::{Region, Side};
use super::table::Table;
use super::viewer::{Standing, Viewer};
use crate::atlas::Atlas;
use crate::entity::{Entities, EntityIdx};
use crate::leaf::{Grid, GridBox, Leaf, Probe, bits};
use crate::session::SessionIdx;
use starling_protocol::space::{IPos, METRIC_STEPS, Space};

/// In so many ticks once, leaves that no longer matter are dropped.
const PRUNE_TICKS: u32 = 16;
/// By which part of its width an area may move before its leaves are looked for anew.
const SLACK: u32 = 8;

/// Where one area is now.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    region: Region,
    probe: Probe,
    kinds: u64,
    team: Option<u8>,
}

/// A viewer that looks alone.
#[derive(Debug)]
pub(super) struct Solo {
    /// `None` for one that is out of use.
    pub(super) session: Option<SessionIdx>,
    pub(super) areas: Vec<(u8, Area)>,
    pub(super) standing: Standing,
    pub(super) table: Table,
    /// For each area: what its leaves were looked for in, and where its centre was.
    reaches: Vec<(GridBox, Option<IPos>)>,
    /// What changed since this round is not yet looked at.
    pub(super) looked: u32,
    /// An area moved since.
    moved: bool,
}

impl Solo {
    /// A viewer that sees nothing yet.
    pub(super) fn new() -> Self {
        Self {
            session: None,
            areas: Vec::new(),
            standing: Standing::default(),
            table: Table::default(),
            reaches: Vec::new(),
            looked: 0,
            moved: false,
        }
    }

    /// Begins for a session with these areas.
    pub(super) fn begin(&mut self, viewer: &Viewer<'_>, areas: &[(u8, Area)], atlas: &Atlas) {
        self.session = Some(viewer.session);
        self.areas.clear();
        self.areas.extend_from_slice(areas);
        self.table.clear();
        self.table.push_row();
        self.reaches.clear();
        self.reaches.resize(areas.len(), (GridBox::EMPTY, None));
        self.looked = 0;
        self.aim(viewer, atlas, &mut Vec::new());
    }

    /// Ends for its session.
    pub(super) fn end(&mut self) {
        self.session = None;
        self.table.clear();
    }

    /// Brings the masks up to where its areas are, who changed lanes and which leaves grew.
    pub(super) fn follow(&mut self, viewer: &Viewer<'_>, atlas: &Atlas, lane: &mut Lane) {
        let (session, index) = (viewer.session, atlas.index());
        self.moved |= self.aim(viewer, atlas, &mut lane.spots);
        for (reach, _) in &self.reaches {
            self.table.take_in_reshaped(index, reach);
        }
        let gone = &mut lane.gone;
        self.table.follow(index, &mut lane.trail, |_, entity| gone.push((session, entity)));
        if (index.round() + session.0).is_multiple_of(PRUNE_TICKS) {
            let near = |leaf| self.reaches.iter().any(|(reach, _)| index.fat(leaf).touches(reach));
            self.table.prune(near);
        }
    }

    /// Works out where its areas are and looks for their leaves where they went beyond those known;
    /// `true` when one moved.
    fn aim(&mut self, viewer: &Viewer<'_>, atlas: &Atlas, spots: &mut Vec<Spot>) -> bool {
        spots.clear();
        let mut moved = false;
        for ((_, area), (reach, was)) in self.areas.iter().zip(&mut self.reaches) {
            let (region, grid) = match &area.shape {
                Ready::Around { entity, radius_m, hysteresis, flat } => {
                    let center = viewer.center(*entity);
                    let place = center.map(|center| atlas.place(center));
                    // On the globe who climbs moves, and its place in the index does not.
                    moved |= *was != place.map(|place| place.pos);
                    *was = place.map(|place| place.pos);
                    let Some(place) = place else { continue };
                    (Region::sphere(place.point, *radius_m, *hysteresis, *flat), place.grid)
                }
                Ready::Fixed { region, grid } => (region.clone(), *grid),
                _ => continue,
            };
            let probe = region.probe(atlas, grid);
            let bounds = probe.bounds();
            if !reach.holds(&bounds) {
                let side = bounds.sides().into_iter().min().unwrap_or(0);
                *reach = bounds.grown((side / SLACK) as i32);
                self.table.walk(atlas.index(), reach);
                moved = true;
            }
            spots.push(Spot { region, probe, kinds: area.kinds, team: area.team });
        }
        moved
    }

    /// Works out what it sees.
    pub(super) fn look(
        &mut self,
        viewer: &Viewer<'_>,
        atlas: &Atlas,
        entities: &Entities,
        lane: &mut Lane,
    ) {
        let index = atlas.index();
        let mut spots = std::mem::take(&mut lane.spots);
        let moved = self.aim(viewer, atlas, &mut spots) | std::mem::take(&mut self.moved);
        let all = moved || !viewer.stands || self.looked == 0;
        if all || index.stirred_since(self.looked) {
            lane.begin();
            for at in 0..self.table.list.len() {
                if all || index.changed_since(self.table.list[at], self.looked) {
                    self.look_at(at, &spots, viewer, atlas, entities, lane);
                }
            }
            self.looked = index.round();
            lane.end(viewer.session);
        }
        lane.spots = spots;
    }

    fn look_at(
        &mut self,
        at: usize,
        spots: &[Spot],
        viewer: &Viewer<'_>,
        atlas: &Atlas,
        entities: &Entities,
        lane: &mut Lane,
    ) {
        let leaf = &atlas.index().rows()[self.table.list[at] as usize];
        let old = self.table.mask(0, at);
        let (mut near, mut far) = (0, 0);
        for spot in spots {
            let (inside, margin) = spot.sides(leaf, atlas, entities);
            near |= inside;
            far |= inside | margin;
        }
        let mut new = near | old & far;
        let may = |i: &usize| viewer.may_see(entities.traits(EntityIdx(leaf.entities[*i])));
        let doubtful = if viewer.stands { new & !old } else { new };
        for i in bits(doubtful).filter(|i| !may(i)) {
            new &= !(1 << i);
        }
        lane.enters.extend(bits(new & !old).map(|i| EntityIdx(leaf.entities[i])));
        lane.leaves.extend(bits(old & !new).map(|i| EntityIdx(leaf.entities[i])));
        self.table.set(0, at, new);
    }
}

impl Spot {
    /// Who of a leaf passes the filters and is inside, and who in the margin.
    fn sides(&self, leaf: &Leaf, atlas: &Atlas, entities: &Entities) -> (u64, u64) {
        let mut hits = leaf.mask(atlas.index().simd(), &self.probe);
        if self.kinds != u64::MAX {
            hits &= leaf.of_kinds(self.kinds);
        }
        let space = atlas.space();
        match (space, &self.region) {
            // In metric worlds the grid is exact, so that nothing but the leaf is looked at.
            (Space::Metric, Region::Sphere { center, enter2, leave2, flat: false }) => {
                let [x, y, z] = center.map(|c| c * METRIC_STEPS);
                let scale = METRIC_STEPS * METRIC_STEPS;
                let (enter2, leave2) = (enter2 * scale, leave2 * scale);
                self.split(leaf, hits, entities, |_, at| {
                    let away = [f64::from(at[0]) - x, f64::from(at[1]) - y, f64::from(at[2]) - z];
                    let d2 = away[0] * away[0] + away[1] * away[1] + away[2] * away[2];
                    Side::of(d2 <= enter2, d2 > leave2)
                })
            }
            _ => self.split(leaf, hits, entities, |entity, _| {
                self.region.side(space, &atlas.place(entity))
            }),
        }
    }

    #[inline]
    fn split(
        &self,
        leaf: &Leaf,
        hits: u64,
        entities: &Entities,
        side: impl Fn(EntityIdx, Grid) -> Side,
    ) -> (u64, u64) {
        let (mut inside, mut margin) = (0, 0);
        for i in bits(hits) {
            let entity = EntityIdx(leaf.entities[i]);
            if self.team.is_some_and(|team| team != entities.traits(entity).team) {
                continue;
            }
            match side(entity, leaf.at(i)) {
                Side::Inside => inside |= 1 << i,
                Side::Margin => margin |= 1 << i,
                Side::Outside => {}
            }
        }
        (inside, margin)
    }
}
