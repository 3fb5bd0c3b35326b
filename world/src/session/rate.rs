//! Token buckets counted in ticks, exactly.

use starling_protocol::units::{Tick, TickRate};

/// Allows so many things a second and, after a pause, a burst of them.
///
/// One token is worth `rate.hz()` units and every tick adds `per_second` units, so that nothing is
/// ever rounded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenBucket {
    per_second: u32,
    burst: u32,
    hz: u16,
    units: u64,
    at: Tick,
}

impl TokenBucket {
    /// A full bucket.
    pub(crate) fn new(per_second: u32, burst: u32, rate: TickRate, now: Tick) -> Self {
        let units = u64::from(burst) * u64::from(rate.hz());
        Self { per_second, burst, hz: rate.hz(), units, at: now }
    }

    /// Takes one token.
    ///
    /// # Errors
    /// Ticks to wait until there is one.
    pub(crate) fn take(&mut self, now: Tick) -> Result<(), u32> {
        self.refill(now);
        let token = u64::from(self.hz);
        match self.units.checked_sub(token) {
            Some(rest) => {
                self.units = rest;
                Ok(())
            }
            None => Err((token - self.units).div_ceil(u64::from(self.per_second)) as u32),
        }
    }

    fn refill(&mut self, now: Tick) {
        let ticks = u64::from(now.since(self.at).unwrap_or(0));
        let full = u64::from(self.burst) * u64::from(self.hz);
        self.units = (self.units + ticks * u64::from(self.per_second)).min(full);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(hz: u16) -> TickRate {
        TickRate::new(hz).expect("within limits")
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let mut bucket = TokenBucket::new(50, 50, rate(20), Tick(7));
        assert!((0..50).all(|_| bucket.take(Tick(7)).is_ok()));
        assert_eq!(bucket.take(Tick(7)), Err(1));
        let later = (8..28).map(|t| (0..9).filter(|_| bucket.take(Tick(t)).is_ok()).count());
        assert_eq!(later.sum::<usize>(), 50, "one second gives fifty");
    }

    #[test]
    fn a_slow_bucket_says_how_long_to_wait() {
        let mut bucket = TokenBucket::new(1, 1, rate(20), Tick(0));
        assert_eq!(bucket.take(Tick(0)), Ok(()));
        assert_eq!(bucket.take(Tick(0)), Err(20));
        assert_eq!(bucket.take(Tick(19)), Err(1));
        assert_eq!(bucket.take(Tick(20)), Ok(()));
    }
}
