//! The front's thread: polls, and sleeps until something arrives or is due.
//!
//! What arrives is taken in batches, at most one a millisecond, for a wake-up costs as much as the
//! datagram that caused it. What a room publishes is sent at once.

use super::unix_ms;
use crate::config::Settings;
use crate::http::Board;
use crate::net::Front;
use crate::room::pool::{Clock, Pool};
use crate::wall::Wall;
use starling_protocol::units::Nanos;
use starling_transport::quic::{QuicServer, QuicServerWaker};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

/// How long closed connections may take to tell their peers.
const LINGER: Duration = Duration::from_millis(1_500);

/// Told to stop at once, it completes what was accepted for so long at most.
const SETTLE_MS: u32 = 2_000;

/// Arrivals are taken in no more often than this.
const CADENCE_NS: u64 = Nanos::MILLISECOND;
/// QUIC's figures are shown anew, and the wall clock is looked at, so often.
const LOOK_EVERY_NS: u64 = Nanos::SECOND;
/// The wall clock may stray so far from the server's own before somebody should know.
const WALL_STRAY_MS: u64 = 30_000;

/// The front with all that its thread needs.
pub(super) struct Driver {
    front: Front<QuicServer, Pool>,
    clock: Clock,
    wall: Wall,
    orders: Arc<Orders>,
    board: Arc<Board>,
    drain_ms: u32,
    jitter_ms: u32,
    /// The wall clock has strayed, and the log says so.
    stray: bool,
}

/// Wakes the front's thread, whichever way it sleeps.
pub(super) struct Bell {
    /// Something waits that is not an arrival: a batch of a room, or an order.
    urgent: AtomicBool,
    waker: QuicServerWaker,
    thread: OnceLock<Thread>,
}

/// What the thread is told, and what it tells.
pub(super) struct Orders {
    drain: AtomicBool,
    stop: AtomicBool,
    bell: Arc<Bell>,
    drained: Mutex<bool>,
    changed: Condvar,
}

/// A driver on its thread.
pub(super) struct Driving {
    pub(super) orders: Arc<Orders>,
    thread: Option<JoinHandle<()>>,
    /// How long a drain may last, with what it takes to notice.
    pub(super) drain_limit: Duration,
}

impl Driver {
    pub(super) fn new(
        front: Front<QuicServer, Pool>,
        time: (Clock, Wall),
        bell: Arc<Bell>,
        board: Arc<Board>,
        settings: &Settings,
    ) -> Self {
        let orders = Arc::new(Orders {
            drain: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            bell,
            drained: Mutex::new(false),
            changed: Condvar::new(),
        });
        let (clock, wall) = time;
        let (drain_ms, jitter_ms) = (settings.drain_ms, settings.drain_jitter_ms);
        Self { front, clock, wall, orders, board, drain_ms, jitter_ms, stray: false }
    }

    pub(super) fn start(self) -> io::Result<Driving> {
        let orders = Arc::clone(&self.orders);
        let drain_limit = Duration::from_millis(self.drain_ms.into()) + Duration::from_secs(1);
        let run = move || self.run();
        let thread = std::thread::Builder::new().name("front".into()).spawn(run)?;
        Ok(Driving { orders, thread: Some(thread), drain_limit })
    }

    fn run(mut self) {
        // However the thread ends, whoever waits for it must hear of it.
        let end = EndsWith(Arc::clone(&self.orders));
        self.orders.bell.thread.get_or_init(std::thread::current);
        let mut draining = false;
        let mut look_at = Nanos(0);
        while !self.orders.stop.load(Ordering::Acquire) {
            let now = self.clock.now();
            if !draining && self.orders.drain.load(Ordering::Acquire) {
                draining = true;
                self.front.drain(now, self.drain_ms, self.jitter_ms);
            }
            let more = self.front.poll(now);
            if now >= look_at {
                look_at = now + LOOK_EVERY_NS;
                self.board.set_quic(self.front.transport().stats());
                self.look_at_wall(now);
            }
            if self.front.is_drained() {
                self.orders.set_drained();
            }
            if !more {
                self.sleep(now);
            }
        }
        self.settle();
        self.front.close_all(self.clock.now());
        self.front.into_transport().shutdown(LINGER);
        drop(end);
    }

    /// Completes what was accepted, drain or not, before connections are closed.
    fn settle(&mut self) {
        self.front.settle(self.clock.now(), SETTLE_MS);
        let until = self.clock.now() + u64::from(SETTLE_MS) * Nanos::MILLISECOND;
        while !self.front.is_drained() && self.clock.now() < until {
            let now = self.clock.now();
            if !self.front.poll(now) {
                self.sleep(now);
            }
        }
    }

    /// Sleeps until something arrives or is due, and then on until a millisecond has passed since
    /// `polled`, unless something urgent waits.
    fn sleep(&mut self, polled: Nanos) {
        let due = self.front.next_timeout(polled);
        let wait = due.since(self.clock.now());
        if wait > 0 && !self.orders.bell.urgent.load(Ordering::Acquire) {
            self.front.transport_mut().wait(Duration::from_nanos(wait));
        }
        let early = (polled + CADENCE_NS).since(self.clock.now());
        if early > 0 && !self.orders.bell.urgent.load(Ordering::Acquire) {
            std::thread::park_timeout(Duration::from_nanos(early));
        }
        self.orders.bell.urgent.store(false, Ordering::Release);
    }

    /// Tokens are judged by the time at the start and the monotonic clock since; if the wall clock
    /// was set meanwhile, somebody should know.
    fn look_at_wall(&mut self, now: Nanos) {
        let (own, wall) = (self.wall.unix_s(now) * 1_000, unix_ms());
        let stray = own.abs_diff(wall) > WALL_STRAY_MS;
        if stray && !self.stray {
            let by_s = own.abs_diff(wall) / 1_000;
            tracing::warn!(
                by_s,
                "the wall clock was set; ticks, silence and tokens go by the time before"
            );
        }
        self.board.set_wall_stray_ms(own.abs_diff(wall));
        self.stray = stray;
    }
}

struct EndsWith(Arc<Orders>);

impl Drop for EndsWith {
    fn drop(&mut self) {
        self.0.set_drained();
    }
}

impl Bell {
    pub(super) fn new(waker: QuicServerWaker) -> Self {
        Self { urgent: AtomicBool::new(false), waker, thread: OnceLock::new() }
    }

    pub(super) fn ring(&self) {
        self.urgent.store(true, Ordering::Release);
        self.waker.wake();
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

impl Orders {
    /// Refuse new sessions, tell everyone, let them go.
    pub(super) fn drain(&self) {
        self.drain.store(true, Ordering::Release);
        self.bell.ring();
    }

    fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.bell.ring();
    }

    fn set_drained(&self) {
        let mut drained = self.lock();
        if !std::mem::replace(&mut *drained, true) {
            self.changed.notify_all();
        }
    }

    /// Waits until every connection is gone, or `patience` is over. Says whether they are gone.
    pub(super) fn wait_drained(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut drained = self.lock();
        while !*drained {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.changed.wait_timeout(drained, left);
            drained = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.drained.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Driving {
    /// Has the thread ended, told to or not?
    pub(super) fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Driving {
    fn drop(&mut self) {
        self.orders.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the front's thread panicked");
        }
    }
}
