//! The control stream: who am I, what do I own, what do I look at.

use super::interest::Interest;
use crate::close::CloseCode;
use crate::limits::RESUME_TOKEN_BYTES;
use crate::sample::Sample;
use crate::schema::Schema;
use crate::space::Space;
use crate::units::{
    ChannelKey, ChannelPosition, EntityId, Epoch, Handle, KindId, SessionId, Tick, TickRate,
};
use serde::{Deserialize, Serialize};

/// Client to server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ControlUp {
    /// Always the first message.
    Hello(Box<Hello>),
    /// Makes an entity of mine appear.
    Spawn(Box<Spawn>),
    /// Makes an entity of mine disappear.
    Despawn {
        /// Which of mine.
        handle: Handle,
    },
    /// Changes typed fields of an entity of mine.
    SetFields {
        /// Which of mine.
        handle: Handle,
        /// (field index, raw value) as [`crate::schema::FieldType::encode`] makes it.
        fields: Vec<(u8, u32)>,
    },
    /// Replaces the opaque block of an entity of mine.
    SetBlock {
        /// Which of mine.
        handle: Handle,
        /// At most [`crate::limits::BLOCK_BYTES_MAX`].
        block: Vec<u8>,
    },
    /// Sets or removes the area of interest number `id`.
    SetInterest {
        /// 0 to [`crate::limits::INTERESTS_MAX`] - 1.
        id: u8,
        /// `None` removes it.
        interest: Option<Interest>,
    },
    /// Presents a fresh token before the old one expires.
    RefreshToken {
        /// The new token.
        token: String,
    },
    /// A clean end: my entities leave at once and the session is not parked.
    Goodbye,
}

/// The first message of a connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// Protocol versions that the client speaks.
    pub versions: Vec<u16>,
    /// The world to enter.
    pub world: String,
    /// Create the world with this space where the server allows it.
    pub create: Option<Space>,
    /// Access token; empty in open mode.
    pub token: String,
    /// Take up a parked session.
    pub resume: Option<Resume>,
    /// Hash of the schema that the client was built for; `None` takes the server's.
    pub schema_hash: Option<u64>,
    /// Bits of [`Capabilities`].
    pub capabilities: u32,
}

/// Bits of [`Hello::capabilities`].
pub struct Capabilities;

impl Capabilities {
    /// The client would host the world (authority `host`, needs the grant).
    pub const HOST: u32 = 1;
    /// The client only looks: it will own no entity.
    pub const VIEWER: u32 = 2;
    /// The client would be told of its avatar.
    pub const AVATAR: u32 = 4;
    /// The client takes [`DeliverDelta`](super::events::EventDown::DeliverDelta).
    pub const DELTAS: u32 = 8;
}

/// Takes up a parked session: whole, or refused whole.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// The session.
    pub session: SessionId,
    /// The token of its last Welcome; dead once the client was heard after the next one.
    pub token: [u8; RESUME_TOKEN_BYTES],
    /// The last event seen on each channel; the inbox is [`INBOX`].
    pub channels: Vec<(ChannelKey, ChannelPosition)>,
}

impl std::fmt::Debug for Resume {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resume")
            .field("session", &self.session)
            .field("channels", &self.channels)
            .finish_non_exhaustive()
    }
}

/// The key of the session's own inbox channel, subscribed from the start.
pub const INBOX: ChannelKey = ChannelKey(0);

/// A request for an entity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spawn {
    /// Echoed by the answer.
    pub request: u32,
    /// The stable device or player id, unique in the world; the server makes one up if absent.
    pub name: Option<String>,
    /// Its kind.
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
    /// A host spawns this on behalf of a player's session.
    pub avatar_of: Option<SessionId>,
}

/// Who may see an entity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Audience {
    /// Everyone whose interest covers it.
    #[default]
    All,
    /// Sessions of its team.
    Team,
    /// Nobody but its owner and the session it is an avatar of.
    Private,
}

/// Server to client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ControlDown {
    /// The session stands.
    Welcome(Box<Welcome>),
    /// It does not; the connection closes with the same code.
    Refused(Refused),
    /// The entity stands.
    Spawned {
        /// Of the request.
        request: u32,
        /// My short name for it.
        handle: Handle,
        /// Its name for everyone.
        entity: EntityId,
        /// The name it got.
        name: String,
    },
    /// It does not.
    SpawnRefused {
        /// Of the request.
        request: u32,
        /// Why.
        code: CloseCode,
    },
    /// An entity of mine is gone.
    Despawned {
        /// Which of mine.
        handle: Handle,
        /// Why.
        code: CloseCode,
    },
    /// Samples of mine that were not accepted.
    Rejected {
        /// In this tick.
        tick: Tick,
        /// Which, and why.
        samples: Vec<Rejection>,
    },
    /// An area of interest was set.
    InterestSet {
        /// Its number.
        id: u8,
    },
    /// A request was refused; the session goes on.
    RequestRefused {
        /// What was asked.
        request: RequestKind,
        /// Why.
        code: CloseCode,
    },
    /// The token was accepted and the grants replaced.
    TokenAccepted,
    /// The server drains: reconnect with resume after a random part of `jitter_ms`.
    GoingAway {
        /// Milliseconds until the server closes the connection itself.
        deadline_ms: u32,
        /// Upper bound of the random wait before reconnecting.
        jitter_ms: u32,
    },
    /// The server sheds load at this level (0 is normal).
    Shed {
        /// The rung of the ladder.
        level: u8,
    },
    /// The entity that the game or the host moves for this session: told to clients with
    /// [`Capabilities::AVATAR`] when it changes, and after a Welcome that resumes.
    Avatar {
        /// Its name for everyone; `None` when there is none any more.
        entity: Option<EntityId>,
    },
}

