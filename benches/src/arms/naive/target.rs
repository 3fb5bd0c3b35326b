//! The naive server's clients, many on one thread, on the wire that Starling's clients are on.

use super::{Down, Record, Up, decode, encode};
use crate::arms::TICK_HZ;
use crate::arms::copies::Copies;
use anyhow::Result;
use starling_client_sim::motion::{Facing, Pose};
use starling_client_sim::space::Space;
use starling_client_sim::starling::Wire;
use starling_client_sim::target::{
    ClientNo, ClientPlan, Clock, EntityNo, GivenCue, Link, Publish, Received, Sample, Target,
    Terms, Traffic,
};
use starling_protocol::close::CloseCode;
use starling_protocol::units::Nanos;
use starling_transport::{ConnKey, Event};
use std::collections::HashMap;
use std::time::Duration;

/// Events of the wire taken in one go.
const EVENTS_MAX: usize = 4_096;
/// Handshakes under way at once.
const DIALS_MAX: usize = 64;
/// Error of a position in f32 a few kilometres from the origin, in metres.
const ERROR_M: f64 = 0.001;

/// Clients of the naive server.
pub struct NaiveTarget<W> {
    wire: W,
    clients: Vec<Client>,
    conns: HashMap<ConnKey, usize>,
    owners: HashMap<EntityNo, usize>,
    dialled: usize,
    dials_open: usize,
    events: Vec<Event>,
    refused: Vec<starling_client_sim::target::EventNo>,
    connected: bool,
    records: u64,
    socket_drops: u64,
}

struct Client {
    copies: Copies,
    conn: Option<ConnKey>,
    /// Parts of the tick that is being put together.
    parts: Vec<Option<Vec<Record>>>,
    tick: u32,
}

impl<W: Wire> NaiveTarget<W> {
    /// Clients on a wire.
    pub fn new(wire: W) -> Self {
        Self {
            wire,
            clients: Vec::new(),
            conns: HashMap::new(),
            owners: HashMap::new(),
            dialled: 0,
            dials_open: 0,
            events: Vec::new(),
            refused: Vec::new(),
            connected: false,
            records: 0,
            socket_drops: 0,
        }
    }

    fn dial_some(&mut self, now: Nanos, into: &mut Received) {
        while self.dials_open < DIALS_MAX && self.dialled < self.clients.len() {
            let client = &mut self.clients[self.dialled];
            match self.wire.dial(now) {
                Ok(conn) => {
                    client.conn = Some(conn);
                    self.conns.insert(conn, self.dialled);
                    self.dials_open += 1;
                }
                Err(e) => into.links.push((client.copies.client, Link::Refused(e.to_string()))),
            }
            self.dialled += 1;
        }
    }

    fn handle(&mut self, event: Event, clock: &dyn Clock, into: &mut Received) {
        let Some(&at) = self.conns.get(&event.conn()) else { return };
        let client = &mut self.clients[at];
        match event {
            Event::Connected { .. } => {
                self.connected = true;
                self.dials_open -= 1;
                into.links.push((client.copies.client, Link::Connected));
            }
            Event::Datagram { payload, .. } => {
                if let Some(down) = decode::<Down>(&payload) {
                    self.records += down.records.len() as u64;
                    client.hear(down, clock.now_ns(), into);
                }
            }
            Event::Closed { code, .. } => {
                client.conn = None;
                into.links.push((client.copies.client, Link::Lost(format!("{code}"))));
            }
            Event::Stream { .. } => {}
        }
    }
}

impl Client {
    fn hear(&mut self, down: Down, at_ns: u64, into: &mut Received) {
        if down.tick < self.tick || self.copies.tick() == Some(down.tick) {
            return;
        }
        if down.tick > self.tick {
            self.tick = down.tick;
            self.parts.clear();
            self.parts.resize(down.parts.into(), None);
            self.copies.took(down.tick, down.taken, into);
            if down.time_us > 0 {
                let way_us = (at_ns / 1_000) as u32;
                let rtt_us = way_us.wrapping_sub(down.time_us).saturating_sub(down.held_us);
                into.rtt_ns.push((self.copies.client, u64::from(rtt_us) * 1_000));
            }
        }
        if let Some(part) = self.parts.get_mut(usize::from(down.part)) {
            *part = Some(down.records);
        }
        if self.parts.iter().all(Option::is_some) {
            let records = self.parts.iter().flatten().flatten();
            let seen = records.map(|r| (EntityNo(r.id), r.position.map(f64::from)));
            self.copies.see(down.tick, at_ns, seen, into);
            into.wanted.push((self.copies.client, at_ns));
        }
    }
}

