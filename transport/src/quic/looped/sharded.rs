//! A server of several shards: threads with sockets of their own on one address.
//!
//! The kernel spreads clients over the sockets by their addresses. A client that moves may come to
//! another socket; its connection ids name its shard, and the packet is passed on.

use super::lane::{Lane, Order, Orders, Report, Standing, lock};
use super::shard::Shard;
use super::worker::{EndsWith, Worker};
use crate::quic::server::{ServerError, ServerOptions, ServerStats};
use crate::quic::setup;
use crate::quic::{ServerEndpoint, outbox::OUTBOX_BYTES};
use crate::{Allowance, ConnKey, Event, SendError, Transport};
use starling_protocol::close::CloseCode;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::Nanos;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Wakes whoever polls the server.
#[derive(Debug, Default)]
pub(super) struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
}

impl Bell {
    pub(super) fn ring(&self) {
        *lock(&self.rung) = true;
        self.heard.notify_one();
    }

    fn wait(&self, timeout: Duration) {
        let rung = lock(&self.rung);
        let waited = self.heard.wait_timeout_while(rung, timeout, |rung| !*rung);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

/// What the front knows of one connection, and what it has asked for.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    standing: Standing,
    datagrams: u64,
    writes: u64,
}

impl Account {
    /// Bytes that streams will take, less those under way.
    fn stream_space(&self) -> usize {
        let under_way = (self.writes - self.standing.writes_done) as usize;
        (self.standing.allowance.stream_bytes as usize).saturating_sub(under_way)
    }

    fn datagram_space(&self) -> usize {
        let under_way = (self.datagrams - self.standing.datagrams_done) as usize;
        (self.standing.allowance.datagram_bytes as usize).saturating_sub(under_way)
    }
}

/// A server on several sockets, each with a thread.
#[derive(Debug)]
pub struct ShardedServer {
    address: SocketAddr,
    lanes: Arc<[Arc<Lane>]>,
    threads: Vec<JoinHandle<()>>,
    bell: Arc<Bell>,
    start: Instant,
    accounts: HashMap<ConnKey, Account>,
    /// What was asked for since the last flush, by shard.
    orders: Vec<Orders>,
    /// The shard that is heard first.
    first: usize,
    /// Shards have more to say than the last poll took.
    more: bool,
    /// Datagrams for which a connection had no room.
    datagrams_full: u64,
}

impl ShardedServer {
    /// Binds the address and starts a thread for each shard.
    ///
    /// # Errors
    /// [`ServerError`] names the address when it cannot be had.
    pub fn bind(options: &ServerOptions) -> Result<Self, ServerError> {
        let (secret, population) = (setup::secret(options), Arc::new(AtomicUsize::new(0)));
        let (mut shards, mut address) = (Vec::new(), options.listen);
        for number in 0..options.shards.max(1) {
            let mut shard = Shard::bind(options, address, &secret, number)?;
            address = shard.address();
            shard.endpoint.share_population(Arc::clone(&population));
            shard.endpoint.keep_fresh();
            shards.push(shard);
        }
        let lanes: Arc<[_]> =
            shards.iter().map(|shard| Arc::new(Lane::new(shard.waker()))).collect();
        let (bell, start) = (Arc::new(Bell::default()), Instant::now());
        let mut server = Self {
            address,
            orders: lanes.iter().map(|_| Orders::default()).collect(),
            lanes: Arc::clone(&lanes),
            threads: Vec::new(),
            bell: Arc::clone(&bell),
            start,
            accounts: HashMap::new(),
            first: 0,
            more: false,
            datagrams_full: 0,
        };
        for (shard, number) in shards.into_iter().zip(0_u8..) {
            let worker = Worker::new(shard, number, Arc::clone(&lanes), Arc::clone(&bell), start);
            let thread = std::thread::Builder::new().name(format!("shard {number}"));
            let lane = Arc::clone(&lanes[usize::from(number)]);
            let end = EndsWith { lane, bell: Arc::clone(&bell) };
            let run = move || {
                let _end = end;
                worker.run();
            };
            let thread = thread.spawn(run).map_err(ServerError::Threads)?;
            server.threads.push(thread);
        }
        Ok(server)
    }

