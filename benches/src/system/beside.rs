//! A fast game world beside fleets at full ingest, in one process.

use super::load::Load;
use super::{Stand, cpu_us, shown, validity};
use crate::contest::RTT_MS_MAX;
use anyhow::{Context, Result, anyhow};
use starling_client_sim::metrics::{MetricsUrl, Scrape};
use starling_client_sim::report::Report;
use starling_client_sim::swarm::Phase;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// Vehicles in one world, at most: a zone holds 65,535.
const WORLD_MAX: u32 = 50_000;
/// Vehicles that one gateway speaks for.
const PER_GATEWAY: u32 = 1_000;
/// The fleets may take this long to come in.
const FLEETS_IN: Duration = Duration::from_secs(90);
/// Longer than any game of this bench.
const LONG: Duration = Duration::from_secs(600);

/// Ticks of the game's world.
struct Ticks {
    mean_ms: f64,
    p50_ms: f64,
    p99_ms: f64,
    report: Report,
}

/// The game alone, then the game beside so many vehicles that each report a fix a second.
///
/// # Errors
/// The server does not start, or lets nobody in.
pub fn beside(players: u32, hz: u32, vehicles: u32, time: Duration) -> Result<Vec<String>> {
    let worlds = vehicles.div_ceil(WORLD_MAX).max(1);
    let mut settings = vec![format!("worlds=game=metric,tick-hz={hz}")];
    settings.extend((0..worlds).map(|n| format!("worlds=fleet-{n}=geodetic")));
    let stand = Stand::open(&settings, None)?;
    let alone = game(&stand, players, time)?;
    let (stop, ready, fixes) = (AtomicBool::new(false), AtomicU32::new(0), AtomicU32::new(0));
    let together = std::thread::scope(|scope| {
        let fleets: Vec<_> = (0..worlds)
            .map(|n| {
                scope.spawn({
                    let (stand, stop, ready) = (&stand, &stop, &ready);
                    move || fleet(n, vehicles / worlds, stand, stop, ready)
                })
            })
            .collect();
        let waited = wait(&ready, worlds);
        let together = waited.and_then(|()| game(&stand, players, time));
        stop.store(true, Ordering::Relaxed);
        for fleet in fleets {
            let report = fleet.join().map_err(|_| anyhow!("a swarm panicked"))??;
            fixes.fetch_add(report.positions.sent_per_s as u32, Ordering::Relaxed);
        }
        together
    })?;
    let rise = |of: fn(&Ticks) -> f64| (of(&together) / of(&alone) - 1.0) * 100.0;
    let mut lines = vec![
        "| game | beside it | fixes taken, per s | game's tick mean / p50 / p99, ms | rise of mean / p99 | whole \
         server's CPU, us per player and tick | RTT p99, ms | run |"
            .to_owned(),
        format!("|{}", "---|".repeat(8)),
    ];
    let fixes = fixes.into_inner();
    lines.push(row(players, hz, "nothing", 0, &alone, "-"));
    let rises = format!("**{:+.0} % / {:+.0} %**", rise(|t| t.mean_ms), rise(|t| t.p99_ms));
    let fleet = format!("{vehicles} vehicles in {worlds} worlds");
    lines.push(row(players, hz, &fleet, fixes, &together, &rises));
    Ok(lines)
}

fn row(players: u32, hz: u32, beside: &str, fixes: u32, ticks: &Ticks, rise: &str) -> String {
    let Ticks { mean_ms, p50_ms, p99_ms, report } = ticks;
    format!(
        "| {players} at {hz} Hz | {beside} | {fixes} | {mean_ms:.3} / {p50_ms:.3} / {p99_ms:.3} | {rise} | {} | {} | {} |",
        shown(cpu_us(report), 1),
        shown(report.generator.rtt_ms.p99, 1),
        validity(report, RTT_MS_MAX),
    )
}

fn fleet(
    n: u32,
    vehicles: u32,
    stand: &Stand,
    stop: &AtomicBool,
    ready: &AtomicU32,
) -> Result<Report> {
    let world = Some(format!("fleet-{n}"));
    let sessions = Some(vehicles.div_ceil(PER_GATEWAY));
    let load = Load { world, sessions, seed: u64::from(n), ..Load::of("city", vehicles, 50, LONG) };
    let mut told = false;
    load.run_and_tell(stand, stop, |progress| {
        if progress.phase == Phase::Measure && !std::mem::replace(&mut told, true) {
            ready.fetch_add(1, Ordering::Relaxed);
        }
    })
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

fn game(stand: &Stand, players: u32, time: Duration) -> Result<Ticks> {
    let load = Load { world: Some("game".to_owned()), ..Load::of("arena", players, 50, time) };
    let (mut first, mut last) = (None, None);
    let report = load.run_and_tell(stand, &AtomicBool::new(false), |progress| {
        if progress.phase == Phase::Measure {
            last = ticks_of(&stand.metrics, "game");
            first = first.take().or_else(|| last.clone());
        }
    })?;
    let (first, last) = first.zip(last).context("the server's metrics could not be read")?;
    let ticks = last.ticks.since(&first.ticks);
    let ms = |seconds: Option<f64>| seconds.unwrap_or(f64::NAN) * 1e3;
    let (p50_ms, p99_ms) = (ms(ticks.quantile(0.5)), ms(ticks.quantile(0.99)));
    Ok(Ticks { mean_ms: ms(ticks.mean()), p50_ms, p99_ms, report })
}

/// A reading of one world only.
fn ticks_of(metrics: &MetricsUrl, world: &str) -> Option<Scrape> {
    let text = metrics.get().ok()?;
    let label = format!("world=\"{world}\"");
    let lines: Vec<&str> = text.lines().filter(|line| line.contains(&label)).collect();
    Some(Scrape::parse(&lines.join("\n")))
}
