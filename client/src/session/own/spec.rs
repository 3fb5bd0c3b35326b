//! What an entity of mine shall be.

use super::OwnKey;
use crate::error::RequestError;
use crate::pose::Pose;
use starling_protocol::close::CloseCode;
use starling_protocol::limits::{BLOCK_BYTES_MAX, ENTITY_NAME_BYTES_MAX};
use starling_protocol::message::control::{Audience, Spawn};
use starling_protocol::sample::Sample;
use starling_protocol::schema::{Schema, Value};
use starling_protocol::units::{KindId, SessionId};

/// What an entity of mine shall be.
///
/// ```
/// use starling_client::{Pose, SpawnSpec};
/// let bus = SpawnSpec::at(Pose::at([52.23, 21.01, 0.0])).named("bus/517");
/// assert_eq!(bus.name.as_deref(), Some("bus/517"));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SpawnSpec {
    /// The stable device or player id, unique in the world; the server makes one up if absent.
    pub name: Option<String>,
    /// Its kind.
    pub kind: KindId,
    /// Team, 0 for none.
    pub team: u8,
    /// Who may see it at all.
    pub audience: Audience,
    /// Where it starts.
    pub pose: Pose,
    /// Typed fields that differ from zero, by their index in the kind.
    pub fields: Vec<(u8, Value)>,
    /// The opaque block of a kind that has one.
    pub block: Vec<u8>,
    /// A host spawns this on behalf of a player's session.
    pub avatar_of: Option<SessionId>,
}

impl SpawnSpec {
    /// An entity of the first kind, visible to all, with no fields.
    #[must_use]
    pub const fn at(pose: Pose) -> Self {
        Self {
            name: None,
            kind: KindId(0),
            team: 0,
            audience: Audience::All,
            pose,
            fields: Vec::new(),
            block: Vec::new(),
            avatar_of: None,
        }
    }

    /// With this stable name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Of this kind.
    #[must_use]
    pub const fn kind(mut self, kind: KindId) -> Self {
        self.kind = kind;
        self
    }

    pub(super) fn check(&self) -> Result<(), RequestError> {
        let name = self.name.as_ref().map_or(0, String::len);
        let fits = name <= ENTITY_NAME_BYTES_MAX && self.block.len() <= BLOCK_BYTES_MAX;
        if fits { Ok(()) } else { Err(RequestError::TooLarge) }
    }

    /// The request that asks for it.
    pub(super) fn request(
        &self,
        key: OwnKey,
        sample: Sample,
        schema: &Schema,
    ) -> Result<Spawn, CloseCode> {
        Ok(Spawn {
            request: key.request(),
            name: self.name.clone(),
            kind: self.kind,
            team: self.team,
            audience: self.audience,
            sample,
            fields: raw_fields(schema, self.kind, &self.fields)?,
            block: self.block.clone(),
            avatar_of: self.avatar_of,
        })
    }
}

/// Values in the form that the wire carries.
pub(super) fn raw_fields(
    schema: &Schema,
    kind: KindId,
    fields: &[(u8, Value)],
) -> Result<Vec<(u8, u32)>, CloseCode> {
    let declared = &schema.kind(kind).ok_or(CloseCode::UNKNOWN_KIND)?.fields;
    let raw = |&(index, value): &(u8, Value)| {
        let field = declared.get(usize::from(index)).ok_or(CloseCode::BAD_FIELD)?;
        Ok((index, field.ty.encode(value).map_err(|_| CloseCode::BAD_FIELD)?))
    };
    fields.iter().map(raw).collect()
}
