//! From a list of operations to the table, and what changed by it.

use super::Table;
use super::decode::{Front, Op};
use crate::limits::SLOTS_MAX;
use crate::message::bulk::BulkDown;
use crate::planted::{self, Bug};
use crate::schema::Schema;
use crate::snapshot::SnapshotError;
use crate::snapshot::cue::Cue;
use crate::snapshot::header::{Clock, Cover, Fold};
use crate::snapshot::state::State;
use crate::units::{EntityId, Slot, Tick};

/// An entity that is no longer in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Where it was.
    pub slot: Slot,
    /// Who it was.
    pub entity: EntityId,
}

/// What a datagram or a bulk message did to the table.
#[derive(Clone, Copy, Debug)]
pub struct Applied<'a> {
    table: &'a Table,
    /// The tick whose state it carried.
    pub tick: Tick,
    /// Low bits of its sequence; zero for a bulk message.
    pub sequence: u8,
    /// What became of the client's own datagrams.
    pub fold: Option<Fold>,
    /// What the client needs to set its clock.
    pub clock: Option<Clock>,
    /// The pages it spoke of; [`Table::covered`] knows of single slots.
    pub cover: Option<Cover>,
    /// It carried something that is repeated until it is acknowledged.
    pub is_news: bool,
}

impl<'a> Applied<'a> {
    /// Entities that left. A slot may be among the entered as well, with another entity.
    #[must_use]
    pub fn left(&self) -> &'a [Left] {
        &self.table.changes.left
    }

    /// Slots of entities that entered.
    #[must_use]
    pub fn entered(&self) -> &'a [Slot] {
        &self.table.changes.entered
    }

    /// Slots whose entity has a newer state; a fleet's slot once for each fix.
    #[must_use]
    pub fn updated(&self) -> &'a [Slot] {
        &self.table.changes.updated
    }

    /// Slots whose fields or block were told.
    #[must_use]
    pub fn fields(&self) -> &'a [Slot] {
        &self.table.changes.fields
    }

    /// Cues that are not expired and were not delivered before.
    pub fn cues(&self) -> impl Iterator<Item = Cue<'a>> + use<'a> {
        let scratch = &self.table.scratch;
        scratch.cues.iter().map(|cue| cue.with(&scratch.text))
    }
}

/// Lists of what changed, reused from datagram to datagram.
#[derive(Debug, Default)]
pub(super) struct Changes {
    left: Vec<Left>,
    entered: Vec<Slot>,
    updated: Vec<Slot>,
    fields: Vec<Slot>,
}

impl Changes {
    fn clear(&mut self) {
        self.left.clear();
        self.entered.clear();
        self.updated.clear();
        self.fields.clear();
    }
}

