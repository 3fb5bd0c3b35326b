//! Who gets an event that is addressed by place, by entity or by name of a session.

use super::name;
use crate::World;
use crate::entity::EntityIdx;
use crate::session::SessionIdx;
use starling_protocol::close::CloseCode;
use starling_protocol::message::control::Audience;
use starling_protocol::message::events::Scope;
use starling_protocol::message::interest::Target;
use starling_protocol::space::IPos;
use starling_protocol::units::{Handle, SessionId};
use std::borrow::Cow;

/// The name that a scope of inboxes has in grants; `None` for any other.
pub(super) fn grant_name(scope: &Scope) -> Option<&'static str> {
    match scope {
        Scope::NearMine { .. } | Scope::Near { .. } => Some("@near"),
        Scope::Watchers(_) => Some("@watchers"),
        Scope::Session(_) => Some("@session"),
        Scope::World => Some("@world"),
        _ => None,
    }
}

/// The channel that a scope is, if it is one.
pub(super) fn channel_of(scope: &Scope) -> Option<Cow<'_, str>> {
    match scope {
        Scope::Channel(name) => Some(Cow::Borrowed(name)),
        Scope::User(subject) => Some(Cow::Owned(name::user(subject))),
        _ => None,
    }
}

impl World {
    /// The sessions whose inboxes take an event, in order. The server itself has no entities, and
    /// sees all.
    ///
    /// # Errors
    /// `UNKNOWN_ENTITY`, `UNKNOWN_CHANNEL` (no such session), `BAD_POSITION`.
    pub(super) fn recipients(
        &self,
        from: Option<SessionIdx>,
        scope: &Scope,
    ) -> Result<Vec<SessionIdx>, CloseCode> {
        match scope {
            Scope::NearMine { entity, radius_m } => {
                let center = self.entities.accepted(self.mine(from, *entity)?).position;
                self.near(center, *radius_m)
            }
            Scope::Near { center, radius_m } => {
                let center =
                    self.config.space.snap(*center).map_err(|_| CloseCode::BAD_POSITION)?;
                self.near(center, *radius_m)
            }
            Scope::Watchers(target) => {
                let entity = self.visible_target(from, target)?;
                Ok(self.replication.watchers(entity))
            }
            Scope::Session(id) => self.one(*id),
            Scope::World => Ok(self.sessions.iter().map(|(idx, _)| idx).collect()),
            // Not of inboxes, or of a later version: nobody, never everybody (P12).
            _ => Err(CloseCode::UNKNOWN_CHANNEL),
        }
    }

    fn near(&self, center: IPos, radius_m: f32) -> Result<Vec<SessionIdx>, CloseCode> {
        if !radius_m.is_finite() || radius_m < 0.0 {
            return Err(CloseCode::BAD_POSITION);
        }
        let mut near = Vec::new();
        self.sessions_near(center, f64::from(radius_m), &mut near);
        Ok(near)
    }

    fn one(&self, id: SessionId) -> Result<Vec<SessionIdx>, CloseCode> {
        self.sessions.by_id(id).map(|idx| vec![idx]).ok_or(CloseCode::UNKNOWN_CHANNEL)
    }

    fn mine(
        &self,
        from: Option<SessionIdx>,
        handle: Option<Handle>,
    ) -> Result<EntityIdx, CloseCode> {
        let session = &self.sessions[from.ok_or(CloseCode::UNKNOWN_ENTITY)?];
        let entity = match handle {
            Some(handle) => session.owned.get(handle),
            None => session.avatar.or_else(|| session.owned.first()),
        };
        entity.ok_or(CloseCode::UNKNOWN_ENTITY)
    }

    /// An entity that is hidden from the session is as unknown as one that does not exist.
    fn visible_target(
        &self,
        from: Option<SessionIdx>,
        target: &Target,
    ) -> Result<EntityIdx, CloseCode> {
        let entity = self.entities.target(target).ok_or(CloseCode::UNKNOWN_ENTITY)?;
        let Some(idx) = from else { return Ok(entity) };
        let traits = self.entities.traits(entity);
        let own = traits.owner == idx.0 || traits.avatar_of == idx.0;
        let visible = match traits.audience {
            Audience::All => true,
            Audience::Team => own || traits.team == self.sessions[idx].team,
            Audience::Private => own,
        };
        if visible { Ok(entity) } else { Err(CloseCode::UNKNOWN_ENTITY) }
    }
}
