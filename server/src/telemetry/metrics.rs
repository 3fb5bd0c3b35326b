//! The numbers of `/metrics`.
//!
//! Names are `starling_<subsystem>_<thing>_<unit>[_total]`. Labels are worlds of the
//! configuration, transports and close codes: worlds that strangers made are shown together, as
//! `auto`, so that a label is never text of a client and their number is bounded.

use super::exposition::{Exposition, Type};
use super::process::Process;
use super::stored;
use crate::counters::NetCounters;
use crate::exchange::Backlog;
use crate::room::directory::Entry;
use crate::room::gauge::Histogram;
use crate::store::Figures;
use starling_transport::quic::ServerStats;
use starling_world::Stats;
use starling_world::counters::Counters;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The label of all worlds that were made by a Hello.
const AUTO: &str = "auto";

/// Name, meaning and value of what a world counts.
type Counted = (&'static str, &'static str, fn(&Counters) -> u64);

const COUNTED: &[Counted] = &[
    ("ticks", "Ticks run.", |c| c.ticks),
    ("uplinks", "Uplink datagrams taken in.", |c| c.uplinks),
    ("uplinks_malformed", "Uplink datagrams that could not be read.", |c| c.uplinks_malformed),
    ("uplinks_excess", "Uplink datagrams beyond a session's share of a tick.", |c| {
        c.uplinks_excess
    }),
    ("uplinks_old", "Uplink datagrams seen before or too old.", |c| c.uplinks_repeated),
    ("uplinks_unknown", "Uplink datagrams without a session.", |c| c.uplinks_unknown),
    ("samples_accepted", "Samples accepted.", |c| c.samples_accepted),
    ("samples_old", "Samples older than one already taken.", |c| c.samples_old),
    ("samples_rejected", "Samples rejected.", |c| c.samples_rejected.iter().sum()),
    ("zone_handovers", "Entities that crossed from one zone into another.", |c| c.zone_handovers),
    ("enters", "Entities that entered a view.", |c| c.enters),
    ("leaves", "Entities that left a view.", |c| c.leaves),
    ("datagrams_sent", "Snapshot datagrams written.", |c| c.datagrams),
    ("datagram_bytes", "Bytes of snapshot datagrams written.", |c| c.datagram_bytes),
    ("heartbeats", "Datagrams that said only that the world is alive.", |c| c.heartbeats),
    ("codes_made", "Codes computed.", |c| c.codes_made),
    ("codes_sent", "Codes appended to datagrams.", |c| c.codes_sent),
    ("records_sent", "Absolute and enter records written.", |c| c.records),
    ("slots_skipped", "Slots that were due and did not fit the allowance.", |c| c.skipped),
    ("slots_deferred", "Slots that were due and waited for the turn of their ring.", |c| {
        c.deferred
    }),
    ("cues", "Cues taken in.", |c| c.cues),
    ("cues_repeated", "Cues seen before or too old.", |c| c.cues_repeated),
    ("cues_refused", "Cues refused.", |c| c.cues_refused),
    ("cues_expired", "Cues that expired unacknowledged.", |c| c.cues_expired),
    ("sessions_opened", "Sessions that began.", |c| c.sessions_opened),
    ("sessions_parked", "Sessions that lost their connection.", |c| c.sessions_parked),
    ("sessions_gone", "Sessions that ended.", |c| c.sessions_gone),
    ("attaches_refused", "Sessions that were refused.", |c| c.attaches_refused.values().sum()),
    ("requests_refused", "Requests that were refused.", |c| c.requests_refused.values().sum()),
    ("subscriptions", "Subscriptions that began.", |c| c.subscriptions),
    ("subscriptions_denied", "Subscriptions that were denied.", |c| {
        c.subscriptions_denied.values().sum()
    }),
    ("events_accepted", "Events accepted.", |c| c.events_accepted),
    ("events_repeated", "Events published again and recognised.", |c| c.events_repeated),
    ("events_refused", "Events refused.", |c| c.events_refused.values().sum()),
    ("events_delivered", "Events written to subscribers.", |c| c.events_delivered),
    ("events_missed", "Events that were gone when a subscriber came for them.", |c| {
        c.events_missed
    }),
    ("events_committed", "Events of durable channels that came to stable storage.", |c| {
        c.events_committed
    }),
    ("events_expired", "Events of durable channels that are kept no longer.", |c| c.events_expired),
    ("events_erased", "Events that were erased with everything of their subject.", |c| {
        c.events_erased
    }),
    ("erasures", "Subjects whose events were erased.", |c| c.erasures),
    ("state_ended", "Values of keys whose time was over.", |c| c.state_ended),
    ("leases_untold", "Leases that were not told because too many waited.", |c| c.leases_untold),
    ("events_read", "Events read from the store.", |c| c.events_read),
    ("store_changes", "Changes handed to the store.", |c| c.store_changes),
    ("store_queries", "Questions to the store.", |c| c.store_queries),
    ("channels_damaged", "Channels that stopped because their rows are damaged.", |c| {
        c.channels_damaged
    }),
    ("welcomes_unkept", "Welcomes told before their session was on stable storage.", |c| {
        c.welcomes_unkept
    }),
    ("shed_steps", "Steps up and down the ladder of load shedding.", |c| c.shed_steps),
    ("shed_refusals", "What was refused because of load shedding.", |c| c.shed_refusals),
    ("inputs_taken", "Numbered inputs taken in.", |c| c.inputs_taken),
    ("inputs_refused", "Numbered inputs refused.", |c| c.inputs_refused),
];

