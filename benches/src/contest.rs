//! One load for several servers, and what each of them took for it.

use crate::arms::Arm;
use crate::arms::competent::CompetentTarget;
use crate::arms::naive::NaiveTarget;
use crate::arms::process::Process;
use crate::swarm_threads;
use crate::wire::bytes_per_update;
use anyhow::{Result, anyhow};
use starling_client_sim::metrics::MetricsUrl;
use starling_client_sim::report::Report;
use starling_client_sim::starling::QuicWire;
use starling_client_sim::swarm::{SwarmOptions, Work, run, run_on};
use starling_client_sim::verdict::Verdict;
use starling_transport::tls::{ClientTls, ServerTrust};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// A run whose round trip is longer at the 99th percentile was starved: it batches and flatters
/// itself.
pub const RTT_MS_MAX: f64 = 30.0;
/// The first lines of a table of [`Outcome::row`].
pub const HEAD: &str = "\
| motion | clients x visible | server | seen | server CPU, us per client and tick | B down per visible \
update | with IP and UDP | kB/s down / up per client | packets down per client and tick | RTT p50 / p99, \
ms | staleness p99, ms | error p99 / max, m | wrong set, over bound | swarm late p99, ms | run |\n\
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|";

/// A load.
#[derive(Clone, Debug)]
pub struct Contest {
    /// Motion.
    pub scenario: String,
    /// Clients, each with one entity.
    pub clients: u32,
    /// Entities that one shall see on average.
    pub visible: u32,
    /// Measured time.
    pub measured: Duration,
    /// Of all motion.
    pub seed: u64,
    /// Threads of the swarm.
    pub threads: Option<usize>,
    /// Settings of the servers.
    pub settings: Vec<String>,
}

/// What one run found.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Of which server.
    pub arm: Arm,
    /// All of it.
    pub report: Report,
}

impl Contest {
    /// Runs each arm so many times, in turn, and keeps the best valid run of each; of an arm
    /// without one, the best that is not valid.
    ///
    /// # Errors
    /// A server does not start, or lets nobody in.
    pub fn run_all(&self, arms: &[Arm], repeat: u32) -> Result<Vec<Outcome>> {
        let mut best: Vec<Option<Outcome>> = arms.iter().map(|_| None).collect();
        for _ in 0..repeat.max(1) {
            for (arm, best) in arms.iter().zip(&mut best) {
                let mut outcome = self.run(*arm)?;
                if outcome.flaw().is_some() {
                    outcome = outcome.better(self.run(*arm)?);
                }
                *best = Some(match best.take() {
                    Some(old) => old.better(outcome),
                    None => outcome,
                });
            }
        }
        Ok(best.into_iter().flatten().collect())
    }

    /// One run.
    ///
    /// # Errors
    /// The server does not start, or lets nobody in.
    pub fn run(&self, arm: Arm) -> Result<Outcome> {
        let process = Process::start_with(arm, &self.settings, None)?;
        let options = self.options(&process)?;
        let stop = AtomicBool::new(false);
        let (server, seed) = (process.server, self.seed);
        let report = match arm {
            Arm::Starling => run(&options, &stop, |_| {}),
            Arm::Naive => {
                let tls = ClientTls::new(&ServerTrust::Insecure)?;
                let link = options.link.clone();
                let make = |thread: usize, _: &_| {
                    let seed = seed.wrapping_add(thread as u64);
                    Ok(NaiveTarget::new(QuicWire::new(server, tls.clone(), &link, seed)?))
                };
                run_on(&options, &stop, make, |_| {})
            }
            Arm::Competent => run_on(&options, &stop, |_, _| CompetentTarget::new(server), |_| {}),
        };
        Ok(Outcome { arm, report: report.map_err(|error| anyhow!("{}: {error}", arm.name()))? })
    }

    fn options(&self, process: &Process) -> Result<SwarmOptions> {
        let mut options = SwarmOptions::new(process.server, ServerTrust::Insecure);
        options.metrics = Some(MetricsUrl::parse(&format!("http://{}/metrics", process.metrics))?);
        options.work = Work::Scenario(self.scenario.clone());
        options.clients = self.clients;
        options.visible = f64::from(self.visible);
        options.measured = Some(self.measured);
        options.seed = self.seed;
        options.events_per_s = 0.0;
        options.cues_per_s = Some(0.0);
        options.threads = self.threads.unwrap_or_else(|| swarm_threads(self.clients));
        Ok(options)
    }
}

