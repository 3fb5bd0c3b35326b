//! Who has read how far.

use crate::units::{Offset, SessionId};
use serde::{Deserialize, Serialize};

/// How far somebody has read: one for each user and channel, or for each session without a subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadCursor {
    /// Subject of the token; empty in open mode.
    pub subject: String,
    /// The session that said so last.
    pub session: SessionId,
    /// Everything up to here.
    pub offset: Offset,
}

/// What somebody has not read of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {
    /// Messages after the cursor that are kept and not one's own.
    pub count: u32,
    /// How far was read.
    pub read: Offset,
    /// The channel's newest event.
    pub top: Offset,
}
