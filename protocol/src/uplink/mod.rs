//! The datagram from client to server.
//!
//! ```text
//! byte 0     bits 0-1 type = 1, 4 ACK, 8 INPUTS, 16 CUES, 32 SAMPLES, 64 and 128 zero
//! bytes 1-2  sequence of this datagram
//! bytes 3-4  tick it is labelled with, low 16 bits
//! ACK        newest tick low 16 u16, newest sequence low 8 u8, received u32
//! INPUTS     newest number u16, count u8 (1-8), each oldest first: length u8, bytes
//! CUES       count u8 (1-15), each: id u16, kind u8, life u8, scope, length u8, bytes
//! SAMPLES    one or more until the end
//!
//! scope      0 handle u16 radius f32 | 1 handle u16 | 2 three i32 radius f32 | 3
//! sample     handle varint, sequence u16, flags u8, position, velocity?, orientation?, fix?
//! flags      1 velocity, bits 1-2 orientation (0 none, 1 heading, 2 look, 3 quaternion), 8 fix,
//!            16 accuracy, 32 speed (both only with 8), 64 and 128 zero
//! position   metric: three zigzag varints; geodetic: i32, i32, zigzag varint
//! velocity   three zigzag varints
//! heading    u8; look: 3 bytes, yaw | pitch << 12; quaternion: u32
//! fix        time in ms: first of the datagram varint, later zigzag varint against the first;
//!            accuracy u16?, speed u16?, source u8
//! ```
//! Everything is little-endian. Nothing follows the last section. A datagram without a section is
//! a probe: its sender asks whether the server is there.

mod decode;
mod encode;

pub use decode::{Cues, Inputs, Samples, Uplink};
pub use encode::UplinkWriter;

use crate::bits::BitError;
use crate::sample::Sample;
use crate::space::IPos;
use crate::units::Handle;
use thiserror::Error;

/// Type of an uplink datagram in the two low bits of its first byte.
pub const UPLINK_TYPE: u8 = 1;

/// Cues in one uplink datagram.
pub const CUES_PER_DATAGRAM_MAX: usize = 15;

pub(crate) const TYPE_MASK: u8 = 3;
const ACK: u8 = 4;
const INPUTS: u8 = 8;
const CUES: u8 = 16;
const SAMPLES: u8 = 32;
const RESERVED: u8 = 0xc0;

const SAMPLE_VELOCITY: u8 = 1;
const SAMPLE_FIX: u8 = 8;
const SAMPLE_ACCURACY: u8 = 16;
const SAMPLE_SPEED: u8 = 32;

/// Which snapshot datagrams have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Low 16 bits of the tick of the newest.
    pub tick: u16,
    /// Low 8 bits of the sequence of the newest.
    pub sequence: u8,
    /// Bit `i`: the datagram with sequence newest - 1 - i has arrived.
    pub bits: u32,
}

/// One sample of one of the sender's entities.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleUp {
    /// Whose.
    pub handle: Handle,
    /// Counts up by one with every sample of this entity.
    pub sequence: u16,
    /// What it says.
    pub sample: Sample,
}

/// A numbered input of a player.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputUp<'a> {
    /// Counts up by one with every input.
    pub number: u16,
    /// The game's bytes, at most [`crate::limits::INPUT_BYTES_MAX`].
    pub payload: &'a [u8],
}

/// A cue on its way up, repeated by the client for its life.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CueUp<'a> {
    /// Chosen by the client; a repetition has the same.
    pub id: u16,
    /// The game's own number for what it is.
    pub kind: u8,
    /// Ticks until it expires, at most [`crate::limits::CUE_TICKS_MAX`].
    pub life: u8,
    /// To whom.
    pub scope: CueScope,
    /// The game's bytes, at most [`crate::limits::CUE_BYTES_MAX`].
    pub payload: &'a [u8],
}

/// To whom a cue goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CueScope {
    /// To sessions with an entity within a distance of one of mine.
    NearMine {
        /// Which of mine.
        entity: Handle,
        /// In metres, finite and not negative.
        radius_m: f32,
    },
    /// To sessions that see one of mine.
    WatchersOfMine {
        /// Which of mine.
        entity: Handle,
    },
    /// To sessions with an entity within a distance of a point.
    Near {
        /// The point, on the canonical grid.
        center: IPos,
        /// In metres, finite and not negative.
        radius_m: f32,
    },
    /// To every session of the world.
    World,
}

/// Why bytes are no uplink datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UplinkError {
    /// Larger than [`crate::limits::DATAGRAM_BYTES_MAX`].
    #[error("larger than a datagram may be")]
    TooLarge,
    /// Another type of datagram, or a flag that version 1 does not define.
    #[error("not an uplink datagram of this version")]
    Type,
    /// It ends in the middle of a value.
    #[error("the datagram is cut short")]
    Truncated,
    /// A number, a length or a tag is outside its range.
    #[error("a value is out of range")]
    OutOfRange,
    /// Bytes follow the end.
    #[error("bytes follow the end")]
    Trailing,
}

impl From<BitError> for UplinkError {
    fn from(error: BitError) -> Self {
        match error {
            BitError::Overrun => Self::Truncated,
            BitError::TooLong => Self::OutOfRange,
        }
    }
}
