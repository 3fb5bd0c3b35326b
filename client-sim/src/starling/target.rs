//! All simulated clients of one thread on one wire.

use super::client::SimClient;
use super::registry::Registry;
use super::wire::Wire;
use crate::space::Space;
use crate::target::{
    ClientNo, ClientPlan, Clock, EntityNo, GivenCue, Publish, Received, Sample, Target, Terms,
    Traffic,
};
use anyhow::Result;
use rustc_hash::FxHashMap;
use starling_client::{ConnectOptions, KeepAlive, LinkWish, Reconnect, ViewOptions};
use starling_protocol::close::CloseCode;
use starling_protocol::space::Space as WireSpace;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::Nanos;
use starling_transport::{ConnKey, Event, SendError};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Events of the wire taken in one go, and how often before anything is answered.
const EVENTS_MAX: usize = 4_096;
const TAKES_MAX: usize = 8;
/// Clients whose packets leave together.
const FLUSH_CLIENTS: usize = 32;
/// Connections that are begun in one pass: a storm of handshakes would stall all others.
const DIALS_PER_PASS: usize = 16;
/// Dials that wait for an answer at once.
const DIALS_OPEN_MAX: usize = 64;
/// Every client is looked after this often, for the frames of quiet ticks.
const ROUND_NS: u64 = 25_000_000;
/// States are kept for drawing this far back on a link without faults.
const HISTORY_MS: u32 = 250;
/// Goodbyes are given this many passes to leave, of so many nanoseconds each.
const GOODBYE_PASSES: u32 = 100;
const GOODBYE_PASS_NS: u64 = 5_000_000;

/// How sessions are asked for.
#[derive(Clone, Debug)]
pub struct StarlingOptions {
    /// The world to enter.
    pub world: String,
    /// The space to create it with where the server allows it.
    pub space: Space,
    /// Access token; empty in open mode.
    pub token: String,
    /// Feeds message ids and back-off, and marks what this run publishes.
    pub seed: u64,
    /// The link loses packets and lets some overtake others: keep trying to get in.
    pub faulted: bool,
    /// Names of all entities of the run, by number.
    pub names: Arc<[String]>,
    /// Milliseconds since 1970 at the run's start, for the times of fixes.
    pub unix_ms: u64,
}

/// Starling under load.
pub struct StarlingTarget<W> {
    wire: W,
    options: StarlingOptions,
    registry: Registry,
    clients: Vec<SimClient>,
    /// By client, apart from the rest because every pass goes through all of them.
    agenda: Vec<Agenda>,
    index: FxHashMap<ClientNo, usize>,
    owners: FxHashMap<EntityNo, usize>,
    conns: FxHashMap<ConnKey, usize>,
    to_dial: VecDeque<usize>,
    dials_open: usize,
    events: Vec<Event>,
    datagram: Vec<u8>,
    /// Clients to be looked after in this pass.
    queue: Vec<usize>,
    /// Clients with ticks that are through and not told yet, perhaps more than once.
    unseen: Vec<usize>,
    round_ns: u64,
    traffic: Traffic,
}

/// When a client is to be looked after.
#[derive(Clone, Copy)]
struct Agenda {
    /// When its session wants to be, though nothing arrives.
    due_ns: u64,
    /// Something happened to it since it last was.
    touched: bool,
}

impl<W: Wire> StarlingTarget<W> {
    /// Sessions on a wire. Threads of one run share the registry.
    pub fn new(wire: W, options: StarlingOptions, registry: Registry) -> Self {
        Self {
            wire,
            options,
            registry,
            clients: Vec::new(),
            agenda: Vec::new(),
            index: FxHashMap::default(),
            owners: FxHashMap::default(),
            conns: FxHashMap::default(),
            to_dial: VecDeque::new(),
            dials_open: 0,
            events: Vec::new(),
            datagram: Vec::new(),
            queue: Vec::new(),
            unseen: Vec::new(),
            round_ns: 0,
            traffic: Traffic::default(),
        }
    }

