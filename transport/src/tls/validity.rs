//! From when to when a certificate is valid: the one field of it that rustls does not check for a
//! server's own certificate.
//!
//! ```text
//! Certificate    ::= SEQUENCE { tbsCertificate SEQUENCE {
//!                        version [0] OPTIONAL, serialNumber INTEGER, signature SEQUENCE,
//!                        issuer SEQUENCE, validity SEQUENCE { notBefore Time, notAfter Time }, ...
//! Time           ::= UTCTime "YYMMDDHHMMSSZ" | GeneralizedTime "YYYYMMDDHHMMSSZ"
//! ```
//! (RFC 5280, section 4.1.)

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;

/// Seconds since 1970, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: i64,
    pub(super) not_after: i64,
}

impl Validity {
    /// Reads the validity of a certificate in DER; `None` when it is not shaped like one.
    pub(super) fn of(certificate: &[u8]) -> Option<Self> {
        let mut certificate = Der(certificate);
        let mut tbs = Der(Der(certificate.take(SEQUENCE)?).take(SEQUENCE)?);
        tbs.skip(VERSION);
        tbs.take(INTEGER)?;
        tbs.take(SEQUENCE)?;
        tbs.take(SEQUENCE)?;
        let mut validity = Der(tbs.take(SEQUENCE)?);
        Some(Self { not_before: validity.time()?, not_after: validity.time()? })
    }
}

/// What is left of a DER encoding.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The content of the next value, which has to carry `tag`.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (&found, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x83 => long_length(rest, usize::from(first & 0x7f))?,
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        (found == tag).then_some(content)
    }

    /// Passes over an optional value.
    fn skip(&mut self, tag: u8) {
        if self.0.first() == Some(&tag) {
            self.take(tag);
        }
    }

    fn time(&mut self) -> Option<i64> {
        match *self.0.first()? {
            UTC_TIME => {
                let text = self.take(UTC_TIME)?;
                let year = number(text.get(..2)?)?;
                // RFC 5280: two digits from 50 on belong to the last century.
                seconds(if year >= 50 { 1900 + year } else { 2000 + year }, text.get(2..)?)
            }
            _ => {
                let text = self.take(GENERALIZED_TIME)?;
                seconds(number(text.get(..4)?)?, text.get(4..)?)
            }
        }
    }
}

fn long_length(bytes: &[u8], size: usize) -> Option<(usize, &[u8])> {
    let (length, rest) = bytes.split_at_checked(size)?;
    Some((length.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte)), rest))
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |sum, digit| {
        digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0'))
    })
}

/// `MMDDHHMMSSZ` of a year, as seconds since 1970.
fn seconds(year: i64, rest: &[u8]) -> Option<i64> {
    let [digits @ .., b'Z'] = rest else { return None };
    let mut fields = digits.chunks_exact(2).map(number);
    let mut field = || fields.next().flatten();
    let (month, day) = (field()?, field()?);
    let (hour, minute, second) = (field()?, field()?, field()?);
    Some(days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// Days since 1970-01-01 in the Gregorian calendar, with the year turned to begin in March.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_from_1970() {
        assert_eq!(days_from_civil(1970, 1, 1), 0);
        assert_eq!(days_from_civil(2000, 3, 1), 11_017);
        assert_eq!(days_from_civil(2024, 2, 29), 19_782);
    }

    #[test]
    fn both_forms_of_time_are_read() {
        assert_eq!(Der(b"\x17\x0d700101000001Z").time(), Some(1));
        assert_eq!(Der(b"\x18\x0f20000301000000Z").time(), Some(11_017 * 86_400));
        assert_eq!(Der(b"\x17\x0d7001010000011").time(), None);
        assert_eq!(Der(b"\x17\x0d70010100").time(), None);
    }

    #[test]
    fn what_is_no_certificate_has_no_validity() {
        assert_eq!(Validity::of(b""), None);
        assert_eq!(Validity::of(&[0x30, 0x83, 0xff, 0xff, 0xff]), None);
        assert_eq!(Validity::of(&[0x30; 64]), None);
    }
}
