//! Cues on their way down: told again in each datagram until acknowledged or expired.
//!
//! ```text
//! CUES  count 4 (1-15), each: id 8; age 4, ticks since it was given; life 4; kind 8;
//!       source: '0', or '1' and entity; position: '0', or '1' and three times 32 bits;
//!       length 7 and bytes
//! ```

use super::SnapshotError;
use super::record::{Text, read_entity, read_text, write_entity};
use crate::bits::{BitReader, BitWriter};
use crate::limits::{CUE_BYTES_MAX, CUE_TICKS_MAX};
use crate::space::IPos;
use crate::units::{EntityId, Tick};

/// Cues in one datagram.
pub const CUES_PER_SNAPSHOT_MAX: usize = 15;

/// Something that happened in a tick: a shot, a hit, a horn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cue<'a> {
    /// Told apart from this session's other cues of the same tick and of the last 15.
    pub id: u8,
    /// The tick in which it was given.
    pub tick: Tick,
    /// Ticks after which it is of no use: delivered no later than `tick + life`.
    pub life: u8,
    /// The game's own number for what it is.
    pub kind: u8,
    /// The entity it comes from.
    pub source: Option<EntityId>,
    /// Where it happened, on the canonical grid.
    pub position: Option<IPos>,
    /// The game's bytes, at most [`CUE_BYTES_MAX`].
    pub payload: &'a [u8],
}

/// Appends a cue to a datagram of `tick`.
///
/// # Panics
/// When it is expired or beyond a limit: the caller checks.
pub(super) fn write_cue(bits: &mut BitWriter<'_>, tick: Tick, cue: &Cue<'_>) {
    let age = tick.since(cue.tick).expect("a cue is told in its tick or later");
    let alive = age <= u32::from(cue.life) && u32::from(cue.life) <= CUE_TICKS_MAX;
    assert!(alive && cue.payload.len() <= CUE_BYTES_MAX, "a cue is checked before it is sent");
    bits.put(u64::from(cue.id), 8);
    bits.put(u64::from(age) | u64::from(cue.life) << 4, 8);
    bits.put(u64::from(cue.kind), 8);
    bits.flag(cue.source.is_some());
    if let Some(source) = cue.source {
        write_entity(bits, source);
    }
    bits.flag(cue.position.is_some());
    for axis in cue.position.iter().flat_map(|pos| pos.0) {
        bits.put(u64::from(axis as u32), 32);
    }
    bits.put(cue.payload.len() as u64, 7);
    bits.bytes(cue.payload);
}

/// A cue as it was read; its payload lies in the buffer that was given.
#[derive(Clone, Copy, Debug)]
pub(super) struct CueRead {
    pub(super) id: u8,
    pub(super) tick: Tick,
    pub(super) life: u8,
    kind: u8,
    source: Option<EntityId>,
    position: Option<IPos>,
    payload: Text,
}

impl CueRead {
    pub(super) fn with(self, buffer: &[u8]) -> Cue<'_> {
        Cue {
            id: self.id,
            tick: self.tick,
            life: self.life,
            kind: self.kind,
            source: self.source,
            position: self.position,
            payload: self.payload.of(buffer),
        }
    }
}

/// Reads what [`write_cue`] made; the payload is appended to `buffer`.
pub(super) fn read_cue(
    bits: &mut BitReader<'_>,
    tick: Tick,
    buffer: &mut Vec<u8>,
) -> Result<CueRead, SnapshotError> {
    let id = bits.take(8)? as u8;
    let (age, life) = (bits.take(4)? as u32, bits.take(4)? as u8);
    if age > u32::from(life) || age > tick.0 {
        return Err(SnapshotError::Malformed("an expired cue"));
    }
    let kind = bits.take(8)? as u8;
    let source = if bits.flag()? { Some(read_entity(bits)?) } else { None };
    let position = if bits.flag()? { Some(read_point(bits)?) } else { None };
    let len = bits.take(7)? as usize;
    if len > CUE_BYTES_MAX {
        return Err(SnapshotError::Malformed("a cue beyond its limit"));
    }
    let payload = read_text(bits, len, buffer)?;
    Ok(CueRead { id, tick: tick - age, life, kind, source, position, payload })
}

fn read_point(bits: &mut BitReader<'_>) -> Result<IPos, SnapshotError> {
    let mut pos = IPos::default();
    for axis in &mut pos.0 {
        *axis = bits.take(32)? as u32 as i32;
    }
    Ok(pos)
}
