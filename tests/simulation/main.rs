//! The whole system in one thread, on virtual time, from one seed: see `starling_tests::simulation`.
//!
//! A run that breaks a promise prints its options; `cargo run --release -p starling-tests --bin
//! simulate -- --options "..."` runs them alone.

mod quiet;
mod restarts;
mod seeds;
mod snapshots;
