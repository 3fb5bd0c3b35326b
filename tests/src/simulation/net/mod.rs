//! A network of UDP packets in one thread: a server at one address, and clients behind address
//! translators of their own.

mod client;
mod host;
mod lane;
mod mischief;
mod server;
mod unproven;

pub(crate) use client::SimClient;
pub(crate) use server::SimServer;

use super::dice::Dice;
use super::options::{Knob, Options};
use super::trace::{Trace, Verdict};
use host::Host;
use lane::Faults;
use starling_protocol::units::Nanos;
use starling_transport::ConnKey;
use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use unproven::Unproven;

/// Where the server is.
pub(crate) const SERVER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)), 4433);
/// For how long packets still leave from a former address.
const GHOST_NS: u64 = Nanos::SECOND;

/// A packet on its way.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    /// The client's port outside of its translator.
    pub(super) port: u16,
    pub(super) ecn_bits: u8,
    pub(super) bytes: Vec<u8>,
    /// It is not what its sender sent.
    pub(super) flipped: bool,
}

/// Packets by time of arrival, then by order of departure.
type Queue = BTreeMap<(Nanos, u64), (usize, Packet)>;

/// The network; a handle.
#[derive(Clone, Debug)]
pub(crate) struct Net(Rc<RefCell<State>>);

#[derive(Debug)]
pub(super) struct State {
    pub(super) now: Nanos,
    faults: Option<Faults>,
    ghosts: f64,
    dice: Dice,
    order: u64,
    to_server: Queue,
    to_clients: Vec<Queue>,
    hosts: Vec<Host>,
    unproven: Unproven,
    trace: Trace,
    /// Packets that the server sent to an address that had not proven itself, beyond three times
    /// what had come from there.
    pub(super) broken: Vec<String>,
}

impl Net {
    /// A network with a link for each client.
    pub(crate) fn new(options: &Options, links: usize) -> Self {
        let mut dice = Dice::lane(options.seed, 1);
        let hosts = (0..links).map(|link| Host::new(&mut dice.fork(link as u64))).collect();
        Self(Rc::new(RefCell::new(State {
            now: Nanos(0),
            faults: Some(Faults::of(options)),
            ghosts: options.chance(Knob::Ghosts),
            dice,
            order: 0,
            to_server: Queue::new(),
            to_clients: vec![Queue::new(); links],
            hosts,
            unproven: Unproven::default(),
            trace: Trace::default(),
            broken: Vec::new(),
        })))
    }

    fn state(&self) -> RefMut<'_, State> {
        self.0.borrow_mut()
    }

    /// It is this late now, truly.
    pub(crate) fn at(&self, now: Nanos) {
        self.state().now = now;
    }

    /// When the next packet arrives.
    pub(crate) fn next_due(&self) -> Option<Nanos> {
        let state = self.state();
        let queues = state.to_clients.iter().chain([&state.to_server]);
        queues.filter_map(|queue| queue.first_key_value().map(|((at, _), _)| *at)).min()
    }

    /// Faults are over.
    pub(crate) fn calm(&self) {
        let mut state = self.state();
        let now = state.now;
        state.faults = None;
        state.hosts.iter_mut().for_each(|host| host.mend(now));
    }

    /// Cuts ways of a client's link for a while.
    pub(crate) fn cut(&self, host: usize, up: bool, down: bool, until: Nanos) {
        let host = &mut self.state().hosts[host];
        if up {
            host.up.cut_until = until;
        }
        if down {
            host.down.cut_until = until;
        }
    }

    /// Holds everything back for a while, to let it go at once.
    pub(crate) fn clog(&self, host: usize, until: Nanos) {
        let host = &mut self.state().hosts[host];
        host.up.clogged_until = until;
        host.down.clogged_until = until;
    }

    /// Gives a client's connections other ports outside.
    pub(crate) fn rebind(&self, host: usize) {
        let until = self.state().now + GHOST_NS;
        let keep = self.state().ghosts > 0.0;
        self.state().hosts[host].rebind(keep.then_some(until));
    }

    /// A client's connections are lost on its side.
    pub(crate) fn drop_connections(&self, host: usize) {
        self.state().hosts[host].drops = true;
    }

    /// The server's process is gone, and all that was on its way to it.
    pub(crate) fn server_died(&self) {
        let mut state = self.state();
        state.unproven.clear();
        state.to_server.clear();
    }

    /// Notes what is not a packet.
    pub(crate) fn note(&self, host: usize, number: u64, verdict: Verdict) {
        let mut state = self.state();
        let now = state.now;
        state.trace.note(now, host, number, verdict);
    }

    /// What went wrong, and all that happened.
    pub(crate) fn finish(&self) -> (Trace, Vec<String>) {
        let mut state = self.state();
        (std::mem::take(&mut state.trace), std::mem::take(&mut state.broken))
    }
}

