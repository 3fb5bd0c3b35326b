//! The end of the desk that one room holds.

use super::desk::{Desk, LifeId};
use starling_protocol::units::Nanos;
use starling_world::journal::{Change, Query};
use std::sync::Arc;

/// Hands in what one life of a world wants kept and wants to know. Never waits.
#[derive(Debug)]
pub struct Pen {
    desk: Arc<Desk>,
    life: LifeId,
}

impl Pen {
    pub(super) const fn new(desk: Arc<Desk>, life: LifeId) -> Self {
        Self { desk, life }
    }

    /// Which life of the world it writes for.
    #[must_use]
    pub const fn life(&self) -> LifeId {
        self.life
    }

    /// Takes all changes, as one group, and all queries.
    pub fn submit(&self, now: Nanos, changes: &mut Vec<Change>, queries: &mut Vec<Query>) {
        if !changes.is_empty() || !queries.is_empty() {
            self.desk.submit(self.life, now, std::mem::take(changes), queries);
        }
    }

    /// Does more wait than may? Then no more commands are taken in for now; and what a world keeps
    /// of itself, its positions, stops as soon as it hears of trouble, or of nothing for a while. So
    /// what waits never grows by more than one step and a few thousand positions of each room.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.desk.is_crowded()
    }
}

impl Drop for Pen {
    fn drop(&mut self) {
        self.desk.end(self.life);
    }
}
