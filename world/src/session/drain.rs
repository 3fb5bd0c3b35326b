//! The end of a server: everyone is told, and what was accepted is completed first (P14).

use crate::World;
use crate::journal::Health;
use crate::output::{Note, Output};
use starling_protocol::message::control::ControlDown;

impl World {
    /// Refuses new sessions from now on and tells everyone to reconnect elsewhere or later.
    pub(crate) fn drain(&mut self, deadline_ms: u32, jitter_ms: u32) {
        self.sessions.draining = true;
        let live: Vec<_> = self.sessions.iter_live().map(|(idx, _)| idx).collect();
        for idx in live {
            let message = ControlDown::GoingAway { deadline_ms, jitter_ms };
            self.sessions.control(idx, &message, self.now);
        }
    }

    /// The server is about to end: where everybody is goes to the store too, whoever's turn it is.
    pub(crate) fn settle(&mut self) {
        self.sessions.draining = true;
        self.keep_all_positions();
        self.sessions.settling = Some(self.durable.journal.written());
    }

    /// Once all that was accepted before is on stable storage, and so acknowledged, or will never
    /// be: says so, behind the answers.
    pub(crate) fn tell_settled(&mut self, out: &mut Output) {
        let Some(change) = self.sessions.settling else { return };
        let never = self.durable.health == Health::Failed;
        if never || self.durable.journal.has(change) {
            self.sessions.settling = None;
            out.notes.push(Note::Settled);
        }
    }
}
