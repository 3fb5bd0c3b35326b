//! Codes, made once and appended to every datagram that needs them.
//!
//! A code depends on the entity, the tick and the baseline alone. So it is kept for the rest of
//! the tick, by entity and age of the baseline.

use crate::entity::{Entities, EntityIdx};
use crate::track::{Ring, Rings, Tracks};
use starling_protocol::limits::AGE_MAX;
use starling_protocol::motion::{FixState, Knot};
use starling_protocol::schema::OrientationKind;
use starling_protocol::snapshot::{Code, FIX_STEPS_MAX, State, fix_code, knot_code};
use starling_protocol::space::Space;
use starling_protocol::units::Tick;

/// One age for each that fits five bits, and one shared by all that are older.
const AGES: usize = AGE_MAX as usize + 1;

/// A code, or the knowledge that there is none.
#[derive(Clone, Copy, Debug)]
struct Cell {
    tick: Tick,
    base: Tick,
    code: Option<Code>,
}

const EMPTY: Cell = Cell { tick: Tick(0), base: Tick(0), code: None };

/// Codes of one tick.
#[derive(Debug)]
pub(crate) struct CodeBook {
    space: Space,
    cells: [Vec<Cell>; AGES],
    /// Codes made since the world began.
    pub(crate) made: u64,
}

impl CodeBook {
    /// Holds nothing.
    #[must_use]
    pub(crate) fn new(space: Space) -> Self {
        Self { space, cells: [const { Vec::new() }; AGES], made: 0 }
    }

    /// What changed of an entity since `base`, as a datagram of `now` says it; `None` where only a
    /// record can.
    #[inline]
    pub(crate) fn code(
        &mut self,
        entity: EntityIdx,
        base: Tick,
        now: Tick,
        tracks: &Tracks,
        entities: &Entities,
    ) -> Option<Code> {
        let age = now.0 - base.0;
        let row = age.min(AGES as u32) as usize - 1;
        if let Some(cell) = self.cells[row].get(entity.at())
            && cell.tick == now
            && cell.base == base
        {
            return cell.code;
        }
        self.make(row, entity, base, now, tracks, entities)
    }

    #[cold]
    fn make(
        &mut self,
        row: usize,
        entity: EntityIdx,
        base: Tick,
        now: Tick,
        tracks: &Tracks,
        entities: &Entities,
    ) -> Option<Code> {
        let kind = entities.schema().kind(entities.kind(entity));
        let kind = kind.map(|kind| kind.orientation).unwrap_or_default();
        let code = match tracks.rings() {
            Rings::Knots(rings) => code_knot(kind, &rings[entity.at()], base, now),
            Rings::Fixes(rings) => code_fix(kind, self.space, &rings[entity.at()], base, now),
        };
        let cells = &mut self.cells[row];
        if cells.len() <= entity.at() {
            cells.resize(entities.rows().max(entity.at() + 1), EMPTY);
        }
        cells[entity.at()] = Cell { tick: now, base, code };
        self.made += 1;
        code
    }
}

fn code_knot(kind: OrientationKind, ring: &Ring<Knot>, base: Tick, now: Tick) -> Option<Code> {
    let held = ring.before(ring.steps_to(base)?)?;
    knot_code(kind, held, ring.newest()?, now, now.0 - base.0)
}

fn code_fix(
    kind: OrientationKind,
    space: Space,
    ring: &Ring<FixState>,
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
    match tracks.rings() {
        Rings::Knots(rings) => {
            State::Knot(rings[entity.at()].newest().copied().unwrap_or_default())
        }
        Rings::Fixes(rings) => State::Fix(rings[entity.at()].newest().copied().unwrap_or_default()),
    }
}
