//! The rows of a world's life, of channels, events and message ids, byte by byte.
//!
//! | table | key | value, version 1 |
//! |---|---|---|
//! | `World` | `life/0`, `life/1`: the same twice | epoch |
//! | `Channel` | name | id, epoch, newest offset, marks (offset, milliseconds, bytes)... |
//! | `Event` | id, offset (8 bytes each, the high one first) | tick, unix milliseconds, publisher (session, subject), message, action, key, milliseconds that its value lasts and one (0: for ever), parent, payload |
//! | `Seen` | minute (4 bytes), author, message (8 bytes) | epoch, offset, digest of the content |
//!
//! An author is a 0 and the session (8 bytes), or a 1 and the bytes of the subject. Keys sort as
//! their numbers do, so that ranges of offsets and of minutes are ranges of rows.

use super::kept::Mark;
use super::row::{RowPen, RowReader};
use super::seen::{Author, Stands};
use crate::channel::log::Record;
use starling_protocol::message::events::{Action, MemberState, Publisher};
use starling_protocol::units::{ChannelPosition, Epoch, MessageId, Offset, SessionId, Tick};
use std::ops::Range;

/// The one version of every form so far.
const V1: u8 = 1;
/// The rows of the world's life: if one is damaged the other stands.
pub(crate) const LIFE_KEYS: [&[u8]; 2] = [b"life/0", b"life/1"];

/// The value of a life row.
pub(crate) fn life(epoch: Epoch) -> Vec<u8> {
    RowPen::new(V1).number(epoch.0).done()
}

/// The epoch of a life row.
pub(crate) fn read_life(value: &[u8]) -> Option<Epoch> {
    let mut row = RowReader::new(value, V1)?;
    let epoch = Epoch(row.number()?);
    row.done(epoch)
}

/// What a channel's row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChannelRow {
    /// Its name in keys of events.
    pub(crate) id: u64,
    /// Its epoch, and the newest number when the row was written.
    pub(crate) newest: ChannelPosition,
    /// Where its events lie.
    pub(crate) marks: Vec<Mark>,
}

/// The value of a channel's row.
pub(crate) fn channel(
    id: u64,
    newest: ChannelPosition,
    marks: impl Iterator<Item = Mark>,
) -> Vec<u8> {
    let pen = RowPen::new(V1).number(id).number(newest.epoch.0).number(newest.offset.0);
    let write = |pen: RowPen, mark: Mark| {
        pen.number(mark.first.0).number(mark.newest_ms).number(mark.bytes)
    };
    marks.fold(pen, write).done()
}

/// What a channel's row says.
pub(crate) fn read_channel(value: &[u8]) -> Option<ChannelRow> {
    let mut row = RowReader::new(value, V1)?;
    let id = row.number()?;
    let newest = ChannelPosition { epoch: Epoch(row.number()?), offset: Offset(row.number()?) };
    let mut marks = Vec::new();
    while let Some(first) = row.number() {
        marks.push(Mark { first: Offset(first), newest_ms: row.number()?, bytes: row.number()? });
    }
    row.done(ChannelRow { id, newest, marks })
}

/// The key of an event's row.
pub(crate) fn event_key(channel: u64, offset: Offset) -> Vec<u8> {
    [channel.to_be_bytes(), offset.0.to_be_bytes()].concat()
}

/// The keys of events, from the first offset up to, and without, the second.
pub(crate) fn event_keys(channel: u64, offsets: Range<Offset>) -> Range<Vec<u8>> {
    event_key(channel, offsets.start)..event_key(channel, offsets.end)
}

/// The channel and the offset of an event's key.
pub(crate) fn read_event_key(key: &[u8]) -> Option<(u64, Offset)> {
    let (channel, offset) = key.split_first_chunk::<8>()?;
    let offset = Offset(u64::from_be_bytes(offset.try_into().ok()?));
    Some((u64::from_be_bytes(*channel), offset))
}

