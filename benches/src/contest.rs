//! One load for several servers, and what each of them took for it.

use crate::arms::Arm;
use crate::arms::competent::CompetentTarget;
use crate::arms::naive::NaiveTarget;
use crate::arms::process::Process;
use crate::figures::Figures;
use crate::swarm_threads;
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

/// What the runs of one server found.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Of which server.
    pub arm: Arm,
    /// The medians of its valid runs; of all of them where none is valid.
    pub figures: Figures,
    /// Runs that the figures are of.
    runs: usize,
    /// What is wrong with them, if they are not valid.
    flaw: Option<&'static str>,
    /// Measured time of each.
    seconds: f64,
}

impl Contest {
    /// Runs each arm so many times, in turn, and takes the medians of the valid runs of each. If
    /// asked to, a run that is not valid is tried again, once.
    ///
    /// # Errors
    /// A server does not start, or lets nobody in.
    pub fn run_all(&self, arms: &[Arm], repeat: u32, again: bool) -> Result<Vec<Outcome>> {
        let mut reports: Vec<Vec<Report>> = arms.iter().map(|_| Vec::new()).collect();
        for _ in 0..repeat.max(1) {
            for (arm, reports) in arms.iter().zip(&mut reports) {
                reports.push(self.run(*arm)?);
                let flawed = |report| flaw(report, RTT_MS_MAX).is_some();
                if again && reports.last().is_some_and(flawed) {
                    reports.push(self.run(*arm)?);
                }
            }
        }
        let arms = arms.iter().zip(reports);
        Ok(arms.filter_map(|(arm, reports)| Outcome::of(*arm, reports)).collect())
    }

    /// One run.
    ///
    /// # Errors
    /// The server does not start, or lets nobody in.
    pub fn run(&self, arm: Arm) -> Result<Report> {
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
        report.map_err(|error| anyhow!("{}: {error}", arm.name()))
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
    fn of(arm: Arm, reports: Vec<Report>) -> Option<Self> {
        let first_flaw = reports.iter().find_map(|report| flaw(report, RTT_MS_MAX));
        let (valid, flawed): (Vec<Report>, Vec<Report>) =
            reports.into_iter().partition(|report| flaw(report, RTT_MS_MAX).is_none());
        let flaw = first_flaw.filter(|_| valid.is_empty());
        let counted = if valid.is_empty() { flawed } else { valid };
        let figures: Vec<Figures> = counted.iter().map(Figures::of).collect();
        let seconds = counted.first()?.seconds;
        Some(Self { arm, figures: Figures::medians(&figures), runs: counted.len(), flaw, seconds })
    }

    /// A row of the table.
    #[must_use]
    pub fn row(&self, contest: &Contest) -> String {
        let Contest { scenario, clients, visible, .. } = contest;
        let Figures { cpu_us, rtt_ms, staleness_p99_ms, late_p99_ms, .. } = &self.figures;
        let f = &self.figures;
        let ([payload, whole], [down, up]) = (f.bytes, f.kilobytes_per_s);
        format!(
            "| {scenario} | {clients} x {visible} | {} | {:.1} | **{cpu_us:.1}** | **{payload:.2}** | \
             {whole:.2} | {down:.2} / {up:.2} | {:.2} | {:.1} / {:.1} | {staleness_p99_ms:.1} | \
             {:.4} / {:.4} | {}, {} of {} | {late_p99_ms:.1} | {} |",
            self.arm.name(),
            f.visible,
            f.packets_down,
            rtt_ms[0],
            rtt_ms[1],
            f.error_m[0],
            f.error_m[1],
            f.wrong_set,
            f.over_bound,
            f.pairs_checked,
            self.kind(),
        )
    }

    fn kind(&self) -> String {
        let Self { runs, seconds, .. } = self;
        let flaw = self.flaw.unwrap_or("valid");
        match runs {
            1 => format!("{flaw}, {seconds:.0} s"),
            _ => format!("{flaw}, {runs} of {seconds:.0} s"),
        }
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
        let (theirs, ours) = (&other.figures, &own.figures);
        let [payload, whole] = [0, 1].map(|k| theirs.bytes[k] / ours.bytes[k]);
        format!(
            "| | | {} / starling | | {:.2} | {payload:.2} | {whole:.2} | | | | | | | | |",
            other.arm.name(),
            theirs.cpu_us / ours.cpu_us,
        )
    };
    others.map(line).collect()
}
