//! Bits to bytes and back, least significant bit first.
//!
//! ```text
//! the first bit written is bit 0 of byte 0, the ninth is bit 0 of byte 1
//! a value of n bits is written with its own bit 0 first
//! gamma(v), v >= 1: n zeros, a one, then the n low bits of v, where n = floor(log2 v)
//! signed(v):        5 bits L = length of |v| in bits; if L > 0: one sign bit (1 = negative) and
//!                   the L - 1 low bits of |v| (its highest bit is always 1 and is not written)
//! ```

mod varint;

pub use varint::{put_varint, take_varint, unzigzag, unzigzag64, zigzag, zigzag64};

use thiserror::Error;

/// Longest value of one [`BitWriter::put`] or [`BitReader::take`], in bits.
pub const PUT_BITS_MAX: u32 = 56;

/// Bytes that the writer keeps beyond its position, so that each put is one eight-byte store.
const SLACK: usize = 8;

/// Why bits cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BitError {
    /// The bytes end before the value does.
    #[error("the bits end too early")]
    Overrun,
    /// A variable-length value is longer than any that is ever written.
    #[error("a variable-length value is too long")]
    TooLong,
}

/// Appends bits to a vector of bytes.
///
/// The vector is larger than its content until [`BitWriter::finish`] cuts it.
#[derive(Debug)]
pub struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    at: usize,
    acc: u64,
    held: u32,
}

