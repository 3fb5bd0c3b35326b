//! What whoever makes worlds needs of the store.

use super::desk::{Desk, LifeId};
use super::{Bell, Keeper, Pen, Store, WorldShelf};
use crate::exchange::Mailbox;
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
