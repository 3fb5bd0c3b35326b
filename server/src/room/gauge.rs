//! What a room shows of itself to metrics and debugging.

use super::questions::Questions;
use starling_protocol::units::{Nanos, Tick};
use starling_world::Stats;
use starling_world::World;
use starling_world::counters::Counters;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A room's show-case: written after each tick, read by whoever wants to know.
#[derive(Debug, Default)]
pub struct Gauge {
    reading: Mutex<Reading>,
    /// What is asked of it.
    pub questions: Questions,
}

/// One look at a room. Totals are since its start.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The newest tick.
    pub tick: Tick,
    /// How long ticks took.
    pub durations: Histogram,
    /// How long after their deadlines ticks began.
    pub lateness: Histogram,
    /// Ticks that began after the next one was due.
    pub overruns: u64,
    /// Ticks that were skipped.
    pub skipped: u64,
    /// Times that the room paused because the Front was behind.
    pub held: u64,
    /// What the world counted.
    pub counters: Counters,
    /// What the world holds.
    pub stats: Stats,
}

/// How one tick went.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    pub(super) took_ns: u64,
    pub(super) late_ns: u64,
    pub(super) overrun: bool,
}

impl Gauge {
    /// A copy of the newest reading.
    pub fn read(&self) -> Reading {
        self.lock().clone()
    }

    pub(super) fn ticked(&self, world: &World, timing: Timing) {
        let mut reading = self.lock();
        reading.tick = world.now();
        reading.durations.record(timing.took_ns);
        reading.lateness.record(timing.late_ns);
        reading.overruns += u64::from(timing.overrun);
        reading.counters.clone_from(world.counters());
        reading.stats = world.stats();
    }

    pub(super) fn skipped(&self, ticks: u32) {
        self.lock().skipped += u64::from(ticks);
    }

    pub(super) fn held(&self) {
        self.lock().held += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Reading> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Durations by size, in total since the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// How many fell into each bucket of [`Histogram::BOUNDS_NS`]; the last has no bound.
    pub counts: [u64; Histogram::BOUNDS_NS.len() + 1],
    /// Sum of all in nanoseconds.
    pub sum_ns: u64,
    /// The greatest in nanoseconds.
    pub max_ns: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [0; Self::BOUNDS_NS.len() + 1], sum_ns: 0, max_ns: 0 }
    }
}

impl Histogram {
    /// Upper bounds of the buckets, in nanoseconds: a tenth apart where the ticks of a game lie, so
    /// that a rise by some per cent is seen.
    pub const BOUNDS_NS: [u64; 44] = {
        let mut bounds = [
            20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120, 130, 140, 150, 165, 180, 195, 215, 235,
            260, 285, 315, 345, 380, 420, 460, 500, 600, 750, 1_000, 1_250, 1_500, 2_000, 3_000,
            5_000, 7_500, 10_000, 15_000, 20_000, 30_000, 50_000, 100_000, 250_000, 1_000_000,
        ];
        let mut at = 0;
        while at < bounds.len() {
            bounds[at] *= Nanos::MILLISECOND / 1_000;
            at += 1;
        }
        bounds
    };

    /// Adds one duration.
    pub fn record(&mut self, ns: u64) {
        let bucket = Self::BOUNDS_NS.partition_point(|bound| *bound < ns);
        self.counts[bucket] += 1;
        self.sum_ns = self.sum_ns.saturating_add(ns);
        self.max_ns = self.max_ns.max(ns);
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(other.counts).for_each(|(sum, count)| *sum += count);
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_into_the_bucket_whose_bound_it_does_not_exceed() {
        let mut histogram = Histogram::default();
        for ns in [0, 20_000, 20_001, 1_000_000_000, 1_000_000_001] {
            histogram.record(ns);
        }
        assert_eq!(histogram.counts[..2], [2, 1]);
        assert_eq!(histogram.counts[43..], [1, 1]);
        assert_eq!((histogram.count(), histogram.max_ns), (5, 1_000_000_001));
    }
}
