//! What the benches share: a clock of CPU time, things that move, and a world with clients that
//! look at it, without a network between.
#![forbid(unsafe_code)]

pub mod arms;
pub mod bodies;
mod client;
pub mod clock;
pub mod contest;
pub mod motion;
pub mod record;
pub mod scene;
pub mod spread;
pub mod system;

/// Is this a short run that only shows that the benches work, as in `cargo test --benches`?
#[must_use]
pub fn is_trial() -> bool {
    !std::env::args().any(|arg| arg == "--bench")
}
