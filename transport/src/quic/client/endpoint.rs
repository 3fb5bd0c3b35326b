//! The sans-I/O client: packets and the time in, packets and events out.

use super::super::config::limit_endpoint;
use super::options::{ConnectError, ConnectOptions};
use super::peer::{Moment, Peer};
use super::stats::ConnStats;
use crate::conditioner::rng::{Rng, derive};
use crate::{Allowance, ConnKey, Event, SendError};
use bytes::BytesMut;
use quinn_proto::crypto::rustls::QuicClientConfig;
use quinn_proto::{
    ClientConfig, ConnectError as QuicConnectError, ConnectionHandle, ConnectionId, DatagramEvent,
    Endpoint, EndpointConfig, NoneTokenStore, RandomConnectionIdGenerator,
};
use starling_protocol::close::CloseCode;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::Nanos;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Answers to packets that belong to no connection: few are ever due at once.
const RESPONSES_MAX: usize = 16;
/// Bytes of a connection id where connections share a socket.
const CONNECTION_ID_BYTES: usize = 8;

/// QUIC for one local address, without a socket, a thread or a clock.
///
/// The driver calls [`handle_packet`](Self::handle_packet) for what arrives,
/// [`handle_timeout`](Self::handle_timeout) when [`next_timeout`](Self::next_timeout) is due, and
/// after each of them, and after anything else that it asked for, takes packets from
/// [`poll_transmit`](Self::poll_transmit) and events from [`poll_event`](Self::poll_event) until
/// there are none. Now and then it empties [`drain_forgotten`](Self::drain_forgotten).
#[derive(Debug)]
pub struct ClientEndpoint {
    endpoint: Endpoint,
    /// The instant that stands for [`Nanos`] zero.
    origin: Instant,
    seed: u64,
    connects: u64,
    /// Connections by their handle.
    peers: Vec<Option<Box<Peer>>>,
    handles: HashMap<ConnKey, usize>,
    /// Connections that may have packets to send.
    dirty: VecDeque<usize>,
    timers: BTreeSet<(Instant, usize)>,
    events: VecDeque<Event>,
    responses: VecDeque<(SocketAddr, Vec<u8>)>,
    /// Connections that are gone and were not asked for.
    forgotten: Vec<ConnKey>,
    /// Figures of connections that are gone.
    retired: ConnStats,
}

impl ClientEndpoint {
    /// An endpoint for one connection at a time to a server: its connection ids are empty, which
    /// saves their bytes in every packet that comes.
    #[must_use]
    pub fn for_one(seed: u64) -> Self {
        Self::new(seed, 0)
    }

    /// An endpoint for any number of connections.
    #[must_use]
    pub fn for_many(seed: u64) -> Self {
        Self::new(seed, CONNECTION_ID_BYTES)
    }

    fn new(seed: u64, id_bytes: usize) -> Self {
        let mut config = EndpointConfig::default();
        limit_endpoint(&mut config);
        config
            .cid_generator(move || Box::new(RandomConnectionIdGenerator::new(id_bytes)))
            .rng_seed(Some(wide_seed(seed)));
        Self {
            endpoint: Endpoint::new(Arc::new(config), None, false, None),
            origin: Instant::now(),
            seed,
            connects: 0,
            peers: Vec::new(),
            handles: HashMap::new(),
            dirty: VecDeque::new(),
            timers: BTreeSet::new(),
            events: VecDeque::new(),
            responses: VecDeque::new(),
            forgotten: Vec::new(),
            retired: ConnStats::default(),
        }
    }

    /// Begins a connection under a key that the caller has not used before. Its link is the
    /// driver's business.
    ///
    /// # Errors
    /// [`ConnectError`] when the address or the name is none.
    pub fn connect(
        &mut self,
        now: Nanos,
        key: ConnKey,
        options: &ConnectOptions,
    ) -> Result<(), ConnectError> {
        let config = self.client_config(options);
        let (server, name) = (options.server, options.server_name.as_str());
        let (handle, connection) = self
            .endpoint
            .connect(self.instant(now), config, server, name)
            .map_err(|error| explain(&error, options))?;
        let place = handle.0;
        if self.peers.len() <= place {
            self.peers.resize_with(place + 1, || None);
        }
        self.peers[place] = Some(Box::new(Peer::new(key, connection)));
        self.handles.insert(key, place);
        self.settle(now, place);
        Ok(())
    }

