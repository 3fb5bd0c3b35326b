//! A relay of UDP packets between clients and the server, in a thread of its own: seeded loss, delay,
//! copies, reordering and damage each way, cuts of either way, a new address at the server for everyone,
//! and packets of the past that come once more.

use crate::Dice;
use starling_protocol::units::Nanos;
use starling_transport::conditioner::{Conditioner, LinkProfile};
use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the relay sleeps when nothing is there.
const NAP: Duration = Duration::from_micros(200);
/// Packets of the past that are kept.
const CAUGHT_MAX: usize = 2_048;
/// Larger than any packet of QUIC here.
const PACKET_BYTES: usize = 2_048;

/// What the relay is told to do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Orders {
    /// Nothing passes from clients to the server.
    pub(crate) no_way_up: bool,
    /// Nothing passes from the server to clients.
    pub(crate) no_way_down: bool,
    /// How often every client got a new address.
    pub(crate) moves: u32,
    /// An old address goes on sending copies of what the new one sends.
    pub(crate) old_address_speaks: bool,
    /// Send packets of the past to the server once more, so many.
    pub(crate) replay: u32,
    /// Larger packets vanish, either way.
    pub(crate) largest: Option<usize>,
    over: bool,
}

/// A relay that runs until it is dropped.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    orders: Arc<Mutex<Orders>>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Before this server, with this profile each way.
    pub(crate) fn start(server: SocketAddr, link: &str, seed: u64) -> Self {
        let link = LinkProfile::parse(link).expect("a profile that is written right");
        let front = UdpSocket::bind(("127.0.0.1", 0)).expect("a free port");
        front.set_nonblocking(true).expect("a socket that does not wait");
        let address = front.local_addr().expect("it is bound");
        let orders = Arc::new(Mutex::new(Orders::default()));
        let mut work = Work {
            front,
            server,
            link,
            dice: Dice(seed),
            guests: BTreeMap::new(),
            caught: Vec::new(),
            moved: 0,
            start: Instant::now(),
        };
        let told = Arc::clone(&orders);
        let thread = std::thread::spawn(move || work.run(&told));
        Self { address, orders, thread: Some(thread) }
    }

    /// Changes what it does.
    pub(crate) fn order(&self) -> MutexGuard<'_, Orders> {
        locked(&self.orders)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.order().over = true;
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))), "the relay broke down");
    }
}

fn locked(orders: &Mutex<Orders>) -> MutexGuard<'_, Orders> {
    orders.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One client: its ways, and its addresses at the server, the newest last.
struct Guest {
    up: Conditioner<Vec<u8>>,
    down: Conditioner<Vec<u8>>,
    sockets: Vec<UdpSocket>,
}

struct Work {
    front: UdpSocket,
    server: SocketAddr,
    link: LinkProfile,
    dice: Dice,
    guests: BTreeMap<SocketAddr, Guest>,
    caught: Vec<Vec<u8>>,
    moved: u32,
    start: Instant,
}

impl Work {
    fn run(&mut self, told: &Mutex<Orders>) {
        loop {
            let orders = {
                let mut told = locked(told);
                let orders = told.clone();
                told.replay = 0;
                orders
            };
            if orders.over {
                return;
            }
            self.obey(&orders);
            let moved = self.take_up(&orders) + self.take_down(&orders) + self.pass_on(&orders);
            if moved == 0 {
                std::thread::sleep(NAP);
            }
        }
    }

    fn now(&self) -> Nanos {
        Nanos(self.start.elapsed().as_nanos() as u64)
    }

    fn obey(&mut self, orders: &Orders) {
        if orders.moves != self.moved {
            self.moved = orders.moves;
            for guest in self.guests.values_mut() {
                guest.sockets.push(upstream(self.server));
                let keep = guest.sockets.len().saturating_sub(2);
                guest.sockets.drain(..keep);
            }
        }
        for _ in 0..orders.replay {
            let at = self.dice.between(0, self.caught.len().max(1) as u64) as usize;
            let guest = self.guests.values().next();
            if let Some((packet, guest)) = self.caught.get(at).zip(guest) {
                send(guest.sockets.last(), packet);
            }
        }
    }

    /// What clients send enters their ways.
    fn take_up(&mut self, orders: &Orders) -> usize {
        let (mut bytes, mut taken) = ([0; PACKET_BYTES], 0);
        while let Ok((len, from)) = self.front.recv_from(&mut bytes) {
            taken += 1;
            let packet = bytes[..len].to_vec();
            if self.caught.len() < CAUGHT_MAX {
                self.caught.push(packet.clone());
            } else {
                let at = self.dice.between(0, CAUGHT_MAX as u64) as usize;
                self.caught[at].clone_from(&packet);
            }
            let now = self.now();
            let (link, server, dice) = (&self.link, self.server, &mut self.dice);
            let guest = self.guests.entry(from).or_insert_with(|| Guest {
                up: Conditioner::new(link.clone(), dice.roll()),
                down: Conditioner::new(link.clone(), dice.roll()),
                sockets: vec![upstream(server)],
            });
            if !orders.no_way_up && fits(orders, packet.len()) {
                guest.up.push(now, packet);
            }
        }
        taken
    }

    /// What the server sends enters them from the other end.
    fn take_down(&mut self, orders: &Orders) -> usize {
        let (mut bytes, mut taken, now) = ([0; PACKET_BYTES], 0, self.now());
        for guest in self.guests.values_mut() {
            for socket in &guest.sockets {
                while let Ok(len) = socket.recv(&mut bytes) {
                    taken += 1;
                    if !orders.no_way_down && fits(orders, len) {
                        guest.down.push(now, bytes[..len].to_vec());
                    }
                }
            }
        }
        taken
    }

    /// What has come to an end of its way leaves it.
    fn pass_on(&mut self, orders: &Orders) -> usize {
        let (mut passed, now) = (0, self.now());
        for (client, guest) in &mut self.guests {
            while let Some(packet) = guest.up.pop(now) {
                passed += 1;
                send(guest.sockets.last(), &packet);
                if orders.old_address_speaks {
                    send(guest.sockets.first(), &packet);
                }
            }
            while let Some(packet) = guest.down.pop(now) {
                passed += 1;
                // A client that is gone, or a full buffer: a loss like any other.
                let _lost = self.front.send_to(&packet, client);
            }
        }
        passed
    }
}

fn fits(orders: &Orders, bytes: usize) -> bool {
    orders.largest.is_none_or(|largest| bytes <= largest)
}

fn upstream(server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a free port");
    socket.set_nonblocking(true).expect("a socket that does not wait");
    socket.connect(server).expect("an address of this machine");
    socket
}

fn send(socket: Option<&UdpSocket>, packet: &[u8]) {
    // A server that is not there: a loss like any other.
    let _lost = socket.map(|socket| socket.send(packet));
}
