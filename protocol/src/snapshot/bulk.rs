//! Enter records on the bulk stream, for more enters at once than datagrams should carry.
//!
//! ```text
//! records of Enters   count times: slot 16; enter record; state; zeros to the end of the byte
//! ```
//! The table takes each record unless it has heard of the slot in a later tick.

use super::record::{Enter, write_enter};
use super::state::{State, write_state};
use crate::bits::BitWriter;
use crate::limits::MESSAGE_BYTES_MAX;
use crate::message::bulk::BulkDown;
use crate::schema::Kind;
use crate::space::Space;
use crate::units::{Slot, Tick};

/// Room for the other fields of the message.
const OVERHEAD_BYTES: usize = 32;

/// Collects enter records for one bulk message. Reused; allocates only while it grows.
#[derive(Debug)]
pub struct BulkWriter {
    space: Space,
    tick: Tick,
    bytes: Vec<u8>,
    bits: usize,
    count: u16,
}

impl BulkWriter {
    /// An empty writer for a world in this space.
    #[must_use]
    pub const fn new(space: Space) -> Self {
        Self { space, tick: Tick(0), bytes: Vec::new(), bits: 0, count: 0 }
    }

    /// Starts a message with the state as of `tick`, forgetting what it held.
    pub fn start(&mut self, tick: Tick) {
        (self.tick, self.bits, self.count) = (tick, 0, 0);
        self.bytes.clear();
    }

    /// Adds an entity that enters; false when the message is full and it was not added.
    pub fn enter(&mut self, slot: Slot, kind: &Kind, enter: &Enter<'_>, state: &State) -> bool {
        if self.count as usize == crate::limits::SLOTS_MAX {
            return false;
        }
        let before = self.bits;
        let mut bits = BitWriter::resume(&mut self.bytes, before);
        bits.put(u64::from(slot.0), 16);
        write_enter(&mut bits, kind, enter);
        write_state(&mut bits, self.space, self.tick, state);
        let after = bits.bits_len();
        bits.finish();
        let fits = self.bytes.len() + OVERHEAD_BYTES <= MESSAGE_BYTES_MAX;
        if fits {
            (self.bits, self.count) = (after, self.count + 1);
        } else {
            self.cut(before);
        }
        fits
    }

    /// How many entities it holds.
    #[must_use]
    pub const fn count(&self) -> u16 {
        self.count
    }

    /// The message.
    #[must_use]
    pub fn message(&self, sequence: u32) -> BulkDown {
        let records = self.bytes.clone();
        BulkDown::Enters { sequence, tick: self.tick, count: self.count, records }
    }

    /// Drops everything after the first `bits` bits.
    fn cut(&mut self, bits: usize) {
        self.bytes.truncate(bits.div_ceil(8));
        if let Some(last) = self.bytes.last_mut().filter(|_| !bits.is_multiple_of(8)) {
            *last &= (1 << (bits % 8)) - 1;
        }
    }
}
