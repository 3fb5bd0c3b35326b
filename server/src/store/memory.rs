//! A store that forgets when it goes: for simulations and tests, with faults on demand.

use super::row::{self, Gathering};
use super::{Group, Store, StoreError};
use starling_world::journal::{Change, RowRange, Rows, Table};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Rows in memory. Clones share them, so that a world can begin again on what it left.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<State>>);

/// What goes wrong with a [`Memory`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    #[default]
    None,
    /// There is no room for more.
    Full,
    /// The next commit fails, and may or may not have written.
    Failing {
        /// It has.
        written: bool,
    },
    /// Nothing can be read.
    Unreadable,
}

#[derive(Debug, Default)]
struct State {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    commits: u64,
    trouble: Trouble,
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on this goes wrong.
    pub fn set_trouble(&self, trouble: Trouble) {
        self.state().trouble = trouble;
    }

    /// How many commits there were.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.state().commits
    }

    /// Flips a bit in a row. Says whether there is such a row.
    pub fn damage(&self, world: &str, table: Table, key: &[u8]) -> bool {
        let place = row::place(world, table, key);
        let mut state = self.state();
        let Some(last) = state.rows.get_mut(&place).and_then(|stored| stored.last_mut()) else {
            return false;
        };
        *last ^= 1;
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Memory {
    fn commit(&self, groups: &[Group]) -> Result<(), StoreError> {
        row::check(groups)?;
        let mut state = self.state();
        match state.trouble {
            Trouble::Full => return Err(StoreError::Full),
            Trouble::Failing { written } => {
                if written {
                    state.write(groups);
                }
                return Err(StoreError::Io(io::Error::other("a fault made on demand")));
            }
            Trouble::None | Trouble::Unreadable => state.write(groups),
        }
        Ok(())
    }

    fn read(&self, world: &str, asked: &RowRange) -> Result<Rows, StoreError> {
        let state = self.state();
        if state.trouble == Trouble::Unreadable {
            return Err(StoreError::Io(io::Error::other("a fault made on demand")));
        }
        let mut rows = Gathering::new(world, asked);
        let Some(range) = row::places(world, asked.table, &asked.keys) else {
            return Ok(rows.finish());
        };
        let mut found = state.rows.range(range);
        while let Some((place, stored)) =
            if asked.backwards { found.next_back() } else { found.next() }
        {
            if !rows.take(place, stored) {
                break;
            }
        }
        Ok(rows.finish())
    }

    fn world_after(&self, name: Option<&str>) -> Result<Option<String>, StoreError> {
        let start = name.map(row::beyond).unwrap_or_default();
        let state = self.state();
        let first = state.rows.range(start..).next();
        Ok(first.and_then(|(place, _)| row::world_of(place)))
    }
}

impl State {
    fn write(&mut self, groups: &[Group]) {
        self.commits += 1;
        for group in groups {
            for change in &group.changes {
                self.apply(&group.world, change);
            }
        }
    }

    fn apply(&mut self, world: &str, change: &Change) {
        match change {
            Change::Put { table, key, value } => {
                let place = row::place(world, *table, key);
                let stored = row::sealed(&place, value);
                self.rows.insert(place, stored);
            }
            Change::Remove { table, key } => {
                self.rows.remove(&row::place(world, *table, key));
            }
            Change::RemoveRange { table, keys } => {
                let Some(range) = row::places(world, *table, keys) else { return };
                let gone: Vec<_> = self.rows.range(range).map(|(place, _)| place.clone()).collect();
                for place in gone {
                    self.rows.remove(&place);
                }
            }
        }
    }
}
