//! The datagram from server to client: the state of what a session sees, latest only.
//!
//! ```text
//! datagram   header ([`header`]), pages, CUES ([`cue`]), zeros to the end of the byte
//! pages      '0' ends them; '1' a page follows: '0' the next number (the first is 0), or '1' and
//!            6 bits; then its body ([`page`])
//! ```
//! A session's table has slots in pages of 256. The server gives an entity a slot when it enters
//! and frees it once the leave is acknowledged. Every datagram is acknowledged by itself, and an
//! acknowledgement moves the baseline of the slots that the datagram *covered*: those in its range
//! of pages that it did not skip. A covered slot without a code or record stands as it is.
//!
//! What a server keeps to, or its client cannot follow:
//! - A state that is newer than a slot's baseline is told by a code, by a record, or the slot is
//!   skipped. So are changed fields, and enters and leaves that are due: told, or skipped.
//! - A code builds on a baseline with at most 31 newer states; beyond that comes a record.
//! - An enter goes over datagrams or over the bulk stream, not over both. While it is on the bulk
//!   stream its slot is skipped.
//! - An acknowledged datagram moves no baseline of a slot that was given to its entity in a later
//!   tick, and none of a slot that had neither baseline nor record in it.

mod ack;
mod bulk;
mod code;
mod cue;
mod header;
mod knot_code;
mod page;
mod presence;
mod record;
mod state;
mod table;
mod turn;
mod writer;

pub use ack::AckState;
pub use bulk::BulkWriter;
pub use code::{Code, FIX_STEPS_MAX, fix_code};
pub use cue::{CUES_PER_SNAPSHOT_MAX, Cue};
pub use header::{CLOCK_UNITS_PER_MS, Clock, Cover, Fold, SNAPSHOT_TYPE};
pub use knot_code::{KNOT_STEPS_MAX, knot_code};
pub use page::Page;
pub use presence::SlotSet;
pub use record::{Enter, Fields};
pub use state::State;
pub use table::{Applied, EntityView, HISTORY_MAX, Left, Table};
pub use writer::{SnapshotWriter, cue_bits};

use crate::bits::BitError;
use crate::limits::{PAGE_SLOTS, SLOTS_MAX};
use crate::units::{Slot, Tick};
use thiserror::Error;

/// Pages of a table.
pub const PAGES_MAX: usize = SLOTS_MAX / PAGE_SLOTS;
pub(crate) const PAGE: usize = PAGE_SLOTS;

/// Why a datagram or a bulk message was not applied. Nothing of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Larger than [`crate::limits::DATAGRAM_BYTES_MAX`].
    #[error("larger than a datagram may be")]
    TooLarge,
    /// Another type of datagram, or a flag that version 1 does not define.
    #[error("not a snapshot datagram of this version")]
    Type,
    /// It ends in the middle of a value.
    #[error("the datagram is cut short")]
    Truncated,
    /// Something that no server of this version writes.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// It speaks of a slot in which the table holds no entity.
    #[error("slot {} holds no entity", .0.0)]
    UnknownSlot(Slot),
    /// It builds on a baseline that the table does not hold.
    #[error("slot {} has no state as of tick {}", slot.0, tick.0)]
    NoBaseline {
        /// Which slot.
        slot: Slot,
        /// The baseline's tick.
        tick: Tick,
    },
    /// Not wrong, only late: it is a duplicate, or a newer one was applied to one of its pages.
    #[error("a datagram of tick {0} came too late")]
    Stale(Tick),
}

impl From<BitError> for SnapshotError {
    fn from(error: BitError) -> Self {
        match error {
            BitError::Overrun => Self::Truncated,
            BitError::TooLong => Self::Malformed("a number that is too long"),
        }
    }
}

/// The slot that a page and a slot within it name.
#[must_use]
pub const fn slot_of(page: u8, slot: u8) -> Slot {
    Slot((page as u16) << 8 | slot as u16)
}

/// The page of a slot, and its number within.
#[must_use]
pub const fn page_of(slot: Slot) -> (u8, u8) {
    ((slot.0 >> 8) as u8, slot.0 as u8)
}
