//! Codes, made once and appended to every datagram that needs them.
//!
//! A code depends on the entity, the tick and the baseline alone. So it is kept for the rest of
//! the tick, by age of the baseline and entity, for all threads that write datagrams: whoever needs
//! it first makes it, and two that make it at once make the same.

use crate::entity::{Entities, EntityIdx};
use crate::track::{Entries, Ring, Tracks};
use starling_protocol::limits::AGE_MAX;
use starling_protocol::motion::{FixState, Knot};
use starling_protocol::schema::OrientationKind;
use starling_protocol::snapshot::{
    Code, FIX_STEPS_MAX, KNOT_STEPS_MAX, State, fix_code, knot_code,
};
use starling_protocol::space::Space;
use starling_protocol::units::Tick;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Ages whose codes are kept: those that datagrams name by five bits.
const AGES: usize = AGE_MAX as usize;
/// Ages that there is room for from the beginning: two round trips and some loss.
const AGES_AT_START: usize = 8;
/// In place of a code that was not made yet, and of one that there is none of.
const UNMADE: u64 = 0;
const NONE: u64 = u64::MAX;

/// Codes of one tick.
#[derive(Debug)]
pub(crate) struct CodeBook {
    space: Space,
    /// By age - 1, then by entity.
    rows: [Vec<AtomicU64>; AGES],
    /// Rows with a code of this tick, a bit for each, or that had no room for one.
    used: AtomicU32,
    /// Codes made in this tick.
    made: AtomicU64,
}

impl CodeBook {
    /// Holds nothing.
    #[must_use]
    pub(crate) fn new(space: Space) -> Self {
        Self {
            space,
            rows: [const { Vec::new() }; AGES],
            used: AtomicU32::new(0),
            made: AtomicU64::new(0),
        }
    }

    /// Begins a tick of so many entities; returns how many codes were made in the one before.
    pub(crate) fn begin(&mut self, entities: usize) -> u64 {
        let used = std::mem::take(self.used.get_mut());
        let ages = if used >> AGES_AT_START == 0 { AGES_AT_START } else { AGES };
        for (at, row) in self.rows.iter_mut().enumerate() {
            let wanted = at < ages || !row.is_empty();
            if wanted && row.len() < entities {
                row.resize_with(entities.next_power_of_two(), AtomicU64::default);
            }
            if used >> at & 1 == 1 {
                row.iter_mut().for_each(|cell| *cell.get_mut() = UNMADE);
            }
        }
        std::mem::take(self.made.get_mut())
    }

    /// The codes since `base` that were made in this tick so far.
    #[inline]
    pub(crate) fn made_since(&self, base: Tick, now: Tick) -> Made<'_> {
        Made(self.rows.get((now.0 - base.0) as usize - 1).map_or(&[], Vec::as_slice))
    }

    /// What changed of an entity since `base`, as a datagram of `now` says it; `None` where only a
    /// record can.
    #[inline]
    pub(crate) fn code(
        &self,
        entity: EntityIdx,
        base: Tick,
        now: Tick,
        tracks: &Tracks,
        entities: &Entities,
    ) -> Option<Code> {
        let row = (now.0 - base.0) as usize - 1;
        let cell = self.rows.get(row).and_then(|row| row.get(entity.at()));
        match cell.map_or(UNMADE, |cell| cell.load(Ordering::Relaxed)) {
            UNMADE => self.make(row, entity, base, now, tracks, entities),
            NONE => None,
            word => NonZeroU64::new(word).map(Code::of_word),
        }
    }

    #[cold]
    fn make(
        &self,
        row: usize,
        entity: EntityIdx,
        base: Tick,
        now: Tick,
        tracks: &Tracks,
        entities: &Entities,
    ) -> Option<Code> {
        let kind = entities.schema().kind(entities.kind(entity));
        let kind = kind.map(|kind| kind.orientation).unwrap_or_default();
        let code = match tracks.entries() {
            Entries::Knots(rings) => code_knot(kind, rings.of(entity), base, now),
            Entries::Fixes(rings) => code_fix(kind, self.space, rings.of(entity), base, now),
        };
        if let Some(cells) = self.rows.get(row) {
            self.used.fetch_or(1 << row, Ordering::Relaxed);
            if let Some(cell) = cells.get(entity.at()) {
                let word = code.map_or(NONE, |code| code.word().get());
                let before = cell.swap(word, Ordering::Relaxed);
                self.made.fetch_add(u64::from(before == UNMADE), Ordering::Relaxed);
            }
        }
        code
    }
}

/// The codes of one baseline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made<'a>(&'a [AtomicU64]);

impl Made<'_> {
    /// The code of an entity; `None` where it was not made yet, or there is none.
    #[inline]
    pub(crate) fn code(&self, entity: EntityIdx) -> Option<Code> {
        match self.0.get(entity.at())?.load(Ordering::Relaxed) {
            NONE => None,
            word => NonZeroU64::new(word).map(Code::of_word),
        }
    }
}

fn code_knot(kind: OrientationKind, ring: Ring<'_, Knot>, base: Tick, now: Tick) -> Option<Code> {
    let count = ring.steps_to(base)?;
    let told = if count > KNOT_STEPS_MAX { 1 } else { count };
    let mut since = [Knot::default(); KNOT_STEPS_MAX];
    for (knot, back) in since.iter_mut().zip((0..told).rev()) {
        *knot = *ring.before(back)?;
    }
    knot_code(kind, ring.before(count)?, &since[..told], now, now.0 - base.0)
}

fn code_fix(
    kind: OrientationKind,
    space: Space,
    ring: Ring<'_, FixState>,
    base: Tick,
    now: Tick,
) -> Option<Code> {
    let count = ring.steps_to(base)?;
    if count > FIX_STEPS_MAX {
        return None;
    }
    let mut steps = [FixState::default(); FIX_STEPS_MAX];
    for (step, back) in steps.iter_mut().zip((0..count).rev()) {
        *step = *ring.before(back)?;
    }
    fix_code(kind, space, ring.before(count)?, &steps[..count], now)
}

/// The newest state of an entity, as a record says it.
#[must_use]
pub(crate) fn newest_state(tracks: &Tracks, entity: EntityIdx) -> State {
    match tracks.entries() {
        Entries::Knots(rings) => {
            State::Knot(rings.of(entity).newest().copied().unwrap_or_default())
        }
        Entries::Fixes(rings) => State::Fix(rings.of(entity).newest().copied().unwrap_or_default()),
    }
}
