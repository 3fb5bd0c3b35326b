//! The thread of one shard.

use super::lane::{Lane, Order, Orders, Standing, lock};
use super::shard::{Forward, Shard, Strays};
use super::sharded::Bell;
use crate::quic::hub::Arrival;
use crate::quic::server::ServerStats;
use crate::{ConnKey, Event};
use starling_protocol::units::Nanos;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Arrivals are taken in no more often than this.
const CADENCE: Duration = Duration::from_millis(1);
/// Events of one shard that may wait for the front before its socket is not read any more.
const EVENTS_MAX: usize = 8_192;
/// Longest sleep.
const NAP_MAX: Duration = Duration::from_millis(100);
/// Figures are told so often: to count them is a walk over all connections.
const STATS_EVERY: Duration = Duration::from_secs(1);

/// The other shards, for packets that came to the wrong one.
struct Others {
    own: Arc<Lane>,
    lanes: Arc<[Arc<Lane>]>,
    forwarded: u64,
}

impl Forward for Others {
    fn forward(&mut self, shard: u8, arrival: &Arrival, packet: &[u8]) {
        if let Some(lane) = self.lanes.get(usize::from(shard)) {
            self.forwarded += u64::from(lane.stray(arrival, packet));
        }
    }

    fn take(&mut self, strays: &mut Strays) {
        self.own.take_strays(strays);
    }
}

/// Tells the front that a thread has ended, however it did.
pub(super) struct EndsWith {
    pub(super) lane: Arc<Lane>,
    pub(super) bell: Arc<Bell>,
}

impl Drop for EndsWith {
    fn drop(&mut self) {
        lock(&self.lane.report).over = true;
        self.bell.ring();
    }
}

/// What was carried out for one connection.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    datagrams: u64,
    writes: u64,
}

pub(super) struct Worker {
    shard: Shard,
    lane: Arc<Lane>,
    others: Others,
    bell: Arc<Bell>,
    start: Instant,
    done: HashMap<ConnKey, Done>,
    orders: Orders,
    fresh: Vec<ConnKey>,
    /// Datagrams and writes that found their connection ended.
    late: u64,
    /// When figures are told next.
    stats_at: Instant,
    stop: Option<Duration>,
}

impl Worker {
    pub(super) fn new(
        shard: Shard,
        number: u8,
        lanes: Arc<[Arc<Lane>]>,
        bell: Arc<Bell>,
        start: Instant,
    ) -> Self {
        let lane = Arc::clone(&lanes[usize::from(number)]);
        Self {
            shard,
            lane: Arc::clone(&lane),
            others: Others { own: lane, lanes, forwarded: 0 },
            bell,
            start,
            done: HashMap::new(),
            orders: Orders::default(),
            fresh: Vec::new(),
            late: 0,
            stats_at: start,
            stop: None,
        }
    }

    pub(super) fn run(mut self) {
        self.lane.adopt();
        while self.stop.is_none() {
            let looked = Instant::now();
            self.step();
            self.sleep(looked);
        }
        self.shard.linger(self.stop.unwrap_or_default(), &mut self.others);
        self.shard.say_goodbye();
    }

    fn now(&self) -> Nanos {
        Nanos(self.start.elapsed().as_nanos() as u64)
    }

    fn step(&mut self) {
        let now = self.now();
        self.carry_out(now);
        let room = EVENTS_MAX.saturating_sub(lock(&self.lane.report).events.len());
        self.shard.step(now, room, &mut self.others);
        self.report();
    }

    fn carry_out(&mut self, now: Nanos) {
        let mut orders = std::mem::take(&mut self.orders);
        self.lane.take_orders(&mut orders);
        let shard = &mut self.shard;
        for order in orders.list.drain(..) {
            match order {
                Order::Datagram { conn, .. } | Order::Write { conn, .. }
                    if shard.endpoint.allowance(conn).is_none() =>
                {
                    self.late += 1;
                }
                Order::Datagram { conn, bytes } => {
                    self.done.entry(conn).or_default().datagrams += bytes.len() as u64;
                    // One that finds no room is counted by the endpoint.
                    let _sent = shard.send_datagram(conn, &orders.arena[bytes]);
                }
                Order::Write { conn, stream, bytes } => {
                    let done = self.done.entry(conn).or_default();
                    done.writes += bytes.len() as u64;
                    let bytes = &orders.arena[bytes];
                    let taken = shard.endpoint.write(now, conn, stream, bytes);
                    debug_assert!(taken.is_err() || taken == Ok(bytes.len()), "credit is exact");
                }
                Order::Close { conn, code, reason } => {
                    self.done.remove(&conn);
                    shard.endpoint.close(now, conn, code, &reason);
                }
            }
        }
        self.stop = orders.stop.take();
        orders.clear();
        self.orders = orders;
    }

    /// Tells the front what happened, and where the connections stand to which it happened.
    fn report(&mut self) {
        let stats = self.stats_if_due();
        let endpoint = &mut self.shard.endpoint;
        endpoint.drain_fresh(&mut self.fresh);
        let mut report = lock(&self.lane.report);
        report.stats = stats.unwrap_or(report.stats);
        let before = report.events.len();
        report.events.extend(std::iter::from_fn(|| endpoint.poll_event()));
        for event in report.events.range(before..) {
            if let Event::Closed { conn, .. } = event {
                self.done.remove(conn);
            }
        }
        for conn in self.fresh.drain(..) {
            let Some(allowance) = endpoint.allowance(conn) else { continue };
            let done = self.done.get(&conn).copied().unwrap_or_default();
            let standing = Standing {
                allowance,
                datagram_bytes_max: endpoint.datagram_bytes_max(conn),
                datagrams_done: done.datagrams,
                writes_done: done.writes,
            };
            report.standings.insert(conn, standing);
        }
        let news = report.events.len() > before;
        drop(report);
        if news {
            self.bell.ring();
        }
    }

    fn stats_if_due(&mut self) -> Option<ServerStats> {
        let now = Instant::now();
        (now >= self.stats_at).then(|| {
            self.stats_at = now + STATS_EVERY;
            let (forwarded, sends_late) = (self.others.forwarded, self.late);
            ServerStats { forwarded, sends_late, ..self.shard.stats() }
        })
    }

    fn sleep(&mut self, looked: Instant) {
        let due = self
            .shard
            .next_timeout()
            .map_or(NAP_MAX, |at| Duration::from_nanos(at.since(self.now())).min(NAP_MAX));
        let early = (looked + CADENCE).saturating_duration_since(Instant::now());
        let nap = if self.shard.is_busy() { early.min(due.max(CADENCE)) } else { due };
        if !self.lane.is_rung() && !nap.is_zero() {
            self.shard.sleep(nap);
        }
    }
}
