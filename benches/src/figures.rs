//! The figures of a run that are compared, and their medians over several.

use crate::wire::bytes_per_update;
use starling_client_sim::report::Report;

/// What is compared. What was not measured is not a number.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// Entities that a client saw, on average.
    pub visible: f64,
    /// CPU time of the server in microseconds per client and tick.
    pub cpu_us: f64,
    /// Bytes down per visible update: UDP payload, and with headers.
    pub bytes: [f64; 2],
    /// Per client, down and up.
    pub kilobytes_per_s: [f64; 2],
    /// Per client and tick.
    pub packets_down: f64,
    /// Median and 99th percentile.
    pub rtt_ms: [f64; 2],
    /// 99th percentile.
    pub staleness_p99_ms: f64,
    /// 99th percentile and greatest.
    pub error_m: [f64; 2],
    /// 99th percentile of the swarm's lateness.
    pub late_p99_ms: f64,
    /// Pairs found wrong, in all runs.
    pub wrong_set: u64,
    /// Copies beyond the bound, in all runs.
    pub over_bound: u64,
    /// Of so many that were looked at, in all runs.
    pub pairs_checked: u64,
}

impl Figures {
    /// Those of one run.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        let Report { positions, generator, clients, server, .. } = report;
        let each = clients.connected.max(1) as f64;
        let down_and_up = [positions.bytes_down_per_s, positions.bytes_up_per_s];
        let known = |value: Option<f64>| value.unwrap_or(f64::NAN);
        Self {
            visible: positions.visible_per_client,
            cpu_us: known(server.as_ref().and_then(|server| server.cpu_us_per_client_tick)),
            bytes: bytes_per_update(report),
            kilobytes_per_s: down_and_up.map(|bytes| bytes / 1e3 / each),
            packets_down: positions.packets_down_per_s / each / report.tick_hz,
            rtt_ms: [generator.rtt_ms.p50, generator.rtt_ms.p99].map(known),
            staleness_p99_ms: known(positions.staleness_ms.p99),
            error_m: [positions.error_m.p99, positions.error_m.max].map(known),
            late_p99_ms: known(generator.late_sends_ms.p99),
            wrong_set: positions.wrong_set,
            over_bound: positions.over_bound,
            pairs_checked: positions.pairs_checked,
        }
    }

    /// The median of each figure over several runs; of counts, the sum.
    #[must_use]
    pub fn medians(runs: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| median(runs.iter().map(figure).collect());
        let sum = |count: fn(&Self) -> u64| runs.iter().map(count).sum();
        Self {
            visible: of(|run| run.visible),
            cpu_us: of(|run| run.cpu_us),
            bytes: [of(|run| run.bytes[0]), of(|run| run.bytes[1])],
            kilobytes_per_s: [of(|run| run.kilobytes_per_s[0]), of(|run| run.kilobytes_per_s[1])],
            packets_down: of(|run| run.packets_down),
            rtt_ms: [of(|run| run.rtt_ms[0]), of(|run| run.rtt_ms[1])],
            staleness_p99_ms: of(|run| run.staleness_p99_ms),
            error_m: [of(|run| run.error_m[0]), of(|run| run.error_m[1])],
            late_p99_ms: of(|run| run.late_p99_ms),
            wrong_set: sum(|run| run.wrong_set),
            over_bound: sum(|run| run.over_bound),
            pairs_checked: sum(|run| run.pairs_checked),
        }
    }
}

/// The one in the middle, or the mean of the two that are; not a number where one of them is none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_the_one_in_the_middle_or_between_the_two_that_are() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
    }
}
