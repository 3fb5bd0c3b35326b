//! Which entity of the swarm an id of the server stands for.

use crate::target::EntityNo;
use rustc_hash::FxHashMap;
use starling_protocol::units::EntityId;
use std::sync::{Arc, Mutex, PoisonError};

/// Ids that the server gave to the swarm's entities, shared by all threads.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    shared: Arc<Mutex<Vec<(EntityId, EntityNo)>>>,
    /// This thread's copy of the first so many entries.
    known: Zones,
    read: usize,
}

/// Ids by the upper and the lower half of their index, for every copy of every frame is looked up
/// here, and a server numbers the entities of a zone from zero.
#[derive(Clone, Debug, Default)]
struct Zones {
    newest: Vec<Vec<Option<(u32, EntityNo)>>>,
    /// Whose place in the server another has taken: a client may still hold them.
    displaced: FxHashMap<EntityId, EntityNo>,
}

const ZONE_BITS: u32 = 16;

impl Zones {
    const fn place(id: EntityId) -> (usize, usize) {
        let within = id.index & ((1 << ZONE_BITS) - 1);
        ((id.index >> ZONE_BITS) as usize, within as usize)
    }

    fn insert(&mut self, id: EntityId, entity: EntityNo) {
        let (zone, within) = Self::place(id);
        if self.newest.len() <= zone {
            self.newest.resize_with(zone + 1, Vec::new);
        }
        let zone = &mut self.newest[zone];
        if zone.len() <= within {
            zone.resize(within + 1, None);
        }
        if let Some((generation, before)) = zone[within].replace((id.generation, entity)) {
            self.displaced.insert(EntityId { generation, ..id }, before);
        }
    }

    fn get(&self, id: EntityId) -> Option<EntityNo> {
        let (zone, within) = Self::place(id);
        let (generation, entity) = (*self.newest.get(zone)?.get(within)?)?;
        if generation == id.generation {
            return Some(entity);
        }
        self.displaced.get(&id).copied()
    }
}

impl Registry {
    /// The server gave an entity this id.
    pub fn enter(&self, id: EntityId, entity: EntityNo) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).push((id, entity));
    }

    /// Takes over what other threads have entered.
    pub fn refresh(&mut self) {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, entity) in &shared[self.read..] {
            self.known.insert(*id, *entity);
        }
        self.read = shared.len();
    }

    /// The entity of an id; `None` for entities that are not the swarm's.
    #[must_use]
    pub fn find(&self, id: EntityId) -> Option<EntityNo> {
        self.known.get(id)
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

    #[test]
    fn who_came_after_another_in_its_place_or_lives_in_another_zone_is_not_taken_for_it() {
        let mut registry = Registry::default();
        let id = |index, generation| EntityId { index, generation };
        registry.enter(id(3, 1), EntityNo(7));
        registry.enter(id(0x1_0003, 1), EntityNo(8));
        registry.refresh();
        assert_eq!(registry.find(id(3, 2)), None);
        assert_eq!(registry.find(id(0x1_0003, 1)), Some(EntityNo(8)));
        assert_eq!(registry.find(id(0x2_0003, 1)), None);
        registry.enter(id(3, 2), EntityNo(9));
        registry.refresh();
        let found = [1, 2, 3].map(|generation| registry.find(id(3, generation)));
        assert_eq!(found, [Some(EntityNo(7)), Some(EntityNo(9)), None]);
    }
}