/// What became of requests to resume.
const RESUMES: &[(&str, fn(&Counters) -> u64)] = &[
    ("resumed", |c| c.resumes_resumed),
    ("reset", |c| c.resumes_reset),
    ("denied", |c| c.resumes_denied),
];

/// Name, meaning and value of what a world holds.
type Held = (&'static str, &'static str, fn(&Stats) -> u64);

const HELD: &[Held] = &[
    ("entities", "Entities.", |s| s.entities as u64),
    ("zones", "Zones that the entities are in.", |s| s.zones as u64),
    ("visible_pairs", "Pairs of a session and an entity in its view.", |s| s.visible_pairs as u64),
    ("channels", "Channels.", |s| s.channels as u64),
    ("events_pending", "Events on their way to the disk.", |s| s.events_pending as u64),
    ("shed_step", "Steps of load shedding, of all worlds under the label.", |s| {
        u64::from(s.shed_step)
    }),
    ("reads_under_way", "Questions that the store has not answered.", |s| s.reads_under_way as u64),
];

/// Name, meaning and value of what QUIC counts.
type Quic = (&'static str, &'static str, fn(&ServerStats) -> u64);

const QUIC: &[Quic] = &[
    ("handshakes", "Handshakes completed.", |q| q.accepted),
    ("handshakes_refused", "Attempts refused because the server was full.", |q| q.refused),
    ("handshakes_ignored", "Attempts without an answer because too many were under way.", |q| {
        q.ignored
    }),
    ("handshakes_retried", "Attempts that had to prove their address first.", |q| q.retried),
    ("handshakes_failed", "Handshakes that failed or took too long.", |q| q.handshakes_failed),
    ("datagrams_dropped", "Uplink datagrams dropped because nobody polled.", |q| {
        q.datagrams_dropped
    }),
    ("datagrams_full", "Datagrams that found no room with their connection.", |q| q.datagrams_full),
    ("protocol_errors", "Connections closed for breaking the rules of streams.", |q| {
        q.protocol_errors
    }),
    ("udp_received_bytes", "UDP payload received.", |q| q.udp_bytes_in),
    ("udp_sent_bytes", "UDP payload sent.", |q| q.udp_bytes_out),
    ("udp_received_packets", "UDP packets received.", |q| q.udp_packets_in),
    ("udp_sent_packets", "UDP packets sent.", |q| q.udp_packets_out),
    ("lost_packets", "Packets that QUIC declared lost.", |q| q.packets_lost),
    ("socket_full", "Times that a socket took no more for now.", |q| q.socket_full),
    ("socket_errors", "Packets that a socket failed to send.", |q| q.socket_errors),
    ("forwarded_packets", "Packets passed on to the shard that has their connection.", |q| {
        q.forwarded
    }),
    ("forwards_dropped", "Packets for a shard that was behind.", |q| q.forwards_dropped),
    ("sends_late", "Sends whose connection had ended meanwhile.", |q| q.sends_late),
];

