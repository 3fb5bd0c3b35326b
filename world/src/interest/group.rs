//! Viewers that share a leaf and look equally far round themselves: the dual join.
//!
//! The leaves near enough to matter are found once for all of them and hold until a box grows. Each
//! tick every viewer's masks are sieved, leaf by leaf: `near | (old & far)`, and what changed in a
//! mask has entered or left. Only who enters is looked at as an entity.

use super::lane::Lane;
use super::table::{Table, Trail};
use super::viewer::may_see;
use crate::entity::{Entities, EntityIdx, Traits};
use crate::leaf::{Grid, GridBox, bits};
use crate::session::SessionIdx;
use crate::simd::{self, Boxes, Limit, Ring, Verdict};
use crate::spatial::{Index, LeafIdx};
use starling_protocol::planted::{self, Bug};
use starling_protocol::space::METRIC_STEPS;

/// In so many ticks once, leaves that no longer matter are dropped.
const PRUNE_TICKS: u32 = 16;
/// Viewers for whom masks are asked ahead of their turn.
const AHEAD: usize = 3;
/// Squares beyond this are no longer exact in 64-bit floats.
const SQUARE_MAX: f64 = (1u64 << 52) as f64;

/// How far viewers look, in grid steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scope {
    enter2: f64,
    leave2: f64,
    flat: bool,
}

impl Scope {
    /// `None` when that is so far that distances are not exact.
    pub(super) fn new(radius_m: f64, hysteresis: f64, flat: bool) -> Option<Self> {
        let leave = radius_m * hysteresis;
        let scale = METRIC_STEPS * METRIC_STEPS;
        let leave = match leave {
            leave if planted::is(Bug::FarSeen) => leave * 1.1,
            _ if planted::is(Bug::NoHysteresis) => radius_m,
            leave => leave,
        };
        let (enter2, leave2) = (radius_m * radius_m * scale, leave * leave * scale);
        // Who is near is seen even where one would leave before one enters.
        let leave2 = leave2.max(enter2);
        (leave2 < SQUARE_MAX).then_some(Self { enter2, leave2, flat })
    }

    /// All that anyone in a box may look at.
    fn reach(&self, from: &GridBox) -> GridBox {
        if from.is_empty() {
            return GridBox::EMPTY;
        }
        let mut reach = from.grown(self.leave2.sqrt() as i32 + 2);
        if self.flat {
            (reach.min[2], reach.max[2]) = (i32::MIN, i32::MAX);
        }
        reach
    }

    fn ring(&self, center: Grid) -> Ring {
        let (enter, leave) = (Limit::new(self.enter2), Limit::new(self.leave2));
        Ring { center, enter, leave, flat: self.flat }
    }

    /// Exact: the squares of all that is near fit in the 53 bits of a float.
    fn holds(&self, center: Grid, at: Grid, old: bool) -> bool {
        let away = |axis: usize| f64::from(at[axis]) - f64::from(center[axis]);
        let mut square = away(0) * away(0) + away(1) * away(1);
        if !self.flat {
            square += away(2) * away(2);
        }
        square <= if old { self.leave2 } else { self.enter2 }
    }
}

/// One viewer of a group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) session: SessionIdx,
    /// Round which it looks.
    pub(super) center: EntityIdx,
    /// Its area's filters.
    pub(super) kinds: u64,
    pub(super) team_only: Option<u8>,
    /// Its own team.
    pub(super) team: u8,
    /// It owns its centre, and so does not see it.
    pub(super) owns: bool,
    /// Whom it may see at all may have changed.
    pub(super) recheck: bool,
    at: Grid,
    lane: usize,
}

impl Head {
    pub(super) fn new(
        session: SessionIdx,
        center: EntityIdx,
        (kinds, team_only): (u64, Option<u8>),
        (team, owns): (u8, bool),
    ) -> Self {
        let (recheck, at, lane) = (true, [0; 3], 0);
        Self { session, center, kinds, team_only, team, owns, recheck, at, lane }
    }

    #[inline]
    fn passes(&self, traits: &Traits) -> bool {
        self.team_only.is_none_or(|team| team == traits.team)
            && may_see(self.session, self.team, traits)
    }
}

/// Viewers that share a leaf.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) leaf: LeafIdx,
    pub(super) scope: Scope,
    /// The group after this of the same leaf.
    pub(super) next: Option<u32>,
    pub(super) table: Table,
    pub(super) heads: Vec<Head>,
    reach: GridBox,
    boxes: Boxes,
    /// What changed since this round is not yet looked at.
    pub(super) looked: u32,
}

impl Group {
    /// A group without viewers.
    pub(super) fn new(leaf: LeafIdx, scope: Scope) -> Self {
        Self {
            leaf,
            scope,
            next: None,
            table: Table::default(),
            heads: Vec::new(),
            reach: GridBox::EMPTY,
            boxes: Boxes::default(),
            looked: 0,
        }
    }

    /// Begins anew with the memory of a group that lost its last viewer.
    pub(super) fn begin(&mut self, leaf: LeafIdx, scope: Scope, index: &Index) {
        (self.leaf, self.scope, self.next, self.looked) = (leaf, scope, None, 0);
        self.table.clear();
        self.reach = scope.reach(index.fat(leaf));
        self.table.walk(index, &self.reach);
    }

