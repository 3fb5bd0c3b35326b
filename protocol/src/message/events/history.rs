//! Reading earlier events.

use super::{Event, NoteSummary, Publisher};
use crate::units::{Epoch, Offset, Tick};
use serde::{Deserialize, Serialize};

/// A request for earlier events of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryQuery {
    /// Echoed by the answer.
    pub request: u32,
    /// The channel's name.
    pub channel: String,
    /// Which events.
    pub range: HistoryRange,
    /// Only answers to this event: a thread.
    pub thread: Option<Offset>,
    /// At most so many in one page; at most [`crate::limits::HISTORY_EVENTS_MAX`].
    pub limit: u16,
}

/// Which events of a channel, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum HistoryRange {
    /// The newest ones, as many as the limit says.
    Newest,
    /// By number, the oldest first.
    Offsets {
        /// First.
        from: Offset,
        /// Last; beyond the top means up to the top.
        to: Offset,
    },
    /// By the server's clock, in milliseconds since 1970, the oldest first.
    Times {
        /// Not before.
        from_ms: u64,
        /// Not after.
        to_ms: u64,
    },
}

/// A page of history, the oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryPage {
    /// Of the request.
    pub request: u32,
    /// Of the channel's present life.
    pub epoch: Epoch,
    /// Its newest event at this moment.
    pub top: Offset,
    /// The part of what was asked for that is kept no longer, first and last.
    pub expired: Option<(Offset, Offset)>,
    /// The events. Those that only change earlier ones are shown there and not for themselves.
    pub entries: Vec<Entry>,
    /// Ask on from here, where there is more.
    pub next: Option<Offset>,
}

/// An event as it stands now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The event with its newest content, at its first place.
    pub event: Event,
    /// Its newest version, where it was changed.
    pub version: Option<Version>,
    /// Its notes, rolled up.
    pub notes: Vec<NoteSummary>,
    /// How many events answer it.
    pub replies: u32,
}

/// A version of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The event that made it.
    pub offset: Offset,
    /// How many there were, the first one included.
    pub count: u32,
    /// The tick in which it was accepted.
    pub tick: Tick,
    /// By whom.
    pub publisher: Option<Publisher>,
    /// It was deleted: the payload is empty.
    pub deleted: bool,
}
