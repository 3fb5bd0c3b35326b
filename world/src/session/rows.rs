//! The rows of sessions, byte by byte.
//!
//! | key: session (8 bytes, the high one first), and | value, version 1 where nothing else is said |
//! |---|---|
//! | 0 | version 2: digests of tokens, subject, capabilities, here, parked at (ms since 1970, or 0), token |
//! | 1, handle (2 bytes) | sequence, the Spawn that would make the entity |
//! | 2, key (4 bytes) | place where it starts, presence, channel |
//! | 3, number | the area of interest |
//!
//! A Spawn and an area have the form that they have on the wire. The token is the name of the one that
//! its principal came with; a session of version 1 ends before it.

use super::token::{Digest, ResumeTokens};
use crate::durable::row::{RowPen, RowReader};
use starling_protocol::codec;
use starling_protocol::message::control::Spawn;
use starling_protocol::message::interest::Interest;
use starling_protocol::units::{ChannelKey, ChannelPosition, Epoch, Handle, Offset, SessionId};
use std::ops::Range;

/// The first version of every form, and the one of most.
const V1: u8 = 1;
/// That of the session itself, which knows the name of its token.
const V2: u8 = 2;

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// The session itself.
    Itself,
    /// One of its entities.
    Entity(Handle),
    /// A channel that it follows.
    Subscription(ChannelKey),
    /// An area of interest.
    Interest(u8),
}

/// The key of a row.
pub(super) fn key(id: SessionId, part: Part) -> Vec<u8> {
    let mut key = id.0.to_be_bytes().to_vec();
    match part {
        Part::Itself => key.push(0),
        Part::Entity(handle) => {
            key.push(1);
            key.extend_from_slice(&handle.0.to_be_bytes());
        }
        Part::Subscription(channel) => {
            key.push(2);
            key.extend_from_slice(&channel.0.to_be_bytes());
        }
        Part::Interest(id) => key.extend_from_slice(&[3, id]),
    }
    key
}

/// Whose row, and about what; the second is `None` for a row of no known kind.
pub(super) fn read_key(key: &[u8]) -> Option<(SessionId, Option<Part>)> {
    let (id, rest) = key.split_first_chunk::<8>()?;
    let part = match rest {
        [0] => Some(Part::Itself),
        [1, a, b] => Some(Part::Entity(Handle(u16::from_be_bytes([*a, *b])))),
        [2, a, b, c, d] => {
            Some(Part::Subscription(ChannelKey(u32::from_be_bytes([*a, *b, *c, *d]))))
        }
        [3, id] => Some(Part::Interest(*id)),
        _ => None,
    };
    Some((SessionId(u64::from_be_bytes(*id)), part))
}

/// The keys of all rows of a session.
pub(super) fn keys_of(id: SessionId) -> Range<Vec<u8>> {
    let start = id.0.to_be_bytes().to_vec();
    start.clone()..[start, vec![0xff]].concat()
}

/// The session itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SessionRow {
    pub(super) newest: Digest,
    pub(super) replaced: Option<Digest>,
    pub(super) subject: String,
    pub(super) capabilities: u32,
    pub(super) here: bool,
    /// Milliseconds since 1970; 0 while a connection carries it.
    pub(super) parked_ms: u64,
    /// P12: name of the token of its principal, which goes when the session is revoked; empty in
    /// open mode, and in rows of version 1.
    pub(super) token: String,
}

impl SessionRow {
    pub(super) fn write(&self) -> Vec<u8> {
        let pen = RowPen::new(V2).bytes(&self.newest);
        let pen = pen.bytes(self.replaced.as_ref().map_or(&[], |digest| digest.as_slice()));
        let pen = pen.bytes(self.subject.as_bytes()).number(self.capabilities);
        let pen = pen.number(u8::from(self.here)).number(self.parked_ms);
        pen.bytes(self.token.as_bytes()).done()
    }

    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let named = value.first() == Some(&V2);
        let mut row = RowReader::new(value, if named { V2 } else { V1 })?;
        let newest = row.bytes()?.try_into().ok()?;
        let replaced = match row.bytes()? {
            [] => None,
            digest => Some(digest.try_into().ok()?),
        };
        let (subject, capabilities) = (row.text()?, row.number()?);
        let (here, parked_ms) = (row.number::<u8>()? != 0, row.number()?);
        let token = if named { row.text()? } else { String::new() };
        row.done(Self { newest, replaced, subject, capabilities, here, parked_ms, token })
    }

    pub(super) fn tokens(&self) -> ResumeTokens {
        ResumeTokens::kept(self.newest, self.replaced)
    }
}

