//! What durable channels keep beside their events: values of keys and receipts.
//!
//! | table | key | value, version 1 |
//! |---|---|---|
//! | `State` | id of the channel (8 bytes), key | offset, the row of the event that set it |
//! | `Cursor` | id of the channel (8 bytes), subject | offset, session |
//!
//! A value is written with its event, so that a restart knows neither or both; receipts follow a
//! moment after they were said. What later events made of messages has rows of its own
//! ([`super::aside`]); of those in memory it is made again from the events.

use super::open::each_row;
use super::row::{RowPen, RowReader};
use super::rows;
use crate::World;
use crate::channel::ChannelIdx;
use crate::channel::log::Record;
use crate::journal::{Shelf, ShelfError, Table};
use starling_protocol::message::events::Action;
use starling_protocol::units::{Offset, SessionId, Tick};
use std::ops::Range;
use std::sync::Arc;

/// The one version of both forms so far.
const V1: u8 = 1;
/// Users with longer names keep no receipts over a restart: keys of rows are short.
const SUBJECT_BYTES_MAX: usize = 256;

fn key(channel: u64, name: &str) -> Vec<u8> {
    [&channel.to_be_bytes(), name.as_bytes()].concat()
}

fn keys(channel: u64) -> Range<Vec<u8>> {
    channel.to_be_bytes().to_vec()..(channel + 1).to_be_bytes().to_vec()
}

/// The name in a key.
fn name(key: &[u8]) -> Option<String> {
    String::from_utf8(key.get(8..)?.to_vec()).ok()
}

fn value(offset: Offset, record: &Record) -> Vec<u8> {
    RowPen::new(V1).number(offset.0).bytes(&rows::event(record)).done()
}

fn read_value(value: &[u8]) -> Option<(Offset, Record)> {
    let mut row = RowReader::new(value, V1)?;
    let (offset, record) = (Offset(row.number()?), rows::read_event(row.bytes()?)?);
    row.done((offset, record))
}

fn cursor(offset: Offset, session: SessionId) -> Vec<u8> {
    RowPen::new(V1).number(offset.0).number(session.0).done()
}

fn read_cursor(value: &[u8]) -> Option<(Offset, SessionId)> {
    let mut row = RowReader::new(value, V1)?;
    let read = (Offset(row.number()?), SessionId(row.number()?));
    row.done(read)
}

impl World {
    /// P5: what an event does to the value of its key goes to the disk in the same commit.
    pub(super) fn journal_value(&mut self, channel: u64, offset: Offset, record: &Record) {
        let Some(state_key) = &record.state_key else { return };
        let key = key(channel, state_key);
        match record.action {
            Action::Message => {
                self.durable.journal.put(Table::State, key, value(offset, record));
            }
            Action::Clear => self.durable.journal.remove(Table::State, key),
            _ => {}
        }
    }

    /// What the value of a key will be goes to the disk, as the event that set another is erased.
    pub(crate) fn journal_standing(
        &mut self,
        channel: u64,
        state_key: &str,
        standing: Option<(Offset, Arc<Record>)>,
    ) {
        let key = key(channel, state_key);
        match standing {
            Some((offset, record)) => {
                self.durable.journal.put(Table::State, key, value(offset, &record));
            }
            None => self.durable.journal.remove(Table::State, key),
        }
    }

    /// A subject has read nothing, as far as anybody knows.
    pub(crate) fn forget_receipt(&mut self, idx: ChannelIdx, subject: &str) {
        let kept = self.channels[idx].kept.as_deref();
        if let Some(id) = kept.map(|kept| kept.id).filter(|_| subject.len() <= SUBJECT_BYTES_MAX) {
            self.durable.journal.remove(Table::Cursor, key(id, subject));
        }
    }

    /// Sends receipts that went forward to the disk; `false` where it takes nothing now.
    pub(crate) fn journal_cursors(&mut self, idx: ChannelIdx) -> bool {
        let Some(id) = self.channels[idx].kept.as_deref().map(|kept| kept.id) else { return true };
        if self.may_keep(Some(idx)).is_err() {
            return false;
        }
        for (subject, offset, session) in self.channels[idx].beside.cursors.take_unkept() {
            if subject.len() <= SUBJECT_BYTES_MAX {
                let row = cursor(offset, session);
                self.durable.journal.put(Table::Cursor, key(id, &subject), row);
            }
        }
        true
    }

    /// A durable channel is forgotten, and what it kept beside its events.
    pub(crate) fn forget_rows_beside(&mut self, channel: u64) {
        self.durable.journal.remove_range(Table::State, keys(channel));
        self.durable.journal.remove_range(Table::Cursor, keys(channel));
        self.durable.journal.remove_range(Table::Note, keys(channel));
    }

    /// Takes up what an earlier life kept beside a channel's events; `false` where a row is damaged
    /// (P16). A value that ends by itself lasts as much longer as nobody counted its time.
    pub(super) fn restore_beside(
        &mut self,
        idx: ChannelIdx,
        channel: u64,
        now_ms: u64,
        shelf: &dyn Shelf,
    ) -> Result<bool, ShelfError> {
        let (mut values, mut cursors, mut whole) = (Vec::new(), Vec::new(), true);
        each_row(shelf, Table::State, keys(channel), |_, row| {
            let value = row.as_deref().and_then(read_value);
            whole &= value.is_some();
            values.extend(value);
        })?;
        each_row(shelf, Table::Cursor, keys(channel), |key, row| {
            let cursor = name(&key).zip(row.as_deref().and_then(read_cursor));
            whole &= cursor.is_some();
            cursors.extend(cursor);
        })?;
        let rate = self.config.tick_rate;
        let ends = |record: &Record| {
            let end_ms = record.unix_ms + u64::from(record.ttl_ms?);
            Some(Tick(rate.ticks_in_ms(end_ms.saturating_sub(now_ms)).max(1)))
        };
        let values = values.into_iter().map(|(offset, record)| (offset, ends(&record), record));
        self.channels.restore_beside(idx, values.collect(), cursors);
        Ok(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_as_they_were_written_and_not_if_cut_short() {
        let record = Record { state_key: Some("door".into()), ..Record::new(Tick(7), 99) };
        let row = value(Offset(300), &record);
        assert_eq!(read_value(&row), Some((Offset(300), record)));
        assert!((0..row.len()).all(|length| read_value(&row[..length]).is_none()));
        let row = cursor(Offset(300), SessionId(9));
        assert_eq!(read_cursor(&row), Some((Offset(300), SessionId(9))));
        assert!((0..row.len()).all(|length| read_cursor(&row[..length]).is_none()));
    }

    #[test]
    fn keys_of_one_channel_lie_together() {
        let range = keys(7);
        assert!(range.contains(&key(7, "")) && range.contains(&key(7, "\u{10ffff}")));
        assert!(!range.contains(&key(8, "")) && !range.contains(&key(6, "z")));
        assert_eq!(name(&key(7, "door")), Some("door".into()));
    }
}
