//! One number for all state that matters: two worlds with the same number are the same.
//!
//! What is only kept for speed (the index, codes, working space) is left out.

use starling_protocol::space::IPos;

/// A running FNV-1a sum of 64 bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checksum(u64);

impl Checksum {
    pub(crate) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Adds a number.
    pub(crate) fn add(&mut self, value: impl Into<u64>) -> &mut Self {
        for byte in value.into().to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self
    }

    /// Adds a signed number.
    pub(crate) fn add_signed(&mut self, value: i64) -> &mut Self {
        self.add(value.cast_unsigned())
    }

    /// Adds a position.
    pub(crate) fn add_position(&mut self, pos: IPos) -> &mut Self {
        for axis in pos.0 {
            self.add_signed(i64::from(axis));
        }
        self
    }

    /// Adds bytes and how many they are.
    pub(crate) fn add_bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.add(bytes.len() as u64);
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self
    }

    pub(crate) const fn value(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_boundaries_matter() {
        let sum = |parts: &[&[u8]]| {
            let mut sum = Checksum::new();
            parts.iter().for_each(|part| drop(sum.add_bytes(part)));
            sum.value()
        };
        assert_ne!(sum(&[b"ab", b"c"]), sum(&[b"a", b"bc"]));
        assert_ne!(sum(&[b"a", b"b"]), sum(&[b"b", b"a"]));
        assert_eq!(sum(&[b"a", b"b"]), sum(&[b"a", b"b"]));
    }
}
