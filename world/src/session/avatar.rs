//! The entity that a game or a host moves for a player: its views centre there, and it is told.

use super::SessionIdx;
use crate::World;
use crate::entity::EntityIdx;
use starling_protocol::message::control::{Authority, ControlDown};

impl World {
    /// Makes an entity the avatar of a player, instead of the one before.
    pub(crate) fn set_avatar(&mut self, player: SessionIdx, entity: EntityIdx) {
        match self.entities.avatar_of(entity) {
            Some(before) if before == player => return,
            Some(before) => self.lose_avatar(before),
            None => {}
        }
        if let Some(old) = self.sessions[player].avatar.replace(entity) {
            self.entities.set_avatar_of(old, None);
        }
        self.entities.set_avatar_of(entity, Some(player));
        self.sessions[player].team = self.entities.traits(entity).team;
        self.tell_avatar(player);
    }

    /// A player's avatar is gone, or another's now.
    pub(crate) fn lose_avatar(&mut self, player: SessionIdx) {
        self.sessions[player].avatar = None;
        self.tell_avatar(player);
    }

    /// Tells a player which entity is its avatar, where there are avatars and it would know.
    pub(super) fn tell_avatar(&mut self, player: SessionIdx) {
        let session = &self.sessions[player];
        if self.config.authority == Authority::Client || !session.hears_of_avatar() {
            return;
        }
        let entity = session.avatar.map(|entity| self.entities.id(entity));
        self.sessions.control(player, &ControlDown::Avatar { entity }, self.now);
    }
}