    /// The address that was bound.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Sleeps until there is something to poll, [`ShardedServerWaker::wake`] is called, or
    /// `timeout` is over.
    pub fn wait(&mut self, timeout: Duration) {
        if !self.more {
            self.bell.wait(timeout);
        }
    }

    /// Wakes the driver from another thread.
    #[must_use]
    pub fn waker(&self) -> ShardedServerWaker {
        ShardedServerWaker(Arc::clone(&self.bell))
    }

    /// What was counted so far, by all shards: each tells its figures once a second.
    #[must_use]
    pub fn stats(&self) -> ServerStats {
        let datagrams_full = self.datagrams_full;
        let mut sum = ServerStats { datagrams_full, ..ServerStats::default() };
        for lane in self.lanes.iter() {
            sum.add_all(&lock(&lane.report).stats);
            sum.forwards_dropped += lane.forwards_dropped.load(Relaxed);
        }
        sum
    }

    /// Waits until every connection that was closed is gone, or `patience` is over, and stops.
    pub fn shutdown(mut self, patience: Duration) {
        self.hand_over();
        self.stop(patience);
    }

    fn stop(&mut self, linger: Duration) {
        self.lanes.iter().for_each(|lane| lane.stop(linger));
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a shard's thread panicked");
            }
        }
    }

    /// Takes in what the shards have to say until `events` holds `full` of them: the rest stays with
    /// the shards, which stop reading when it is much. Times become the driver's.
    fn collect(&mut self, now: Nanos, full: usize, events: &mut Vec<Event>) {
        let own = self.start.elapsed().as_nanos() as u64;
        let driver = |at: Nanos| Nanos(now.0.saturating_sub(own.saturating_sub(at.0)));
        let Self { lanes, accounts, first, more, .. } = self;
        // None of them is always last.
        *first = (*first + 1) % lanes.len();
        *more = false;
        for shard in (*first..lanes.len()).chain(0..*first) {
            let mut report = lock(&lanes[shard].report);
            if report.over && report.events.is_empty() {
                bury(shard, accounts, &mut report);
            }
            while events.len() < full
                && let Some(mut event) = report.events.pop_front()
            {
                if let Event::Datagram { at, .. } | Event::Stream { at, .. } = &mut event {
                    *at = driver(*at);
                }
                if is_news(accounts, &event) {
                    events.push(event);
                }
            }
            *more |= !report.events.is_empty() || report.over;
            settle(accounts, &mut report);
        }
    }

    /// Gives each shard what was asked for.
    fn hand_over(&mut self) {
        for (lane, orders) in self.lanes.iter().zip(&mut self.orders) {
            if !orders.list.is_empty() {
                lane.order(orders);
                orders.clear();
            }
        }
    }

    fn orders_for(&mut self, conn: ConnKey) -> Option<&mut Orders> {
        self.orders.get_mut(usize::from(ServerEndpoint::shard_of_key(conn)))
    }
}

/// A shard's thread has ended and nobody told it to: what it had is lost, and the other shards go on
/// with whoever comes.
fn bury(shard: usize, accounts: &HashMap<ConnKey, Account>, report: &mut Report) {
    tracing::error!(shard, "a shard broke down");
    report.over = false;
    (report.stats.open, report.stats.handshaking) = (0, 0);
    let of = |conn: ConnKey| usize::from(ServerEndpoint::shard_of_key(conn));
    let lost = accounts.keys().filter(|&&conn| of(conn) == shard).map(|&conn| Event::Closed {
        conn,
        code: CloseCode::LOST,
        reason: "the shard that had it broke down".to_owned(),
    });
    report.events.extend(lost);
}

