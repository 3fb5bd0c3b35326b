//! What one connection has in the queue, and what both of its sides have to know of each other.

use super::super::config::DATAGRAM_RECEIVE_BYTES;
use super::super::ending;
use super::counters::Counters;
use quinn::{Connection, SendStream};
use starling_protocol::close::CloseCode;
use starling_protocol::stream::StreamKind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock};
use tokio::sync::Notify;

/// Stream bytes of one connection that wait for a poll; beyond them its streams are not read.
const STREAM_BYTES_MAX: usize = 64 * 1024;

/// What one connection has in the queue.
#[derive(Debug, Default)]
pub(super) struct Flow {
    datagram_bytes: AtomicUsize,
    stream_bytes: AtomicUsize,
    /// Told when stream bytes leave the queue.
    drained: Notify,
    /// The connection is over: what is left of its streams comes in without waiting.
    over: AtomicBool,
    /// The connection's statistics have been added to the totals.
    pub(super) retired: AtomicBool,
    /// Ways back that the client opened and nobody has taken yet, by stream.
    ways: Mutex<[Option<SendStream>; StreamKind::ALL.len()]>,
    /// Told when a way back is there to take.
    opened: Notify,
    /// Why this side gave the connection up.
    verdict: OnceLock<&'static str>,
}

impl Flow {
    /// Counts a datagram in, unless the connection has its share in the queue already.
    pub(super) fn admit_datagram(&self, bytes: usize) -> bool {
        let admitted = self.datagram_bytes.load(Relaxed) + bytes <= DATAGRAM_RECEIVE_BYTES;
        if admitted {
            self.datagram_bytes.fetch_add(bytes, Relaxed);
        }
        admitted
    }

    pub(super) fn release_datagram(&self, bytes: usize) {
        self.datagram_bytes.fetch_sub(bytes, Relaxed);
    }

    pub(super) fn admit_stream(&self, bytes: usize) {
        self.stream_bytes.fetch_add(bytes, Relaxed);
    }

    pub(super) fn release_stream(&self, bytes: usize) {
        let before = self.stream_bytes.fetch_sub(bytes, Relaxed);
        if before >= STREAM_BYTES_MAX && before - bytes < STREAM_BYTES_MAX {
            self.drained.notify_waiters();
        }
    }

    /// Puts a way back where its writer finds it.
    pub(super) fn offer_way(&self, stream: StreamKind, way: SendStream) {
        self.ways()[stream as usize] = Some(way);
        self.opened.notify_waiters();
    }

    pub(super) fn take_way(&self, stream: StreamKind) -> Option<SendStream> {
        self.ways()[stream as usize].take()
    }

    /// Waits until the client has opened a stream, and takes the way back.
    pub(super) async fn way(&self, stream: StreamKind) -> SendStream {
        loop {
            let opened = self.opened.notified();
            if let Some(way) = self.take_way(stream) {
                return way;
            }
            opened.await;
        }
    }

    fn ways(&self) -> MutexGuard<'_, [Option<SendStream>; StreamKind::ALL.len()]> {
        self.ways.lock().expect("nobody panics while holding the ways back")
    }

    /// Closes a connection that breaks the rules, once.
    pub(super) fn give_up(&self, connection: &Connection, counters: &Counters, why: &'static str) {
        if self.verdict.set(why).is_ok() {
            counters.protocol_errors.fetch_add(1, Relaxed);
            connection.close(ending::to_wire(CloseCode::PROTOCOL_ERROR), why.as_bytes());
        }
    }

    /// Why this side gave the connection up, if it did.
    pub(super) fn verdict(&self) -> Option<&'static str> {
        self.verdict.get().copied()
    }

    /// Lets in what is left: at most what QUIC's own windows hold.
    pub(super) fn end(&self) {
        self.over.store(true, Relaxed);
        self.drained.notify_waiters();
    }

    /// Waits until the queue has room for more of this connection's stream bytes.
    pub(super) async fn stream_room(&self) {
        loop {
            // Made before the look: what is told in between is not missed.
            let drained = self.drained.notified();
            if self.over.load(Relaxed) || self.stream_bytes.load(Relaxed) < STREAM_BYTES_MAX {
                return;
            }
            drained.await;
        }
    }
}
