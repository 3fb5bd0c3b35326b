//! What clients are told of each entity's movement: one track for all of them.
//!
//! Games: a straight line in integers that both sides follow; a knot breaks it when the accepted
//! position leaves the dead band, or when the entity stops. While no sample comes, the line goes on
//! for a quarter of a second, then the entity is held where it was last accepted. Fleets: the
//! accepted fixes.

mod ring;

pub(crate) use ring::Ring;

use crate::config::WorldConfig;
use crate::entity::{Accepted, Entities, EntityIdx};
use starling_protocol::motion::{
    Course, FixState, Knot, TrackKind, aim, aim_spin, orientation_holds, snap_fix, snap_knot,
    spin_between,
};
use starling_protocol::sample::Orientation;
use starling_protocol::schema::OrientationKind;
use starling_protocol::space::{IPos, Space};
use starling_protocol::units::{Tick, TickRate};

/// Milliseconds for which a line is followed without a fresh sample.
const FOLLOW_MS: u64 = 250;

/// The tracks of all entities.
#[derive(Debug)]
pub(crate) struct Tracks {
    space: Space,
    rate: TickRate,
    follow_ticks: u32,
    rings: Rings,
    /// Tick of each entity's newest entry; what the replication loop compares.
    newest: Vec<Tick>,
    /// The sampling tick and the place of each entity's last sample, for its velocity.
    sampled: Vec<Sampled>,
    /// Entities whose line goes on without fresh samples, to be held in time.
    moving: Vec<EntityIdx>,
    is_moving: Vec<bool>,
    /// Those that were held in this tick.
    held: Vec<EntityIdx>,
}

/// Entries of the world's kind of track.
#[derive(Debug)]
pub(crate) enum Rings {
    /// Of games.
    Knots(Vec<Ring<Knot>>),
    /// Of fleets.
    Fixes(Vec<Ring<FixState>>),
}

#[derive(Clone, Copy, Debug, Default)]
struct Sampled {
    label: Tick,
    orientation: Orientation,
    course: Course,
}

impl Tracks {
    /// No track yet.
    #[must_use]
    pub(crate) fn new(config: &WorldConfig) -> Self {
        Self {
            space: config.space,
            rate: config.tick_rate,
            follow_ticks: config.tick_rate.ticks_in_ms(FOLLOW_MS),
            rings: match config.track() {
                TrackKind::Knots => Rings::Knots(Vec::new()),
                TrackKind::Fixes => Rings::Fixes(Vec::new()),
            },
            newest: Vec::new(),
            sampled: Vec::new(),
            moving: Vec::new(),
            is_moving: Vec::new(),
            held: Vec::new(),
        }
    }

    /// Entries by entity.
    #[must_use]
    pub(crate) fn rings(&self) -> &Rings {
        &self.rings
    }

    /// Has the track of this entity begun?
    pub(crate) fn has(&self, entity: EntityIdx) -> bool {
        self.newest.len() > entity.at()
    }

    /// The tick of an entity's newest entry.
    #[must_use]
    pub(crate) fn newest(&self, entity: EntityIdx) -> Tick {
        self.newest[entity.at()]
    }

    /// Begins the track of an entity that just appeared.
    pub(crate) fn begin(&mut self, entity: EntityIdx, entities: &Entities, now: Tick) {
        self.grow(entity);
        let at = entity.at();
        let accepted = entities.accepted(entity);
        let velocity = accepted.velocity.unwrap_or_default();
        let course = Course { position: accepted.position, velocity, ..Course::default() };
        self.sampled[at] = Sampled { label: now, orientation: accepted.orientation, course };
        match &mut self.rings {
            Rings::Knots(rings) => rings[at].clear(),
            Rings::Fixes(rings) => rings[at].clear(),
        }
        self.newest[at] = Tick(0);
        self.follow(entity, entities, now);
    }

    fn grow(&mut self, entity: EntityIdx) {
        let rows = entity.at() + 1;
        if self.newest.len() < rows {
            self.newest.resize(rows, Tick(0));
            self.sampled.resize(rows, Sampled::default());
            self.is_moving.resize(rows, false);
            match &mut self.rings {
                Rings::Knots(rings) => rings.resize_with(rows, Ring::default),
                Rings::Fixes(rings) => rings.resize_with(rows, Ring::default),
            }
        }
    }

