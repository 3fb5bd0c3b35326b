//! One shard: an endpoint on its socket.

use super::endpoint::ServerEndpoint;
use crate::quic::config::ServerSecret;
use crate::quic::hub::{Arrival, Clock, Departure, Inlet, Sent, Socket};
use crate::quic::server::{ServerError, ServerOptions, ServerStats};
use crate::quic::setup;
use crate::{ConnKey, SendError};
use mio::{Events, Interest, Poll, Token, Waker};
use starling_protocol::close::CloseCode;
use starling_protocol::units::Nanos;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Packets, or runs of them, that one call to the kernel brings.
const BATCH: usize = 32;
/// Reading goes on for no longer before what is due has its turn: junk never runs dry.
const READ_NS: u64 = Nanos::MILLISECOND;
/// A socket that is full is tried again so much later.
const RETRY_NS: u64 = Nanos::MILLISECOND;
/// Largest packet or run of packets: ten segments of an Ethernet frame, and some.
const OUTGOING_BYTES: usize = 16 * 1024;
const SOCKET: Token = Token(0);
const WAKER: Token = Token(1);

/// Where packets go that came to the wrong shard, and come from.
pub(super) trait Forward {
    /// Passes a packet on to the shard that has its connection, or drops and counts it.
    fn forward(&mut self, shard: u8, arrival: &Arrival, packet: &[u8]);

    /// Takes what others have passed on to this shard.
    fn take(&mut self, strays: &mut Strays);
}

/// Packets that came to another shard.
pub(super) type Strays = Vec<(Arrival, Vec<u8>)>;

/// An endpoint, its socket, and the poller that watches it.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) endpoint: ServerEndpoint,
    number: u8,
    shards: u8,
    socket: Socket,
    address: SocketAddr,
    poller: Poll,
    ready: Events,
    waker: Arc<Waker>,
    inlet: Inlet,
    outgoing: Vec<u8>,
    /// Scratch of [`Shard::read`].
    strays: Strays,
    /// Who was given a datagram last, and may be given another.
    sending: Option<ConnKey>,
    /// The packet in `outgoing` that the socket did not take, and when to try again.
    refused: Option<(Departure, Nanos)>,
    /// The socket may have packets to read.
    readable: bool,
    /// The last look brought something: it is not worth asking before the next.
    busy: bool,
    clock: Clock,
    socket_full: u64,
    socket_errors: u64,
}

impl Shard {
    pub(super) fn bind(
        options: &ServerOptions,
        address: SocketAddr,
        secret: &ServerSecret,
        number: u8,
    ) -> Result<Self, ServerError> {
        let fail = |source| ServerError::of(address, source);
        let socket = match number {
            0 => setup::socket(address),
            _ => setup::sibling(address),
        };
        let socket = socket.map_err(fail)?;
        if options.shards > 1 {
            setup::share(&socket).map_err(fail)?;
        }
        let socket = Socket::new(socket).map_err(fail)?;
        Self::on(socket, options, secret, number)
            .map_err(|source| ServerError::Bind { address, source })
    }

