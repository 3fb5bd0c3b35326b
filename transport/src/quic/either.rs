//! A server on whichever of the two loops was chosen.

use super::hub::UdpWaker;
use super::looped::{ShardedServer, ShardedServerWaker, UdpServer};
use super::server::{QuinnServer, ServerError, ServerOptions, ServerStats, ServerWaker};
use crate::{Allowance, ConnKey, Event, SendError, Transport};
use starling_protocol::close::CloseCode;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::Nanos;
use std::net::SocketAddr;
use std::time::Duration;

/// Who does a server's input and output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Io {
    /// Our own loop: half the processor time.
    #[default]
    Loop,
    /// quinn's tasks on a runtime.
    Quinn,
}

/// A QUIC server.
#[derive(Debug)]
pub enum QuicServer {
    /// On our own loop, run by the thread that polls.
    Loop(Box<UdpServer>),
    /// On our own loop, on threads of its own.
    Shards(Box<ShardedServer>),
    /// On quinn.
    Quinn(Box<QuinnServer>),
}

/// Does the same with either server.
macro_rules! either {
    ($self:expr, $server:ident => $call:expr) => {
        match $self {
            QuicServer::Loop($server) => $call,
            QuicServer::Shards($server) => $call,
            QuicServer::Quinn($server) => $call,
        }
    };
}

impl QuicServer {
    /// Binds the address and begins to accept.
    ///
    /// # Errors
    /// [`ServerError`] names the address when it cannot be had.
    pub fn bind(io: Io, options: &ServerOptions) -> Result<Self, ServerError> {
        match io {
            Io::Loop if options.shards > 1 => {
                ShardedServer::bind(options).map(|server| Self::Shards(Box::new(server)))
            }
            Io::Loop => UdpServer::bind(options).map(|server| Self::Loop(Box::new(server))),
            Io::Quinn => QuinnServer::bind(options).map(|server| Self::Quinn(Box::new(server))),
        }
    }

    /// The address that was bound.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        either!(self, server => server.local_addr())
    }

    /// Sleeps until there may be something to poll, [`QuicServerWaker::wake`] is called, or
    /// `timeout` is over. It may not sleep at all: whoever polls sees to a cadence.
    pub fn wait(&mut self, timeout: Duration) {
        either!(self, server => server.wait(timeout));
    }

    /// Wakes the driver from another thread.
    #[must_use]
    pub fn waker(&self) -> QuicServerWaker {
        match self {
            Self::Loop(server) => QuicServerWaker::Loop(server.waker()),
            Self::Shards(server) => QuicServerWaker::Shards(server.waker()),
            Self::Quinn(server) => QuicServerWaker::Quinn(server.waker()),
        }
    }

    /// What was counted so far.
    #[must_use]
    pub fn stats(&self) -> ServerStats {
        either!(self, server => server.stats())
    }

    /// Waits until every connection that was closed is gone, or `patience` is over, and stops.
    pub fn shutdown(self, patience: Duration) {
        either!(self, server => server.shutdown(patience));
    }
}

impl Transport for QuicServer {
    fn poll(&mut self, now: Nanos, limit: usize, events: &mut Vec<Event>) -> usize {
        either!(self, server => server.poll(now, limit, events))
    }

    fn send_datagram(
        &mut self,
        now: Nanos,
        conn: ConnKey,
        payload: &[u8],
    ) -> Result<(), SendError> {
        either!(self, server => server.send_datagram(now, conn, payload))
    }

    fn write(
        &mut self,
        now: Nanos,
        conn: ConnKey,
        stream: StreamKind,
        bytes: &[u8],
    ) -> Result<usize, SendError> {
        either!(self, server => server.write(now, conn, stream, bytes))
    }

    fn flush(&mut self, now: Nanos) {
        either!(self, server => server.flush(now));
    }

    fn allowance(&self, conn: ConnKey) -> Option<Allowance> {
        either!(self, server => server.allowance(conn))
    }

    fn close(&mut self, now: Nanos, conn: ConnKey, code: CloseCode, reason: &str) {
        either!(self, server => server.close(now, conn, code, reason));
    }

    fn next_timeout(&self) -> Option<Nanos> {
        either!(self, server => server.next_timeout())
    }
}

/// Wakes a driver that sleeps in [`QuicServer::wait`].
#[derive(Clone, Debug)]
pub enum QuicServerWaker {
    /// On our own loop.
    Loop(UdpWaker),
    /// On our own loop, on threads of its own.
    Shards(ShardedServerWaker),
    /// On quinn.
    Quinn(ServerWaker),
}

impl QuicServerWaker {
    /// Ends the current wait, or the next one.
    pub fn wake(&self) {
        match self {
            Self::Loop(waker) => waker.wake(),
            Self::Shards(waker) => waker.wake(),
            Self::Quinn(waker) => waker.wake(),
        }
    }
}
