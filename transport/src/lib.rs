//! The seam to the network, for server, SDK and swarm alike.
//!
//! See ARCHITECTURE.md for how the pieces fit together.
#![deny(unsafe_code)]

pub mod conditioner;
mod contract;
mod fetch;
pub mod memory;
pub mod quic;
pub mod tls;

pub use contract::{Allowance, CLOSE_LINGER_NS, ConnKey, Event, SendError, Transport};
pub use starling_protocol::stream::StreamKind;
