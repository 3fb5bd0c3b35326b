//! One socket with its endpoint, and the link between the two.

use super::endpoint::ClientEndpoint;
use super::udp::SOCKET_BYTES;
use crate::conditioner::rng::derive;
use crate::conditioner::{Conditioner, LinkProfile, Packet};
use crate::quic::hub::{Arrival, ClientStats, Departure, Inlet, Sent, Socket};
use socket2::{Domain, Protocol, Type};
use starling_protocol::units::Nanos;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// Packets, or runs of them, that one call to the kernel brings: a tick brings one.
const BATCH: usize = 4;
/// Batches that are read before other connections, and what is due, have their turn.
const BATCHES_MAX: usize = 64;
/// Room for a packet on its way out; QUIC's are 1,200 bytes.
const PACKET_BYTES_MAX: usize = 2_048;

/// A packet on its way, with the far address.
#[derive(Clone, Debug)]
struct Addressed {
    far: SocketAddr,
    ecn_bits: u8,
    bytes: Vec<u8>,
}

impl Packet for Addressed {
    fn payload_bytes(&self) -> usize {
        self.bytes.len()
    }

    fn corrupt(&mut self, random: u64) {
        self.bytes.corrupt(random);
    }
}

/// Both directions of a conditioned link.
#[derive(Debug)]
struct Link {
    up: Conditioner<Addressed>,
    down: Conditioner<Addressed>,
}

impl Link {
    fn new(profile: &LinkProfile, seed: u64, start: Nanos) -> Self {
        let lane = |end| Conditioner::new(profile.clone(), derive(seed, end)).started_at(start);
        Self { up: lane(0), down: lane(1) }
    }

    fn next_due(&self) -> Option<Nanos> {
        let dues = [self.up.next_due(), self.down.next_due(), self.up.next_rebind()];
        dues.into_iter().flatten().min()
    }
}

/// Buffers that all ports share.
#[derive(Debug)]
pub(super) struct Scratch {
    inlet: Inlet,
    outgoing: Vec<u8>,
}

impl Scratch {
    pub(super) fn new() -> Self {
        Self { inlet: Inlet::new(BATCH), outgoing: Vec::with_capacity(PACKET_BYTES_MAX) }
    }
}

#[derive(Debug)]
pub(super) struct Port {
    pub(super) socket: Socket,
    pub(super) endpoint: ClientEndpoint,
    link: Option<Link>,
    /// The socket may have packets to read.
    pub(super) readable: bool,
    /// Already in the client's list of ports to look after.
    pub(super) queued: bool,
}

impl Port {
    pub(super) fn new(
        socket: Socket,
        endpoint: ClientEndpoint,
        profile: &LinkProfile,
        seed: u64,
        now: Nanos,
    ) -> Self {
        let link = (!profile.is_none()).then(|| Link::new(profile, seed, now));
        Self { socket, endpoint, link, readable: false, queued: false }
    }

    /// Whether the link wants the source port to change now.
    pub(super) fn rebind_due(&mut self, now: Nanos) -> bool {
        self.link.as_mut().is_some_and(|link| link.up.rebinds_due(now) > 0)
    }

    /// Reads the socket until it is empty or others have their turn.
    pub(super) fn receive(&mut self, now: Nanos, scratch: &mut Scratch) {
        let Self { socket, endpoint, link, .. } = self;
        let mut arrive = |arrival: &Arrival, bytes: &[u8]| match &mut *link {
            Some(link) => {
                let Arrival { from: far, ecn_bits, .. } = *arrival;
                link.down.push(now, Addressed { far, ecn_bits, bytes: bytes.to_vec() });
            }
            None => endpoint.handle_packet(now, arrival, bytes),
        };
        for _ in 0..BATCHES_MAX {
            if !self.readable {
                return;
            }
            self.readable = socket.receive(&mut scratch.inlet, &mut arrive);
        }
    }

    /// Hands over what has come through the link, and does what is due.
    pub(super) fn advance(&mut self, now: Nanos) {
        while let Some(packet) = self.link.as_mut().and_then(|link| link.down.pop(now)) {
            let Addressed { far, ecn_bits, bytes } = packet;
            let arrival = Arrival { ecn_bits, ..Arrival::from(far) };
            self.endpoint.handle_packet(now, &arrival, &bytes);
        }
        self.endpoint.handle_timeout(now);
    }

    /// Sends what QUIC has to send, by way of the link.
    pub(super) fn transmit(&mut self, now: Nanos, scratch: &mut Scratch, stats: &mut ClientStats) {
        while let Some(departure) = self.endpoint.poll_transmit(now, &mut scratch.outgoing) {
            let bytes = &scratch.outgoing[..departure.bytes];
            match &mut self.link {
                Some(link) => {
                    let Departure { to: far, ecn_bits, .. } = departure;
                    link.up.push(now, Addressed { far, ecn_bits, bytes: bytes.to_vec() });
                }
                None => send(&self.socket, &departure, bytes, stats),
            }
        }
        while let Some(packet) = self.link.as_mut().and_then(|link| link.up.pop(now)) {
            let Addressed { far, ecn_bits, bytes } = packet;
            send(&self.socket, &Departure::one(far, ecn_bits, bytes.len()), &bytes, stats);
        }
    }

    /// When it has to be looked after again.
    pub(super) fn next_due(&self) -> Option<Nanos> {
        let link = self.link.as_ref().and_then(Link::next_due);
        self.endpoint.next_timeout().into_iter().chain(link).min()
    }

    /// Nobody is connected through it, and nothing of theirs is on its way out.
    pub(super) fn is_over(&self) -> bool {
        let sending = self.link.as_ref().is_some_and(|link| link.up.in_flight() > 0);
        self.endpoint.connections() == 0 && !sending
    }
}

/// A client's packet that finds its socket full is lost: few are under way, and newer ones follow.
fn send(socket: &Socket, departure: &Departure, bytes: &[u8], stats: &mut ClientStats) {
    match socket.send(departure, bytes) {
        Sent::Taken => {}
        Sent::Full => stats.socket_full += 1,
        Sent::Failed => stats.socket_errors += 1,
    }
}

/// A socket on a fresh port, of the family of `server`.
pub(super) fn socket(server: SocketAddr, buffer_bytes: usize) -> io::Result<Socket> {
    Socket::new(udp_socket(server, buffer_bytes)?)
}

fn udp_socket(server: SocketAddr, buffer_bytes: usize) -> io::Result<socket2::Socket> {
    let any = match server {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = socket2::Socket::new(Domain::for_address(any), Type::DGRAM, Some(Protocol::UDP))?;
    // The system may grant less; drops are counted.
    let _asked =
        (socket.set_recv_buffer_size(buffer_bytes), socket.set_send_buffer_size(buffer_bytes));
    socket.set_nonblocking(true)?;
    socket.bind(&any.into())?;
    Ok(socket)
}

/// Bytes that the system grants a client's socket for receiving and sending.
///
/// # Errors
/// When the system has no socket to give.
pub fn socket_buffer_bytes() -> io::Result<(usize, usize)> {
    let granted = udp_socket(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), SOCKET_BYTES)?;
    Ok((granted.recv_buffer_size()?, granted.send_buffer_size()?))
}
