//! The whole system in one thread, on virtual time, from one seed.
//!
//! The objects are those that ship: QUIC endpoints with TLS, Front, rooms, worlds, the store and its
//! keeper, sessions. Only the network of packets, the disk and the clocks are simulated. [`run`] judges a run by an oracle that was
//! written apart from the code that it judges.

mod clock;
mod dice;
mod disk;
mod flock;
mod hearing;
mod lobby;
mod medium;
mod net;
mod options;
mod orbit;
mod plan;
mod seeds;
mod shrink;
mod sight;
mod stage;
mod trace;
mod witness;

pub use options::{Knob, Level, Options};
pub use seeds::{Failure, Report, seeds};
pub use shrink::shrink;
pub use stage::Outcome;
pub use trace::{Record, Trace};
pub use witness::Checks;

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs what the options say, once.
#[must_use]
pub fn run(options: &Options) -> Outcome {
    match options.level {
        Level::Core => stage::run::<medium::Links>(options),
        Level::Whole => stage::run::<medium::Packets>(options),
    }
}

/// Runs it, twice to see that both are the same, and says what was wrong. A panic is wrong (I16).
///
/// # Errors
/// In words: a promise that was broken, or where the two runs part.
pub fn judge(options: &Options, twice: bool) -> Result<Outcome, String> {
    let guarded = || {
        catch_unwind(AssertUnwindSafe(|| run(options))).map_err(|panic| {
            let words = panic.downcast_ref::<String>().map(String::as_str);
            let words = words.or_else(|| panic.downcast_ref::<&str>().copied());
            format!("I16 panicked: {}", words.unwrap_or("with no words"))
        })
    };
    let first = guarded()?;
    if twice {
        let second = guarded()?;
        if let Some(words) = first.trace.parting(&second.trace) {
            return Err(format!("two runs differ: {words}"));
        }
        if first != second {
            return Err(format!("two runs end differently: {first:?} and {second:?}"));
        }
    }
    match first.broken.first() {
        Some(words) => Err(format!("{words} (and {} more)", first.broken.len() - 1)),
        None => Ok(first),
    }
}
