//! One socket with its endpoint, and the link between the two.

use super::endpoint::ClientEndpoint;
use super::udp::SOCKET_BYTES;
use crate::conditioner::rng::derive;
use crate::conditioner::{Conditioner, LinkProfile, Packet};
use crate::quic::hub::{Arrival, ClientStats};
use mio::net::UdpSocket;
use socket2::{Domain, Protocol, Socket, Type};
use starling_protocol::units::Nanos;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// Largest UDP payload that is read; QUIC's packets are 1,200 bytes.
pub(super) const PACKET_BYTES_MAX: usize = 2_048;

/// A packet on its way, with the far address.
#[derive(Clone, Debug)]
struct Addressed {
    far: SocketAddr,
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
    pub(super) incoming: Box<[u8; PACKET_BYTES_MAX]>,
    pub(super) outgoing: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Port {
    pub(super) socket: UdpSocket,
    pub(super) endpoint: ClientEndpoint,
    link: Option<Link>,
    /// The socket may have packets to read.
    pub(super) readable: bool,
    /// Already in the client's list of ports to look after.
    pub(super) queued: bool,
    /// Where it stands among the client's timers.
    pub(super) scheduled: Option<Nanos>,
}

impl Port {
    pub(super) fn new(
        socket: UdpSocket,
        endpoint: ClientEndpoint,
        profile: &LinkProfile,
        seed: u64,
        now: Nanos,
    ) -> Self {
        let link = (!profile.is_none()).then(|| Link::new(profile, seed, now));
        Self { socket, endpoint, link, readable: false, queued: false, scheduled: None }
    }

    /// Whether the link wants the source port to change now.
    pub(super) fn rebind_due(&mut self, now: Nanos) -> bool {
        self.link.as_mut().is_some_and(|link| link.up.rebinds_due(now) > 0)
    }

    /// Reads the socket until it is empty.
    pub(super) fn receive(&mut self, now: Nanos, scratch: &mut Scratch) {
        while self.readable {
            match self.socket.recv_from(&mut scratch.incoming[..]) {
                Ok((length, far)) => self.arrive(now, far, &scratch.incoming[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Empty, or an echo of something sent earlier, which QUIC's timers deal with.
                Err(_) => self.readable = false,
            }
        }
    }

    fn arrive(&mut self, now: Nanos, far: SocketAddr, bytes: &[u8]) {
        match &mut self.link {
            Some(link) => link.down.push(now, Addressed { far, bytes: bytes.to_vec() }),
            None => self.endpoint.handle_packet(now, &Arrival::from(far), bytes),
        }
    }

    /// Hands over what has come through the link, and does what is due.
    pub(super) fn advance(&mut self, now: Nanos) {
        while let Some(packet) = self.link.as_mut().and_then(|link| link.down.pop(now)) {
            self.endpoint.handle_packet(now, &Arrival::from(packet.far), &packet.bytes);
        }
        self.endpoint.handle_timeout(now);
    }

    /// Sends what QUIC has to send, by way of the link.
    pub(super) fn transmit(&mut self, now: Nanos, scratch: &mut Scratch, stats: &mut ClientStats) {
        while let Some(departure) = self.endpoint.poll_transmit(now, &mut scratch.outgoing) {
            let (far, bytes) = (departure.to, &scratch.outgoing[..departure.bytes]);
            match &mut self.link {
                Some(link) => link.up.push(now, Addressed { far, bytes: bytes.to_vec() }),
                None => send(&self.socket, far, bytes, stats),
            }
        }
        while let Some(packet) = self.link.as_mut().and_then(|link| link.up.pop(now)) {
            send(&self.socket, packet.far, &packet.bytes, stats);
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

fn send(socket: &UdpSocket, far: SocketAddr, bytes: &[u8], stats: &mut ClientStats) {
    match socket.send_to(bytes, far) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => stats.socket_full += 1,
        Err(_) => stats.socket_errors += 1,
    }
}

/// A socket on a fresh port, of the family of `server`.
pub(super) fn socket(server: SocketAddr, buffer_bytes: usize) -> io::Result<UdpSocket> {
    Ok(UdpSocket::from_std(udp_socket(server, buffer_bytes)?.into()))
}

fn udp_socket(server: SocketAddr, buffer_bytes: usize) -> io::Result<Socket> {
    let any = match server {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = Socket::new(Domain::for_address(any), Type::DGRAM, Some(Protocol::UDP))?;
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
