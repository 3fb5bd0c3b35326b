//! The events stream: channels, publishing, history, state, notes, receipts, presence.

mod history;
mod notes;
mod presence;
mod publish;
mod receipts;
mod state;

pub use history::{Entry, HistoryPage, HistoryQuery, HistoryRange, Version};
pub use notes::{Annotate, NoteRule, NoteSummary, Noted};
pub use presence::{Lease, LeaseTold, Member, MemberState};
pub use publish::{Action, DeliverHead, Event, EventTail, Publish, Publisher, Receipt, Scope};
pub use receipts::{ReadCursor, Unread};
pub use state::{DeliveryClass, StateEntry};

use crate::close::CloseCode;
use crate::units::{ChannelKey, ChannelPosition, MessageId, Offset, SessionId};
use serde::{Deserialize, Serialize};

/// Client to server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum EventUp {
    /// Starts a subscription. A name `presence/<channel>` is that channel's presence list,
    /// `presence/` the world's, and `count/<channel>` only tells how many are on it.
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
    /// Reads earlier events of a channel.
    History(Box<HistoryQuery>),
    /// Sets or removes a note of mine on an event: a reaction, a flag, a vote.
    Annotate(Box<Annotate>),
    /// I have read everything in this channel up to here: a receipt, which only goes forward.
    Read {
        /// Which channel.
        key: ChannelKey,
        /// Up to where.
        offset: Offset,
    },
    /// How much of these channels have I not read?
    CountUnread {
        /// Echoed by the answer.
        request: u32,
        /// At most [`crate::limits::SUBSCRIPTIONS_MAX`] names.
        channels: Vec<String>,
    },
    /// Begins, renews or ends a lease of mine in a channel: typing, a cursor.
    Lease(Box<Lease>),
    /// How I am here, on every presence list that has me.
    Presence {
        /// [`MemberState::Here`] or [`MemberState::Away`].
        state: MemberState,
        /// Shown beside my name; at most [`crate::limits::MEMBER_DATA_BYTES_MAX`].
        data: Vec<u8>,
    },
    /// Erases what a subject ever published here; the numbers stay. Needs the grant `admin`.
    Erase {
        /// Echoed by the answer.
        request: u32,
        /// Subject of the tokens.
        subject: String,
    },
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
        /// How its events are delivered.
        class: DeliveryClass,
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
    /// Keyed state of a channel as of the position in [`Answer::Reset`], in pages; the events after
    /// that position follow.
    State {
        /// Which.
        key: ChannelKey,
        /// This page.
        entries: Vec<StateEntry>,
        /// No page follows.
        last: bool,
    },
    /// The next event of a channel, whose payload is an LZ4 block made with the last payload that
    /// was delivered for the same state key as its dictionary: for clients with
    /// [`DELTAS`](crate::message::control::Capabilities::DELTAS).
    DeliverDelta {
        /// The event, with a delta for a payload.
        event: Box<Event>,
        /// Bytes of the payload that comes out.
        bytes: u32,
    },
    /// A run of a presence list's events at once.
    MembersChanged {
        /// Which.
        key: ChannelKey,
        /// First offset of the run.
        from: Offset,
        /// Last offset of the run.
        to: Offset,
        /// Who is on the list now and was not, or is in another way.
        here: Vec<Member>,
        /// Who was on the list and is not now.
        left: Vec<SessionId>,
    },
    /// How many are on a presence list.
    Count {
        /// The key of `count/<channel>`.
        key: ChannelKey,
        /// Users: sessions with the same subject count once.
        users: u32,
        /// Sessions.
        sessions: u32,
    },
    /// A page of history.
    History(Box<HistoryPage>),
    /// Receipts that went forward.
    Cursors {
        /// Which channel.
        key: ChannelKey,
        /// Whose, and up to where.
        cursors: Vec<ReadCursor>,
    },
    /// Answer to [`EventUp::CountUnread`], in its order.
    Unread {
        /// Of the request.
        request: u32,
        /// One for each channel.
        channels: Vec<Unread>,
    },
    /// Leases that began, were renewed or ended.
    Leases {
        /// Which channel.
        key: ChannelKey,
        /// Whose.
        leases: Vec<LeaseTold>,
    },
    /// Answer to [`EventUp::Erase`]: it is done, also on disk.
    Erased {
        /// Of the request.
        request: u32,
        /// Events whose content is gone.
        events: u64,
    },
    /// A request with a number was refused.
    RequestRefused {
        /// Which.
        request: u32,
        /// Why.
        code: CloseCode,
        /// Milliseconds to wait before the next attempt.
        retry_after_ms: Option<u32>,
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