impl Table {
    /// Applies a datagram: whole, or not at all. Allocates only while the table grows.
    ///
    /// A slot's operations follow the order of the wire: leaves, records, codes, fields.
    ///
    /// # Errors
    /// [`SnapshotError`]; the table is as it was and the datagram is not acknowledged.
    pub fn apply(&mut self, schema: &Schema, bytes: &[u8]) -> Result<Applied<'_>, SnapshotError> {
        let front = self.read(schema, bytes)?;
        self.changes.clear();
        let ops = std::mem::take(&mut self.scratch.ops);
        ops.iter().for_each(|op| self.perform(front.tick, op));
        self.scratch.ops = ops;
        let is_news = !self.scratch.ops.is_empty() || !self.scratch.cues.is_empty();
        self.note(&front);
        let Front { tick, sequence, fold, clock, cover } = front;
        Ok(Applied { table: self, tick, sequence, fold, clock, cover: Some(cover), is_news })
    }

    /// Applies a bulk message: whole, or not at all. Records of slots of which something newer was
    /// heard are passed over. The message is to be acknowledged in either case.
    ///
    /// # Errors
    /// [`SnapshotError`]; the table is as it was.
    pub fn apply_bulk(
        &mut self,
        schema: &Schema,
        message: &BulkDown,
    ) -> Result<Applied<'_>, SnapshotError> {
        let BulkDown::Enters { tick, count, records, .. } = message;
        self.read_bulk(schema, *tick, *count, records)?;
        self.changes.clear();
        let ops = std::mem::take(&mut self.scratch.ops);
        for op in &ops {
            if let Op::Enter { slot, enter, state } = op {
                self.enter_in_bulk(*tick, *slot, *enter, *state);
            }
        }
        self.scratch.ops = ops;
        let (tick, cover, is_news) = (*tick, None, true);
        Ok(Applied { table: self, tick, sequence: 0, fold: None, clock: None, cover, is_news })
    }

    fn enter_in_bulk(&mut self, tick: Tick, slot: Slot, enter: u16, state: State) {
        self.reach(slot);
        if self.rows[usize::from(slot.0)].heard < Some(tick) {
            self.enter(tick, slot, enter, state);
            self.rows[usize::from(slot.0)].covered = Some(tick);
        }
    }

    fn perform(&mut self, tick: Tick, op: &Op) {
        match op {
            Op::Leave { slot } => self.leave(tick, *slot),
            Op::Enter { slot, enter, state } => self.enter(tick, *slot, *enter, *state),
            Op::State { slot, state } => self.add_state(tick, *slot, Tick(0), *state),
            Op::Code { slot, base, state } => self.add_state(tick, *slot, *base, *state),
            Op::Fields { slot, fields } => self.set_fields(*slot, *fields),
        }
    }

    fn leave(&mut self, tick: Tick, slot: Slot) {
        self.reach(slot);
        if planted::is(Bug::LeaveLost) {
            return;
        }
        let row = &mut self.rows[usize::from(slot.0)];
        if row.heard > Some(tick) {
            // A bulk message has overtaken this leave: it tells of the one who was here before.
            return;
        }
        row.heard = Some(tick);
        if let Some(entity) = row.vacate() {
            self.changes.left.push(Left { slot, entity });
        }
    }

    fn enter(&mut self, tick: Tick, slot: Slot, enter: u16, state: State) {
        self.reach(slot);
        let enter = &self.scratch.enters[usize::from(enter)];
        let row = &mut self.rows[usize::from(slot.0)];
        if row.heard > Some(tick) {
            return;
        }
        row.heard = Some(tick);
        if row.entity != Some(enter.entity) {
            if let Some(entity) = row.vacate() {
                self.changes.left.push(Left { slot, entity });
            }
            (row.entity, row.covered) = (Some(enter.entity), None);
            self.changes.entered.push(slot);
        }
        (row.kind, row.orientation) = (enter.kind, enter.orientation);
        if let Some(name) = enter.name {
            let text = std::str::from_utf8(name.of(&self.scratch.text));
            row.set_name(text.expect("a name is checked when it is read"));
        }
        let block = enter.fields.block.of(&self.scratch.text);
        row.set_fields(u32::MAX, &enter.fields.values, enter.block.then_some(block));
        self.changes.fields.push(slot);
        self.add_state(tick, slot, Tick(0), state);
    }

    /// Adds a state unless the slot has one that is as new; forgets what nobody needs.
    fn add_state(&mut self, tick: Tick, slot: Slot, base: Tick, state: State) {
        let row = &mut self.rows[usize::from(slot.0)];
        if row.states.add(state) {
            self.changes.updated.push(slot);
        }
        row.states.prune(base.min(tick - self.history_ticks));
    }

    fn set_fields(&mut self, slot: Slot, fields: u16) {
        let fields = &self.scratch.fields[usize::from(fields)];
        let row = &mut self.rows[usize::from(slot.0)];
        let block = fields.block.of(&self.scratch.text);
        row.set_fields(fields.mask, &fields.values, fields.told_block.then_some(block));
        self.changes.fields.push(slot);
    }

    /// Makes the table long enough for a slot.
    fn reach(&mut self, slot: Slot) {
        let len = usize::from(slot.0) + 1;
        assert!(len <= SLOTS_MAX, "a slot is checked when it is read");
        if self.rows.len() < len {
            self.rows.resize_with(len, Default::default);
        }
    }

    fn note(&mut self, front: &Front) {
        let skipped = std::mem::take(&mut self.scratch.skipped);
        self.cover(front.tick, front.cover, &skipped);
        self.scratch.skipped = skipped;
        self.ack.note(front.tick, front.sequence);
        self.newest = self.newest.max(Some(front.tick));
        self.reference = self.reference.max(front.tick);
        self.keep_fresh_cues();
    }

    /// Drops cues that are expired or were delivered before.
    fn keep_fresh_cues(&mut self) {
        let (newest, seen) = (self.newest.unwrap_or_default(), &mut self.cues_seen);
        self.scratch.cues.retain(|cue| {
            let fresh = cue.tick + u32::from(cue.life) >= newest;
            fresh && seen[usize::from(cue.id)].replace(cue.tick) != Some(cue.tick)
        });
    }
}
