//! From figures to a verdict.

use super::{Allowance, Limit, Slo, SloResult, Verdict};
use crate::metrics::{READINGS_MIN, failed_max};
use crate::report::{Clients, Cues, Events, Generator, Positions, Server, tidy};
use crate::target::Terms;

/// Samples may be this late at the 99th percentile, beyond the tick's own burst.
const LATE_SENDS_MS: f64 = 2.0;
/// With fewer to see, bytes per visible update are those of packet headers.
const VISIBLE_FOR_BYTES: f64 = 40.0;
/// With fewer events or cues expected than this, none at all is not suspicious.
const EXPECTED_MIN: f64 = 10.0;

/// Of the server's ticks this share may overrun, and one in a short run.
const OVERRUNS_SHARE: f64 = 0.01;
/// With fewer clients the server's processor time is that of ticking at all.
const CLIENTS_FOR_CPU: f64 = 100.0;

/// What a run was asked to do and is held to.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// What the server states.
    pub terms: Terms,
    /// The scenario's limits on a clean link.
    pub slo: Slo,
    /// Those that it has for links with faults instead of what is derived.
    pub slo_faulted: Slo,
    /// What the link is granted, if it has faults: connections may break.
    pub allowance: Option<Allowance>,
    /// Events that were to be published, about.
    pub events_expected: f64,
    /// Cues that were to be given, about.
    pub cues_expected: f64,
}

impl Asked {
    /// With the limits that hold on the link of this run.
    fn here(&self) -> Self {
        let Some(allowance) = &self.allowance else { return *self };
        let tick_ms = 1e3 / self.terms.tick_hz;
        let slo = self.slo.on_a_faulted_link(&self.slo_faulted, allowance, tick_ms);
        Self { slo, ..*self }
    }
}

/// What a run found.
#[derive(Clone, Copy, Debug)]
pub struct Measured<'a> {
    /// Connections.
    pub clients: &'a Clients,
    /// The swarm.
    pub generator: &'a Generator,
    /// State.
    pub positions: &'a Positions,
    /// Events.
    pub events: &'a Events,
    /// Cues.
    pub cues: &'a Cues,
    /// The server.
    pub server: Option<&'a Server>,
}

/// Judges a run. Every condition is in the list, held or not.
#[must_use]
pub fn decide(asked: &Asked, found: &Measured<'_>) -> (Vec<SloResult>, Verdict) {
    let asked = &asked.here();
    let mut generator = of_the_swarm(found.generator, found.positions);
    generator.extend(found.server.into_iter().flat_map(of_the_readings));
    let mut server = of_the_clients(asked, found.clients);
    server.extend(of_the_positions(asked, found.positions));
    server.extend(of_the_events(asked, found.events));
    server.extend(of_the_cues(asked, found.cues));
    server.extend(of_the_server(asked, found));
    let holds = |list: &[SloResult]| list.iter().all(|slo| slo.ok);
    let verdict = match (holds(&generator), holds(&server)) {
        (false, _) => Verdict::Invalid,
        (true, false) => Verdict::Fail,
        (true, true) => Verdict::Pass,
    };
    server.extend(generator);
    (server, verdict)
}

fn of_the_swarm(generator: &Generator, positions: &Positions) -> Vec<SloResult> {
    // Whoever sent nothing was late with nothing.
    let silent = (positions.sent_per_s == 0.0).then_some(0.0);
    let late = generator.late_sends_ms.p99.or(silent);
    vec![
        at_most("generator.late_sends_ms.p99", LATE_SENDS_MS, late),
        at_most("generator.socket_drops", 0.0, Some(generator.socket_drops as f64)),
        // A judge that looked away has shown nothing.
        at_most("generator.frames_unjudged", 0.0, Some(generator.frames_unjudged as f64)),
        at_most("generator.events_unjudged", 0.0, Some(generator.events_unjudged as f64)),
        at_most("generator.cues_unjudged", 0.0, Some(generator.cues_unjudged as f64)),
    ]
}

fn of_the_clients(asked: &Asked, clients: &Clients) -> Vec<SloResult> {
    let connected = Some(clients.connected as f64);
    let mut list = vec![at_least("clients.connected", clients.asked as f64, connected)];
    if asked.allowance.is_none() {
        list.push(at_most("clients.lost", 0.0, Some(clients.lost as f64)));
    }
    list
}

