//! Payloads on their way out, side by side in chunks: one allocation serves many.

use bytes::{Bytes, BytesMut};

/// Bytes of a chunk for many connections. It lives until the last payload in it has been sent, so
/// it is not large.
pub(in crate::quic) const CHUNK_BYTES: usize = 16 * 1024;

/// Where payloads are put that wait to be sent.
#[derive(Debug)]
pub(in crate::quic) struct Arena {
    chunk: BytesMut,
    chunk_bytes: usize,
}

impl Arena {
    /// An arena of chunks of this size; zero for payloads each by itself.
    pub(in crate::quic) fn new(chunk_bytes: usize) -> Self {
        Self { chunk: BytesMut::new(), chunk_bytes }
    }

    /// A copy of `payload` that QUIC can keep.
    pub(in crate::quic) fn copy(&mut self, payload: &[u8]) -> Bytes {
        if self.chunk.capacity() < payload.len() {
            // A chunk of which all was sent is used again.
            self.chunk.reserve(payload.len().max(self.chunk_bytes));
        }
        self.chunk.extend_from_slice(payload);
        self.chunk.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_whole_and_a_chunk_is_used_again_once_they_are_gone() {
        let mut arena = Arena::new(CHUNK_BYTES);
        let first = arena.copy(&[7; 100]);
        let base = first.as_ptr();
        let copies: Vec<_> = (1..100_u8).map(|n| arena.copy(&[n; 100])).collect();
        assert!(copies.iter().zip(1..).all(|(copy, n)| **copy == [n; 100]));
        drop((first, copies));
        let fill = arena.copy(&vec![1; CHUNK_BYTES - 10_000 + 1]);
        assert_eq!(fill.as_ptr(), base);
    }
}
