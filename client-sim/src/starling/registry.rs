//! Which entity of the swarm an id of the server stands for.

use crate::target::EntityNo;
use starling_protocol::units::EntityId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Ids that the server gave to the swarm's entities, shared by all threads.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    shared: Arc<Mutex<Vec<(EntityId, EntityNo)>>>,
    /// This thread's copy of the first so many entries.
    known: HashMap<EntityId, EntityNo>,
    read: usize,
}

impl Registry {
    /// The server gave an entity this id.
    pub fn enter(&self, id: EntityId, entity: EntityNo) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).push((id, entity));
    }

    /// Takes over what other threads have entered.
    pub fn refresh(&mut self) {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        self.known.extend(shared[self.read..].iter().copied());
        self.read = shared.len();
    }

    /// The entity of an id; `None` for entities that are not the swarm's.
    #[must_use]
    pub fn find(&self, id: EntityId) -> Option<EntityNo> {
        self.known.get(&id).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_thread_enters_another_finds() {
        let one = Registry::default();
        let mut other = one.clone();
        let id = EntityId { index: 3, generation: 1 };
        one.enter(id, EntityNo(7));
        assert_eq!(other.find(id), None);
        other.refresh();
        assert_eq!(other.find(id), Some(EntityNo(7)));
    }
}
