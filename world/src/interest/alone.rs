//! Interest without the rest of the tick, for benches.

use crate::World;
use crate::entity::EntityIdx;
use crate::executor::{Executor, Serial};
use starling_protocol::space::IPos;

impl World {
    /// Moves entities and brings the index up to that, and does nothing else of a tick.
    pub fn move_alone(&mut self, moved: &[(EntityIdx, IPos)]) {
        for &(entity, to) in moved {
            self.atlas.moved(entity, to);
        }
        self.atlas.refresh(&Serial);
    }

    /// Works out who sees whom, and tells nobody.
    pub fn look_only(&mut self, exec: &impl Executor) {
        self.interests.look(&self.sessions, &self.atlas, &self.entities, exec);
    }
}
