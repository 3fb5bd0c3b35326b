//! The server on its sockets.

use super::shard::{Forward, Shard, Strays};
use crate::quic::hub::{Arrival, UdpWaker};
use crate::quic::server::{ServerError, ServerOptions, ServerStats};
use crate::quic::setup;
use crate::{Allowance, ConnKey, Event, SendError, Transport};
use starling_protocol::close::CloseCode;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::Nanos;
use std::net::SocketAddr;
use std::time::Duration;

/// A server on one socket, run by the thread that polls it.
#[derive(Debug)]
pub struct UdpServer {
    shard: Shard,
}

/// There is nobody else.
struct Alone;

impl Forward for Alone {
    fn forward(&mut self, _shard: u8, _arrival: &Arrival, _packet: &[u8]) {}

    fn take(&mut self, _strays: &mut Strays) {}
}

impl UdpServer {
    /// Binds the address.
    ///
    /// # Errors
    /// [`ServerError`] names the address when it cannot be had.
    pub fn bind(options: &ServerOptions) -> Result<Self, ServerError> {
        let secret = setup::secret(options);
        let options = ServerOptions { shards: 1, ..options.clone() };
        let shard = Shard::bind(&options, options.listen, &secret, 0)?;
        Ok(Self { shard })
    }

    /// The address that was bound.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.shard.address()
    }

    /// Sleeps until there is something to poll, [`UdpWaker::wake`] is called, or `timeout`
    /// is over. A server that found something at its last poll does not sleep: whoever polls sees
    /// to a cadence.
    pub fn wait(&mut self, timeout: Duration) {
        self.shard.wait(timeout);
    }

    /// Wakes the driver from another thread.
    #[must_use]
    pub fn waker(&self) -> UdpWaker {
        UdpWaker(self.shard.waker())
    }

    /// What was counted so far.
    #[must_use]
    pub fn stats(&self) -> ServerStats {
        self.shard.stats()
    }

    /// Waits until every connection that was closed is gone, or `patience` is over, and stops.
    ///
    /// Blocks: for a driver's thread, after it has closed its connections.
    pub fn shutdown(mut self, patience: Duration) {
        self.shard.linger(patience, &mut Alone);
        if self.shard.endpoint.connections() > 0 {
            tracing::debug!("connections were still up when the server stopped");
        }
    }
}

impl Transport for UdpServer {
    fn poll(&mut self, now: Nanos, limit: usize, events: &mut Vec<Event>) -> usize {
        self.shard.step(now, limit, &mut Alone);
        self.shard.endpoint.drain_events(limit, events)
    }

    fn send_datagram(
        &mut self,
        _now: Nanos,
        conn: ConnKey,
        payload: &[u8],
    ) -> Result<(), SendError> {
        self.shard.send_datagram(conn, payload)
    }

    fn write(
        &mut self,
        now: Nanos,
        conn: ConnKey,
        stream: StreamKind,
        bytes: &[u8],
    ) -> Result<usize, SendError> {
        self.shard.endpoint.write(now, conn, stream, bytes)
    }

    fn flush(&mut self, _now: Nanos) {
        self.shard.flush();
    }

    fn allowance(&self, conn: ConnKey) -> Option<Allowance> {
        self.shard.endpoint.allowance(conn)
    }

    fn close(&mut self, now: Nanos, conn: ConnKey, code: CloseCode, reason: &str) {
        self.shard.endpoint.close(now, conn, code, reason);
    }

    fn next_timeout(&self) -> Option<Nanos> {
        self.shard.next_timeout()
    }
}

/// Says goodbye to whoever is still there.
impl Drop for UdpServer {
    fn drop(&mut self) {
        self.shard.say_goodbye();
    }
}