/// Everything in Prometheus text: the Fronts by transport, QUIC, the worlds, the process.
#[must_use]
pub fn text(
    fronts: &[(&'static str, Arc<NetCounters>)],
    quic: &ServerStats,
    worlds: &[(String, Entry)],
    wall_stray_ms: u64,
    store: Option<&Figures>,
) -> String {
    let mut text = Exposition::default();
    write_fronts(&mut text, fronts);
    for (name, help, value) in QUIC {
        text.single(&format!("starling_quic_{name}_total"), help, Type::Counter, value(quic));
    }
    text.single("starling_quic_handshaking", "Handshakes now.", Type::Gauge, quic.handshaking);
    write_worlds(&mut text, &by_label(worlds));
    if let Some(figures) = store {
        stored::write(&mut text, figures);
    }
    let stray =
        ("starling_wall_stray_seconds", "How far the wall clock was set from the time since.");
    text.single(stray.0, stray.1, Type::Gauge, wall_stray_ms as f64 / 1_000.0);
    write_process(&mut text);
    text.finish()
}

fn write_fronts(text: &mut Exposition, fronts: &[(&'static str, Arc<NetCounters>)]) {
    let Some((_, first)) = fronts.first() else { return };
    for (place, (name, help, _)) in first.totals.iter().enumerate() {
        let name = format!("starling_net_{name}_total");
        text.metric(&name, help, Type::Counter);
        for (transport, front) in fronts {
            let value = front.totals.iter().nth(place).map_or(0, |(_, _, value)| value);
            text.sample(&name, &[("transport", transport)], value);
        }
    }
    for (place, (name, help, _)) in first.gauges.iter().enumerate() {
        let name = format!("starling_net_{name}");
        text.metric(&name, help, Type::Gauge);
        for (transport, front) in fronts {
            let value = front.gauges.iter().nth(place).map_or(0, |(_, _, value)| value);
            text.sample(&name, &[("transport", transport)], value);
        }
    }
    let name = "starling_net_closes_total";
    text.metric(name, "Connections that ended, by code and by who ended them.", Type::Counter);
    for (transport, front) in fronts {
        for (by, closes) in [("server", &front.closes), ("client", &front.ends)] {
            for (code, count) in closes.iter().filter(|(_, count)| *count > 0) {
                text.sample(name, &[("transport", transport), ("by", by), ("code", code)], count);
            }
        }
    }
}

/// What is shown under one label: one listed world, or all that strangers made.
#[derive(Default)]
struct Shown {
    durations: Histogram,
    lateness: Histogram,
    overruns: u64,
    skipped: u64,
    held: u64,
    counted: Vec<u64>,
    holds: Vec<u64>,
    resumes: Vec<u64>,
    live: u64,
    parked: u64,
    backlog: Backlog,
}

impl Shown {
    fn add(&mut self, entry: &Entry) {
        let reading = entry.gauge.read();
        let backlog = entry.mailbox.backlog();
        self.durations.merge(&reading.durations);
        self.lateness.merge(&reading.lateness);
        self.overruns += reading.overruns;
        self.skipped += reading.skipped;
        self.held += reading.held;
        add(&mut self.counted, COUNTED.iter().map(|(_, _, value)| value(&reading.counters)));
        add(&mut self.holds, HELD.iter().map(|(_, _, value)| value(&reading.stats)));
        add(&mut self.resumes, RESUMES.iter().map(|(_, value)| value(&reading.counters)));
        self.live += reading.stats.sessions_live as u64;
        self.parked += reading.stats.sessions_parked as u64;
        self.backlog.refused += backlog.refused;
        self.backlog.datagrams_dropped += backlog.datagrams_dropped;
        self.backlog.commands += backlog.commands;
        self.backlog.bytes += backlog.bytes;
    }
}

fn add(sums: &mut Vec<u64>, values: impl ExactSizeIterator<Item = u64>) {
    sums.resize(values.len(), 0);
    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
}

fn by_label(worlds: &[(String, Entry)]) -> ByLabel<'_> {
    let mut shown = ByLabel::new();
    for (name, entry) in worlds {
        let label = if entry.listed { name.as_str() } else { AUTO };
        shown.entry(label).or_default().add(entry);
    }
    shown
}

type ByLabel<'a> = BTreeMap<&'a str, Shown>;

fn write_worlds(text: &mut Exposition, worlds: &ByLabel<'_>) {
    write_ticks(text, worlds);
    for (name, help, value) in QUEUES {
        each(text, worlds, name, help, Type::Counter, value);
    }
    let waiting = "Bytes between Front and rooms, both ways.";
    each(text, worlds, "starling_room_queue_bytes", waiting, Type::Gauge, |s| {
        s.backlog.bytes as u64
    });
    for (place, (name, help, _)) in COUNTED.iter().enumerate() {
        let name = format!("starling_world_{name}_total");
        each(text, worlds, &name, help, Type::Counter, |s| s.counted[place]);
    }
    for (place, (name, help, _)) in HELD.iter().enumerate() {
        let name = format!("starling_world_{name}");
        each(text, worlds, &name, help, Type::Gauge, |s| s.holds[place]);
    }
    write_sessions(text, worlds);
}

/// One sample for each world.
fn each(
    text: &mut Exposition,
    worlds: &ByLabel<'_>,
    name: &str,
    help: &str,
    ty: Type,
    value: impl Fn(&Shown) -> u64,
) {
    text.metric(name, help, ty);
    for (world, shown) in worlds {
        text.sample(name, &[("world", world)], value(shown));
    }
}

/// Name, meaning and value of what lateness and full queues cost.
type Queued = (&'static str, &'static str, fn(&Shown) -> u64);

const QUEUES: &[Queued] = &[
    ("starling_tick_overruns_total", "Ticks that began after the next one was due.", |s| {
        s.overruns
    }),
    ("starling_tick_skipped_total", "Ticks that were skipped.", |s| s.skipped),
    ("starling_tick_held_total", "Pauses because the Front was behind.", |s| s.held),
    ("starling_inbox_refused_total", "Messages and datagrams that found an inbox full.", |s| {
        s.backlog.refused
    }),
    (
        "starling_outbox_datagrams_dropped_total",
        "Datagrams replaced by newer ones before they were sent.",
        |s| s.backlog.datagrams_dropped,
    ),
];

fn write_ticks(text: &mut Exposition, worlds: &ByLabel<'_>) {
    let name = "starling_tick_duration_seconds";
    text.metric(name, "How long ticks took.", Type::Histogram);
    worlds.iter().for_each(|(world, s)| text.histogram(name, ("world", world), &s.durations));
    let name = "starling_tick_lateness_seconds";
    text.metric(name, "How long after their deadlines ticks began.", Type::Histogram);
    worlds.iter().for_each(|(world, s)| text.histogram(name, ("world", world), &s.lateness));
    let name = "starling_tick_duration_max_seconds";
    text.metric(name, "The longest tick since the start.", Type::Gauge);
    for (world, shown) in worlds {
        text.sample(name, &[("world", world)], shown.durations.max_ns as f64 / 1e9);
    }
}

fn write_sessions(text: &mut Exposition, worlds: &ByLabel<'_>) {
    let name = "starling_world_resumes_total";
    text.metric(name, "Requests to resume, by what became of them.", Type::Counter);
    for (world, shown) in worlds {
        for (place, (outcome, _)) in RESUMES.iter().enumerate() {
            let labels = [("world", *world), ("outcome", *outcome)];
            text.sample(name, &labels, shown.resumes[place]);
        }
    }
    let name = "starling_world_sessions";
    text.metric(name, "Sessions by state.", Type::Gauge);
    for (world, shown) in worlds {
        text.sample(name, &[("world", world), ("state", "live")], shown.live);
        text.sample(name, &[("world", world), ("state", "parked")], shown.parked);
    }
}

fn write_process(text: &mut Exposition) {
    let Some(process) = Process::read() else { return };
    let counter = ("process_cpu_seconds_total", "CPU time, user and system.");
    text.single(counter.0, counter.1, Type::Counter, process.cpu_seconds);
    for (name, help, value) in [
        ("process_resident_memory_bytes", "Memory in RAM.", process.resident_bytes),
        ("process_virtual_memory_bytes", "Address space.", process.virtual_bytes),
        ("process_threads", "Threads.", process.threads),
        ("process_open_fds", "Open file descriptors.", process.open_fds),
        ("process_max_fds", "Most file descriptors that may be open.", process.max_fds),
    ] {
        text.single(name, help, Type::Gauge, value);
    }
    let start = ("process_start_time_seconds", "Unix time of the start.");
    text.single(start.0, start.1, Type::Gauge, process.start_seconds);
}
