//! What clients are told of each entity's movement: one track for all of them.
//!
//! Games: a straight line in integers that both sides follow; a knot breaks it when the accepted
//! position leaves the dead band, or when the entity stops. While no sample comes, the line goes on
//! for a quarter of a second, then the entity is held where it was last accepted. Fleets: the
//! accepted fixes.

mod follow;
mod ring;

pub(crate) use ring::{Ring, Rings};

use crate::config::WorldConfig;
use crate::entity::{Entities, EntityIdx};
use crate::executor::{Executor, run_parts, width};
use follow::{Rows, RowsRings, Rule, Sampled};
use starling_protocol::motion::{Course, FixState, Knot, TrackKind, snap_knot};
use starling_protocol::units::Tick;

/// Milliseconds for which a line is followed without a fresh sample.
const FOLLOW_MS: u64 = 250;
/// Samples of one tick that are worth a second part.
const PART_SAMPLES: usize = 256;

/// The tracks of all entities.
#[derive(Debug)]
pub(crate) struct Tracks {
    rule: Rule,
    entries: Entries,
    /// What each entity's last sample said, for its velocity.
    sampled: Vec<Sampled>,
    /// Entities whose line goes on without fresh samples, to be held in time.
    moving: Vec<EntityIdx>,
    is_moving: Vec<bool>,
    /// Those that were held in this tick.
    held: Vec<EntityIdx>,
    /// Those of which this tick's samples made new entries, and the same by part.
    made: Vec<EntityIdx>,
    parts: Vec<Vec<EntityIdx>>,
}

/// Entries of the world's kind of track.
#[derive(Debug)]
pub(crate) enum Entries {
    /// Of games.
    Knots(Rings<Knot>),
    /// Of fleets.
    Fixes(Rings<FixState>),
}

impl Entries {
    fn all(&mut self) -> RowsRings<'_> {
        match self {
            Self::Knots(rings) => RowsRings::Knots(rings.all()),
            Self::Fixes(rings) => RowsRings::Fixes(rings.all()),
        }
    }

    fn grow(&mut self, rows: usize) {
        match self {
            Self::Knots(rings) => rings.grow(rows),
            Self::Fixes(rings) => rings.grow(rows),
        }
    }
}

impl Tracks {
    /// No track yet.
    #[must_use]
    pub(crate) fn new(config: &WorldConfig) -> Self {
        let follow_ticks = config.tick_rate.ticks_in_ms(FOLLOW_MS);
        Self {
            rule: Rule { space: config.space, rate: config.tick_rate, follow_ticks },
            entries: match config.track() {
                TrackKind::Knots => Entries::Knots(Rings::default()),
                TrackKind::Fixes => Entries::Fixes(Rings::default()),
            },
            sampled: Vec::new(),
            moving: Vec::new(),
            is_moving: Vec::new(),
            held: Vec::new(),
            made: Vec::new(),
            parts: Vec::new(),
        }
    }

    /// Entries by entity.
    #[must_use]
    pub(crate) fn entries(&self) -> &Entries {
        &self.entries
    }

    /// Has the track of this entity begun?
    pub(crate) fn has(&self, entity: EntityIdx) -> bool {
        self.sampled.len() > entity.at()
    }

    /// The tick of an entity's newest entry.
    #[must_use]
    pub(crate) fn newest(&self, entity: EntityIdx) -> Tick {
        let newest = match &self.entries {
            Entries::Knots(rings) => rings.of(entity).newest().map(|knot| knot.tick),
            Entries::Fixes(rings) => rings.of(entity).newest().map(|fix| fix.tick),
        };
        newest.unwrap_or_default()
    }

    /// Begins the track of an entity that just appeared.
    pub(crate) fn begin(&mut self, entity: EntityIdx, entities: &Entities, now: Tick) {
        let at = entity.at();
        if !self.has(entity) {
            self.sampled.resize(at + 1, Sampled::default());
            self.is_moving.resize(at + 1, false);
            self.entries.grow(at + 1);
        }
        let accepted = entities.accepted(entity);
        let velocity = accepted.velocity.unwrap_or_default();
        let course = Course { position: accepted.position, velocity, ..Course::default() };
        self.sampled[at] = Sampled { label: now, orientation: accepted.orientation, course };
        let mut rows = self.rows();
        rows.clear(entity);
        if rows.follow(entity, entities, now) {
            self.watch(entity);
        }
    }

