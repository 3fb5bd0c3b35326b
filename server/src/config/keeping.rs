//! How what outlives the server is written.

use super::error::Fault;
use super::settings::{at_least, at_most};
use super::tree::DataSection;
use crate::store::Grouping;
use starling_protocol::units::Nanos;

/// How rows are kept, where there is a folder for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// Is all that is kept read through at start?
    pub check: bool,
    /// What shares a commit.
    pub grouping: Grouping,
}

impl DataSection {
    pub(super) fn keeping(&self) -> Result<Keeping, Fault> {
        at_most("data.commit_wait_ms", self.commit_wait_ms.into(), 1_000)?;
        at_least("data.commit_changes", self.commit_changes.into(), 1)?;
        let wait_ns = u64::from(self.commit_wait_ms) * Nanos::MILLISECOND;
        let grouping = Grouping { wait_ns, changes: self.commit_changes as usize };
        Ok(Keeping { check: self.check, grouping })
    }
}
