//! Where each session is seated: with those of its leaf, alone, or apart; and how it changes seats.
//!
//! Whoever changes seats takes along whom it saw, so that the margin still holds for them.

use super::area::{Area, Ready};
use super::group::{Group, Head, Scope};
use super::solo::Solo;
use super::viewer::{Standing, Viewer};
use super::{Interests, Row};
use crate::atlas::Atlas;
use crate::entity::{Entities, EntityIdx, NOBODY};
use crate::session::{SessionIdx, Sessions};
use crate::spatial::{Index, LeafIdx};
use starling_protocol::space::Space;

/// Groups are put in order when one in so many began since.
const UNSORTED_PARTS: usize = 4;

/// Where a session is seated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Seat {
    /// It looks at nothing.
    #[default]
    None,
    /// With others that look equally far round themselves in the same leaf.
    Group { group: u32, row: u32 },
    /// Alone.
    Solo(u32),
    /// Alone, and without masks.
    Plain(u32),
}

/// A viewer whose areas depend on ranks or on one entity: the nearest few, and whom it follows.
#[derive(Debug, Default)]
pub(super) struct Plain {
    /// `None` for one that is out of use.
    pub(super) session: Option<SessionIdx>,
    pub(super) areas: Vec<(u8, Area)>,
    pub(super) standing: Standing,
    /// What it sees, in order.
    pub(super) seen: Vec<EntityIdx>,
}

/// Which seat a session should have.
enum Fit {
    None,
    Group { head: Head, leaf: LeafIdx, scope: Scope },
    Solo,
    Plain,
}

impl Interests {
    /// Seats everyone anew who changed leaf, areas or hands.
    pub(super) fn seat_all(&mut self, sessions: &Sessions, atlas: &Atlas, entities: &Entities) {
        for lane in &mut self.lanes {
            self.touched.append(&mut lane.astray);
        }
        let changed = entities.spawned().iter().map(|entity| *entities.traits(*entity));
        let hands = changed.flat_map(|traits| [traits.owner, traits.avatar_of]);
        self.touched.extend(hands.filter(|session| *session != NOBODY).map(SessionIdx));
        if std::mem::replace(&mut self.handovers, entities.handovers()) != entities.handovers() {
            self.check_all();
        }
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        for session in touched.drain(..) {
            self.seat(session, sessions, atlas, entities);
        }
        self.touched = touched;
        if self.unsorted * UNSORTED_PARTS > self.groups.len() {
            self.sort_groups(atlas.index());
        }
    }

    /// Puts groups in the order of the curve, so that those that look at the same leaves look one
    /// after another.
    fn sort_groups(&mut self, index: &Index) {
        let key = |group: &Group| (group.heads.is_empty(), index.begins(group.leaf), group.leaf);
        self.groups.sort_unstable_by_key(key);
        self.unsorted = 0;
        self.free_groups.clear();
        self.group_of.fill(None);
        for (number, group) in (0..).zip(&mut self.groups) {
            if group.heads.is_empty() {
                self.free_groups.push(number);
                continue;
            }
            group.next = self.group_of[group.leaf as usize].replace(number);
            for (row, head) in (0..).zip(&group.heads) {
                self.rows[head.session.at()].seat = Seat::Group { group: number, row };
            }
        }
    }

    /// Entities changed hands: viewers may look round another, and may see others.
    fn check_all(&mut self) {
        let looking = self.rows.iter().enumerate().filter(|(_, row)| row.looks);
        self.touched.extend(looking.map(|(at, _)| SessionIdx(at as u32)));
    }

    /// Gives a session the seat that fits it, and takes along whom it saw.
    fn seat(
        &mut self,
        session: SessionIdx,
        sessions: &Sessions,
        atlas: &Atlas,
        entities: &Entities,
    ) {
        let index = atlas.index();
        let Some(row) = self.rows.get(session.at()) else { return };
        let found = sessions.get(session).filter(|_| row.looks);
        let mut standing = Standing::default();
        let viewer = found.map(|found| Viewer::new(session, found, entities, &mut standing));
        let fit = viewer.map_or(Fit::None, |viewer| self.fit(row, &viewer, index, entities));
        if self.stays(session, &fit, index) {
            return;
        }
        self.take_along(session, index);
        self.leave_seat(session);
        let seat = match (fit, viewer) {
            (Fit::Group { head, leaf, scope }, _) => self.join_group(head, leaf, scope, index),
            (Fit::Solo, Some(viewer)) => self.take_solo(&viewer, atlas),
            (Fit::Plain, Some(viewer)) => self.take_plain(viewer.session),
            _ => Seat::None,
        };
        self.rows[session.at()].seat = seat;
        let seen = std::mem::take(&mut self.seen);
        for &entity in &seen {
            if !self.mark(session, index, entity) {
                self.gone.push((session, entity));
            }
        }
        self.seen = seen;
    }

