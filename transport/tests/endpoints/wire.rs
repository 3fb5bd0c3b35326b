//! A wire between one server of several shards and clients, each at an address of its own.

use starling_protocol::stream::StreamKind;
use starling_protocol::units::Nanos;
use starling_transport::quic::{
    Arrival, ClientEndpoint, ConnectOptions, ServerEndpoint, ServerOptions, ServerSecret,
};
use starling_transport::tls::{ClientTls, Identity, ServerTrust};
use starling_transport::{ConnKey, Event};
use std::collections::VecDeque;
use std::net::SocketAddr;

const STEP_NS: u64 = Nanos::MILLISECOND / 2;
/// Packets of clients that are kept, to be played again.
const SEEN_MAX: usize = 256;

struct Packet {
    at: Nanos,
    bytes: Vec<u8>,
    client: SocketAddr,
}

pub(crate) struct Wire {
    pub(crate) shards: Vec<ServerEndpoint>,
    pub(crate) clients: Vec<ClientEndpoint>,
    pub(crate) at_server: Vec<Event>,
    pub(crate) at_clients: Vec<Event>,
    pub(crate) packets_up: u64,
    pub(crate) packets_down: u64,
    pub(crate) forwarded: u64,
    /// One way, from one to the other.
    pub(crate) delay_ns: u64,
    /// What clients sent last.
    pub(crate) seen_up: Vec<Vec<u8>>,
    options: ServerOptions,
    connect: ConnectOptions,
    addresses: Vec<SocketAddr>,
    ports: u16,
    up: VecDeque<Packet>,
    down: VecDeque<Packet>,
    lose: u64,
    now: Nanos,
}

impl Wire {
    pub(crate) fn new(shards: u8) -> Self {
        Self::with(shards, |_| {})
    }

    /// A wire to a server that is set up otherwise.
    pub(crate) fn with(shards: u8, setup: impl FnOnce(&mut ServerOptions)) -> Self {
        let identity = Identity::development().expect("a certificate can be made");
        let trust = ServerTrust::Fingerprint(identity.fingerprint());
        let server: SocketAddr = ([10, 0, 0, 1], 4433).into();
        let mut options = ServerOptions { shards, ..ServerOptions::new(server, identity) };
        setup(&mut options);
        let tls = ClientTls::new(&trust).expect("a pin needs no roots");
        let mut wire = Self {
            shards: Vec::new(),
            clients: Vec::new(),
            at_server: Vec::new(),
            at_clients: Vec::new(),
            packets_up: 0,
            packets_down: 0,
            forwarded: 0,
            delay_ns: Nanos::MILLISECOND,
            seen_up: Vec::new(),
            options,
            connect: ConnectOptions::new(server, tls),
            addresses: Vec::new(),
            ports: 0,
            up: VecDeque::new(),
            down: VecDeque::new(),
            lose: 0,
            now: Nanos(0),
        };
        wire.forget_everything();
        wire
    }

    pub(crate) const fn now(&self) -> Nanos {
        self.now
    }

    /// The server crashes and comes back with its secret.
    pub(crate) fn forget_everything(&mut self) {
        let secret = ServerSecret([5; 32]);
        let shard = |number| ServerEndpoint::new(&self.options, &secret, number);
        self.shards = (0..self.options.shards).map(shard).collect();
    }

    /// Begins a connection and says by which key.
    pub(crate) fn begin(&mut self) -> ConnKey {
        let key = ConnKey(self.clients.len() as u64 + 1);
        let mut client = ClientEndpoint::for_one(key.0);
        client.connect(self.now, key, &self.connect).expect("the address is right");
        self.clients.push(client);
        let address = self.fresh_address();
        self.addresses.push(address);
        key
    }

    /// Both keys of a connection that stands.
    pub(crate) fn connect(&mut self) -> (ConnKey, ConnKey) {
        let key = self.begin();
        let before = self.at_server.len();
        for _ in 0..1_000 {
            self.pass(STEP_NS);
            let news = &self.at_server[before..];
            let up = news.iter().find(|event| matches!(event, Event::Connected { .. }));
            let down =
                |event: &&Event| matches!(event, Event::Connected { conn, .. } if *conn == key);
            if let (Some(up), Some(_)) = (up, self.at_clients.iter().find(down)) {
                return (key, up.conn());
            }
        }
        panic!("no connection: {:?}", self.at_clients);
    }

    /// From the next packet on this client comes from another port.
    pub(crate) fn move_client(&mut self, client: usize) {
        self.addresses[client] = self.fresh_address();
    }

    /// The next packets of either way are lost.
    pub(crate) fn lose(&mut self, packets: u64) {
        self.lose = packets;
    }

    pub(crate) fn client_send(&mut self, conn: ConnKey, payload: &[u8]) -> bool {
        self.clients[conn.0 as usize - 1].send_datagram(conn, payload).is_ok()
    }

    pub(crate) fn server_send(&mut self, conn: ConnKey, payload: &[u8]) -> bool {
        let shard = usize::from(ServerEndpoint::shard_of_key(conn));
        self.shards[shard].send_datagram(conn, payload).is_ok()
    }