/// An entity that is not in the world until its session is taken up again.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct EntityRow {
    /// The newest sample that was taken.
    pub(super) sequence: Option<u16>,
    /// What makes it.
    pub(super) spawn: Spawn,
}

impl EntityRow {
    pub(super) fn write(&self) -> Vec<u8> {
        let sequence = self.sequence.map_or(0, |sequence| u32::from(sequence) + 1);
        RowPen::new(V1).number(sequence).bytes(&codec::encode(&self.spawn)).done()
    }

    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let mut row = RowReader::new(value, V1)?;
        let sequence = match row.number::<u32>()? {
            0 => None,
            next => Some(u16::try_from(next - 1).ok()?),
        };
        let spawn: Spawn = codec::decode(row.bytes()?).ok()?;
        spawn.name.as_ref()?;
        row.done(Self { sequence, spawn })
    }
}

/// A channel that a session follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SubscriptionRow {
    pub(super) base: ChannelPosition,
    pub(super) presence: bool,
    pub(super) channel: String,
}

impl SubscriptionRow {
    pub(super) fn write(&self) -> Vec<u8> {
        let pen = RowPen::new(V1).number(self.base.epoch.0).number(self.base.offset.0);
        pen.number(u8::from(self.presence)).bytes(self.channel.as_bytes()).done()
    }

    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let mut row = RowReader::new(value, V1)?;
        let base = ChannelPosition { epoch: Epoch(row.number()?), offset: Offset(row.number()?) };
        let (presence, channel) = (row.number::<u8>()? != 0, row.text()?);
        row.done(Self { base, presence, channel })
    }
}

/// An area of interest.
pub(super) fn interest(interest: &Interest) -> Vec<u8> {
    RowPen::new(V1).bytes(&codec::encode(interest)).done()
}

/// The area of interest of a row.
pub(super) fn read_interest(value: &[u8]) -> Option<Interest> {
    let mut row = RowReader::new(value, V1)?;
    let interest = codec::decode(row.bytes()?).ok()?;
    row.done(interest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(replaced: Option<Digest>) -> SessionRow {
        let (subject, token, capabilities) = ("ann".into(), "a-1".into(), 5);
        let (newest, here, parked_ms) = ([7; 32], true, 300);
        SessionRow { newest, replaced, subject, capabilities, here, parked_ms, token }
    }

    #[test]
    fn a_session_of_version_1_is_read_and_its_token_is_not_known() {
        let pen = RowPen::new(1).bytes(&[7; 32]).bytes(&[]).bytes(b"ann").number(5u32);
        let old = pen.number(1u8).number(300u32).done();
        let known = SessionRow { token: String::new(), ..session(None) };
        assert_eq!(SessionRow::read(&old), Some(known));
        assert!((0..old.len()).all(|length| SessionRow::read(&old[..length]).is_none()));
    }

    #[test]
    fn every_row_is_read_as_it_was_written_and_none_that_was_cut() {
        for row in [session(None), session(Some([9; 32]))] {
            let bytes = row.write();
            assert_eq!(SessionRow::read(&bytes), Some(row));
            assert!((0..bytes.len()).all(|length| SessionRow::read(&bytes[..length]).is_none()));
        }
        let base = ChannelPosition { epoch: Epoch(8), offset: Offset(1 << 40) };
        let row = SubscriptionRow { base, presence: true, channel: "news".into() };
        assert_eq!(SubscriptionRow::read(&row.write()), Some(row));
        assert_eq!(EntityRow::read(&[1, 0, 0]), None);
        assert_eq!(read_interest(&[1, 1, 0xff]), None);
    }

    #[test]
    fn keys_sort_by_session_and_name_their_parts() {
        let parts = [
            Part::Itself,
            Part::Entity(Handle(258)),
            Part::Subscription(ChannelKey(7)),
            Part::Interest(3),
        ];
        let id = SessionId(9 << 32 | 255);
        for part in parts {
            let key = key(id, part);
            assert_eq!(read_key(&key), Some((id, Some(part))));
            assert!(keys_of(id).contains(&key));
            assert!(!keys_of(SessionId(id.0 + 1)).contains(&key));
        }
        assert_eq!(read_key(&[0; 7]), None);
        assert_eq!(read_key(&[0, 0, 0, 0, 0, 0, 0, 1, 9]), Some((SessionId(1), None)));
    }
}
