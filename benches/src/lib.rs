//! What the benches share: a clock of CPU time, things that move, and a world with clients that
//! look at it, without a network between.
#![forbid(unsafe_code)]

pub mod arms;
pub mod bodies;
mod client;
pub mod clock;
pub mod codes;
pub mod contest;
pub mod figures;
mod game;
pub mod globe;
pub mod meter;
pub mod motion;
pub mod pin;
pub mod record;
pub mod scene;
pub mod spread;
pub mod still;
pub mod system;
pub mod wire;

use anyhow::{Context, Result};
use std::time::Duration;

/// Is this a short run that only shows that the benches work, as in `cargo test --benches`?
#[must_use]
pub fn is_trial() -> bool {
    !std::env::args().any(|arg| arg == "--bench")
}

/// Threads of a swarm with so many sessions.
fn swarm_threads(sessions: u32) -> usize {
    starling_client_sim::swarm::threads(sessions as usize)
}

/// A length of time as the command lines of this package take it.
///
/// # Errors
/// It is no number of seconds, or one that no time has.
pub fn seconds(text: &str) -> Result<Duration> {
    let number = text.strip_suffix('s').unwrap_or(text);
    let number = number.parse().context("seconds, such as 10s")?;
    Duration::try_from_secs_f64(number).context("seconds, such as 10s")
}
