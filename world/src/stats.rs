//! What a world holds now.

use crate::World;

/// What a world holds at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Sessions that a connection carries.
    pub sessions_live: usize,
    /// Sessions that wait for their connection to come back.
    pub sessions_parked: usize,
    /// Entities.
    pub entities: usize,
    /// Zones that they are in.
    pub zones: usize,
    /// Slots in use: pairs of a session and an entity in its view.
    pub visible_pairs: usize,
    /// Named channels, presence lists included.
    pub channels: usize,
    /// Events of durable channels on their way to the disk.
    pub events_pending: usize,
    /// Questions that the store has not answered yet.
    pub reads_under_way: usize,
    /// How far up the ladder of load shedding it is ([`shed::step`](crate::shed::step)).
    pub shed_step: u8,
}

impl World {
    /// What the world holds now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let live = self.sessions.live();
        Stats {
            sessions_live: live,
            sessions_parked: self.sessions.len() - live,
            entities: self.entities.len(),
            zones: self.atlas.index().zones(),
            visible_pairs: self.replication.slots(),
            channels: self.channels.len(),
            events_pending: self.durable.pending.len(),
            reads_under_way: self.durable.reads.under_way(),
            shed_step: self.shed.step(),
        }
    }
}
