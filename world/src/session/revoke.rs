//! Taking back what a token gave, before the token ends.
//!
//! P12: a revoked session is told nothing more, not even what waits already; it is gone at once, so
//! that nothing of it can be taken up again.

use super::{Session, SessionIdx};
use crate::World;
use crate::counters::count;
use crate::input::Whom;
use crate::output::{Close, Note, Output};
use starling_protocol::close::CloseCode;

impl Whom {
    fn names(&self, session: &Session) -> bool {
        let subject = session.principal.subject.as_str();
        match self {
            Self::Session(id) => session.id == *id,
            Self::Subject(name) => subject == name,
            Self::Under(beginning) => subject.starts_with(beginning.as_str()),
            Self::Everyone => true,
        }
    }
}

impl World {
    /// Ends every session of these, live and parked, with the code `REVOKED`.
    pub(crate) fn revoke(&mut self, whom: &Whom, out: &mut Output) {
        let named = self.sessions.iter().filter(|(_, session)| whom.names(session));
        for idx in named.map(|(idx, _)| idx).collect::<Vec<_>>() {
            self.revoke_session(idx, out);
        }
    }

    fn revoke_session(&mut self, idx: SessionIdx, out: &mut Output) {
        let code = CloseCode::REVOKED;
        let session = &mut self.sessions[idx];
        session.mail.clear();
        let (id, conn) = (session.id, session.conn);
        let token = std::mem::take(&mut session.principal.token);
        out.notes.push(Note::Revoked { session: id, token });
        if let Some(conn) = conn {
            count(&mut self.counters.closes, code);
            out.closes.push(Close { conn, code });
        }
        self.end_session(idx, code, out);
    }
}
