//! The contract that every transport keeps, and the few types it speaks in.

use bytes::Bytes;
use starling_protocol::close::CloseCode;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::Nanos;
use std::net::SocketAddr;
use thiserror::Error;

/// How long a closed connection stays up for the sake of stream bytes under way, in nanoseconds.
pub const CLOSE_LINGER_NS: u64 = Nanos::SECOND;

/// Names one connection within its transport. Never reused while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnKey(pub u64);

/// What a connection may send now without queueing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Bytes of datagrams, from congestion window and round-trip time.
    pub datagram_bytes: u32,
    /// Bytes that the stream buffers will still take.
    pub stream_bytes: u32,
    /// Smoothed round-trip time in microseconds.
    pub rtt_us: u32,
}

/// Something that happened on a transport.
#[derive(Clone, Debug)]
pub enum Event {
    /// A connection stands: the handshake is complete.
    Connected {
        /// The new connection.
        conn: ConnKey,
        /// The peer's address at this moment; it may migrate.
        remote: SocketAddr,
    },
    /// An unreliable datagram arrived.
    Datagram {
        /// From this connection.
        conn: ConnKey,
        /// Its payload.
        payload: Bytes,
        /// When it was received.
        at: Nanos,
    },
    /// The next bytes of a stream, in order, without the kind byte.
    Stream {
        /// From this connection.
        conn: ConnKey,
        /// On this stream.
        stream: StreamKind,
        /// The bytes; message borders are not kept.
        bytes: Bytes,
        /// When they were received.
        at: Nanos,
    },
    /// The connection is gone; nothing follows. An attempt that fails ends so without having stood.
    Closed {
        /// The connection that ended.
        conn: ConnKey,
        /// The peer's code, or [`CloseCode::LOST`].
        code: CloseCode,
        /// The peer's words, cut and escaped for a log.
        reason: String,
    },
}

impl Event {
    /// The connection that this happened on.
    #[must_use]
    pub const fn conn(&self) -> ConnKey {
        match self {
            Self::Connected { conn, .. }
            | Self::Datagram { conn, .. }
            | Self::Stream { conn, .. }
            | Self::Closed { conn, .. } => *conn,
        }
    }
}

/// Why something was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// No such connection.
    #[error("the connection is closed")]
    Closed,
    /// Larger than a datagram of this connection can be.
    #[error("the datagram is larger than {0} bytes")]
    TooLarge(usize),
    /// The bounded queue towards the network is full.
    #[error("the send queue is full")]
    Full,
}

/// The contract that every transport keeps; one suite runs on all of them.
///
/// A transport is stepped: its driver calls [`Transport::poll`] with the time and drains what
/// happened. Nothing here blocks, and no QUIC type shows.
pub trait Transport {
    /// Does due work and appends at most `limit` events in order of arrival.
    ///
    /// Returns how many were appended; `limit` of them means that more may wait.
    fn poll(&mut self, now: Nanos, limit: usize, events: &mut Vec<Event>) -> usize;

    /// Hands one datagram to the network now, or not at all.
    ///
    /// # Errors
    /// [`SendError`] says why nothing was sent; before [`Event::Connected`] it is
    /// [`SendError::Full`].
    fn send_datagram(&mut self, now: Nanos, conn: ConnKey, payload: &[u8])
    -> Result<(), SendError>;

    /// Appends bytes to a stream and returns how many were taken: all, some or none.
    ///
    /// Before [`Event::Connected`] none are taken.
    ///
    /// # Errors
    /// [`SendError::Closed`] when the connection is gone.
    fn write(
        &mut self,
        now: Nanos,
        conn: ConnKey,
        stream: StreamKind,
        bytes: &[u8],
    ) -> Result<usize, SendError>;

    /// Pushes out what [`Transport::send_datagram`] and [`Transport::write`] queued.
    fn flush(&mut self, now: Nanos);

    /// What this connection may send now; `None` when it is gone.
    fn allowance(&self, conn: ConnKey) -> Option<Allowance>;

    /// Closes a connection with a documented code. The local side gets no event for it, and none
    /// of this connection from here on.
    ///
    /// What was written before still goes out, for at most [`CLOSE_LINGER_NS`]: a peer learns why
    /// it was refused before it learns that it was.
    fn close(&mut self, now: Nanos, conn: ConnKey, code: CloseCode, reason: &str);

    /// When [`Transport::poll`] has timer work, at the latest.
    fn next_timeout(&self) -> Option<Nanos>;
}
