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
            Self::Sessions(ids) => ids.contains(&session.id),
        }
    }

    /// Is the token of each of these to be barred by its name? Those of a subject or of a tenant are
    /// barred by whose they are, all at once.
    const fn with_token(&self) -> bool {
        matches!(self, Self::Session(_) | Self::Sessions(_))
    }
}

impl World {
    /// Ends every session of these, live and parked, with the code `REVOKED`.
    pub(crate) fn revoke(&mut self, whom: &Whom, out: &mut Output) {
        let named = self.sessions.iter().filter(|(_, session)| whom.names(session));
        for idx in named.map(|(idx, _)| idx).collect::<Vec<_>>() {
            self.revoke_session(idx, whom.with_token(), out);
        }
    }

    fn revoke_session(&mut self, idx: SessionIdx, with_token: bool, out: &mut Output) {
        let code = CloseCode::REVOKED;
        let session = &mut self.sessions[idx];
        session.mail.clear();
        let (id, conn) = (session.id, session.conn);
        let token = if with_token { session.principal.token.clone() } else { String::new() };
        out.notes.push(Note::Revoked { session: id, token });
        if let Some(conn) = conn {
            count(&mut self.counters.closes, code);
            out.closes.push(Close { conn, code });
        }
        self.end_session(idx, code, out);
    }
}
