//! Which events are owed to whom, and what became of them.

use super::findings::EventFindings;
use super::subject::Subject;
use crate::space::{Position, Space};
use crate::target::{ChannelNo, ClientNo, Delivery, EventNo, EventScope};
use std::collections::{BTreeMap, VecDeque};

/// An event by place is owed to whom it was for during this long before and after.
const CLEARLY_NS: u64 = 1_000_000_000;
/// Events followed in one run.
const EVENTS_MAX: usize = 4_000_000;
/// Deliveries that wait for the news of their event.
const EARLY_MAX: usize = 4_096;
/// Of the lost, doubled and disordered events this many are named.
const NAMED_MAX: usize = 50;

/// The events of a run.
#[derive(Debug, Default)]
pub(super) struct EventBook {
    events: BTreeMap<EventNo, Entry>,
    /// Deliveries of events of which nothing is known yet: another thread's news of the same
    /// moment came first.
    early: VecDeque<Delivery>,
    /// Events by place whose recipients are not settled yet, in order of time.
    undecided: VecDeque<EventNo>,
    members: BTreeMap<ChannelNo, Vec<ClientNo>>,
    /// Where each client's entity was, tick by tick, for a little more than two seconds.
    history: VecDeque<Moment>,
    /// Newest number seen, per recipient, stream and publisher.
    newest: BTreeMap<(ClientNo, Option<ChannelNo>, ClientNo), u32>,
    offsets: BTreeMap<(ClientNo, Option<ChannelNo>), u64>,
    /// Connected since, and until; per client.
    links: Vec<Connected>,
    pub found: EventFindings,
}

#[derive(Debug)]
struct Entry {
    scope: EventScope,
    at_ns: u64,
    acked: bool,
    refused: bool,
    /// Recipients to whom it is owed.
    owed: Vec<ClientNo>,
    delivered: Vec<ClientNo>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Connected {
    since_ns: Option<u64>,
    lost_ns: Option<u64>,
}

/// Positions of the first entity of every client at one tick.
#[derive(Debug)]
struct Moment {
    at_ns: u64,
    places: Vec<Option<Position>>,
}

impl EventBook {
    pub(super) fn new(clients: usize) -> Self {
        Self { links: vec![Connected::default(); clients], ..Self::default() }
    }

    pub(super) fn subscribe(&mut self, client: ClientNo, channel: ChannelNo) {
        self.members.entry(channel).or_default().push(client);
    }

    pub(super) fn connect(&mut self, client: ClientNo, at_ns: u64) {
        self.links[client.0 as usize] = Connected { since_ns: Some(at_ns), lost_ns: None };
    }

    pub(super) fn lose(&mut self, client: ClientNo, at_ns: u64) {
        self.links[client.0 as usize].lost_ns = Some(at_ns);
    }

    pub(super) fn publish(&mut self, event: EventNo, scope: EventScope, at_ns: u64) {
        if self.events.len() >= EVENTS_MAX {
            return;
        }
        self.found.published += 1;
        let owed = match scope {
            EventScope::Channel(channel) => self.connected_members(channel, event, at_ns),
            EventScope::Near { .. } => {
                self.undecided.push_back(event);
                Vec::new()
            }
        };
        let delivered = Vec::new();
        self.events
            .insert(event, Entry { scope, at_ns, acked: false, refused: false, owed, delivered });
        self.take_early(event);
    }

    fn take_early(&mut self, event: EventNo) {
        for _ in 0..self.early.len() {
            let Some(delivery) = self.early.pop_front() else { return };
            match delivery.event == event {
                true => self.count(&delivery),
                false => self.early.push_back(delivery),
            }
        }
    }

    /// Members that have been connected for long enough to have subscribed.
    fn connected_members(&self, channel: ChannelNo, event: EventNo, at_ns: u64) -> Vec<ClientNo> {
        let members = self.members.get(&channel).into_iter().flatten().copied();
        let there = |c: &ClientNo| *c != event.publisher && self.since(*c, at_ns);
        members.filter(there).collect()
    }

    fn since(&self, client: ClientNo, at_ns: u64) -> bool {
        let link = self.links[client.0 as usize];
        link.lost_ns.is_none() && link.since_ns.is_some_and(|s| s + CLEARLY_NS <= at_ns)
    }

    pub(super) fn ack(&mut self, event: EventNo) {
        if let Some(entry) = self.events.get_mut(&event) {
            self.found.acked += u64::from(!entry.acked);
            entry.acked = true;
        }
    }

    pub(super) fn refuse(&mut self, event: EventNo) {
        if let Some(entry) = self.events.get_mut(&event) {
            self.found.refused += u64::from(!entry.refused);
            entry.refused = true;
        }
    }

    pub(super) fn deliver(&mut self, delivery: &Delivery) {
        let Delivery { client, event, .. } = *delivery;
        let known = self.events.get(&event).is_some_and(|entry| entry.delivered.contains(&client));
        let waits = || self.early.iter().any(|d| (d.client, d.event) == (client, event));
        if known || waits() {
            self.found.duplicated += 1;
            name(&mut self.found, "duplicated", event, client);
            return;
        }
        self.check_order(delivery);
        if self.events.contains_key(&event) {
            return self.count(delivery);
        }
        if self.early.len() == EARLY_MAX {
            self.early.pop_front();
        }
        self.early.push_back(*delivery);
    }

    fn count(&mut self, delivery: &Delivery) {
        let Some(entry) = self.events.get_mut(&delivery.event) else { return };
        entry.delivered.push(delivery.client);
        self.found.delivered += 1;
        self.found.latency_ms.record_ns(delivery.at_ns.saturating_sub(entry.at_ns));
    }

