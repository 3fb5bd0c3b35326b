//! Publishing, and what is delivered.

use super::MemberState;
use crate::message::interest::{Point, Target};
use crate::units::{ChannelKey, ChannelPosition, Handle, MessageId, Offset, SessionId, Tick};
use serde::{Deserialize, Serialize};

/// One event on its way up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Publish {
    /// Chosen by the publisher, unique among its own for ten minutes.
    pub message: MessageId,
    /// To whom.
    pub scope: Scope,
    /// Refuse with [`CONFLICT`](crate::close::CloseCode::CONFLICT) unless this is the channel's top or, with a `key`, the
    /// offset of that key's newest value (0 where there is none).
    pub expected: Option<Offset>,
    /// What the event does.
    pub action: Action,
    /// Key of keyed state; absent for plain events.
    pub key: Option<String>,
    /// Milliseconds after which the value of `key` is removed, unless it is set anew.
    pub ttl_ms: Option<u32>,
    /// The event that this one answers: the head of a thread.
    pub parent: Option<Offset>,
    /// At most [`crate::limits::EVENT_BYTES_MAX`].
    pub payload: Vec<u8>,
}

impl Publish {
    /// A plain message.
    #[must_use]
    pub const fn plain(message: MessageId, scope: Scope, payload: Vec<u8>) -> Self {
        Self {
            message,
            scope,
            expected: None,
            action: Action::Message,
            key: None,
            ttl_ms: None,
            parent: None,
            payload,
        }
    }
}

/// To whom an event goes. All but `Channel` and `User` are appended to each recipient's inbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Scope {
    /// To the subscribers of a channel.
    Channel(String),
    /// To sessions that have an entity within a distance of one of mine.
    NearMine {
        /// Which of mine; my first where absent.
        entity: Option<Handle>,
        /// In metres.
        radius_m: f32,
    },
    /// To sessions that have an entity within a distance of a point.
    Near {
        /// The point.
        center: Point,
        /// In metres.
        radius_m: f32,
    },
    /// To sessions that see an entity.
    Watchers(Target),
    /// To one session.
    Session(SessionId),
    /// To every session of the world.
    World,
    /// To the notification inbox of a user: the channel `user/<subject>`.
    User(String),
}

/// What an event does to the channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Action {
    /// A new message.
    #[default]
    Message,
    /// A new version of an earlier message.
    Update(Offset),
    /// Removal of an earlier message.
    Delete(Offset),
    /// More text for an earlier message.
    Append(Offset),
    /// A reaction or other note on an earlier message.
    Annotate(Offset),
    /// A member came (presence channels).
    Join,
    /// A member left (presence channels).
    Leave,
    /// The number stays, the content was erased.
    Tombstone,
    /// Removal of the value of a key.
    Clear,
    /// A member is here in another way (presence channels).
    Change(MemberState),
}

/// Where an accepted publish stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Receipt {
    /// In its channel.
    Channel(ChannelPosition),
    /// In this many inboxes.
    Inboxes(u32),
}

/// One event on its way down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The subscription.
    pub key: ChannelKey,
    /// Its number in the channel.
    pub offset: Offset,
    /// The tick in which it was accepted.
    pub tick: Tick,
    /// When that was by the server's clock, in milliseconds since 1970, to within a tick; 0 where
    /// it has none.
    pub unix_ms: u64,
    /// Who published it; `None` for the server itself.
    pub publisher: Option<Publisher>,
    /// The publisher's id for it.
    pub message: MessageId,
    /// What it does.
    pub action: Action,
    /// Key of keyed state.
    pub state_key: Option<String>,
    /// The event that it answers.
    pub parent: Option<Offset>,
    /// Its content.
    pub payload: Vec<u8>,
}

/// What of a `Deliver` differs from subscriber to subscriber: its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DeliverHead {
    /// The variant of [`EventDown`](super::EventDown), as it is written.
    variant: u32,
    key: ChannelKey,
    offset: Offset,
}

impl DeliverHead {
    /// For this subscription, and this number of the event in it.
    #[must_use]
    pub const fn new(key: ChannelKey, offset: Offset) -> Self {
        Self { variant: 2, key, offset }
    }
}

/// What of a `Deliver` is the same for every subscriber: the fields of an [`Event`] behind its
/// number, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct EventTail<'a> {
    /// As in [`Event`].
    pub tick: Tick,
    /// As in [`Event`].
    pub unix_ms: u64,
    /// As in [`Event`].
    pub publisher: Option<&'a Publisher>,
    /// As in [`Event`].
    pub message: MessageId,
    /// As in [`Event`].
    pub action: Action,
    /// As in [`Event`].
    pub state_key: Option<&'a str>,
    /// As in [`Event`].
    pub parent: Option<Offset>,
    /// As in [`Event`].
    pub payload: &'a [u8],
}

/// Who published an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publisher {
    /// Session at the time.
    pub session: SessionId,
    /// Subject of the token; empty in open mode.
    pub subject: String,
}