    /// One more viewer, who sees nothing yet; returns its row.
    pub(super) fn push(&mut self, mut head: Head, index: &Index) -> usize {
        head.find(index, self.leaf);
        self.heads.push(head);
        self.looked = 0;
        self.table.push_row()
    }

    /// The same viewer, whom it may see at all to be looked at anew.
    pub(super) fn replace(&mut self, row: usize, mut head: Head, index: &Index) {
        head.find(index, self.leaf);
        self.heads[row] = head;
        self.looked = 0;
    }

    /// A viewer less; the last one takes its row.
    pub(super) fn swap_remove(&mut self, row: usize) {
        self.heads.swap_remove(row);
        self.table.swap_remove_row(row);
    }

    /// Brings everything up to who changed lanes and which leaves grew. Viewers that are no longer
    /// in this leaf are astray.
    pub(super) fn follow(
        &mut self,
        index: &Index,
        trail: &mut Trail,
        gone: &mut Vec<(SessionIdx, EntityIdx)>,
        astray: &mut Vec<SessionIdx>,
    ) {
        if self.heads.is_empty() {
            return;
        }
        let reach = self.scope.reach(index.fat(self.leaf));
        if self.reach.holds(&reach) {
            self.table.take_in_reshaped(index, &self.reach);
        } else {
            self.table.walk(index, &reach);
        }
        self.reach = reach;
        let heads = &mut self.heads;
        self.table.follow(index, trail, |row, entity| gone.push((heads[row].session, entity)));
        if (index.round() + self.leaf).is_multiple_of(PRUNE_TICKS) {
            self.table.prune(|leaf| index.fat(leaf).touches(&reach));
        }
        for head in heads.iter_mut() {
            if !head.find(index, self.leaf) {
                astray.push(head.session);
            }
        }
    }

    /// Works out what everyone sees.
    pub(super) fn look(&mut self, index: &Index, entities: &Entities, lane: &mut Lane) {
        let still = |leaf: &LeafIdx| !index.changed_since(*leaf, self.looked);
        if self.heads.is_empty() || self.table.list.iter().all(still) {
            return;
        }
        self.looked = index.round();
        self.boxes.fill(self.table.list.iter().map(|leaf| index.bounds(*leaf)));
        let own = self.table.position(self.leaf).expect("a leaf matters to who is in it");
        for row in 0..self.heads.len() {
            self.table.prefetch(row + AHEAD);
            lane.begin();
            if std::mem::take(&mut self.heads[row].recheck) {
                self.recheck(row, index, entities, lane);
            }
            self.sieve(row, own, index, lane);
            while let Some(verdict) = lane.verdicts.pop() {
                self.settle(row, &verdict, index, entities, lane);
            }
            lane.end(self.heads[row].session);
        }
    }

    fn sieve(&self, row: usize, own: usize, index: &Index, lane: &mut Lane) {
        let head = &self.heads[row];
        let (masks, live) = self.table.row(row);
        let row = simd::Row {
            leaves: index.rows(),
            list: &self.table.list,
            boxes: &self.boxes,
            masks,
            live,
            own: (own, u64::from(head.owns) << head.lane),
        };
        simd::sieve(index.simd(), row, &self.scope.ring(head.at), &mut lane.verdicts);
    }

    /// Decides what the sieve could not, and tells what changed.
    fn settle(
        &mut self,
        row: usize,
        verdict: &Verdict,
        index: &Index,
        entities: &Entities,
        lane: &mut Lane,
    ) {
        let head = &self.heads[row];
        let leaf = &index.rows()[self.table.list[verdict.at] as usize];
        let old = verdict.old;
        let within = |i: &usize| self.scope.holds(head.at, leaf.at(*i), old >> i & 1 == 1);
        let mut new = bits(verdict.doubt).filter(within).fold(verdict.new, |new, i| new | 1 << i);
        if head.kinds != u64::MAX {
            new &= leaf.of_kinds(head.kinds);
        }
        for i in bits(new & !old) {
            let entity = EntityIdx(leaf.entities[i]);
            if head.passes(entities.traits(entity)) {
                lane.enters.push(entity);
            } else {
                new &= !(1 << i);
            }
        }
        lane.leaves.extend(bits(old & !new).map(|i| EntityIdx(leaf.entities[i])));
        self.table.set(row, verdict.at, new);
    }

    /// Drops whom a viewer may see no more.
    fn recheck(&mut self, row: usize, index: &Index, entities: &Entities, lane: &mut Lane) {
        let head = self.heads[row];
        for at in 0..self.table.list.len() {
            let leaf = &index.rows()[self.table.list[at] as usize];
            let old = self.table.mask(row, at);
            let kept = old & if head.kinds == u64::MAX { old } else { leaf.of_kinds(head.kinds) };
            let may = |i: &usize| head.passes(entities.traits(EntityIdx(leaf.entities[*i])));
            let new = bits(kept).filter(may).fold(0, |new, i| new | 1u64 << i);
            lane.leaves.extend(bits(old & !new).map(|i| EntityIdx(leaf.entities[i])));
            self.table.set(row, at, new);
        }
    }
}

impl Head {
    /// Looks up where it is; `false` when that is not in this leaf.
    fn find(&mut self, index: &Index, leaf: LeafIdx) -> bool {
        let lane = index.lane(self.center).filter(|lane| lane.leaf() == leaf);
        let Some(lane) = lane else { return false };
        self.lane = lane.lane();
        self.at = index.rows()[leaf as usize].at(self.lane);
        true
    }
}
