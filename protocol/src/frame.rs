//! Length-prefixed frames on a stream.
//!
//! ```text
//! frame = length (QUIC variable-length integer, RFC 9000 section 16) | body
//! ```
//! A length of 0 is refused, so that an empty frame cannot be sent for free.

use crate::limits::MESSAGE_BYTES_MAX;
use thiserror::Error;

/// Why a stream is no sequence of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The length prefix is beyond the limit of this stream.
    #[error("a frame of {0} bytes is larger than its limit")]
    TooLarge(u64),
    /// The length prefix is zero.
    #[error("a frame is empty")]
    Empty,
}

/// Appends one frame.
///
/// # Panics
/// When `body` is empty or larger than [`MESSAGE_BYTES_MAX`]: our own bug.
pub fn write(body: &[u8], out: &mut Vec<u8>) {
    write_length(body.len(), out);
    out.extend_from_slice(body);
}

/// Appends the length before a body of so many bytes, which follows.
///
/// # Panics
/// As [`write()`].
pub fn write_length(bytes: usize, out: &mut Vec<u8>) {
    assert!(
        (1..=MESSAGE_BYTES_MAX).contains(&bytes),
        "a frame we make has 1 to MESSAGE_BYTES_MAX bytes"
    );
    let len = bytes as u32;
    match len {
        0..64 => out.push(len as u8),
        64..16_384 => out.extend_from_slice(&(len as u16 | 0x4000).to_be_bytes()),
        _ => out.extend_from_slice(&(len | 0x8000_0000).to_be_bytes()),
    }
}

/// Cuts a stream of bytes into frames; holds at most one frame that is not complete.
#[derive(Debug)]
pub struct Frames {
    buffer: Vec<u8>,
    start: usize,
    limit: usize,
}

impl Frames {
    /// A reader that refuses bodies larger than `limit` bytes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, limit }
    }

    /// Raises or lowers the limit for the frames that follow.
    pub const fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Bytes that were taken in and are no part of a body given out.
    #[must_use]
    pub const fn buffered(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Takes in the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete body, `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`FrameError`]; the stream is of no further use.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, FrameError> {
        let rest = &self.buffer[self.start..];
        let Some((length, prefix)) = read_varint(rest) else { return Ok(None) };
        if length == 0 {
            return Err(FrameError::Empty);
        }
        if length > self.limit as u64 {
            return Err(FrameError::TooLarge(length));
        }
        let end = prefix + length as usize;
        if rest.len() < end {
            return Ok(None);
        }
        let from = self.start + prefix;
        self.start += end;
        Ok(Some(&self.buffer[from..self.start]))
    }
}

fn read_varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let size = 1usize << (first >> 6);
    let body = bytes.get(..size)?;
    let value = body[1..].iter().fold(u64::from(first & 0x3f), |v, b| v << 8 | u64::from(*b));
    Some((value, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_any_split() {
        let mut wire = Vec::new();
        let bodies = [vec![1; 1], vec![2; 63], vec![3; 64], vec![4; 16_383], vec![5; 16_384]];
        bodies.iter().for_each(|b| write(b, &mut wire));
        for step in [1, 7, 1000, wire.len()] {
            let mut frames = Frames::new(MESSAGE_BYTES_MAX);
            let mut got = Vec::new();
            for part in wire.chunks(step) {
                frames.push(part);
                while let Some(body) = frames.next_frame().expect("well formed") {
                    got.push(body.to_vec());
                }
            }
            assert_eq!(got, bodies);
        }
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_its_bytes_come() {
        let mut frames = Frames::new(100);
        frames.push(&[0xc0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(frames.next_frame(), Err(FrameError::TooLarge(0xffff_ffff)));
    }

    #[test]
    fn an_empty_frame_is_refused() {
        let mut frames = Frames::new(100);
        frames.push(&[0]);
        assert_eq!(frames.next_frame(), Err(FrameError::Empty));
    }
}
