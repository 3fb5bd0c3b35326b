//! The client on plain UDP sockets: no runtime, one thread, any number of connections.
//!
//! Readiness comes from the system's poller, so that a thousand idle connections cost one call.

use super::endpoint::ClientEndpoint;
use super::options::{ClientOptions, ConnectError, ConnectOptions, Sockets};
use super::port::{Port, Scratch, socket};
use crate::conditioner::rng::derive;
use crate::quic::hub::{ClientStats, Clock, ConnStats, UdpWaker, Wheel};
use crate::{Allowance, ConnKey, Event, SendError, Transport};
use mio::{Interest, Poll, Token, Waker};
use starling_protocol::close::CloseCode;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::Nanos;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// Sockets that one look at the system's poller reports at most.
const READY_MAX: usize = 1_024;
/// Buffers of a socket that is one connection's.
pub(super) const SOCKET_BYTES: usize = 256 * 1024;
/// Buffers of a socket that all connections share.
const SHARED_SOCKET_BYTES: usize = 4 * 1024 * 1024;
const WAKER: Token = Token(usize::MAX);

/// The system's poller cannot be had.
#[derive(Debug, Error)]
#[error("cannot watch sockets: {0}")]
pub struct UdpClientError(#[from] io::Error);

/// A transport that connects.
///
/// ```no_run
/// use starling_protocol::units::Nanos;
/// use starling_transport::quic::{ClientOptions, ConnectOptions, UdpClient};
/// use starling_transport::tls::{ClientTls, ServerTrust};
///
/// let mut client = UdpClient::new(ClientOptions::default())?;
/// let tls = ClientTls::new(&ServerTrust::Insecure)?;
/// let server = "127.0.0.1:4433".parse()?;
/// let conn = client.connect(Nanos(0), &ConnectOptions::new(server, tls))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct UdpClient {
    options: ClientOptions,
    poller: Poll,
    ready: mio::Events,
    waker: Arc<Waker>,
    keys: u64,
    ports: Vec<Option<Port>>,
    free: Vec<usize>,
    /// The port of each connection.
    owners: HashMap<ConnKey, usize>,
    /// Ports to look after.
    queue: VecDeque<usize>,
    timers: Wheel,
    /// Scratch of [`UdpClient::enqueue_due`].
    met: Vec<usize>,
    events: VecDeque<Event>,
    scratch: Scratch,
    clock: Clock,
    stats: ClientStats,
    /// Figures of ports that are gone.
    retired: ConnStats,
}

impl UdpClient {
    /// A client without connections.
    ///
    /// # Errors
    /// [`UdpClientError`] when the system's poller cannot be had.
    pub fn new(options: ClientOptions) -> Result<Self, UdpClientError> {
        let poller = Poll::new()?;
        let waker = Arc::new(Waker::new(poller.registry(), WAKER)?);
        Ok(Self {
            options,
            poller,
            ready: mio::Events::with_capacity(READY_MAX),
            waker,
            keys: 0,
            ports: Vec::new(),
            free: Vec::new(),
            owners: HashMap::new(),
            queue: VecDeque::new(),
            timers: Wheel::default(),
            met: Vec::new(),
            events: VecDeque::new(),
            scratch: Scratch::new(),
            clock: Clock::new(),
            stats: ClientStats::default(),
            retired: ConnStats::default(),
        })
    }

    /// Begins a connection. [`Event::Connected`] or [`Event::Closed`] will say how it went.
    ///
    /// # Errors
    /// [`ConnectError`] when it cannot even be tried.
    pub fn connect(
        &mut self,
        now: Nanos,
        options: &ConnectOptions,
    ) -> Result<ConnKey, ConnectError> {
        let conn = ConnKey(self.keys + 1);
        let place = match self.options.sockets {
            Sockets::PerConnection => self.own_port(now, conn, options)?,
            Sockets::Shared => self.shared_port(now, options)?,
        };
        let port = self.ports[place].as_mut().expect("the port was just made or found");
        if let Err(error) = port.endpoint.connect(now, conn, options) {
            self.retire(place);
            return Err(error);
        }
        self.keys += 1;
        self.owners.insert(conn, place);
        self.enqueue(place);
        self.flush(now);
        Ok(conn)
    }

    /// Moves a connection to a fresh local port and tells it so, as when the network changed.
    ///
    /// With a shared socket all of its connections move.
    ///
    /// # Errors
    /// The system's words when it gives no socket; the old one stays.
    pub fn rebind(&mut self, now: Nanos, conn: ConnKey) -> io::Result<()> {
        let Some(&place) = self.owners.get(&conn) else { return Ok(()) };
        self.exchange_socket(place)?;
        if let Some(port) = &mut self.ports[place] {
            port.endpoint.local_address_changed(now);
        }
        self.enqueue(place);
        self.flush(now);
        Ok(())
    }

