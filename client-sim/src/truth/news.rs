//! What the swarm tells the truth.

use crate::space::Position;
use crate::target::{EntityNo, EventNo, EventScope, GivenCue, Received};

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
    /// Cues that were handed over, and when.
    pub given: Vec<(GivenCue, u64)>,
}

impl News {
    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        let Received {
            links,
            wanted,
            accepted,
            known,
            doubtful,
            frames,
            copies,
            deliveries,
            acked,
            refused_events,
            heard,
            refused_cues,
            removed,
            rtt_ns,
            views,
        } = &mut self.received;
        links.clear();
        wanted.clear();
        accepted.clear();
        known.clear();
        doubtful.clear();
        frames.clear();
        copies.clear();
        deliveries.clear();
        acked.clear();
        refused_events.clear();
        heard.clear();
        refused_cues.clear();
        removed.clear();
        rtt_ns.clear();
        views.clear();
        self.taken.clear();
        self.appearing.clear();
        self.leaving.clear();
        self.published.clear();
        self.given.clear();
    }

    /// Adds later news of the same thread.
    pub fn append(&mut self, mut later: Self) {
        let base = self.received.copies.len();
        let (ours, theirs) = (&mut self.received, &mut later.received);
        ours.links.append(&mut theirs.links);
        ours.known.append(&mut theirs.known);
        ours.doubtful.append(&mut theirs.doubtful);
        ours.copies.append(&mut theirs.copies);
        let moved = |mut frame: crate::target::Frame| {
            frame.first += base;
            frame
        };
        ours.frames.extend(theirs.frames.drain(..).map(moved));
        ours.deliveries.append(&mut theirs.deliveries);
        ours.acked.append(&mut theirs.acked);
        ours.refused_events.append(&mut theirs.refused_events);
        ours.heard.append(&mut theirs.heard);
        ours.refused_cues.append(&mut theirs.refused_cues);
        ours.removed.append(&mut theirs.removed);
        ours.rtt_ns.append(&mut theirs.rtt_ns);
        ours.views.append(&mut theirs.views);
        self.taken.append(&mut later.taken);
        self.appearing.append(&mut later.appearing);
        self.leaving.append(&mut later.leaving);
        self.published.append(&mut later.published);
        self.given.append(&mut later.given);
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
    /// Is it known to be this very tick? It may have been an earlier one else.
    pub exact: bool,
    /// As it was reported.
    pub position: Position,
    /// When it was to be sampled.
    pub sampled_ns: u64,
}
