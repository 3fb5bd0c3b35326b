//! What the swarm tells the truth.

use crate::space::Position;
use crate::target::{EntityNo, EventNo, EventScope, Received};

/// The news of one pass over the clients of one thread.
#[derive(Debug, Default)]
pub struct News {
    /// What the pass brought. [`Received::accepted`] is empty: it has become `taken`.
    pub received: Received,
    /// Positions that the server took.
    pub taken: Vec<Taken>,
    /// Entities that were submitted for the first time.
    pub appearing: Vec<EntityNo>,
    /// Entities whose removal was asked for.
    pub leaving: Vec<EntityNo>,
    /// Events that were handed over for publishing.
    pub published: Vec<(EventNo, EventScope, u64)>,
}

impl News {
    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        let Received {
            links,
            wanted,
            accepted,
            known,
            frames,
            copies,
            deliveries,
            acked,
            refused_events,
            removed,
            rtt_ns,
            views,
        } = &mut self.received;
        links.clear();
        wanted.clear();
        accepted.clear();
        known.clear();
        frames.clear();
        copies.clear();
        deliveries.clear();
        acked.clear();
        refused_events.clear();
        removed.clear();
        rtt_ns.clear();
        views.clear();
        self.taken.clear();
        self.appearing.clear();
        self.leaving.clear();
        self.published.clear();
    }

    /// Forgets who holds what, the bulk of the news, when the truth cannot keep up.
    pub fn shed_frames(&mut self) -> u64 {
        let shed = self.received.frames.iter().filter(|frame| frame.len > 0).count();
        self.received.frames.clear();
        self.received.copies.clear();
        shed as u64
    }
}

/// The server took a position in a tick.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Taken {
    /// Whose.
    pub entity: EntityNo,
    /// In which tick.
    pub tick: u32,
    /// As it was reported.
    pub position: Position,
    /// When it was to be sampled.
    pub sampled_ns: u64,
}
