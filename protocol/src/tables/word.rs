//! The bits of one code, read from the stream in one go.

use crate::bits::{BitReader, PUT_BITS_MAX};
use crate::snapshot::SnapshotError;

/// A code has at most [`PUT_BITS_MAX`] bits, so it is parsed in a register.
#[derive(Debug)]
pub(crate) struct Word {
    bits: u64,
    used: u32,
}

const TOO_LONG: SnapshotError = SnapshotError::Malformed("a code of more than 56 bits");

impl Word {
    /// The bits that follow; zeros beyond the end, which [`Word::finish`] finds out.
    #[inline]
    pub(crate) fn new(bits: &BitReader<'_>) -> Self {
        Self { bits: bits.peek(), used: 0 }
    }

    /// What is left, its next bit lowest.
    #[inline]
    pub(crate) const fn rest(&self) -> u64 {
        self.bits >> self.used
    }

    /// Consumes `len` bits, at most 56.
    ///
    /// # Errors
    /// When the code grows beyond 56 bits.
    #[inline]
    pub(crate) fn skip(&mut self, len: u32) -> Result<(), SnapshotError> {
        let used = self.used + len;
        if used > PUT_BITS_MAX {
            return Err(TOO_LONG);
        }
        self.used = used;
        Ok(())
    }

    /// The next `len` bits, at most 56.
    ///
    /// # Errors
    /// When the code grows beyond 56 bits.
    #[inline]
    pub(crate) fn take(&mut self, len: u32) -> Result<u64, SnapshotError> {
        let value = self.rest() & ((1 << len) - 1);
        self.skip(len)?;
        Ok(value)
    }

    /// A value in Elias gamma.
    ///
    /// # Errors
    /// When the code grows beyond 56 bits.
    pub(crate) fn gamma(&mut self) -> Result<u64, SnapshotError> {
        let n = self.rest().trailing_zeros();
        self.skip(n.saturating_add(1))?;
        Ok(1 << n | self.take(n)?)
    }

    /// Consumes from the stream what was parsed.
    ///
    /// # Errors
    /// When the stream ends before.
    #[inline]
    pub(crate) fn finish(self, bits: &mut BitReader<'_>) -> Result<(), SnapshotError> {
        Ok(bits.skip(self.used)?)
    }
}
