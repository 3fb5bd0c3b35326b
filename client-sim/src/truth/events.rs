//! Which events are owed to whom, and what became of them.

use super::findings::EventFindings;
use super::links::Links;
use super::past::{CLEARLY_NS, Past, Side, around};
use super::room::Room;
use crate::target::{ChannelNo, ClientNo, Delivery, EventNo, EventScope};
use std::collections::{BTreeMap, VecDeque};

/// Deliveries that wait for the news of their event.
const EARLY_MAX: usize = 65_536;
/// Of the lost, doubled and disordered events this many are named.
const NAMED_MAX: usize = 50;

/// The events of a run.
#[derive(Debug)]
pub(super) struct EventBook {
    events: BTreeMap<EventNo, Entry>,
    room: Room,
    /// Deliveries of events of which nothing is known yet: another thread's news of the same
    /// moment came first.
    early: VecDeque<Delivery>,
    /// Events by place whose recipients are not settled yet, in order of time.
    undecided: VecDeque<EventNo>,
    /// Deliveries by place, in order of time, until it is clear whether they were rightful.
    suspects: VecDeque<Delivery>,
    members: BTreeMap<ChannelNo, Vec<ClientNo>>,
    /// Newest number seen, per recipient, stream and publisher.
    newest: BTreeMap<(ClientNo, Option<ChannelNo>, ClientNo), u32>,
    offsets: BTreeMap<(ClientNo, Option<ChannelNo>), u64>,
    links: Links,
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

impl EventBook {
    pub(super) fn new(clients: usize, room: Room) -> Self {
        Self {
            events: BTreeMap::new(),
            room,
            early: VecDeque::new(),
            undecided: VecDeque::new(),
            suspects: VecDeque::new(),
            members: BTreeMap::new(),
            newest: BTreeMap::new(),
            offsets: BTreeMap::new(),
            links: Links::new(clients),
            found: EventFindings::default(),
        }
    }

    pub(super) fn subscribe(&mut self, client: ClientNo, channel: ChannelNo) {
        self.members.entry(channel).or_default().push(client);
    }

    pub(super) fn connect(&mut self, client: ClientNo, at_ns: u64) {
        self.links.connect(client, at_ns);
    }

    pub(super) fn lose(&mut self, client: ClientNo, at_ns: u64) {
        self.links.lose(client, at_ns);
    }

