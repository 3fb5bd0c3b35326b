//! Messages to bytes and back: the one file that names bincode.
//!
//! The form is bincode 2 "standard": little-endian, variable-length integers, enum variants by
//! number (`docs/protocol.md` has it byte by byte). Decoding is bounded before it allocates:
//! without a limit a hostile length aborts the process.

use crate::limits::MESSAGE_BYTES_MAX;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Larger than [`MESSAGE_BYTES_MAX`].
    #[error("a message of {0} bytes is larger than {MESSAGE_BYTES_MAX}")]
    TooLarge(usize),
    /// Cut short, a length beyond the limit, an unknown variant, text that is not UTF-8.
    #[error("malformed message: {0}")]
    Malformed(String),
    /// Bytes after the end.
    #[error("{0} bytes after the end of the message")]
    Trailing(usize),
}

/// Bytes of a record that this machine wrote for itself: a recording, an image.
pub const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;

const fn record_config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<RECORD_BYTES_MAX>()
}

/// The bytes of a record that never crosses the wire; `None` beyond [`RECORD_BYTES_MAX`].
#[must_use]
pub fn encode_record<T: Serialize>(record: &T) -> Option<Vec<u8>> {
    bincode::serde::encode_to_vec(record, record_config())
        .ok()
        .filter(|bytes| bytes.len() <= RECORD_BYTES_MAX)
}

/// The record that exactly these bytes are.
///
/// # Errors
/// [`DecodeError`]; nothing larger than the limit was allocated.
pub fn decode_record<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let (record, used) = bincode::serde::decode_from_slice(bytes, record_config())
        .map_err(|e| DecodeError::Malformed(e.to_string()))?;
    match bytes.len() - used {
        0 => Ok(record),
        rest => Err(DecodeError::Trailing(rest)),
    }
}

const fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<MESSAGE_BYTES_MAX>()
}

/// The bytes of a message.
///
/// # Panics
/// Never for the types of this crate: serialisation into memory of types without maps, without
/// sequences of unknown length and without fallible `Serialize` cannot fail.
#[must_use]
pub fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    bincode::serde::encode_to_vec(message, config())
        .expect("plain data always serialises into memory")
}

/// Appends the bytes of a message, or of a part of one.
///
/// # Panics
/// As [`encode`].
pub fn encode_onto<T: Serialize>(message: &T, out: &mut Vec<u8>) {
    bincode::serde::encode_into_writer(message, Onto(out), config())
        .expect("plain data always serialises into memory");
}

/// The end of a vector, to write to.
struct Onto<'a>(&'a mut Vec<u8>);

impl bincode::enc::write::Writer for Onto<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// The message that exactly these bytes are.
///
/// # Errors
/// [`DecodeError`]; nothing larger than the limit was allocated.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(DecodeError::TooLarge(bytes.len()));
    }
    let (message, used) = bincode::serde::decode_from_slice(bytes, config())
        .map_err(|e| DecodeError::Malformed(e.to_string()))?;
    match bytes.len() - used {
        0 => Ok(message),
        rest => Err(DecodeError::Trailing(rest)),
    }
}