impl Outcome {
    /// Server CPU in microseconds per client and tick.
    #[must_use]
    pub fn cpu_us(&self) -> Option<f64> {
        self.report.server.as_ref()?.cpu_us_per_client_tick
    }

    /// Why the run says nothing, if it does not.
    #[must_use]
    pub fn flaw(&self) -> Option<&'static str> {
        flaw(&self.report, RTT_MS_MAX)
    }

    /// The one that is valid, or else the one with less CPU.
    fn better(self, other: Self) -> Self {
        let rank = |one: &Self| (one.flaw().is_some(), one.cpu_us().unwrap_or(f64::INFINITY));
        if rank(&other) < rank(&self) { other } else { self }
    }

    /// A row of the table.
    #[must_use]
    pub fn row(&self, contest: &Contest) -> String {
        let Report { positions, generator, clients, seconds, tick_hz, .. } = &self.report;
        let shown =
            |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.1}"));
        let each = clients.connected.max(1) as f64;
        let [down, up] = [positions.bytes_down_per_s, positions.bytes_up_per_s];
        let [down, up] = [down, up].map(|bytes| bytes / 1e3 / each);
        let [payload, whole] = bytes_per_update(&self.report);
        let packets = positions.packets_down_per_s / each / tick_hz;
        let Contest { scenario, clients: asked, visible, .. } = contest;
        format!(
            "| {scenario} | {asked} x {visible} | {} | {:.1} | **{}** | **{payload:.2}** | {whole:.2} \
             | {down:.2} / {up:.2} | {packets:.2} | {} / {} | {} | {:.4} / {:.4} | {}, {} of {} | {} | {} |",
            self.arm.name(),
            positions.visible_per_client,
            shown(self.cpu_us()),
            shown(generator.rtt_ms.p50),
            shown(generator.rtt_ms.p99),
            shown(positions.staleness_ms.p99),
            positions.error_m.p99.unwrap_or(f64::NAN),
            positions.error_m.max.unwrap_or(f64::NAN),
            positions.wrong_set,
            positions.over_bound,
            positions.pairs_checked,
            shown(generator.late_sends_ms.p99),
            self.flaw().map_or_else(|| format!("valid, {seconds:.0} s"), str::to_owned),
        )
    }
}

/// Why a run says nothing, if it does not. A round trip longer than so many milliseconds at the
/// 99th percentile is that of a machine that starved.
#[must_use]
pub fn flaw(report: &Report, rtt_ms_max: f64) -> Option<&'static str> {
    let Report { verdict, generator, positions, clients, .. } = report;
    if clients.connected < clients.asked || clients.lost > 0 {
        Some("clients missing")
    } else if positions.pairs_checked == 0 || positions.wrong_set + positions.over_bound > 0 {
        Some("wrong")
    } else if *verdict == Verdict::Invalid {
        Some("invalid: the swarm was late")
    } else if generator.rtt_ms.p99.is_none_or(|ms| ms > rtt_ms_max) {
        Some("invalid: starved")
    } else {
        None
    }
}

/// What the others took over what Starling took.
#[must_use]
pub fn ratios(outcomes: &[Outcome]) -> Vec<String> {
    let Some(own) = outcomes.iter().find(|outcome| outcome.arm == Arm::Starling) else {
        return Vec::new();
    };
    let others = outcomes.iter().filter(|outcome| outcome.arm != Arm::Starling);
    let line = |other: &Outcome| {
        let cpu = other.cpu_us().unwrap_or(f64::NAN) / own.cpu_us().unwrap_or(f64::NAN);
        let [payload, whole] = bytes_per_update(&other.report);
        let [own_payload, own_whole] = bytes_per_update(&own.report);
        format!(
            "| | | {} / starling | | {cpu:.2} | {:.2} | {:.2} | | | | | | | | |",
            other.arm.name(),
            payload / own_payload,
            whole / own_whole
        )
    };
    others.map(line).collect()
}
