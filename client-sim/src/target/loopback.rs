//! A server inside the swarm's own process: perfect, but for the faults planted in it.
//!
//! It exists so that the swarm can be tested: a verdict that passes on it must fail, by name, as
//! soon as it withholds an enter, shifts an entity, or drops, doubles or swaps an event.

use super::{
    Accepted, ClientNo, ClientPlan, Clock, Delivery, EntityNo, EventNo, EventScope, Frame,
    GivenCue, Held, Known, Link, Publish, Received, Resumption, Sample, Target, Terms, Traffic,
    View,
};
use crate::space::Position;
use crate::truth::Area;
use anyhow::Result;
use std::collections::BTreeSet;
use std::time::Duration;

mod client;
mod cues;

use client::Client;
use cues::Cues;

/// Something that a loopback server does wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// This client never learns of this entity.
    WithholdEnter(ClientNo, EntityNo),
    /// This client keeps this entity for ever once it has it.
    WithholdLeave(ClientNo, EntityNo),
    /// This client's copy of this entity is off by so many metres.
    Shift(ClientNo, EntityNo, f64),
    /// In this tick this client gets a copy of this entity as of two ticks before.
    GoBack(ClientNo, EntityNo, u32),
    /// State reaches clients so many ticks late.
    Delay(u32),
    /// The n-th delivery of an event does not happen.
    DropEvent(u64),
    /// The n-th delivery of an event happens twice.
    DoubleEvent(u64),
    /// The n-th delivery of an event comes after the next one of its stream.
    SwapEvents(u64),
    /// The n-th event that is published also reaches this client.
    StrayEvent(u64, ClientNo),
    /// In this tick an event that nobody published reaches the first client.
    InventEvent(u32),
    /// The n-th event that is published is never acknowledged.
    IgnoreEvent(u64),
    /// From the n-th event on, so many that are published are refused.
    RefuseEvents(u64, u64),
    /// From this tick on nothing reaches any client for so many ticks.
    Dark(u32, u32),
    /// The n-th hearing of a cue does not happen.
    DropCue(u64),
    /// The n-th hearing of a cue happens twice.
    DoubleCue(u64),
    /// The n-th hearing of a cue comes when it is of no use any more.
    LateCue(u64),
    /// The n-th cue that is given also reaches this client.
    StrayCue(u64, ClientNo),
    /// This client is refused.
    Refuse(ClientNo),
    /// Every client loses its connection in this tick and resumes in the next.
    Interrupt(u32),
    /// From this tick on the swarm's own sockets have dropped so many packets.
    SocketDrops(u32, u64),
}

/// Ticks that a copy can be late by, and the tick itself.
const PAST: usize = 32;

/// The server, and its clients.
pub struct Loopback {
    terms: Terms,
    faults: Vec<Fault>,
    clients: Vec<Client>,
    entities: Vec<Entity>,
    channels: Vec<Vec<ClientNo>>,
    tick: u32,
    due_ns: u64,
    links: Vec<(ClientNo, Link)>,
    removed: Vec<EntityNo>,
    deliveries: Vec<Delivery>,
    acked: Vec<(EventNo, u64)>,
    refused: Vec<EventNo>,
    delivered: u64,
    published: u64,
    cues: Cues,
    /// A delivery that waits for the next of its stream.
    swapped: Option<Delivery>,
    traffic: Traffic,
    interrupted: bool,
    /// Time passes by itself, so that waiting is resting.
    live: bool,
}

#[derive(Clone, Copy, Default)]
struct Entity {
    /// Submitted and not folded yet.
    next: Option<(u32, Position)>,
    at: Option<Position>,
    /// Positions of the last ticks, newest first, for copies that are late.
    past: [Option<Position>; PAST],
}

impl Loopback {
    /// A server of these terms with these faults.
    #[must_use]
    pub fn new(terms: Terms, faults: Vec<Fault>) -> Self {
        Self {
            terms,
            faults,
            clients: Vec::new(),
            entities: Vec::new(),
            channels: Vec::new(),
            tick: 1000,
            due_ns: 0,
            links: Vec::new(),
            removed: Vec::new(),
            deliveries: Vec::new(),
            acked: Vec::new(),
            refused: Vec::new(),
            delivered: 0,
            published: 0,
            cues: Cues::default(),
            swapped: None,
            traffic: Traffic::default(),
            interrupted: false,
            live: false,
        }
    }

