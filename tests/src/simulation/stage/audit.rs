//! When all is over somebody comes who was never there, and reads what is kept from its beginning.

use super::super::flock::DURABLE;
use super::{Medium, Nanos, ONLY, Seat, Stage};

/// It has read all of it by then.
const AUDIT_NS: u64 = 10 * Nanos::SECOND;

impl<M: Medium> Stage<M> {
    /// P5, P6, P10: whoever reads a durable channel from its first event gets all of it.
    pub(super) fn audit(&mut self) {
        if self.stable.is_none() {
            return;
        }
        let client = self.seats.len();
        let mut seat = Seat::new(&self.options, client, self.now, &mut self.medium, false);
        let session = seat.clients.get_mut(ONLY).expect("it was just added");
        if !self.flock.admit_auditor(session) {
            return; // nothing was ever said there
        }
        self.seats.push(seat);
        let end = self.now + AUDIT_NS;
        while self.now < end && !self.flock.has_read(client) {
            self.step(false);
            self.now = self.next_moment();
        }
        self.flock.witness.checks.audits += 1;
        if !self.flock.has_read(client) {
            let words = format!("P6 {DURABLE:?} could not be read to the end");
            self.flock.witness.broken.push(words);
        }
    }
}
