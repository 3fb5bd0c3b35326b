//! How the quantities of a link profile are written and read back.

use starling_protocol::units::Nanos;
use std::fmt;

/// Longest duration that a profile may name: one day.
const DURATION_NS_MAX: u64 = 86_400 * Nanos::SECOND;
/// Fastest link that a profile may name: 1 Tbit/s.
const RATE_BPS_MAX: u64 = 1_000_000_000_000;
/// Deepest queue that a profile may name: 1 GiB.
const QUEUE_BYTES_MAX: u64 = 1 << 30;

/// A share of all packets, in parts per million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fraction {
    ppm: u32,
}

impl Fraction {
    /// No packet at all.
    pub const ZERO: Self = Self { ppm: 0 };

    /// `ppm` parts in a million; more than a million counts as all.
    #[must_use]
    pub const fn from_ppm(ppm: u32) -> Self {
        Self { ppm: if ppm > 1_000_000 { 1_000_000 } else { ppm } }
    }

    /// Whole percents; more than 100 counts as all.
    #[must_use]
    pub const fn percent(percent: u32) -> Self {
        Self::from_ppm(percent.saturating_mul(10_000))
    }

    /// Parts in a million.
    #[must_use]
    pub const fn ppm(self) -> u32 {
        self.ppm
    }
}

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.ppm / 10_000, self.ppm % 10_000);
        if rest == 0 {
            return write!(f, "{whole}%");
        }
        let digits = format!("{rest:04}");
        write!(f, "{whole}.{}%", digits.trim_end_matches('0'))
    }
}

/// Reads `5%`, `0.5%` or `0.05`.
pub(super) fn fraction(text: &str) -> Option<Fraction> {
    let (number, per_unit) = match text.strip_suffix('%') {
        Some(number) => (number, 1e4),
        None => (text, 1e6),
    };
    let ppm = decimal(number)? * per_unit;
    (ppm <= 1e6).then(|| Fraction::from_ppm(ppm.round() as u32))
}

/// Reads `5s`, `1.5s`, `60ms`, `250us`, `10ns` or `2min`.
pub(super) fn duration_ns(text: &str) -> Option<u64> {
    const UNITS: [(&str, f64); 5] =
        [("min", 60e9), ("ms", 1e6), ("us", 1e3), ("ns", 1.0), ("s", 1e9)];
    scaled(text, &UNITS, DURATION_NS_MAX)
}

/// Reads `1mbit`, `500kbit`, `2gbit` or `9600bit`, a second each.
pub(super) fn rate_bps(text: &str) -> Option<u64> {
    const UNITS: [(&str, f64); 4] = [("gbit", 1e9), ("mbit", 1e6), ("kbit", 1e3), ("bit", 1.0)];
    scaled(text, &UNITS, RATE_BPS_MAX).filter(|&rate| rate > 0)
}

/// Reads `64k`, `1m` or a bare number of bytes.
pub(super) fn bytes(text: &str) -> Option<u64> {
    const UNITS: [(&str, f64); 3] = [("k", 1024.0), ("m", 1_048_576.0), ("", 1.0)];
    scaled(text, &UNITS, QUEUE_BYTES_MAX)
}

/// Writes nanoseconds in the largest unit that keeps them whole.
pub(super) fn show_duration(ns: u64) -> String {
    show(ns, &[("s", Nanos::SECOND), ("ms", Nanos::MILLISECOND), ("us", 1_000), ("ns", 1)])
}

/// Writes bits a second in the largest unit that keeps them whole.
pub(super) fn show_rate(bps: u64) -> String {
    show(bps, &[("gbit", 1_000_000_000), ("mbit", 1_000_000), ("kbit", 1_000), ("bit", 1)])
}

/// Writes bytes in the largest unit that keeps them whole.
pub(super) fn show_bytes(bytes: u64) -> String {
    show(bytes, &[("m", 1 << 20), ("k", 1 << 10), ("", 1)])
}

/// The units are tried in order, so a suffix of another unit comes after it.
fn scaled(text: &str, units: &[(&str, f64)], max: u64) -> Option<u64> {
    let (number, scale) =
        units.iter().find_map(|(unit, scale)| Some((text.strip_suffix(unit)?, scale)))?;
    let value = (decimal(number)? * scale).round();
    (value <= max as f64).then_some(value as u64)
}

/// A plain decimal number: no sign, no exponent, nothing that is not finite.
fn decimal(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if plain { text.parse().ok() } else { None }
}

fn show(value: u64, units: &[(&str, u64)]) -> String {
    let whole = units.iter().find(|(_, size)| value.is_multiple_of(*size) && value >= *size);
    let (unit, size) =
        whole.or_else(|| units.last()).expect("every quantity has at least one unit");
    format!("{}{unit}", value / size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_read_as_percent_or_as_share() {
        assert_eq!(fraction("5%"), Some(Fraction::percent(5)));
        assert_eq!(fraction("0.05"), Some(Fraction::percent(5)));
        assert_eq!(fraction("0.0001%"), Some(Fraction::from_ppm(1)));
        assert_eq!(fraction("101%"), None);
        assert_eq!(fraction("-1%"), None);
        assert_eq!(fraction("nan"), None);
        assert_eq!(fraction(""), None);
    }

    #[test]
    fn fractions_are_written_as_percent_without_trailing_zeros() {
        assert_eq!(Fraction::percent(5).to_string(), "5%");
        assert_eq!(Fraction::from_ppm(5_000).to_string(), "0.5%");
        assert_eq!(Fraction::from_ppm(1).to_string(), "0.0001%");
    }

    #[test]
    fn durations_rates_and_sizes_read_in_their_units() {
        assert_eq!(duration_ns("60ms"), Some(60_000_000));
        assert_eq!(duration_ns("1.5s"), Some(1_500_000_000));
        assert_eq!(duration_ns("2min"), Some(120_000_000_000));
        assert_eq!(duration_ns("60"), None);
        assert_eq!(duration_ns("2000000min"), None);
        assert_eq!(rate_bps("1mbit"), Some(1_000_000));
        assert_eq!(rate_bps("0bit"), None);
        assert_eq!(bytes("64k"), Some(65_536));
        assert_eq!(bytes("1500"), Some(1_500));
        assert_eq!(bytes("k"), None);
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        for ns in [0, 1, 999, 1_000, 60_000_000, 1_500_000_000, 90_000_000_000] {
            assert_eq!(duration_ns(&show_duration(ns)), Some(ns));
        }
        for bps in [1, 9_600, 1_000_000, 2_000_000_000] {
            assert_eq!(rate_bps(&show_rate(bps)), Some(bps));
        }
        for size in [0, 1, 1_500, 65_536, 1 << 20] {
            assert_eq!(bytes(&show_bytes(size)), Some(size));
        }
    }
}
