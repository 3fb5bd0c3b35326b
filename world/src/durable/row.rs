//! The compact form of rows: a version, then numbers as varints and text behind its length.
//!
//! Made by hand, so that what lies on disks hangs on no library (ADR 0031). A form that changes
//! gets another version, and the old one can be read for as long as there may be rows of it.

use starling_protocol::units::Offset;

/// Writes one value.
#[derive(Debug)]
pub(crate) struct RowPen(Vec<u8>);

impl RowPen {
    /// A value of this version of its form.
    pub(crate) fn new(version: u8) -> Self {
        Self(vec![version])
    }

    /// A number: seven bits a byte, the low ones first.
    pub(crate) fn number(mut self, value: impl Into<u64>) -> Self {
        let mut rest = value.into();
        while rest >= 0x80 {
            self.0.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.0.push(rest as u8);
        self
    }

    /// Bytes behind their length.
    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        let mut pen = self.number(bytes.len() as u64);
        pen.0.extend_from_slice(bytes);
        pen
    }

    /// Text, or that there is none.
    pub(crate) fn maybe_text(self, text: Option<&str>) -> Self {
        match text {
            None => self.number(0u8),
            Some(text) => self.number(1u8).bytes(text.as_bytes()),
        }
    }

    /// A place, or that there is none.
    pub(crate) fn maybe_offset(self, offset: Option<Offset>) -> Self {
        match offset {
            None => self.number(0u8),
            Some(offset) => self.number(1u8).number(offset.0),
        }
    }

    /// The value.
    pub(crate) fn done(self) -> Vec<u8> {
        self.0
    }
}

/// Reads one value. Everything is `None` where the bytes do not have it.
#[derive(Debug)]
pub(crate) struct RowReader<'a>(&'a [u8]);

impl<'a> RowReader<'a> {
    /// A value of this version of its form.
    pub(crate) fn new(bytes: &'a [u8], version: u8) -> Option<Self> {
        let (first, rest) = bytes.split_first()?;
        (*first == version).then_some(Self(rest))
    }

    /// A number that fits its type.
    pub(crate) fn number<T: TryFrom<u64>>(&mut self) -> Option<T> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            value |= bits.checked_shl(shift).filter(|v| v >> shift == bits)?;
            if byte & 0x80 == 0 {
                return T::try_from(value).ok();
            }
        }
        None
    }

    /// Bytes behind their length.
    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.number::<usize>()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    /// Text behind its length.
    pub(crate) fn text(&mut self) -> Option<String> {
        std::str::from_utf8(self.bytes()?).ok().map(str::to_owned)
    }

    /// Text, or that there is none.
    pub(crate) fn maybe_text(&mut self) -> Option<Option<String>> {
        match self.number::<u8>()? {
            0 => Some(None),
            1 => Some(Some(self.text()?)),
            _ => None,
        }
    }

    /// A place, or that there is none.
    pub(crate) fn maybe_offset(&mut self) -> Option<Option<Offset>> {
        match self.number::<u8>()? {
            0 => Some(None),
            1 => Some(Some(Offset(self.number()?))),
            _ => None,
        }
    }

    /// What was read, if nothing follows it.
    pub(crate) fn done<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_written_is_read(number: u64, bytes: Vec<u8>, text: Option<String>, at: Option<u64>) {
            let at = at.map(Offset);
            let pen = RowPen::new(3).number(number).bytes(&bytes).maybe_text(text.as_deref());
            let row = pen.maybe_offset(at).done();
            let mut reader = RowReader::new(&row, 3).expect("its version");
            prop_assert_eq!(reader.number::<u64>(), Some(number));
            prop_assert_eq!(reader.bytes(), Some(bytes.as_slice()));
            prop_assert_eq!(reader.maybe_text(), Some(text));
            prop_assert_eq!(reader.maybe_offset(), Some(at));
            prop_assert_eq!(reader.done(()), Some(()));
        }

        #[test]
        fn no_bytes_can_do_harm(bytes: Vec<u8>) {
            if let Some(mut reader) = RowReader::new(&bytes, 1) {
                let _ = (reader.number::<u64>(), reader.bytes(), reader.maybe_text());
                let _ = (reader.maybe_offset(), reader.text(), reader.number::<u8>());
            }
        }
    }

    #[test]
    fn another_version_a_rest_or_a_number_too_large_is_refused() {
        let row = RowPen::new(1).number(300u32).done();
        assert!(RowReader::new(&row, 2).is_none());
        assert_eq!(RowReader::new(&row, 1).expect("its version").number::<u8>(), None);
        assert_eq!(RowReader::new(&row, 1).expect("its version").done(()), None);
        let mut endless = RowReader(&[0xff; 12]);
        assert_eq!(endless.number::<u64>(), None);
    }
}
