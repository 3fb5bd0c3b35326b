//! How much a client may send: token buckets, and the patience with those who send too much.

use starling_protocol::units::Nanos;

/// A token bucket (a leaky bucket as a meter): so many per second, so many at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    per_s: u64,
    burst: u64,
    /// Tokens times a second in nanoseconds, so that no rounding is lost.
    level: u64,
    at: Nanos,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn new(per_s: u32, burst: u32, now: Nanos) -> Self {
        let burst = u64::from(burst.max(1)) * Nanos::SECOND;
        Self { per_s: per_s.into(), burst, level: burst, at: now }
    }

    /// Another rate from now on; what is in the bucket stays.
    pub(super) fn set_rate(&mut self, per_s: u32, burst: u32, now: Nanos) {
        self.refill(now);
        self.per_s = per_s.into();
        self.burst = u64::from(burst.max(1)) * Nanos::SECOND;
    }

    /// Is there a token?
    pub(super) fn has(&mut self, now: Nanos) -> bool {
        self.refill(now);
        self.level >= Nanos::SECOND
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&mut self, now: Nanos) -> bool {
        let has = self.has(now);
        if has {
            self.level -= Nanos::SECOND;
        }
        has
    }

    fn refill(&mut self, now: Nanos) {
        let gained = now.since(self.at).saturating_mul(self.per_s);
        self.level = self.level.saturating_add(gained).min(self.burst);
        self.at = self.at.max(now);
    }
}

/// Tells a burst from abuse: more refused than taken, second after second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Patience {
    window: Nanos,
    taken: u32,
    refused: u32,
    over_since: Option<Nanos>,
}

impl Patience {
    /// Notes whether one more was taken, and says for how long it has been too much.
    pub(super) fn note(&mut self, taken: bool, now: Nanos) -> u64 {
        if now.since(self.window) >= Nanos::SECOND {
            self.close_window(now);
        }
        match taken {
            true => self.taken = self.taken.saturating_add(1),
            false => self.refused = self.refused.saturating_add(1),
        }
        self.over_since.map_or(0, |since| now.since(since))
    }

    fn close_window(&mut self, now: Nanos) {
        let adjoining = now.since(self.window) < 2 * Nanos::SECOND;
        self.over_since = match self.refused > self.taken && adjoining {
            true => self.over_since.or(Some(self.window)),
            false => None,
        };
        *self = Self { window: now, over_since: self.over_since, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = Nanos::SECOND;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let mut bucket = Bucket::new(10, 5, Nanos(SECOND));
        let taken = |bucket: &mut Bucket, now| (0..100).filter(|_| bucket.take(now)).count();
        assert_eq!(taken(&mut bucket, Nanos(SECOND)), 5);
        assert_eq!(taken(&mut bucket, Nanos(SECOND + SECOND / 5)), 2);
        assert_eq!(taken(&mut bucket, Nanos(60 * SECOND)), 5);
    }

    #[test]
    fn a_bucket_never_gives_more_than_its_rate_in_the_long_run() {
        let mut bucket = Bucket::new(7, 3, Nanos(0));
        let steps = (0..=1_000_000_u64).map(|step| Nanos(step * 1_234_567));
        let taken = steps.filter(|now| bucket.take(*now)).count() as u64;
        let seconds = 1_000_000 * 1_234_567 / SECOND;
        assert!(taken <= 3 + 7 * (seconds + 1) && taken >= 7 * seconds, "{taken}");
    }

    #[test]
    fn time_that_runs_back_gives_nothing() {
        let mut bucket = Bucket::new(1_000, 1, Nanos(5 * SECOND));
        assert!(bucket.take(Nanos(5 * SECOND)));
        assert!(!bucket.take(Nanos(0)));
        assert!(!bucket.take(Nanos(5 * SECOND)));
    }

    /// Sends `sent` a second for `seconds`, of which the bucket takes ten, and says for how long
    /// it was too much in the end.
    fn over(patience: &mut Patience, from: u64, seconds: u64, sent: u64) -> u64 {
        let mut over = 0;
        for number in 0..seconds * sent {
            let now = Nanos(from * SECOND + number * SECOND / sent);
            over = patience.note(number % sent < 10, now);
        }
        over
    }

    #[test]
    fn too_much_for_long_is_told_from_a_burst() {
        let mut patience = Patience::default();
        assert_eq!(over(&mut patience, 10, 5, 15), 0, "less than twice the rate is put up with");
        assert_eq!(over(&mut patience, 20, 1, 1_000), 0, "one second is a burst");
        assert_eq!(over(&mut patience, 30, 5, 10), 0, "and is forgotten");
        assert!(over(&mut patience, 40, 7, 1_000) >= 5 * SECOND);
    }

    #[test]
    fn a_pause_is_no_abuse() {
        let mut patience = Patience::default();
        assert!(over(&mut patience, 10, 3, 1_000) > 0);
        assert_eq!(over(&mut patience, 60, 1, 1_000), 0);
    }
}
