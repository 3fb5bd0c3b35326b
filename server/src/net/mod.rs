//! The Front: every connection of one transport, before and after admission.
//!
//! A stepped object. [`Front::receive`] takes in what arrived and passes it to the rooms;
//! [`Front::deliver`] carries out what the rooms want done. [`Front::poll`] does both.
//!
//! | a client that | is closed with |
//! |---|---|
//! | says no Hello in time | `hello_timeout` |
//! | sends what is no frame, no message, or a message out of place | `protocol_error` |
//! | sends a message beyond its limit | `too_large` |
//! | keeps more messages waiting than it may | `rate_limited` |
//! | floods datagrams for five seconds | `abuse` |
//! | does not read its streams | `slow_consumer` |
//! | comes when the server or a room is full | `overloaded` |

mod admission;
mod bucket;
mod connection;
mod deliver;
mod drain;
mod gate;
mod pace;
mod receive;
mod revoke;
mod roster;
mod unsent;

use crate::auth::Verifier;
use crate::auth::barred::Barred;
use crate::auth::revoke::Revoker;
use crate::config::Limits;
use crate::counters::NetCounters;
use crate::entropy::Entropy;
use crate::exchange::Mailbox;
use crate::room::directory::{Directory, Lender};
use crate::room::pool::RoomId;
use crate::telemetry::{Quoted, Seldom};
use crate::wall::Wall;
use admission::Admission;
use connection::Connection;
use drain::Drain;
use gate::Gate;
use pace::Paces;
use roster::Roster;
use starling_protocol::close::CloseCode;
use starling_protocol::units::{Nanos, SessionId};
use starling_transport::{ConnKey, Event, Transport};
use starling_world::input::{Command, ConnId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// The Front looks for empty worlds and slow readers so often.
const UPKEEP_NS: u64 = Nanos::SECOND / 4;
/// Something that waits for room or for a token is tried again so often.
const RETRY_NS: u64 = 2 * Nanos::MILLISECOND;

/// Every connection of one transport.
pub struct Front<T, L> {
    transport: T,
    rooms: L,
    directory: Directory,
    gate: Gate,
    revoker: Option<Arc<Revoker>>,
    limits: Limits,
    counters: Arc<NetCounters>,
    connections: Roster,
    /// Rooms that a connection has entered, until their world ends.
    entered: BTreeMap<RoomId, Entered>,
    /// When connections must have said Hello, in order.
    hello_deadlines: VecDeque<(Nanos, ConnKey)>,
    /// Hellos that wait for their turn.
    admission: Admission,
    /// Connections with messages that wait for their turn.
    held: BTreeSet<ConnKey>,
    /// Connections with bytes that the network did not take.
    stuck: BTreeSet<ConnKey>,
    /// What quick links take between ticks.
    paces: Paces,
    /// Entities of parked gateways, so that a resumed one keeps its share of datagrams.
    gateways: BTreeMap<(RoomId, SessionId), u32>,
    draining: Option<Drain>,
    upkeep_at: Nanos,
    warnings: Seldom,
    // Reused from poll to poll; empty between them.
    events: Vec<Event>,
    rung: BTreeSet<RoomId>,
}

/// What a Front is made of.
pub struct Parts<T, L> {
    /// Its network.
    pub transport: T,
    /// Who runs its rooms.
    pub rooms: L,
    /// Its worlds.
    pub directory: Directory,
    /// Who judges tokens.
    pub verifier: Arc<dyn Verifier>,
    /// Where resume tokens come from.
    pub entropy: Box<dyn Entropy>,
    /// Unix time.
    pub wall: Wall,
    /// What clients may take.
    pub limits: Limits,
    /// Where it counts.
    pub counters: Arc<NetCounters>,
}

/// A room with connections of this Front in it.
#[derive(Debug)]
struct Entered {
    mailbox: Arc<Mailbox>,
    connections: BTreeSet<ConnKey>,
}

impl<T: Transport, L: Lender> Front<T, L> {
    /// A Front without a connection.
    pub fn new(parts: Parts<T, L>) -> Self {
        let Parts { verifier, entropy, wall, .. } = parts;
        Self {
            transport: parts.transport,
            rooms: parts.rooms,
            directory: parts.directory,
            gate: Gate { verifier, entropy, wall, barred: Barred::default() },
            revoker: None,
            limits: parts.limits,
            counters: parts.counters,
            connections: Roster::default(),
            entered: BTreeMap::new(),
            hello_deadlines: VecDeque::new(),
            admission: Admission::default(),
            held: BTreeSet::new(),
            stuck: BTreeSet::new(),
            paces: Paces::default(),
            gateways: BTreeMap::new(),
            draining: None,
            upkeep_at: Nanos(0),
            warnings: Seldom::default(),
            events: Vec::new(),
            rung: BTreeSet::new(),
        }
    }

    /// Takes revocations in from here, before anyone is let in. Those of earlier lives are in force.
    #[must_use]
    pub fn revoker(mut self, revoker: Arc<Revoker>) -> Self {
        self.gate.barred.restore(revoker.earlier());
        self.revoker = Some(revoker);
        self
    }

    /// Takes in what arrived, then carries out what the rooms want done. Says whether more waits.
    pub fn poll(&mut self, now: Nanos) -> bool {
        let more = self.receive(now);
        self.deliver(now);
        more
    }

    /// When there is work next, at the latest, unless something arrives or a room publishes.
    #[must_use]
    pub fn next_timeout(&self, now: Nanos) -> Nanos {
        let waiting = !self.held.is_empty() || !self.stuck.is_empty();
        let times = [
            Some(self.upkeep_at),
            self.transport.next_timeout(),
            self.hello_deadlines.front().map(|(at, _)| *at),
            waiting.then_some(now + RETRY_NS),
            self.admission.next_timeout(),
            self.draining.as_ref().and_then(Drain::next_timeout),
        ];
        times.into_iter().flatten().min().unwrap_or(self.upkeep_at)
    }

    /// The rooms' time, for a driver that runs them itself.
    pub const fn rooms_mut(&mut self) -> &mut L {
        &mut self.rooms
    }

    /// The rooms.
    pub const fn rooms(&self) -> &L {
        &self.rooms
    }

    /// The network.
    pub const fn transport(&self) -> &T {
        &self.transport
    }

    /// Ends the rooms and everything else but the network.
    pub fn into_transport(self) -> T {
        self.transport
    }

    /// The network.
    pub const fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }

    /// The worlds.
    pub const fn directory(&self) -> &Directory {
        &self.directory
    }

    /// What it counts.
    pub const fn counters(&self) -> &Arc<NetCounters> {
        &self.counters
    }

    /// Connections now, admitted or not.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Closes a connection for a reason of the Front's own; its world hears that it is gone.
    fn close(&mut self, now: Nanos, conn: ConnKey, code: CloseCode, why: &str) {
        let Some(connection) = self.connections.get(&conn) else { return };
        if let Some(suppressed) = self.warnings.allows(code.label(), now) {
            let remote = connection.remote;
            if code == CloseCode::GOING_AWAY {
                tracing::info!(conn = conn.0, %remote, %code, suppressed, "closed");
            } else {
                let why = Quoted(why);
                tracing::warn!(conn = conn.0, %remote, %code, %why, suppressed, "closed");
            }
        }
        self.transport.close(now, conn, code, code.label());
        self.counters.closes.count(code);
        self.forget(now, conn, true);
    }

    /// Drops all that is known of a connection; `tell` its world unless it knows.
    fn forget(&mut self, now: Nanos, conn: ConnKey, tell: bool) {
        let Some(connection) = self.connections.remove(&conn) else { return };
        self.held.remove(&conn);
        self.stuck.remove(&conn);
        self.paces.forget(conn);
        let Some(seat) = connection.seat else { return };
        if let Some(entered) = self.entered.get_mut(&seat.entry.id) {
            entered.connections.remove(&conn);
        }
        self.directory.leave(&seat.entry.key, seat.entry.id, now);
        if let Some(session) = seat.session.filter(|_| seat.entities > 0) {
            self.gateways.insert((seat.entry.id, session), seat.entities);
        }
        if tell && seat.known {
            seat.entry.mailbox.inbox().tell(Command::Detach { conn: id(conn) });
            self.rung.insert(seat.entry.id);
        }
    }

    /// Closes who said no Hello in time.
    fn expire_hellos(&mut self, now: Nanos) {
        while let Some((_, conn)) = self.hello_deadlines.front().filter(|(at, _)| *at <= now) {
            let conn = *conn;
            self.hello_deadlines.pop_front();
            let is_late = |connection: &Connection| connection.seat.is_none() && !connection.waits;
            if self.connections.get(&conn).is_some_and(|connection| is_late(connection)) {
                self.close(now, conn, CloseCode::HELLO_TIMEOUT, "no Hello in time");
            }
        }
    }

    /// What is looked after now and then.
    fn upkeep(&mut self, now: Nanos) {
        if now < self.upkeep_at {
            return;
        }
        self.upkeep_at = now + UPKEEP_NS;
        for (world, id) in self.directory.broken(&mut self.rooms) {
            tracing::error!(world = %Quoted(&world), "ended a world that broke down");
            let entered = self.entered.remove(&id);
            for conn in entered.into_iter().flat_map(|entered| entered.connections) {
                self.close(now, conn, CloseCode::INTERNAL, "the world broke down");
            }
        }
        self.directory.sweep(now, &mut self.rooms);
        let alive: BTreeSet<_> =
            self.directory.worlds().all().into_iter().map(|(_, entry)| entry.id).collect();
        self.entered.retain(|id, _| alive.contains(id));
        self.gateways.retain(|(id, _), _| alive.contains(id));
        self.measure();
    }

    fn measure(&self) {
        let gauges = &self.counters.gauges;
        let connections = self.connections.values();
        let seated = connections.clone().filter(|connection| connection.seat.is_some()).count();
        gauges.connections.set(self.connections.len() as u64);
        gauges.sessions.set(seated as u64);
        gauges.unsent_bytes.set(connections.clone().map(|c| c.unsent.bytes() as u64).sum());
        gauges.held_bytes.set(connections.map(|c| c.buffered() as u64).sum());
    }
}

/// The world's name for a connection.
const fn id(conn: ConnKey) -> ConnId {
    ConnId(conn.0)
}

/// The transport's name for a connection.
const fn key(conn: ConnId) -> ConnKey {
    ConnKey(conn.0)
}