    /// For a real clock: who waits for this server rests until its next tick.
    #[must_use]
    pub fn live(self) -> Self {
        Self { live: true, ..self }
    }

    fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    fn period_ns(&self) -> u64 {
        (1e9 / self.terms.tick_hz) as u64
    }

    /// One tick: fold, find out who sees whom, tell.
    fn step(&mut self, now_ns: u64, into: &mut Received) {
        self.tick += 1;
        for (index, entity) in self.entities.iter_mut().enumerate() {
            entity.past.rotate_right(1);
            if let Some((number, at)) = entity.next.take() {
                entity.at = Some(at);
                let entity = EntityNo(index as u32);
                into.accepted.push(Accepted { entity, tick: self.tick, exact: true, number });
            }
            entity.past[0] = entity.at;
        }
        if self.has(Fault::InventEvent(self.tick)) {
            self.invent(now_ns);
        }
        if self.has(Fault::Interrupt(self.tick)) {
            self.interrupt(into);
            return;
        }
        if std::mem::take(&mut self.interrupted) {
            let all = self.clients.iter().map(|c| c.plan.client);
            into.links.extend(all.map(|c| (c, Link::Resumed(Resumption::Resumed))));
        }
        self.tell_cues(into);
        for index in 0..self.clients.len() {
            self.tell(index, now_ns, into);
        }
    }

    fn interrupt(&mut self, into: &mut Received) {
        self.interrupted = true;
        let all = self.clients.iter().map(|c| c.plan.client);
        into.links.extend(all.map(|c| (c, Link::Lost("interrupted".to_owned()))));
    }

    fn tell(&mut self, index: usize, now_ns: u64, into: &mut Received) {
        if self.lit_tick() == self.tick {
            self.refresh(index);
        }
        let client = &self.clients[index];
        let (no, tick) = (client.plan.client, self.tick);
        let first = into.copies.len();
        if client.plan.judged {
            let copies = client.held.iter().filter_map(|entity| self.copy(no, *entity));
            into.copies.extend(copies);
        }
        let (visible, len) = (client.held.len() as u32, into.copies.len() - first);
        into.frames.push(Frame {
            client: no,
            tick,
            at_ns: now_ns,
            decoded: self.lit_tick() == tick,
            visible,
            first,
            len,
        });
        into.known.push(Known { client: no, from: tick, to: tick });
        into.rtt_ns.push((no, 1_000));
        self.traffic.bytes_down += 20 + u64::from(visible) * 2;
        self.traffic.records += u64::from(visible);
    }

    fn copy(&self, client: ClientNo, entity: EntityNo) -> Option<Held> {
        let state = &self.entities[entity.0 as usize];
        let late = self.faults.iter().find_map(|fault| match fault {
            Fault::Delay(ticks) => Some(*ticks as usize),
            _ => None,
        });
        let back = self.has(Fault::GoBack(client, entity, self.tick));
        let dark = (self.tick - self.lit_tick()) as usize;
        let age = if back { 2 } else { late.unwrap_or(dark).min(PAST - 1) };
        let mut position = state.past[age]?;
        let changed = state.past[0] != state.past[1];
        for fault in &self.faults {
            if let Fault::Shift(c, e, metres) = *fault
                && (c, e) == (client, entity)
            {
                position = self.terms.space.offset(position, metres, 0.0, 0.0);
            }
        }
        let state_tick = self.tick - age as u32;
        Some(Held { entity, position, state_tick, changed, told: dark == 0 })
    }

    /// Enters and leaves of one client.
    fn refresh(&mut self, index: usize) {
        let client = &self.clients[index];
        let no = client.plan.client;
        let mut held = BTreeSet::new();
        for entity in (0..self.entities.len()).map(|e| EntityNo(e as u32)) {
            let had = client.held.contains(&entity);
            let kept = had && self.has(Fault::WithholdLeave(no, entity));
            let withheld = self.has(Fault::WithholdEnter(no, entity));
            if kept || (self.sees(client, entity, had) && !withheld) {
                held.insert(entity);
            }
        }
        self.clients[index].held = held;
    }

