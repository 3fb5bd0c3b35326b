//! A fast game world beside fleets at full ingest: alone, beside them in a process of their own, and
//! in one process with them.

use super::load::Load;
use super::{Stand, cpu_us, shown, validity};
use crate::contest::RTT_MS_MAX;
use anyhow::{Context, Result, anyhow};
use starling_client_sim::metrics::{MetricsUrl, Scrape};
use starling_client_sim::report::Report;
use starling_client_sim::swarm::Phase;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Vehicles in one world, at most: it holds 65,535 unless its file says otherwise.
const WORLD_MAX: u32 = 50_000;
/// Vehicles that one gateway speaks for: of 1,000 in one a third of the fixes never left it, of 500
/// a twentieth, of 400 none.
const PER_GATEWAY: u32 = 250;
/// The fleets may take this long to come in.
const FLEETS_IN: Duration = Duration::from_secs(90);
/// Longer than any game of this bench.
const LONG: Duration = Duration::from_secs(600);
/// What the server counts of fixes that it took.
const TAKEN: &str = "starling_world_samples_accepted_total";

/// A game, and what runs beside it.
#[derive(Clone, Copy, Debug)]
pub struct Beside {
    /// Players of the game.
    pub players: u32,
    /// Ticks per second of the game.
    pub hz: u32,
    /// Vehicles, each with a fix a second.
    pub vehicles: u32,
    /// The one processor for all servers; the swarm has the others.
    pub processor: Option<u32>,
    /// Measured time of each of the three runs.
    pub measured: Duration,
}

/// Ticks of the game's world, and fixes that were taken meanwhile.
struct Ticks {
    mean_ms: f64,
    p50_ms: f64,
    p99_ms: f64,
    fixes_per_s: f64,
    report: Report,
}

/// Runs the game three times.
///
/// # Errors
/// A server does not start, or lets nobody in.
pub fn beside(ask: Beside) -> Result<Vec<String>> {
    if let Some(processor) = ask.processor {
        crate::pin::keep_off(processor)?;
    }
    let alone = ask.game(&ask.stand(true, false)?, None)?;
    let apart = ask.among(&ask.stand(true, false)?, &ask.stand(false, true)?)?;
    let one = ask.stand(true, true)?;
    let together = ask.among(&one, &one)?;
    Ok(vec![
        "| game | beside it | servers on | fixes taken, per s | game's tick mean / p50 / p99, ms | mean / p99 over \
         alone | CPU of the game's process, us per player and tick | RTT p99, ms | run |"
            .to_owned(),
        format!("|{}", "---|".repeat(9)),
        ask.row("nothing", &alone, &alone),
        ask.row(&format!("{} vehicles, a process of their own", ask.vehicles), &apart, &alone),
        ask.row(&format!("{} vehicles, the same process", ask.vehicles), &together, &alone),
    ])
}

impl Beside {
    fn worlds(&self) -> u32 {
        self.vehicles.div_ceil(WORLD_MAX).max(1)
    }

    fn stand(&self, game: bool, fleets: bool) -> Result<Stand> {
        let game = game.then(|| format!("worlds=game=metric,tick-hz={}", self.hz));
        let fleets = if fleets { self.worlds() } else { 0 };
        let fleets = (0..fleets).map(|n| format!("worlds=fleet-{n}=geodetic"));
        Stand::open(&game.into_iter().chain(fleets).collect::<Vec<_>>(), self.processor)
    }

    /// The game on one server, with the fleets on another or on the same.
    fn among(&self, game: &Stand, fleets: &Stand) -> Result<Ticks> {
        let (stop, ready, worlds) = (AtomicBool::new(false), AtomicU32::new(0), self.worlds());
        std::thread::scope(|scope| {
            let (stop, ready) = (&stop, &ready);
            let one = |n| scope.spawn(move || self.fleet(n, fleets, stop, ready));
            let swarms: Vec<_> = (0..worlds).map(one).collect();
            let ticks = wait(ready, worlds).and_then(|()| self.game(game, Some(fleets)));
            stop.store(true, Ordering::Relaxed);
            for swarm in swarms {
                swarm.join().map_err(|_| anyhow!("a swarm panicked"))??;
            }
            ticks
        })
    }

