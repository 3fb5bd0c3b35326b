//! Unix time.

use starling_protocol::units::Nanos;
use std::fmt;
use std::sync::Arc;

/// Tells Unix time from the monotonic clock, so that a jump of the wall clock ends no session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wall {
    /// Unix milliseconds at the clock's origin.
    pub origin_ms: u64,
}

impl Wall {
    /// Unix milliseconds.
    #[must_use]
    pub const fn unix_ms(self, now: Nanos) -> u64 {
        self.origin_ms.saturating_add(now.0 / Nanos::MILLISECOND)
    }

    /// Unix seconds.
    #[must_use]
    pub const fn unix_s(self, now: Nanos) -> u64 {
        self.unix_ms(now) / 1_000
    }

    /// The instant of a Unix second; the origin for what lies before it.
    #[must_use]
    pub const fn instant(self, unix_s: u64) -> Nanos {
        let ms = unix_s.saturating_mul(1_000).saturating_sub(self.origin_ms);
        Nanos(ms.saturating_mul(Nanos::MILLISECOND))
    }
}

/// What a room asks for Unix milliseconds.
///
/// It is read anew for each tick: the fixes of devices go by true time, so that a clock that is set
/// right, or a machine that slept, must be right here too, whatever tokens go by.
#[derive(Clone)]
pub struct UnixClock(Arc<dyn Fn(Nanos) -> u64 + Send + Sync>);

impl UnixClock {
    /// Asks `read` with the monotonic time.
    #[must_use]
    pub fn new(read: impl Fn(Nanos) -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// Asks `read` too, but is never behind what was counted since the start: a clock that is set
    /// back, or to 1970, makes no fix one of the future. One that is set forward is followed, as a
    /// machine that began with a wrong clock is put right that way.
    #[must_use]
    pub fn clamped(wall: Wall, read: impl Fn(Nanos) -> u64 + Send + Sync + 'static) -> Self {
        Self::new(move |now| read(now).max(wall.unix_ms(now)))
    }

    /// Unix milliseconds.
    #[must_use]
    pub fn unix_ms(&self, now: Nanos) -> u64 {
        (self.0)(now)
    }
}

impl fmt::Debug for UnixClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnixClock").finish_non_exhaustive()
    }
}

impl From<Wall> for UnixClock {
    fn from(wall: Wall) -> Self {
        Self::new(move |now| wall.unix_ms(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_is_not_believed() {
        let (day, start) = (86_400_000, 1_800_000_000_000);
        let wall = Wall { origin_ms: start };
        let set = |raw: u64| UnixClock::clamped(wall, move |_| raw).unix_ms(Nanos::from_millis(9));
        assert_eq!([0, start - day, start + 8, start + 9].map(set), [start + 9; 4]);
        assert_eq!(set(start + day), start + day);
    }

    #[test]
    fn unix_time_follows_the_monotonic_clock() {
        let wall = Wall { origin_ms: 1_800_000_000_500 };
        assert_eq!(wall.unix_s(Nanos(0)), 1_800_000_000);
        assert_eq!(wall.unix_s(Nanos::from_millis(500)), 1_800_000_001);
        assert_eq!(wall.unix_ms(Nanos::from_millis(7)), 1_800_000_000_507);
        assert_eq!(wall.instant(1_800_000_001), Nanos::from_millis(500));
        assert_eq!(wall.instant(5), Nanos(0));
        assert_eq!(wall.instant(u64::MAX).0, u64::MAX);
    }
}
