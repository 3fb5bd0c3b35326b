//! What the server tells of itself: the log here, the numbers in [`metrics`].

mod exposition;
pub mod metrics;
mod process;
mod seldom;
mod stored;
mod text;

pub use seldom::Seldom;
pub use text::Quoted;

use std::io::IsTerminal;
use thiserror::Error;
use tracing_subscriber::EnvFilter;

/// Why there is no log.
#[derive(Debug, Error)]
pub enum LogError {
    /// The filter cannot be read.
    #[error("log.filter: {0}")]
    Filter(String),
    /// The program has a log already.
    #[error("the log was set up before")]
    SetUpBefore,
}

/// Sets the log up: on standard error, in colour on a terminal.
///
/// # Errors
/// [`LogError`].
pub fn set_up(filter: &str) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(filter).map_err(|e| LogError::Filter(e.to_string()))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init()
        .map_err(|_| LogError::SetUpBefore)
}