impl<'a> BitWriter<'a> {
    /// A writer that appends to `out`.
    #[must_use]
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        out.resize(start + SLACK, 0);
        Self { out, start, at: start, acc: 0, held: 0 }
    }

    /// A writer that goes on after the first `bits` bits of a vector that another one finished.
    ///
    /// # Panics
    /// When the vector is shorter: our own bug.
    #[must_use]
    pub fn resume(out: &'a mut Vec<u8>, bits: usize) -> Self {
        let (at, held) = (bits / 8, (bits % 8) as u32);
        assert!(bits.div_ceil(8) <= out.len(), "only written bits can be followed");
        out.truncate(bits.div_ceil(8));
        let acc = if held > 0 { u64::from(out[at]) } else { 0 };
        out.resize(at + SLACK, 0);
        Self { out, start: 0, at, acc, held }
    }

    /// Appends the `len` low bits of `bits`; the others are zero. At most [`PUT_BITS_MAX`].
    #[inline]
    pub fn put(&mut self, bits: u64, len: u32) {
        debug_assert!(
            len <= PUT_BITS_MAX && bits >> len == 0,
            "{bits:#x} has more than {len} bits"
        );
        if self.at + SLACK > self.out.len() {
            self.grow();
        }
        self.acc |= bits << self.held;
        self.held += len;
        self.out[self.at..self.at + SLACK].copy_from_slice(&self.acc.to_le_bytes());
        self.at += (self.held >> 3) as usize;
        self.acc >>= self.held & 0x38;
        self.held &= 7;
    }

    /// Appends many values, as [`BitWriter::put`] does one; `bits` of them in all.
    ///
    /// # Panics
    /// When they are more: our own bug.
    #[inline]
    pub fn put_all(&mut self, bits: usize, values: impl Iterator<Item = (u64, u32)>) {
        let mut run = self.run(bits);
        values.for_each(|(value, len)| run.put(value, len));
        let end = run.end();
        self.go_on(end);
    }

    /// The same for values that lie in a list, two at a time while they fit: what a value waits for
    /// is the one before it, and so it waits half as often.
    ///
    /// # Panics
    /// When they are more than `bits`: our own bug.
    #[inline]
    pub fn put_pairs<T>(&mut self, bits: usize, values: &[T], of: impl Fn(&T) -> (u64, u32)) {
        let mut run = self.run(bits);
        let (pairs, rest) = values.as_chunks::<2>();
        for pair in pairs {
            let [(low, low_len), (high, high_len)] = [of(&pair[0]), of(&pair[1])];
            if low_len + high_len <= PUT_BITS_MAX {
                run.put(low | high << low_len, low_len + high_len);
            } else {
                run.put(low, low_len);
                run.put(high, high_len);
            }
        }
        rest.iter().map(of).for_each(|(value, len)| run.put(value, len));
        let end = run.end();
        self.go_on(end);
    }

    /// Room for so many bits, and where they begin.
    #[inline]
    fn run(&mut self, bits: usize) -> Run<'_> {
        let room = self.at + bits / 8 + 2 * SLACK;
        if self.out.len() < room {
            self.out.resize(room, 0);
        }
        Run { bytes: &mut self.out[self.at..], at: 0, acc: self.acc, held: self.held }
    }

    #[inline]
    fn go_on(&mut self, (at, acc, held): (usize, u64, u32)) {
        (self.acc, self.held) = (acc, held);
        self.at += at;
    }

    /// Appends one bit.
    #[inline]
    pub fn flag(&mut self, bit: bool) {
        self.put(u64::from(bit), 1);
    }

    /// Appends `v` in Elias gamma.
    ///
    /// # Panics
    /// When `v` is zero or above 2^33: our own bug.
    pub fn gamma(&mut self, v: u64) {
        assert!((1..=1 << 33).contains(&v), "gamma codes start at one");
        let n = v.ilog2();
        self.put(1 << n, n + 1);
        self.put(v & !(1 << n), n);
    }

    /// Appends a signed value of at most 31 bits of magnitude.
    ///
    /// # Panics
    /// When `v` is `i32::MIN`: our own bug.
    pub fn signed(&mut self, v: i32) {
        let magnitude = u64::from(v.unsigned_abs());
        let len = signed_len(v);
        assert!(len <= 31, "a signed value has at most 31 bits");
        self.put(u64::from(len), 5);
        if len > 0 {
            self.put(u64::from(v < 0) | (magnitude & !(1 << (len - 1))) << 1, len);
        }
    }

    /// Appends whole bytes at whatever bit the writer stands.
    pub fn bytes(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(7) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.put(u64::from_le_bytes(word), chunk.len() as u32 * 8);
        }
    }

    /// Appends the first `len` bits of `bytes`, as another writer made them.
    ///
    /// # Panics
    /// When `bytes` is shorter than `len` bits: our own bug.
    pub fn bits(&mut self, bytes: &[u8], len: usize) {
        self.bytes(&bytes[..len / 8]);
        let rest = (len % 8) as u32;
        if rest > 0 {
            self.put(u64::from(bytes[len / 8]) & ((1 << rest) - 1), rest);
        }
    }

    /// Bits written so far.
    #[must_use]
    pub const fn bits_len(&self) -> usize {
        (self.at - self.start) * 8 + self.held as usize
    }

    /// Overwrites `len` bits that were written before, at bit `position` of this writer.
    ///
    /// # Panics
    /// When they were not written yet: our own bug.
    pub fn patch(&mut self, position: usize, bits: u64, len: u32) {
        assert!(position + len as usize <= self.bits_len(), "only written bits can be patched");
        for i in 0..len as usize {
            let bit = position + i;
            let (byte, mask) = (self.start + bit / 8, 1u8 << (bit % 8));
            let on = bits >> i & 1 == 1;
            self.out[byte] = if on { self.out[byte] | mask } else { self.out[byte] & !mask };
            if byte == self.at {
                self.acc = u64::from(self.out[byte]);
            }
        }
    }

    /// Pads with zeros to a whole byte, cuts the vector there and returns the bytes written.
    pub fn finish(self) -> usize {
        let end = self.at + usize::from(self.held > 0);
        self.out.truncate(end);
        end - self.start
    }

    #[cold]
    fn grow(&mut self) {
        let len = (self.at + 64).max(self.out.capacity());
        self.out.resize(len, 0);
    }
}

