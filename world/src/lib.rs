//! The deterministic core: one [`World`] per named world.
//!
//! No clock, no thread, no socket, no randomness but the seed: the same inputs give the same
//! outputs and the same checksum on every platform. [`World::step`] takes what must not wait
//! (sessions, requests, events); [`World::tick`] takes positions and makes snapshots.

mod admission;
mod atlas;
pub mod authority;
mod canopy;
mod channel;
mod checksum;
pub mod config;
pub mod counters;
mod cue;
mod curve;
mod durable;
pub mod entity;
mod erasure;
pub mod executor;
pub mod grants;
#[cfg(any(test, feature = "oracle"))]
pub mod grid;
pub mod input;
mod interest;
pub mod journal;
pub mod leaf;
mod mail;
pub mod namespace;
pub mod output;
mod presence;
mod realm;
pub mod recording;
mod replicate;
pub mod session;
pub mod shed;
mod simd;
pub mod space;
pub mod spatial;
mod stats;
mod step;
mod tick;
mod track;
pub mod why;
mod world;

pub use replicate::priority;
pub use stats::Stats;
pub use world::World;
