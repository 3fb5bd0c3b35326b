//! The driver's clock between two of its calls.
//!
//! A call that reads and sends for a thousand connections takes milliseconds. A packet that is
//! stamped with the time at which the call began arrived before it was sent, as far as QUIC can
//! tell, and then whole delays of acknowledgements count as round trips.

use starling_protocol::units::Nanos;
use std::time::Instant;

/// What the driver last said, and when it said so.
#[derive(Clone, Copy, Debug)]
pub(in crate::quic) struct Clock {
    said: Nanos,
    at: Instant,
}

impl Clock {
    pub(in crate::quic) fn new() -> Self {
        Self { said: Nanos(0), at: Instant::now() }
    }

    /// The driver says what time it is, or was when it began what it is at: this clock never goes
    /// back, for an acknowledgement does not ride with a packet that is sent before its cause.
    pub(in crate::quic) fn set(&mut self, now: Nanos) {
        *self = Self { said: now.max(self.now()), at: Instant::now() };
    }

    /// What it would say now.
    pub(in crate::quic) fn now(&self) -> Nanos {
        self.said + self.at.elapsed().as_nanos() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_follows_its_driver_and_never_goes_back() {
        let mut clock = Clock::new();
        clock.set(Nanos(5 * Nanos::SECOND));
        let before = clock.now();
        assert!(before >= Nanos(5 * Nanos::SECOND));
        clock.set(Nanos(4 * Nanos::SECOND));
        assert!(clock.now() >= before);
        clock.set(Nanos(900 * Nanos::SECOND));
        assert!(clock.now() >= Nanos(900 * Nanos::SECOND));
    }
}
