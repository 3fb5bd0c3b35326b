//! The sans-I/O client: packets and the time in, packets and events out.

use super::options::{ConnectError, ConnectOptions};
use crate::conditioner::rng::{Rng, derive, wide};
use crate::quic::config::limit_endpoint;
use crate::quic::hub::{Arrival, CHUNK_BYTES, ConnStats, Departure, Hub};
use crate::{Allowance, ConnKey, Event, SendError};
use quinn_proto::crypto::rustls::QuicClientConfig;
use quinn_proto::{
    ClientConfig, ConnectError as QuicConnectError, ConnectionId, Endpoint, EndpointConfig,
    NoneTokenStore, RandomConnectionIdGenerator,
};
use starling_protocol::close::CloseCode;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::Nanos;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Bytes of a connection id where connections share a socket. They come with every packet, so they are
/// few: nobody but this endpoint has to tell them apart, and it draws anew what it has given already.
const CONNECTION_ID_BYTES: usize = 4;
/// The round trip that is supposed before one was measured. A hello that is lost is repeated after three
/// of them, then after six, and so on: with QUIC's third of a second one that was sent while the path was
/// cut, or the server away, would be repeated after 1, 2 and 4 s. Who is further than 300 ms away from
/// the server sends a packet twice. Servers keep to QUIC's: what they repeat may go to somebody else.
const INITIAL_RTT: Duration = Duration::from_millis(100);

/// QUIC for one local address, without a socket, a thread or a clock.
///
/// The driver calls [`handle_packet`](Self::handle_packet) for what arrives,
/// [`handle_timeout`](Self::handle_timeout) when [`next_timeout`](Self::next_timeout) is due, and
/// after each of them, and after anything else that it asked for, takes packets from
/// [`poll_transmit`](Self::poll_transmit) and events from [`poll_event`](Self::poll_event) until
/// there are none. Now and then it empties [`drain_forgotten`](Self::drain_forgotten).
#[derive(Debug)]
pub struct ClientEndpoint {
    hub: Hub,
    seed: u64,
    connects: u64,
    places: HashMap<ConnKey, usize>,
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
            .rng_seed(Some(wide(seed)));
        let chunk_bytes = if id_bytes == 0 { 0 } else { CHUNK_BYTES };
        let hub = Hub::new(Endpoint::new(Arc::new(config), None, false, None), chunk_bytes);
        Self { hub, seed, connects: 0, places: HashMap::new() }
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
        let instant = self.hub.instant(now);
        let (handle, connection) = self
            .hub
            .endpoint_mut()
            .connect(instant, config, server, name)
            .map_err(|error| explain(&error, options))?;
        self.places.insert(key, handle.0);
        self.hub.add(now, handle, key, connection);
        Ok(())
    }

    /// Takes in a packet.
    pub fn handle_packet(&mut self, now: Nanos, arrival: &Arrival, bytes: &[u8]) {
        if let Some(incoming) = self.hub.sort(now, arrival, bytes) {
            // A client accepts nobody.
            self.hub.endpoint_mut().ignore(incoming);
        }
        self.hub.take_in(now);
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Nanos) {
        self.hub.handle_timeout(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Nanos> {
        self.hub.next_timeout()
    }

    /// Writes the next packet into `buffer`, which it empties first, and says where it goes.
    pub fn poll_transmit(&mut self, now: Nanos, buffer: &mut Vec<u8>) -> Option<Departure> {
        self.hub.poll_transmit(now, 1, buffer)
    }

    /// The next event, in order of arrival.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.hub.events_mut().pop_front()
    }

    /// As [`Transport::send_datagram`](crate::Transport::send_datagram).
    ///
    /// # Errors
    /// [`SendError`] says why nothing was sent.
    pub fn send_datagram(&mut self, conn: ConnKey, payload: &[u8]) -> Result<(), SendError> {
        let place = self.place(conn).ok_or(SendError::Closed)?;
        self.hub.send_datagram(place, payload)
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
        let place = self.place(conn).ok_or(SendError::Closed)?;
        self.hub.write(now, place, stream, bytes)
    }

    /// As [`Transport::allowance`](crate::Transport::allowance).
    #[must_use]
    pub fn allowance(&self, conn: ConnKey) -> Option<Allowance> {
        self.hub.allowance(self.place(conn)?)
    }

    /// As [`Transport::close`](crate::Transport::close).
    pub fn close(&mut self, now: Nanos, conn: ConnKey, code: CloseCode, reason: &str) {
        if let Some(place) = self.place(conn) {
            self.hub.close(now, place, code, reason);
        }
    }

    /// Tells every connection that the local address has changed.
    pub fn local_address_changed(&mut self, now: Nanos) {
        self.hub.local_address_changed(now);
    }

    /// Figures of one connection, until QUIC has forgotten it.
    #[must_use]
    pub fn stats(&self, conn: ConnKey) -> Option<ConnStats> {
        self.hub.stats(self.place(conn)?)
    }

    /// Figures of all connections, gone ones included.
    #[must_use]
    pub fn total(&self) -> ConnStats {
        self.hub.total()
    }

    /// Connections that QUIC has not forgotten yet.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.places.len()
    }

    /// Connections that QUIC has forgotten since this was last asked.
    pub fn drain_forgotten(&mut self) -> impl Iterator<Item = ConnKey> {
        let places = &mut self.places;
        self.hub.drain_shaken().for_each(drop);
        self.hub.drain_forgotten().map(|(key, _)| {
            places.remove(&key);
            key
        })
    }

    fn place(&self, conn: ConnKey) -> Option<usize> {
        self.places.get(&conn).copied()
    }

    fn client_config(&mut self, options: &ConnectOptions) -> ClientConfig {
        let tls = QuicClientConfig::try_from(options.tls.config())
            .expect("the provider has the suite that QUIC begins with");
        let mut config = ClientConfig::new(Arc::new(tls));
        let mut transport = options.shape().transport_config();
        transport.initial_rtt(INITIAL_RTT);
        self.connects += 1;
        let dice = Mutex::new(Rng::new(derive(self.seed, self.connects)));
        config
            .transport_config(Arc::new(transport))
            .token_store(Arc::new(NoneTokenStore))
            .initial_dst_cid_provider(Arc::new(move || {
                let mut dice = dice.lock().expect("nobody panics while throwing dice");
                ConnectionId::new(&dice.next().to_be_bytes())
            }));
        config
    }
}

