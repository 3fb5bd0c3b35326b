//! What a datagram asks of the session that sent it, side by side with what others are asked: a
//! session itself is many cold lines of memory.

use super::{Session, SessionIdx, Sessions};
use crate::entity::EntityIdx;
use starling_protocol::units::{Handle, Tick};

/// The name that the first entity of a session has.
const FIRST: Handle = Handle(0);

/// One session, as its datagrams know it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Speaker {
    /// The newest tick with a sign of life.
    contact: Tick,
    /// What follows was learned of the session, and nobody changed it since.
    is_known: bool,
    /// It is here, and has its newest resume token: to be heard changes nothing but `contact`.
    is_settled: bool,
    /// It may say where its entities are.
    may_move: bool,
    first: Option<EntityIdx>,
}

impl Speaker {
    /// Of a session that begins.
    pub(super) fn new(now: Tick) -> Self {
        Self { contact: now, ..Self::default() }
    }

    /// Somebody may have changed the session.
    pub(super) fn forget(&mut self) {
        self.is_known = false;
    }

    /// Makes sure that what is known still holds.
    #[inline]
    pub(crate) fn learn(&mut self, session: Option<&Session>) {
        if let Some(session) = session.filter(|_| !self.is_known) {
            self.is_known = true;
            self.is_settled = session.here && !session.presence.quiet && session.tokens.is_sure();
            self.may_move = session.principal.grants.r#move;
            self.first = session.owned.get(FIRST);
        }
    }

    /// Is a sign of life nothing new? Then it is noted.
    #[inline]
    pub(crate) fn hear(&mut self, now: Tick) -> bool {
        if self.is_settled {
            self.contact = now;
        }
        self.is_settled
    }

    /// May it say where its entities are?
    pub(crate) fn may_move(&self) -> bool {
        self.may_move
    }

    /// Its entity with this name.
    #[inline]
    pub(crate) fn owned(&self, handle: Handle, session: Option<&Session>) -> Option<EntityIdx> {
        if handle == FIRST { self.first } else { session?.owned.get(handle) }
    }
}

impl Sessions {
    /// All sessions, and what their datagrams know of them.
    pub(crate) fn speakers(&mut self) -> (&[Option<Box<Session>>], &mut [Speaker]) {
        (&self.rows, &mut self.speakers)
    }

    /// The newest tick with a sign of life of a session.
    pub(crate) fn contact(&self, idx: SessionIdx) -> Tick {
        self.speakers[idx.at()].contact
    }

    /// So many ticks were no silence of anyone's, whether live or parked, and nobody's slowness.
    pub(crate) fn forgive(&mut self, ticks: u32) {
        for speaker in &mut self.speakers {
            speaker.contact = speaker.contact + ticks;
        }
        for session in self.rows.iter_mut().flatten() {
            session.parked = session.parked.map(|since| since + ticks);
            session.mail.forgive(ticks);
        }
    }

    /// Notes a sign of life.
    pub(crate) fn touch(&mut self, idx: SessionIdx, now: Tick) {
        self.speakers[idx.at()].contact = now;
    }
}
