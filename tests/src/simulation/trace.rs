//! What happened, in order, as numbers: equal for equal seeds, or the simulation is not
//! deterministic.

use starling_protocol::units::Nanos;
use std::fmt;

/// Records that are kept; the hash goes on beyond them.
const RECORDS_MAX: usize = 1 << 20;

/// What became of a packet, or what else was noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It will arrive.
    Passed,
    /// The dice took it.
    Lost,
    /// Its way was cut.
    Cut,
    /// The queue was full.
    Dropped,
    /// Larger than the path takes.
    TooLarge,
    /// There is nobody at the address.
    Nobody,
    /// A packet of the past was played again.
    Replayed,
    /// Not a packet: something that a client was told.
    Told,
    /// Not a packet: the server's process began or ended.
    Process,
}

/// One line of the trace.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Record {
    at: Nanos,
    who: u32,
    number: u64,
    verdict: Verdict,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, who, number, verdict } = self;
        let (host, port, way) =
            (who >> 17, who & 0xffff, if who >> 16 & 1 == 1 { "up" } else { "down" });
        write!(f, "{:.6} s host {host}:{port} {way} {number} {verdict:?}", at.as_secs_f64())
    }
}

/// All of a run.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Trace {
    records: Vec<Record>,
    hash: u64,
    count: u64,
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x} over {} records", self.hash, self.count)
    }
}

impl Trace {
    /// A packet of so many bytes on its way.
    pub(crate) fn packet(
        &mut self,
        at: Nanos,
        host: usize,
        port: u16,
        up: bool,
        bytes: usize,
        verdict: Verdict,
    ) {
        let who = (host as u32) << 17 | u32::from(up) << 16 | u32::from(port);
        self.push(Record { at, who, number: bytes as u64, verdict });
    }

    /// Something else.
    pub(crate) fn note(&mut self, at: Nanos, host: usize, number: u64, verdict: Verdict) {
        self.push(Record { at, who: (host as u32) << 17, number, verdict });
    }

    fn push(&mut self, record: Record) {
        for number in [record.at.0, u64::from(record.who), record.number, record.verdict as u64] {
            self.hash = (self.hash ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
        }
        self.count += 1;
        if self.records.len() < RECORDS_MAX {
            self.records.push(record);
        }
    }

    /// A number that equal runs share.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// The last records, oldest first.
    #[must_use]
    pub fn tail(&self, count: usize) -> &[Record] {
        &self.records[self.records.len().saturating_sub(count)..]
    }

    /// Where two traces part, in words; `None` when they do not.
    #[must_use]
    pub fn parting(&self, other: &Self) -> Option<String> {
        if self == other {
            return None;
        }
        let pairs = self.records.iter().zip(&other.records);
        let place = pairs.take_while(|(one, two)| one == two).count();
        let [one, two] = [self, other].map(|trace| trace.records.get(place));
        Some(format!("record {place} is {one:?} in one run and {two:?} in the other"))
    }
}

#[test]
fn the_first_difference_is_named() {
    let mut one = Trace::default();
    one.packet(Nanos(1), 3, 10_000, true, 1_200, Verdict::Passed);
    let mut two = one.clone();
    assert_eq!(one.parting(&two), None);
    one.packet(Nanos(2), 3, 10_000, false, 90, Verdict::Lost);
    two.packet(Nanos(2), 3, 10_000, false, 91, Verdict::Lost);
    let words = one.parting(&two).expect("they differ");
    assert!(words.contains("record 1") && words.contains("90") && words.contains("91"), "{words}");
}
