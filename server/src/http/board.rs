//! What the listener shows, put together from what the parts of the server show of themselves.

use crate::auth::revoke::Revoker;
use crate::counters::NetCounters;
use crate::room::directory::{Entry, Worlds};
use crate::store::Desk;
use crate::telemetry::{Quoted, metrics};
use serde_json::{Value, json};
use starling_protocol::space::Space;
use starling_transport::quic::ServerStats;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// What does not change while a server runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Version of the program.
    pub version: &'static str,
    /// Cores that the machine offered at start.
    pub cores: usize,
    /// Threads that run worlds.
    pub room_threads: usize,
    /// Threads of the network.
    pub network_threads: usize,
    /// Hash of the configuration.
    pub config_hash: String,
    /// Everyone may come in.
    pub open: bool,
}

/// Everything that can be seen from outside.
#[derive(Debug)]
pub struct Board {
    /// What does not change.
    pub facts: Facts,
    /// Each Front's counters, by transport.
    pub fronts: Vec<(&'static str, Arc<NetCounters>)>,
    /// What QUIC counted, as of the last second.
    quic: Mutex<ServerStats>,
    /// The worlds.
    pub worlds: Worlds,
    /// Where revocations go; `None` where nobody takes them.
    pub revoker: Option<Arc<Revoker>>,
    /// Where rows wait for the store.
    store: Option<Arc<Desk>>,
    /// Are new sessions refused?
    draining: AtomicBool,
    /// Milliseconds between the wall clock and the server's own.
    wall_stray_ms: AtomicU64,
    /// When the server started.
    started: Instant,
}

impl Board {
    /// It shows the store, too, where there is one.
    #[must_use]
    pub fn with_store(mut self, desk: Option<Arc<Desk>>) -> Self {
        self.store = desk;
        self
    }

    /// A board of one QUIC front, freshly started.
    #[must_use]
    pub fn new(facts: Facts, counters: Arc<NetCounters>, worlds: Worlds) -> Self {
        Self {
            facts,
            fronts: vec![("quic", counters)],
            quic: Mutex::default(),
            worlds,
            revoker: None,
            store: None,
            draining: AtomicBool::new(false),
            wall_stray_ms: AtomicU64::new(0),
            started: Instant::now(),
        }
    }

    /// Are new sessions taken?
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.draining.load(Ordering::Relaxed)
    }

    /// New sessions are refused from now on.
    pub fn set_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// So far is the wall clock from the server's own.
    pub(crate) fn set_wall_stray_ms(&self, stray_ms: u64) {
        self.wall_stray_ms.store(stray_ms, Ordering::Relaxed);
    }

    /// Prometheus text.
    #[must_use]
    pub fn metrics(&self) -> String {
        let stray_ms = self.wall_stray_ms.load(Ordering::Relaxed);
        let store = self.store.as_ref().map(|desk| desk.figures());
        metrics::text(&self.fronts, &self.quic(), &self.worlds.all(), stray_ms, store.as_ref())
    }

    /// What QUIC counted, as of the last second.
    #[must_use]
    pub fn quic(&self) -> ServerStats {
        *self.quic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows what QUIC counted.
    pub fn set_quic(&self, stats: ServerStats) {
        *self.quic.lock().unwrap_or_else(PoisonError::into_inner) = stats;
    }

    /// A look inside.
    #[must_use]
    pub fn debug(&self) -> Value {
        let worlds: Vec<_> = self.worlds.all().iter().map(|(name, e)| world(name, e)).collect();
        let fronts: Vec<_> = self.fronts.iter().map(|(name, f)| front(name, f)).collect();
        json!({
            "version": self.facts.version,
            "uptime_s": self.started.elapsed().as_secs(),
            "ready": self.is_ready(),
            "open": self.facts.open,
            "config_hash": self.facts.config_hash,
            "threads": {
                "cores": self.facts.cores,
                "rooms": self.facts.room_threads,
                "network": self.facts.network_threads,
            },
            "fronts": fronts,
            "worlds": worlds,
        })
    }
}

fn front(transport: &str, counters: &NetCounters) -> Value {
    let numbers = |pairs: &mut dyn Iterator<Item = (&'static str, u64)>| -> Value {
        pairs.map(|(name, value)| (name.to_owned(), json!(value))).collect()
    };
    let shown = |(_, count): &(&str, u64)| *count > 0;
    json!({
        "transport": transport,
        "now": numbers(&mut counters.gauges.iter().map(|(name, _, value)| (name, value))),
        "totals": numbers(&mut counters.totals.iter().map(|(name, _, value)| (name, value))),
        "closed": numbers(&mut counters.closes.iter().filter(shown)),
        "ended": numbers(&mut counters.ends.iter().filter(shown)),
    })
}

fn world(name: &str, entry: &Entry) -> Value {
    let reading = entry.gauge.read();
    let backlog = entry.mailbox.backlog();
    let ticks = reading.durations.count().max(1);
    json!({
        "name": Quoted(name).to_string(),
        "listed": entry.listed,
        "space": match entry.space { Space::Metric => "metric", Space::Geodetic => "geodetic" },
        "tick_hz": entry.tick_rate.hz(),
        "tick": reading.tick.0,
        "connections": entry.connections,
        "sessions": {
            "live": reading.stats.sessions_live,
            "parked": reading.stats.sessions_parked,
        },
        "entities": reading.stats.entities,
        "zones": reading.stats.zones,
        "visible_pairs": reading.stats.visible_pairs,
        "channels": reading.stats.channels,
        "tick_us": {
            "mean": reading.durations.sum_ns / ticks / 1_000,
            "max": reading.durations.max_ns / 1_000,
        },
        "overruns": reading.overruns,
        "skipped": reading.skipped,
        "queue": { "commands": backlog.commands, "bytes": backlog.bytes },
    })
}