fn record(entity: EntityNo, pose: &Pose) -> Record {
    Record {
        id: entity.0,
        kind: 0,
        position: pose.position.map(|c| c as f32),
        velocity: pose.velocity.unwrap_or_default().map(|c| c as f32),
        heading: if let Facing::Heading(degrees) = pose.facing { degrees as f32 } else { 0.0 },
    }
}

impl<W: Wire> Target for NaiveTarget<W> {
    fn connect(&mut self, _: &dyn Clock, plans: &[ClientPlan]) -> Result<()> {
        for plan in plans {
            let copies = Copies::of(plan);
            let copies = copies.ok_or_else(|| anyhow::anyhow!("every client owns an entity"))?;
            self.owners.insert(copies.own, self.clients.len());
            self.clients.push(Client { copies, conn: None, parts: Vec::new(), tick: 0 });
        }
        Ok(())
    }

    fn terms(&self) -> Option<Terms> {
        self.connected.then_some(Terms {
            space: Space::Metric,
            tick_hz: f64::from(TICK_HZ),
            error_bound_m: ERROR_M,
            grid_m: 0.0,
            // It has none; whoever leaves the radius is gone at once, which this allows.
            hysteresis: 1.125,
        })
    }

    fn receive(&mut self, clock: &dyn Clock, into: &mut Received) {
        let now = Nanos(clock.now_ns());
        self.dial_some(now, into);
        loop {
            let mut events = std::mem::take(&mut self.events);
            let count = self.wire.poll(now, EVENTS_MAX, &mut events);
            for event in events.drain(..) {
                self.handle(event, clock, into);
            }
            self.events = events;
            if count < EVENTS_MAX {
                break;
            }
        }
        self.socket_drops = self.wire.socket_drops(now);
        into.refused_events.append(&mut self.refused);
    }

    fn is_pressed(&mut self) -> bool {
        self.wire.is_pressed()
    }

    fn submit(&mut self, clock: &dyn Clock, samples: &[Sample]) {
        for sample in samples {
            let Some(&at) = self.owners.get(&sample.entity) else { continue };
            let now = Nanos(clock.now_ns());
            let entity = record(sample.entity, &sample.pose);
            let time_us = ((now.0 / 1_000) as u32).max(1);
            let up = Up { number: sample.number, time_us, entity };
            if let Some(conn) = self.clients[at].conn {
                // A datagram that is not taken is lost: that is what datagrams are.
                let _ = self.wire.send_datagram(now, conn, &encode(&up));
            }
        }
        self.wire.flush(Nanos(clock.now_ns()));
    }

    /// It has no way to end an entity but to leave.
    fn remove(&mut self, _: &dyn Clock, _: &[EntityNo]) {}

    /// It has no events.
    fn publish(&mut self, _: &dyn Clock, events: &[Publish]) {
        self.refused.extend(events.iter().map(|event| event.event));
    }

    /// It has no cues.
    fn give(&mut self, _: &dyn Clock, _: &[GivenCue]) {}

    fn draw(&mut self, _: &dyn Clock, _: ClientNo, _: &mut Received) {}

    fn wait(&mut self, clock: &dyn Clock, until_ns: u64) {
        let due = self.wire.next_timeout().map_or(until_ns, |at| at.0.min(until_ns));
        self.wire.sleep(Duration::from_nanos(due.saturating_sub(clock.now_ns())));
    }

    fn traffic(&self) -> Traffic {
        let (bytes_down, bytes_up) = self.wire.bytes();
        let (packets_down, packets_up) = self.wire.packets();
        let (records, socket_drops) = (self.records, self.socket_drops);
        Traffic {
            bytes_down,
            bytes_up,
            packets_down,
            packets_up,
            records,
            socket_drops,
            rejected: 0,
        }
    }

    fn leave(&mut self, clock: &dyn Clock) {
        let now = Nanos(clock.now_ns());
        for client in &mut self.clients {
            if let Some(conn) = client.conn.take() {
                self.wire.close(now, conn, CloseCode::GOODBYE, "");
            }
        }
        self.wire.flush(now);
    }
}
