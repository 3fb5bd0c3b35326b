//! Frames on their way to connections, within what each link allows.
//!
//! An event that many get is encoded once: what is the same for all of them lies in the output
//! already when the second gets it, and is copied from there.

use super::log::Record;
use crate::input::ConnId;
use crate::output::{Output, Write};
use starling_protocol::codec;
use starling_protocol::frame;
use starling_protocol::message::events::{DeliverHead, EventDown};
use starling_protocol::stream::StreamKind;
use starling_protocol::units::{ChannelKey, Offset};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Where events lie that were encoded for this output.
#[derive(Debug, Default)]
pub(super) struct Encoded {
    /// By the address of the record, which is held so that no other can get it. Looked up only:
    /// no order of addresses shows anywhere.
    tails: BTreeMap<usize, (Arc<Record>, Range<usize>)>,
    head: Vec<u8>,
}

/// Writes frames to one connection until its allowance is used up.
///
/// A frame may begin while any of it is left, so that it is exceeded by less than one frame and no
/// frame is too long to be ever written.
pub(super) struct Pen<'a> {
    conn: ConnId,
    pub(super) left: u32,
    out: &'a mut Output,
    encoded: &'a mut Encoded,
}

impl<'a> Pen<'a> {
    pub(super) const fn new(
        conn: ConnId,
        left: u32,
        out: &'a mut Output,
        encoded: &'a mut Encoded,
    ) -> Self {
        Self { conn, left, out, encoded }
    }

    pub(super) fn may_write(&self) -> bool {
        self.left > 0
    }

    pub(super) fn event(&mut self, message: &EventDown) -> usize {
        let start = self.out.arena.len();
        frame::write(&codec::encode(message), &mut self.out.arena);
        self.finish(StreamKind::Events, start)
    }

    /// Writes the Deliver of an event; one that others get too is encoded for the first of them.
    pub(super) fn deliver(
        &mut self,
        key: ChannelKey,
        offset: Offset,
        record: &Arc<Record>,
        for_others: bool,
    ) -> usize {
        let Self { out, encoded, .. } = self;
        encoded.head.clear();
        codec::encode_onto(&DeliverHead::new(key, offset), &mut encoded.head);
        let address = Arc::as_ptr(record) as usize;
        if let Some((_, tail)) = encoded.tails.get(&address) {
            let start = out.arena.len();
            frame::write_length(encoded.head.len() + tail.len(), &mut out.arena);
            out.arena.extend_from_slice(&encoded.head);
            out.arena.extend_from_within(tail.clone());
            return self.finish(StreamKind::Events, start);
        }
        let head = encoded.head.len();
        codec::encode_onto(&record.tail(), &mut encoded.head);
        let start = out.arena.len();
        frame::write(&encoded.head, &mut out.arena);
        let end = out.arena.len();
        if for_others {
            let tail = end - encoded.head.len() + head..end;
            encoded.tails.insert(address, (Arc::clone(record), tail));
        }
        self.finish(StreamKind::Events, start)
    }

    pub(super) fn framed(&mut self, stream: StreamKind, bytes: &[u8]) {
        let start = self.out.arena.len();
        self.out.arena.extend_from_slice(bytes);
        self.finish(stream, start);
    }

    /// Frames that follow each other on one stream become one write.
    fn finish(&mut self, stream: StreamKind, start: usize) -> usize {
        let end = self.out.arena.len();
        self.left = self.left.saturating_sub((end - start) as u32);
        match self.out.writes.last_mut() {
            Some(last)
                if last.conn == self.conn && last.stream == stream && last.bytes.end == start =>
            {
                last.bytes.end = end;
            }
            _ => self.out.writes.push(Write { conn: self.conn, stream, bytes: start..end }),
        }
        end - start
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use starling_protocol::message::events::Publisher;
    use starling_protocol::units::{SessionId, Tick};

    #[test]
    fn an_event_has_the_same_bytes_for_the_first_and_for_the_others() {
        for length in [0, 1, 40, 300, 20_000] {
            let record = Arc::new(Record {
                publisher: Some(Publisher { session: SessionId(9), subject: "ann".into() }),
                state_key: Some("k".into()),
                payload: vec![7; length],
                ..Record::new(Tick(5), 77)
            });
            let (mut out, mut encoded) = (Output::default(), Encoded::default());
            let places = [(1, 5), (70_000, 5), (3, u64::MAX), (1, 6)];
            let mut expected = Vec::new();
            for (conn, (key, offset)) in places.into_iter().enumerate() {
                let (key, offset) = (ChannelKey(key), Offset(offset));
                let mut pen = Pen::new(ConnId(conn as u64), 1, &mut out, &mut encoded);
                let bytes = pen.deliver(key, offset, &record, true);
                let before = expected.len();
                let whole = EventDown::Deliver(Box::new(record.event(key, offset)));
                frame::write(&codec::encode(&whole), &mut expected);
                assert_eq!(bytes, expected.len() - before);
            }
            assert_eq!((out.arena, encoded.tails.len()), (expected, 1));
        }
    }
}
