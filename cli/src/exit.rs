//! Exit codes: what a script learns from a run.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done, and the verdict (if any) is pass.
    Done = 0,
    /// Bad usage or configuration.
    Usage = 1,
    /// Could not connect, or was refused.
    NoConnection = 2,
    /// The verdict is fail.
    Fail = 3,
    /// The verdict is invalid: the swarm could not keep up.
    Invalid = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