    fn sees(&self, client: &Client, entity: EntityNo, had: bool) -> bool {
        let owns = client.plan.entities.iter().any(|own| own.entity == entity);
        let Some(at) = self.entities[entity.0 as usize].at.filter(|_| !owns) else { return false };
        let first = client.plan.entities.first();
        let own = first.and_then(|own| self.entities[own.entity.0 as usize].at);
        let factor = if had { self.terms.hysteresis } else { 1.0 };
        client.plan.areas.iter().any(|area| self.covers(area, own, entity, at, factor))
    }

    fn covers(
        &self,
        area: &Area,
        own: Option<Position>,
        entity: EntityNo,
        at: Position,
        factor: f64,
    ) -> bool {
        let space = self.terms.space;
        match *area {
            Area::Around { radius_m, .. } => {
                own.is_some_and(|own| space.distance_m(own, at) <= radius_m * factor)
            }
            Area::Point { centre, radius_m } => space.distance_m(centre, at) <= radius_m * factor,
            Area::Viewport { centre, side_m } => {
                let (east, north) = space.offset_from(centre, at);
                east.abs().max(north.abs()) <= side_m / 2.0 * factor
            }
            Area::Follow { entity: followed } => followed == entity,
            Area::Nearest { count, centre } => centre.or(own).is_some_and(|centre| {
                let distance = space.distance_m(centre, at);
                let all = self.entities.iter().filter_map(|e| e.at);
                // The observer's own entity is among those that are nearer.
                let own = usize::from(own.is_some());
                all.filter(|p| space.distance_m(centre, *p) < distance).count() < count + own
            }),
        }
    }

    fn deliver(&mut self, delivery: Delivery) {
        self.delivered += 1;
        let number = self.delivered;
        if self.has(Fault::DropEvent(number)) {
            return;
        }
        if self.has(Fault::SwapEvents(number)) {
            self.swapped = Some(delivery);
            return;
        }
        self.deliveries.push(delivery);
        if self.has(Fault::DoubleEvent(number)) {
            self.deliveries.push(delivery);
        }
        let stream = |d: &Delivery| (d.client, d.channel);
        if self.swapped.is_some_and(|swapped| stream(&swapped) == stream(&delivery)) {
            self.deliveries.extend(self.swapped.take());
        }
    }

    fn invent(&mut self, at_ns: u64) {
        let event = EventNo { publisher: ClientNo(u32::MAX), number: 1 };
        let Some(client) = self.clients.first_mut() else { return };
        let (offset, client) = (client.next_offset(None), client.plan.client);
        self.deliver(Delivery { client, event, channel: None, offset, at_ns });
    }

    fn refuses(&self, number: u64) -> bool {
        self.faults.iter().any(|fault| match *fault {
            Fault::RefuseEvents(first, count) => (first..first + count).contains(&number),
            _ => false,
        })
    }

    /// The tick of the last state that got through.
    fn lit_tick(&self) -> u32 {
        let dark = self.faults.iter().find_map(|fault| match *fault {
            Fault::Dark(from, ticks) => (from..from + ticks).contains(&self.tick).then_some(from),
            _ => None,
        });
        dark.map_or(self.tick, |from| from - 1)
    }

    /// Whom an event is for, and whom it reaches by a fault.
    fn reached(&self, event: &Publish) -> Vec<ClientNo> {
        let mut clients = self.recipients(event);
        for fault in &self.faults {
            if let Fault::StrayEvent(number, client) = *fault
                && number == self.published
                && !clients.contains(&client)
            {
                clients.push(client);
            }
        }
        clients
    }

    fn recipients(&self, event: &Publish) -> Vec<ClientNo> {
        match event.scope {
            EventScope::Channel(channel) => {
                self.channels.get(channel.0 as usize).cloned().unwrap_or_default()
            }
            EventScope::Near { radius_m } => self.near(event.client, radius_m),
        }
    }

    /// Clients whose first entity is near that of another, and that other itself.
    fn near(&self, client: ClientNo, radius_m: u32) -> Vec<ClientNo> {
        let place = |client: &Client| {
            let first = client.plan.entities.first()?;
            self.entities[first.entity.0 as usize].at
        };
        let from = self.clients.iter().find(|c| c.plan.client == client);
        let Some(from) = from.and_then(place) else { return Vec::new() };
        let near = |client: &&Client| {
            let at = place(client);
            at.is_some_and(|at| self.terms.space.distance_m(from, at) <= f64::from(radius_m))
        };
        self.clients.iter().filter(near).map(|c| c.plan.client).collect()
    }
}

