//! The time by which tokens of proven addresses grow old.

use quinn_proto::TimeSource;
use starling_protocol::units::Nanos;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

/// The system's time when the driver first told its own, and from then on the driver's: a driver
/// whose clock is not the system's has tokens that last as long by its own, whatever that clock
/// counts from. That the beginning is the system's lets a server know the tokens of the one before
/// it.
#[derive(Debug, Default)]
pub(super) struct TokenTime {
    begun: OnceLock<Beginning>,
    /// Nanoseconds since then.
    passed: AtomicU64,
}

/// One moment by both clocks.
#[derive(Debug)]
struct Beginning {
    system: SystemTime,
    driver: Nanos,
}

impl TokenTime {
    /// It is `now` by the driver's clock.
    pub(super) fn set(&self, now: Nanos) {
        let begun = self.begun.get_or_init(|| Beginning { system: SystemTime::now(), driver: now });
        self.passed.store(now.since(begun.driver), Relaxed);
    }
}

impl TimeSource for TokenTime {
    fn now(&self) -> SystemTime {
        let begun = self.begun.get().map_or_else(SystemTime::now, |begun| begun.system);
        begun + Duration::from_nanos(self.passed.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_as_its_driver_says() {
        let time = TokenTime::default();
        time.set(Nanos(0));
        let before = time.now();
        time.set(Nanos(20 * Nanos::SECOND));
        assert_eq!(time.now().duration_since(before).ok(), Some(Duration::from_secs(20)));
    }

    #[test]
    fn it_begins_with_the_systems_whatever_the_driver_counts_from() {
        const HOUR: Duration = Duration::from_secs(3_600);
        let year_ns = 365 * 86_400 * Nanos::SECOND;
        let time = TokenTime::default();
        time.set(Nanos(50 * year_ns));
        let begun = time.now();
        let now = SystemTime::now();
        assert!(now - HOUR < begun && begun < now + HOUR, "{begun:?}, and it is {now:?}");
        time.set(Nanos(50 * year_ns + 20 * Nanos::SECOND));
        assert_eq!(time.now().duration_since(begun).ok(), Some(Duration::from_secs(20)));
    }
}