    /// Sleeps until a packet arrives, [`UdpWaker::wake`] is called, or `timeout` is over.
    ///
    /// The caller bounds `timeout` by [`Transport::next_timeout`].
    pub fn wait(&mut self, timeout: Duration) {
        let idle = self.events.is_empty() && self.queue.is_empty();
        self.look(if idle { timeout } else { Duration::ZERO });
    }

    /// Wakes the driver from another thread.
    #[must_use]
    pub fn waker(&self) -> UdpWaker {
        UdpWaker(self.waker.clone())
    }

    /// The local address of a connection's socket.
    #[must_use]
    pub fn local_addr(&self, conn: ConnKey) -> Option<SocketAddr> {
        self.port_of(conn)?.socket.io.local_addr().ok()
    }

    /// Figures of one connection, until QUIC has forgotten it.
    #[must_use]
    pub fn conn_stats(&self, conn: ConnKey) -> Option<ConnStats> {
        self.port_of(conn)?.endpoint.stats(conn)
    }

    /// Packets that the system did not take so far: [`ClientStats::socket_full`] without the sums over
    /// all connections.
    #[must_use]
    pub const fn socket_full(&self) -> u64 {
        self.stats.socket_full
    }

    /// Figures of all connections, gone ones included. Each connection is looked at.
    #[must_use]
    pub fn stats(&self) -> ClientStats {
        let mut stats = self.stats;
        stats.sum.add(&self.retired);
        self.ports.iter().flatten().for_each(|port| stats.sum.add(&port.endpoint.total()));
        stats
    }

    fn own_port(
        &mut self,
        now: Nanos,
        conn: ConnKey,
        options: &ConnectOptions,
    ) -> Result<usize, ConnectError> {
        let socket = socket(options.server, SOCKET_BYTES)?;
        let seed = derive(self.options.seed, conn.0);
        let endpoint = ClientEndpoint::for_one(random_seed());
        Ok(self.add(Port::new(socket, endpoint, &options.link, seed, now))?)
    }

    fn shared_port(&mut self, now: Nanos, options: &ConnectOptions) -> Result<usize, ConnectError> {
        if !options.link.is_none() {
            return Err(ConnectError::LinkOnSharedSocket);
        }
        if !self.ports.is_empty() {
            return Ok(0);
        }
        let socket = socket(options.server, SHARED_SOCKET_BYTES)?;
        let seed = derive(self.options.seed, 0);
        let endpoint = ClientEndpoint::for_many(random_seed());
        Ok(self.add(Port::new(socket, endpoint, &self.options.link, seed, now))?)
    }

    fn add(&mut self, mut port: Port) -> io::Result<usize> {
        let place = self.free.last().copied().unwrap_or(self.ports.len());
        self.poller.registry().register(&mut port.socket.io, Token(place), Interest::READABLE)?;
        if self.free.pop().is_none() {
            self.ports.push(None);
        }
        self.ports[place] = Some(port);
        Ok(place)
    }

    fn exchange_socket(&mut self, place: usize) -> io::Result<()> {
        let Some(port) = &mut self.ports[place] else { return Ok(()) };
        let bytes = match self.options.sockets {
            Sockets::PerConnection => SOCKET_BYTES,
            Sockets::Shared => SHARED_SOCKET_BYTES,
        };
        let mut fresh = socket(port.socket.io.local_addr()?, bytes)?;
        let registry = self.poller.registry();
        registry.register(&mut fresh.io, Token(place), Interest::READABLE)?;
        registry.deregister(&mut port.socket.io)?;
        port.socket = fresh;
        self.stats.rebinds += 1;
        Ok(())
    }

    fn port_of(&self, conn: ConnKey) -> Option<&Port> {
        self.ports.get(*self.owners.get(&conn)?)?.as_ref()
    }

    /// Asks the system which sockets have something to read.
    fn look(&mut self, timeout: Duration) {
        if let Err(error) = self.poller.poll(&mut self.ready, Some(timeout)) {
            // Interrupted by a signal: the caller comes again.
            tracing::trace!(%error, "the look at the sockets was cut short");
            return;
        }
        let ready: Vec<_> = self.ready.iter().map(mio::event::Event::token).collect();
        for Token(place) in ready {
            if let Some(port) = self.ports.get_mut(place).and_then(Option::as_mut) {
                port.readable = true;
                self.enqueue(place);
            }
        }
    }

    fn enqueue(&mut self, place: usize) {
        if let Some(port) = &mut self.ports[place]
            && !std::mem::replace(&mut port.queued, true)
        {
            self.queue.push_back(place);
        }
    }

