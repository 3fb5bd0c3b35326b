//! One connection as the poller sees it: what it sends.

use super::super::ending;
use super::super::outbox::Outbox;
use super::super::share::window_share;
use super::accept::Shared;
use super::flow::Flow;
use super::inbox::Note;
use crate::{Allowance, CLOSE_LINGER_NS, ConnKey, SendError};
use bytes::{Bytes, BytesMut};
use quinn::{Connection, SendDatagramError, SendStream, WriteError};
use starling_protocol::close::CloseCode;
use starling_protocol::stream::StreamKind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

pub(super) struct Link {
    connection: Connection,
    pub(super) flow: Arc<Flow>,
    shared: Arc<Shared>,
    outbox: Outbox,
    /// Ways back, by stream, once the client has opened it.
    ways: [Option<SendStream>; StreamKind::ALL.len()],
    /// Brings a note when a full stream has room again.
    writable: Waker,
    /// Already in the poller's list of links to flush.
    pub(super) dirty: bool,
}

impl Link {
    pub(super) fn new(
        key: ConnKey,
        connection: Connection,
        flow: Arc<Flow>,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            connection,
            flow,
            shared: shared.clone(),
            outbox: Outbox::default(),
            ways: [const { None }; StreamKind::ALL.len()],
            writable: Waker::from(Arc::new(Writable { key, shared })),
            dirty: false,
        }
    }

    pub(super) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The client has opened a stream: what waits for it can go.
    pub(super) fn open(&mut self, stream: StreamKind) {
        self.ways[stream as usize] = self.flow.take_way(stream);
        self.push(stream);
    }

    pub(super) fn write(&mut self, stream: StreamKind, bytes: &[u8]) -> usize {
        self.outbox.write(stream, bytes)
    }

    /// Gives QUIC what it will take.
    pub(super) fn flush(&mut self) {
        if !self.outbox.is_empty() {
            StreamKind::ALL.into_iter().for_each(|stream| self.push(stream));
        }
    }

    fn push(&mut self, stream: StreamKind) {
        let Some(way) = &mut self.ways[stream as usize] else { return };
        let mut context = Context::from_waker(&self.writable);
        let sent = self.outbox.push(stream, |bytes| {
            match Pin::new(&mut *way).poll_write(&mut context, bytes) {
                Poll::Ready(written) => written,
                Poll::Pending => Ok(0),
            }
        });
        if let Err(WriteError::Stopped(_)) = sent {
            // The streams live as long as the connection; who stops one breaks the protocol.
            let counters = &self.shared.counters;
            self.flow.give_up(&self.connection, counters, "a stream was stopped");
        }
    }

    /// Hands a datagram over if it would not push an older one out. Streams go first, so that both
    /// share packets.
    pub(super) fn send_datagram(&mut self, payload: &[u8]) -> Result<(), SendError> {
        self.flush();
        if self.connection.datagram_send_buffer_space() < payload.len() {
            return Err(self.why_not(payload.len()));
        }
        let sent = self.connection.send_datagram(Bytes::copy_from_slice(payload));
        sent.map_err(|error| match error {
            SendDatagramError::ConnectionLost(_) => SendError::Closed,
            _ => SendError::TooLarge(self.datagram_bytes_max()),
        })
    }

    fn why_not(&self, bytes: usize) -> SendError {
        let max = self.datagram_bytes_max();
        if bytes > max { SendError::TooLarge(max) } else { SendError::Full }
    }

    fn datagram_bytes_max(&self) -> usize {
        self.connection.max_datagram_size().unwrap_or(0)
    }

    pub(super) fn allowance(&self) -> Allowance {
        let path = self.connection.stats().path;
        let space = self.connection.datagram_send_buffer_space() as u64;
        Allowance {
            datagram_bytes: window_share(path.cwnd, path.rtt).min(space) as u32,
            stream_bytes: self.outbox.space() as u32,
            rtt_us: path.rtt.as_micros().try_into().unwrap_or(u32::MAX),
        }
    }

    /// Closes once the client has all that was written, or the time to linger is over.
    pub(super) async fn linger(mut self, code: CloseCode, reason: Bytes) {
        let linger = Duration::from_nanos(CLOSE_LINGER_NS);
        let _in_time = tokio::time::timeout(linger, self.deliver()).await;
        self.connection.close(ending::to_wire(code), &reason);
    }

    async fn deliver(&mut self) {
        for stream in StreamKind::ALL {
            let rest: BytesMut = self.outbox.take(stream);
            let way = &mut self.ways[stream as usize];
            if way.is_none() && !rest.is_empty() {
                // Written before the client's own first byte on it was seen here.
                *way = Some(self.flow.way(stream).await);
            }
            let Some(way) = way else { continue };
            if way.write_all(&rest).await.is_err() || way.finish().is_err() {
                return;
            }
        }
        for way in self.ways.iter().flatten() {
            // Whatever the answer is, this stream will deliver no more.
            let _end = way.stopped().await;
        }
    }
}

struct Writable {
    key: ConnKey,
    shared: Arc<Shared>,
}

impl Wake for Writable {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.shared.inbox.push(Note::Writable { key: self.key });
    }
}
