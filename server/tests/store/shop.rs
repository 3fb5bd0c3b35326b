//! Stores to try, with faults on demand, and short words for rows.

use crate::sim_disk::SimDisk;
use starling_server::store::memory::{Memory, Trouble};
use starling_server::store::{Database, Group, Store, StoreError};
use starling_world::journal::{Change, RowRange, Rows, Table};
use std::ops::Range;
use std::sync::Arc;

/// A store of some kind with what can happen to it.
pub(crate) trait Shop {
    fn store(&self) -> Arc<dyn Store>;
    /// The server ends and begins again.
    fn reopen(&mut self);
    /// A bit of a row flips where it is stored.
    fn damage(&mut self, world: &str, table: Table, number: u64, value: &[u8]);
    fn set_full(&mut self, full: bool);
    fn fail_next_commit(&mut self);

    fn try_commit(&mut self, groups: &[Group]) -> Result<(), StoreError> {
        self.store().commit(groups)
    }

    fn commit(&mut self, groups: &[Group]) {
        self.try_commit(groups).expect("the store is well");
    }

    fn read(&self, world: &str, rows: &RowRange) -> Rows {
        self.store().read(world, rows).expect("the store can be read")
    }

    fn worlds(&self) -> Vec<String> {
        let mut worlds: Vec<String> = Vec::new();
        let after = |name: Option<&String>| self.store().world_after(name.map(String::as_str));
        while let Some(next) = after(worlds.last()).expect("the store can be read") {
            worlds.push(next);
        }
        worlds
    }

    fn keys(&self, world: &str, rows: &RowRange) -> Vec<u64> {
        let rows = self.read(world, rows);
        assert_eq!(rows.damaged, None);
        rows.rows.iter().map(|(key, _)| number(key)).collect()
    }
}

pub(crate) struct MemoryShop(Memory);

impl MemoryShop {
    pub(crate) fn new() -> Self {
        Self(Memory::new())
    }
}

impl Shop for MemoryShop {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.0.clone())
    }

    fn reopen(&mut self) {}

    fn damage(&mut self, world: &str, table: Table, number: u64, _: &[u8]) {
        assert!(self.0.damage(world, table, &key(number)), "there is such a row");
    }

    fn set_full(&mut self, full: bool) {
        self.0.set_trouble(if full { Trouble::Full } else { Trouble::None });
    }

    fn fail_next_commit(&mut self) {
        self.0.set_trouble(Trouble::Failing { written: false });
    }
}

pub(crate) fn group(world: &str, changes: impl IntoIterator<Item = Change>) -> Group {
    Group { world: world.into(), changes: changes.into_iter().collect() }
}

pub(crate) fn key(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

pub(crate) fn number(key: &[u8]) -> u64 {
    u64::from_be_bytes(key.try_into().expect("keys of tests are eight bytes"))
}

pub(crate) fn put(table: Table, number: u64, value: &str) -> Change {
    Change::Put { table, key: key(number), value: value.into() }
}

pub(crate) fn remove(table: Table, number: u64) -> Change {
    Change::Remove { table, key: key(number) }
}

pub(crate) fn remove_range(table: Table, numbers: Range<u64>) -> Change {
    Change::RemoveRange { table, keys: key(numbers.start)..key(numbers.end) }
}

pub(crate) fn range(table: Table, numbers: Range<u64>) -> RowRange {
    let keys = key(numbers.start)..key(numbers.end);
    RowRange { table, keys, rows_max: 1_000, bytes_max: usize::MAX, backwards: false }
}

pub(crate) fn all(table: Table) -> RowRange {
    range(table, 0..u64::MAX)
}

/// The store on disk, on a disk that obeys.
pub(crate) struct DiskShop {
    disk: SimDisk,
    store: Option<Arc<Database>>,
}

impl DiskShop {
    pub(crate) fn new() -> Self {
        let mut shop = Self { disk: SimDisk::default(), store: None };
        shop.reopen();
        shop
    }
}

impl Shop for DiskShop {
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(self.store.as_ref().expect("it was opened")) as Arc<dyn Store>
    }

    fn reopen(&mut self) {
        self.store = None;
        let store = Database::on(Arc::new(self.disk.clone()), false).expect("the store is well");
        self.store = Some(Arc::new(store));
    }

    fn damage(&mut self, _: &str, _: Table, _: u64, value: &[u8]) {
        self.store = None;
        assert!(self.disk.flip(value) > 0, "there is such a row");
        self.reopen();
    }

    fn set_full(&mut self, full: bool) {
        self.disk.set_full(full);
    }

    fn fail_next_commit(&mut self) {
        self.disk.fail_in(2);
    }
}
