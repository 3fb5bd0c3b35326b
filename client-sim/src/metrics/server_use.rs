//! What the server used during the measured time.

use super::scrape::{Buckets, Scrape};
use crate::meter::Timeline;

/// Differences between readings.
#[derive(Clone, Debug, Default)]
pub struct ServerUse {
    first: Option<Scrape>,
    last: Option<Scrape>,
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
    /// Takes in a reading. The first one is the start of the measured time.
    pub fn take(&mut self, second: usize, scrape: Scrape) {
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
    }
}
