//! A snapshot datagram, section by section, never larger than asked for.

use super::cue::{CUES_PER_SNAPSHOT_MAX, Cue, write_cue};
use super::header::{
    CLOCK, CUES, Clock, Cover, FOLD, Fold, HEADER_BYTES, PARTIAL, SNAPSHOT_TYPE, write_clock,
    write_cover, write_fold,
};
use super::page::Page;
use super::record::entity_bits;
use crate::bits::BitWriter;
use crate::limits::DATAGRAM_BYTES_MAX;
use crate::units::Tick;

/// Bits after the pages: the zero that ends them.
const END_BITS: usize = 1;

/// Writes one snapshot datagram. The sections come in the order of the methods.
#[derive(Debug)]
pub struct SnapshotWriter<'a> {
    bits: BitWriter<'a>,
    tick: Tick,
    flags: u8,
    limit_bits: usize,
    reserved_bits: usize,
    cover_at: usize,
    next_page: u8,
}

impl<'a> SnapshotWriter<'a> {
    /// Starts a datagram of `tick` at the end of `out`, of at most `limit_bytes` bytes and never
    /// more than [`DATAGRAM_BYTES_MAX`].
    #[must_use]
    pub fn new(out: &'a mut Vec<u8>, tick: Tick, sequence: u32, limit_bytes: usize) -> Self {
        let mut bits = BitWriter::new(out);
        bits.put(u64::from(SNAPSHOT_TYPE), 8);
        bits.put(u64::from(tick.low16()), 16);
        bits.put(u64::from(sequence & 0xff), 8);
        Self {
            bits,
            tick,
            flags: SNAPSHOT_TYPE,
            limit_bits: limit_bytes.min(DATAGRAM_BYTES_MAX) * 8,
            reserved_bits: END_BITS,
            cover_at: 0,
            next_page: 0,
        }
    }

    /// Says what became of the client's own datagrams.
    pub fn fold(&mut self, fold: &Fold) -> &mut Self {
        self.begin(FOLD);
        write_fold(&mut self.bits, fold);
        self
    }

    /// Says what the client needs to set its clock.
    pub fn clock(&mut self, clock: &Clock) -> &mut Self {
        self.begin(CLOCK);
        write_clock(&mut self.bits, clock);
        self
    }

    /// Speaks of these pages only. Without it the datagram speaks of every page: those that are
    /// not written stand as they are.
    pub fn cover(&mut self, cover: Cover) -> &mut Self {
        self.begin(PARTIAL);
        self.cover_at = self.bits.bits_len();
        write_cover(&mut self.bits, cover);
        self
    }

    /// Moves the last page that [`SnapshotWriter::cover`] named.
    ///
    /// # Panics
    /// When there was no cover: our own bug.
    pub fn set_last(&mut self, last: u8) {
        assert!(self.flags & PARTIAL != 0, "only a partial datagram has a last page");
        self.bits.patch(self.cover_at + 6, u64::from(last), 6);
    }

    /// Keeps this many bits from the pages, for cues.
    pub const fn reserve(&mut self, bits: usize) {
        self.reserved_bits = END_BITS + bits;
    }

    /// Bits that a page, its name included, may still have.
    #[must_use]
    pub const fn room_bits(&self) -> usize {
        self.limit_bits.saturating_sub(self.bits.bits_len() + self.reserved_bits)
    }

    /// Writes a page; false when it does not fit and was not written. Pages come in rising order.
    ///
    /// # Panics
    /// When the page is of another tick or out of order: our own bug.
    pub fn page(&mut self, page: &Page) -> bool {
        assert!(page.tick() == self.tick, "a page belongs to the datagram of its tick");
        assert!(page.index() >= self.next_page, "pages come in rising order");
        let named = page.index() != self.next_page;
        let name_bits = if named { 8 } else { 2 };
        let (presence, page_bits) = page.measure();
        if name_bits + page_bits > self.room_bits() {
            return false;
        }
        if named {
            self.bits.put(0b11 | u64::from(page.index()) << 2, 8);
        } else {
            self.bits.put(0b01, 2);
        }
        page.write(presence, &mut self.bits);
        self.next_page = page.index() + 1;
        true
    }

    /// Ends the pages, then writes cues while they fit; returns the bytes of the datagram and how
    /// many cues were taken, at most [`CUES_PER_SNAPSHOT_MAX`].
    ///
    /// # Panics
    /// When a cue is expired or beyond a limit: the caller checks.
    pub fn finish<'c>(mut self, cues: impl Iterator<Item = Cue<'c>>) -> (usize, usize) {
        self.bits.put(0, 1);
        let (at, mut taken) = (self.bits.bits_len(), 0);
        for cue in cues.take(CUES_PER_SNAPSHOT_MAX) {
            let count_bits = if taken == 0 { 4 } else { 0 };
            if self.bits.bits_len() + count_bits + cue_bits(&cue) > self.limit_bits {
                break;
            }
            self.bits.put(0, count_bits as u32);
            write_cue(&mut self.bits, self.tick, &cue);
            taken += 1;
        }
        if taken > 0 {
            self.begin(CUES);
            self.bits.patch(at, taken as u64, 4);
        }
        self.bits.patch(0, u64::from(self.flags), 8);
        (self.bits.finish(), taken)
    }

    /// Bytes so far, were the datagram to end here.
    #[must_use]
    pub const fn bytes_len(&self) -> usize {
        (self.bits.bits_len() + END_BITS).div_ceil(8)
    }

    fn begin(&mut self, section: u8) {
        let plain = self.next_page == 0 || section == CUES;
        debug_assert!(
            plain && self.bits.bits_len() >= HEADER_BYTES * 8,
            "reports come before pages"
        );
        debug_assert!(
            section == CUES || self.flags < section || section == PARTIAL,
            "the sections of a datagram have an order"
        );
        self.flags |= section;
    }
}

/// Exact size of a cue in a datagram; all cues together take four bits more.
#[must_use]
pub fn cue_bits(cue: &Cue<'_>) -> usize {
    let source = cue.source.map_or(0, entity_bits);
    let position = if cue.position.is_some() { 96 } else { 0 };
    24 + 2 + 7 + source + position + cue.payload.len() * 8
}