    fn fit(&self, row: &Row, viewer: &Viewer<'_>, index: &Index, entities: &Entities) -> Fit {
        let ranked = |(_, area): &(u8, Area)| {
            matches!(area.shape, Ready::Follow { .. } | Ready::Nearest { .. })
        };
        #[cfg(test)]
        if self.plain_only {
            return Fit::Plain;
        }
        if row.areas.iter().any(ranked) {
            return Fit::Plain;
        }
        match row.areas.as_slice() {
            [] => Fit::None,
            [(_, area)] if self.space == Space::Metric => {
                self.fit_one(area, viewer, index, entities)
            }
            _ => Fit::Solo,
        }
    }

    fn fit_one(&self, area: &Area, viewer: &Viewer<'_>, index: &Index, entities: &Entities) -> Fit {
        let Ready::Around { entity, radius_m, hysteresis, flat } = area.shape else {
            return Fit::Solo;
        };
        let Some(scope) = Scope::new(radius_m, hysteresis, flat) else { return Fit::Solo };
        let Some(center) = viewer.center(entity) else { return Fit::None };
        let Some(lane) = index.lane(center) else { return Fit::None };
        let filters = (area.kinds, area.team);
        let owns = entities.traits(center).owner == viewer.session.0;
        let head = Head::new(viewer.session, center, filters, (viewer.team, owns));
        Fit::Group { head, leaf: lane.leaf(), scope }
    }

    /// Is the session seated so already? Then it is only looked at anew whom it may see.
    fn stays(&mut self, session: SessionIdx, fit: &Fit, index: &Index) -> bool {
        let seat = self.rows[session.at()].seat;
        match (fit, seat) {
            (Fit::None, Seat::None) => true,
            (Fit::Group { head, leaf, scope }, Seat::Group { group, row }) => {
                let group = &mut self.groups[group as usize];
                let stays = group.leaf == *leaf && group.scope == *scope;
                if stays {
                    group.replace(row as usize, *head, index);
                }
                stays
            }
            (Fit::Solo, Seat::Solo(at)) => {
                let solo = &self.solos[at as usize];
                solo.areas == self.rows[session.at()].areas
            }
            (Fit::Plain, Seat::Plain(at)) => {
                let row = &self.rows[session.at()];
                let plain = &mut self.plains[at as usize];
                plain.areas.clear();
                plain.areas.extend_from_slice(&row.areas);
                true
            }
            _ => false,
        }
    }

    /// Puts into `seen` whom a session sees, and who went where it did not follow.
    fn take_along(&mut self, session: SessionIdx, index: &Index) {
        self.seen.clear();
        match self.rows[session.at()].seat {
            Seat::None => {}
            Seat::Group { group, row } => {
                self.groups[group as usize].table.seen(row as usize, index, &mut self.seen);
            }
            Seat::Solo(at) => self.solos[at as usize].table.seen(0, index, &mut self.seen),
            Seat::Plain(at) => self.seen.extend_from_slice(&self.plains[at as usize].seen),
        }
        for lane in &mut self.lanes {
            lane.gone.retain(|(other, entity)| {
                let strayed = *other == session && index.lane(*entity).is_some();
                self.seen.extend(strayed.then_some(*entity));
                !strayed
            });
        }
        self.seen.sort_unstable();
    }

    /// Frees a session's seat.
    pub(super) fn leave_seat(&mut self, session: SessionIdx) {
        match std::mem::take(&mut self.rows[session.at()].seat) {
            Seat::None => {}
            Seat::Group { group, row } => self.leave_group(group, row),
            Seat::Solo(at) => {
                self.solos[at as usize].end();
                self.free_solos.push(at);
            }
            Seat::Plain(at) => {
                self.plains[at as usize].session = None;
                self.plains[at as usize].seen.clear();
                self.free_plains.push(at);
            }
        }
    }

