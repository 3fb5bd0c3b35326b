//! The time by which tokens of proven addresses grow old.

use quinn_proto::TimeSource;
use starling_protocol::units::Nanos;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

/// The system's time when the endpoint was made, and from then on its driver's: a driver whose clock
/// is not the system's has tokens that last as long by its own. That the beginning is the system's
/// lets a server know the tokens of the one before it.
#[derive(Debug)]
pub(super) struct TokenTime {
    begun: SystemTime,
    /// Nanoseconds since then.
    passed: AtomicU64,
}

impl TokenTime {
    pub(super) fn new() -> Self {
        Self { begun: SystemTime::now(), passed: AtomicU64::new(0) }
    }

    /// So much time has passed since the driver's clock began.
    pub(super) fn set(&self, now: Nanos) {
        self.passed.store(now.0, Relaxed);
    }
}

impl TimeSource for TokenTime {
    fn now(&self) -> SystemTime {
        self.begun + Duration::from_nanos(self.passed.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_as_its_driver_says() {
        let time = TokenTime::new();
        let before = time.now();
        time.set(Nanos(20 * Nanos::SECOND));
        assert_eq!(time.now().duration_since(before).ok(), Some(Duration::from_secs(20)));
    }
}
