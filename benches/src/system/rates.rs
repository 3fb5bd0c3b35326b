//! The same work at other rates, and many matches at once.

use super::load::Load;
use super::{Stand, cpu_us, shown, ticks_ms, validity};
use crate::contest::RTT_MS_MAX;
use crate::wire::bytes_per_update;
use anyhow::{Result, anyhow};
use starling_client_sim::report::Report;
use std::time::Duration;

/// CPU per client and tick at several tick rates.
///
/// # Errors
/// A server does not start, or lets nobody in.
pub fn rates(
    hz: &[u32],
    scenario: &str,
    clients: u32,
    visible: u32,
    time: Duration,
) -> Result<Vec<String>> {
    let mut lines = vec![
        "| Hz | motion | clients x visible | seen | server CPU, us per client and tick | cores | tick p50 / \
         p99 / max, ms | of, ms | overruns | B per visible update | with IP and UDP | RTT p50 / p99, ms | run |"
            .to_owned(),
        format!("|{}", "---|".repeat(13)),
    ];
    for hz in hz {
        let stand = Stand::open(&[format!("server.tick_hz={hz}")], None)?;
        let report = Load::of(scenario, clients, visible, time).run(&stand)?;
        lines.push(rate_row(*hz, scenario, clients, visible, &report));
    }
    Ok(lines)
}

fn rate_row(hz: u32, scenario: &str, clients: u32, visible: u32, report: &Report) -> String {
    let cores = cpu_us(report).map(|us| us * f64::from(clients * hz) / 1e6);
    let [payload, whole] = bytes_per_update(report);
    let rtt = report.generator.rtt_ms;
    format!(
        "| {hz} | {scenario} | {clients} x {visible} | {:.1} | **{}** | {} | {} | {:.2} | {} | {payload:.2} | \
         {whole:.2} | {} / {} | {} |",
        report.positions.visible_per_client,
        shown(cpu_us(report), 1),
        shown(cores, 3),
        ticks_ms(report),
        1e3 / f64::from(hz),
        shown(report.server.as_ref().and_then(|s| s.overruns).map(|n| n as f64), 0),
        shown(rtt.p50, 1),
        shown(rtt.p99, 1),
        validity(report, RTT_MS_MAX),
    )
}

/// Many small matches at once; where a processor is named, the server has that one alone and the
/// swarms have the others.
///
/// # Errors
/// The server does not start, or lets nobody in.
pub fn matches(
    count: u32,
    players: u32,
    hz: u32,
    processor: Option<u32>,
    time: Duration,
) -> Result<Vec<String>> {
    if let Some(processor) = processor {
        crate::pin::keep_off(processor)?;
    }
    let stand = Stand::open(&[format!("server.tick_hz={hz}")], processor)?;
    let one = |number: u32| {
        let world = Some(format!("match-{number}"));
        let seed = u64::from(number) + 1;
        Load { world, seed, ..Load::of("arena", players, players, time) }.run(&stand)
    };
    let reports: Result<Vec<Report>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|n| scope.spawn(move || one(n))).collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.map(|end| end.map_err(|_| anyhow!("a swarm panicked"))?).collect()
    });
    let reports = reports?;
    // Every swarm sees the CPU of the whole server over its own clients.
    let mean = |of: fn(&Report) -> Option<f64>| {
        let all: Vec<f64> = reports.iter().filter_map(of).collect();
        (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
    };
    let match_tick_ms = mean(cpu_us).map(|us| us * f64::from(players) / f64::from(count) / 1e3);
    let cores = match_tick_ms.map(|ms| ms * f64::from(count * hz) / 1e3);
    let flawed = reports.iter().filter(|r| crate::contest::flaw(r, RTT_MS_MAX).is_some()).count();
    let worst = |of: fn(&Report) -> Option<f64>| reports.iter().filter_map(of).reduce(f64::max);
    Ok(vec![
        "| matches x players | Hz | server CPU, ms per match and tick | cores | on one processor | tick p99, ms | \
         RTT p99, worst match, ms | staleness p99, worst match, ms | runs not valid |"
            .to_owned(),
        format!("|{}", "---|".repeat(9)),
        format!(
            "| {count} x {players} | {hz} | **{}** | {} | {} | {} | {} | {} | {flawed} of {count} |",
            shown(match_tick_ms, 3),
            shown(cores, 3),
            if processor.is_some() { "yes, swarms on the others" } else { "no" },
            shown(mean(|r| r.server.as_ref()?.tick_ms.p99), 3),
            shown(worst(|r| r.generator.rtt_ms.p99), 1),
            shown(worst(|r| r.positions.staleness_ms.p99), 1),
        ),
    ])
}
