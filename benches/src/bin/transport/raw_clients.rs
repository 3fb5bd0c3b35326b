//! The clients of the floor, in a process of their own: see [`crate::floor`] for what is said.

use crate::floor::PACKET_BYTES;
use crate::load::{TICK, Uplink};
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// A packet that only acknowledges.
pub(crate) const ACK_BYTES: usize = 32;
/// A hello that brought nothing is said again after so long.
const HELLO: Duration = Duration::from_millis(100);
/// A server that says nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(30);

struct RawClients {
    poll: Poll,
    sockets: Vec<UdpSocket>,
    heard: Vec<bool>,
    ended: Vec<bool>,
    uplink: Uplink,
    server: SocketAddr,
    hello_at: Instant,
    heard_at: Instant,
    /// Which of those that send at a phase of their own comes next, and when.
    turn: usize,
    turn_at: Instant,
}

pub(crate) fn run(words: &[&str]) -> ExitCode {
    let [server, count, uplink] = words[..] else { return ExitCode::from(1) };
    let (Ok(server), Ok(count), Some(uplink)) =
        (server.parse(), count.parse::<usize>(), Uplink::named(uplink))
    else {
        return ExitCode::from(1);
    };
    let mut clients = RawClients::new(server, count, uplink);
    let mut events = Events::with_capacity(1_024);
    while clients.ended.contains(&false) && clients.heard_at.elapsed() < SILENCE {
        clients.poll.poll(&mut events, Some(clients.nap())).expect("sockets can be watched");
        events.iter().for_each(|event| clients.receive(event.token().0));
        clients.greet();
        clients.send_in_turn();
    }
    ExitCode::SUCCESS
}

impl RawClients {
    fn new(server: SocketAddr, count: usize, uplink: Uplink) -> Self {
        let poll = Poll::new().expect("sockets can be watched");
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut sockets: Vec<_> =
            (0..count).map(|_| UdpSocket::bind(any).expect("a port can be had")).collect();
        for (place, socket) in sockets.iter_mut().enumerate() {
            let registry = poll.registry();
            registry.register(socket, Token(place), Interest::READABLE).expect("it can be watched");
        }
        let (heard, ended, now) = (vec![false; count], vec![false; count], Instant::now());
        let (hello_at, heard_at, turn, turn_at) = (now, now, 0, now);
        Self { poll, sockets, heard, ended, uplink, server, hello_at, heard_at, turn, turn_at }
    }

    /// In turns from the first tick on that everyone has heard.
    fn takes_turns(&self) -> bool {
        self.uplink == Uplink::Staggered && !self.heard.contains(&false)
    }

    fn nap(&self) -> Duration {
        let turn = if self.takes_turns() { self.turn_at } else { Instant::now() + HELLO };
        turn.saturating_duration_since(Instant::now())
    }

    fn receive(&mut self, place: usize) {
        let mut buffer = [0; 2_048];
        while let Ok((length, _)) = self.sockets[place].recv_from(&mut buffer) {
            self.heard_at = Instant::now();
            match buffer[..length] {
                [b'e', ..] => self.ended[place] = true,
                [b't', ..] => {
                    self.heard[place] = true;
                    match self.uplink {
                        Uplink::Answer => self.send(place, &buffer[1..9], PACKET_BYTES),
                        Uplink::None => self.send(place, &buffer[1..9], ACK_BYTES),
                        Uplink::Staggered => {}
                    }
                }
                _ => {}
            }
        }
    }

    fn greet(&mut self) {
        if self.hello_at > Instant::now() {
            return;
        }
        self.hello_at = Instant::now() + HELLO;
        for (socket, _) in self.sockets.iter().zip(&self.heard).filter(|(_, heard)| !**heard) {
            // One that is lost is said again.
            let _sent = socket.send_to(b"h", self.server);
        }
    }

    fn send_in_turn(&mut self) {
        if !self.takes_turns() {
            self.turn_at = Instant::now() + TICK;
            return;
        }
        while self.turn_at <= Instant::now() {
            self.send(self.turn, &[0; 8], PACKET_BYTES);
            self.turn = (self.turn + 1) % self.sockets.len();
            self.turn_at += TICK / self.sockets.len() as u32;
        }
    }

    fn send(&self, place: usize, stamp: &[u8], bytes: usize) {
        let mut packet = [0; PACKET_BYTES];
        packet[0] = b'a';
        packet[1..9].copy_from_slice(stamp);
        // One that is lost is not counted.
        let _sent = self.sockets[place].send_to(&packet[..bytes], self.server);
    }
}