/// The value of an event's row.
pub(crate) fn event(record: &Record) -> Vec<u8> {
    let pen = RowPen::new(V1).number(record.tick.0).number(record.unix_ms);
    let pen = match &record.publisher {
        None => pen.number(0u8),
        Some(p) => pen.number(1u8).number(p.session.0).bytes(p.subject.as_bytes()),
    };
    let pen = action(pen.number(record.message.0), record.action);
    pen.maybe_text(record.state_key.as_deref())
        .number(record.ttl_ms.map_or(0, |ms| u64::from(ms) + 1))
        .maybe_offset(record.parent)
        .bytes(&record.payload)
        .done()
}

/// The event of a row.
pub(crate) fn read_event(value: &[u8]) -> Option<Record> {
    let mut row = RowReader::new(value, V1)?;
    let record = Record {
        tick: Tick(row.number()?),
        unix_ms: row.number()?,
        publisher: read_publisher(&mut row)?,
        message: MessageId(row.number()?),
        action: read_action(&mut row)?,
        state_key: row.maybe_text()?,
        ttl_ms: row.number::<u32>()?.checked_sub(1),
        parent: row.maybe_offset()?,
        payload: row.bytes()?.to_vec(),
    };
    row.done(record)
}

fn read_publisher(row: &mut RowReader<'_>) -> Option<Option<Publisher>> {
    match row.number::<u8>()? {
        0 => Some(None),
        1 => Some(Some(Publisher { session: SessionId(row.number()?), subject: row.text()? })),
        _ => None,
    }
}

/// The numbers are those of the wire (`docs/protocol.md`, section 6), which are never given again.
fn action(pen: RowPen, action: Action) -> RowPen {
    match action {
        Action::Update(to) => pen.number(1u8).number(to.0),
        Action::Delete(to) => pen.number(2u8).number(to.0),
        Action::Append(to) => pen.number(3u8).number(to.0),
        Action::Annotate(to) => pen.number(4u8).number(to.0),
        Action::Join => pen.number(5u8),
        Action::Leave => pen.number(6u8),
        Action::Tombstone => pen.number(7u8),
        Action::Clear => pen.number(8u8),
        Action::Change(MemberState::Away) => pen.number(9u8).number(1u8),
        Action::Change(MemberState::Quiet) => pen.number(9u8).number(2u8),
        Action::Change(_) => pen.number(9u8).number(0u8),
        _ => pen.number(0u8),
    }
}

/// An action as bytes.
pub(crate) fn action_bytes(what: Action) -> Vec<u8> {
    action(RowPen::new(V1), what).done()
}

fn read_action(row: &mut RowReader<'_>) -> Option<Action> {
    Some(match row.number::<u8>()? {
        0 => Action::Message,
        1 => Action::Update(Offset(row.number()?)),
        2 => Action::Delete(Offset(row.number()?)),
        3 => Action::Append(Offset(row.number()?)),
        4 => Action::Annotate(Offset(row.number()?)),
        5 => Action::Join,
        6 => Action::Leave,
        7 => Action::Tombstone,
        8 => Action::Clear,
        9 => Action::Change(match row.number::<u8>()? {
            0 => MemberState::Here,
            1 => MemberState::Away,
            2 => MemberState::Quiet,
            _ => return None,
        }),
        _ => return None,
    })
}

/// The key of a message id that was accepted in this minute.
pub(crate) fn seen_key(minute: u32, author: &Author, message: MessageId) -> Vec<u8> {
    let mut key = minute.to_be_bytes().to_vec();
    match author {
        Author::Session(id) => {
            key.push(0);
            key.extend_from_slice(&id.0.to_be_bytes());
        }
        Author::Subject(subject) => {
            key.push(1);
            key.extend_from_slice(subject.as_bytes());
        }
    }
    key.extend_from_slice(&message.0.to_be_bytes());
    key
}

/// The minute, the author and the message id of a key.
pub(crate) fn read_seen_key(key: &[u8]) -> Option<(u32, Author, MessageId)> {
    let (minute, rest) = key.split_first_chunk::<4>()?;
    let (author, message) = rest.split_last_chunk::<8>()?;
    let author = match author.split_first()? {
        (0, id) => Author::Session(SessionId(u64::from_be_bytes(id.try_into().ok()?))),
        (1, subject) => Author::Subject(std::str::from_utf8(subject).ok()?.into()),
        _ => return None,
    };
    Some((u32::from_be_bytes(*minute), author, MessageId(u64::from_be_bytes(*message))))
}

