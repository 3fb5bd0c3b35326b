//! The rules of the house, as functions over text and metadata.
//!
//! A rule returns the breaches it finds; none means that the house is in order. The rules are pure,
//! so that `integration/house_rules.rs` can show of each that it is able to fail.

pub mod arrows;
pub mod clocks;
pub mod documents;
pub mod faults;
pub mod sources;
pub mod status;
pub mod tokens;
pub mod tree;

use std::fmt;

/// One place that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Breach {
    /// Path of the file, or name of the package, relative to the workspace.
    pub place: String,
    /// Line in that file, counted from 1; 0 where a line has no meaning.
    pub line: usize,
    /// The rule that was broken, as a sentence.
    pub rule: String,
}

impl Breach {
    /// A breach at a line of a file.
    pub fn at(place: &str, line: usize, rule: impl Into<String>) -> Self {
        Self { place: place.to_owned(), line, rule: rule.into() }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.place, self.line, self.rule)
    }
}
