//! The numbers of `/metrics`, in Prometheus text.
//!
//! Names are `starling_<subsystem>_<thing>_<unit>[_total]`; labels are worlds, states and close
//! codes only, never text of a client.

use crate::room::Reading;
use prometheus::core::Collector;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
};
use starling_protocol::close::CloseCode;
use starling_world::counters::Counters;
use std::collections::BTreeMap;

/// Upper bounds of the buckets of tick durations, in seconds.
const TICK_BUCKETS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002, 0.003, 0.005, 0.008, 0.012, 0.02, 0.03,
    0.05, 0.1, 0.25, 1.0,
];

/// What a world counts, by the name under which it is shown.
const WORLD_COUNTERS: &[(&str, &str, fn(&Counters) -> u64)] = &[
    ("ticks", "Ticks run", |c| c.ticks),
    ("uplinks", "Uplink datagrams taken in", |c| c.uplinks),
    ("uplinks_malformed", "Uplink datagrams that could not be read", |c| c.uplinks_malformed),
    ("uplinks_excess", "Uplink datagrams beyond a session's share of a tick", |c| c.uplinks_excess),
    ("uplinks_old", "Uplink datagrams seen before or too old", |c| c.uplinks_repeated),
    ("samples_accepted", "Samples accepted", |c| c.samples_accepted),
    ("samples_rejected", "Samples rejected", |c| c.samples_rejected.iter().sum()),
    ("enters", "Entities that entered a view", |c| c.enters),
    ("leaves", "Entities that left a view", |c| c.leaves),
    ("datagrams_sent", "Snapshot datagrams written", |c| c.datagrams),
    ("datagram_bytes", "Bytes of snapshot datagrams", |c| c.datagram_bytes),
    ("codes_made", "Codes computed", |c| c.codes_made),
    ("codes_sent", "Codes appended to datagrams", |c| c.codes_sent),
    ("records_sent", "Absolute and enter records written", |c| c.records),
    ("slots_skipped", "Slots that were due and did not fit the allowance", |c| c.skipped),
    ("cues", "Cues taken in", |c| c.cues),
    ("cues_expired", "Cues that expired unacknowledged", |c| c.cues_expired),
];

/// What the Front counts, in total since the start.
#[derive(Clone, Debug, Default)]
pub struct FrontReading {
    /// Connections now, by transport.
    pub connections: BTreeMap<&'static str, u64>,
    /// Named totals.
    pub totals: BTreeMap<&'static str, u64>,
    /// Bytes that wait for clients to read.
    pub queue_bytes: u64,
    /// Connections closed, by code.
    pub closes: BTreeMap<u16, u64>,
}

/// All metrics of a server.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    tick_duration: HistogramVec,
    tick_overruns: IntCounterVec,
    tick_skipped: IntCounterVec,
    world: Vec<IntCounterVec>,
    world_sessions: IntGaugeVec,
    world_entities: IntGaugeVec,
    interest_size: IntGaugeVec,
    inbox_refused: IntCounterVec,
    batches_dropped: IntCounterVec,
    connections: IntGaugeVec,
    front: IntCounterVec,
    queue_bytes: IntGaugeVec,
    closes: IntCounterVec,
}

/// What the metrics need to know of one world.
#[derive(Debug)]
pub struct WorldReading<'a> {
    /// Its name.
    pub name: &'a str,
    /// What its room shows.
    pub room: Reading,
    /// Datagrams and commands that found its inbox full.
    pub inbox_refused: u64,
    /// Datagrams dropped because the Front lagged.
    pub batches_dropped: u64,
}