/// Opens and closes accounts. What happened on a connection that the front has closed is no news.
fn is_news(accounts: &mut HashMap<ConnKey, Account>, event: &Event) -> bool {
    match event {
        Event::Connected { conn, .. } => {
            accounts.insert(*conn, Account::default());
            true
        }
        Event::Closed { conn, .. } => accounts.remove(conn).is_some(),
        Event::Datagram { conn, .. } | Event::Stream { conn, .. } => accounts.contains_key(conn),
    }
}

/// Takes over where connections stand. One that nobody has heard of may be among the events that
/// are left, and what is known of it waits with them.
fn settle(accounts: &mut HashMap<ConnKey, Account>, report: &mut Report) {
    let waiting = !report.events.is_empty();
    report.standings.retain(|conn, standing| match accounts.get_mut(conn) {
        Some(account) => {
            account.standing = *standing;
            false
        }
        None => waiting,
    });
}

impl Transport for ShardedServer {
    fn poll(&mut self, now: Nanos, limit: usize, events: &mut Vec<Event>) -> usize {
        self.hand_over();
        let before = events.len();
        self.collect(now, before.saturating_add(limit), events);
        events.len() - before
    }

    fn send_datagram(
        &mut self,
        _now: Nanos,
        conn: ConnKey,
        payload: &[u8],
    ) -> Result<(), SendError> {
        let account = self.accounts.get_mut(&conn).ok_or(SendError::Closed)?;
        let max = account.standing.datagram_bytes_max;
        if max > 0 && payload.len() > max {
            return Err(SendError::TooLarge(max));
        }
        if payload.len() > account.datagram_space() {
            self.datagrams_full += 1;
            return Err(SendError::Full);
        }
        account.datagrams += payload.len() as u64;
        let orders = self.orders_for(conn).ok_or(SendError::Closed)?;
        let bytes = orders.keep(payload);
        orders.list.push(Order::Datagram { conn, bytes });
        Ok(())
    }

    fn write(
        &mut self,
        _now: Nanos,
        conn: ConnKey,
        stream: StreamKind,
        bytes: &[u8],
    ) -> Result<usize, SendError> {
        let account = self.accounts.get_mut(&conn).ok_or(SendError::Closed)?;
        let taken = bytes.len().min(account.stream_space()).min(OUTBOX_BYTES);
        if taken > 0 {
            account.writes += taken as u64;
            let orders = self.orders_for(conn).ok_or(SendError::Closed)?;
            let bytes = orders.keep(&bytes[..taken]);
            orders.list.push(Order::Write { conn, stream, bytes });
        }
        Ok(taken)
    }

    fn flush(&mut self, _now: Nanos) {
        self.hand_over();
    }

    fn allowance(&self, conn: ConnKey) -> Option<Allowance> {
        let account = self.accounts.get(&conn)?;
        Some(Allowance {
            datagram_bytes: account.datagram_space() as u32,
            stream_bytes: account.stream_space() as u32,
            rtt_us: account.standing.allowance.rtt_us,
        })
    }

    fn close(&mut self, _now: Nanos, conn: ConnKey, code: CloseCode, reason: &str) {
        if self.accounts.remove(&conn).is_some() {
            if let Some(orders) = self.orders_for(conn) {
                orders.list.push(Order::Close { conn, code, reason: reason.to_owned() });
            }
            self.hand_over();
        }
    }

    /// The shards keep their own timers.
    fn next_timeout(&self) -> Option<Nanos> {
        self.more.then_some(Nanos(0))
    }
}

/// Says goodbye to whoever is still there.
impl Drop for ShardedServer {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

/// Wakes a driver that sleeps in [`ShardedServer::wait`].
#[derive(Clone, Debug)]
pub struct ShardedServerWaker(Arc<Bell>);

impl ShardedServerWaker {
    /// Ends the current wait, or the next one.
    pub fn wake(&self) {
        self.0.ring();
    }
}

#[cfg(test)]
mod tests;