    /// Numbers of one publisher, and offsets of one stream, only ever grow.
    fn check_order(&mut self, delivery: &Delivery) {
        let Delivery { client, event, channel, offset, .. } = *delivery;
        let newest = self.newest.entry((client, channel, event.publisher)).or_default();
        let top = self.offsets.entry((client, channel)).or_default();
        if event.number < *newest || offset <= *top {
            self.found.out_of_order += 1;
            name(&mut self.found, "out of order", event, client);
        }
        *newest = event.number.max(*newest);
        *top = offset.max(*top);
    }

    /// A tick of the server has passed: settles the events of a second ago.
    pub(super) fn turn(
        &mut self,
        space: Space,
        at_ns: u64,
        subjects: &[Subject],
        firsts: &[Option<usize>],
    ) {
        let place = |first: &Option<usize>| first.and_then(|e| subjects[e].place());
        let places = firsts.iter().map(|first| place(first).map(|p| p.cartesian)).collect();
        self.history.push_back(Moment { at_ns, places });
        while let Some(&event) = self.undecided.front() {
            let settled_ns = self.events.get(&event).map_or(0, |entry| entry.at_ns + CLEARLY_NS);
            if settled_ns > at_ns {
                break;
            }
            self.undecided.pop_front();
            self.decide(space, event);
        }
        let keep_ns = at_ns.saturating_sub(2 * CLEARLY_NS + CLEARLY_NS / 2);
        while self.history.front().is_some_and(|moment| moment.at_ns < keep_ns) {
            self.history.pop_front();
        }
    }

    /// Owed to those who were near in every tick from a second before to a second after.
    fn decide(&mut self, space: Space, event: EventNo) {
        let Some(entry) = self.events.get(&event) else { return };
        let EventScope::Near { radius_m } = entry.scope else { return };
        let (from, to) = (entry.at_ns.saturating_sub(CLEARLY_NS), entry.at_ns + CLEARLY_NS);
        let window = |m: &&Moment| (from..=to).contains(&m.at_ns);
        let moments: Vec<&Moment> = self.history.iter().filter(window).collect();
        // Less than the whole window is known: nothing is clear.
        if moments.first().is_none_or(|m| m.at_ns > from + CLEARLY_NS / 4) {
            return;
        }
        let near = |client: usize| {
            moments.iter().all(|m| {
                let pair = m.places[client].zip(m.places[event.publisher.0 as usize]);
                pair.is_some_and(|(a, b)| {
                    Space::Metric.distance_m(a, b) <= f64::from(radius_m) * 0.99 - edge_m(space)
                })
            })
        };
        let clients = (0..self.links.len()).filter(|&c| c != event.publisher.0 as usize && near(c));
        let owed = clients.map(|c| ClientNo(c as u32)).filter(|&c| self.since(c, entry.at_ns));
        let owed: Vec<ClientNo> = owed.collect();
        if let Some(entry) = self.events.get_mut(&event) {
            entry.owed = owed;
        }
    }

    /// Everything that was published has been acknowledged and has arrived.
    pub(super) fn is_settled(&self) -> bool {
        self.undecided.is_empty() && self.events.values().all(|entry| self.missing(entry) == 0)
    }

    fn missing(&self, entry: &Entry) -> usize {
        let unacked = usize::from(!entry.acked && !entry.refused);
        unacked + entry.owed.iter().filter(|c| self.is_missing(entry, **c)).count()
    }

    fn is_missing(&self, entry: &Entry, client: ClientNo) -> bool {
        let link = self.links[client.0 as usize];
        // Who lost the connection within a second of it is owed nothing by place.
        let by_place = matches!(entry.scope, EventScope::Near { .. });
        let left = link.lost_ns.is_some_and(|lost| !by_place || lost < entry.at_ns + CLEARLY_NS);
        entry.acked && !left && !entry.delivered.contains(&client)
    }

    /// Counts what never arrived.
    pub(super) fn finish(mut self) -> EventFindings {
        let entries = std::mem::take(&mut self.events);
        for (event, entry) in &entries {
            let owed = entry.owed.iter().copied();
            let missing: Vec<_> = owed.filter(|&c| self.is_missing(entry, c)).collect();
            for client in missing {
                self.found.lost += 1;
                name(&mut self.found, "lost", *event, client);
            }
            if !entry.acked && !entry.refused && self.since(event.publisher, entry.at_ns) {
                self.found.lost += 1;
                name(&mut self.found, "never acknowledged", *event, event.publisher);
            }
        }
        self.found
    }
}

/// Distances on the Earth are judged by chords over hundreds of metres; half a metre is unclear.
fn edge_m(space: Space) -> f64 {
    if space == Space::Geodetic { 0.5 } else { 0.05 }
}

fn name(found: &mut EventFindings, what: &str, event: EventNo, at: ClientNo) {
    if found.named.len() < NAMED_MAX {
        let EventNo { publisher, number } = event;
        found
            .named
            .push(format!("event {number} of client {} {what} at client {}", publisher.0, at.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_may_be_heard_of_before_its_event() {
        let mut book = EventBook::new(2);
        let (publisher, reader, channel) = (ClientNo(0), ClientNo(1), ChannelNo(0));
        book.subscribe(reader, channel);
        book.connect(reader, 0);
        let event = EventNo { publisher, number: 1 };
        let at_ns = 2 * CLEARLY_NS;
        let stream = Some(channel);
        book.deliver(&Delivery { client: reader, event, channel: stream, offset: 1, at_ns });
        assert_eq!(book.found.delivered, 0);
        book.publish(event, EventScope::Channel(channel), at_ns);
        book.ack(event);
        let found = book.finish();
        assert_eq!((found.delivered, found.lost), (1, 0));
    }
}