    /// Takes in a position accepted in this tick and sampled for the tick `label`.
    ///
    /// Returns whether it made a new entry.
    pub(crate) fn sample(
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
        let last = &mut self.sampled[entity.at()];
        let (from, position) = (last.course, accepted.position);
        let apart = label.since(last.label).filter(|t| (1..=self.follow_ticks.max(1)).contains(t));
        let stands = apart.is_some() && from.position == position;
        let velocity = match (accepted.velocity, apart) {
            _ if stands => [0; 3],
            (Some(named), _) => named,
            (None, Some(ticks)) => difference(from.position, position, ticks, self.rate),
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

    fn follow(&mut self, entity: EntityIdx, entities: &Entities, now: Tick) -> bool {
        let accepted = entities.accepted(entity);
        let kind = entities.schema().kind(entities.kind(entity));
        let orientation = accepted.orientation.fit(kind.map_or_else(Default::default, turn));
        let made = match &mut self.rings {
            Rings::Knots(rings) => {
                let mut course = self.sampled[entity.at()].course;
                course.position = accepted.position;
                add_knot(&mut rings[entity.at()], &course, orientation, now, self.rate)
            }
            Rings::Fixes(rings) => {
                add_fix(&mut rings[entity.at()], self.space, accepted, orientation, now)
            }
        };
        if made {
            self.newest[entity.at()] = now;
            self.watch(entity);
        }
        made
    }

    fn watch(&mut self, entity: EntityIdx) {
        if let Rings::Knots(rings) = &self.rings {
            let moves = rings[entity.at()].newest().is_some_and(|knot| !knot.rests());
            if moves && !self.is_moving[entity.at()] {
                self.is_moving[entity.at()] = true;
                self.moving.push(entity);
            }
        }
    }

    /// Holds entities whose samples stopped coming, and returns them.
    pub(crate) fn hold(&mut self, entities: &Entities, now: Tick) -> &[EntityIdx] {
        self.held.clear();
        let Rings::Knots(rings) = &mut self.rings else { return &[] };
        let (is_moving, newest, held) = (&mut self.is_moving, &mut self.newest, &mut self.held);
        self.moving.retain(|&entity| {
            let ring = &mut rings[entity.at()];
            let moves = ring.newest().is_some_and(|knot| !knot.rests());
            let accepted = entities.accepted(entity);
            let silent = now.since(accepted.tick).is_some_and(|t| t > self.follow_ticks);
            if entities.is_live(entity) && moves && !silent {
                return true;
            }
            if entities.is_live(entity) && moves {
                let faces = ring.newest().map(|knot| knot.faces(accepted.tick));
                let orientation = faces.unwrap_or_default();
                let pos = snap_knot(accepted.position);
                ring.push(Knot { tick: now, pos, orientation, ..Knot::default() });
                newest[entity.at()] = now;
                held.push(entity);
            }
            is_moving[entity.at()] = false;
            false
        });
        held
    }

    /// What [`Tracks::hold`] held last.
    pub(crate) fn held(&self) -> &[EntityIdx] {
        &self.held
    }
}

fn turn(kind: &starling_protocol::schema::Kind) -> OrientationKind {
    kind.orientation
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
    [0, 1, 2].map(|axis: usize| to[axis].saturating_sub(from[axis]) / ticks as i32)
}

/// A turn alone leaves the line as it is, and a new line leaves the orientation that still holds.
fn add_knot(
    ring: &mut Ring<Knot>,
    course: &Course,
    orientation: Orientation,
    now: Tick,
    rate: TickRate,
) -> bool {
    let Some(newest) = ring.newest().copied() else {
        let nothing = Knot { tick: now, orientation, ..Knot::default() };
        ring.push(aim(&nothing, now, course, rate));
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
    ring.push(next);
    true
}

/// A fix at the same place is told once, so that whoever draws the line sees it end.
fn add_fix(
    ring: &mut Ring<FixState>,
    space: Space,
    accepted: &Accepted,
    orientation: Orientation,
    now: Tick,
) -> bool {
    let pos = snap_fix(space, accepted.position);
    let next = match ring.newest() {
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
    ring.push(next);
    true
}
