//! What whoever makes worlds needs of the store.

use super::desk::{Desk, LifeId};
use super::{Bell, Keeper, Pen, Store, StoreError, WorldShelf};
use crate::exchange::Mailbox;
use starling_protocol::units::Nanos;
use starling_world::journal::{Change, KEY_BYTES_MAX, RowRange, Table};
use std::sync::Arc;

/// The desk for what is written and the store for what was.
#[derive(Clone)]
pub struct Books {
    desk: Arc<Desk>,
    store: Arc<dyn Store>,
}

impl Books {
    /// Those of a keeper.
    #[must_use]
    pub fn of(keeper: &Keeper) -> Self {
        Self { desk: Arc::clone(keeper.desk()), store: Arc::clone(keeper.store()) }
    }

    /// Where rooms hand in.
    #[must_use]
    pub const fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    /// A world begins. What an earlier life of it handed in is on stable storage when this
    /// returns, or will never be: so the shelf may be read from then on.
    #[must_use]
    pub fn begin(&self, world: &str, mailbox: &Arc<Mailbox>) -> Pen {
        self.desk.begin(world, mailbox)
    }

    /// What is kept of a world.
    #[must_use]
    pub fn shelf(&self, world: &str) -> WorldShelf {
        WorldShelf::new(world, Arc::clone(&self.store))
    }

    /// The names of all worlds of which something is kept.
    ///
    /// # Errors
    /// Where nothing can be read.
    pub fn worlds(&self) -> Result<Vec<String>, StoreError> {
        let mut worlds: Vec<String> = Vec::new();
        while let Some(next) = self.store.world_after(worlds.last().map(String::as_str))? {
            worlds.push(next);
        }
        Ok(worlds)
    }

    /// Forgets a world that does not stand, unless it has durable channels, read or not.
    pub fn clear(&self, world: &str, now: Nanos) {
        // Whatever an earlier life handed in is written, or will never be.
        let pen = self.begin(world, &Arc::new(Mailbox::new()));
        let everything = || Vec::new()..vec![u8::MAX; KEY_BYTES_MAX + 1];
        let (table, keys, backwards) = (Table::Channel, everything(), false);
        let one = RowRange { table, keys, rows_max: 1, bytes_max: KEY_BYTES_MAX, backwards };
        match self.store.read(world, &one) {
            Ok(rows) if rows.rows.is_empty() && rows.damaged.is_none() => {
                let all = Table::ALL.map(|table| Change::RemoveRange { table, keys: everything() });
                pen.submit(now, &mut all.to_vec(), &mut Vec::new());
                tracing::info!(world, "nothing is kept of it any more");
            }
            _ => {}
        }
    }

    /// Rings this bell whenever there is news for that life of a world.
    pub fn hang(&self, life: LifeId, bell: Bell) {
        self.desk.hang(life, bell);
    }
}

impl std::fmt::Debug for Books {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Books").field("desk", &self.desk).finish_non_exhaustive()
    }
}