    fn connect_options(&self, plan: &ClientPlan) -> ConnectOptions {
        let space = wire_space(self.options.space);
        let options = ConnectOptions::new(self.options.world.clone())
            .token(self.options.token.clone())
            .create(space)
            .seed(self.options.seed.wrapping_add(u64::from(plan.client.0)));
        let options = if plan.entities.is_empty() { options.viewer() } else { options };
        // Without faults a view lies behind by a few ticks and no more, and states that are kept
        // longer push everything else out of the processor's caches.
        let view = match self.options.faulted {
            true => ViewOptions::default(),
            false => ViewOptions { history_ms: HISTORY_MS, ..ViewOptions::default() },
        };
        ConnectOptions {
            view,
            keep_alive: KeepAlive::Auto,
            reconnect: Reconnect {
                after_loss: true,
                // The network has one way in; a second connection would double its traffic.
                race: false,
                before_first: self.options.faulted,
                give_up_ms: None,
            },
            ..options
        }
    }

    fn dial_some(&mut self, now: Nanos) {
        for _ in 0..DIALS_PER_PASS {
            if self.dials_open >= DIALS_OPEN_MAX {
                return;
            }
            let Some(at) = self.to_dial.pop_front() else { return };
            match self.wire.dial(now) {
                Ok(conn) => {
                    self.clients[at].conn = Some(conn);
                    self.conns.insert(conn, at);
                    self.dials_open += 1;
                }
                Err(_) => self.clients[at].session.handle_closed(now, CloseCode::LOST),
            }
            self.agenda[at].touched = true;
        }
    }

    /// Everything that has come, and what comes meanwhile: a server sends a tick in less time than
    /// a client takes to decode it, and who hears of it last should not wait for others to answer.
    fn take_in(&mut self, clock: &dyn Clock, into: &mut Received) {
        for _ in 0..TAKES_MAX {
            let now = Nanos(clock.now_ns());
            let mut events = std::mem::take(&mut self.events);
            let count = self.wire.poll(now, EVENTS_MAX, &mut events);
            for event in events.drain(..) {
                self.handle(event, clock, into);
            }
            self.events = events;
            if count < EVENTS_MAX && !self.wire.is_pressed() {
                return;
            }
        }
    }

    fn handle(&mut self, event: Event, clock: &dyn Clock, into: &mut Received) {
        let Some(&at) = self.conns.get(&event.conn()) else { return };
        let client = &mut self.clients[at];
        self.agenda[at].touched = true;
        // What counts is when it was decoded, not when the pass began.
        let now = Nanos(clock.now_ns());
        match event {
            Event::Connected { .. } => {
                self.dials_open = self.dials_open.saturating_sub(1);
                client.session.handle_connected(now);
            }
            Event::Datagram { payload, .. } => client.hear(clock, &payload, &self.registry, into),
            Event::Stream { stream, bytes, .. } => {
                client.session.handle_stream(now, stream, &bytes);
            }
            Event::Closed { conn, code, .. } => {
                self.conns.remove(&conn);
                client.conn = None;
                if !client.is_live() {
                    self.dials_open = self.dials_open.saturating_sub(1);
                }
                client.session.handle_closed(now, code);
            }
        }
    }

    /// Clients to which something happened, or that are due.
    fn choose(&mut self, now: Nanos) {
        let agenda = self.agenda.iter().enumerate();
        let chosen = agenda.filter(|(_, client)| client.touched || client.due_ns <= now.0);
        self.queue.clear();
        self.queue.extend(chosen.map(|(at, _)| at));
    }

    /// Time passes for clients to which nothing happens, too.
    fn go_round(&mut self, now: Nanos, into: &mut Received) {
        if now.0 < self.round_ns {
            return;
        }
        self.round_ns = now.0 + ROUND_NS;
        for client in &mut self.clients {
            client.conclude(now, into);
            client.frames(now, &self.registry, into);
            client.settle_removals(now, into);
        }
    }

    /// Does what a session wishes and moves what it wants to send onto the wire.
    fn pump(&mut self, at: usize, now: Nanos) {
        self.agenda[at].touched = false;
        self.meet_wishes(at, now);
        self.pump_streams(at, now);
        self.pump_datagrams(at, now);
        let due = self.clients[at].session.next_timeout(now);
        self.agenda[at].due_ns = due.map_or(u64::MAX, |at| at.0);
    }