/// A writer whose state lies in registers: through a reference each store would be a load again.
struct Run<'a> {
    bytes: &'a mut [u8],
    at: usize,
    acc: u64,
    held: u32,
}

impl Run<'_> {
    #[inline]
    fn put(&mut self, value: u64, len: u32) {
        debug_assert!(len <= PUT_BITS_MAX && value >> len == 0, "more than {len} bits");
        self.acc |= value << self.held;
        self.held += len;
        self.bytes[self.at..self.at + SLACK].copy_from_slice(&self.acc.to_le_bytes());
        self.at += (self.held >> 3) as usize;
        self.acc >>= self.held & 0x38;
        self.held &= 7;
    }

    const fn end(self) -> (usize, u64, u32) {
        (self.at, self.acc, self.held)
    }
}

/// Length in bits of the magnitude of `v`.
const fn signed_len(v: i32) -> u32 {
    32 - v.unsigned_abs().leading_zeros()
}

/// Bits that [`BitWriter::signed`] spends on `v`.
#[must_use]
pub const fn signed_bits(v: i32) -> usize {
    5 + signed_len(v) as usize
}

/// Bits that [`BitWriter::gamma`] spends on `v`, which is at least 1.
#[must_use]
pub const fn gamma_bits(v: u64) -> usize {
    2 * v.ilog2() as usize + 1
}