impl State {
    /// A packet leaves a client's socket.
    pub(super) fn send_up(&mut self, host: usize, conn: ConnKey, ecn_bits: u8, bytes: &[u8]) {
        let (now, ghost) = (self.now, self.dice.chance(self.ghosts));
        let port = self.hosts[host].port_of(conn, now, ghost);
        let packet = Packet { port, ecn_bits, bytes: bytes.to_vec(), flipped: false };
        let Self { hosts, faults, to_server, order, trace, .. } = self;
        let lane = &mut hosts[host].up;
        let mut arrive = |at, packet| {
            *order += 1;
            to_server.insert((at, *order), (host, packet));
        };
        let verdict = lane.pass(now, faults.as_ref(), packet, &mut arrive);
        trace.packet(now, host, port, true, bytes.len(), verdict);
        if let Some(packet) = lane.replay(faults.as_ref()) {
            trace.packet(now, host, packet.port, true, packet.bytes.len(), Verdict::Replayed);
            arrive(now + Nanos::MILLISECOND, packet);
        }
    }

    /// A packet leaves the server's socket.
    pub(super) fn send_down(&mut self, to: SocketAddr, ecn_bits: u8, bytes: &[u8]) {
        let (now, Some(host)) = (self.now, host::number(to)) else { return };
        if let Some(words) = self.unproven.sent(to, bytes.len()) {
            self.broken.push(words);
        }
        let port = to.port();
        let packet = Packet { port, ecn_bits, bytes: bytes.to_vec(), flipped: false };
        let Self { hosts, faults, to_clients, order, trace, .. } = self;
        let lane = &mut hosts[host].down;
        let mut arrive = |at, packet| {
            *order += 1;
            to_clients[host].insert((at, *order), (host, packet));
        };
        let verdict = lane.pass(now, faults.as_ref(), packet, &mut arrive);
        trace.packet(now, host, port, false, bytes.len(), verdict);
        if let Some(packet) = lane.replay(faults.as_ref()) {
            trace.packet(now, host, packet.port, false, packet.bytes.len(), Verdict::Replayed);
            arrive(now + Nanos::MILLISECOND, packet);
        }
    }

    /// The next packet that has come to the server.
    pub(super) fn come_to_server(&mut self) -> Option<(SocketAddr, Packet)> {
        let entry = self.to_server.first_entry().filter(|entry| entry.key().0 <= self.now)?;
        let (host, packet) = entry.remove();
        let from = host::address(host, packet.port);
        if !packet.flipped {
            self.unproven.came(from, &packet.bytes);
        }
        Some((from, packet))
    }

    /// The next packet that has come to a client's socket.
    pub(super) fn come_to_client(&mut self, host: usize) -> Option<(ConnKey, Packet)> {
        loop {
            let queue = &mut self.to_clients[host];
            let entry = queue.first_entry().filter(|entry| entry.key().0 <= self.now)?;
            let (_, packet) = entry.remove();
            match self.hosts[host].conn_at(packet.port, self.now) {
                Some(conn) => return Some((conn, packet)),
                None => {
                    let bytes = packet.bytes.len();
                    let (now, port) = (self.now, packet.port);
                    self.trace.packet(now, host, port, false, bytes, Verdict::Nobody);
                }
            }
        }
    }

    /// Are a client's connections lost now? Asked for once.
    pub(super) fn drops(&mut self, host: usize) -> bool {
        std::mem::take(&mut self.hosts[host].drops)
    }

    /// A client's socket is closed.
    pub(super) fn forget(&mut self, host: usize, conn: ConnKey) {
        self.hosts[host].forget(conn);
    }
}
