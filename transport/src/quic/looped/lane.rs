//! What passes between the thread that polls a server and the thread of one of its shards.
//!
//! ```text
//! front  -> Orders  (one lock for each flush)   -> shard
//! shard  -> Report  (one lock for each step)    -> front
//! shards -> strays  (packets of each other's connections, bounded) -> shard
//! ```
//!
//! Orders are bounded by credit: what a connection may have written and sent is what its shard last
//! reported, less what is under way. Reports are bounded by what the shard reads: with many events
//! waiting for the front it takes in nothing more.

use crate::quic::hub::Arrival;
use crate::quic::server::ServerStats;
use crate::{Allowance, ConnKey, Event};
use mio::Waker;
use starling_protocol::close::CloseCode;
use starling_protocol::stream::StreamKind;
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Duration;

/// Packets of other shards that may wait for one.
const STRAYS_MAX: usize = 1_024;

/// One thing to do for one connection; bytes lie in the orders' arena.
#[derive(Debug)]
pub(super) enum Order {
    Datagram { conn: ConnKey, bytes: Range<usize> },
    Write { conn: ConnKey, stream: StreamKind, bytes: Range<usize> },
    Close { conn: ConnKey, code: CloseCode, reason: String },
}

/// What the front wants done, in order.
#[derive(Debug, Default)]
pub(super) struct Orders {
    pub(super) arena: Vec<u8>,
    pub(super) list: Vec<Order>,
    /// Linger for so long, and end.
    pub(super) stop: Option<Duration>,
}

impl Orders {
    /// Keeps bytes for an order.
    pub(super) fn keep(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.arena.len();
        self.arena.extend_from_slice(bytes);
        start..self.arena.len()
    }

    pub(super) fn clear(&mut self) {
        self.arena.clear();
        self.list.clear();
    }

    /// Appends what came later.
    fn append(&mut self, later: &mut Self) {
        let shift = self.arena.len();
        self.arena.append(&mut later.arena);
        self.list.extend(later.list.drain(..).map(|mut order| {
            if let Order::Datagram { bytes, .. } | Order::Write { bytes, .. } = &mut order {
                *bytes = bytes.start + shift..bytes.end + shift;
            }
            order
        }));
    }
}

/// Where one connection stands, as its shard sees it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Standing {
    pub(super) allowance: Allowance,
    /// Largest datagram.
    pub(super) datagram_bytes_max: usize,
    /// Bytes of datagrams and of writes that were carried out so far.
    pub(super) datagrams_done: u64,
    pub(super) writes_done: u64,
}

/// What a shard has to say.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) events: VecDeque<Event>,
    /// The latest of each connection.
    pub(super) standings: HashMap<ConnKey, Standing>,
    /// As of a while ago; they stay.
    pub(super) stats: ServerStats,
    /// The shard's thread has ended, told to or not, and the front does not know it yet.
    pub(super) over: bool,
}

/// Both directions, and a way to wake the shard.
#[derive(Debug)]
pub(super) struct Lane {
    orders: Mutex<Orders>,
    pub(super) report: Mutex<Report>,
    strays: Mutex<Vec<(Arrival, Vec<u8>)>>,
    /// There is something in orders or strays.
    rung: AtomicBool,
    pub(super) forwards_dropped: AtomicU64,
    waker: Arc<Waker>,
    thread: OnceLock<Thread>,
}

impl Lane {
    pub(super) fn new(waker: Arc<Waker>) -> Self {
        Self {
            orders: Mutex::default(),
            report: Mutex::default(),
            strays: Mutex::default(),
            rung: AtomicBool::new(false),
            forwards_dropped: AtomicU64::new(0),
            waker,
            thread: OnceLock::new(),
        }
    }

    /// The calling thread is the shard's.
    pub(super) fn adopt(&self) {
        self.thread.get_or_init(std::thread::current);
    }

    /// Hands orders over, which are empty then.
    pub(super) fn order(&self, later: &mut Orders) {
        let mut orders = lock(&self.orders);
        if orders.list.is_empty() {
            std::mem::swap(&mut orders.list, &mut later.list);
            std::mem::swap(&mut orders.arena, &mut later.arena);
        } else {
            orders.append(later);
        }
        drop(orders);
        self.ring();
    }

    pub(super) fn stop(&self, linger: Duration) {
        lock(&self.orders).stop = Some(linger);
        self.ring();
    }

    /// Takes all orders; `emptied` takes their place.
    pub(super) fn take_orders(&self, emptied: &mut Orders) {
        self.rung.store(false, Relaxed);
        std::mem::swap(&mut *lock(&self.orders), emptied);
    }

    /// Passes a packet on to the shard of this lane, unless too many wait there.
    pub(super) fn stray(&self, arrival: &Arrival, packet: &[u8]) -> bool {
        let mut strays = lock(&self.strays);
        let room = strays.len() < STRAYS_MAX;
        if room {
            strays.push((*arrival, packet.to_vec()));
        } else {
            self.forwards_dropped.fetch_add(1, Relaxed);
        }
        drop(strays);
        self.ring();
        room
    }

    pub(super) fn take_strays(&self, emptied: &mut Vec<(Arrival, Vec<u8>)>) {
        std::mem::swap(&mut *lock(&self.strays), emptied);
    }

    /// Is there something to take?
    pub(super) fn is_rung(&self) -> bool {
        self.rung.load(Relaxed)
    }

    fn ring(&self) {
        if self.rung.swap(true, Relaxed) {
            return;
        }
        if let Err(error) = self.waker.wake() {
            tracing::debug!(%error, "a shard could not be woken");
        }
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
