//! What it takes to make an entity.

use crate::session::SessionIdx;
use starling_protocol::message::control::{Audience, Spawn};
use starling_protocol::sample::Sample;
use starling_protocol::units::{Handle, KindId};

/// Whose an entity is, and what that session calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The session.
    pub session: SessionIdx,
    /// Its own name for the entity.
    pub handle: Handle,
}

/// What it takes to make an entity.
#[derive(Clone, Debug)]
pub struct SpawnSpec {
    /// Unique in the world; one is made up if absent.
    pub name: Option<String>,
    /// A kind of the world's schema.
    pub kind: KindId,
    /// Team, 0 for none.
    pub team: u8,
    /// Who may see it at all.
    pub audience: Audience,
    /// Where it starts.
    pub sample: Sample,
    /// Typed fields that differ from zero.
    pub fields: Vec<(u8, u32)>,
    /// The opaque block of a kind that has one.
    pub block: Vec<u8>,
    /// Whose it is; `None` for the world's own game.
    pub owner: Option<Owner>,
    /// The player whose areas of interest centre here.
    pub avatar_of: Option<SessionIdx>,
}

impl SpawnSpec {
    /// What a request asks for, nobody's yet.
    pub(crate) fn of(spawn: Spawn) -> Self {
        Self {
            name: spawn.name,
            kind: spawn.kind,
            team: spawn.team,
            audience: spawn.audience,
            sample: spawn.sample,
            fields: spawn.fields,
            block: spawn.block,
            owner: None,
            avatar_of: None,
        }
    }
}
