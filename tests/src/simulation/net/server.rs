//! The server's socket: the QUIC endpoint that ships, on the simulated network.

use super::{Net, SERVER};
use crate::simulation::clock::Clock;
use starling_protocol::close::CloseCode;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::Nanos;
use starling_transport::quic::{Arrival, ServerEndpoint, ServerOptions, ServerSecret};
use starling_transport::tls::{Identity, ServerTrust};
use starling_transport::{Allowance, ConnKey, Event, SendError, Transport};

/// Certificate and key of every simulation: Ed25519, whose signatures are all of one length.
const CERTIFICATE: &[u8] = include_bytes!("certificate.der");
const KEY: &[u8] = include_bytes!("key.der");
/// What survives a restart.
const SECRET: ServerSecret = ServerSecret([7; 32]);

/// Who the server is.
pub(super) fn identity() -> Identity {
    Identity::from_der(vec![CERTIFICATE.to_vec()], KEY.to_vec()).expect("a sound identity")
}

/// How clients know it.
pub(super) fn trust() -> ServerTrust {
    ServerTrust::Fingerprint(identity().fingerprint())
}

/// The socket of one life of the server. Dropping it says goodbye to nobody.
#[derive(Debug)]
pub(crate) struct SimServer {
    net: Net,
    endpoint: ServerEndpoint,
    buffer: Vec<u8>,
    clock: Clock,
}

impl SimServer {
    /// The socket of the life that begins now.
    pub(crate) fn new(net: &Net, seed: u64, clock: Clock) -> Self {
        let options = ServerOptions::new(SERVER, identity());
        let endpoint = ServerEndpoint::seeded(&options, &SECRET, 0, seed);
        Self { net: net.clone(), endpoint, buffer: Vec::new(), clock }
    }

    fn transmit(&mut self, now: Nanos) {
        while let Some(out) = self.endpoint.poll_transmit(now, &mut self.buffer) {
            let size = out.segment_bytes.unwrap_or(out.bytes);
            for bytes in self.buffer[..out.bytes].chunks(size) {
                self.net.state().send_down(out.to, out.ecn_bits, bytes);
            }
        }
    }
}

impl Transport for SimServer {
    fn poll(&mut self, now: Nanos, limit: usize, events: &mut Vec<Event>) -> usize {
        debug_assert_eq!(self.clock.local(self.net.state().now), now, "one clock of a process");
        loop {
            let come = self.net.state().come_to_server();
            let Some((from, packet)) = come else { break };
            let arrival = Arrival { ecn_bits: packet.ecn_bits, ..Arrival::from(from) };
            self.endpoint.handle_packet(now, &arrival, &packet.bytes);
        }
        self.endpoint.handle_timeout(now);
        self.transmit(now);
        self.endpoint.drain_events(limit, events)
    }

    fn send_datagram(
        &mut self,
        _now: Nanos,
        conn: ConnKey,
        payload: &[u8],
    ) -> Result<(), SendError> {
        self.endpoint.send_datagram(conn, payload)
    }

    fn write(
        &mut self,
        now: Nanos,
        conn: ConnKey,
        stream: StreamKind,
        bytes: &[u8],
    ) -> Result<usize, SendError> {
        self.endpoint.write(now, conn, stream, bytes)
    }

    fn flush(&mut self, now: Nanos) {
        self.transmit(now);
    }

    fn allowance(&self, conn: ConnKey) -> Option<Allowance> {
        self.endpoint.allowance(conn)
    }

    fn close(&mut self, now: Nanos, conn: ConnKey, code: CloseCode, reason: &str) {
        self.endpoint.close(now, conn, code, reason);
    }

    fn next_timeout(&self) -> Option<Nanos> {
        match self.endpoint.events_waiting() {
            0 => self.endpoint.next_timeout(),
            _ => Some(Nanos(0)),
        }
    }
}
