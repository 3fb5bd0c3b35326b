//! The events stream: channels, publishing, presence.

use super::interest::{Point, Target};
use crate::close::CloseCode;
use crate::units::{ChannelKey, ChannelPosition, Handle, MessageId, Offset, SessionId, Tick};
use serde::{Deserialize, Serialize};

/// Client to server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum EventUp {
    /// Starts a subscription. A name `presence/<channel>` is that channel's presence list, and
    /// `presence/` the world's.
    Subscribe {
        /// My short name for it, not yet in use; 0 is the inbox.
        key: ChannelKey,
        /// The channel's name.
        channel: String,
        /// Go on after this event; from now where absent.
        resume: Option<ChannelPosition>,
        /// Count me among the channel's members.
        presence: bool,
    },
    /// Ends a subscription.
    Unsubscribe {
        /// Which.
        key: ChannelKey,
    },
    /// Publishes one event. Repeating it with the same id creates nothing new.
    Publish(Box<Publish>),
}

/// One event on its way up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Publish {
    /// Chosen by the publisher, unique among its own for ten minutes.
    pub message: MessageId,
    /// To whom.
    pub scope: Scope,
    /// Refuse with [`CloseCode::CONFLICT`] unless this is the channel's top.
    pub expected: Option<Offset>,
    /// What the event does.
    pub action: Action,
    /// Key of keyed state; absent for plain events.
    pub key: Option<String>,
    /// At most [`crate::limits::EVENT_BYTES_MAX`].
    pub payload: Vec<u8>,
}

/// To whom an event goes. All but `Channel` are appended to each recipient's inbox.
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
}

/// Server to client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum EventDown {
    /// Answer to a subscription; deliveries follow in order.
    Subscribed {
        /// Which.
        key: ChannelKey,
        /// Exactly one of three.
        answer: Answer,
        /// The channel's top at this moment.
        top: ChannelPosition,
    },
    /// Members of a presence channel as of the position in [`Answer::Reset`], in pages.
    Members {
        /// Which.
        key: ChannelKey,
        /// This page.
        members: Vec<Member>,
        /// No page follows.
        last: bool,
    },
    /// The next event of a channel.
    Deliver(Box<Event>),
    /// These events are gone; the next delivery is `to + 1`.
    Gap {
        /// Which.
        key: ChannelKey,
        /// First missing offset.
        from: Offset,
        /// Last missing offset.
        to: Offset,
    },
    /// The server ended a subscription.
    Unsubscribed {
        /// Which.
        key: ChannelKey,
        /// Why.
        code: CloseCode,
    },
    /// A publish was accepted (durable channels: is on stable storage).
    Published {
        /// Of the request.
        message: MessageId,
        /// Where it stands; for scopes other than a channel, how many inboxes took it.
        receipt: Receipt,
    },
    /// A publish was not accepted.
    PublishRefused {
        /// Of the request.
        message: MessageId,
        /// Why.
        code: CloseCode,
        /// Milliseconds to wait before the next attempt.
        retry_after_ms: Option<u32>,
    },
    /// The newest offsets of subscribed channels, so that silence is told from loss.
    Tops {
        /// (channel, newest offset).
        tops: Vec<(ChannelKey, Offset)>,
    },
}

/// The answer to a subscription or its resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Every event after the position asked for follows.
    Resumed,
    /// Start anew from this position; what came before is not known to follow.
    Reset(ChannelPosition),
    /// No subscription.
    Denied(CloseCode),
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
    /// Who published it; `None` for the server itself.
    pub publisher: Option<Publisher>,
    /// The publisher's id for it.
    pub message: MessageId,
    /// What it does.
    pub action: Action,
    /// Key of keyed state.
    pub state_key: Option<String>,
    /// Its content.
    pub payload: Vec<u8>,
}

/// Who published an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publisher {
    /// Session at the time.
    pub session: SessionId,
    /// Subject of the token; empty in open mode.
    pub subject: String,
}

/// A member of a presence list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The session that is here.
    pub session: SessionId,
    /// Subject of its token; empty in open mode.
    pub subject: String,
    /// In which tick it came.
    pub since: Tick,
}