fn of_the_positions(asked: &Asked, positions: &Positions) -> Vec<SloResult> {
    let Asked { terms, slo, .. } = asked;
    let bound_m = terms.error_bound_m + terms.grid_m;
    let ticks_ms = slo.ticks.unwrap_or(1.0) * 1e3 / terms.tick_hz;
    let error = &positions.error_m;
    let mut list = vec![
        at_least("positions.pairs_checked", 1.0, Some(positions.pairs_checked as f64)),
        at_most("positions.wrong_set", 0.0, Some(positions.wrong_set as f64)),
        at_most("positions.went_back", 0.0, Some(positions.went_back as f64)),
        at_most("positions.error_m.p99", bound_m, error.p99),
    ];
    let mut limit = |name: &str, limit: Option<f64>, value: Option<f64>| {
        list.extend(limit.map(|limit| at_most(name, limit, value)));
    };
    limit("positions.error_m.max", slo.error_max_over_bound_m.map(|m| m + bound_m), error.max);
    let staleness = slo.staleness_p99_over_tick_ms.map(|ms| ms + ticks_ms);
    limit("positions.staleness_ms.p99", staleness, positions.staleness_ms.p99);
    if asked.allowance.is_some() {
        // A clean link has the largest error for that.
        limit("positions.over_bound", Some(0.0), Some(positions.over_bound as f64));
    }
    // A short run may bring no pair together; then there is nothing to judge.
    let enter = slo.enter_p99_over_tick_ms.filter(|_| positions.enter_ms.p99.is_some());
    limit("positions.enter_ms.p99", enter.map(|ms| ms + ticks_ms), positions.enter_ms.p99);
    let crowded = positions.visible_per_client >= VISIBLE_FOR_BYTES;
    let bytes = slo.bytes_per_visible_update.filter(|_| crowded && asked.events_expected == 0.0);
    limit("positions.bytes_per_visible_update", bytes, positions.bytes_per_visible_update);
    list
}

fn of_the_events(asked: &Asked, events: &Events) -> Vec<SloResult> {
    let mut list = vec![
        at_most("events.lost", 0.0, Some(events.lost as f64)),
        at_most("events.duplicated", 0.0, Some(events.duplicated as f64)),
        at_most("events.out_of_order", 0.0, Some(events.out_of_order as f64)),
        at_most("events.stray", 0.0, Some(events.stray as f64)),
    ];
    if asked.events_expected >= EXPECTED_MIN {
        let published = events.published as f64;
        let acked = match &asked.allowance {
            None => published - events.refused as f64,
            Some(allowance) => (published * allowance.acked_share()).floor(),
        };
        list.push(at_least("events.acked", acked.max(1.0), Some(events.acked as f64)));
    }
    if asked.allowance.is_none() {
        list.push(at_most("events.refused", 0.0, Some(events.refused as f64)));
    }
    let latency = asked.slo.event_latency_p99_ms.filter(|_| events.latency_ms.p99.is_some());
    list.extend(latency.map(|ms| at_most("events.latency_ms.p99", ms, events.latency_ms.p99)));
    list
}

/// Once, in time, to whom it is for; or, where the link has faults, not at all.
fn of_the_cues(asked: &Asked, cues: &Cues) -> Vec<SloResult> {
    let mut list = vec![
        at_most("cues.duplicated", 0.0, Some(cues.duplicated as f64)),
        at_most("cues.late", 0.0, Some(cues.late as f64)),
        at_most("cues.stray", 0.0, Some(cues.stray as f64)),
    ];
    if asked.allowance.is_none() {
        list.push(at_most("cues.lost", 0.0, Some(cues.lost as f64)));
    }
    if asked.cues_expected >= EXPECTED_MIN {
        list.push(at_least("cues.sent", 1.0, Some(cues.sent as f64)));
    }
    if cues.owed as f64 >= EXPECTED_MIN {
        list.push(at_least("cues.delivered", 1.0, Some(cues.delivered as f64)));
    }
    list
}

/// Who asks for the server's figures and cannot have them has shown nothing of it.
fn of_the_readings(server: &Server) -> [SloResult; 2] {
    let Server { scrapes, scrapes_failed, .. } = *server;
    let most = failed_max(scrapes);
    [
        at_least("server.scrapes", READINGS_MIN as f64, Some(scrapes as f64)),
        at_most("server.scrapes_failed", most as f64, Some(scrapes_failed as f64)),
    ]
}

fn of_the_server(asked: &Asked, found: &Measured<'_>) -> Vec<SloResult> {
    let Asked { slo, terms, .. } = asked;
    let Some(server) = found.server.filter(|server| server.ticks.is_some()) else {
        let limit = slo.tick_p99_ms;
        return limit.map(|ms| at_most("server.tick_ms.p99", ms, None)).into_iter().collect();
    };
    let tick_ms = slo.tick_p99_ms.unwrap_or(f64::INFINITY).min(1e3 / terms.tick_hz);
    let overruns = server.ticks.map_or(0.0, |ticks| (ticks as f64 * OVERRUNS_SHARE).ceil());
    let mut list = vec![
        at_most("server.tick_ms.p99", tick_ms, server.tick_ms.p99),
        at_most("server.overruns", overruns, server.overruns.map(|count| count as f64)),
    ];
    let many = found.clients.connected as f64 >= CLIENTS_FOR_CPU;
    let crowded = found.positions.visible_per_client >= VISIBLE_FOR_BYTES;
    let cpu = slo.cpu_us_per_client_tick.filter(|_| many && crowded && asked.allowance.is_none());
    let name = "server.cpu_us_per_client_tick";
    list.extend(cpu.map(|us| at_most(name, us, server.cpu_us_per_client_tick)));
    list
}

fn at_most(name: &str, limit: f64, value: Option<f64>) -> SloResult {
    SloResult::new(name, Limit::AtMost(tidy(limit)), value)
}

fn at_least(name: &str, limit: f64, value: Option<f64>) -> SloResult {
    SloResult::new(name, Limit::AtLeast(tidy(limit)), value)
}
