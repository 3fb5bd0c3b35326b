//! The report of a run: JSON for machines, text and HTML for people.
//!
//! The fields and their order are a contract; a change of meaning raises [`SCHEMA`].

mod build;
mod env;
mod html;
mod plot;
mod summary;

pub use build::{RunFacts, build};
pub use env::Env;
pub use html::html;
pub use summary::summary;

use crate::meter::Distribution;
use crate::trace;
use crate::truth::{OverBound, WrongPair};
use crate::verdict::{SloResult, Verdict};
use serde::Serialize;

/// Version of the report's fields.
pub const SCHEMA: u32 = 1;

/// Everything that one run of the swarm found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Name of the scenario, or the files that were replayed.
    pub scenario: String,
    /// Seed of all motion and events.
    pub seed: u64,
    /// The link's faults, if any.
    pub link: Option<String>,
    /// Version of Starling.
    pub starling: String,
    /// Where it ran.
    pub env: Env,
    /// Ticks per second of the world.
    pub tick_hz: f64,
    /// Length of the measured time.
    pub seconds: f64,
    /// Connections.
    pub clients: Clients,
    /// The swarm itself.
    pub generator: Generator,
    /// State.
    pub positions: Positions,
    /// Events.
    pub events: Events,
    /// Cues.
    pub cues: Cues,
    /// Sessions taken up again.
    pub resume: Resume,
    /// The server's process; only with its metrics.
    pub server: Option<Server>,
    /// What was replayed; only with traces.
    pub trace: Option<trace::Summary>,
    /// One row per second of the measured time.
    pub timeline: Vec<Row>,
    /// Everything that was judged.
    pub slo: Vec<SloResult>,
    /// The outcome.
    pub verdict: Verdict,
}

/// Connections.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Clients {
    /// Wanted.
    pub asked: u64,
    /// Let in at some time.
    pub connected: u64,
    /// Those whose every copy was compared with the truth: in a large run every k-th that looks.
    pub judged: u64,
    /// Those that look at anything.
    pub looking: u64,
    /// Not let in.
    pub refused: u64,
    /// Times that a connection broke.
    pub lost: u64,
    /// The first reasons for refusals and losses.
    pub reasons: Vec<String>,
}

/// The swarm itself.
#[derive(Clone, Debug, Serialize)]
pub struct Generator {
    /// Processor cores that the swarm's threads used, on average.
    pub cpu_cores: Option<f64>,
    /// How late samples were sent, beyond the tick's own burst.
    pub late_sends_ms: Median99,
    /// Packets dropped at the swarm's own sockets.
    pub socket_drops: u64,
    /// Round trips.
    pub rtt_ms: Median99,
    /// Frames that were left unjudged because the truth could not keep up.
    pub frames_unjudged: u64,
    /// Events and deliveries that were left unjudged because there were too many.
    pub events_unjudged: u64,
    /// Hearings of cues that were left unjudged because there were too many at once.
    pub cues_unjudged: u64,
}

/// State.
#[derive(Clone, Debug, Serialize)]
pub struct Positions {
    /// Samples sent, of all clients.
    pub sent_per_s: f64,
    /// Entities that a client with an area holds, on average.
    pub visible_per_client: f64,
    /// (client, entity, tick) that are right within the bound.
    pub visible_updates_per_s: f64,
    /// Of these, those that differ from what the client predicted.
    pub changed_per_s: f64,
    /// Records decoded.
    pub records_per_s: f64,
    /// UDP payload to all clients.
    pub bytes_down_per_s: f64,
    /// UDP payload from all clients.
    pub bytes_up_per_s: f64,
    /// UDP datagrams received; each has 28 bytes of UDP and IPv4 headers besides.
    pub packets_down_per_s: f64,
    /// UDP datagrams sent.
    pub packets_up_per_s: f64,
    /// Bytes down over visible updates.
    pub bytes_per_visible_update: Option<f64>,
    /// Bytes down over changed updates.
    pub bytes_per_changed_update: Option<f64>,
    /// From sampling to decode.
    pub staleness_ms: Percentiles,
    /// Copy against accepted position.
    pub error_m: Median99Max,
    /// Copies that were held to the accepted position.
    pub compared: u64,
    /// Of these, those beyond the bound that the server states.
    pub over_bound: u64,
    /// The first of them.
    pub over: Vec<OverBound>,
    /// What is drawn against the owner's truth.
    pub view_error_m: Median99,
    /// How old what is drawn is.
    pub view_age_ms: Median99,
    /// From the sample that brings two together to the first copy.
    pub enter_ms: Median99Max,
    /// From the sample that parts two to the copy's end.
    pub leave_ms: Median99Max,
    /// (client, entity, tick) compared with brute force.
    pub pairs_checked: u64,
    /// (client, entity) wrong for longer than the grace.
    pub wrong_set: u64,
    /// The first of them.
    pub wrong: Vec<WrongPair>,
    /// Copies that fell back to a state of an earlier tick.
    pub went_back: u64,
}

