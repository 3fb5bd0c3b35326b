//! Who entered, left or changed since the application last looked.

use super::heard::Heard;
use starling_protocol::limits::SLOTS_MAX;
use starling_protocol::units::{EntityId, Slot};

/// Changes since they were last cleared. What entered is told by id, because slots are reused.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) entered: Vec<EntityId>,
    pub(super) left: Vec<EntityId>,
    pub(super) updated: Vec<Slot>,
    /// By slot: it is among the updated.
    marked: Vec<bool>,
}

impl Changes {
    pub(super) fn note(&mut self, heard: &Heard, id: impl Fn(Slot) -> Option<EntityId>) {
        for left in &heard.left {
            self.leave(left.entity);
        }
        for entity in heard.entered.iter().filter_map(|slot| id(*slot)) {
            push(&mut self.entered, entity);
        }
        for slot in heard.updated.iter().chain(&heard.fields) {
            self.mark(*slot);
        }
    }

    /// An entity that entered and left before anybody looked was never there.
    pub(super) fn leave(&mut self, entity: EntityId) {
        match self.entered.iter().position(|entered| *entered == entity) {
            Some(place) => {
                self.entered.swap_remove(place);
            }
            None => push(&mut self.left, entity),
        }
    }

    fn mark(&mut self, slot: Slot) {
        let place = usize::from(slot.0);
        if self.marked.len() <= place {
            self.marked.resize(place + 1, false);
        }
        if !std::mem::replace(&mut self.marked[place], true) {
            self.updated.push(slot);
        }
    }

    /// Slots mean something else from now on.
    pub(super) fn forget_slots(&mut self) {
        self.updated.clear();
        self.marked.fill(false);
    }

    pub(super) fn clear(&mut self) {
        self.entered.clear();
        self.left.clear();
        self.forget_slots();
    }
}

/// Whoever never looks keeps the oldest changes, no more than fit a table.
fn push(list: &mut Vec<EntityId>, entity: EntityId) {
    if list.len() < SLOTS_MAX {
        list.push(entity);
    }
}