/// The value of a message id's row.
pub(crate) fn seen(Stands { at, content }: Stands) -> Vec<u8> {
    RowPen::new(V1).number(at.epoch.0).number(at.offset.0).number(content).done()
}

/// Where the message stands.
pub(crate) fn read_seen(value: &[u8]) -> Option<Stands> {
    let mut row = RowReader::new(value, V1)?;
    let at = ChannelPosition { epoch: Epoch(row.number()?), offset: Offset(row.number()?) };
    let content = row.number()?;
    row.done(Stands { at, content })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(action: Action) -> Record {
        Record {
            publisher: Some(Publisher { session: SessionId(9), subject: "alice".into() }),
            message: MessageId(u64::MAX),
            action,
            state_key: Some("k".into()),
            ttl_ms: Some(20),
            parent: Some(Offset(4)),
            payload: vec![1, 2, 3],
            ..Record::new(Tick(7), 1_700_000_000_000)
        }
    }

    #[test]
    fn every_event_is_read_as_it_was_written() {
        let to = Offset(300);
        let actions = [
            Action::Message,
            Action::Update(to),
            Action::Delete(to),
            Action::Append(to),
            Action::Annotate(to),
            Action::Join,
            Action::Leave,
            Action::Tombstone,
            Action::Clear,
            Action::Change(MemberState::Here),
            Action::Change(MemberState::Away),
            Action::Change(MemberState::Quiet),
        ];
        for action in actions {
            let record = record(action);
            assert_eq!(read_event(&event(&record)), Some(record));
        }
        let bare = Record::new(Tick(0), 0);
        assert_eq!(read_event(&event(&bare)), Some(bare));
    }

    #[test]
    fn a_row_that_was_cut_short_is_none() {
        let row = event(&record(Action::Message));
        assert!((0..row.len()).all(|length| read_event(&row[..length]).is_none()));
        assert!(read_event(&[row, vec![0]].concat()).is_none(), "nor one with a rest");
    }

    #[test]
    fn an_event_of_version_one_has_these_bytes() {
        let bytes = [
            1, 7, 128, 208, 149, 255, 188, 49, 1, 9, 5, 97, 108, 105, 99, 101, 255, 255, 255, 255,
            255, 255, 255, 255, 255, 1, 0, 1, 1, 107, 21, 1, 4, 3, 1, 2, 3,
        ];
        assert_eq!(event(&record(Action::Message)), bytes);
    }

    #[test]
    fn keys_sort_as_their_numbers_do() {
        let keys = [(0, 255), (0, 256), (1, 0), (256, 3)].map(|(c, o)| event_key(c, Offset(o)));
        assert!(keys.is_sorted());
        assert_eq!(read_event_key(&keys[3]), Some((256, Offset(3))));
        let author = Author::Session(SessionId(1));
        assert!(seen_key(255, &author, MessageId(9)) < seen_key(256, &author, MessageId(0)));
    }

    #[test]
    fn channels_lives_and_message_ids_are_read_as_they_were_written() {
        let at = ChannelPosition { epoch: Epoch(8), offset: Offset(99) };
        let marks = [1, 50].map(|o| Mark { first: Offset(o), newest_ms: 5, bytes: 6 });
        let row = ChannelRow { id: 3, newest: at, marks: marks.to_vec() };
        assert_eq!(read_channel(&channel(3, at, marks.into_iter())), Some(row));
        assert_eq!(read_life(&life(Epoch(4))), Some(Epoch(4)));
        let stands = Stands { at, content: u64::MAX };
        assert_eq!(read_seen(&seen(stands)), Some(stands));
        for author in [Author::Session(SessionId(7)), Author::Subject("bob".into())] {
            let key = seen_key(12, &author, MessageId(5));
            assert_eq!(read_seen_key(&key), Some((12, author, MessageId(5))));
        }
    }
}
