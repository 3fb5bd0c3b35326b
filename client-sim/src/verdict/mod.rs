//! Pass, fail or invalid.

mod allowance;
mod judge;
mod slo;

pub use allowance::Allowance;
pub use judge::{Asked, Measured, decide};
pub use slo::Slo;

use serde::Serialize;

/// The outcome of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Everything that was judged holds.
    Pass,
    /// Something does not.
    Fail,
    /// The swarm itself could not keep up: the figures say nothing of the server.
    Invalid,
}

impl Verdict {
    /// The exit code of the command line.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Fail => 3,
            Self::Invalid => 4,
        }
    }

    /// In one word.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Invalid => "invalid",
        }
    }
}

/// One thing that was judged.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SloResult {
    /// Where in the report the value stands.
    pub name: String,
    /// What it must be.
    pub limit: Limit,
    /// What it is; null where nothing was measured, which never passes.
    pub value: Option<f64>,
    /// Does it hold?
    pub ok: bool,
}

/// A bound, written as `"<= 10"`, `">= 1"`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// At most.
    AtMost(f64),
    /// At least.
    AtLeast(f64),
}

impl Limit {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtMost(limit) => write!(f, "<= {limit}"),
            Self::AtLeast(limit) => write!(f, ">= {limit}"),
        }
    }
}

impl Serialize for Limit {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl SloResult {
    fn new(name: &str, limit: Limit, value: Option<f64>) -> Self {
        let ok = value.is_some_and(|value| limit.holds(value));
        Self { name: name.to_owned(), limit, value, ok }
    }
}
