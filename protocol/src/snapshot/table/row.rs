//! One slot of the table.

use super::history::States;
use crate::limits::FIELDS_MAX;
use crate::schema::OrientationKind;
use crate::snapshot::state::State;
use crate::units::{EntityId, KindId, Slot, Tick};

/// An entity that is in the table.
#[derive(Clone, Copy, Debug)]
pub struct EntityView<'a> {
    /// Where in the table.
    pub slot: Slot,
    /// Who.
    pub entity: EntityId,
    /// Its kind.
    pub kind: KindId,
    /// Its name, where the interest asked for names.
    pub name: Option<&'a str>,
    /// Its newest state.
    pub state: &'a State,
    /// Raw values of its fields; zero where not told. Of those only as many as the kind has mean
    /// anything.
    pub fields: &'a [u32; FIELDS_MAX],
    /// Its block.
    pub block: &'a [u8],
}

/// One slot, empty where `entity` is `None`.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub(super) entity: Option<EntityId>,
    pub(super) kind: KindId,
    pub(super) orientation: OrientationKind,
    pub(super) states: States,
    /// The tick of the last enter or leave: nothing older changes the row.
    pub(super) heard: Option<Tick>,
    /// Covered in this tick, where the page's own tick does not say so.
    pub(super) covered: Option<Tick>,
    /// Apart, so that who goes through all rows for their states passes over it.
    told: Box<Told>,
}

/// What is seldom told of an entity.
#[derive(Debug, Default)]
struct Told {
    /// Empty where there is none.
    name: String,
    fields: [u32; FIELDS_MAX],
    block: Vec<u8>,
}

impl Row {
    pub(super) fn view<'a>(&'a self, slot: Slot, state: &'a State) -> Option<EntityView<'a>> {
        Some(EntityView {
            slot,
            entity: self.entity?,
            kind: self.kind,
            name: Some(self.told.name.as_str()).filter(|name| !name.is_empty()),
            state,
            fields: &self.told.fields,
            block: &self.told.block,
        })
    }

    /// Makes the slot empty; what it allocated is kept for the next entity.
    pub(super) fn vacate(&mut self) -> Option<EntityId> {
        self.states.clear();
        self.told.name.clear();
        self.told.block.clear();
        self.told.fields = [0; FIELDS_MAX];
        self.covered = None;
        self.entity.take()
    }

    pub(super) fn set_name(&mut self, name: &str) {
        self.told.name.clear();
        self.told.name.push_str(name);
    }

    /// Puts fields and block in the place of those that `mask` names.
    pub(super) fn set_fields(
        &mut self,
        mask: u32,
        values: &[u32; FIELDS_MAX],
        block: Option<&[u8]>,
    ) {
        for (i, (mine, new)) in self.told.fields.iter_mut().zip(values).enumerate() {
            if mask >> i & 1 == 1 {
                *mine = *new;
            }
        }
        if let Some(block) = block {
            self.told.block.clear();
            self.told.block.extend_from_slice(block);
        }
    }
}
