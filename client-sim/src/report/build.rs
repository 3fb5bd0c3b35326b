//! From what the parts of the meter found to one report.

use super::{
    Clients, Cues, Env, Events, Generator, Median99Max, Positions, Report, Resume, Row, SCHEMA,
    Server, tidy,
};
use crate::meter::{GeneratorMeter, Timeline};
use crate::metrics::ServerUse;
use crate::target::Terms;
use crate::trace;
use crate::truth::{Findings, OverBound};
use crate::verdict::{Allowance, Asked, Measured, Slo, decide};
use starling_transport::conditioner::LinkProfile;

/// What is known of a run besides what was measured.
#[derive(Clone, Debug)]
pub struct RunFacts {
    /// Name of the scenario, or of the trace files.
    pub scenario: String,
    /// Seed.
    pub seed: u64,
    /// The link, if it has faults.
    pub link: Option<String>,
    /// Version of Starling.
    pub starling: String,
    /// Where.
    pub env: Env,
    /// What the server states.
    pub terms: Terms,
    /// Length of the measured time.
    pub seconds: f64,
    /// When it ended, in seconds of the run's clock: links begin soon after 0.
    pub end_s: f64,
    /// Clients wanted.
    pub clients: u64,
    /// Of these, those whose every copy is compared with the truth.
    pub judged: u64,
    /// Those that look at anything.
    pub looking: u64,
    /// What that link does.
    pub faults: LinkProfile,
    /// Limits on a clean link.
    pub slo: Slo,
    /// Limits that a link with faults has instead of what is derived from them.
    pub slo_faulted: Slo,
    /// Events that were to be published, about.
    pub events_expected: f64,
    /// Cues that were to be given, about.
    pub cues_expected: f64,
    /// What was replayed.
    pub trace: Option<trace::Summary>,
}

/// Builds the report and reaches the verdict.
#[must_use]
pub fn build(
    facts: RunFacts,
    swarm: &GeneratorMeter,
    truth: &Findings,
    server: Option<&ServerUse>,
) -> Report {
    let clients = clients(&facts, swarm);
    let generator = generator(&facts, swarm, truth);
    let positions = positions(&facts, swarm, truth);
    let events = events(truth);
    let cues = cues(truth);
    let server_block = server.map(|used| server_use(&facts, used, &clients, &positions));
    let asked = Asked {
        terms: facts.terms,
        slo: facts.slo,
        slo_faulted: facts.slo_faulted,
        allowance: Allowance::of(&facts.faults, facts.end_s),
        events_expected: facts.events_expected,
        cues_expected: facts.cues_expected,
    };
    let found = Measured {
        clients: &clients,
        generator: &generator,
        positions: &positions,
        events: &events,
        cues: &cues,
        server: server_block.as_ref(),
    };
    let (slo, verdict) = decide(&asked, &found);
    Report {
        schema: SCHEMA,
        scenario: facts.scenario,
        seed: facts.seed,
        link: facts.link,
        starling: facts.starling,
        env: facts.env,
        tick_hz: facts.terms.tick_hz,
        seconds: tidy(facts.seconds),
        clients,
        generator,
        positions,
        events,
        cues,
        resume: resume(swarm),
        server: server_block,
        trace: facts.trace,
        timeline: timeline(swarm, truth, server),
        slo,
        verdict,
    }
}

fn clients(facts: &RunFacts, swarm: &GeneratorMeter) -> Clients {
    Clients {
        asked: facts.clients,
        connected: swarm.connected,
        judged: facts.judged,
        looking: facts.looking,
        refused: swarm.refused,
        lost: swarm.lost,
        reasons: swarm.reasons.clone(),
    }
}

fn generator(facts: &RunFacts, swarm: &GeneratorMeter, truth: &Findings) -> Generator {
    let cores = |cpu_ns: u64| tidy(cpu_ns as f64 / 1e9 / facts.seconds.max(1e-9));
    Generator {
        cpu_cores: swarm.cpu_ns.map(cores),
        late_sends_ms: (&swarm.late_ms).into(),
        socket_drops: swarm.traffic.socket_drops,
        rtt_ms: (&swarm.rtt_ms).into(),
        frames_unjudged: truth.frames_shed,
        events_unjudged: truth.events.unjudged,
        cues_unjudged: truth.cues.unjudged,
    }
}

