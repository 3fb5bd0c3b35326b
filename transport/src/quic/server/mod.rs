//! The server on quinn: its tasks on a runtime of their own, a stepped object towards the driver.
//!
//! ```text
//! quinn tasks -> accept -> reader (one per connection) -> inbox -> QuinnServer::poll
//! QuinnServer::send_datagram, write, flush -> quinn::Connection, from the driver's own thread
//! ```

mod accept;
mod bind;
mod counters;
mod flow;
mod inbox;
mod link;
mod reader;

pub use counters::ServerStats;

use super::config::{Congestion, ServerSecret};
use super::ending;
use crate::tls::{Identity, TlsError};
use crate::{Allowance, ConnKey, Event, SendError, Transport};
use accept::Shared;
use bytes::Bytes;
use flow::Flow;
use inbox::Note;
use link::Link;
use quinn::Endpoint;
use starling_protocol::close::CloseCode;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::Nanos;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::runtime::{Builder, Handle, Runtime};

/// Connections that one server holds unless told otherwise.
const CONNECTIONS_MAX_DEFAULT: usize = 20_000;

/// How long a last goodbye may take to leave.
const GOODBYE: Duration = Duration::from_millis(50);

/// Where the server's tasks run.
#[derive(Clone, Debug)]
pub enum RuntimeChoice {
    /// A tokio runtime of its own with so many threads.
    Own {
        /// Worker threads, at least one.
        threads: usize,
    },
    /// A runtime that somebody else runs, with I/O and time enabled.
    Given(Handle),
}

/// How a server is set up.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The UDP address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Who the server is.
    pub identity: Identity,
    /// Connections beyond which attempts are refused.
    pub connections_max: usize,
    /// Lets the kernel cut large sends into packets; off for drivers that do it wrong.
    pub segmentation_offload: bool,
    /// How connections share the path.
    pub congestion: Congestion,
    /// Keys that outlive a restart; `None` for fresh ones.
    pub secret: Option<ServerSecret>,
    /// Where its tasks run, if it is quinn's.
    pub runtime: RuntimeChoice,
    /// Threads with a socket of their own, if it is our own loop.
    pub shards: u8,
}

impl ServerOptions {
    /// The usual server on an address.
    #[must_use]
    pub const fn new(listen: SocketAddr, identity: Identity) -> Self {
        Self {
            listen,
            identity,
            connections_max: CONNECTIONS_MAX_DEFAULT,
            segmentation_offload: true,
            congestion: Congestion::Steady,
            secret: None,
            runtime: RuntimeChoice::Own { threads: 1 },
            shards: 1,
        }
    }
}

/// Why a server did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServerError {
    /// Somebody else listens there.
    #[error("UDP port {} of {} is taken by another process", address.port(), address.ip())]
    PortTaken {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The address cannot be had for another reason.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The runtime's threads cannot be started.
    #[error("cannot start the network's threads: {0}")]
    Threads(io::Error),
    /// The certificate is no good.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl ServerError {
    /// What it means that an address cannot be had.
    pub(super) fn of(address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::PortTaken { address },
            _ => Self::Bind { address, source },
        }
    }
}

/// The quinn server.
pub struct QuinnServer {
    shared: Arc<Shared>,
    endpoint: Endpoint,
    address: SocketAddr,
    links: HashMap<ConnKey, Link>,
    /// Notes taken from the inbox and not yet turned into events.
    notes: VecDeque<Note>,
    /// Links with written bytes that were not flushed.
    dirty: Vec<ConnKey>,
    datagrams_out: u64,
    datagrams_full: u64,
    handle: Handle,
    /// Last, so that it outlives what runs on it.
    own: Option<Runtime>,
}