    fn meet_wishes(&mut self, at: usize, now: Nanos) {
        let client = &mut self.clients[at];
        while let Some(wish) = client.session.poll_link() {
            match wish {
                LinkWish::Connect => self.to_dial.push_back(at),
                // A simulated client has one connection at a time.
                LinkWish::Race | LinkWish::Calm => {}
                LinkWish::Close(code) => {
                    if let Some(conn) = client.conn.take() {
                        self.conns.remove(&conn);
                        self.wire.close(now, conn, code, "");
                    }
                }
            }
        }
    }

    fn pump_streams(&mut self, at: usize, now: Nanos) {
        let client = &mut self.clients[at];
        let Some(conn) = client.conn else { return };
        for stream in StreamKind::ALL {
            let bytes = client.session.poll_stream(stream);
            if !bytes.is_empty() {
                let taken = self.wire.write(now, conn, stream, bytes).unwrap_or(0);
                client.session.stream_written(stream, taken);
            }
        }
    }

    fn pump_datagrams(&mut self, at: usize, now: Nanos) {
        let client = &mut self.clients[at];
        let Some(conn) = client.conn else { return };
        if client.wants_ns.take().is_none() {
            // A round that begins only now is for the next pass, which brings its samples.
            client.ask(now);
            if client.wants_ns.is_some() {
                self.agenda[at].touched = true;
                return;
            }
        }
        let space = wire_space(self.options.space);
        while client.session.poll_datagram(now, &mut self.datagram) {
            client.note_uplink(space, &self.datagram);
            if self.wire.send_datagram(now, conn, &self.datagram) == Err(SendError::Full) {
                // A gateway says more at once than the queue takes: what is in it goes first. What is
                // still not taken is lost: that is what datagrams are.
                self.wire.flush(now);
                let _ = self.wire.send_datagram(now, conn, &self.datagram);
            }
        }
    }
}

impl<W: Wire> Target for StarlingTarget<W> {
    fn connect(&mut self, clock: &dyn Clock, plans: &[ClientPlan]) -> Result<()> {
        let now = Nanos(clock.now_ns());
        for plan in plans {
            let options = self.connect_options(plan);
            let mut client = SimClient::new(now, &self.options, plan.clone(), options);
            client.look(&self.options.names);
            self.index.insert(plan.client, self.clients.len());
            self.owners.extend(plan.entities.iter().map(|e| (e.entity, self.clients.len())));
            self.clients.push(client);
            self.agenda.push(Agenda { due_ns: now.0, touched: true });
        }
        Ok(())
    }

    fn terms(&self) -> Option<Terms> {
        let welcome = self.clients.iter().find_map(|client| client.session.welcome())?;
        let space = match welcome.space {
            WireSpace::Metric => Space::Metric,
            WireSpace::Geodetic => Space::Geodetic,
        };
        // Half the diagonal of a cell of the canonical grid.
        let grid_m = if space == Space::Metric { 0.00085 } else { 0.0095 };
        Some(Terms {
            space,
            tick_hz: f64::from(welcome.tick_rate.hz()),
            error_bound_m: f64::from(welcome.error_bound_mm) / 1e3,
            grid_m,
            hysteresis: f64::from(welcome.hysteresis_permille) / 1e3,
        })
    }

    fn receive(&mut self, clock: &dyn Clock, into: &mut Received) {
        let now = Nanos(clock.now_ns());
        self.take_in(clock, into);
        self.registry.refresh();
        self.choose(now);
        for &at in &self.queue {
            let now = Nanos(clock.now_ns());
            let client = &mut self.clients[at];
            client.session.advance_blind(now);
            client.drain(now, &self.registry, &self.options.names, into);
            client.conclude(now, into);
            client.ask(now);
            into.wanted.extend(client.wants_ns.map(|at_ns| (client.plan.client, at_ns)));
            self.agenda[at].touched = true;
        }
        self.unseen.extend_from_slice(&self.queue);
        self.traffic.socket_drops = self.wire.socket_drops(now);
        self.dial_some(now);
    }