    fn on(
        mut socket: Socket,
        options: &ServerOptions,
        secret: &ServerSecret,
        number: u8,
    ) -> io::Result<Self> {
        let poller = Poll::new()?;
        poller.registry().register(&mut socket.io, SOCKET, Interest::READABLE)?;
        let waker = Arc::new(Waker::new(poller.registry(), WAKER)?);
        let address = socket.io.local_addr()?;
        Ok(Self {
            endpoint: ServerEndpoint::new(options, secret, number),
            number,
            shards: options.shards.max(1),
            socket,
            address,
            poller,
            ready: Events::with_capacity(2),
            waker,
            inlet: Inlet::new(BATCH),
            outgoing: Vec::with_capacity(OUTGOING_BYTES),
            strays: Vec::new(),
            sending: None,
            refused: None,
            readable: true,
            busy: false,
            clock: Clock::new(),
            socket_full: 0,
            socket_errors: 0,
        })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// Reads the socket until it is empty, `limit` events wait or the time for it is over, does
    /// what is due, and sends.
    pub(super) fn step(&mut self, now: Nanos, limit: usize, others: &mut impl Forward) {
        self.clock.set(now);
        self.busy = false;
        self.read(limit, others);
        self.endpoint.handle_timeout(self.clock.now());
        self.flush();
    }

    /// What is left unread is not forgotten: the socket stays readable.
    fn read(&mut self, limit: usize, others: &mut impl Forward) {
        let mut now = self.clock.now();
        let until = now + READ_NS;
        if self.endpoint.events_waiting() < limit {
            others.take(&mut self.strays);
        }
        for (arrival, packet) in self.strays.drain(..) {
            self.endpoint.sort_packet(now, &arrival, &packet);
        }
        self.endpoint.take_in(now);
        // Asking the socket itself costs no more than asking whether to.
        self.readable = true;
        while self.readable && self.endpoint.events_waiting() < limit && now < until {
            self.receive(now, others);
            now = self.clock.now();
        }
    }

    fn receive(&mut self, now: Nanos, others: &mut impl Forward) {
        let Self { endpoint, socket, inlet, busy, .. } = self;
        let (number, shards) = (self.number, self.shards);
        self.readable = socket.receive(inlet, |arrival, packet| {
            *busy = true;
            match endpoint.shard_of(packet).filter(|&home| shards > 1 && home < shards) {
                Some(home) if home != number => others.forward(home, arrival, packet),
                _ => endpoint.sort_packet(now, arrival, packet),
            }
        });
        endpoint.take_in(now);
    }

    /// Hands over a datagram, and sends what there is for whoever was handed one before: what a
    /// tick has for everybody is sent client by client, while their state is in the caches.
    pub(super) fn send_datagram(&mut self, conn: ConnKey, payload: &[u8]) -> Result<(), SendError> {
        self.endpoint.fetch(conn);
        match self.sending.replace(conn).filter(|before| *before != conn) {
            Some(before) if self.refused.is_none() => self.send_all_of(before),
            _ => {}
        }
        self.endpoint.send_datagram(conn, payload)
    }

    fn send_all_of(&mut self, conn: ConnKey) {
        let now = self.clock.now();
        while let Some(departure) = self.endpoint.poll_own(now, conn, &mut self.outgoing) {
            if !self.send(departure) {
                return;
            }
        }
    }

    /// Sends what QUIC has to send, until the socket takes no more.
    pub(super) fn flush(&mut self) {
        self.sending = None;
        let now = self.clock.now();
        if let Some((departure, again)) = self.refused
            && (again > now || !self.send(departure))
        {
            return;
        }
        self.endpoint.limit_segments(self.socket.segments_max());
        while let Some(departure) =
            self.endpoint.poll_transmit(self.clock.now(), &mut self.outgoing)
        {
            if !self.send(departure) {
                return;
            }
        }
    }

    /// Says whether the socket will take more.
    fn send(&mut self, departure: Departure) -> bool {
        self.refused = None;
        match self.socket.send(&departure, &self.outgoing) {
            Sent::Taken => {}
            Sent::Failed => self.socket_errors += 1,
            Sent::Full => {
                self.socket_full += 1;
                self.refused = Some((departure, self.clock.now() + RETRY_NS));
            }
        }
        self.refused.is_none()
    }

    /// When [`Shard::step`] has work, at the latest, unless something arrives.
    pub(super) fn next_timeout(&self) -> Option<Nanos> {
        if self.endpoint.events_waiting() > 0 {
            return Some(Nanos(0));
        }
        match self.refused {
            Some((_, again)) => Some(again),
            None if self.endpoint.is_dirty() => Some(Nanos(0)),
            None => self.endpoint.next_timeout(),
        }
    }

    /// Sleeps until a packet arrives, somebody wakes, or `timeout` is over. A shard that was busy
    /// at its last step does not sleep: the caller sees to its cadence.
    pub(super) fn wait(&mut self, timeout: Duration) {
        let idle = self.endpoint.events_waiting() == 0 && !self.readable && !self.busy;
        if idle {
            self.look(timeout);
        }
    }

    /// Did the last step bring something, or leave something unread?
    pub(super) const fn is_busy(&self) -> bool {
        self.busy || self.readable
    }

    /// Sleeps until a packet arrives, somebody wakes, or `timeout` is over. With packets coming in
    /// anyway, only somebody who unparks the thread or the time ends it.
    pub(super) fn sleep(&mut self, timeout: Duration) {
        if self.is_busy() {
            std::thread::park_timeout(timeout);
        } else {
            self.look(timeout);
        }
    }

    fn look(&mut self, timeout: Duration) {
        if self.poller.poll(&mut self.ready, Some(timeout)).is_err() {
            // Interrupted by a signal: the caller comes again.
            return;
        }
        self.readable |= self.ready.iter().any(|event| event.token() == SOCKET);
    }

    pub(super) fn stats(&self) -> ServerStats {
        let mut stats = self.endpoint.stats();
        stats.socket_full = self.socket_full;
        stats.socket_errors = self.socket_errors;
        stats
    }

    /// Closes whatever connection is left.
    pub(super) fn say_goodbye(&mut self) {
        let now = self.clock.now();
        self.endpoint.close_all(now, CloseCode::GOING_AWAY, "the server stops");
        self.flush();
    }

    /// Runs until every connection that was closed is gone, or `patience` is over.
    pub(super) fn linger(&mut self, patience: Duration, others: &mut impl Forward) {
        self.endpoint.stop_accepting();
        let begun = Instant::now();
        while self.endpoint.connections() > 0 && begun.elapsed() < patience {
            let now = self.clock.now();
            self.step(now, usize::MAX, others);
            self.endpoint.drain_events(usize::MAX, &mut Vec::new());
            let due =
                self.next_timeout().map_or(patience, |at| Duration::from_nanos(at.since(now)));
            self.busy = false;
            self.wait(due.min(patience.saturating_sub(begun.elapsed())));
        }
    }
}
