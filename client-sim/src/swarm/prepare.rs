//! From options to a plan: reads scenario or traces and lays everything out.

use super::options::{SwarmOptions, Work};
use super::plan::{Crew, PlanOptions, Source};
use crate::scenario::{Area, Scenario};
use crate::space::Space;
use crate::trace::{self, Trace};
use crate::verdict::Slo;
use anyhow::{Result, ensure};
use std::time::Duration;

/// Radius of a traced entity's area of interest.
const TRACE_RADIUS_M: [f64; 2] = [50.0, 500.0];
/// Measured where neither `--for` nor a trace says how long.
const MEASURED_DEFAULT: Duration = Duration::from_secs(30);

/// Everything that is settled before the first packet.
pub(super) struct Prepared {
    pub name: String,
    pub world: String,
    pub space: Space,
    pub crew: Crew,
    pub slo: Slo,
    pub slo_faulted: Slo,
    /// Cues per second and client.
    pub cues_per_s: f64,
    pub measured: Duration,
    pub trace: Option<trace::Summary>,
}

pub(super) fn prepare(options: &SwarmOptions) -> Result<Prepared> {
    ensure!(options.speed.is_finite() && options.speed > 0.0, "the speed must be above 0");
    ensure!(options.events_per_s >= 0.0, "events per second cannot be negative");
    ensure!(
        options.cues_per_s >= Some(0.0) || options.cues_per_s.is_none(),
        "cues per second cannot be negative"
    );
    ensure!(options.visible > 0.0, "visible must be above 0");
    match &options.work {
        Work::Scenario(name) => from_scenario(options, &Scenario::open(name)?),
        Work::Traces(paths) => from_trace(options, Trace::open(paths)?),
    }
}

fn from_scenario(options: &SwarmOptions, scenario: &Scenario) -> Result<Prepared> {
    ensure!(options.clients > 0, "a scenario needs at least one client");
    let entities = options.clients;
    let area = Area::solve(scenario, options.seed, entities, options.visible);
    let source = Source::Scenario {
        cast: scenario.cast(options.seed, entities, area.side_m),
        entities,
        // A run that was cut short leaves its names behind for a while.
        prefix: format!("{}-{:04x}", scenario.name, std::process::id() & 0xffff),
    };
    let plan = plan_options(options, scenario.radius_m, options.visible);
    let slo = scenario.slo;
    let cues_per_s = options.cues_per_s.unwrap_or(scenario.cues_per_s);
    Ok(Prepared {
        name: scenario.name.clone(),
        world: options.world.clone().unwrap_or_else(|| scenario.name.clone()),
        space: scenario.space,
        crew: Crew::plan(source, &PlanOptions { cues_per_s, ..plan })?,
        cues_per_s,
        slo: if cues_per_s > scenario.cues_per_s {
            // Cues ride with positions: more of them say nothing of what positions cost.
            Slo { bytes_per_visible_update: None, ..slo }
        } else {
            slo
        },
        slo_faulted: scenario.slo_faulted,
        measured: options.measured.unwrap_or(MEASURED_DEFAULT),
        trace: None,
    })
}

fn from_trace(options: &SwarmOptions, trace: Trace) -> Result<Prepared> {
    let mut summary = trace.summary;
    summary.speed = options.speed;
    let length = Duration::from_secs_f64(trace.length_s / options.speed);
    let metric = trace.space == Space::Metric;
    // Recorded games are held to what the arena is held to, fleets to what the city is.
    let model = Scenario::open(if metric { "arena" } else { "city" })?;
    let radius_m = TRACE_RADIUS_M[usize::from(!metric)];
    let visible = trace.tracks.len() as f64;
    let source = Source::Trace { tracks: trace.tracks, speed: options.speed };
    Ok(Prepared {
        name: summary.files.join(", "),
        world: options.world.clone().unwrap_or_else(|| "trace".to_owned()),
        space: trace.space,
        crew: Crew::plan(source, &plan_options(options, radius_m, visible.min(100.0)))?,
        slo: model.slo,
        slo_faulted: model.slo_faulted,
        cues_per_s: options.cues_per_s.unwrap_or(0.0),
        measured: options.measured.unwrap_or(length).min(length),
        trace: Some(summary),
    })
}

fn plan_options(options: &SwarmOptions, radius_m: f64, visible: f64) -> PlanOptions {
    PlanOptions {
        seed: options.seed,
        sessions: options.sessions,
        viewers: options.viewers,
        interests: options.interests.clone(),
        radius_m,
        events_per_s: options.events_per_s,
        cues_per_s: options.cues_per_s.unwrap_or(0.0),
        visible,
        tick_hz: 20.0,
    }
}