    fn fleet(&self, n: u32, stand: &Stand, stop: &AtomicBool, ready: &AtomicU32) -> Result<Report> {
        let (vehicles, world) = (self.vehicles / self.worlds(), Some(format!("fleet-{n}")));
        let sessions = Some(vehicles.div_ceil(PER_GATEWAY));
        let city = Load::of("city", vehicles, 50, LONG);
        let load = Load { world, sessions, seed: u64::from(n), ..city };
        let mut told = false;
        load.run_and_tell(stand, stop, |progress| {
            if progress.phase == Phase::Measure && !std::mem::replace(&mut told, true) {
                ready.fetch_add(1, Ordering::Relaxed);
            }
        })
    }

    fn game(&self, stand: &Stand, fleets: Option<&Stand>) -> Result<Ticks> {
        let arena = Load::of("arena", self.players, 50, self.measured);
        let load = Load { world: Some("game".to_owned()), ..arena };
        let taken = || fleets.map_or(Some(0.0), |fleets| taken(&fleets.metrics));
        let (mut first, mut last) = (None, None);
        let report = load.run_and_tell(stand, &AtomicBool::new(false), |progress| {
            if progress.phase == Phase::Measure {
                let read = ticks_of(&stand.metrics, "game").zip(taken());
                last = read.map(|(ticks, taken)| (ticks, taken, Instant::now()));
                first = first.take().or_else(|| last.clone());
            }
        })?;
        let (first, last) = first.zip(last).context("the server's metrics could not be read")?;
        let ticks = last.0.ticks.since(&first.0.ticks);
        let ms = |seconds: Option<f64>| seconds.unwrap_or(f64::NAN) * 1e3;
        let fixes_per_s = (last.1 - first.1) / (last.2 - first.2).as_secs_f64();
        let (p50_ms, p99_ms) = (ms(ticks.quantile(0.5)), ms(ticks.quantile(0.99)));
        Ok(Ticks { mean_ms: ms(ticks.mean()), p50_ms, p99_ms, fixes_per_s, report })
    }

    fn row(&self, beside: &str, ticks: &Ticks, alone: &Ticks) -> String {
        let Ticks { mean_ms, p50_ms, p99_ms, fixes_per_s, report } = ticks;
        let rise = |now: f64, then: f64| (now / then - 1.0) * 100.0;
        let on = self.processor.map_or_else(|| "all".to_owned(), |n| format!("number {n}"));
        format!(
            "| {} at {} Hz | {beside} | {on} | {fixes_per_s:.0} | {mean_ms:.3} / {p50_ms:.3} / {p99_ms:.3} | \
             **{:+.0} % / {:+.0} %** | {} | {} | {} |",
            self.players,
            self.hz,
            rise(*mean_ms, alone.mean_ms),
            rise(*p99_ms, alone.p99_ms),
            shown(cpu_us(report), 1),
            shown(report.generator.rtt_ms.p99, 1),
            validity(report, RTT_MS_MAX),
        )
    }
}

fn wait(ready: &AtomicU32, worlds: u32) -> Result<()> {
    let step = Duration::from_millis(100);
    for _ in 0..FLEETS_IN.as_millis() / step.as_millis() {
        if ready.load(Ordering::Relaxed) >= worlds {
            return Ok(());
        }
        std::thread::sleep(step);
    }
    Err(anyhow!("the fleets did not come in"))
}

/// A reading of one world only.
fn ticks_of(metrics: &MetricsUrl, world: &str) -> Option<Scrape> {
    let text = metrics.get().ok()?;
    let label = format!("world=\"{world}\"");
    let lines: Vec<&str> = text.lines().filter(|line| line.contains(&label)).collect();
    Some(Scrape::parse(&lines.join("\n")))
}

/// Fixes that all fleets of a server have taken.
fn taken(metrics: &MetricsUrl) -> Option<f64> {
    let text = metrics.get().ok()?;
    let fleets = text.lines().filter(|l| l.starts_with(TAKEN) && l.contains("world=\"fleet-"));
    fleets.map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
