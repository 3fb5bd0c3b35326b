//! Wakes a driver that sleeps.

use mio::Waker;
use std::sync::Arc;

/// Wakes the driver of a `UdpServer` or a `UdpClient` from another thread.
#[derive(Clone, Debug)]
pub struct UdpWaker(pub(in crate::quic) Arc<Waker>);

impl UdpWaker {
    /// Ends the current wait, or the next one.
    pub fn wake(&self) {
        if let Err(error) = self.0.wake() {
            tracing::debug!(%error, "a driver could not be woken");
        }
    }
}
