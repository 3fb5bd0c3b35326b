//! The limits that a run is judged by.

use super::Allowance;
use serde::Deserialize;

/// Limits that a scenario may set. What must hold in every run (nobody sees wrongly, no event is
/// lost, doubled or out of order, errors stay within the stated bound at p99) has no field here:
/// it is judged always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Slo {
    /// Metres by which the largest error may exceed the bound that the server stated.
    pub error_max_over_bound_m: Option<f64>,
    /// Ticks that the next two limits start from; 1 where absent. A fix that falls due between two
    /// ticks may wait for half of one until a gateway sends again: 1.5.
    pub ticks: Option<f64>,
    /// Milliseconds by which the 99th percentile of staleness may exceed these ticks.
    pub staleness_p99_over_tick_ms: Option<f64>,
    /// Milliseconds by which the 99th percentile of the time to enter may exceed them.
    pub enter_p99_over_tick_ms: Option<f64>,
    /// Bytes down per visible update, everything on the wire included. Judged in runs without
    /// events, with no more cues than the scenario gives by itself, in which 40 or more are visible
    /// on average: with fewer the headers of packets say more than the codes in them.
    pub bytes_per_visible_update: Option<f64>,
    /// 99th percentile from publish to delivery, in milliseconds.
    pub event_latency_p99_ms: Option<f64>,
    /// 99th percentile of the server's tick, in milliseconds. Needs the server's metrics; with
    /// them a tick may take no longer than its period in any case.
    pub tick_p99_ms: Option<f64>,
    /// Processor time of the server per client and tick, in microseconds. Judged with the server's
    /// metrics, on a clean link, in runs of 100 clients or more with 40 or more visible.
    pub cpu_us_per_client_tick: Option<f64>,
}

impl Slo {
    /// These limits on a link with faults: what such a link may cost is added to the delays, bytes,
    /// errors and processor time have none, and where there are limits made for faulted links,
    /// these hold instead.
    #[must_use]
    pub fn on_a_faulted_link(&self, made_for_it: &Self, cost: &Allowance, tick_ms: f64) -> Self {
        let plus = |limit: Option<f64>, cost_ms: f64| limit.map(|ms| ms + cost_ms);
        let staleness = plus(self.staleness_p99_over_tick_ms, cost.staleness_ms(tick_ms));
        let enter = plus(self.enter_p99_over_tick_ms, cost.enter_ms(tick_ms));
        Self {
            ticks: made_for_it.ticks.or(self.ticks),
            staleness_p99_over_tick_ms: made_for_it.staleness_p99_over_tick_ms.or(staleness),
            enter_p99_over_tick_ms: made_for_it.enter_p99_over_tick_ms.or(enter),
            tick_p99_ms: made_for_it.tick_p99_ms.or(self.tick_p99_ms),
            ..*made_for_it
        }
    }
}
