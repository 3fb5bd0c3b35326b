//! Notes on events: reactions, flags, votes. The server rolls them up.

use crate::units::{MessageId, Offset};
use serde::{Deserialize, Serialize};

/// How notes of one kind are counted. The first note of a kind on an event decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum NoteRule {
    /// Every one counts, whoever it is of; names play no part and none can be taken back.
    Total,
    /// Once for each user; names play no part.
    Flag,
    /// Once for each user and name.
    Distinct,
    /// One name for each user: a new one takes the place of the old.
    Unique,
    /// Any number of times for each user and name.
    Multiple,
}

/// Sets or removes a note. Done once, however often it is said with the same message id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Annotate {
    /// As with a publish: unique among the publisher's own for ten minutes.
    pub message: MessageId,
    /// The channel's name.
    pub channel: String,
    /// The event that is noted on.
    pub target: Offset,
    /// How it counts.
    pub rule: NoteRule,
    /// The kind, 1 to [`crate::limits::NOTE_NAME_BYTES_MAX`] bytes: `reaction`.
    pub kind: String,
    /// The name within the kind, at most as long: `heart`.
    pub name: String,
    /// How many times (with [`NoteRule::Total`] and [`NoteRule::Multiple`]); 1 otherwise.
    pub count: u32,
    /// Takes it back.
    pub remove: bool,
}

/// Payload of an event with [`Action::Annotate`](super::Action::Annotate), in the form of every
/// message: what was said, and what it comes to now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    /// The name that was set or removed.
    pub name: String,
    /// How many times.
    pub count: u32,
    /// It was taken back.
    pub remove: bool,
    /// All notes of its kind on the event, after it.
    pub summary: NoteSummary,
}

/// All notes of one kind on one event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteSummary {
    /// The kind.
    pub kind: String,
    /// How it counts.
    pub rule: NoteRule,
    /// All together.
    pub total: u64,
    /// How many users.
    pub users: u32,
    /// By name, in order of name; at most [`crate::limits::NOTE_NAMES_TOLD_MAX`], the most frequent.
    pub names: Vec<(String, u64)>,
}
