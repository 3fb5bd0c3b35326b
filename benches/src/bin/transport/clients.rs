//! The other process: many clients, each on a socket of its own.

use crate::load::{PAYLOAD_BYTES, TICK, Uplink, process_cpu};
use starling_protocol::units::Nanos;
use starling_transport::quic::{ClientOptions, ConnectOptions, UdpClient};
use starling_transport::tls::{ClientTls, ServerTrust};
use starling_transport::{ConnKey, Event, Transport};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Handshakes under way at once.
const HANDSHAKES: usize = 40;

struct Clients {
    client: UdpClient,
    options: ConnectOptions,
    uplink: Uplink,
    start: Instant,
    asked: usize,
    conns: Vec<ConnKey>,
    events: Vec<Event>,
    /// Which of those that send at a phase of their own comes next, and when.
    turn: usize,
    turn_at: Instant,
    heard: u64,
    closed: usize,
    /// Processor time and datagrams heard when all were connected.
    settled: Option<(Duration, u64)>,
    rtt_us: Vec<u64>,
}

#[allow(clippy::print_stdout)]
pub(crate) fn run(words: &[&str]) -> ExitCode {
    let [server, count, uplink] = words[..] else { return ExitCode::from(1) };
    let (Ok(server), Ok(count), Some(uplink)) =
        (server.parse(), count.parse::<usize>(), Uplink::named(uplink))
    else {
        return ExitCode::from(1);
    };
    let tls = ClientTls::new(&ServerTrust::Insecure).expect("no roots are needed");
    let start = Instant::now();
    let mut clients = Clients {
        client: UdpClient::new(ClientOptions::default()).expect("sockets can be watched"),
        options: ConnectOptions::new(server, tls),
        uplink,
        start,
        asked: 0,
        conns: Vec::new(),
        events: Vec::new(),
        turn: 0,
        turn_at: start,
        heard: 0,
        closed: 0,
        settled: None,
        rtt_us: Vec::new(),
    };
    while clients.closed < count {
        clients.step(count);
    }
    println!("{}", clients.said());
    ExitCode::SUCCESS
}

impl Clients {
    fn step(&mut self, count: usize) {
        let now = Nanos(self.start.elapsed().as_nanos() as u64);
        while self.asked < count && self.asked < self.conns.len() + HANDSHAKES {
            self.client.connect(now, &self.options).expect("a socket can be had");
            self.asked += 1;
        }
        self.client.poll(now, 4_096, &mut self.events);
        let mut events = std::mem::take(&mut self.events);
        events.drain(..).for_each(|event| self.take(now, event));
        self.events = events;
        if self.settled.is_none() && self.conns.len() == count && self.heard > 10 * count as u64 {
            self.settled = Some((process_cpu(), self.heard));
        }
        self.send_in_turn(now);
        self.client.flush(now);
        let due = self.client.next_timeout().map_or(TICK, |at| Duration::from_nanos(at.since(now)));
        let turn = self.turn_at.saturating_duration_since(Instant::now());
        self.client.wait(if self.uplink == Uplink::Staggered { due.min(turn) } else { due });
    }

    fn take(&mut self, now: Nanos, event: Event) {
        match event {
            Event::Connected { conn, .. } => self.conns.push(conn),
            Event::Datagram { conn, .. } => {
                self.heard += 1;
                if self.uplink == Uplink::Answer {
                    self.send(now, conn);
                }
                if self.heard.is_multiple_of(499) {
                    let rtt = self.client.conn_stats(conn).map(|stats| stats.rtt_us);
                    self.rtt_us.extend(rtt);
                }
            }
            Event::Closed { .. } => self.closed += 1,
            Event::Stream { .. } => {}
        }
    }

    fn send_in_turn(&mut self, now: Nanos) {
        let ready = self.uplink == Uplink::Staggered && self.settled.is_some();
        while ready && self.turn_at <= Instant::now() {
            self.send(now, self.conns[self.turn]);
            self.turn = (self.turn + 1) % self.conns.len();
            self.turn_at += TICK / self.conns.len() as u32;
        }
        if !ready {
            self.turn_at = Instant::now() + TICK;
        }
    }

    fn send(&mut self, now: Nanos, conn: ConnKey) {
        // One that finds no room is lost; the server counts what arrives.
        let _sent = self.client.send_datagram(now, conn, &[5; PAYLOAD_BYTES]);
    }

    fn said(&mut self) -> String {
        self.rtt_us.sort_unstable();
        let at = |share: usize| self.rtt_us.get(self.rtt_us.len() * share / 100).copied();
        let ms = |us: Option<u64>| us.unwrap_or(0) as f64 / 1_000.0;
        let (cpu, heard) = self.settled.unwrap_or_default();
        let each = (process_cpu() - cpu).as_secs_f64() * 1e6 / (self.heard - heard).max(1) as f64;
        format!("{:.1} {:.1} {each:.1}", ms(at(50)), ms(at(99)))
    }
}
