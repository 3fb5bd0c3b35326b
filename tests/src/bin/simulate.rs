//! Runs seeds of the whole-system simulation.
//!
//! ```sh
//! cargo run --release -p starling-tests --bin simulate -- --seeds 1000..2000
//! cargo run --release -p starling-tests --bin simulate -- --seeds 0..5000 --core --twice
//! cargo run --release -p starling-tests --bin simulate -- --options "whole seed=7 clients=3"
//! cargo run --release -p starling-tests --bin simulate -- --draw 471
//! cargo run --release -p starling-tests --features planted --bin simulate -- --planted all
//! ```
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "it is run to be read")]

use anyhow::{Context, Result, bail};
use starling_tests::simulation::{Level, Options, judge, run, seeds, shrink};
use std::ops::Range;
use std::process::ExitCode;

/// Failing seeds that are shrunk and printed.
const SHRUNK_MAX: usize = 5;
/// Records of a trace that are printed.
const TAIL: usize = 200;

#[derive(Debug)]
struct Arguments {
    seeds: Range<u64>,
    level: Level,
    twice: bool,
    options: Option<Options>,
    /// The seed whose options are printed.
    drawn: Option<u64>,
    /// The bug to plant, or `all`.
    planted: Option<String>,
}

fn arguments() -> Result<Arguments> {
    let mut read = Arguments {
        seeds: 0..100,
        level: Level::Whole,
        twice: false,
        options: None,
        drawn: None,
        planted: None,
    };
    let mut given = std::env::args().skip(1);
    while let Some(word) = given.next() {
        match word.as_str() {
            "--core" => read.level = Level::Core,
            "--twice" => read.twice = true,
            "--planted" => {
                read.planted = Some(given.next().context("--planted wants all, or a bug")?)
            }
            "--draw" => {
                let seed = given.next().context("--draw wants a seed")?.parse()?;
                read.drawn = Some(seed);
            }
            "--seeds" => {
                let text = given.next().context("--seeds wants 1000..2000")?;
                let (from, to) = text.split_once("..").context("seeds are given as 1000..2000")?;
                read.seeds = from.parse()?..to.parse()?;
            }
            "--options" => {
                let text = given.next().context("--options wants what a failure printed")?;
                read.options = Some(text.parse().map_err(anyhow::Error::msg)?);
            }
            other => bail!("{other} is not known; see the head of the source"),
        }
    }
    Ok(read)
}

fn main() -> ExitCode {
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn work() -> Result<()> {
    let Arguments { seeds: range, level, twice, options, drawn, planted } = arguments()?;
    if let Some(seed) = drawn {
        println!("{}", Options::draw(level, seed));
        return Ok(());
    }
    if let Some(bug) = planted {
        return find_planted(&bug);
    }
    if let Some(options) = options {
        return one(&options);
    }
    let count = range.end.saturating_sub(range.start);
    let report = seeds(level, range, twice);
    let seconds = report.took.as_secs_f64();
    let per_core = count as f64 / seconds / report.threads as f64;
    println!("{count} seeds in {seconds:.1} s: {per_core:.1} seeds a second and core");
    println!("{:?}", report.checks);
    for failure in &report.failures {
        println!("FAILED {}: {}", failure.options, failure.words);
    }
    for failure in report.failures.iter().take(SHRUNK_MAX) {
        let twice = failure.words.starts_with("two runs");
        let least = shrink(&failure.options, |options| judge(options, twice).is_err());
        let words = judge(&least, twice).err().unwrap_or_default();
        println!("least of seed {}: {least}: {words}", failure.options.seed);
    }
    if !report.failures.is_empty() {
        bail!("{} of {count} seeds failed", report.failures.len());
    }
    Ok(())
}

/// One run, with the end of its trace if it fails.
fn one(options: &Options) -> Result<()> {
    match judge(options, true) {
        Ok(outcome) => println!("{options}: {:?}, {:?}", outcome.checks, outcome.trace),
        Err(words) => {
            let outcome = run(options);
            outcome.trace.tail(TAIL).iter().for_each(|record| println!("{record:?}"));
            outcome.broken.iter().take(TAIL).for_each(|broken| println!("{broken}"));
            bail!("{options}: {words}");
        }
    }
    Ok(())
}

/// After how many seeds each planted bug was found.
#[cfg(feature = "planted")]
fn find_planted(name: &str) -> Result<()> {
    use starling_protocol::planted::{Bug, plant};
    const SEEDS_MAX: u64 = 2_000;
    const BATCH: u64 = 20;
    let wanted = |bug: &Bug| name == "all" || name == format!("{bug:?}");
    let mut missed = 0;
    for bug in Bug::ALL.into_iter().filter(wanted) {
        let found = (0..SEEDS_MAX / BATCH).find_map(|batch| {
            plant(Some(bug));
            let report = seeds(Level::Whole, batch * BATCH..(batch + 1) * BATCH, false);
            plant(None);
            // What fails without it shows nothing of it.
            report.failures.into_iter().find(|failure| judge(&failure.options, false).is_ok())
        });
        missed += u32::from(found.is_none());
        match found {
            Some(found) => println!("| `{bug:?}` | {} | {} |", found.options.seed, found.words),
            None => println!("| `{bug:?}` | not in {SEEDS_MAX} | |"),
        }
    }
    if missed > 0 {
        bail!("{missed} planted bugs were not found");
    }
    Ok(())
}

#[cfg(not(feature = "planted"))]
fn find_planted(_: &str) -> Result<()> {
    bail!("no bug can be planted: build with `--features planted`")
}
