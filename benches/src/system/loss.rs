//! Links that lose packets: what is told stays right, and what that costs.

use super::load::Load;
use super::{Stand, cpu_us, shown, validity};
use crate::wire::bytes_per_update;
use anyhow::Result;
use std::time::Duration;

/// A scenario over links of every loss and round-trip time, in per cent and milliseconds. A loss of
/// 0 is run first for each round trip: the others are compared with it.
///
/// # Errors
/// A server does not start, or lets nobody in.
pub fn loss(
    scenario: &str,
    clients: u32,
    losses: &[u32],
    rtts_ms: &[u32],
    time: Duration,
) -> Result<Vec<String>> {
    let mut lines = vec![
        "| motion | clients | loss each way | RTT, ms | seen | B per visible update | over lossless | wrong set | \
         over bound, error max, m | went back | staleness p99, ms | server CPU, us per client and tick | lost \
         clients | verdict | run |"
            .to_owned(),
        format!("|{}", "---|".repeat(15)),
    ];
    for rtt_ms in rtts_ms {
        let mut lossless = None;
        for loss in [0].iter().chain(losses) {
            let link = format!("loss={loss}%,delay={}ms", rtt_ms / 2);
            let stand = Stand::open(&[], None)?;
            let report =
                Load { link: Some(link), ..Load::of(scenario, clients, 50, time) }.run(&stand)?;
            let positions = &report.positions;
            let [payload, _] = bytes_per_update(&report);
            let ratio = payload / *lossless.get_or_insert(payload);
            lines.push(format!(
                "| {scenario} | {clients} | {loss} % | {rtt_ms} | {:.1} | {payload:.2} | **{ratio:.2}** | {} of {} | \
                 {}, {} | {} | {} | {} | {} | {:?} | {} |",
                positions.visible_per_client,
                positions.wrong_set,
                positions.pairs_checked,
                positions.over_bound,
                shown(positions.error_m.max, 4),
                positions.went_back,
                shown(positions.staleness_ms.p99, 0),
                shown(cpu_us(&report), 1),
                report.clients.lost,
                report.verdict,
                validity(&report, f64::INFINITY),
            ));
        }
    }
    Ok(lines)
}
