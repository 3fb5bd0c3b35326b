//! What was in sight when a connection was lost, until the next one has told what is.
//!
//! A session that is taken up again is told everything anew. Whoever was in sight before and is
//! told again has neither left nor entered, and goes on being drawn from where it was.

use super::drawn::Drawn;
use starling_protocol::units::{EntityId, Nanos};
use std::collections::BTreeMap;

/// Whoever is not told again within this time has left.
const PATIENCE_NS: u64 = 2 * Nanos::SECOND;

/// Entities that were in sight, and how they were last drawn.
#[derive(Debug, Default)]
pub(super) struct Ghosts {
    waiting: BTreeMap<EntityId, Option<Drawn>>,
    until: Option<Nanos>,
}

impl Ghosts {
    pub(super) fn begin(&mut self, now: Nanos) {
        self.until = Some(now + PATIENCE_NS);
    }

    pub(super) fn add(&mut self, entity: EntityId, drawn: Option<Drawn>) {
        self.waiting.insert(entity, drawn);
    }

    pub(super) fn has(&self, entity: EntityId) -> bool {
        self.waiting.contains_key(&entity)
    }

    /// It was told again; how it was last drawn.
    pub(super) fn returned(&mut self, entity: EntityId) -> Option<Drawn> {
        self.waiting.remove(&entity).flatten()
    }

    /// When the rest have left.
    pub(super) const fn until(&self) -> Option<Nanos> {
        self.until
    }

    /// Those who were not told again in time.
    pub(super) fn expire(&mut self, now: Nanos) -> impl Iterator<Item = EntityId> + use<> {
        let over = self.until.is_some_and(|until| now >= until);
        let gone = if over { std::mem::take(self).waiting } else { BTreeMap::new() };
        gone.into_keys()
    }

    /// All of them: the world is another one.
    pub(super) fn give_up(&mut self) -> impl Iterator<Item = EntityId> + use<> {
        std::mem::take(self).waiting.into_keys()
    }
}