/// Events.
#[derive(Clone, Debug, Serialize)]
pub struct Events {
    /// Handed over.
    pub published: u64,
    /// Accepted by the server.
    pub acked: u64,
    /// Arrived, each once per recipient.
    pub delivered: u64,
    /// Owed and not arrived.
    pub lost: u64,
    /// Arrived again.
    pub duplicated: u64,
    /// Arrived after a later one.
    pub out_of_order: u64,
    /// Arrived at somebody whom they were clearly not for, or were published by nobody.
    pub stray: u64,
    /// From handing over to arrival.
    pub latency_ms: Median99Max,
    /// Refused by the server.
    pub refused: u64,
    /// The first of the lost, doubled, disordered and stray ones.
    pub named: Vec<String>,
}

/// Cues.
#[derive(Clone, Debug, Serialize)]
pub struct Cues {
    /// Given and taken for sending.
    pub sent: u64,
    /// Arrived, each once per recipient.
    pub delivered: u64,
    /// Deliveries that were owed for certain: the recipient was near for a second before and after.
    pub owed: u64,
    /// Owed for certain and not arrived: on a link with faults that is allowed.
    pub lost: u64,
    /// Arrived again.
    pub duplicated: u64,
    /// Arrived after their last tick.
    pub late: u64,
    /// Arrived at somebody whom they were clearly not for, or were given by nobody.
    pub stray: u64,
    /// Given and not taken for sending, because too many waited.
    pub refused: u64,
    /// The first of those that went wrong.
    pub named: Vec<String>,
}

/// Sessions taken up again.
#[derive(Clone, Debug, Serialize)]
pub struct Resume {
    /// Connections that came back.
    pub attempts: u64,
    /// The session went on.
    pub resumed: u64,
    /// A new session had to be set up.
    pub reset: u64,
    /// Refused.
    pub denied: u64,
    /// From loss to return.
    pub gap_ms: Median99Max,
}

/// The server's process.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Server {
    /// Processor time per connected client and tick.
    pub cpu_us_per_client_tick: Option<f64>,
    /// Processor time per visible update.
    pub cpu_ns_per_visible_update: Option<f64>,
    /// Resident memory at the end.
    pub rss_bytes: Option<u64>,
    /// The same over connected clients.
    pub rss_bytes_per_client: Option<f64>,
    /// Duration of ticks.
    pub tick_ms: Median99Max,
    /// Ticks that took longer than their time.
    pub overruns: Option<u64>,
    /// Ticks, of all its worlds.
    pub ticks: Option<u64>,
    /// Readings of its metrics that were tried.
    pub scrapes: u64,
    /// Of these, those that failed. With more than a tenth the figures above are null.
    pub scrapes_failed: u64,
}

/// One second.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Seconds since the measured time began.
    pub second: u64,
    /// Entities held per client with an area.
    pub visible_per_client: Option<f64>,
    /// Copies that are right, of the judged clients.
    pub visible_updates: u64,
    /// UDP payload down.
    pub bytes_down: u64,
    /// UDP payload up.
    pub bytes_up: u64,
    /// Events delivered.
    pub events_delivered: u64,
    /// Median staleness.
    pub staleness_p50_ms: Option<f64>,
    /// Its 99th percentile.
    pub staleness_p99_ms: Option<f64>,
    /// 99th percentile of the time to enter.
    pub enter_p99_ms: Option<f64>,
    /// Median round trip.
    pub rtt_p50_ms: Option<f64>,
    /// Mean duration of the server's ticks.
    pub tick_mean_ms: Option<f64>,
    /// Their 99th percentile.
    pub tick_p99_ms: Option<f64>,
}

/// Two quantiles; null where nothing was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Median99 {
    /// Median.
    pub p50: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
}

/// Two quantiles and the largest value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Median99Max {
    /// Median.
    pub p50: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
    /// Largest.
    pub max: Option<f64>,
}

/// Three quantiles and the largest value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// Median.
    pub p50: Option<f64>,
    /// 90th percentile.
    pub p90: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
    /// Largest.
    pub max: Option<f64>,
}

impl From<&Distribution> for Median99 {
    fn from(d: &Distribution) -> Self {
        Self { p50: d.quantile(0.5).map(tidy), p99: d.quantile(0.99).map(tidy) }
    }
}

impl From<&Distribution> for Median99Max {
    fn from(d: &Distribution) -> Self {
        let Median99 { p50, p99 } = d.into();
        Self { p50, p99, max: d.max().map(tidy) }
    }
}

impl From<&Distribution> for Percentiles {
    fn from(d: &Distribution) -> Self {
        let Median99Max { p50, p99, max } = d.into();
        Self { p50, p90: d.quantile(0.9).map(tidy), p99, max }
    }
}

impl Report {
    /// The report as JSON, indented, with a final newline.
    ///
    /// # Panics
    /// Never: every field can be written.
    #[must_use]
    pub fn json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("plain fields serialise");
        text.push('\n');
        text
    }
}

/// Six significant digits: what a report needs, and no more.
#[must_use]
pub(crate) fn tidy(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let scale = 10f64.powi(5 - value.abs().log10().floor() as i32);
    (value * scale).round() / scale
}