impl Metrics {
    /// All metrics, at zero; the process's own are read when asked for.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        #[cfg(target_os = "linux")]
        add(&registry, prometheus::process_collector::ProcessCollector::for_self());
        let buckets =
            HistogramOpts::new("starling_tick_duration_seconds", "CPU and wall of a tick")
                .buckets(TICK_BUCKETS.to_vec());
        let tick_duration =
            HistogramVec::new(buckets, &["world"]).expect("the name and labels are well formed");
        add(&registry, tick_duration.clone());
        Self {
            tick_duration,
            tick_overruns: counter(
                &registry,
                "starling_tick_overruns_total",
                "Late ticks",
                "world",
            ),
            tick_skipped: counter(
                &registry,
                "starling_tick_skipped_total",
                "Skipped ticks",
                "world",
            ),
            world: WORLD_COUNTERS
                .iter()
                .map(|(name, help, _)| {
                    counter(&registry, &format!("starling_world_{name}_total"), help, "world")
                })
                .collect(),
            world_sessions: gauge2(&registry, "starling_world_sessions", "Sessions", "state"),
            world_entities: gauge(&registry, "starling_world_entities", "Entities", "world"),
            interest_size: gauge(
                &registry,
                "starling_world_visible_pairs",
                "Pairs of a session and an entity in its view",
                "world",
            ),
            inbox_refused: counter(
                &registry,
                "starling_inbox_refused_total",
                "Datagrams and commands that found an inbox full",
                "world",
            ),
            batches_dropped: counter(
                &registry,
                "starling_outbox_datagrams_dropped_total",
                "Datagrams replaced by newer ones before they were sent",
                "world",
            ),
            connections: gauge(
                &registry,
                "starling_net_connections",
                "Connections by transport",
                "transport",
            ),
            front: counter(
                &registry,
                "starling_net_events_total",
                "What the Front counted",
                "event",
            ),
            queue_bytes: gauge(
                &registry,
                "starling_net_queue_bytes",
                "Bytes that wait for clients to read",
                "queue",
            ),
            closes: counter(
                &registry,
                "starling_net_closes_total",
                "Connections closed, by code",
                "code",
            ),
            registry,
        }
    }

    /// Takes in what one world shows.
    pub fn observe_world(&self, world: &WorldReading<'_>) {
        let label = &[world.name];
        let room = &world.room;
        let histogram = self.tick_duration.with_label_values(label);
        for ns in &room.durations_ns {
            histogram.observe(*ns as f64 / 1e9);
        }
        raise(&self.tick_overruns, world.name, room.overruns);
        raise(&self.tick_skipped, world.name, room.skipped);
        raise(&self.inbox_refused, world.name, world.inbox_refused);
        raise(&self.batches_dropped, world.name, world.batches_dropped);
        for (metric, (_, _, value)) in self.world.iter().zip(WORLD_COUNTERS) {
            raise(metric, world.name, value(&room.counters));
        }
        let stats = &room.stats;
        for (state, count) in [("live", stats.sessions_live), ("parked", stats.sessions_parked)] {
            self.world_sessions.with_label_values(&[world.name, state]).set(count as i64);
        }
        self.world_entities.with_label_values(label).set(stats.entities as i64);
        self.interest_size.with_label_values(label).set(stats.visible_pairs as i64);
    }

    /// Takes in what the Front shows.
    pub fn observe_front(&self, front: &FrontReading) {
        for (transport, count) in &front.connections {
            self.connections.with_label_values(&[*transport]).set(*count as i64);
        }
        for (event, total) in &front.totals {
            raise(&self.front, event, *total);
        }
        for (code, total) in &front.closes {
            raise(&self.closes, CloseCode(*code).label(), *total);
        }
        self.queue_bytes.with_label_values(&["unsent"]).set(front.queue_bytes as i64);
    }

    /// Forgets a world that ended, so that names of worlds do not pile up.
    pub fn forget_world(&self, name: &str) {
        let counters =
            [&self.tick_overruns, &self.tick_skipped, &self.inbox_refused, &self.batches_dropped];
        for metric in counters.into_iter().chain(&self.world) {
            // An absent label is what is wanted.
            drop(metric.remove_label_values(&[name]));
        }
        drop(self.tick_duration.remove_label_values(&[name]));
        drop(self.world_entities.remove_label_values(&[name]));
        drop(self.interest_size.remove_label_values(&[name]));
        for state in ["live", "parked"] {
            drop(self.world_sessions.remove_label_values(&[name, state]));
        }
    }

    /// Everything in Prometheus text format.
    #[must_use]
    pub fn text(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .expect("metrics of one kind each always encode")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn add(registry: &Registry, collector: impl Collector + 'static) {
    registry.register(Box::new(collector)).expect("each name is registered once");
}

fn counter(registry: &Registry, name: &str, help: &str, label: &str) -> IntCounterVec {
    let metric = IntCounterVec::new(Opts::new(name, help), &[label])
        .expect("the name and labels are well formed");
    add(registry, metric.clone());
    metric
}

fn gauge(registry: &Registry, name: &str, help: &str, label: &str) -> IntGaugeVec {
    let metric = IntGaugeVec::new(Opts::new(name, help), &[label])
        .expect("the name and labels are well formed");
    add(registry, metric.clone());
    metric
}

fn gauge2(registry: &Registry, name: &str, help: &str, label: &str) -> IntGaugeVec {
    let metric = IntGaugeVec::new(Opts::new(name, help), &["world", label])
        .expect("the name and labels are well formed");
    add(registry, metric.clone());
    metric
}

/// Raises a counter to a total that is known from elsewhere.
fn raise(metric: &IntCounterVec, label: &str, total: u64) {
    let counter = metric.with_label_values(&[label]);
    counter.inc_by(total.saturating_sub(counter.get()));
}