    fn rows(&mut self) -> Rows<'_> {
        let (rings, sampled) = (self.entries.all(), &mut self.sampled[..]);
        Rows { first: 0, rule: self.rule, rings, sampled }
    }

    /// Takes in the positions that were accepted since the last tick.
    ///
    /// Returns whose made a new entry. Whatever the executor, the same ones; only their order may be
    /// another.
    pub(crate) fn take_samples(
        &mut self,
        entities: &Entities,
        now: Tick,
        exec: &impl Executor,
    ) -> &[EntityIdx] {
        self.made.clear();
        let parts = entities.fresh().len().div_ceil(PART_SAMPLES).clamp(1, width(exec));
        self.in_parts(parts, exec, |rows, made| {
            for &entity in entities.fresh() {
                if entities.is_live(entity) && rows.has(entity) {
                    let label = entities.label(entity);
                    if rows.sample(entity, entities, label, now) {
                        made.push(entity);
                    }
                }
            }
        });
        for part in 0..parts {
            let mut made = std::mem::take(&mut self.parts[part]);
            made.iter().for_each(|entity| self.watch(*entity));
            self.made.append(&mut made);
            self.parts[part] = made;
        }
        &self.made
    }

    /// What [`Tracks::take_samples`] found last.
    pub(crate) fn made(&self) -> &[EntityIdx] {
        &self.made
    }

    /// Runs `work` on as many pieces of all rows, each with a list of its own.
    fn in_parts(
        &mut self,
        parts: usize,
        exec: &impl Executor,
        work: impl Fn(&mut Rows<'_>, &mut Vec<EntityIdx>) + Sync,
    ) {
        if self.parts.len() < parts {
            self.parts.resize_with(parts, Vec::new);
        }
        let (rule, size) = (self.rule, self.sampled.len().div_ceil(parts).max(1));
        let lists = self.parts.iter_mut();
        let sampled = self.sampled.chunks_mut(size).enumerate().zip(lists);
        let rows = |first: usize, rings, sampled| Rows { first, rule, rings, sampled };
        let work = |(rows, made): &mut (Rows<'_>, &mut Vec<EntityIdx>)| work(rows, made);
        match &mut self.entries {
            Entries::Knots(rings) => {
                let pieces = rings.pieces(size).map(RowsRings::Knots).zip(sampled);
                let each = pieces.map(|(r, ((n, s), made))| (rows(n * size, r, s), made));
                run_parts(exec, each, work);
            }
            Entries::Fixes(rings) => {
                let pieces = rings.pieces(size).map(RowsRings::Fixes).zip(sampled);
                let each = pieces.map(|(r, ((n, s), made))| (rows(n * size, r, s), made));
                run_parts(exec, each, work);
            }
        }
    }

    fn watch(&mut self, entity: EntityIdx) {
        if let Entries::Knots(rings) = &self.entries {
            let moves = rings.of(entity).newest().is_some_and(|knot| !knot.rests());
            if moves && !self.is_moving[entity.at()] {
                self.is_moving[entity.at()] = true;
                self.moving.push(entity);
            }
        }
    }

    /// Holds entities whose samples stopped coming, and returns them.
    pub(crate) fn hold(&mut self, entities: &Entities, now: Tick) -> &[EntityIdx] {
        self.held.clear();
        let Entries::Knots(rings) = &mut self.entries else { return &[] };
        let (is_moving, held, mut rings) = (&mut self.is_moving, &mut self.held, rings.all());
        let follow_ticks = self.rule.follow_ticks;
        self.moving.retain(|&entity| {
            let accepted = entities.accepted(entity);
            let newest = rings.of(entity.at()).newest().filter(|knot| !knot.rests()).copied();
            let Some(knot) = newest.filter(|_| entities.is_live(entity)) else {
                is_moving[entity.at()] = false;
                return false;
            };
            let silent = now.since(accepted.tick).is_some_and(|t| t > follow_ticks);
            if silent {
                let (pos, orientation) = (snap_knot(accepted.position), knot.faces(accepted.tick));
                rings.push(entity.at(), Knot { tick: now, pos, orientation, ..Knot::default() });
                held.push(entity);
                is_moving[entity.at()] = false;
            }
            !silent
        });
        held
    }

    /// What [`Tracks::hold`] held last.
    pub(crate) fn held(&self) -> &[EntityIdx] {
        &self.held
    }
}
