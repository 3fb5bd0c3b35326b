//! The front's thread: polls, and sleeps until something arrives or is due.

use crate::config::Settings;
use crate::http::Board;
use crate::net::Front;
use crate::room::pool::{Clock, Pool};
use starling_protocol::units::Nanos;
use starling_transport::quic::{QuinnServer, ServerWaker};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long closed connections may take to tell their peers.
const LINGER: Duration = Duration::from_millis(1_500);

/// QUIC's figures are shown anew so often.
const STATS_EVERY_NS: u64 = Nanos::SECOND;

/// The front with all that its thread needs.
pub(super) struct Driver {
    front: Front<QuinnServer, Pool>,
    clock: Clock,
    orders: Arc<Orders>,
    drain_ms: u32,
    jitter_ms: u32,
}

/// What the thread is told, and what it tells.
pub(super) struct Orders {
    drain: AtomicBool,
    stop: AtomicBool,
    waker: ServerWaker,
    board: Arc<Board>,
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
        front: Front<QuinnServer, Pool>,
        clock: Clock,
        waker: ServerWaker,
        board: &Arc<Board>,
        settings: &Settings,
    ) -> Self {
        let orders = Arc::new(Orders {
            drain: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            waker,
            board: Arc::clone(board),
            drained: Mutex::new(false),
            changed: Condvar::new(),
        });
        let (drain_ms, jitter_ms) = (settings.drain_ms, settings.drain_jitter_ms);
        Self { front, clock, orders, drain_ms, jitter_ms }
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
        let mut draining = false;
        let mut stats_at = Nanos(0);
        while !self.orders.stop.load(Ordering::Acquire) {
            let now = self.clock.now();
            if !draining && self.orders.drain.load(Ordering::Acquire) {
                draining = true;
                self.front.drain(now, self.drain_ms, self.jitter_ms);
            }
            let more = self.front.poll(now);
            if now >= stats_at {
                stats_at = now + STATS_EVERY_NS;
                self.orders.board.set_quic(self.front.transport().stats());
            }
            if self.front.is_drained() {
                self.orders.set_drained();
            }
            if !more {
                self.sleep(now);
            }
        }
        self.front.close_all(self.clock.now());
        self.front.into_transport().shutdown(LINGER);
        drop(end);
    }

    fn sleep(&self, now: Nanos) {
        let due = self.front.next_timeout(now).since(self.clock.now());
        self.front.transport().wait(Duration::from_nanos(due));
    }
}

struct EndsWith(Arc<Orders>);

impl Drop for EndsWith {
    fn drop(&mut self) {
        self.0.set_drained();
    }
}

impl Orders {
    /// Refuse new sessions, tell everyone, let them go.
    pub(super) fn drain(&self) {
        self.board.set_draining();
        self.drain.store(true, Ordering::Release);
        self.waker.wake();
    }

    fn stop(&self) {
        self.board.set_draining();
        self.stop.store(true, Ordering::Release);
        self.waker.wake();
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
