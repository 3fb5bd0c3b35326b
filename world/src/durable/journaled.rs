//! Changes on their way to the store, counted.

use crate::checksum::Checksum;
use crate::journal::{Change, Query, Table};
use crate::output::Output;
use std::ops::Range;

/// What a world wants kept, and how much of it is on stable storage. In a world without a store it
/// takes nothing.
#[derive(Debug, Default)]
pub(crate) struct Journaled {
    on: bool,
    changes: Vec<Change>,
    queries: Vec<Query>,
    /// Changes of this life so far, those that wait to be handed out included.
    written: u64,
    /// How many of them are on stable storage.
    committed: u64,
}

impl Journaled {
    /// Of a world with a store.
    pub(crate) fn of_a_store() -> Self {
        Self { on: true, ..Self::default() }
    }

    /// Is there a store?
    pub(crate) const fn is_on(&self) -> bool {
        self.on
    }

    /// Sets a row.
    pub(crate) fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.push(Change::Put { table, key, value });
    }

    /// Removes a row.
    pub(crate) fn remove(&mut self, table: Table, key: Vec<u8>) {
        self.push(Change::Remove { table, key });
    }

    /// Removes every row of a range.
    pub(crate) fn remove_range(&mut self, table: Table, keys: Range<Vec<u8>>) {
        self.push(Change::RemoveRange { table, keys });
    }

    fn push(&mut self, change: Change) {
        if self.on {
            self.written += 1;
            self.changes.push(change);
        }
    }

    /// Asks the store something.
    pub(crate) fn ask(&mut self, query: Query) {
        self.queries.push(query);
    }

    /// The number of the newest change, by which [`Self::has`] tells whether it and all before it
    /// are on stable storage.
    pub(crate) const fn written(&self) -> u64 {
        self.written
    }

    /// Changes that are not on stable storage, as far as the store said.
    pub(crate) const fn under_way(&self) -> u64 {
        self.written - self.committed
    }

    /// Is everything up to this change on stable storage?
    pub(crate) const fn has(&self, change: u64) -> bool {
        change <= self.committed
    }

    /// So many changes are on stable storage. One that was never handed out cannot be.
    pub(crate) fn committed(&mut self, changes: u64) {
        let handed_out = self.written - self.changes.len() as u64;
        self.committed = self.committed.max(changes.min(handed_out));
    }

    /// Hands everything out; returns how many changes.
    pub(crate) fn hand_out(&mut self, out: &mut Output) -> usize {
        let changes = self.changes.len();
        out.journal.append(&mut self.changes);
        out.queries.append(&mut self.queries);
        changes
    }

    pub(crate) fn add_to(&self, sum: &mut Checksum) {
        sum.add(self.written).add(self.committed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_counted_and_only_what_was_handed_out_can_be_kept() {
        let mut journal = Journaled::of_a_store();
        (0..3).for_each(|n| journal.put(Table::World, vec![n], Vec::new()));
        journal.committed(3);
        assert!(!journal.has(1));
        let mut out = Output::default();
        assert_eq!(journal.hand_out(&mut out), 3);
        journal.remove(Table::World, vec![0]);
        journal.committed(9);
        assert!(journal.has(3) && !journal.has(journal.written()));
    }

    #[test]
    fn without_a_store_nothing_is_kept() {
        let mut journal = Journaled::default();
        journal.put(Table::World, vec![1], Vec::new());
        assert_eq!((journal.written(), journal.hand_out(&mut Output::default())), (0, 0));
    }
}