impl Target for Loopback {
    fn connect(&mut self, clock: &dyn Clock, plans: &[ClientPlan]) -> Result<()> {
        self.due_ns = clock.now_ns() + self.period_ns();
        let entities = plans.iter().flat_map(|plan| &plan.entities).map(|e| e.entity.0 + 1);
        self.entities.resize_with(entities.max().unwrap_or(0) as usize, Entity::default);
        for plan in plans {
            if self.has(Fault::Refuse(plan.client)) {
                self.links.push((plan.client, Link::Refused("planted".to_owned())));
                continue;
            }
            self.links.push((plan.client, Link::Connected));
            for channel in &plan.channels {
                let at = channel.0 as usize;
                self.channels.resize_with(self.channels.len().max(at + 1), Vec::new);
                self.channels[at].push(plan.client);
            }
            let (held, offsets) = (BTreeSet::new(), Vec::new());
            self.clients.push(Client { plan: plan.clone(), held, inbox: 0, offsets });
        }
        Ok(())
    }

    fn terms(&self) -> Option<Terms> {
        Some(self.terms)
    }

    fn receive(&mut self, clock: &dyn Clock, into: &mut Received) {
        let now_ns = clock.now_ns();
        into.links.append(&mut self.links);
        into.deliveries.append(&mut self.deliveries);
        into.acked.append(&mut self.acked);
        into.refused_events.append(&mut self.refused);
        while self.due_ns <= now_ns {
            let at_ns = self.due_ns;
            self.due_ns += self.period_ns();
            self.step(now_ns, into);
            into.removed.append(&mut self.removed);
            let owners = self.clients.iter().filter(|c| !c.plan.entities.is_empty());
            into.wanted.extend(owners.map(|c| (c.plan.client, at_ns)));
        }
    }

    fn submit(&mut self, _: &dyn Clock, samples: &[Sample]) {
        for sample in samples {
            self.traffic.bytes_up += 20;
            let entity = &mut self.entities[sample.entity.0 as usize];
            entity.next = Some((sample.number, sample.pose.position));
        }
    }

    fn remove(&mut self, _: &dyn Clock, entities: &[EntityNo]) {
        for entity in entities {
            self.entities[entity.0 as usize] = Entity::default();
            self.removed.push(*entity);
        }
    }

    fn publish(&mut self, clock: &dyn Clock, events: &[Publish]) {
        let at_ns = clock.now_ns();
        for event in events {
            self.published += 1;
            let number = self.published;
            if self.refuses(number) {
                self.refused.push(event.event);
                continue;
            }
            if !self.has(Fault::IgnoreEvent(number)) {
                self.acked.push((event.event, at_ns));
            }
            let channel = match event.scope {
                EventScope::Channel(channel) => Some(channel),
                EventScope::Near { .. } => None,
            };
            for client in self.reached(event) {
                let member = self.clients.iter_mut().find(|c| c.plan.client == client);
                let Some(member) = member else { continue };
                let offset = member.next_offset(channel);
                self.deliver(Delivery { client, event: event.event, channel, offset, at_ns });
            }
        }
    }

    fn give(&mut self, _: &dyn Clock, cues: &[GivenCue]) {
        self.cues.given.extend_from_slice(cues);
    }

    fn draw(&mut self, clock: &dyn Clock, client: ClientNo, into: &mut Received) {
        let at_ns = clock.now_ns();
        let Some(client) = self.clients.iter().find(|c| c.plan.client == client) else { return };
        for entity in &client.held {
            if let Some(held) = self.copy(client.plan.client, *entity) {
                let position = held.position;
                into.views.push(View { entity: *entity, at_ns, position, age_ns: 0 });
            }
        }
    }

    fn wait(&mut self, clock: &dyn Clock, until_ns: u64) {
        let rest_ns = until_ns.min(self.due_ns).saturating_sub(clock.now_ns());
        if self.live && rest_ns > 0 {
            std::thread::sleep(Duration::from_nanos(rest_ns));
        }
    }

    fn traffic(&self) -> Traffic {
        let socket_drops = self.faults.iter().map(|fault| match fault {
            Fault::SocketDrops(tick, drops) if self.tick >= *tick => *drops,
            _ => 0,
        });
        Traffic { socket_drops: socket_drops.sum(), ..self.traffic }
    }

    fn leave(&mut self, _: &dyn Clock) {
        self.clients.clear();
    }
}