/// One sample that was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// Which of mine.
    pub handle: Handle,
    /// The sample's own sequence number.
    pub sequence: u16,
    /// Why.
    pub reason: RejectReason,
}

/// Why a sample was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RejectReason {
    /// Outside the world's range.
    OutOfRange,
    /// Faster than the world allows.
    TooFast,
    /// Too far from the last accepted position.
    Teleport,
    /// Its fix time lies in the future or before the last accepted fix.
    BadTime,
    /// The entity is not this session's.
    NotYours,
    /// Positions are not taken from clients in this world.
    WrongAuthority,
    /// The grant to move was withdrawn.
    Forbidden,
}

/// What kind of request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RequestKind {
    /// [`ControlUp::SetInterest`] with this id.
    Interest(u8),
    /// [`ControlUp::SetFields`] or [`ControlUp::SetBlock`] of this handle.
    Fields(Handle),
    /// [`ControlUp::Despawn`] of this handle.
    Despawn(Handle),
    /// [`ControlUp::RefreshToken`].
    Token,
    /// A cue sent upwards.
    Cue,
    /// A numbered input.
    Input,
}

/// The session stands.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// The version chosen.
    pub version: u16,
    /// Of the prefix codes; equal to [`crate::version::TABLES`] or the client cannot read.
    pub tables: u16,
    /// This session.
    pub session: SessionId,
    /// Takes the session up again, once.
    pub resume_token: [u8; RESUME_TOKEN_BYTES],
    /// The world entered.
    pub world: String,
    /// Its space.
    pub space: Space,
    /// How its positions are coded.
    pub track: crate::motion::TrackKind,
    /// Who says where things are.
    pub authority: Authority,
    /// Its life.
    pub epoch: Epoch,
    /// Its newest tick.
    pub tick: Tick,
    /// Ticks per second.
    pub tick_rate: TickRate,
    /// Microseconds since the epoch's start at the moment of sending.
    pub server_time_us: u64,
    /// Greatest distance between a right copy and the accepted position, in millimetres.
    pub error_bound_mm: u32,
    /// Leave radius over enter radius, in thousandths.
    pub hysteresis_permille: u16,
    /// Rings of distance in which changes are told less often, nearest first; none where all is told
    /// at once.
    pub rings: Vec<Ring>,
    /// Milliseconds without contact after which an entity leaves.
    pub presence_ms: u32,
    /// Milliseconds for which a lost session stays parked.
    pub park_ms: u32,
    /// Ticks between heartbeats when nothing else is due.
    pub heartbeat_ticks: u32,
    /// Kinds and fields.
    pub schema: Schema,
    /// Answer to [`Hello::resume`].
    pub resumed: ResumeAnswer,
    /// Entities of mine that still stand (after a resume).
    pub entities: Vec<OwnEntity>,
}

/// A band of distance, up to where the next one begins, in which changes are told in every n-th tick.
///
/// A copy is right within the world's bound whenever it was told, and as of `every_ticks - 1` ticks
/// ago at the latest. Distance is to the nearest place that the session looks from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ring {
    /// Where it begins, in metres from where the session looks.
    pub beyond_m: f32,
    /// Ticks from one turn to the next, 2 to [`crate::limits::RING_TICKS_MAX`].
    pub every_ticks: u8,
}

impl std::fmt::Debug for Welcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Welcome")
            .field("session", &self.session)
            .field("world", &self.world)
            .field("epoch", &self.epoch)
            .field("tick", &self.tick)
            .field("tick_rate", &self.tick_rate)
            .field("resumed", &self.resumed)
            .finish_non_exhaustive()
    }
}

/// An entity of mine that outlived my connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnEntity {
    /// My short name for it.
    pub handle: Handle,
    /// Its name for everyone.
    pub entity: EntityId,
    /// Its own name.
    pub name: String,
    /// The newest sample sequence that was folded.
    pub sequence: u16,
}

/// What became of a request to resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResumeAnswer {
    /// None was asked for: a new session.
    New,
    /// The session goes on with its entities and subscriptions.
    Resumed,
    /// The session is gone; this is a new one, and everything is to be set up again.
    Reset,
    /// The token was wrong or used before; this is a new session.
    Denied,
}

/// Who says where things are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Authority {
    /// Clients claim positions; the server validates.
    Client,
    /// Clients send numbered inputs; the server's game decides.
    Server,
    /// Clients send numbered inputs; a trusted session decides.
    Host,
}

/// No session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Why.
    pub code: CloseCode,
    /// For a log or a person.
    pub reason: String,
    /// Milliseconds to wait before the next attempt.
    pub retry_after_ms: Option<u32>,
}
