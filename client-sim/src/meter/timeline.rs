//! The course of a run, second by second.

use super::Distribution;

/// Seconds that a timeline holds: half a day. A longer run keeps its first seconds.
const SECONDS_MAX: usize = 43_200;

/// One second of a run. Only what the report's plots need.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Second {
    /// Observers with an area, summed over frames, and the entities that they held.
    pub frames: u64,
    /// Entities held, summed over frames.
    pub visible: u64,
    /// Visible updates, of the judged clients.
    pub visible_updates: u64,
    /// Bytes received.
    pub bytes_down: u64,
    /// Bytes sent.
    pub bytes_up: u64,
    /// Events delivered.
    pub events: u64,
    /// Staleness in milliseconds.
    pub staleness_p50_ms: Option<f64>,
    /// The same.
    pub staleness_p99_ms: Option<f64>,
    /// Time to enter in milliseconds.
    pub enter_p99_ms: Option<f64>,
    /// Round-trip time in milliseconds.
    pub rtt_p50_ms: Option<f64>,
    /// Mean duration of the server's tick in milliseconds.
    pub tick_mean_ms: Option<f64>,
    /// 99th percentile of the same.
    pub tick_p99_ms: Option<f64>,
}

/// Seconds of a run, of which each part of the meter fills its own columns.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    seconds: Vec<Second>,
}

impl Timeline {
    /// The row of a second, made if need be; `None` beyond the last that is kept.
    pub fn second(&mut self, second: usize) -> Option<&mut Second> {
        if second >= SECONDS_MAX {
            return None;
        }
        if self.seconds.len() <= second {
            self.seconds.resize(second + 1, Second::default());
        }
        self.seconds.get_mut(second)
    }

    /// All rows.
    #[must_use]
    pub fn seconds(&self) -> &[Second] {
        &self.seconds
    }

    /// Adds the columns of another timeline of the same run: counts are summed, measured values
    /// taken where this one has none.
    pub fn merge(&mut self, other: &Self) {
        for (index, theirs) in other.seconds.iter().enumerate() {
            if let Some(ours) = self.second(index) {
                ours.merge(theirs);
            }
        }
    }
}

impl Second {
    fn merge(&mut self, other: &Self) {
        self.frames += other.frames;
        self.visible += other.visible;
        self.visible_updates += other.visible_updates;
        self.bytes_down += other.bytes_down;
        self.bytes_up += other.bytes_up;
        self.events += other.events;
        let pick = |ours: &mut Option<f64>, theirs: Option<f64>| *ours = ours.or(theirs);
        pick(&mut self.staleness_p50_ms, other.staleness_p50_ms);
        pick(&mut self.staleness_p99_ms, other.staleness_p99_ms);
        pick(&mut self.enter_p99_ms, other.enter_p99_ms);
        pick(&mut self.rtt_p50_ms, other.rtt_p50_ms);
        pick(&mut self.tick_mean_ms, other.tick_mean_ms);
        pick(&mut self.tick_p99_ms, other.tick_p99_ms);
    }
}

/// Distributions of the second that is going on, written to the timeline when it ends.
#[derive(Debug, Default)]
pub(crate) struct Current {
    second: usize,
    pub staleness_ms: Distribution,
    pub enter_ms: Distribution,
    pub rtt_ms: Distribution,
}

impl Current {
    /// Ends the going second if `second` is a later one.
    pub(crate) fn turn(&mut self, second: usize, timeline: &mut Timeline) {
        if second > self.second {
            self.finish(timeline);
            self.second = second;
        }
    }

    pub(crate) fn finish(&mut self, timeline: &mut Timeline) {
        if let Some(row) = timeline.second(self.second) {
            row.staleness_p50_ms = row.staleness_p50_ms.or_else(|| self.staleness_ms.quantile(0.5));
            row.staleness_p99_ms =
                row.staleness_p99_ms.or_else(|| self.staleness_ms.quantile(0.99));
            row.enter_p99_ms = row.enter_p99_ms.or_else(|| self.enter_ms.quantile(0.99));
            row.rtt_p50_ms = row.rtt_p50_ms.or_else(|| self.rtt_ms.quantile(0.5));
        }
        for d in [&mut self.staleness_ms, &mut self.enter_ms, &mut self.rtt_ms] {
            d.clear();
        }
    }
}
