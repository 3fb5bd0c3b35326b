//! Many seeds, each run twice, judged at every step (P1, P2, P3, P4, P6, P7, P17).

use crate::stage::{Outcome, run};
use crate::witness::Checks;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::available_parallelism;

/// Seeds of the fixed set.
const SEEDS: u64 = 1_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

/// Runs a seed twice and says what was wrong.
fn judge(seed: u64) -> Result<Outcome, String> {
    let (first, second) = (run(seed), run(seed));
    if first != second {
        return Err(format!("two runs differ: {first:?} and {second:?}"));
    }
    match first.broken.first() {
        Some(words) => Err(format!("{words} (and {} more)", first.broken.len() - 1)),
        None => Ok(first),
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "how much was checked is what a run is for")]
fn a_thousand_seeds_keep_every_promise_and_repeat_exactly() {
    let seeds = number("STARLING_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(0);
    let work = || {
        let mut failed = Vec::new();
        let mut checks = Checks::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return (failed, checks);
            }
            match judge(seed) {
                Ok(outcome) => checks.add(&outcome.checks),
                Err(words) => failed.push(format!("seed {seed}: {words}")),
            }
        }
    };
    let threads = available_parallelism().map_or(1, usize::from);
    let (failed, checks) = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let results = workers.into_iter().map(|w| w.join().expect("a worker that ends"));
        results.fold((Vec::new(), Checks::default()), |mut sum, (failed, checks)| {
            sum.0.extend(failed);
            sum.1.add(&checks);
            sum
        })
    });
    assert!(failed.is_empty(), "{} of {seeds} seeds failed:\n{}", failed.len(), failed.join("\n"));
    println!("{seeds} seeds: {checks:?}");
    let enough = checks.positions > seeds * 1_000
        && checks.sets > seeds * 100
        && checks.deliveries > seeds * 100
        && checks.cues > seeds * 10
        && checks.views > seeds * 1_000
        && checks.copies.iter().all(|copies| *copies > seeds * 500)
        && checks.calls > seeds
        && checks.ends > seeds / 2;
    assert!(enough, "too little was checked to have shown anything: {checks:?}");
}

#[test]
#[allow(clippy::print_stdout)] // whoever runs one seed wants to read what it did
fn one_seed() {
    let seed = number("STARLING_SEED").unwrap_or(1);
    let outcome = run(seed);
    println!("seed {seed}: {:?}, trace {:016x}", outcome.checks, outcome.trace);
    assert!(outcome.broken.is_empty(), "seed {seed}: {:#?}", outcome.broken);
    assert!(outcome.checks.sets > 0 && outcome.checks.deliveries > 0, "{:?}", outcome.checks);
    assert!(outcome.checks.cues > 0, "{:?}", outcome.checks);
}