    fn enqueue_due(&mut self, now: Nanos) {
        let mut met = std::mem::take(&mut self.met);
        self.timers.advance(now, &mut met);
        met.drain(..).for_each(|place| self.enqueue(place));
        self.met = met;
    }

    /// Looks after each port of the queue once; stops reading when `limit` events wait.
    fn work(&mut self, now: Nanos, limit: usize) {
        self.clock.set(now);
        for _ in 0..self.queue.len() {
            let now = self.clock.now();
            let Some(place) = self.queue.pop_front() else { return };
            self.rebind_if_due(now, place);
            let Some(port) = &mut self.ports[place] else { continue };
            port.queued = false;
            if self.events.len() < limit {
                port.receive(now, &mut self.scratch);
            }
            port.advance(now);
            port.transmit(now, &mut self.scratch, &mut self.stats);
            self.events.extend(std::iter::from_fn(|| port.endpoint.poll_event()));
            for conn in port.endpoint.drain_forgotten() {
                self.owners.remove(&conn);
            }
            let unread = port.readable;
            self.schedule(place);
            if unread {
                self.enqueue(place);
            }
        }
    }

    /// A link that rebinds is an address translator on the way: QUIC is not told.
    fn rebind_if_due(&mut self, now: Nanos, place: usize) {
        let due = self.ports[place].as_mut().is_some_and(|port| port.rebind_due(now));
        if due && self.exchange_socket(place).is_err() {
            self.stats.rebinds_failed += 1;
        }
    }

    fn schedule(&mut self, place: usize) {
        let Some(port) = &mut self.ports[place] else { return };
        self.timers.set(place, port.next_due());
        if self.options.sockets == Sockets::PerConnection && port.is_over() {
            self.retire(place);
        }
    }

    fn retire(&mut self, place: usize) {
        let Some(port) = &self.ports[place] else { return };
        if !port.is_over() || self.options.sockets == Sockets::Shared {
            return;
        }
        if let Some(mut port) = self.ports[place].take() {
            self.timers.remove(place);
            self.retired.add(&port.endpoint.total());
            // A socket that is closed is not watched any longer in any case.
            let _watched = self.poller.registry().deregister(&mut port.socket.io);
            self.free.push(place);
        }
    }
}

impl Transport for UdpClient {
    fn poll(&mut self, now: Nanos, limit: usize, events: &mut Vec<Event>) -> usize {
        self.look(Duration::ZERO);
        self.enqueue_due(now);
        self.work(now, limit);
        let count = limit.min(self.events.len());
        events.extend(self.events.drain(..count));
        count
    }

    fn send_datagram(
        &mut self,
        _now: Nanos,
        conn: ConnKey,
        payload: &[u8],
    ) -> Result<(), SendError> {
        let place = *self.owners.get(&conn).ok_or(SendError::Closed)?;
        let port = self.ports[place].as_mut().ok_or(SendError::Closed)?;
        let sent = port.endpoint.send_datagram(conn, payload);
        if sent == Err(SendError::Full) {
            self.stats.datagrams_full += 1;
        }
        self.enqueue(place);
        sent
    }

    fn write(
        &mut self,
        now: Nanos,
        conn: ConnKey,
        stream: StreamKind,
        bytes: &[u8],
    ) -> Result<usize, SendError> {
        let place = *self.owners.get(&conn).ok_or(SendError::Closed)?;
        let port = self.ports[place].as_mut().ok_or(SendError::Closed)?;
        let taken = port.endpoint.write(now, conn, stream, bytes)?;
        self.enqueue(place);
        Ok(taken)
    }

    fn flush(&mut self, now: Nanos) {
        // Nothing is read here: a limit of zero events.
        self.work(now, 0);
    }

    fn allowance(&self, conn: ConnKey) -> Option<Allowance> {
        self.port_of(conn)?.endpoint.allowance(conn)
    }

    fn close(&mut self, now: Nanos, conn: ConnKey, code: CloseCode, reason: &str) {
        let Some(&place) = self.owners.get(&conn) else { return };
        self.events.retain(|event| event.conn() != conn);
        if let Some(port) = &mut self.ports[place] {
            port.endpoint.close(now, conn, code, reason);
        }
        self.enqueue(place);
        self.flush(now);
    }

    fn next_timeout(&self) -> Option<Nanos> {
        if !self.events.is_empty() || !self.queue.is_empty() {
            return Some(Nanos(0));
        }
        self.timers.next_due()
    }
}

/// A number from the system's randomness: two clients that chose the same connection id at the same
/// time would be one to the server, so on real sockets no seed decides on ids.
#[must_use]
pub fn random_seed() -> u64 {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).expect("a system without randomness cannot speak TLS at all");
    u64::from_le_bytes(bytes)
}
