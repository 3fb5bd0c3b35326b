//! Stream bytes of one connection that QUIC has not taken yet.

use bytes::{Buf, BytesMut};
use starling_protocol::stream::StreamKind;

/// Bytes that wait for one connection, beside what QUIC itself holds until it is acknowledged.
pub(crate) const OUTBOX_BYTES: usize = 64 * 1024;

/// Bounded pending bytes by stream.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pending: [BytesMut; StreamKind::ALL.len()],
    bytes: usize,
}

impl Outbox {
    /// Bytes that [`Outbox::write`] will still take.
    pub(crate) const fn space(&self) -> usize {
        OUTBOX_BYTES - self.bytes
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Takes what there is room for.
    pub(crate) fn write(&mut self, stream: StreamKind, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.space());
        self.pending[stream as usize].extend_from_slice(&bytes[..taken]);
        self.bytes += taken;
        taken
    }

    /// Offers a stream's bytes to `sink`, which says how many it took, until it takes no more.
    ///
    /// # Errors
    /// What `sink` fails with.
    pub(crate) fn push<E>(
        &mut self,
        stream: StreamKind,
        mut sink: impl FnMut(&[u8]) -> Result<usize, E>,
    ) -> Result<(), E> {
        let pending = &mut self.pending[stream as usize];
        while !pending.is_empty() {
            let taken = sink(pending)?;
            if taken == 0 {
                return Ok(());
            }
            pending.advance(taken);
            self.bytes -= taken;
        }
        // An idle session holds no buffer.
        *pending = BytesMut::new();
        Ok(())
    }

    /// Takes all that waits for a stream out.
    pub(crate) fn take(&mut self, stream: StreamKind) -> BytesMut {
        let taken = std::mem::take(&mut self.pending[stream as usize]);
        self.bytes -= taken.len();
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outbox_takes_what_it_has_room_for() {
        let mut outbox = Outbox::default();
        let much = vec![1; OUTBOX_BYTES - 10];
        assert_eq!(outbox.write(StreamKind::Bulk, &much), much.len());
        assert_eq!(outbox.write(StreamKind::Control, &much), 10);
        assert_eq!(outbox.space(), 0);
    }

    #[test]
    fn a_sink_that_takes_part_gets_the_rest_later() {
        let mut outbox = Outbox::default();
        outbox.write(StreamKind::Events, b"abcdef");
        let (mut got, mut room) = (Vec::new(), 4);
        let mut push = |outbox: &mut Outbox, more: usize| {
            room += more;
            outbox.push(StreamKind::Events, |bytes| {
                let taken = bytes.len().min(room).min(3);
                room -= taken;
                got.extend_from_slice(&bytes[..taken]);
                Ok::<_, ()>(taken)
            })
        };
        assert_eq!(push(&mut outbox, 0), Ok(()));
        assert!(!outbox.is_empty());
        assert_eq!(push(&mut outbox, 10), Ok(()));
        assert!(outbox.is_empty());
        assert_eq!(got, b"abcdef");
    }
}
