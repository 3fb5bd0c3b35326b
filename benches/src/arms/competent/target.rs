//! The competent server's clients, many on one thread, each on a socket of its own.

use super::seal::{Offer, Opener, SEAL_BYTES, Sealer};
use super::snapshot::{AGE_MAX, Head, STEPS, State, read};
use super::{CLOCK_US, HELLO_BYTES, ID_BITS, Up, unwrap16};
use crate::arms::TICK_HZ;
use crate::arms::copies::Copies;
use anyhow::{Context, Result, ensure};
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use starling_client_sim::motion::{Facing, Pose};
use starling_client_sim::space::Space;
use starling_client_sim::target::{
    ClientNo, ClientPlan, Clock, EntityNo, EventNo, GivenCue, Link, Publish, Received, Sample,
    Target, Terms, Traffic,
};
use starling_protocol::bits::BitReader;
use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// A hello that was not answered is said again after this long.
const AGAIN_NS: u64 = 250_000_000;
/// Hellos said in one pass.
const HELLOS_MAX: usize = 16;
/// Half the diagonal of a cell of 1/64 m, and a little.
const ERROR_M: f64 = 0.014;
const PACKET_BYTES_MAX: usize = 2_048;

/// Clients of the competent server.
pub struct CompetentTarget {
    server: SocketAddr,
    poll: Poll,
    events: Events,
    clients: Vec<Client>,
    owners: HashMap<EntityNo, usize>,
    ready: Vec<usize>,
    buffer: Vec<u8>,
    refused: Vec<EventNo>,
    connected: bool,
    traffic: Traffic,
}

struct Client {
    copies: Copies,
    socket: UdpSocket,
    /// Until the server has answered.
    offer: Option<Offer>,
    said_ns: Option<u64>,
    keys: Option<(Sealer, Opener)>,
    /// Snapshots by tick.
    past: Vec<(u32, Vec<(u16, State)>)>,
    sent: u32,
}

impl CompetentTarget {
    /// Clients of the server at an address.
    ///
    /// # Errors
    /// The system's poller cannot be had.
    pub fn new(server: SocketAddr) -> Result<Self> {
        Ok(Self {
            server,
            poll: Poll::new()?,
            events: Events::with_capacity(4_096),
            clients: Vec::new(),
            owners: HashMap::new(),
            ready: Vec::new(),
            buffer: vec![0; PACKET_BYTES_MAX],
            refused: Vec::new(),
            connected: false,
            traffic: Traffic::default(),
        })
    }

    fn admit(&mut self, plan: &ClientPlan) -> Result<()> {
        let copies = Copies::of(plan).context("every client owns an entity")?;
        ensure!(copies.own.0 >> ID_BITS == 0, "a world holds 8,192 entities");
        let mut socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        socket.connect(self.server)?;
        let token = Token(self.clients.len());
        self.poll.registry().register(&mut socket, token, Interest::READABLE)?;
        self.owners.insert(copies.own, self.clients.len());
        let past = vec![(0, Vec::new()); AGE_MAX as usize + 1];
        let (offer, keys) = (Some(Offer::new()?), None);
        self.clients.push(Client { copies, socket, offer, said_ns: None, keys, past, sent: 0 });
        Ok(())
    }

    /// Waits for at most so long for sockets that have something to read.
    fn look(&mut self, longest: Duration) {
        // An interrupted wait is a short one.
        let _ = self.poll.poll(&mut self.events, Some(longest));
        self.ready.extend(self.events.iter().map(|event| event.token().0));
    }

    fn say_hello(&mut self, now_ns: u64) {
        let due = |client: &&mut Client| {
            client.keys.is_none() && client.said_ns.is_none_or(|said| now_ns > said + AGAIN_NS)
        };
        for client in self.clients.iter_mut().filter(due).take(HELLOS_MAX) {
            client.said_ns = Some(now_ns);
            if let Some(offer) = &client.offer {
                let mut hello = [0; HELLO_BYTES];
                hello[..32].copy_from_slice(&offer.public);
                hello[32..].copy_from_slice(&(client.copies.own.0 as u16).to_le_bytes());
                count_up(&client.socket, &hello, &mut self.traffic);
            }
        }
    }
}

fn count_up(socket: &UdpSocket, packet: &[u8], traffic: &mut Traffic) {
    match socket.send(packet) {
        Ok(_) => {
            traffic.bytes_up += packet.len() as u64;
            traffic.packets_up += 1;
        }
        Err(_) => traffic.socket_drops += 1,
    }
}

