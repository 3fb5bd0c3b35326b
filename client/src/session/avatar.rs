//! The entity that a game or a host moves for this session.

use super::Session;
use crate::event::ClientEvent;
use starling_protocol::units::EntityId;

impl Session {
    /// The entity that the game or the host moves for me; where clients decide there is none.
    ///
    /// It is not mine in the sense of [`Session::spawn`], so it comes into sight like any other:
    /// `session.view().get(avatar)` says where it is.
    #[must_use]
    pub const fn avatar(&self) -> Option<EntityId> {
        self.avatar
    }

    /// The server named it, or it is gone.
    pub(super) fn set_avatar(&mut self, entity: Option<EntityId>) {
        if self.avatar != entity {
            self.avatar = entity;
            self.queue.push(ClientEvent::Avatar { entity });
        }
    }
}