impl QuinnServer {
    /// Binds the address and begins to accept.
    ///
    /// # Errors
    /// [`ServerError`] names the address when it cannot be had.
    pub fn bind(options: &ServerOptions) -> Result<Self, ServerError> {
        let (handle, own) = runtime(&options.runtime)?;
        let inside = handle.enter();
        let endpoint = bind::endpoint(options)?;
        let listen = options.listen;
        let address = endpoint.local_addr();
        let address = address.map_err(|source| ServerError::Bind { address: listen, source })?;
        let shared = Shared::new(options.connections_max);
        handle.spawn(accept::run(endpoint.clone(), shared.clone()));
        drop(inside);
        Ok(Self {
            shared,
            endpoint,
            address,
            links: HashMap::new(),
            notes: VecDeque::new(),
            dirty: Vec::new(),
            datagrams_out: 0,
            datagrams_full: 0,
            handle,
            own,
        })
    }

    /// The address that was bound.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Sleeps until there is something to poll, [`ServerWaker::wake`] is called, or `timeout` is
    /// over.
    pub fn wait(&self, timeout: Duration) {
        if self.notes.is_empty() {
            self.shared.inbox.wait(timeout);
        }
    }

    /// Wakes the driver from another thread.
    #[must_use]
    pub fn waker(&self) -> ServerWaker {
        ServerWaker(self.shared.clone())
    }

    /// What was counted so far.
    #[must_use]
    pub fn stats(&self) -> ServerStats {
        let mut stats = self.shared.counters.snapshot();
        stats.datagrams_out = self.datagrams_out;
        stats.datagrams_full = self.datagrams_full;
        let live = self.links.values().filter(|link| !link.flow.retired.load(Relaxed));
        live.for_each(|link| stats.add(&link.connection().stats()));
        stats
    }

    /// Stops accepting. Connections that stand stay.
    pub fn stop_accepting(&self) {
        self.endpoint.set_server_config(None);
    }

    /// Waits until every connection that was closed is gone, or `patience` is over, and stops.
    ///
    /// Blocks: for a driver's thread, after it has closed its connections.
    pub fn shutdown(self, patience: Duration) {
        self.stop_accepting();
        if !self.is_idle_within(patience) {
            tracing::debug!("connections were still up when the server stopped");
            self.say_goodbye();
            // Its tasks send it.
            self.is_idle_within(GOODBYE);
        }
    }

    fn is_idle_within(&self, patience: Duration) -> bool {
        let idle = async { tokio::time::timeout(patience, self.endpoint.wait_idle()).await };
        self.handle.block_on(idle).is_ok()
    }

    fn say_goodbye(&self) {
        self.endpoint.close(ending::to_wire(CloseCode::GOING_AWAY), b"the server stops");
    }

    fn take_note(&mut self, note: Note, clock: &Clock) -> Option<Event> {
        match note {
            Note::Up { key, connection, flow } => Some(self.up(key, connection, flow)),
            Note::Closed { key, code, reason } => {
                self.shared.counters.open.fetch_sub(1, Relaxed);
                self.links.remove(&key)?;
                Some(Event::Closed { conn: key, code, reason })
            }
            Note::Datagram { key, payload, at } => {
                self.links.get(&key)?.flow.release_datagram(payload.len());
                Some(Event::Datagram { conn: key, payload, at: clock.at(at) })
            }
            Note::Stream { key, stream, bytes, at } => {
                self.links.get(&key)?.flow.release_stream(bytes.len());
                Some(Event::Stream { conn: key, stream, bytes, at: clock.at(at) })
            }
            Note::Opened { key, stream } => {
                self.links.get_mut(&key)?.open(stream);
                None
            }
            Note::Writable { key } => {
                self.links.get_mut(&key)?.flush();
                None
            }
        }
    }

    fn up(&mut self, key: ConnKey, connection: quinn::Connection, flow: Arc<Flow>) -> Event {
        let remote = connection.remote_address();
        self.links.insert(key, Link::new(key, connection, flow, self.shared.clone()));
        Event::Connected { conn: key, remote }
    }
}