/// Reads bits from a slice of bytes. Never panics, never reads beyond the end.
#[derive(Clone, Debug)]
pub struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> BitReader<'a> {
    /// A reader from bit 0 of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, end: bytes.len() * 8 }
    }

    /// The next 56 bits or more; zeros beyond the end. Consumes nothing.
    #[inline]
    #[must_use]
    pub fn peek(&self) -> u64 {
        let byte = self.at >> 3;
        let word = match self.bytes.get(byte..byte + 8) {
            Some(eight) => u64::from_le_bytes(eight.try_into().unwrap_or_default()),
            None => self.tail(byte),
        };
        word >> (self.at & 7)
    }

    #[cold]
    fn tail(&self, byte: usize) -> u64 {
        let rest = self.bytes.get(byte..).unwrap_or_default();
        rest.iter().rev().fold(0, |word, b| word << 8 | u64::from(*b))
    }

    /// Consumes `len` bits.
    ///
    /// # Errors
    /// [`BitError::Overrun`] when there are fewer.
    #[inline]
    pub fn skip(&mut self, len: u32) -> Result<(), BitError> {
        let at = self.at + len as usize;
        if at > self.end {
            return Err(BitError::Overrun);
        }
        self.at = at;
        Ok(())
    }

    /// The next `len` bits, at most [`PUT_BITS_MAX`].
    ///
    /// # Errors
    /// [`BitError::Overrun`] when there are fewer.
    #[inline]
    pub fn take(&mut self, len: u32) -> Result<u64, BitError> {
        debug_assert!(len <= PUT_BITS_MAX, "a value of {len} bits is read in parts");
        let bits = self.peek() & ((1 << len) - 1);
        self.skip(len)?;
        Ok(bits)
    }

    /// The next bit.
    ///
    /// # Errors
    /// [`BitError::Overrun`] at the end.
    #[inline]
    pub fn flag(&mut self) -> Result<bool, BitError> {
        Ok(self.take(1)? == 1)
    }

    /// A value in Elias gamma, 1 to 2^33.
    ///
    /// # Errors
    /// [`BitError`] at the end or when the value is greater.
    pub fn gamma(&mut self) -> Result<u64, BitError> {
        let n = self.peek().trailing_zeros();
        if n > 33 {
            return Err(if self.left() > 33 { BitError::TooLong } else { BitError::Overrun });
        }
        self.skip(n + 1)?;
        let v = 1 << n | self.take(n)?;
        if v > 1 << 33 { Err(BitError::TooLong) } else { Ok(v) }
    }

    /// A signed value of at most 31 bits of magnitude.
    ///
    /// # Errors
    /// [`BitError::Overrun`] at the end.
    pub fn signed(&mut self) -> Result<i32, BitError> {
        let len = self.take(5)? as u32;
        if len == 0 {
            return Ok(0);
        }
        let bits = self.take(len)?;
        let magnitude = (1 << (len - 1) | bits >> 1) as i32;
        Ok(if bits & 1 == 1 { -magnitude } else { magnitude })
    }

    /// The next bytes into `out`, at whatever bit the reader stands.
    ///
    /// # Errors
    /// [`BitError::Overrun`] when there are fewer; `out` is then of no use.
    pub fn bytes(&mut self, out: &mut [u8]) -> Result<(), BitError> {
        if self.left() < out.len() * 8 {
            return Err(BitError::Overrun);
        }
        for chunk in out.chunks_mut(7) {
            let word = self.take(chunk.len() as u32 * 8)?.to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        Ok(())
    }

    /// Bits that are left.
    #[must_use]
    pub const fn left(&self) -> usize {
        self.end - self.at
    }

    /// Is what is left nothing but the zeros that fill the last byte?
    #[must_use]
    pub fn only_padding_left(&self) -> bool {
        self.left() < 8 && self.peek() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Piece {
        Raw(u64, u32),
        Gamma(u64),
        Signed(i32),
        Bytes(Vec<u8>),
    }

    fn piece() -> impl Strategy<Value = Piece> {
        prop_oneof![
            (any::<u64>(), 0u32..=56).prop_map(|(v, len)| Piece::Raw(v & ((1 << len) - 1), len)),
            (0u32..=33, any::<u64>())
                .prop_map(|(n, v)| Piece::Gamma((v >> (63 - n)).clamp(1, 1 << 33))),
            (-i32::MAX..=i32::MAX, 0u32..31).prop_map(|(v, s)| Piece::Signed(v >> s)),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(Piece::Bytes),
        ]
    }

    fn write(piece: &Piece, w: &mut BitWriter<'_>) {
        match piece {
            Piece::Raw(v, len) => w.put(*v, *len),
            Piece::Gamma(v) => w.gamma(*v),
            Piece::Signed(v) => w.signed(*v),
            Piece::Bytes(b) => w.bytes(b),
        }
    }

    fn bits_of(piece: &Piece) -> usize {
        match piece {
            Piece::Raw(_, len) => *len as usize,
            Piece::Gamma(v) => gamma_bits(*v),
            Piece::Signed(v) => signed_bits(*v),
            Piece::Bytes(b) => b.len() * 8,
        }
    }

    fn read_back(piece: &Piece, r: &mut BitReader<'_>) -> Result<(), BitError> {
        match piece {
            Piece::Raw(v, len) => assert_eq!(r.take(*len)?, *v),
            Piece::Gamma(v) => assert_eq!(r.gamma()?, *v),
            Piece::Signed(v) => assert_eq!(r.signed()?, *v),
            Piece::Bytes(b) => {
                let mut got = vec![0; b.len()];
                r.bytes(&mut got)?;
                assert_eq!(&got, b);
            }
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(pieces in prop::collection::vec(piece(), 0..200)) {
            let mut out = vec![0xaa; 3];
            let mut w = BitWriter::new(&mut out);
            pieces.iter().for_each(|p| write(p, &mut w));
            let bits: usize = pieces.iter().map(bits_of).sum();
            prop_assert_eq!(w.bits_len(), bits);
            prop_assert_eq!(w.finish(), bits.div_ceil(8));
            prop_assert_eq!(&out[..3], &[0xaa; 3]);
            let mut r = BitReader::new(&out[3..]);
            for p in &pieces {
                read_back(p, &mut r)?;
            }
            prop_assert!(r.only_padding_left());
        }

        #[test]
        fn a_cut_stream_is_an_error_at_every_length(pieces in prop::collection::vec(piece(), 1..12)) {
            let mut out = Vec::new();
            let mut w = BitWriter::new(&mut out);
            pieces.iter().for_each(|p| write(p, &mut w));
            w.put(1, 1);
            w.finish();
            for cut in 0..out.len() {
                let mut r = BitReader::new(&out[..cut]);
                let end = pieces.iter().try_for_each(|p| read_back_quietly(p, &mut r))
                    .and_then(|()| r.take(1).map(drop));
                prop_assert!(end.is_err(), "cut at {} of {}", cut, out.len());
            }
        }

        #[test]
        fn a_patch_changes_its_bits_and_no_others(
            before in 0u32..40, after in 0u32..40, old in 0u64..4096, new in 0u64..4096,
        ) {
            let mut out = Vec::new();
            let mut w = BitWriter::new(&mut out);
            w.put((1 << before) - 1, before);
            w.put(old, 12);
            if after % 2 == 0 { w.put((1 << after) - 1, after); }
            w.patch(before as usize, new, 12);
            if after % 2 == 1 { w.put((1 << after) - 1, after); }
            w.finish();
            let mut r = BitReader::new(&out);
            prop_assert_eq!(r.take(before)?, (1 << before) - 1);
            prop_assert_eq!(r.take(12)?, new);
            prop_assert_eq!(r.take(after)?, (1 << after) - 1);
        }

        #[test]
        fn many_values_are_written_as_one_by_one(
            before in 0u32..9,
            values in prop::collection::vec((any::<u64>(), 0u32..=56), 0..100),
        ) {
            let cut = |(v, len): &(u64, u32)| (v & ((1 << len) - 1), *len);
            let (mut one_by_one, mut at_once) = (Vec::new(), Vec::new());
            let mut w = BitWriter::new(&mut one_by_one);
            w.put(0, before);
            values.iter().map(cut).for_each(|(v, len)| w.put(v, len));
            w.put(1, 1);
            w.finish();
            let mut w = BitWriter::new(&mut at_once);
            w.put(0, before);
            w.put_all(values.iter().map(|v| v.1 as usize).sum(), values.iter().map(cut));
            w.put(1, 1);
            w.finish();
            prop_assert_eq!(&one_by_one, &at_once);
            let mut in_pairs = Vec::new();
            let mut w = BitWriter::new(&mut in_pairs);
            w.put(0, before);
            w.put_pairs(values.iter().map(|v| v.1 as usize).sum(), &values, cut);
            w.put(1, 1);
            w.finish();
            prop_assert_eq!(one_by_one, in_pairs);
        }

        #[test]
        fn a_writer_goes_on_where_another_ended(pieces in prop::collection::vec(piece(), 0..60)) {
            let (mut whole, mut parts, mut bits) = (Vec::new(), Vec::new(), 0);
            let mut w = BitWriter::new(&mut whole);
            for p in &pieces {
                write(p, &mut w);
                let mut part = BitWriter::resume(&mut parts, bits);
                write(p, &mut part);
                bits = part.bits_len();
                part.finish();
            }
            w.finish();
            prop_assert_eq!(whole, parts);
        }
    }

    fn read_back_quietly(piece: &Piece, r: &mut BitReader<'_>) -> Result<(), BitError> {
        match piece {
            Piece::Raw(_, len) => r.take(*len).map(drop),
            Piece::Gamma(_) => r.gamma().map(drop),
            Piece::Signed(_) => r.signed().map(drop),
            Piece::Bytes(b) => r.bytes(&mut vec![0; b.len()]),
        }
    }

    #[test]
    fn the_first_bit_is_bit_zero_of_byte_zero() {
        let mut out = Vec::new();
        let mut w = BitWriter::new(&mut out);
        w.put(1, 1);
        w.put(0b10, 2);
        w.put(0x3ff, 10);
        assert_eq!(w.finish(), 2);
        assert_eq!(out, [0b1111_1101, 0b0001_1111]);
    }
}
