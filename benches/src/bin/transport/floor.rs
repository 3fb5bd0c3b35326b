//! The same packets on plain UDP, without QUIC: what no transport can be below.
//!
//! ```text
//! hello    'h'; said again until the first tick is heard, for any packet may be lost
//! tick     't', when it was sent (8 bytes, nanoseconds), padding
//! answer   'a', the time of the tick that it answers or 0, padding
//! end      'e'; said again until the clients are gone
//! ```

use crate::load::{Figures, Load, PAYLOAD_BYTES, SETTLE, TICK, Uplink, process_cpu, rest};
use crate::raw_clients::ACK_BYTES;
use crate::server::spawn;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Child;
use std::time::{Duration, Instant};

/// What QUIC adds to a payload.
const OVERHEAD_BYTES: usize = 30;
/// A packet with a payload.
pub(crate) const PACKET_BYTES: usize = PAYLOAD_BYTES + OVERHEAD_BYTES;
/// Room for what all clients answer to one tick.
const SOCKET_BYTES: usize = 4 * 1024 * 1024;
/// All clients have come in, and are gone, after so long at most.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn run(load: Load) -> Figures {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port can be had");
    socket.set_nonblocking(true).expect("sockets can be asked without waiting");
    let asked = socket2::SockRef::from(&socket).set_recv_buffer_size(SOCKET_BYTES);
    asked.expect("a socket takes the size of its buffer");
    let address = socket.local_addr().expect("it is bound").to_string();
    let words = ["raw-clients", &address, &load.clients.to_string(), load.uplink.name()];
    let clients = spawn(&words);
    let start = Instant::now();
    let (peers, rtt_us) = (BTreeSet::new(), Vec::new());
    let mut floor = Floor { socket, start, peers, down: 0, up: 0, rtt_us };
    while floor.peers.len() < load.clients {
        floor.receive();
        assert!(start.elapsed() < PATIENCE, "{} clients came in", floor.peers.len());
        std::thread::sleep(Duration::from_millis(1));
    }
    floor.run_for(SETTLE);
    floor.rtt_us.clear();
    let before = (process_cpu(), floor.down, floor.up);
    let begun = Instant::now();
    floor.run_for(load.measured);
    let (wall, cpu) = (begun.elapsed(), process_cpu() - before.0);
    let (down, received) = (floor.down - before.1, floor.up - before.2);
    floor.end(clients);
    let up_bytes = if load.uplink == Uplink::None { ACK_BYTES } else { PACKET_BYTES };
    Figures {
        cpu,
        wall,
        down,
        // Acknowledgements are no datagrams.
        up: if load.uplink == Uplink::None { 0 } else { received },
        packets_out: down,
        packets_in: received,
        bytes_out: down * PACKET_BYTES as u64,
        bytes_in: received * up_bytes as u64,
        rtt_ms: floor.rtt_ms(),
        ..Figures::default()
    }
}

struct Floor {
    socket: std::net::UdpSocket,
    start: Instant,
    peers: BTreeSet<SocketAddr>,
    down: u64,
    up: u64,
    rtt_us: Vec<u64>,
}

impl Floor {
    fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    fn run_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        let mut next_tick = Instant::now();
        while Instant::now() < end {
            let looked = Instant::now();
            self.receive();
            if looked >= next_tick {
                next_tick += TICK;
                self.tick(b't');
            }
            rest(looked, next_tick);
        }
    }

    fn receive(&mut self) {
        let mut buffer = [0; 2_048];
        while let Ok((length, from)) = self.socket.recv_from(&mut buffer) {
            match buffer[..length] {
                [b'h', ..] => drop(self.peers.insert(from)),
                [b'a', ..] => self.answered(&buffer[1..length]),
                _ => {}
            }
        }
    }

    fn answered(&mut self, rest: &[u8]) {
        self.up += 1;
        let sent_ns = rest.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        // One in so many is enough to know how long they take.
        if sent_ns > 0 && self.up.is_multiple_of(7) {
            self.rtt_us.push(self.now_ns().saturating_sub(sent_ns) / 1_000);
        }
    }

    fn tick(&mut self, word: u8) {
        let mut packet = [0; PACKET_BYTES];
        packet[0] = word;
        for &peer in &self.peers {
            packet[1..9].copy_from_slice(&self.now_ns().to_le_bytes());
            self.down += u64::from(self.socket.send_to(&packet, peer).is_ok());
        }
    }

    /// Tells the clients to end until they have.
    fn end(&mut self, mut clients: Child) {
        let begun = Instant::now();
        while clients.try_wait().is_ok_and(|ended| ended.is_none()) {
            if begun.elapsed() > PATIENCE {
                clients.kill().expect("it is our own");
            }
            self.tick(b'e');
            std::thread::sleep(TICK);
        }
    }

    /// Round trips at the middle and at the 99th percentile.
    fn rtt_ms(&mut self) -> Option<[f64; 2]> {
        self.rtt_us.sort_unstable();
        let at = |share: usize| self.rtt_us.get(self.rtt_us.len() * share / 100);
        Some([*at(50)? as f64 / 1e3, *at(99)? as f64 / 1e3])
    }
}
