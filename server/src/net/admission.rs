//! Who is let in when many come at once, as after a restart: so many in each interval, that the rooms
//! keep their ticks; who comes back before who is new, and the oldest sessions first.
//!
//! Nobody loses a place by waiting or by being told to come again: a session that is not taken up yet
//! stays parked, its token stays good, and its rank is that of its session, whenever it comes.

use super::Front;
use super::gate::Refusal;
use crate::room::directory::Lender;
use starling_protocol::close::CloseCode;
use starling_protocol::message::control::Hello;
use starling_protocol::units::Nanos;
use starling_transport::{ConnKey, Transport};
use std::collections::BTreeMap;

/// Hellos that are answered in one interval. One costs a room some 50 us, its token here as much again.
const PER_INTERVAL: u32 = 32;
/// Short beside a tick.
const INTERVAL_NS: u64 = 5 * Nanos::MILLISECOND;
/// Hellos that may wait: what is answered in less than a second.
const WAITING_MAX: usize = 4_096;
/// Who is one too many comes again after a random time between these, in milliseconds.
const AGAIN_MS: std::ops::Range<u64> = 1_000..5_000;

/// Whose turn comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    newcomer: bool,
    /// The number of the session to take up: sessions are counted from life to life.
    session: u64,
    arrival: u64,
}

/// Hellos that wait for their turn.
#[derive(Debug, Default)]
pub(super) struct Admission {
    waiting: BTreeMap<Rank, (ConnKey, Box<Hello>)>,
    arrivals: u64,
    answered: u32,
    interval_ends: Nanos,
}

impl Admission {
    /// When the next Hello has its turn, if one waits.
    pub(super) fn next_timeout(&self) -> Option<Nanos> {
        (!self.waiting.is_empty()).then_some(self.interval_ends)
    }

    fn has_turn(&mut self, now: Nanos) -> bool {
        if now >= self.interval_ends {
            (self.answered, self.interval_ends) = (0, now + INTERVAL_NS);
        }
        let has = self.answered < PER_INTERVAL;
        self.answered += u32::from(has);
        has
    }

    /// Lets a Hello wait. Gives back the one that is too many, which may be another.
    fn wait(&mut self, conn: ConnKey, hello: Hello) -> Option<ConnKey> {
        self.arrivals += 1;
        let session = hello.resume.as_ref().map(|resume| resume.session.0);
        let (newcomer, session) = (session.is_none(), session.unwrap_or(0));
        let rank = Rank { newcomer, session, arrival: self.arrivals };
        self.waiting.insert(rank, (conn, Box::new(hello)));
        let crowded = self.waiting.len() > WAITING_MAX;
        crowded.then(|| self.waiting.pop_last().map(|(_, (conn, _))| conn))?
    }
}

impl<T: Transport, L: Lender> Front<T, L> {
    /// A Hello came: it is answered now, or has its turn later.
    pub(super) fn hello(&mut self, now: Nanos, conn: ConnKey, hello: Hello) {
        if self.admission.waiting.is_empty() && self.admission.has_turn(now) {
            return self.admit(now, conn, hello);
        }
        self.counters.totals.hellos_waited.one();
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.waits = true;
        }
        if let Some(conn) = self.admission.wait(conn, hello) {
            let spread = self.gate.entropy.number() % (AGAIN_MS.end - AGAIN_MS.start);
            let refusal = Refusal::new(CloseCode::OVERLOADED, "too many come at once");
            let again_ms = (AGAIN_MS.start + spread) as u32;
            self.refuse(now, conn, &refusal.retry_after(again_ms));
        }
    }

    /// Answers those whose turn has come.
    pub(super) fn admit_waiting(&mut self, now: Nanos) {
        while !self.admission.waiting.is_empty() && self.admission.has_turn(now) {
            let Some((_, (conn, hello))) = self.admission.waiting.pop_first() else { return };
            // Who is gone meanwhile takes a turn and nothing else.
            if let Some(connection) = self.connections.get_mut(&conn) {
                connection.waits = false;
                self.admit(now, conn, *hello);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use starling_protocol::limits::RESUME_TOKEN_BYTES;
    use starling_protocol::message::control::Resume;
    use starling_protocol::units::SessionId;

    fn hello(session: Option<u64>) -> Hello {
        let token = [0; RESUME_TOKEN_BYTES];
        let resume = |session| Resume { session: SessionId(session), token, channels: Vec::new() };
        Hello {
            versions: vec![1],
            world: "yard".into(),
            create: None,
            token: String::new(),
            resume: session.map(resume),
            schema_hash: None,
            capabilities: 0,
        }
    }

    #[test]
    fn the_oldest_session_is_first_and_who_is_new_last() {
        let mut admission = Admission::default();
        for (conn, session) in [(1, None), (2, Some(9)), (3, Some(4)), (4, None), (5, Some(9))] {
            assert_eq!(admission.wait(ConnKey(conn), hello(session)), None);
        }
        let order: Vec<u64> = admission.waiting.values().map(|(conn, _)| conn.0).collect();
        assert_eq!(order, [3, 2, 5, 1, 4]);
    }

    #[test]
    fn the_last_of_too_many_is_sent_away_and_an_older_session_takes_its_place() {
        let mut admission = Admission::default();
        let all = WAITING_MAX as u64;
        assert!((0..all).all(|conn| admission.wait(ConnKey(conn), hello(None)).is_none()));
        assert_eq!(admission.wait(ConnKey(all), hello(None)), Some(ConnKey(all)));
        assert_eq!(admission.wait(ConnKey(all + 1), hello(Some(3))), Some(ConnKey(all - 1)));
        assert_eq!(
            admission.waiting.first_key_value().map(|(_, (conn, _))| *conn),
            Some(ConnKey(all + 1))
        );
    }

    #[test]
    fn an_interval_has_so_many_turns() {
        let mut admission = Admission::default();
        let turns = |admission: &mut Admission, at| {
            (0..100).filter(|_| admission.has_turn(Nanos(at))).count()
        };
        assert_eq!(turns(&mut admission, 0), PER_INTERVAL as usize);
        assert_eq!(turns(&mut admission, INTERVAL_NS - 1), 0);
        assert_eq!(turns(&mut admission, INTERVAL_NS), PER_INTERVAL as usize);
    }
}
