//! Who looks, and whom it may see at all.

use crate::entity::{Entities, EntityIdx, Traits};
use crate::session::{Owned, Session, SessionIdx};
use starling_protocol::message::control::Audience;
use starling_protocol::units::Handle;

/// Who looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Viewer<'a> {
    /// Its session.
    pub(super) session: SessionIdx,
    /// Its team, 0 for none.
    pub(super) team: u8,
    /// Its entities by handle.
    pub(super) owned: &'a Owned,
    /// The entity that a game or host moves for it.
    pub(super) avatar: Option<EntityIdx>,
    /// Since the last tick nothing changed that decides whom it may see at all.
    pub(super) stands: bool,
}

/// As of when it was worked out whom a session may see at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    team: u8,
    handovers: u32,
}

impl<'a> Viewer<'a> {
    /// The viewer of a session; `standing` is as of its last look, and then as of this.
    pub(super) fn new(
        session: SessionIdx,
        row: &'a Session,
        entities: &Entities,
        standing: &mut Standing,
    ) -> Self {
        let now = Standing { team: row.team, handovers: entities.handovers() };
        let stands = std::mem::replace(standing, now) == now;
        Self { session, team: row.team, owned: row.owned(), avatar: row.avatar, stands }
    }

    /// Where its areas centre: the entity it names, its avatar, or its first.
    pub(super) fn center(&self, entity: Option<Handle>) -> Option<EntityIdx> {
        match entity {
            Some(handle) => self.owned.get(handle),
            None => self.avatar.or_else(|| self.owned.first()),
        }
    }

    /// May it see an entity at all?
    #[inline]
    pub(super) fn may_see(&self, traits: &Traits) -> bool {
        may_see(self.session, self.team, traits)
    }
}

/// May a session of this team see an entity at all? Never its own: it knows better where those are.
#[inline]
pub(super) fn may_see(session: SessionIdx, team: u8, traits: &Traits) -> bool {
    if traits.owner == session.0 {
        return false;
    }
    match traits.audience {
        Audience::All => true,
        Audience::Team => team != 0 && traits.team == team,
        Audience::Private => traits.avatar_of == session.0,
    }
}
