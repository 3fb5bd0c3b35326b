//! Numbers in whole bytes, and signed ones folded for them.

use super::BitError;

/// Folds a signed value into an unsigned one: 0, -1, 1, -2, 2 become 0, 1, 2, 3, 4.
#[inline]
#[must_use]
pub const fn zigzag(v: i32) -> u32 {
    ((v << 1) ^ (v >> 31)) as u32
}

/// The inverse of [`zigzag`].
#[inline]
#[must_use]
pub const fn unzigzag(v: u32) -> i32 {
    (v >> 1) as i32 ^ -((v & 1) as i32)
}

/// [`zigzag`] on 64 bits.
#[must_use]
pub const fn zigzag64(v: i64) -> u64 {
    ((v << 1) ^ (v >> 63)) as u64
}

/// The inverse of [`zigzag64`].
#[must_use]
pub const fn unzigzag64(v: u64) -> i64 {
    (v >> 1) as i64 ^ -((v & 1) as i64)
}

/// Appends `v` as a byte varint: seven bits a byte, low first, high bit set on all but the last.
pub fn put_varint(mut v: u64, out: &mut Vec<u8>) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

/// The byte varint at the front of `bytes`, and what follows it.
///
/// # Errors
/// [`BitError::Overrun`] when the bytes end, [`BitError::TooLong`] when the value has more than
/// 64 bits or is written with more bytes than it needs.
#[inline]
pub fn take_varint(bytes: &[u8]) -> Result<(u64, &[u8]), BitError> {
    match bytes {
        [byte, rest @ ..] if *byte < 0x80 => Ok((u64::from(*byte), rest)),
        _ => take_long_varint(bytes),
    }
}

/// Of two to eight bytes in one go, where as many are there.
fn take_long_varint(bytes: &[u8]) -> Result<(u64, &[u8]), BitError> {
    let Some(eight) = bytes.first_chunk::<8>() else { return take_varint_bytewise(bytes) };
    let word = u64::from_le_bytes(*eight);
    let last = !word & 0x8080_8080_8080_8080;
    if last == 0 {
        return take_varint_bytewise(bytes);
    }
    let len = last.trailing_zeros() / 8 + 1;
    let word = word & u64::MAX >> (64 - 8 * len);
    if word >> (8 * (len - 1)) == 0 {
        return Err(BitError::TooLong);
    }
    // Sevens become fourteens, those twenty-eights, those all of it.
    let word = (word & 0x007f_007f_007f_007f) | (word & 0x7f00_7f00_7f00_7f00) >> 1;
    let word = (word & 0x0000_3fff_0000_3fff) | (word & 0x3fff_0000_3fff_0000) >> 2;
    let word = (word & 0x0fff_ffff) | (word & 0x0fff_ffff_0000_0000) >> 4;
    Ok((word, &bytes[len as usize..]))
}

fn take_varint_bytewise(bytes: &[u8]) -> Result<(u64, &[u8]), BitError> {
    let mut v = 0u64;
    for (i, &byte) in bytes.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        if (i == 9 && bits > 1) || (i > 0 && byte == 0) {
            return Err(BitError::TooLong);
        }
        v |= bits << (7 * i);
        if byte < 0x80 {
            return Ok((v, &bytes[i + 1..]));
        }
    }
    Err(if bytes.len() < 10 { BitError::Overrun } else { BitError::TooLong })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varints_and_zigzags_survive(v in any::<u64>(), s in 0u32..64, i in any::<i32>()) {
            let v = v >> s;
            let mut out = Vec::new();
            put_varint(v, &mut out);
            prop_assert_eq!(take_varint(&out), Ok((v, &[][..])));
            prop_assert_eq!(unzigzag(zigzag(i)), i);
            prop_assert_eq!(unzigzag64(zigzag64(v as i64)), v as i64);
        }

        #[test]
        fn eight_bytes_at_once_are_read_as_one_by_one(
            v in any::<u64>(), s in 0u32..64, tail in prop::collection::vec(any::<u8>(), 0..12),
            noise in prop::collection::vec(prop_oneof![Just(0x80u8), Just(0), any::<u8>()], 0..12),
        ) {
            let mut out = Vec::new();
            put_varint(v >> s, &mut out);
            out.extend(&tail);
            prop_assert_eq!(take_varint(&out), Ok((v >> s, &tail[..])));
            prop_assert_eq!(take_varint(&noise), take_varint_bytewise(&noise));
        }
    }

    #[test]
    fn a_varint_that_wastes_bytes_is_refused() {
        assert_eq!(take_varint(&[0x80, 0]), Err(BitError::TooLong));
        assert_eq!(take_varint(&[0x80]), Err(BitError::Overrun));
        assert_eq!(take_varint(&[0xff; 11]), Err(BitError::TooLong));
    }
}
