//! The session on a real network: a poll face for frame loops, one for many sessions, and an
//! async face.

mod asynchronous;
mod client;
mod clients;
mod dial;
mod server;
mod wire;

pub use asynchronous::{AskError, AsyncClient, AsyncConnectError, PublishError, SpawnError};
pub use client::Client;
pub use clients::{ClientIndex, Clients, Pilot};
pub use dial::Dial;
pub use server::{Server, ServerError};
pub use starling_transport::quic::Congestion;
pub use wire::WireStats;

use starling_protocol::units::Nanos;
use std::time::Instant;

/// Reads the system's monotonic clock as [`Nanos`] since it was made.
///
/// ```
/// let clock = starling_client::net::MonotonicClock::start();
/// let now = clock.now();
/// assert!(clock.now() >= now);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct MonotonicClock {
    origin: Instant,
}

impl MonotonicClock {
    /// A clock that reads zero now.
    #[must_use]
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// Nanoseconds since the start.
    #[must_use]
    pub fn now(&self) -> Nanos {
        Nanos(u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}