impl Transport for QuinnServer {
    fn poll(&mut self, now: Nanos, limit: usize, events: &mut Vec<Event>) -> usize {
        let clock = Clock { now, instant: Instant::now() };
        if self.notes.is_empty() {
            self.shared.inbox.take(&mut self.notes);
        }
        let before = events.len();
        while events.len() - before < limit {
            let Some(note) = self.notes.pop_front() else { break };
            events.extend(self.take_note(note, &clock));
        }
        events.len() - before
    }

    fn send_datagram(
        &mut self,
        _now: Nanos,
        conn: ConnKey,
        payload: &[u8],
    ) -> Result<(), SendError> {
        let link = self.links.get_mut(&conn).ok_or(SendError::Closed)?;
        let sent = link.send_datagram(payload);
        match sent {
            Ok(()) => self.datagrams_out += 1,
            Err(SendError::Full) => self.datagrams_full += 1,
            Err(_) => {}
        }
        sent
    }

    fn write(
        &mut self,
        _now: Nanos,
        conn: ConnKey,
        stream: StreamKind,
        bytes: &[u8],
    ) -> Result<usize, SendError> {
        let link = self.links.get_mut(&conn).ok_or(SendError::Closed)?;
        if !std::mem::replace(&mut link.dirty, true) {
            self.dirty.push(conn);
        }
        Ok(link.write(stream, bytes))
    }

    fn flush(&mut self, _now: Nanos) {
        for conn in self.dirty.drain(..) {
            if let Some(link) = self.links.get_mut(&conn) {
                link.dirty = false;
                link.flush();
            }
        }
    }

    fn allowance(&self, conn: ConnKey) -> Option<Allowance> {
        self.links.get(&conn).map(Link::allowance)
    }

    fn close(&mut self, _now: Nanos, conn: ConnKey, code: CloseCode, reason: &str) {
        if let Some(link) = self.links.remove(&conn) {
            let reason = Bytes::from(ending::printable(reason.as_bytes()));
            self.handle.spawn(link.linger(code, reason));
        }
    }

    /// The tasks keep their own timers.
    fn next_timeout(&self) -> Option<Nanos> {
        None
    }
}

impl Drop for QuinnServer {
    fn drop(&mut self) {
        self.say_goodbye();
        if let Some(own) = self.own.take() {
            own.shutdown_background();
        }
    }
}

impl std::fmt::Debug for QuinnServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let links = self.links.len();
        f.debug_struct("QuinnServer")
            .field("address", &self.address)
            .field("links", &links)
            .finish_non_exhaustive()
    }
}

/// Wakes a driver that sleeps in [`QuinnServer::wait`].
#[derive(Clone)]
pub struct ServerWaker(Arc<Shared>);

impl ServerWaker {
    /// Ends the current wait, or the next one.
    pub fn wake(&self) {
        self.0.inbox.wake();
    }
}

impl std::fmt::Debug for ServerWaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerWaker")
    }
}

/// One moment on the driver's clock and on the system's.
struct Clock {
    now: Nanos,
    instant: Instant,
}

impl Clock {
    /// When something that the tasks saw happened, on the driver's clock.
    fn at(&self, seen: Instant) -> Nanos {
        let ago = self.instant.saturating_duration_since(seen).as_nanos();
        Nanos(self.now.0.saturating_sub(ago.try_into().unwrap_or(u64::MAX)))
    }
}

fn runtime(choice: &RuntimeChoice) -> Result<(Handle, Option<Runtime>), ServerError> {
    match choice {
        RuntimeChoice::Given(handle) => Ok((handle.clone(), None)),
        RuntimeChoice::Own { threads } => {
            let own = Builder::new_multi_thread()
                .worker_threads((*threads).max(1))
                .thread_name("starling-quic")
                .enable_io()
                .enable_time()
                .build()
                .map_err(ServerError::Threads)?;
            Ok((own.handle().clone(), Some(own)))
        }
    }
}

#[cfg(test)]
mod tests;