fn explain(error: &QuicConnectError, options: &ConnectOptions) -> ConnectError {
    match error {
        QuicConnectError::InvalidRemoteAddress(address) => ConnectError::Address(*address),
        QuicConnectError::InvalidServerName(_) => ConnectError::Name(options.server_name.clone()),
        other => ConnectError::Refused(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quic::{ServerEndpoint, ServerOptions, ServerSecret};
    use crate::tls::{ClientTls, Identity, ServerTrust};

    /// Lets `count` connections of one endpoint with ids of so many bytes stand, each with a word to
    /// its own; returns the ids to which the server sent those.
    fn ids_heard(id_bytes: usize, count: u64) -> Vec<Vec<u8>> {
        let address = ([10, 0, 0, 1], 4433).into();
        let identity = Identity::development().expect("a certificate can be made");
        let trust = ServerTrust::Fingerprint(identity.fingerprint());
        let options = ConnectOptions::new(address, ClientTls::new(&trust).expect("a pin will do"));
        let options = options.with_idle_timeout(Duration::from_secs(90));
        let shard = ServerOptions::new(address, identity);
        let mut server = ServerEndpoint::new(&shard, &ServerSecret([5; 32]), 0);
        let mut client = ClientEndpoint::new(7, id_bytes);
        let mut now = Nanos(0);
        let (mut conns, mut heard) = (Vec::new(), Vec::new());
        for key in 1..=count {
            client.connect(now, ConnKey(key), &options).expect("the address is right");
            conns.extend(pass(&mut now, 60, &mut server, &mut client, &mut heard));
        }
        assert_eq!(conns.len() as u64, count, "each of them stands");
        pass(&mut now, 2_000, &mut server, &mut client, &mut heard);
        heard.clear();
        for (word, conn) in (1_u64..).zip(conns) {
            server.send_datagram(conn, &word.to_le_bytes()).expect("there is room");
        }
        let mut words = Vec::new();
        pass(&mut now, 5, &mut server, &mut client, &mut heard);
        while let Some(event) = client.poll_event() {
            if let Event::Datagram { conn, payload, .. } = event {
                assert_eq!(*payload, conn.0.to_le_bytes(), "it is for another");
                words.push(conn);
            }
        }
        assert_eq!(words.len() as u64, count);
        heard.iter().map(|packet| packet[1..=id_bytes].to_vec()).collect()
    }

    /// Lets both sides talk for so many milliseconds; returns whom the server let in.
    fn pass(
        now: &mut Nanos,
        ms: u64,
        server: &mut ServerEndpoint,
        client: &mut ClientEndpoint,
        heard: &mut Vec<Vec<u8>>,
    ) -> Vec<ConnKey> {
        let (here, there) =
            (Arrival::from(([10, 0, 0, 2], 99).into()), ([10, 0, 0, 1], 4433).into());
        let (mut buffer, mut let_in) = (Vec::new(), Vec::new());
        for _ in 0..ms {
            client.handle_timeout(*now);
            server.handle_timeout(*now);
            while let Some(out) = client.poll_transmit(*now, &mut buffer) {
                server.handle_packet(*now, &here, &buffer[..out.bytes]);
            }
            while let Some(out) = server.poll_transmit(*now, &mut buffer) {
                let size = out.segment_bytes.unwrap_or(out.bytes);
                for packet in buffer[..out.bytes].chunks(size) {
                    client.handle_packet(*now, &Arrival::from(there), packet);
                    heard.push(packet.to_vec());
                }
            }
            let events = std::iter::from_fn(|| server.poll_event());
            let_in.extend(events.filter_map(|event| match event {
                Event::Connected { conn, .. } => Some(conn),
                _ => None,
            }));
            *now = *now + Nanos::MILLISECOND;
        }
        let_in
    }

    #[test]
    fn connections_that_share_a_socket_are_told_apart_by_four_bytes() {
        let mut ids = ids_heard(CONNECTION_ID_BYTES, 40);
        ids.sort_unstable();
        ids.dedup();
        assert_eq!((ids.len(), ids[0].len()), (40, 4));
    }

    #[test]
    fn an_id_that_was_given_already_is_drawn_anew() {
        // Of 256 ids these hold 160: half of the last draws meet one that is given already.
        let mut ids = ids_heard(1, 20);
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 20);
    }
}
