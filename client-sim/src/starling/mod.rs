//! Starling as a [`Target`](crate::target::Target): the SDK's poll face, thousands of sessions on
//! one thread.

mod client;
mod own;
mod registry;
mod target;
mod uplinks;
mod wire;
mod words;

pub use registry::Registry;
pub use target::{StarlingOptions, StarlingTarget};
pub use wire::{QuicWire, Wire};