    fn is_pressed(&mut self) -> bool {
        self.wire.is_pressed()
    }

    fn observe(&mut self, clock: &dyn Clock, into: &mut Received) {
        let now = Nanos(clock.now_ns());
        for at in self.unseen.drain(..) {
            self.clients[at].frames(now, &self.registry, into);
        }
        self.go_round(now, into);
    }

    fn submit(&mut self, clock: &dyn Clock, samples: &[Sample]) {
        for sample in samples {
            let Some(&at) = self.owners.get(&sample.entity) else { continue };
            let now = Nanos(clock.now_ns());
            self.clients[at].move_to(now, self.options.unix_ms, self.options.space, sample);
            self.agenda[at].touched = true;
        }
        let mut pumped = 0;
        for at in 0..self.agenda.len() {
            if self.agenda[at].touched {
                self.pump(at, Nanos(clock.now_ns()));
                pumped += 1;
                if pumped % FLUSH_CLIENTS == 0 {
                    self.wire.flush(Nanos(clock.now_ns()));
                }
            }
        }
        self.wire.flush(Nanos(clock.now_ns()));
    }

    fn remove(&mut self, clock: &dyn Clock, entities: &[EntityNo]) {
        for entity in entities {
            if let Some(&at) = self.owners.get(entity) {
                self.clients[at].remove(Nanos(clock.now_ns()), *entity);
                self.agenda[at].touched = true;
            }
        }
    }

    fn publish(&mut self, clock: &dyn Clock, events: &[Publish]) {
        for event in events {
            if let Some(&at) = self.index.get(&event.client) {
                self.clients[at].publish(event);
                self.agenda[at].touched = true;
                self.pump_streams(at, Nanos(clock.now_ns()));
            }
        }
        self.wire.flush(Nanos(clock.now_ns()));
    }

    fn give(&mut self, _: &dyn Clock, cues: &[GivenCue]) {
        for given in cues {
            if let Some(&at) = self.index.get(&given.cue.giver) {
                self.clients[at].give(given);
                self.agenda[at].touched = true;
            }
        }
    }

    fn draw(&mut self, clock: &dyn Clock, client: ClientNo, into: &mut Received) {
        if let Some(&at) = self.index.get(&client) {
            self.clients[at].draw(Nanos(clock.now_ns()), &self.registry, into);
        }
    }

    fn wait(&mut self, clock: &dyn Clock, until_ns: u64) {
        let now_ns = clock.now_ns();
        let sessions = self.agenda.iter().map(|client| client.due_ns).min();
        let wire = self.wire.next_timeout().map(|at| at.0);
        let due = [Some(until_ns), sessions, wire, Some(self.round_ns)];
        let until_ns = due.into_iter().flatten().min().unwrap_or(until_ns);
        self.wire.sleep(Duration::from_nanos(until_ns.saturating_sub(now_ns)));
    }

    fn traffic(&self) -> Traffic {
        let (bytes_down, bytes_up) = self.wire.bytes();
        let (packets_down, packets_up) = self.wire.packets();
        let sum = |count: fn(&SimClient) -> u64| self.clients.iter().map(count).sum();
        Traffic {
            bytes_down,
            bytes_up,
            packets_down,
            packets_up,
            records: sum(|client| client.records),
            rejected: sum(|client| client.rejected),
            ..self.traffic
        }
    }

    fn leave(&mut self, clock: &dyn Clock) {
        for (client, agenda) in self.clients.iter_mut().zip(&mut self.agenda) {
            client.session.goodbye(Nanos(clock.now_ns()));
            agenda.touched = true;
        }
        let mut nothing = Received::default();
        for _ in 0..GOODBYE_PASSES {
            if self.conns.is_empty() {
                return;
            }
            self.receive(clock, &mut nothing);
            self.submit(clock, &[]);
            self.wait(clock, clock.now_ns() + GOODBYE_PASS_NS);
        }
    }
}

fn wire_space(space: Space) -> WireSpace {
    match space {
        Space::Metric => WireSpace::Metric,
        Space::Geodetic => WireSpace::Geodetic,
    }
}