    fn leave_group(&mut self, number: u32, row: u32) {
        let group = &mut self.groups[number as usize];
        group.swap_remove(row as usize);
        if let Some(moved) = group.heads.get(row as usize) {
            self.rows[moved.session.at()].seat = Seat::Group { group: number, row };
        }
        if !group.heads.is_empty() {
            return;
        }
        let (leaf, next) = (group.leaf, group.next.take());
        let first = &mut self.group_of[leaf as usize];
        if *first == Some(number) {
            *first = next;
        } else {
            let mut before = first.expect("a group is in its leaf's list");
            while let Some(after) = self.groups[before as usize].next.filter(|n| *n != number) {
                before = after;
            }
            self.groups[before as usize].next = next;
        }
        self.free_groups.push(number);
    }

    fn join_group(&mut self, head: Head, leaf: LeafIdx, scope: Scope, index: &Index) -> Seat {
        if self.group_of.len() < index.rows().len() {
            self.group_of.resize(index.rows().len(), None);
        }
        let mut at = self.group_of[leaf as usize];
        while let Some(number) = at.filter(|n| self.groups[*n as usize].scope != scope) {
            at = self.groups[number as usize].next;
        }
        let number = at.unwrap_or_else(|| self.take_group(leaf, scope, index));
        let row = self.groups[number as usize].push(head, index) as u32;
        Seat::Group { group: number, row }
    }

    fn take_group(&mut self, leaf: LeafIdx, scope: Scope, index: &Index) -> u32 {
        let number = self.free_groups.pop().unwrap_or_else(|| {
            self.groups.push(Group::new(leaf, scope));
            self.groups.len() as u32 - 1
        });
        let group = &mut self.groups[number as usize];
        group.begin(leaf, scope, index);
        self.unsorted += 1;
        group.next = self.group_of[leaf as usize].replace(number);
        number
    }

    fn take_solo(&mut self, viewer: &Viewer<'_>, atlas: &Atlas) -> Seat {
        let at = self.free_solos.pop().unwrap_or_else(|| {
            self.solos.push(Solo::new());
            self.solos.len() as u32 - 1
        });
        let areas = &self.rows[viewer.session.at()].areas;
        self.solos[at as usize].begin(viewer, areas, atlas);
        Seat::Solo(at)
    }

    fn take_plain(&mut self, session: SessionIdx) -> Seat {
        let at = self.free_plains.pop().unwrap_or_else(|| {
            self.plains.push(Plain::default());
            self.plains.len() as u32 - 1
        });
        let plain = &mut self.plains[at as usize];
        plain.session = Some(session);
        plain.standing = Standing::default();
        plain.areas.clear();
        plain.areas.extend_from_slice(&self.rows[session.at()].areas);
        Seat::Plain(at)
    }

    /// A session sees an entity that it saw in another seat; `false` when that is too far away.
    fn mark(&mut self, session: SessionIdx, index: &Index, entity: EntityIdx) -> bool {
        match self.rows[session.at()].seat {
            Seat::None => false,
            Seat::Group { group, row } => {
                self.groups[group as usize].table.mark(row as usize, index, entity, true)
            }
            Seat::Solo(at) => self.solos[at as usize].table.mark(0, index, entity, true),
            Seat::Plain(at) => {
                self.plains[at as usize].seen.push(entity);
                true
            }
        }
    }

    /// Does a session see an entity, as of the last [`Interests::look`]?
    #[must_use]
    pub(crate) fn sees(&self, session: SessionIdx, index: &Index, entity: EntityIdx) -> bool {
        match self.rows.get(session.at()).map_or(Seat::None, |row| row.seat) {
            Seat::None => false,
            Seat::Group { group, row } => {
                self.groups[group as usize].table.sees(row as usize, index, entity)
            }
            Seat::Solo(at) => self.solos[at as usize].table.sees(0, index, entity),
            Seat::Plain(at) => self.plains[at as usize].seen.binary_search(&entity).is_ok(),
        }
    }

    /// There was no room for an entity that entered: it enters again in the next tick.
    pub(crate) fn turn_away(&mut self, session: SessionIdx, index: &Index, entity: EntityIdx) {
        match self.rows[session.at()].seat {
            Seat::None => {}
            Seat::Group { group, row } => {
                let group = &mut self.groups[group as usize];
                group.looked = 0;
                group.table.mark(row as usize, index, entity, false);
            }
            Seat::Solo(at) => {
                let solo = &mut self.solos[at as usize];
                solo.looked = 0;
                solo.table.mark(0, index, entity, false);
            }
            Seat::Plain(at) => {
                let seen = &mut self.plains[at as usize].seen;
                seen.retain(|other| *other != entity);
            }
        }
    }
}
