//! What a trace holds and what is wrong with it: the `trace` object of the report.

use serde::Serialize;

/// Malformed rows and remarks that are named one by one; the rest is only counted.
const NAMED_MAX: usize = 100;
/// Remarks of one sort that are named.
const NAMED_PER_SORT_MAX: usize = 8;

/// Counts over all trace files of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// File names as given, without folder and `.gz`.
    pub files: Vec<String>,
    /// Rows (CSV) and track points (GPX), malformed ones included.
    pub rows: u64,
    /// Distinct entities that are replayed.
    pub entities: u64,
    /// Seconds of trace time that are replayed.
    pub seconds: f64,
    /// Trace seconds per second.
    pub speed: f64,
    /// Rows that could not be read, and were skipped.
    pub malformed_rows: u64,
    /// The first of them, by line.
    pub malformed: Vec<Malformed>,
    /// Rows more than an hour beyond the 99th percentile of times; skipped.
    pub future: u64,
    /// Rows before the 1st percentile of times; the last of each id is its initial position.
    pub early: u64,
    /// Rows equal to the row before of the same id in time and place; skipped.
    pub duplicate: u64,
    /// Rows with another position under the same time; the last one counts.
    pub same_time: u64,
    /// Rows older than the row before of the same id; sorted into place.
    pub back_in_time: u64,
    /// Rows older than the row before in the file, of whatever id.
    pub unordered: u64,
    /// Rows with a new time and the same position.
    pub unchanged_position: u64,
    /// Steps that imply more than 40 m/s.
    pub over_40_mps: u64,
    /// Steps that imply more than 350 m/s.
    pub over_350_mps: u64,
    /// Steps longer than 1 km.
    pub over_1_km: u64,
    /// Gaps of more than a minute between two rows of one id.
    pub gaps_over_60_s: u64,
    /// Entities with one row only.
    pub single_row: u64,
    /// Points of a GPX file that belong to no track: waypoints and routes; skipped.
    pub other_points: u64,
    /// Some of the defects that were counted but are not malformed, by line.
    pub noted: Vec<Noted>,
}

/// A row that could not be read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Malformed {
    /// The file it is in.
    pub file: String,
    /// Its line, counted from 1.
    pub line: u64,
    /// What is wrong with it.
    pub why: String,
}

/// A row that could be read and is odd.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Noted {
    /// Which count it is in.
    pub what: &'static str,
    /// The entity.
    pub entity: String,
    /// Its line, counted from 1.
    pub line: u64,
}

impl Summary {
    pub(super) fn malformed(&mut self, file: &str, line: u64, why: String) {
        self.malformed_rows += 1;
        if self.malformed.len() < NAMED_MAX {
            self.malformed.push(Malformed { file: file.to_owned(), line, why });
        }
    }

    pub(super) fn note(&mut self, what: &'static str, entity: &str, line: u64) {
        if self.noted.iter().filter(|n| n.what == what).count() < NAMED_PER_SORT_MAX {
            self.noted.push(Noted { what, entity: entity.to_owned(), line });
        }
    }
}
