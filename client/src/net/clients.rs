//! Thousands of sessions on one transport and one thread.
//!
//! Only sessions with work are touched: those for which something arrived, those whose time has
//! come, and those that the program changed.

use super::Dial;
use super::wire::{Wire, WireStats};
use crate::event::{ClientEvent, Cue};
use crate::options::ConnectOptions;
use crate::session::Session;
use crate::session::uplink::Sampling;
use starling_protocol::units::Nanos;
use starling_transport::{ConnKey, Event};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Events taken from the transport at once.
const EVENTS_MAX: usize = 1_024;
/// Times that the transport is asked in one step.
const POLLS_MAX: usize = 64;

/// Names a session among its [`Clients`]. Not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientIndex(pub usize);

/// Whoever flies the sessions: is told what happens, and asked where things are.
pub trait Pilot {
    /// An uplink of this session is due: set the poses of its entities for this instant.
    fn sample(&mut self, client: ClientIndex, session: &mut Session, sampling: Sampling) {
        let _ = (client, session, sampling);
    }

    /// A datagram was applied at this instant; [`View::heard`](crate::View::heard) says what it
    /// did.
    fn heard(&mut self, client: ClientIndex, session: &mut Session, at: Nanos) {
        let _ = (client, session, at);
    }

    /// Something happened to this session.
    fn event(&mut self, client: ClientIndex, session: &mut Session, event: ClientEvent) {
        let _ = (client, session, event);
    }

    /// A cue arrived in time.
    fn cue(&mut self, client: ClientIndex, session: &mut Session, cue: Cue) {
        let _ = (client, session, cue);
    }
}

/// A pilot that lets everything pass.
impl Pilot for () {}

#[derive(Debug)]
struct Member<G> {
    session: Session,
    wire: Wire,
    target: G,
    /// There is an entry in the timers for this moment, or an earlier one.
    armed: Option<Nanos>,
    dirty: bool,
}

/// Many sessions on one transport.
///
/// ```
/// use starling_client::{ConnectOptions, net::Clients};
/// use starling_protocol::units::Nanos;
/// use starling_transport::{conditioner::LinkProfile, memory::Network};
///
/// let network = Network::new(1);
/// let mut clients = Clients::new(network.client());
/// let first = clients.add(Nanos(0), LinkProfile::default(), ConnectOptions::new("plaza"));
/// clients.advance(Nanos(0), &mut ());
/// assert!(clients.get(first).is_some());
/// ```
#[derive(Debug)]
pub struct Clients<T: Dial> {
    transport: T,
    members: Vec<Option<Box<Member<T::Target>>>>,
    by_conn: HashMap<ConnKey, usize>,
    timers: BinaryHeap<Reverse<(Nanos, usize)>>,
    dirty: Vec<usize>,
    /// Scratch of [`Clients::advance`].
    working: Vec<usize>,
    events: Vec<Event>,
    draw: bool,
}

impl<T: Dial> Clients<T> {
    /// No sessions yet.
    pub fn new(transport: T) -> Self {
        Self {
            transport,
            members: Vec::new(),
            by_conn: HashMap::new(),
            timers: BinaryHeap::new(),
            dirty: Vec::new(),
            working: Vec::new(),
            events: Vec::with_capacity(EVENTS_MAX),
            draw: false,
        }
    }

    /// Shall views be drawn with every step? They are not, unless said so here.
    pub const fn draw_views(&mut self, draw: bool) {
        self.draw = draw;
    }

    /// Adds a session, which begins to connect with the next step.
    pub fn add(&mut self, now: Nanos, target: T::Target, options: ConnectOptions) -> ClientIndex {
        let session = Session::new(now, options);
        let member = Member { session, wire: Wire::default(), target, armed: None, dirty: false };
        self.members.push(Some(Box::new(member)));
        let index = self.members.len() - 1;
        self.touch(index);
        ClientIndex(index)
    }

