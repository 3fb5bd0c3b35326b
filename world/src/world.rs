//! One world: all of its state in one place.

use crate::config::WorldConfig;
use crate::counters::Counters;
use crate::entity::Entities;
use starling_protocol::units::Tick;

/// One world. See the crate's documentation for its two doors, `step` and `tick`.
#[derive(Debug)]
pub struct World {
    /// How it behaves; fixed for its life.
    pub(crate) config: WorldConfig,
    /// The newest tick that was run; 0 before the first.
    pub(crate) now: Tick,
    /// Everything that has a position.
    pub(crate) entities: Entities,
    /// What is counted.
    pub(crate) counters: Counters,
}

impl World {
    /// An empty world before its first tick.
    #[must_use]
    pub fn new(config: WorldConfig) -> Self {
        Self {
            now: Tick(0),
            entities: Entities::new(&config),
            counters: Counters::default(),
            config,
        }
    }

    /// How it behaves.
    #[must_use]
    pub fn config(&self) -> &WorldConfig {
        &self.config
    }

    /// The newest tick that was run; 0 before the first.
    #[must_use]
    pub fn now(&self) -> Tick {
        self.now
    }

    /// What was counted since the world began.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Everything that has a position.
    #[must_use]
    pub fn entities(&self) -> &Entities {
        &self.entities
    }
}
