//! What the server used during the measured time.

use super::scrape::{Buckets, Scrape};
use crate::meter::Timeline;

/// Of the readings this share may fail before what the others say is not believed.
const FAILED_SHARE_MAX: f64 = 0.1;
/// One reading has no difference to another.
pub(crate) const READINGS_MIN: u64 = 2;

/// Of so many readings so many may fail.
pub(crate) fn failed_max(readings: u64) -> u64 {
    (readings as f64 * FAILED_SHARE_MAX) as u64
}

/// Differences between readings.
#[derive(Clone, Debug, Default)]
pub struct ServerUse {
    first: Option<Scrape>,
    last: Option<Scrape>,
    /// Readings that were tried.
    pub readings: u64,
    /// Of these, those that brought nothing.
    pub failed: u64,
    /// Processor time in the measured time.
    pub cpu_seconds: Option<f64>,
    /// Resident memory at the end.
    pub rss_bytes: Option<u64>,
    /// Ticks that took too long.
    pub overruns: Option<u64>,
    /// Durations of ticks in seconds.
    pub ticks: Buckets,
    /// Columns of the server.
    pub timeline: Timeline,
}

impl ServerUse {
    /// A reading failed.
    pub fn miss(&mut self) {
        self.readings += 1;
        self.failed += 1;
    }

    /// Did so many readings fail, or so few succeed, that the figures cannot be believed?
    #[must_use]
    pub fn is_blind(&self) -> bool {
        let succeeded = self.readings - self.failed;
        self.failed > failed_max(self.readings) || succeeded < READINGS_MIN
    }

    /// Takes in a reading. The first one is the start of the measured time.
    pub fn take(&mut self, second: usize, scrape: Scrape) {
        if scrape.is_empty() {
            return self.miss();
        }
        self.readings += 1;
        let Some(first) = &self.first else {
            self.first = Some(scrape.clone());
            self.last = Some(scrape);
            return;
        };
        let cpu = scrape.cpu_seconds.zip(first.cpu_seconds);
        self.cpu_seconds = cpu.map(|(now, then)| (now - then).max(0.0));
        self.rss_bytes = scrape.rss_bytes;
        let overruns = (scrape.overruns, first.overruns);
        self.overruns = overruns.0.map(|now| now.saturating_sub(overruns.1.unwrap_or(0)));
        self.ticks = scrape.ticks.since(&first.ticks);
        let fresh = self.last.as_ref().map(|last| scrape.ticks.since(&last.ticks));
        if let (Some(fresh), Some(row)) = (fresh, self.timeline.second(second)) {
            row.tick_mean_ms = fresh.mean().map(|s| s * 1e3);
            row.tick_p99_ms = fresh.quantile(0.99).map(|s| s * 1e3);
        }
        self.last = Some(scrape);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(cpu: f64, fast: u32, all: u32) -> Scrape {
        Scrape::parse(&format!(
            "process_cpu_seconds_total {cpu}\n\
             starling_tick_duration_seconds_bucket{{le=\"0.001\"}} {fast}\n\
             starling_tick_duration_seconds_bucket{{le=\"+Inf\"}} {all}\n\
             starling_tick_duration_seconds_sum {}\n",
            f64::from(all) * 0.0005
        ))
    }

    #[test]
    fn use_is_counted_from_the_first_reading() {
        let mut used = ServerUse::default();
        used.take(0, reading(10.0, 100, 100));
        assert_eq!(used.cpu_seconds, None);
        used.take(0, reading(10.5, 120, 120));
        used.take(1, reading(11.0, 140, 140));
        assert_eq!(used.cpu_seconds, Some(1.0));
        assert_eq!(used.ticks.len(), 40.0);
        let mean = used.timeline.seconds()[1].tick_mean_ms.expect("ticks were measured");
        assert!((mean - 0.5).abs() < 1e-9);
        assert_eq!(used.overruns, None);
        assert_eq!((used.readings, used.failed, used.is_blind()), (3, 0, false));
    }

    #[test]
    fn readings_that_fail_are_counted_and_too_many_are_not_believed() {
        let mut used = ServerUse::default();
        (0..18_u32).for_each(|n| used.take(0, reading(f64::from(n), n, n)));
        used.take(0, Scrape::parse("<html>something else</html>"));
        used.miss();
        assert_eq!((used.readings, used.failed, used.is_blind()), (20, 2, false));
        used.miss();
        assert!(used.is_blind());
        let mut once = ServerUse::default();
        once.take(0, reading(1.0, 1, 1));
        assert!(once.is_blind(), "one reading has no difference");
    }
}
