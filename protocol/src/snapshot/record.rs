//! Enter records and typed fields.
//!
//! ```text
//! entity   5 bits L - 1 and L bits index; gamma(generation + 1)
//! enter    entity; kind 6; name: '0', or '1', 6 bits length - 1 and bytes; fields
//! fields   one bit per field of the kind, one more for the block of a kind that has one;
//!          the values of the fields whose bit is set, in order; block: length 8 and bytes
//! ```
//! In an enter record a field whose bit is not set is zero, a block empty.

use super::SnapshotError;
use crate::bits::{BitReader, BitWriter, gamma_bits};
use crate::limits::{BLOCK_BYTES_MAX, ENTITY_NAME_BYTES_MAX, FIELDS_MAX};
use crate::schema::Kind;
use crate::units::{EntityId, KindId};

/// What an enter record says besides the state.
#[derive(Clone, Copy, Debug)]
pub struct Enter<'a> {
    /// Who enters.
    pub entity: EntityId,
    /// Its kind.
    pub kind: KindId,
    /// Its name, 1 to 64 bytes, for viewers that want names.
    pub name: Option<&'a str>,
    /// Its fields that are not zero, as far as this viewer may see them.
    pub fields: Fields<'a>,
}

/// Some fields of an entity, and perhaps its block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields<'a> {
    /// Bit `i`: field `i` follows. The bit after the last field: the block follows.
    pub mask: u32,
    /// Raw values of all fields of the kind.
    pub values: &'a [u32],
    /// The block; at most [`BLOCK_BYTES_MAX`].
    pub block: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The fields that are not zero, and the block if it is not empty, as far as `visible` lets
    /// them through (bits as in [`Fields::mask`]).
    #[must_use]
    pub fn set(kind: &Kind, values: &'a [u32], block: &'a [u8], visible: u32) -> Self {
        let mut mask = 0;
        for (i, value) in values.iter().enumerate().take(kind.fields.len()) {
            mask |= u32::from(*value != 0) << i;
        }
        if kind.block && !block.is_empty() {
            mask |= 1 << kind.fields.len();
        }
        Self { mask: mask & visible, values, block }
    }
}

pub(super) fn write_entity(bits: &mut BitWriter<'_>, entity: EntityId) {
    let len = (32 - entity.index.leading_zeros()).max(1);
    bits.put(u64::from(len - 1), 5);
    bits.put(u64::from(entity.index), len);
    bits.gamma(u64::from(entity.generation) + 1);
}

pub(super) const fn entity_bits(entity: EntityId) -> usize {
    let len = 32 - entity.index.leading_zeros();
    let len = if len == 0 { 1 } else { len };
    5 + len as usize + gamma_bits(entity.generation as u64 + 1)
}

pub(super) fn read_entity(bits: &mut BitReader<'_>) -> Result<EntityId, SnapshotError> {
    let len = bits.take(5)? as u32 + 1;
    let index = bits.take(len)? as u32;
    let generation = u32::try_from(bits.gamma()? - 1)
        .map_err(|_| SnapshotError::Malformed("a generation out of range"))?;
    Ok(EntityId { index, generation })
}

/// Appends an enter record up to the state.
///
/// # Panics
/// When the name is empty or longer than 64 bytes: names are checked where they are given.
pub(super) fn write_enter(bits: &mut BitWriter<'_>, kind: &Kind, enter: &Enter<'_>) {
    write_entity(bits, enter.entity);
    bits.put(u64::from(enter.kind.0), 6);
    bits.flag(enter.name.is_some());
    if let Some(name) = enter.name {
        let fits = (1..=ENTITY_NAME_BYTES_MAX).contains(&name.len());
        assert!(fits, "a name is checked where it is given");
        bits.put(name.len() as u64 - 1, 6);
        bits.bytes(name.as_bytes());
    }
    write_fields(bits, kind, &enter.fields);
}

/// Appends a mask and the fields it names.
pub(super) fn write_fields(bits: &mut BitWriter<'_>, kind: &Kind, fields: &Fields<'_>) {
    let mask = u64::from(fields.mask) & ((1 << mask_bits(kind)) - 1);
    bits.put(mask, mask_bits(kind));
    for (i, field) in kind.fields.iter().enumerate() {
        if mask >> i & 1 == 1 {
            let value = fields.values.get(i).copied().unwrap_or_default();
            bits.put(u64::from(value), u32::from(field.ty.bits()));
        }
    }
    if kind.block && mask >> kind.fields.len() & 1 == 1 {
        assert!(fields.block.len() <= BLOCK_BYTES_MAX, "a block is checked where it is given");
        bits.put(fields.block.len() as u64, 8);
        bits.bytes(fields.block);
    }
}

fn mask_bits(kind: &Kind) -> u32 {
    kind.fields.len() as u32 + u32::from(kind.block)
}

/// Fields as they were read: values of the named fields at their places, zeros elsewhere.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FieldsRead {
    pub(super) mask: u32,
    pub(super) values: [u32; FIELDS_MAX],
    /// The block was told.
    pub(super) told_block: bool,
    /// Where the block lies in the buffer that was given.
    pub(super) block: Text,
}

/// Some bytes in a shared buffer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Text {
    pub(super) start: u32,
    pub(super) len: u32,
}

impl Text {
    pub(super) fn of(self, buffer: &[u8]) -> &[u8] {
        &buffer[self.start as usize..][..self.len as usize]
    }
}

/// Reads what [`write_fields`] made; a block is appended to `buffer`.
pub(super) fn read_fields(
    bits: &mut BitReader<'_>,
    kind: &Kind,
    buffer: &mut Vec<u8>,
) -> Result<FieldsRead, SnapshotError> {
    let mask = bits.take(mask_bits(kind))? as u32;
    let mut read = FieldsRead { mask, ..FieldsRead::default() };
    for (i, field) in kind.fields.iter().enumerate().take(FIELDS_MAX) {
        if mask >> i & 1 == 1 {
            let raw = bits.take(u32::from(field.ty.bits()))? as u32;
            if !field.ty.allows(raw) {
                return Err(SnapshotError::Malformed("a field's value out of range"));
            }
            read.values[i] = raw;
        }
    }
    if kind.block && mask >> kind.fields.len() & 1 == 1 {
        let len = bits.take(8)? as usize;
        read.told_block = true;
        read.block = read_text(bits, len, buffer)?;
    }
    Ok(read)
}

/// Reads `len` bytes to the end of `buffer`.
pub(super) fn read_text(
    bits: &mut BitReader<'_>,
    len: usize,
    buffer: &mut Vec<u8>,
) -> Result<Text, SnapshotError> {
    let start = buffer.len();
    if bits.left() < len * 8 {
        return Err(SnapshotError::Truncated);
    }
    buffer.resize(start + len, 0);
    bits.bytes(&mut buffer[start..])?;
    Ok(Text { start: start as u32, len: len as u32 })
}

/// Reads a name to the end of `buffer`.
pub(super) fn read_name(
    bits: &mut BitReader<'_>,
    buffer: &mut Vec<u8>,
) -> Result<Option<Text>, SnapshotError> {
    if !bits.flag()? {
        return Ok(None);
    }
    let len = bits.take(6)? as usize + 1;
    let text = read_text(bits, len, buffer)?;
    match std::str::from_utf8(text.of(buffer)) {
        Ok(_) => Ok(Some(text)),
        Err(_) => Err(SnapshotError::Malformed("a name that is no text")),
    }
}
