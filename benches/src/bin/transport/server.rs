//! A server of one of the two kinds, with nothing behind it but a tick.

use crate::load::{Figures, Load, PAYLOAD_BYTES, SETTLE, TICK, process_cpu, resident_bytes, rest};
use starling_protocol::close::CloseCode;
use starling_protocol::units::Nanos;
use starling_transport::quic::{Io, QuicServer, ServerOptions};
use starling_transport::tls::Identity;
use starling_transport::{ConnKey, Event, Transport};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Events of one poll.
const EVENTS_MAX: usize = 4_096;

struct Bench {
    server: QuicServer,
    start: Instant,
    conns: Vec<ConnKey>,
    events: Vec<Event>,
    next_tick: Instant,
    down: u64,
    up: u64,
}

pub(crate) fn run(io: Io, shards: u8, load: Load) -> Figures {
    let identity = Identity::development().expect("a certificate can be made");
    let address = (Ipv4Addr::LOCALHOST, 0).into();
    let options = ServerOptions { shards, ..ServerOptions::new(address, identity) };
    let server = QuicServer::bind(io, &options).expect("a free port can be had");
    let address = server.local_addr().to_string();
    let clients = spawn(&["clients", &address, &load.clients.to_string(), load.uplink.name()]);
    let start = Instant::now();
    let mut bench = Bench {
        server,
        start,
        conns: Vec::new(),
        events: Vec::new(),
        next_tick: start,
        down: 0,
        up: 0,
    };
    bench.figures(load, clients)
}

pub(crate) fn spawn(arguments: &[&str]) -> Child {
    let program = std::env::current_exe().expect("this program has a name");
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::piped());
    command.spawn().expect("a process can be had")
}

impl Bench {
    fn figures(&mut self, load: Load, clients: Child) -> Figures {
        let (memory, cpu) = (resident_bytes(), process_cpu());
        while self.conns.len() < load.clients {
            self.step(false);
        }
        let count = load.clients as u64;
        let handshake = (process_cpu() - cpu) / load.clients as u32;
        self.run_for(SETTLE);
        let connection_bytes = resident_bytes().saturating_sub(memory) / count;
        let before = (process_cpu(), self.server.stats(), self.down, self.up);
        let begun = Instant::now();
        self.run_for(load.measured);
        let (wall, cpu, stats) = (begun.elapsed(), process_cpu(), self.server.stats());
        let (down, up) = (self.down - before.2, self.up - before.3);
        let now = self.now();
        for conn in std::mem::take(&mut self.conns) {
            self.server.close(now, conn, CloseCode::GOING_AWAY, "");
        }
        let end = Instant::now();
        while end.elapsed() < Duration::from_secs(1) {
            self.step(false);
        }
        let said = clients.wait_with_output().expect("the clients end when they are closed");
        let mut figures = Figures {
            cpu: cpu - before.0,
            wall,
            down,
            up,
            connection_bytes,
            handshake,
            packets_out: stats.udp_packets_out - before.1.udp_packets_out,
            packets_in: stats.udp_packets_in - before.1.udp_packets_in,
            bytes_out: stats.udp_bytes_out - before.1.udp_bytes_out,
            bytes_in: stats.udp_bytes_in - before.1.udp_bytes_in,
            ..Figures::default()
        };
        figures.take_said(&String::from_utf8_lossy(&said.stdout));
        figures
    }

    fn now(&self) -> Nanos {
        Nanos(self.start.elapsed().as_nanos() as u64)
    }

    fn run_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        self.next_tick = Instant::now();
        while Instant::now() < end {
            self.step(true);
        }
    }

    fn step(&mut self, ticking: bool) {
        let (looked, now) = (Instant::now(), self.now());
        self.server.poll(now, EVENTS_MAX, &mut self.events);
        for event in self.events.drain(..) {
            match event {
                Event::Connected { conn, .. } => self.conns.push(conn),
                Event::Datagram { .. } => self.up += 1,
                Event::Stream { .. } | Event::Closed { .. } => {}
            }
        }
        if ticking && looked >= self.next_tick {
            self.next_tick += TICK;
            self.tick(now);
        }
        let due =
            self.server.next_timeout().map_or(TICK, |due| Duration::from_nanos(due.since(now)));
        let tick = self.next_tick.saturating_duration_since(Instant::now());
        let nap = if ticking { due.min(tick) } else { due.min(TICK) };
        self.server.wait(nap);
        rest(looked, if ticking { self.next_tick } else { looked + TICK });
    }

    fn tick(&mut self, now: Nanos) {
        let payload = [7; PAYLOAD_BYTES];
        for &conn in &self.conns {
            self.down += u64::from(self.server.send_datagram(now, conn, &payload).is_ok());
        }
        self.server.flush(now);
    }
}
