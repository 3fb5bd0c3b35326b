//! Who is here, and what they are doing just now.

use super::Publisher;
use crate::units::{ChannelKey, SessionId, Tick};
use serde::{Deserialize, Serialize};

/// How a member is here.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[non_exhaustive]
pub enum MemberState {
    /// At it.
    #[default]
    Here,
    /// Connected, and said to be away.
    Away,
    /// Nothing was heard of it for a while; it leaves when its lease ends.
    Quiet,
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
    /// How it is here.
    pub state: MemberState,
    /// What it shows beside its name.
    pub data: Vec<u8>,
}

/// Something that a session is doing for as long as it keeps saying so: typing, a cursor. It has no
/// number, is not kept, and ends by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// In which channel; it must be subscribed.
    pub key: ChannelKey,
    /// What it is, 1 to [`crate::limits::LEASE_NAME_BYTES_MAX`] bytes: `typing`.
    pub name: String,
    /// Milliseconds that it lasts, at most [`crate::limits::LEASE_MS_MAX`]; 0 ends it.
    pub ttl_ms: u32,
    /// At most [`crate::limits::LEASE_DATA_BYTES_MAX`].
    pub data: Vec<u8>,
}

/// A lease of somebody in a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseTold {
    /// Whose.
    pub who: Publisher,
    /// What it is.
    pub name: String,
    /// Milliseconds that it lasts from now; 0: it has ended.
    pub ttl_ms: u32,
    /// Its content.
    pub data: Vec<u8>,
}
