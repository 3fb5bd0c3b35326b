//! The same packets on plain UDP, without QUIC: what no transport can be below.

use crate::load::{
    Figures, Load, MEASURED, PAYLOAD_BYTES, SETTLE, TICK, Uplink, process_cpu, rest,
};
use crate::server::spawn;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What QUIC adds to a payload.
const OVERHEAD_BYTES: usize = 30;
/// Room for what all clients answer to one tick.
const SOCKET_BYTES: usize = 4 * 1024 * 1024;
/// A packet that only acknowledges.
const ACK_BYTES: usize = 32;

pub(crate) fn run(load: Load) -> Figures {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port can be had");
    socket.set_nonblocking(true).expect("sockets can be asked without waiting");
    let asked = socket2::SockRef::from(&socket).set_recv_buffer_size(SOCKET_BYTES);
    asked.expect("a socket takes the size of its buffer");
    let address = socket.local_addr().expect("it is bound").to_string();
    let words = ["raw-clients", &address, &load.clients.to_string(), load.uplink.name()];
    let clients = spawn(&words);
    let mut floor = Floor { socket, peers: Vec::new(), down: 0, up: 0, closed: false };
    while floor.peers.len() < load.clients {
        floor.receive(true);
        std::thread::sleep(Duration::from_millis(1));
    }
    floor.run_for(SETTLE);
    let before = (process_cpu(), floor.down, floor.up);
    let begun = Instant::now();
    floor.run_for(MEASURED);
    let (wall, cpu) = (begun.elapsed(), process_cpu() - before.0);
    let (down, received) = (floor.down - before.1, floor.up - before.2);
    floor.closed = true;
    floor.tick();
    let said = clients.wait_with_output().expect("the clients end when they are told");
    Figures {
        cpu,
        wall,
        down,
        // Acknowledgements are no datagrams.
        up: if load.uplink == Uplink::None { 0 } else { received },
        packets_out: down,
        packets_in: received,
        connection_bytes: 0,
        handshake: Duration::ZERO,
        clients: String::from_utf8_lossy(&said.stdout).trim().to_owned(),
    }
}

struct Floor {
    socket: std::net::UdpSocket,
    peers: Vec<SocketAddr>,
    down: u64,
    up: u64,
    closed: bool,
}

impl Floor {
    fn run_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        let mut next_tick = Instant::now();
        while Instant::now() < end {
            let looked = Instant::now();
            self.receive(false);
            if looked >= next_tick {
                next_tick += TICK;
                self.tick();
            }
            rest(looked, next_tick);
        }
    }

    fn receive(&mut self, greeting: bool) {
        let mut buffer = [0; 2_048];
        while let Ok((_, from)) = self.socket.recv_from(&mut buffer) {
            if greeting {
                self.peers.push(from);
            } else {
                self.up += 1;
            }
        }
    }

    fn tick(&mut self) {
        let packet = [u8::from(self.closed); PAYLOAD_BYTES + OVERHEAD_BYTES];
        for &peer in &self.peers {
            self.down += u64::from(self.socket.send_to(&packet, peer).is_ok());
        }
    }
}

#[allow(clippy::print_stdout)]
pub(crate) fn run_clients(words: &[&str]) -> ExitCode {
    let [server, count, uplink] = words[..] else { return ExitCode::from(1) };
    let (Ok(server), Ok(count)) = (server.parse::<SocketAddr>(), count.parse::<usize>()) else {
        return ExitCode::from(1);
    };
    let answer_bytes =
        if uplink == Uplink::None.name() { ACK_BYTES } else { PAYLOAD_BYTES + OVERHEAD_BYTES };
    let mut poll = Poll::new().expect("sockets can be watched");
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut sockets: Vec<_> =
        (0..count).map(|_| UdpSocket::bind(any).expect("a port can be had")).collect();
    for (place, socket) in sockets.iter_mut().enumerate() {
        let registry = poll.registry();
        registry.register(socket, Token(place), Interest::READABLE).expect("it can be watched");
        socket.send_to(b"hello", server).expect("loopback takes it");
    }
    let (mut events, mut buffer, mut open) = (Events::with_capacity(1_024), [0; 2_048], count);
    while open > 0 {
        poll.poll(&mut events, None).expect("sockets can be watched");
        for event in &events {
            let socket = &sockets[event.token().0];
            while let Ok((length, _)) = socket.recv_from(&mut buffer) {
                if buffer[..length].first() == Some(&1) {
                    open -= 1;
                } else {
                    // One that is lost is not counted.
                    let _sent = socket.send_to(&[3; 256][..answer_bytes], server);
                }
            }
        }
    }
    println!("plain");
    ExitCode::SUCCESS
}
