//! The form of a row: whose it is in front of its key, a checksum in front of its value.
//!
//! ```text
//! key    1 byte length of the world's name | name | 1 byte table | key
//! value  8 bytes checksum | value
//! ```
//!
//! P16: the checksum covers the whole key, too. A value found under another key is damage.

use super::{Group, READ_BYTES_MAX, StoreError};
use aws_lc_rs::digest::{Context, SHA256};
use starling_world::journal::{Change, KEY_BYTES_MAX, RowRange, Rows, Table, VALUE_BYTES_MAX};
use std::ops::Range;

/// Bytes of a checksum.
const SUM_BYTES: usize = 8;

/// Where the row of a world is in the store.
pub(super) fn place(world: &str, table: Table, key: &[u8]) -> Vec<u8> {
    let name = u8::try_from(world.len())
        .expect("names of worlds and of their tenants have at most 64 bytes each");
    let mut place = Vec::with_capacity(2 + world.len() + key.len());
    place.push(name);
    place.extend_from_slice(world.as_bytes());
    place.push(number(table));
    place.extend_from_slice(key);
    place
}

/// Where a range of rows is; `None` where it is empty.
pub(super) fn places(world: &str, table: Table, keys: &Range<Vec<u8>>) -> Option<Range<Vec<u8>>> {
    (keys.start < keys.end)
        .then(|| place(world, table, &keys.start)..place(world, table, &keys.end))
}

/// Where the rows of the worlds after this one begin.
pub(super) fn beyond(world: &str) -> Vec<u8> {
    let mut place = place(world, Table::World, &[]);
    *place.last_mut().expect("the number of a table") = u8::MAX;
    place
}

/// Whose row is at this place.
pub(super) fn world_of(place: &[u8]) -> Option<String> {
    let (length, rest) = place.split_first()?;
    let name = rest.get(..usize::from(*length))?;
    String::from_utf8(name.to_vec()).ok()
}

/// What is stored at a place for this value.
pub(super) fn sealed(place: &[u8], value: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(SUM_BYTES + value.len());
    stored.extend_from_slice(&sum(place, value));
    stored.extend_from_slice(value);
    stored
}

/// The value that was sealed at this place, unless it is damaged.
fn opened<'a>(place: &[u8], stored: &'a [u8]) -> Option<&'a [u8]> {
    let (kept, value) = stored.split_at_checked(SUM_BYTES)?;
    (kept == sum(place, value)).then_some(value)
}

/// The first bytes of a SHA-256 over place and value; lengths first, so that none can shift.
fn sum(place: &[u8], value: &[u8]) -> [u8; SUM_BYTES] {
    let mut context = Context::new(&SHA256);
    context.update(&(place.len() as u64).to_le_bytes());
    context.update(place);
    context.update(value);
    let digest = context.finish();
    digest.as_ref()[..SUM_BYTES].try_into().expect("a digest is longer than a checksum")
}

/// Numbers are part of the format: they never change.
const fn number(table: Table) -> u8 {
    match table {
        Table::World => 1,
        Table::Channel => 2,
        Table::Event => 3,
        Table::State => 4,
        Table::Seen => 5,
        Table::Cursor => 6,
        Table::Note => 7,
        Table::Session => 8,
    }
}

/// Are all rows small enough?
pub(super) fn check(groups: &[Group]) -> Result<(), StoreError> {
    for group in groups {
        for change in &group.changes {
            let (key, value) = match change {
                Change::Put { key, value, .. } => (key.len(), value.len()),
                Change::Remove { key, .. } => (key.len(), 0),
                Change::RemoveRange { keys, .. } => (keys.start.len().max(keys.end.len()), 0),
            };
            // An end of a range may be a key and one byte more.
            if key > KEY_BYTES_MAX + 1 || value > VALUE_BYTES_MAX {
                return Err(StoreError::TooLarge { world: group.world.to_string(), key, value });
            }
        }
    }
    Ok(())
}

/// Rows as they come off a store, up to the bounds of what was asked for.
pub(super) struct Gathering<'a> {
    asked: &'a RowRange,
    /// Bytes of a place in front of the world's own key.
    prefix: usize,
    bytes: usize,
    rows: Rows,
}

impl<'a> Gathering<'a> {
    pub(super) fn new(world: &str, asked: &'a RowRange) -> Self {
        Self { asked, prefix: 2 + world.len(), bytes: 0, rows: Rows::default() }
    }

    /// Takes the next row in. Says whether to go on.
    pub(super) fn take(&mut self, place: &[u8], stored: &[u8]) -> bool {
        let key = &place[self.prefix..];
        let bytes = key.len() + stored.len().saturating_sub(SUM_BYTES);
        let bytes_max = self.asked.bytes_max.min(READ_BYTES_MAX);
        let has = !self.rows.rows.is_empty();
        if self.rows.rows.len() >= self.asked.rows_max || (has && self.bytes + bytes > bytes_max) {
            self.rows.more = true;
            return false;
        }
        let Some(value) = opened(place, stored) else {
            self.rows.damaged = Some(key.to_vec());
            return false;
        };
        self.bytes += bytes;
        self.rows.rows.push((key.to_vec(), value.to_vec()));
        true
    }

    pub(super) fn finish(self) -> Rows {
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_good_at_its_own_place_only() {
        let here = place("game", Table::Event, b"a");
        let stored = sealed(&here, b"value");
        assert_eq!(opened(&here, &stored), Some(&b"value"[..]));
        for elsewhere in [
            place("game", Table::Event, b"b"),
            place("game", Table::State, b"a"),
            place("gam", Table::Event, b"a"),
        ] {
            assert_eq!(opened(&elsewhere, &stored), None);
        }
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let here = place("game", Table::Event, b"a");
        let stored = sealed(&here, b"value");
        for bit in 0..stored.len() * 8 {
            let mut flipped = stored.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(opened(&here, &flipped), None, "bit {bit}");
        }
        for bytes in 0..stored.len() {
            assert_eq!(opened(&here, &stored[..bytes]), None, "the first {bytes} bytes");
        }
    }

    #[test]
    fn worlds_and_tables_do_not_reach_into_each_other() {
        let all = |world, table| places(world, table, &(vec![]..vec![255; 600])).expect("a range");
        let other = place("b", Table::Event, b"");
        assert!(!all("a", Table::Event).contains(&other));
        assert!(!all("", Table::Event).contains(&other));
        assert!(!all("b", Table::Channel).contains(&other));
        assert!(all("b", Table::Event).contains(&other));
    }
}