    /// A packet as if the first client had sent it.
    pub(crate) fn inject_up(&mut self, packet: &[u8]) {
        let from = self.addresses[0];
        self.arrive_up(from, packet);
    }

    /// What a client has to say is there at once.
    pub(crate) fn arrive_from(&mut self, conn: ConnKey) {
        let (client, mut packet) = (conn.0 as usize - 1, Vec::new());
        while let Some(out) = self.clients[client].poll_transmit(self.now, &mut packet) {
            self.arrive_up(self.addresses[client], &packet[..out.bytes]);
        }
    }

    pub(crate) fn pass(&mut self, ns: u64) {
        let end = self.now + ns;
        loop {
            self.deliver();
            self.server_sends();
            self.clients_send();
            if self.now >= end {
                return;
            }
            self.now = (self.now + STEP_NS).min(end);
        }
    }

    pub(crate) fn datagrams_at_server(&self) -> Vec<Vec<u8>> {
        datagrams(&self.at_server)
    }

    pub(crate) fn datagrams_at_client(&self) -> Vec<Vec<u8>> {
        datagrams(&self.at_clients)
    }

    pub(crate) fn stream_at_server(&self, conn: ConnKey, kind: StreamKind) -> Vec<u8> {
        stream(&self.at_server, conn, kind)
    }

    pub(crate) fn stream_at_client(&self, conn: ConnKey, kind: StreamKind) -> Vec<u8> {
        stream(&self.at_clients, conn, kind)
    }

    fn fresh_address(&mut self) -> SocketAddr {
        self.ports += 1;
        ([10, 0, (self.ports >> 8) as u8, 2], 10_000 + self.ports).into()
    }

    fn deliver(&mut self) {
        while let Some(packet) = due(&mut self.up, self.now) {
            self.arrive_up(packet.client, &packet.bytes);
        }
        while let Some(packet) = due(&mut self.down, self.now) {
            let place = self.addresses.iter().position(|address| *address == packet.client);
            // To an address that its client has left, it is lost.
            if let Some(place) = place {
                let from = Arrival::from(self.options.listen);
                self.clients[place].handle_packet(self.now, &from, &packet.bytes);
            }
        }
    }

    /// The kernel's choice of a socket, and what the shard there does with a stranger's packet.
    fn arrive_up(&mut self, from: SocketAddr, packet: &[u8]) {
        let chosen = usize::from(from.port()) % self.shards.len();
        let home = self.shards[chosen].shard_of(packet).map(usize::from);
        let home = home.filter(|home| *home < self.shards.len()).unwrap_or(chosen);
        self.forwarded += u64::from(home != chosen);
        self.shards[home].handle_packet(self.now, &Arrival::from(from), packet);
    }

    fn server_sends(&mut self) {
        let mut buffer = Vec::new();
        for shard in &mut self.shards {
            shard.handle_timeout(self.now);
            while let Some(out) = shard.poll_transmit(self.now, &mut buffer) {
                let size = out.segment_bytes.unwrap_or(out.bytes);
                for bytes in buffer[..out.bytes].chunks(size) {
                    self.packets_down += 1;
                    if self.lose > 0 {
                        self.lose -= 1;
                        continue;
                    }
                    let (at, client) = (self.now + self.delay_ns, out.to);
                    self.down.push_back(Packet { at, bytes: bytes.to_vec(), client });
                }
            }
            self.at_server.extend(std::iter::from_fn(|| shard.poll_event()));
        }
    }

    fn clients_send(&mut self) {
        let mut buffer = Vec::new();
        for (client, address) in self.clients.iter_mut().zip(&self.addresses) {
            client.handle_timeout(self.now);
            while let Some(out) = client.poll_transmit(self.now, &mut buffer) {
                self.packets_up += 1;
                if self.lose > 0 {
                    self.lose -= 1;
                    continue;
                }
                let (at, bytes) = (self.now + self.delay_ns, buffer[..out.bytes].to_vec());
                if self.seen_up.len() < SEEN_MAX {
                    self.seen_up.push(bytes.clone());
                }
                self.up.push_back(Packet { at, bytes, client: *address });
            }
            self.at_clients.extend(std::iter::from_fn(|| client.poll_event()));
        }
    }
}

/// The next packet that has arrived by now.
fn due(way: &mut VecDeque<Packet>, now: Nanos) -> Option<Packet> {
    way.front().filter(|packet| packet.at <= now)?;
    way.pop_front()
}

fn datagrams(events: &[Event]) -> Vec<Vec<u8>> {
    let payload = |event: &Event| match event {
        Event::Datagram { payload, .. } => Some(payload.to_vec()),
        _ => None,
    };
    events.iter().filter_map(payload).collect()
}

fn stream(events: &[Event], of: ConnKey, kind: StreamKind) -> Vec<u8> {
    let part = |event: &Event| match event {
        Event::Stream { conn, stream, bytes, .. } if *conn == of && *stream == kind => {
            Some(bytes.to_vec())
        }
        _ => None,
    };
    events.iter().filter_map(part).flatten().collect()
}
