//! Warnings that a client can provoke, at most one a second of each kind.

use starling_protocol::units::Nanos;
use std::collections::BTreeMap;

/// Lets one warning of a kind pass each second and counts the others.
#[derive(Debug, Default)]
pub struct Seldom {
    kinds: BTreeMap<&'static str, Kind>,
}

#[derive(Debug)]
struct Kind {
    next: Nanos,
    suppressed: u64,
}

impl Seldom {
    /// Whether a warning may pass now: if so, how many did not since the last one.
    pub fn allows(&mut self, kind: &'static str, now: Nanos) -> Option<u64> {
        let kind = self.kinds.entry(kind).or_insert(Kind { next: Nanos(0), suppressed: 0 });
        if now < kind.next {
            kind.suppressed += 1;
            return None;
        }
        kind.next = now + Nanos::SECOND;
        Some(std::mem::take(&mut kind.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_warnings_passes_once_a_second() {
        let mut seldom = Seldom::default();
        assert_eq!(seldom.allows("abuse", Nanos(5)), Some(0));
        for _ in 0..9 {
            assert_eq!(seldom.allows("abuse", Nanos(6)), None);
        }
        assert_eq!(seldom.allows("other", Nanos(6)), Some(0));
        assert_eq!(seldom.allows("abuse", Nanos(5 + Nanos::SECOND)), Some(9));
    }
}