impl Client {
    fn hear(&mut self, packet: &mut [u8], at_ns: u64, into: &mut Received) {
        if packet.len() == 32 {
            self.agree(packet, at_ns, into);
            return;
        }
        let Some((_, opener)) = &mut self.keys else { return };
        let Some(content) = opener.open(packet) else { return };
        let mut bits = BitReader::new(content);
        let Ok(head) = Head::read(&mut bits) else { return };
        let tick = unwrap16(self.copies.tick().unwrap_or(1_000), head.tick);
        if self.copies.tick().is_some_and(|newest| tick <= newest) {
            return;
        }
        let mut now = std::mem::take(&mut self.slot(tick).1);
        let before = match head.age {
            0 => &[][..],
            age if self.slot(tick - age).0 == tick - age => &self.slot(tick - age).1[..],
            // It does not hold that baseline, which it never acknowledged.
            _ => return,
        };
        if read(&mut bits, before, &mut now).is_err() {
            return;
        }
        let taken = self.sent.wrapping_sub(u32::from((self.sent as u8).wrapping_sub(head.taken)));
        self.copies.took(tick, taken, into);
        let metres = |state: &State| state.at.map(|axis| f64::from(axis) / STEPS);
        let seen = now.iter().map(|(id, state)| (EntityNo(u32::from(*id)), metres(state)));
        self.copies.see(tick, at_ns, seen, into);
        *self.slot(tick) = (tick, now);
        if let Some((clock, held)) = head.echo {
            let way = clock_of(at_ns).wrapping_sub(clock).saturating_sub(held);
            into.rtt_ns.push((self.copies.client, u64::from(way) * CLOCK_US * 1_000));
        }
        into.wanted.push((self.copies.client, at_ns));
    }

    fn slot(&mut self, tick: u32) -> &mut (u32, Vec<(u16, State)>) {
        let count = self.past.len();
        &mut self.past[tick as usize % count]
    }

    /// The server's half of the key; the first sample follows at once.
    fn agree(&mut self, key: &[u8], at_ns: u64, into: &mut Received) {
        let Some(offer) = self.offer.take() else { return };
        self.keys = offer.agree(key, false).ok();
        let link = match self.keys {
            Some(_) => Link::Connected,
            None => Link::Refused("no key could be agreed".to_owned()),
        };
        into.links.push((self.copies.client, link));
        into.wanted.push((self.copies.client, at_ns));
    }

    fn say(&mut self, sample: &Sample, now_ns: u64, packet: &mut Vec<u8>) -> bool {
        let Some((sealer, _)) = &mut self.keys else { return false };
        self.sent = sample.number;
        let up = Up {
            number: sample.number as u16,
            ack: self.copies.tick().unwrap_or(0) as u16,
            clock: clock_of(now_ns),
            state: state(&sample.pose),
        };
        packet.clear();
        packet.extend_from_slice(&[0; 4]);
        packet.extend_from_slice(&up.write());
        sealer.seal(packet, 0);
        debug_assert_eq!(packet.len(), super::UP_BYTES + SEAL_BYTES);
        true
    }
}

fn clock_of(ns: u64) -> u16 {
    (ns / 1_000 / CLOCK_US) as u16
}

fn state(pose: &Pose) -> State {
    let heading = if let Facing::Heading(degrees) = pose.facing { degrees } else { 0.0 };
    let turns = (heading / 360.0).rem_euclid(1.0);
    State {
        at: pose.position.map(|c| (c * STEPS).round() as i32),
        heading: (turns * 256.0).round() as i32 as u8,
    }
}

impl Target for CompetentTarget {
    fn connect(&mut self, _: &dyn Clock, plans: &[ClientPlan]) -> Result<()> {
        plans.iter().try_for_each(|plan| self.admit(plan))
    }

    fn terms(&self) -> Option<Terms> {
        self.connected.then_some(Terms {
            space: Space::Metric,
            tick_hz: f64::from(TICK_HZ),
            error_bound_m: ERROR_M,
            grid_m: 0.0,
            hysteresis: 1.125,
        })
    }

    fn receive(&mut self, clock: &dyn Clock, into: &mut Received) {
        for at in std::mem::take(&mut self.ready) {
            let Some(client) = self.clients.get_mut(at) else { continue };
            loop {
                match client.socket.recv(&mut self.buffer) {
                    Ok(len) => {
                        self.traffic.bytes_down += len as u64;
                        self.traffic.packets_down += 1;
                        client.hear(&mut self.buffer[..len], clock.now_ns(), into);
                    }
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
        }
        self.connected |= into.links.iter().any(|(_, link)| *link == Link::Connected);
        self.say_hello(clock.now_ns());
        into.refused_events.append(&mut self.refused);
    }

    fn submit(&mut self, clock: &dyn Clock, samples: &[Sample]) {
        let mut packet = Vec::with_capacity(64);
        for sample in samples {
            let Some(&at) = self.owners.get(&sample.entity) else { continue };
            let client = &mut self.clients[at];
            if client.say(sample, clock.now_ns(), &mut packet) {
                count_up(&client.socket, &packet, &mut self.traffic);
            }
        }
    }

    /// It has no way to end an entity.
    fn remove(&mut self, _: &dyn Clock, _: &[EntityNo]) {}

    /// It has no events.
    fn publish(&mut self, _: &dyn Clock, events: &[Publish]) {
        self.refused.extend(events.iter().map(|event| event.event));
    }

    /// It has no cues.
    fn give(&mut self, _: &dyn Clock, _: &[GivenCue]) {}

    fn draw(&mut self, _: &dyn Clock, _: ClientNo, _: &mut Received) {}

    fn is_pressed(&mut self) -> bool {
        self.look(Duration::ZERO);
        !self.ready.is_empty()
    }

    fn wait(&mut self, clock: &dyn Clock, until_ns: u64) {
        self.look(Duration::from_nanos(until_ns.saturating_sub(clock.now_ns())));
    }

    fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// It has no goodbye.
    fn leave(&mut self, _: &dyn Clock) {}
}
