//! Events on their way to the application.

use crate::event::{ClientEvent, Cue};
use starling_protocol::limits::CUES_PENDING_MAX;
use std::collections::VecDeque;

/// Events beyond which nothing more is read from the streams until some are taken.
pub(crate) const EVENTS_QUEUED_MAX: usize = 4_096;

/// What the application has not taken yet.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    events: VecDeque<ClientEvent>,
    cues: VecDeque<Cue>,
    /// Cues that made room for newer ones, because nobody took them.
    pub(crate) cues_dropped: u64,
}

impl Queue {
    pub(crate) fn push(&mut self, event: ClientEvent) {
        self.events.push_back(event);
    }

    pub(crate) fn pop(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// May more be read from the streams?
    pub(crate) fn has_room(&self) -> bool {
        self.events.len() < EVENTS_QUEUED_MAX
    }

    /// Has the application caught up so far that it makes sense to connect again?
    pub(crate) fn has_drained(&self) -> bool {
        self.events.len() < EVENTS_QUEUED_MAX / 2
    }

    pub(crate) fn push_cue(&mut self, cue: Cue) {
        if self.cues.len() == CUES_PENDING_MAX {
            self.cues.pop_front();
            self.cues_dropped += 1;
        }
        self.cues.push_back(cue);
    }

    pub(crate) fn pop_cue(&mut self) -> Option<Cue> {
        self.cues.pop_front()
    }
}
