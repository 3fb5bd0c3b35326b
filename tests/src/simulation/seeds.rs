//! Many seeds, on every core.

use super::{Checks, Level, Options, judge};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

/// A seed that broke something.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What it ran.
    pub options: Options,
    /// What broke first.
    pub words: String,
}

/// What came of many seeds.
#[derive(Debug)]
pub struct Report {
    /// Those that failed, in order.
    pub failures: Vec<Failure>,
    /// How much was checked.
    pub checks: Checks,
    /// How long it took.
    pub took: Duration,
    /// On so many threads.
    pub threads: usize,
}

/// Runs each seed of a range, on every core, each of them twice if so wanted.
#[must_use]
pub fn seeds(level: Level, range: Range<u64>, twice: bool) -> Report {
    let begun = Instant::now();
    let next = AtomicU64::new(range.start);
    let work = || {
        let mut failures = Vec::new();
        let mut checks = Checks::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= range.end {
                return (failures, checks);
            }
            let options = Options::draw(level, seed);
            match judge(&options, twice) {
                Ok(outcome) => checks.add(&outcome.checks),
                Err(words) => failures.push(Failure { options, words }),
            }
        }
    };
    let threads = available_parallelism().map_or(1, usize::from);
    let (mut failures, checks) = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let results = workers.into_iter().map(|w| w.join().expect("a worker that ends"));
        results.fold((Vec::new(), Checks::default()), |mut sum, (failures, checks)| {
            sum.0.extend(failures);
            sum.1.add(&checks);
            sum
        })
    });
    failures.sort_by_key(|failure: &Failure| failure.options.seed);
    Report { failures, checks, took: begun.elapsed(), threads }
}
