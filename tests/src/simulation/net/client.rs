//! A client's sockets: one QUIC endpoint that ships for each connection, on the simulated network.

use super::mischief::Mischief;
use super::server::trust;
use super::{Net, SERVER};
use crate::simulation::dice::Dice;
use starling_client::net::Dial;
use starling_protocol::close::CloseCode;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::Nanos;
use starling_transport::quic::{Arrival, ClientEndpoint, ConnectOptions};
use starling_transport::tls::ClientTls;
use starling_transport::{Allowance, ConnKey, Event, SendError, Transport};
use std::collections::{BTreeMap, VecDeque};

/// All connections of one client.
#[derive(Debug)]
pub(crate) struct SimClient {
    net: Net,
    host: usize,
    options: ConnectOptions,
    sockets: BTreeMap<ConnKey, ClientEndpoint>,
    dice: Dice,
    keys: u64,
    events: VecDeque<Event>,
    buffer: Vec<u8>,
    mischief: Option<Mischief>,
}

impl SimClient {
    /// A client at the end of a link.
    pub(crate) fn new(net: &Net, host: usize, mut dice: Dice, rogue: bool) -> Self {
        let tls = ClientTls::new(&trust()).expect("a pin needs no roots");
        Self {
            net: net.clone(),
            host,
            options: ConnectOptions::new(SERVER, tls),
            sockets: BTreeMap::new(),
            mischief: rogue.then(|| Mischief::new(dice.fork(9))),
            dice,
            keys: 0,
            events: VecDeque::new(),
            buffer: Vec::new(),
        }
    }

    fn receive(&mut self, now: Nanos) {
        loop {
            let come = self.net.state().come_to_client(self.host);
            let Some((conn, packet)) = come else { return };
            if let Some(endpoint) = self.sockets.get_mut(&conn) {
                let arrival = Arrival { ecn_bits: packet.ecn_bits, ..Arrival::from(SERVER) };
                endpoint.handle_packet(now, &arrival, &packet.bytes);
            }
        }
    }

    fn transmit(&mut self, now: Nanos) {
        for (conn, endpoint) in &mut self.sockets {
            while let Some(out) = endpoint.poll_transmit(now, &mut self.buffer) {
                let bytes = &self.buffer[..out.bytes];
                self.net.state().send_up(self.host, *conn, out.ecn_bits, bytes);
            }
        }
    }

    /// All connections are gone, as when a device has lost its network.
    fn lose_all(&mut self) {
        for conn in std::mem::take(&mut self.sockets).into_keys() {
            self.net.state().forget(self.host, conn);
            let reason = "the network is gone".into();
            self.events.push_back(Event::Closed { conn, code: CloseCode::LOST, reason });
        }
    }

    fn gather(&mut self) {
        let mut over = Vec::new();
        for (conn, endpoint) in &mut self.sockets {
            self.events.extend(std::iter::from_fn(|| endpoint.poll_event()));
            endpoint.drain_forgotten().for_each(drop);
            if endpoint.connections() == 0 {
                over.push(*conn);
            }
        }
        for conn in over {
            self.sockets.remove(&conn);
            self.net.state().forget(self.host, conn);
        }
    }
}

impl Transport for SimClient {
    fn poll(&mut self, now: Nanos, limit: usize, events: &mut Vec<Event>) -> usize {
        self.receive(now);
        if self.net.state().drops(self.host) {
            self.gather();
            self.lose_all();
        }
        self.sockets.values_mut().for_each(|endpoint| endpoint.handle_timeout(now));
        if let Some(mischief) = &mut self.mischief {
            mischief.strike(now, &mut self.sockets);
        }
        self.transmit(now);
        self.gather();
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
        let endpoint = self.sockets.get_mut(&conn).ok_or(SendError::Closed)?;
        match &mut self.mischief {
            Some(mischief) => endpoint.send_datagram(conn, &mischief.datagram(payload)),
            None => endpoint.send_datagram(conn, payload),
        }
    }

    fn write(
        &mut self,
        now: Nanos,
        conn: ConnKey,
        stream: StreamKind,
        bytes: &[u8],
    ) -> Result<usize, SendError> {
        let endpoint = self.sockets.get_mut(&conn).ok_or(SendError::Closed)?;
        match &mut self.mischief {
            Some(mischief) => mischief.write(now, endpoint, conn, stream, bytes),
            None => endpoint.write(now, conn, stream, bytes),
        }
    }

    fn flush(&mut self, now: Nanos) {
        self.transmit(now);
    }

    fn allowance(&self, conn: ConnKey) -> Option<Allowance> {
        self.sockets.get(&conn)?.allowance(conn)
    }

    fn close(&mut self, now: Nanos, conn: ConnKey, code: CloseCode, reason: &str) {
        self.events.retain(|event| event.conn() != conn);
        if let Some(endpoint) = self.sockets.get_mut(&conn) {
            endpoint.close(now, conn, code, reason);
        }
        self.transmit(now);
    }

    fn next_timeout(&self) -> Option<Nanos> {
        if !self.events.is_empty() {
            return Some(Nanos(0));
        }
        self.sockets.values().filter_map(ClientEndpoint::next_timeout).min()
    }
}

impl Dial for SimClient {
    type Target = ();

    fn dial(&mut self, now: Nanos, _: &()) -> Option<ConnKey> {
        self.keys += 1;
        let conn = ConnKey(self.keys);
        let mut endpoint = ClientEndpoint::for_one(self.dice.next());
        endpoint.connect(now, conn, &self.options).ok()?;
        self.sockets.insert(conn, endpoint);
        self.transmit(now);
        Some(conn)
    }
}