    /// Takes in a packet.
    pub fn handle_packet(&mut self, now: Nanos, from: SocketAddr, bytes: &[u8]) {
        let mut response = Vec::new();
        let instant = self.instant(now);
        let event =
            self.endpoint.handle(instant, from, None, None, BytesMut::from(bytes), &mut response);
        match event {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                if let Some(peer) = self.peer(handle.0) {
                    peer.connection.handle_event(event);
                    self.settle(now, handle.0);
                }
            }
            Some(DatagramEvent::Response(transmit)) if self.responses.len() < RESPONSES_MAX => {
                response.truncate(transmit.size);
                self.responses.push_back((transmit.destination, response));
            }
            // A client accepts nobody.
            Some(DatagramEvent::NewConnection(incoming)) => self.endpoint.ignore(incoming),
            Some(DatagramEvent::Response(_)) | None => {}
        }
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Nanos) {
        let instant = self.instant(now);
        while let Some(&(_, place)) = self.timers.first().filter(|(at, _)| *at <= instant) {
            let peer = self.peer(place).expect("timers name connections that exist");
            peer.handle_timeout(instant);
            self.settle(now, place);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Nanos> {
        let (at, _) = self.timers.first()?;
        let ns = at.saturating_duration_since(self.origin).as_nanos();
        Some(Nanos(ns.try_into().unwrap_or(u64::MAX)))
    }

    /// Writes the next packet into `buffer`, which it empties first, and says where it goes and
    /// how long it is.
    pub fn poll_transmit(
        &mut self,
        now: Nanos,
        buffer: &mut Vec<u8>,
    ) -> Option<(SocketAddr, usize)> {
        buffer.clear();
        if let Some((to, bytes)) = self.responses.pop_front() {
            buffer.extend_from_slice(&bytes);
            return Some((to, bytes.len()));
        }
        while let Some(&place) = self.dirty.front() {
            let instant = self.instant(now);
            let peer = self.peer(place);
            if let Some(transmit) =
                peer.and_then(|peer| peer.connection.poll_transmit(instant, 1, buffer))
            {
                return Some((transmit.destination, transmit.size));
            }
            self.dirty.pop_front();
            self.clean(now, place);
        }
        None
    }

    /// The next event, in order of arrival.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// As [`Transport::send_datagram`](crate::Transport::send_datagram).
    ///
    /// # Errors
    /// [`SendError`] says why nothing was sent.
    pub fn send_datagram(&mut self, conn: ConnKey, payload: &[u8]) -> Result<(), SendError> {
        let place = self.place(conn).ok_or(SendError::Closed)?;
        let peer = self.peer(place).ok_or(SendError::Closed)?;
        peer.send_datagram(payload)?;
        self.touch(place);
        Ok(())
    }

    /// As [`Transport::write`](crate::Transport::write).
    ///
    /// # Errors
    /// [`SendError::Closed`] when the connection is gone.
    pub fn write(
        &mut self,
        now: Nanos,
        conn: ConnKey,
        stream: StreamKind,
        bytes: &[u8],
    ) -> Result<usize, SendError> {
        let instant = self.instant(now);
        let place = self.place(conn).ok_or(SendError::Closed)?;
        let peer = self.peer(place).filter(|peer| peer.is_open()).ok_or(SendError::Closed)?;
        let taken = peer.write(stream, bytes);
        peer.flush(instant);
        self.touch(place);
        Ok(taken)
    }

    /// As [`Transport::allowance`](crate::Transport::allowance).
    #[must_use]
    pub fn allowance(&self, conn: ConnKey) -> Option<Allowance> {
        self.peers.get(self.place(conn)?)?.as_ref()?.allowance()
    }

    /// As [`Transport::close`](crate::Transport::close).
    pub fn close(&mut self, now: Nanos, conn: ConnKey, code: CloseCode, reason: &str) {
        let instant = self.instant(now);
        let Some(place) = self.place(conn) else { return };
        self.events.retain(|event| event.conn() != conn);
        if let Some(peer) = self.peer(place).filter(|peer| peer.is_open()) {
            peer.close(instant, code, reason);
            self.settle(now, place);
        }
    }

    /// Tells every connection that the local address has changed.
    pub fn local_address_changed(&mut self, now: Nanos) {
        for place in 0..self.peers.len() {
            if let Some(peer) = self.peer(place) {
                peer.connection.local_address_changed();
                self.settle(now, place);
            }
        }
    }

    /// Figures of one connection, until QUIC has forgotten it.
    #[must_use]
    pub fn stats(&self, conn: ConnKey) -> Option<ConnStats> {
        Some(self.peers.get(self.place(conn)?)?.as_ref()?.stats())
    }

    /// Figures of all connections, gone ones included.
    #[must_use]
    pub fn total(&self) -> ConnStats {
        let mut total = self.retired;
        self.peers.iter().flatten().for_each(|peer| total.add(&peer.stats()));
        total
    }

    /// Connections that QUIC has not forgotten yet.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.handles.len()
    }

    /// Connections that QUIC has forgotten since this was last asked.
    pub fn drain_forgotten(&mut self) -> impl Iterator<Item = ConnKey> {
        self.forgotten.drain(..)
    }

    fn client_config(&mut self, options: &ConnectOptions) -> ClientConfig {
        let tls = QuicClientConfig::try_from(options.tls.config())
            .expect("the provider has the suite that QUIC begins with");
        let mut config = ClientConfig::new(Arc::new(tls));
        self.connects += 1;
        let dice = Mutex::new(Rng::new(derive(self.seed, self.connects)));
        config
            .transport_config(Arc::new(options.shape().transport_config()))
            .token_store(Arc::new(NoneTokenStore))
            .initial_dst_cid_provider(Arc::new(move || {
                let mut dice = dice.lock().expect("nobody panics while throwing dice");
                ConnectionId::new(&dice.next().to_be_bytes())
            }));
        config
    }

    fn instant(&self, now: Nanos) -> Instant {
        self.origin + Duration::from_nanos(now.0)
    }

    fn place(&self, conn: ConnKey) -> Option<usize> {
        self.handles.get(&conn).copied()
    }

    fn peer(&mut self, place: usize) -> Option<&mut Peer> {
        self.peers.get_mut(place)?.as_deref_mut()
    }

    /// Takes out what a connection has to say after something happened to it.
    fn settle(&mut self, now: Nanos, place: usize) {
        let moment = Moment { instant: self.instant(now), at: now };
        if let Some(peer) = self.peers.get_mut(place).and_then(Option::as_mut) {
            peer.digest(moment, &mut self.events);
        }
        self.touch(place);
        self.exchange(place);
        self.schedule(place);
    }

    /// A connection has nothing to send for now.
    fn clean(&mut self, now: Nanos, place: usize) {
        let Some(peer) = self.peer(place) else { return };
        peer.dirty = false;
        peer.measure();
        // Sending can end a connection, and it always moves timers.
        let moment = Moment { instant: self.instant(now), at: now };
        if let Some(peer) = self.peers.get_mut(place).and_then(Option::as_mut) {
            peer.digest(moment, &mut self.events);
        }
        self.exchange(place);
        self.schedule(place);
    }

    fn touch(&mut self, place: usize) {
        if let Some(peer) = self.peer(place)
            && !std::mem::replace(&mut peer.dirty, true)
        {
            self.dirty.push_back(place);
        }
    }

    /// Carries messages between a connection and its endpoint; a drained one goes.
    fn exchange(&mut self, place: usize) {
        while let Some(peer) = self.peers.get_mut(place).and_then(Option::as_mut) {
            let Some(event) = peer.connection.poll_endpoint_events() else { return };
            let drained = event.is_drained();
            if let Some(answer) = self.endpoint.handle_event(ConnectionHandle(place), event) {
                peer.connection.handle_event(answer);
            }
            if drained {
                self.forget(place);
            }
        }
    }

    fn forget(&mut self, place: usize) {
        if let Some(peer) = self.peers[place].take() {
            self.retired.add(&peer.stats());
            self.handles.remove(&peer.key);
            self.forgotten.push(peer.key);
            if let Some(at) = peer.scheduled {
                self.timers.remove(&(at, place));
            }
        }
    }

    fn schedule(&mut self, place: usize) {
        let Some(peer) = self.peers.get_mut(place).and_then(Option::as_mut) else { return };
        let at = peer.next_timeout();
        if at == peer.scheduled {
            return;
        }
        let before = std::mem::replace(&mut peer.scheduled, at);
        before.map(|at| self.timers.remove(&(at, place)));
        at.map(|at| self.timers.insert((at, place)));
    }
}

/// The endpoint's seed as quinn wants it.
fn wide_seed(seed: u64) -> [u8; 32] {
    let mut dice = Rng::new(seed);
    let mut wide = [0; 32];
    wide.chunks_exact_mut(8).for_each(|part| part.copy_from_slice(&dice.next().to_be_bytes()));
    wide
}

fn explain(error: &QuicConnectError, options: &ConnectOptions) -> ConnectError {
    match error {
        QuicConnectError::InvalidRemoteAddress(address) => ConnectError::Address(*address),
        QuicConnectError::InvalidServerName(_) => ConnectError::Name(options.server_name.clone()),
        other => ConnectError::Refused(other.to_string()),
    }
}
