//! The rule of tracks: when a sample makes a new entry, and which.

use super::ring::RingRows;
use crate::entity::{Accepted, Entities, EntityIdx};
use starling_protocol::motion::{
    Course, FixState, Knot, aim, aim_spin, orientation_holds, snap_fix, spin_between,
};
use starling_protocol::sample::Orientation;
use starling_protocol::space::{IPos, Space};
use starling_protocol::units::{Tick, TickRate};

/// What is the same for all tracks of a world.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    pub(super) space: Space,
    pub(super) rate: TickRate,
    /// Ticks for which a line is followed without a fresh sample.
    pub(super) follow_ticks: u32,
}

/// What an entity's last sample said, and the tick for which it was taken.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sampled {
    pub(super) label: Tick,
    pub(super) orientation: Orientation,
    pub(super) course: Course,
}

/// Tracks of entities that lie side by side from row `first` on.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    pub(super) first: usize,
    pub(super) rule: Rule,
    pub(super) rings: RowsRings<'a>,
    pub(super) sampled: &'a mut [Sampled],
}

/// Their entries.
#[derive(Debug)]
pub(super) enum RowsRings<'a> {
    Knots(RingRows<'a, Knot>),
    Fixes(RingRows<'a, FixState>),
}

impl Rows<'_> {
    /// Is this entity among them?
    #[inline]
    pub(super) fn has(&self, entity: EntityIdx) -> bool {
        entity.at().wrapping_sub(self.first) < self.sampled.len()
    }

    /// Forgets the entries of one.
    pub(super) fn clear(&mut self, entity: EntityIdx) {
        match &mut self.rings {
            RowsRings::Knots(rings) => rings.clear(entity.at() - self.first),
            RowsRings::Fixes(rings) => rings.clear(entity.at() - self.first),
        }
    }

    /// Takes in a position that was sampled for the tick `label`. Returns whether it made a new entry.
    pub(super) fn sample(
        &mut self,
        entity: EntityIdx,
        entities: &Entities,
        label: Tick,
        now: Tick,
    ) -> bool {
        self.note_velocity(entity, entities.accepted(entity), label);
        self.follow(entity, entities, now)
    }

    /// The velocity that the sample names, else the difference to the sample before. Who says twice
    /// where it is stands there, whatever velocity it names: it may fall silent now.
    fn note_velocity(&mut self, entity: EntityIdx, accepted: &Accepted, label: Tick) {
        let last = &mut self.sampled[entity.at() - self.first];
        let (from, position) = (last.course, accepted.position);
        let apart =
            label.since(last.label).filter(|t| (1..=self.rule.follow_ticks.max(1)).contains(t));
        let stands = apart.is_some() && from.position == position;
        let velocity = match (accepted.velocity, apart) {
            _ if stands => [0; 3],
            (Some(named), _) => named,
            (None, Some(ticks)) => difference(from.position, position, ticks, self.rule.rate),
            (None, None) if label == last.label => from.velocity,
            (None, None) => [0; 3],
        };
        let change = match apart {
            Some(ticks) => change(from.velocity, velocity, ticks),
            None if label == last.label => from.change,
            None => [0; 3],
        };
        let orientation = accepted.orientation;
        let spin = match apart {
            Some(ticks) => spin_between(last.orientation, orientation, ticks),
            None if label == last.label => from.spin,
            None => [0; 3],
        };
        let course = Course { position, velocity, change, spin };
        *last = Sampled { label, orientation, course };
    }

    /// Makes a new entry of what was accepted, if one is due.
    pub(super) fn follow(&mut self, entity: EntityIdx, entities: &Entities, now: Tick) -> bool {
        let accepted = entities.accepted(entity);
        let kind = entities.schema().kind(entities.kind(entity));
        let turns = kind.map(|kind| kind.orientation).unwrap_or_default();
        let (row, orientation) = (entity.at() - self.first, accepted.orientation.fit(turns));
        match &mut self.rings {
            RowsRings::Knots(rings) => {
                let mut course = self.sampled[row].course;
                course.position = accepted.position;
                add_knot(rings, row, &course, orientation, now, self.rule.rate)
            }
            RowsRings::Fixes(rings) => {
                add_fix(rings, row, self.rule.space, accepted, orientation, now)
            }
        }
    }
}

/// Canonical steps per second between two samples so many ticks apart.
fn difference(from: IPos, to: IPos, ticks: u32, rate: TickRate) -> [i32; 3] {
    [0, 1, 2].map(|axis: usize| {
        let steps = i64::from(to.0[axis]) - i64::from(from.0[axis]);
        let per_second = steps * i64::from(rate.hz()) / i64::from(ticks);
        per_second.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
    })
}

/// By how much a velocity changed in each of so many ticks.
fn change(from: [i32; 3], to: [i32; 3], ticks: u32) -> [i32; 3] {
    let change = [0, 1, 2].map(|axis: usize| to[axis].saturating_sub(from[axis]));
    // Nearly always one; a division takes as long as all else here.
    if ticks == 1 { change } else { change.map(|axis| axis / ticks as i32) }
}

/// A turn alone leaves the line as it is, and a new line leaves the orientation that still holds.
fn add_knot(
    rings: &mut RingRows<'_, Knot>,
    row: usize,
    course: &Course,
    orientation: Orientation,
    now: Tick,
    rate: TickRate,
) -> bool {
    let ring = rings.of(row);
    let Some(newest) = ring.newest().copied() else {
        let nothing = Knot { tick: now, orientation, ..Knot::default() };
        rings.push(row, aim(&nothing, now, course, rate));
        return true;
    };
    let follows = |knot: &Knot| {
        // Who stands may fall silent: its line must not go on until it is held.
        let goes_on = course.is_still() && !knot.is_still();
        !goes_on && knot.holds(now, course.position)
    };
    let faces = |knot: &Knot| {
        let spins_on = course.spin == [0; 3] && knot.spin != [0; 3];
        !spins_on && orientation_holds(knot.faces(now), orientation)
    };
    if follows(&newest) && faces(&newest) {
        return false;
    }
    // What this tick said before is said anew, from what clients hold.
    let told = if newest.tick == now { ring.before(1).copied() } else { Some(newest) };
    let last = told.unwrap_or(newest);
    let line = match last.tick < now && follows(&last) {
        true => last.turned(now, last.faces(now)),
        false => aim(&last, now, course, rate),
    };
    let mut next = line;
    if !faces(&last) {
        next.orientation = orientation;
        next.spin = aim_spin(&last, &next, course.spin);
    }
    rings.push(row, next);
    true
}

/// A fix at the same place is told once, so that whoever draws the line sees it end.
fn add_fix(
    rings: &mut RingRows<'_, FixState>,
    row: usize,
    space: Space,
    accepted: &Accepted,
    orientation: Orientation,
    now: Tick,
) -> bool {
    let pos = snap_fix(space, accepted.position);
    let next = match rings.of(row).newest() {
        None => FixState::first(now, pos, orientation),
        Some(last) => {
            let still = last.pos == pos && last.prev_pos == pos;
            if still && orientation_holds(last.orientation, orientation) {
                return false;
            }
            if last.tick == now {
                FixState { pos, orientation, ..*last }
            } else {
                last.then(now, pos, orientation)
            }
        }
    };
    rings.push(row, next);
    true
}