    /// How many sessions were ever added and not removed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.iter().flatten().count()
    }

    /// There is no session.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A session.
    #[must_use]
    pub fn get(&self, client: ClientIndex) -> Option<&Session> {
        Some(&self.members.get(client.0)?.as_deref()?.session)
    }

    /// A session, to ask something of it; it is looked after with the next step.
    pub fn get_mut(&mut self, client: ClientIndex) -> Option<&mut Session> {
        self.touch(client.0);
        Some(&mut self.members.get_mut(client.0)?.as_deref_mut()?.session)
    }

    /// Every session.
    pub fn iter(&self) -> impl Iterator<Item = (ClientIndex, &Session)> {
        let present =
            |(i, m): (usize, &Option<Box<Member<T::Target>>>)| m.as_ref().map(|_| ClientIndex(i));
        let indices = self.members.iter().enumerate().filter_map(present);
        indices.filter_map(|index| Some((index, self.get(index)?)))
    }

    /// The connection of a session.
    #[must_use]
    pub fn conn(&self, client: ClientIndex) -> Option<ConnKey> {
        self.members.get(client.0)?.as_deref()?.wire.conn()
    }

    /// What the wire of a session counted.
    #[must_use]
    pub fn wire_stats(&self, client: ClientIndex) -> Option<WireStats> {
        Some(self.members.get(client.0)?.as_deref()?.wire.stats)
    }

    /// Lets a session that is closed go, or closes it at once.
    pub fn remove(&mut self, now: Nanos, client: ClientIndex) -> Option<Session> {
        let mut member = self.members.get_mut(client.0)?.take()?;
        if let Some(conn) = member.wire.conn() {
            self.by_conn.remove(&conn);
            member.session.handle_closed(now, starling_protocol::close::CloseCode::GOODBYE);
            self.transport.close(now, conn, starling_protocol::close::CloseCode::GOODBYE, "");
        }
        Some(member.session)
    }

    /// The transport below.
    #[must_use]
    pub const fn transport(&self) -> &T {
        &self.transport
    }

    /// The transport below, to sleep on it for example.
    #[must_use]
    pub const fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }

    /// One step of all sessions: receives, does what is due, and sends.
    pub fn advance(&mut self, now: Nanos, pilot: &mut impl Pilot) {
        self.receive(now, pilot);
        self.expire(now);
        std::mem::swap(&mut self.dirty, &mut self.working);
        for place in 0..self.working.len() {
            self.step(now, self.working[place], pilot);
        }
        self.working.clear();
        self.transport.flush(now);
    }

    /// When [`Clients::advance`] is to be called again at the latest.
    #[must_use]
    pub fn next_timeout(&self, now: Nanos) -> Option<Nanos> {
        if !self.dirty.is_empty() {
            return Some(now);
        }
        let timer = self.timers.peek().map(|Reverse((at, _))| *at);
        timer.into_iter().chain(self.transport.next_timeout()).min()
    }

    fn receive(&mut self, now: Nanos, pilot: &mut impl Pilot) {
        for _ in 0..POLLS_MAX {
            let mut events = std::mem::take(&mut self.events);
            let count = self.transport.poll(now, EVENTS_MAX, &mut events);
            for event in events.drain(..) {
                self.bring(now, event, pilot);
            }
            self.events = events;
            if count < EVENTS_MAX {
                return;
            }
        }
    }

    fn bring(&mut self, now: Nanos, event: Event, pilot: &mut impl Pilot) {
        let Some(&index) = self.by_conn.get(&event.conn()) else { return };
        let Some(member) = self.members[index].as_deref_mut() else { return };
        let at = match &event {
            Event::Datagram { at, .. } => *at,
            Event::Closed { conn, .. } => {
                self.by_conn.remove(conn);
                now
            }
            _ => now,
        };
        if member.wire.bring(now, &mut member.session, event) {
            pilot.heard(ClientIndex(index), &mut member.session, at);
        }
        self.touch(index);
    }

    fn touch(&mut self, index: usize) {
        let member = self.members.get_mut(index).and_then(Option::as_deref_mut);
        if let Some(member) = member.filter(|member| !member.dirty) {
            member.dirty = true;
            self.dirty.push(index);
        }
    }

    fn expire(&mut self, now: Nanos) {
        while let Some(Reverse((at, index))) = self.timers.peek().copied() {
            if at > now {
                return;
            }
            self.timers.pop();
            if let Some(member) = self.members[index].as_deref_mut() {
                member.armed = member.armed.filter(|armed| *armed > at);
            }
            self.touch(index);
        }
    }

    fn step(&mut self, now: Nanos, index: usize, pilot: &mut impl Pilot) {
        let Some(member) = self.members[index].as_deref_mut() else { return };
        let Member { session, wire, target, .. } = member;
        member.dirty = false;
        match self.draw {
            true => session.advance(now),
            false => session.advance_blind(now),
        }
        report(ClientIndex(index), session, pilot);
        if let Some(sampling) = session.wants_samples(now) {
            pilot.sample(ClientIndex(index), session, sampling);
        }
        let before = wire.conns();
        wire.grant(now, session, &mut self.transport, target);
        for gone in before.into_iter().flatten().filter(|c| !wire.conns().contains(&Some(*c))) {
            self.by_conn.remove(&gone);
        }
        self.by_conn.extend(wire.conns().into_iter().flatten().map(|conn| (conn, index)));
        wire.send(now, session, &mut self.transport);
        let due = session.next_timeout(now);
        if let Some(due) = due.filter(|due| member.armed.is_none_or(|armed| *due < armed)) {
            member.armed = Some(due);
            self.timers.push(Reverse((due, index)));
        }
    }
}

fn report(client: ClientIndex, session: &mut Session, pilot: &mut impl Pilot) {
    while let Some(event) = session.poll_event() {
        pilot.event(client, session, event);
    }
    while let Some(cue) = session.poll_cue() {
        pilot.cue(client, session, cue);
    }
}