    pub(super) fn publish(&mut self, event: EventNo, scope: EventScope, at_ns: u64) {
        if self.events.len() >= self.room.events {
            self.found.unjudged += 1;
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
        let there = |c: &ClientNo| *c != event.publisher && self.links.stood(*c, at_ns);
        members.filter(there).collect()
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
        if self.early.len() == EARLY_MAX
            && let Some(unheard_of) = self.early.pop_front()
        {
            self.note_unheard_of(unheard_of);
        }
        self.early.push_back(*delivery);
    }

    fn count(&mut self, delivery: &Delivery) {
        let Some(entry) = self.events.get_mut(&delivery.event) else { return };
        entry.delivered.push(delivery.client);
        self.found.delivered += 1;
        self.found.latency_ms.record_ns(delivery.at_ns.saturating_sub(entry.at_ns));
        let scope = entry.scope;
        match (scope, delivery.channel) {
            (EventScope::Channel(channel), Some(stream)) if stream == channel => {
                let members = self.members.get(&channel);
                if !members.is_some_and(|members| members.contains(&delivery.client)) {
                    self.note_stray(delivery);
                }
            }
            (EventScope::Near { .. }, None) if self.suspects.len() < self.room.suspects => {
                self.suspects.push_back(*delivery);
            }
            (EventScope::Near { .. }, None) => self.found.unjudged += 1,
            // In a stream that it does not belong to.
            _ => self.note_stray(delivery),
        }
    }

    fn note_stray(&mut self, delivery: &Delivery) {
        self.found.stray += 1;
        name(&mut self.found, "stray", delivery.event, delivery.client);
    }

    /// Nobody published it, unless it was published beyond what is followed.
    fn note_unheard_of(&mut self, delivery: Delivery) {
        if self.found.unjudged == 0 {
            self.note_stray(&delivery);
        }
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

    /// The past reaches up to a moment: settles the events and deliveries of a second ago.
    pub(super) fn turn(&mut self, past: &Past, at_ns: u64) {
        while let Some(&event) = self.undecided.front() {
            let settled_ns = self.events.get(&event).map_or(0, |entry| entry.at_ns + CLEARLY_NS);
            if settled_ns > at_ns {
                break;
            }
            self.undecided.pop_front();
            self.decide(past, event);
        }
        while let Some(delivery) = self.suspects.front().copied() {
            if delivery.at_ns + CLEARLY_NS > at_ns {
                break;
            }
            self.suspects.pop_front();
            if self.was_elsewhere(past, &delivery) {
                self.note_stray(&delivery);
            }
        }
    }

    /// Owed to those who were near in every tick from a second before to a second after.
    fn decide(&mut self, past: &Past, event: EventNo) {
        let Some(entry) = self.events.get(&event) else { return };
        let EventScope::Near { radius_m } = entry.scope else { return };
        let during = around(entry.at_ns, entry.at_ns);
        let owed = past.clients().filter(|c| {
            let others = *c != event.publisher && self.links.stood(*c, entry.at_ns);
            others && past.side(*c, event.publisher, radius_m, &during) == Side::Inside
        });
        let owed: Vec<ClientNo> = owed.collect();
        if let Some(entry) = self.events.get_mut(&event) {
            entry.owed = owed;
        }
    }

    /// Was the recipient far off all the time from before the publishing to after the arrival?
    fn was_elsewhere(&self, past: &Past, delivery: &Delivery) -> bool {
        let Delivery { client, event, at_ns, .. } = *delivery;
        let Some(entry) = self.events.get(&event) else { return false };
        let EventScope::Near { radius_m } = entry.scope else { return false };
        let during = around(entry.at_ns, at_ns.max(entry.at_ns));
        past.side(client, event.publisher, radius_m, &during) == Side::Outside
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
        // Who lost the connection within a second of it is owed nothing by place.
        let by_place = matches!(entry.scope, EventScope::Near { .. });
        let left = self
            .links
            .lost_ns(client)
            .is_some_and(|lost| !by_place || lost < entry.at_ns + CLEARLY_NS);
        entry.acked && !left && !entry.delivered.contains(&client)
    }

    /// Counts what never arrived, and settles what the past tells of what did.
    pub(super) fn finish(mut self, past: &Past) -> EventFindings {
        for delivery in std::mem::take(&mut self.suspects) {
            if past.reaches(delivery.at_ns) && self.was_elsewhere(past, &delivery) {
                self.note_stray(&delivery);
            }
        }
        for unheard_of in std::mem::take(&mut self.early) {
            self.note_unheard_of(unheard_of);
        }
        let entries = std::mem::take(&mut self.events);
        for (event, entry) in &entries {
            let owed = entry.owed.iter().copied();
            let missing: Vec<_> = owed.filter(|&c| self.is_missing(entry, c)).collect();
            for client in missing {
                self.found.lost += 1;
                name(&mut self.found, "lost", *event, client);
            }
            if !entry.acked && !entry.refused && self.links.stood(event.publisher, entry.at_ns) {
                self.found.lost += 1;
                name(&mut self.found, "never acknowledged", *event, event.publisher);
            }
        }
        self.found
    }
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
    use super::super::past::tests::past_of_a_pair;
    use super::*;

    #[test]
    fn a_delivery_may_be_heard_of_before_its_event() {
        let mut book = EventBook::new(2, Room::default());
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
        let found = book.finish(&Past::new(&[]));
        assert_eq!((found.delivered, found.lost, found.stray), (1, 0, 0));
    }

    #[test]
    fn a_delivery_of_the_last_second_is_judged_if_the_past_reaches_it() {
        let strays = |apart_m, arrived_ns| {
            let mut book = EventBook::new(2, Room::default());
            let (publisher, client) = (ClientNo(0), ClientNo(1));
            let event = EventNo { publisher, number: 1 };
            book.publish(event, EventScope::Near { radius_m: 25 }, 3 * CLEARLY_NS);
            book.deliver(&Delivery { client, event, channel: None, offset: 1, at_ns: arrived_ns });
            book.finish(&past_of_a_pair(apart_m, 0.1)).stray
        };
        let (soon, late) = (3_500_000_000, 4_500_000_000);
        assert_eq!([strays(40.0, soon), strays(10.0, soon), strays(40.0, late)], [1, 0, 0]);
    }

    #[test]
    fn events_beyond_those_that_are_followed_are_counted_and_their_deliveries_are_no_strays() {
        let room = Room { events: 1, ..Room::default() };
        let (mut book, publisher, channel) = (EventBook::new(2, room), ClientNo(0), ChannelNo(0));
        for number in 1..=3 {
            let event = EventNo { publisher, number };
            book.publish(event, EventScope::Channel(channel), 0);
        }
        let (client, event) = (ClientNo(1), EventNo { publisher, number: 2 });
        book.deliver(&Delivery { client, event, channel: Some(channel), offset: 2, at_ns: 0 });
        let found = book.finish(&Past::new(&[]));
        assert_eq!((found.published, found.unjudged, found.stray), (1, 2, 0));
    }
}
