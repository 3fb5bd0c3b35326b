//! When to connect again: by the range of the close code, doubled each time, with jitter.

use starling_protocol::close::{CloseCode, Retry};
use starling_protocol::units::Nanos;

const FIRST_NOW_MS: u64 = 50;
const FIRST_LATER_MS: u64 = 1_000;
const LONGEST_NOW_MS: u64 = 5_000;
const LONGEST_LATER_MS: u64 = 60_000;

/// Waits between attempts.
#[derive(Debug)]
pub(crate) struct Backoff {
    random: u64,
    attempts: u32,
}

impl Backoff {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { random: seed ^ 0x9e37_79b9_7f4a_7c15, attempts: 0 }
    }

    /// A session stood for a while: the next loss begins anew.
    pub(crate) const fn succeeded(&mut self) {
        self.attempts = 0;
    }

    /// Attempts that failed in a row, before the one under way.
    pub(crate) const fn failures(&self) -> u32 {
        self.attempts.saturating_sub(1)
    }

    /// Nanoseconds to wait before the next attempt; `None` when there shall be none.
    ///
    /// `spread_ms` widens the jitter (a draining server asks for that), `least_ms` is the wait
    /// that the server named.
    pub(crate) fn wait_ns(
        &mut self,
        code: CloseCode,
        least_ms: Option<u32>,
        spread_ms: u32,
    ) -> Option<u64> {
        let (first, longest) = match code {
            CloseCode::REPLACED => return None, // or two connections would fight for one session
            _ => match code.retry() {
                Retry::Now => (FIRST_NOW_MS, LONGEST_NOW_MS),
                Retry::Later => (FIRST_LATER_MS, LONGEST_LATER_MS),
                Retry::Never => return None,
            },
        };
        let ceiling = (first << self.attempts.min(16)).min(longest);
        self.attempts += 1;
        let jitter = self.below(ceiling + u64::from(spread_ms) + 1);
        Some((u64::from(least_ms.unwrap_or(0)) + jitter) * Nanos::MILLISECOND)
    }

    /// A number below `bound` (xorshift64*: jitter needs no better).
    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_retried_at_once_and_each_failure_waits_longer() {
        let mut backoff = Backoff::new(7);
        let first = backoff.wait_ns(CloseCode::LOST, None, 0).expect("retried");
        assert!(first <= FIRST_NOW_MS * Nanos::MILLISECOND);
        let waits: Vec<u64> =
            (0..40).filter_map(|_| backoff.wait_ns(CloseCode::LOST, None, 0)).collect();
        assert!(waits.iter().all(|w| *w <= LONGEST_NOW_MS * Nanos::MILLISECOND));
        assert!(waits.iter().any(|w| *w > 10 * FIRST_NOW_MS * Nanos::MILLISECOND));
    }

    #[test]
    fn what_is_refused_for_good_or_was_replaced_is_not_retried() {
        let mut backoff = Backoff::new(7);
        assert_eq!(backoff.wait_ns(CloseCode::UNAUTHORIZED, None, 0), None);
        assert_eq!(backoff.wait_ns(CloseCode::REPLACED, None, 0), None);
    }

    #[test]
    fn the_wait_that_the_server_names_is_kept() {
        let mut backoff = Backoff::new(7);
        let wait = backoff.wait_ns(CloseCode::OVERLOADED, Some(3_000), 0).expect("retried");
        assert!(wait >= 3_000 * Nanos::MILLISECOND);
    }
}
