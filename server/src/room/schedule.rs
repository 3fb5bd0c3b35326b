//! When a world's ticks are due.

use starling_protocol::units::{Nanos, Tick, TickRate};

/// Late ticks that are made up for; what is late beyond them is skipped, so that the number of a
/// tick always tells the time.
pub const CATCH_UP_TICKS: u32 = 2;

/// Deadlines of a world: tick n is due at `start + n / rate`, exactly.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    start: Nanos,
    rate: TickRate,
}

impl Schedule {
    /// A schedule whose tick 0 is at `start`.
    #[must_use]
    pub const fn new(start: Nanos, rate: TickRate) -> Self {
        Self { start, rate }
    }

    /// When `tick` is due.
    #[must_use]
    pub fn deadline(&self, tick: Tick) -> Nanos {
        self.start + self.rate.deadline_ns(tick)
    }

    /// Microseconds since the epoch's start.
    #[must_use]
    pub const fn now_us(&self, now: Nanos) -> u64 {
        now.since(self.start) / 1_000
    }

    /// How many ticks after `newest` are to be skipped at `now`, so that at most
    /// [`CATCH_UP_TICKS`] beside the one that is due remain to be run.
    #[must_use]
    pub fn skip(&self, newest: Tick, now: Nanos) -> u32 {
        let elapsed = u128::from(now.since(self.start));
        let due = (elapsed * u128::from(self.rate.hz()) / u128::from(Nanos::SECOND)) as u32;
        due.saturating_sub(newest.0).saturating_sub(1 + CATCH_UP_TICKS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_20_hz() -> Schedule {
        Schedule::new(Nanos(1_000), TickRate::new(20).expect("within limits"))
    }

    #[test]
    fn deadlines_do_not_drift() {
        let thirds = Schedule::new(Nanos(0), TickRate::new(3).expect("within limits"));
        assert_eq!(thirds.deadline(Tick(3)), Nanos(Nanos::SECOND));
        assert_eq!(thirds.deadline(Tick(3_000_000)), Nanos(1_000_000 * Nanos::SECOND));
    }

    #[test]
    fn a_room_in_time_skips_nothing() {
        let schedule = at_20_hz();
        assert_eq!(schedule.skip(Tick(9), schedule.deadline(Tick(10))), 0);
        assert_eq!(schedule.skip(Tick(9), schedule.deadline(Tick(12))), 0);
    }

    #[test]
    fn a_room_that_slept_runs_the_due_tick_and_two_more() {
        let schedule = at_20_hz();
        let skipped = schedule.skip(Tick(9), schedule.deadline(Tick(100)));
        assert_eq!(100 - 9 - skipped, 1 + CATCH_UP_TICKS);
    }
}
