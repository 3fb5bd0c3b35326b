//! The wire: everything that two Starling programs must agree on, and nothing else.
//!
//! No I/O, no clock, no async. `docs/protocol.md` is the normative text; this crate is its
//! reference implementation and `tests/golden/` holds the vectors for both.
#![forbid(unsafe_code)]

pub mod bits;
pub mod close;
pub mod codec;
pub mod delta;
pub mod frame;
pub mod limits;
pub mod message;
pub mod motion;
pub mod planted;
pub mod sample;
pub mod schema;
pub mod snapshot;
pub mod space;
pub mod stream;
pub mod tables;
pub mod units;
pub mod uplink;
pub mod version;
