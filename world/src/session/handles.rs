//! A session's short names for its own entities.

use crate::entity::EntityIdx;
use crate::simd;
use starling_protocol::limits::SESSION_ENTITIES_MAX;
use starling_protocol::units::Handle;
use std::collections::VecDeque;

/// A freed handle rests until so many others are free, so that a sample under way for the entity
/// that had it cannot move the one that gets it next.
const RESTING_HANDLES: usize = 32;

/// The entities of one session.
#[derive(Debug, Default)]
pub struct Owned {
    rows: Vec<Option<EntityIdx>>,
    free: VecDeque<Handle>,
    count: usize,
}

impl Owned {
    /// Names one more entity; `None` when the session holds as many as it may.
    pub(crate) fn insert(&mut self, entity: EntityIdx) -> Option<Handle> {
        let handle = self.next_handle()?;
        self.rows[usize::from(handle.0)] = Some(entity);
        self.count += 1;
        Some(handle)
    }

    /// Names one by this handle, as in an earlier life; false where it is taken or can be none.
    pub(crate) fn insert_at(&mut self, handle: Handle, entity: EntityIdx) -> bool {
        let at = usize::from(handle.0);
        if at >= SESSION_ENTITIES_MAX || self.get(handle).is_some() {
            return false;
        }
        while self.rows.len() <= at {
            self.free.push_back(Handle(self.rows.len() as u16));
            self.rows.push(None);
        }
        self.free.retain(|free| *free != handle);
        self.rows[at] = Some(entity);
        self.count += 1;
        true
    }

    fn next_handle(&mut self) -> Option<Handle> {
        let full = self.rows.len() >= SESSION_ENTITIES_MAX;
        if self.free.len() > RESTING_HANDLES || full {
            return self.free.pop_front();
        }
        self.rows.push(None);
        Some(Handle(self.rows.len() as u16 - 1))
    }

    /// Forgets a name.
    pub(crate) fn remove(&mut self, handle: Handle) -> Option<EntityIdx> {
        let entity = self.rows.get_mut(usize::from(handle.0))?.take()?;
        self.free.push_back(handle);
        self.count -= 1;
        Some(entity)
    }

    /// The entity with this name.
    #[must_use]
    pub fn get(&self, handle: Handle) -> Option<EntityIdx> {
        self.rows.get(usize::from(handle.0)).copied().flatten()
    }

    /// The entity with the lowest name: what "my first" means in messages.
    #[must_use]
    pub fn first(&self) -> Option<EntityIdx> {
        self.iter().next().map(|(_, entity)| entity)
    }

    /// Begins to bring the first names.
    #[inline]
    pub(crate) fn fetch(&self) {
        simd::fetch_row(&self.rows, 1);
    }

    /// All of them, in order of handle.
    pub fn iter(&self) -> impl Iterator<Item = (Handle, EntityIdx)> + '_ {
        let rows = self.rows.iter().enumerate();
        rows.filter_map(|(at, row)| row.map(|entity| (Handle(at as u16), entity)))
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// None?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_handle_is_not_given_out_again_at_once() {
        let mut owned = Owned::default();
        let first = owned.insert(EntityIdx(9)).expect("room");
        assert_eq!(owned.remove(first), Some(EntityIdx(9)));
        assert_eq!(owned.remove(first), None);
        let next: Vec<_> = (0..40).filter_map(|i| owned.insert(EntityIdx(i))).collect();
        assert!(!next.contains(&first));
        assert_eq!(owned.len(), 40);
    }

    #[test]
    fn a_session_that_comes_and_goes_does_not_grow_its_table() {
        let mut owned = Owned::default();
        for i in 0..10_000 {
            let handle = owned.insert(EntityIdx(i)).expect("room");
            owned.remove(handle);
        }
        assert!(owned.rows.len() <= RESTING_HANDLES + 1);
    }

    #[test]
    fn handles_of_an_earlier_life_are_the_same() {
        let mut owned = Owned::default();
        assert!(
            owned.insert_at(Handle(40), EntityIdx(1)) && owned.insert_at(Handle(2), EntityIdx(2))
        );
        assert!(!owned.insert_at(Handle(40), EntityIdx(3)), "it is taken");
        assert!(!owned.insert_at(Handle(u16::MAX), EntityIdx(3)), "there is none of this number");
        let named: Vec<_> = owned.iter().collect();
        assert_eq!(named, [(Handle(2), EntityIdx(2)), (Handle(40), EntityIdx(1))]);
        let next = owned.insert(EntityIdx(4)).expect("room");
        assert!(![Handle(2), Handle(40)].contains(&next));
        assert_eq!(owned.len(), 3);
    }

    #[test]
    fn a_session_has_a_most() {
        let mut owned = Owned::default();
        assert!((0..SESSION_ENTITIES_MAX as u32).all(|i| owned.insert(EntityIdx(i)).is_some()));
        assert_eq!(owned.insert(EntityIdx(0)), None);
    }
}
