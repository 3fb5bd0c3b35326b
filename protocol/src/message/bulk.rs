//! The bulk stream: many enters at once.

use crate::units::Tick;
use serde::{Deserialize, Serialize};

/// Server to client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum BulkDown {
    /// Entities that entered at once, too many for datagrams.
    Enters {
        /// Echoed by [`BulkUp::Ack`].
        sequence: u32,
        /// The tick whose state this is: the baseline once acknowledged.
        tick: Tick,
        /// How many records.
        count: u16,
        /// Enter records in the bit form of [`crate::snapshot`].
        records: Vec<u8>,
    },
}

/// Client to server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum BulkUp {
    /// All of [`BulkDown::Enters`] number `sequence` is in the table.
    Ack {
        /// Which.
        sequence: u32,
    },
}