fn positions(facts: &RunFacts, swarm: &GeneratorMeter, truth: &Findings) -> Positions {
    let per_s = |count: f64| tidy(count / facts.seconds.max(1e-9));
    let traffic = swarm.traffic;
    // The truth follows some clients; what it found of them stands for all.
    let share = |part: u64| part as f64 / truth.held.max(1) as f64;
    let updates = share(truth.visible_updates) * swarm.visible as f64;
    let changed = share(truth.changed) * swarm.visible as f64;
    let bytes_down = traffic.bytes_down as f64;
    let bytes_per = |count: f64| (count > 0.0).then(|| tidy(bytes_down / count));
    Positions {
        sent_per_s: per_s(swarm.samples as f64),
        visible_per_client: tidy(swarm.visible as f64 / swarm.frames.max(1) as f64),
        visible_updates_per_s: per_s(updates),
        changed_per_s: per_s(changed),
        records_per_s: per_s(traffic.records as f64),
        bytes_down_per_s: per_s(bytes_down),
        bytes_up_per_s: per_s(traffic.bytes_up as f64),
        packets_down_per_s: per_s(traffic.packets_down as f64),
        packets_up_per_s: per_s(traffic.packets_up as f64),
        bytes_per_visible_update: bytes_per(updates),
        bytes_per_changed_update: bytes_per(changed),
        staleness_ms: (&truth.staleness_ms).into(),
        error_m: (&truth.error_m).into(),
        compared: truth.error_m.len(),
        over_bound: truth.over_bound,
        over: truth.over.iter().map(tidied).collect(),
        view_error_m: (&truth.view_error_m).into(),
        view_age_ms: (&truth.view_age_ms).into(),
        enter_ms: (&truth.enter_ms).into(),
        leave_ms: (&truth.leave_ms).into(),
        pairs_checked: truth.pairs_checked,
        wrong_set: truth.wrong_set,
        wrong: truth.wrong.clone(),
        went_back: truth.went_back,
    }
}

fn tidied(over: &OverBound) -> OverBound {
    OverBound { error_m: tidy(over.error_m), ..over.clone() }
}

fn events(truth: &Findings) -> Events {
    let events = &truth.events;
    Events {
        published: events.published,
        acked: events.acked,
        delivered: events.delivered,
        lost: events.lost,
        duplicated: events.duplicated,
        out_of_order: events.out_of_order,
        stray: events.stray,
        latency_ms: (&events.latency_ms).into(),
        refused: events.refused,
        named: events.named.clone(),
    }
}

fn cues(truth: &Findings) -> Cues {
    let cues = &truth.cues;
    Cues {
        sent: cues.sent,
        delivered: cues.delivered,
        owed: cues.owed,
        lost: cues.lost,
        duplicated: cues.duplicated,
        late: cues.late,
        stray: cues.stray,
        refused: cues.refused,
        named: cues.named.clone(),
    }
}

fn resume(swarm: &GeneratorMeter) -> Resume {
    Resume {
        attempts: swarm.resumed + swarm.reset + swarm.denied,
        resumed: swarm.resumed,
        reset: swarm.reset,
        denied: swarm.denied,
        gap_ms: (&swarm.gap_ms).into(),
    }
}

fn server_use(
    facts: &RunFacts,
    used: &ServerUse,
    clients: &Clients,
    positions: &Positions,
) -> Server {
    let client_ticks = clients.connected as f64 * facts.seconds * facts.terms.tick_hz;
    let updates = positions.visible_updates_per_s * facts.seconds;
    let per = |seconds: Option<f64>, scale: f64, count: f64| {
        seconds.filter(|_| count > 0.0).map(|s| tidy(s * scale / count))
    };
    let (scrapes, scrapes_failed) = (used.readings, used.failed);
    if used.is_blind() {
        return Server { scrapes, scrapes_failed, ..Server::default() };
    }
    let rss = used.rss_bytes.filter(|_| clients.connected > 0);
    Server {
        cpu_us_per_client_tick: per(used.cpu_seconds, 1e6, client_ticks),
        cpu_ns_per_visible_update: per(used.cpu_seconds, 1e9, updates),
        rss_bytes: used.rss_bytes,
        rss_bytes_per_client: rss.map(|rss| tidy(rss as f64 / clients.connected as f64)),
        tick_ms: Median99Max {
            p50: used.ticks.quantile(0.5).map(|s| tidy(s * 1e3)),
            p99: used.ticks.quantile(0.99).map(|s| tidy(s * 1e3)),
            max: used.ticks.quantile(1.0).map(|s| tidy(s * 1e3)),
        },
        overruns: used.overruns,
        ticks: Some(used.ticks.len() as u64),
        scrapes,
        scrapes_failed,
    }
}

fn timeline(swarm: &GeneratorMeter, truth: &Findings, server: Option<&ServerUse>) -> Vec<Row> {
    let mut all: Timeline = swarm.timeline.clone();
    all.merge(&truth.timeline);
    if let Some(server) = server {
        all.merge(&server.timeline);
    }
    let row = |(second, s): (usize, &crate::meter::Second)| Row {
        second: second as u64,
        visible_per_client: (s.frames > 0).then(|| tidy(s.visible as f64 / s.frames as f64)),
        visible_updates: s.visible_updates,
        bytes_down: s.bytes_down,
        bytes_up: s.bytes_up,
        events_delivered: s.events,
        staleness_p50_ms: s.staleness_p50_ms.map(tidy),
        staleness_p99_ms: s.staleness_p99_ms.map(tidy),
        enter_p99_ms: s.enter_p99_ms.map(tidy),
        rtt_p50_ms: s.rtt_p50_ms.map(tidy),
        tick_mean_ms: s.tick_mean_ms.map(tidy),
        tick_p99_ms: s.tick_p99_ms.map(tidy),
    };
    all.seconds().iter().enumerate().map(row).collect()
}
