//! Starling's server in a process of its own under loads that each answer one question.
//!
//! Every function runs what it names, and returns the lines of a Markdown table.

mod beside;
mod events;
mod idle;
mod load;
mod loss;
mod objects;
mod rates;
mod resume;

pub use beside::{Beside, beside};
pub use events::{Events, events, members};
pub use idle::{Idle, idle};
pub use loss::loss;
pub use objects::{SHAKEN, objects};
pub use rates::{matches, rates};
pub use resume::{Resume, resume};

use crate::arms::Arm;
use crate::arms::process::Process;
use anyhow::{Context, Result};
use starling_client_sim::metrics::MetricsUrl;
use starling_client_sim::report::Report;
use std::time::Duration;

/// A server under load.
struct Stand {
    process: Process,
    metrics: MetricsUrl,
}

impl Stand {
    /// With these settings, on one processor if one is named.
    fn open(settings: &[String], processor: Option<u32>) -> Result<Self> {
        let process = Process::start_with(Arm::Starling, settings, processor)?;
        let own = process.own.context("the server tells where its metrics are")?;
        let metrics = MetricsUrl::parse(&format!("http://{own}/metrics"))?;
        Ok(Self { process, metrics })
    }
}

/// A number, or a dash.
fn shown(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |v| format!("{v:.digits$}"))
}

/// Server CPU in microseconds per client and tick.
fn cpu_us(report: &Report) -> Option<f64> {
    report.server.as_ref()?.cpu_us_per_client_tick
}

/// Duration of ticks in milliseconds: p50, p99 and the longest.
fn ticks_ms(report: &Report) -> String {
    let Some(server) = &report.server else { return "-".to_owned() };
    let [p50, p99, max] = [server.tick_ms.p50, server.tick_ms.p99, server.tick_ms.max];
    format!("{} / {} / {}", shown(p50, 2), shown(p99, 2), shown(max, 2))
}

/// What a run of the swarm takes beside its measured time: warming up, draining, judging, and a
/// server that starts and ends.
const AROUND: Duration = Duration::from_secs(5);

/// How long so many runs take, about, in seconds.
#[must_use]
pub fn seconds_of(runs: usize, measured: Duration) -> u64 {
    (measured + AROUND).as_secs() * runs as u64
}

/// Whether the run counts.
fn validity(report: &Report, rtt_ms_max: f64) -> String {
    let flaw = crate::contest::flaw(report, rtt_ms_max);
    flaw.map_or_else(|| format!("valid, {:.0} s", report.seconds), str::to_owned)
}
