//! State that a channel carries beside its events.

use super::Publisher;
use crate::units::{Offset, Tick};
use serde::{Deserialize, Serialize};

/// How a channel's events are delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DeliveryClass {
    /// Every one, in order.
    #[default]
    Ordered,
    /// The newest of each key, in order: numbers between are skipped without a word.
    Conflated,
}

/// The value of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateEntry {
    /// The key.
    pub key: String,
    /// The event that set it.
    pub offset: Offset,
    /// The tick in which that was accepted.
    pub tick: Tick,
    /// By whom.
    pub publisher: Option<Publisher>,
    /// Milliseconds until it is removed, where it is not for good.
    pub ttl_ms: Option<u32>,
    /// The value.
    pub payload: Vec<u8>,
}
