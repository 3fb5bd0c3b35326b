//! What both sides' endpoints share: connections by place, who has something to send, who is due.
//!
//! ```text
//! packet -> Hub::sort -> those of connections wait, and the connections are fetched
//!        -> Hub::take_in -> events; a mark on the dirty list, or a timer where nothing presses
//! time   -> Hub::handle_timeout (wheel) -> events, a mark
//! write, send_datagram, close -> the same
//! dirty list -> Hub::poll_transmit -> packets, timers
//! ```
//!
//! Nothing here looks at connections to which nothing happened: there is no scan. What a tick needs
//! of each connection lies packed in its [`Slot`]; QUIC's own state, which is large, is touched
//! once when something arrives and once when something is sent.

mod arena;
mod census;
mod clock;
mod packet;
mod peer;
mod socket;
mod stats;
mod waker;
mod wheel;
mod whole;

pub(in crate::quic) use arena::CHUNK_BYTES;
pub(in crate::quic) use census::Census;
pub(in crate::quic) use clock::Clock;
pub use packet::{Arrival, Departure};
pub(in crate::quic) use socket::{Inlet, Sent, Socket};
pub use stats::{ClientStats, ConnStats};
pub use waker::UdpWaker;

use super::framing::Framing;
use crate::fetch::fetch;
use crate::{Allowance, ConnKey, Event, SendError};
use arena::Arena;
use bytes::BytesMut;
use peer::{Moment, Peer, Standing};
use quinn_proto::{
    Connection, ConnectionEvent, ConnectionHandle, DatagramEvent, Endpoint, Incoming, Transmit,
};
use starling_protocol::close::CloseCode;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::Nanos;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
pub(in crate::quic) use wheel::Wheel;

/// Answers to packets that belong to no connection; more than these are not worth keeping.
const RESPONSES_MAX: usize = 1_024;

/// What each tick needs of a connection.
#[derive(Debug, Default)]
struct Slot {
    peer: Option<Box<Peer>>,
    /// The peer's, for a look that leaves the peer itself alone.
    key: Option<ConnKey>,
    /// As of the last time that it had nothing left to send.
    allowance: Allowance,
    /// As last counted.
    standing: Option<Standing>,
    /// Already on the dirty list.
    dirty: bool,
    /// Already among those whose allowance is fresh.
    fresh: bool,
}

/// The connections of one endpoint.
#[derive(Debug)]
pub(in crate::quic) struct Hub {
    endpoint: Endpoint,
    /// The instant that stands for [`Nanos`] zero.
    origin: Instant,
    slots: Vec<Slot>,
    /// Places of connections that may have something to send, and some that have sent it since.
    dirty: VecDeque<u32>,
    wheel: Wheel,
    events: VecDeque<Event>,
    responses: VecDeque<(Transmit, Vec<u8>)>,
    arena: Arena,
    census: Census,
    /// Keys and places of connections that are gone and were not asked for.
    forgotten: Vec<(ConnKey, usize)>,
    /// Places whose handshake has come to an end since this was last asked.
    shaken: Vec<usize>,
    /// Figures of connections that are gone.
    retired: ConnStats,
    /// Places whose allowance is fresh since this was last asked, if anybody asks.
    fresh: Option<Vec<usize>>,
    /// Scratch of [`Hub::handle_timeout`].
    met: Vec<usize>,
    /// Packets of connections, by their places, that wait to be taken in.
    sorted: Vec<(usize, SocketAddr, ConnectionEvent)>,
}

impl Hub {
    /// An endpoint's hub, which puts payloads into chunks of so many bytes; zero where there is one
    /// connection.
    pub(in crate::quic) fn new(endpoint: Endpoint, chunk_bytes: usize) -> Self {
        Self {
            endpoint,
            origin: Instant::now(),
            slots: Vec::new(),
            dirty: VecDeque::new(),
            wheel: Wheel::default(),
            events: VecDeque::new(),
            responses: VecDeque::new(),
            arena: Arena::new(chunk_bytes),
            census: Census::default(),
            forgotten: Vec::new(),
            shaken: Vec::new(),
            retired: ConnStats::default(),
            fresh: None,
            met: Vec::new(),
            sorted: Vec::new(),
        }
    }

    pub(in crate::quic) const fn endpoint_mut(&mut self) -> &mut Endpoint {
        &mut self.endpoint
    }

    pub(in crate::quic) const fn census(&self) -> &Census {
        &self.census
    }

    /// Adds a connection that the endpoint has just made.
    pub(in crate::quic) fn add(
        &mut self,
        now: Nanos,
        handle: ConnectionHandle,
        key: ConnKey,
        connection: Connection,
    ) {
        let place = handle.0;
        if self.slots.len() <= place {
            self.slots.resize_with(place + 1, Slot::default);
        }
        let peer = Some(Box::new(Peer::new(self.instant(now), key, connection, Framing::plain())));
        let standing = Some(Standing::Connecting);
        let slot = &mut self.slots[place];
        (slot.peer, slot.standing, slot.allowance) = (peer, standing, Allowance::default());
        slot.key = Some(key);
        self.census.handshaking += 1;
        self.settle(now, place);
    }

    /// Finds out whom a packet is for. One of a connection waits for [`Hub::take_in`]; a connection
    /// that would be new is given back for the owner to judge.
    pub(in crate::quic) fn sort(
        &mut self,
        now: Nanos,
        arrival: &Arrival,
        bytes: &[u8],
    ) -> Option<Incoming> {
        let mut response = Vec::new();
        let event = self.endpoint.handle(
            self.instant(now),
            arrival.from,
            arrival.to,
            arrival.ecn(),
            BytesMut::from(bytes),
            &mut response,
        );
        match event? {
            DatagramEvent::ConnectionEvent(handle, event) => {
                self.fetch(handle.0);
                self.sorted.push((handle.0, arrival.from, event));
            }
            DatagramEvent::NewConnection(incoming) => return Some(incoming),
            DatagramEvent::Response(transmit) => self.respond(transmit, response),
        }
        None
    }

    /// Begins to bring a connection's state into the caches.
    pub(in crate::quic) fn fetch(&self, place: usize) {
        if let Some(peer) = self.slots.get(place).and_then(|slot| slot.peer.as_deref()) {
            fetch(peer);
        }
    }

    /// Takes in the packets that were sorted, in their order.
    pub(in crate::quic) fn take_in(&mut self, now: Nanos) {
        let mut sorted = std::mem::take(&mut self.sorted);
        for (place, from, event) in sorted.drain(..) {
            self.bring(now, place, from, event);
        }
        self.sorted = sorted;
    }

    /// Where a packet calls for nothing but an acknowledgement, which may ride with the next tick,
    /// its connection is not looked at again before that, or until the acknowledgement is due.
    fn bring(&mut self, now: Nanos, place: usize, from: SocketAddr, event: ConnectionEvent) {
        let instant = self.instant(now);
        let Some(peer) = self.peer(place) else { return };
        peer.receive(instant, from, event);
        let datagrams = self.digest(now, place);
        if self.peer(place).is_some_and(|peer| peer.may_wait(instant, datagrams)) {
            self.schedule(place);
        } else {
            self.touch(place);
        }
    }

    /// Queues an answer to somebody who has no connection.
    pub(in crate::quic) fn respond(&mut self, transmit: Transmit, mut bytes: Vec<u8>) {
        if self.responses.len() < RESPONSES_MAX {
            bytes.truncate(transmit.size);
            self.responses.push_back((transmit, bytes));
        } else {
            self.census.responses_dropped += 1;
        }
    }

    /// Does what is due at `now`.
    pub(in crate::quic) fn handle_timeout(&mut self, now: Nanos) {
        let instant = self.instant(now);
        let mut met = std::mem::take(&mut self.met);
        self.wheel.advance(now, &mut met);
        for place in met.drain(..) {
            if let Some(peer) = self.peer(place) {
                peer.handle_timeout(instant);
                self.settle(now, place);
            }
        }
        self.met = met;
    }

    /// When [`Hub::handle_timeout`] is due.
    pub(in crate::quic) fn next_timeout(&self) -> Option<Nanos> {
        self.wheel.next_due()
    }

    /// Something may wait to be sent.
    pub(in crate::quic) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty() || !self.responses.is_empty()
    }

    /// Writes the next packet into `buffer`, which it empties first; or several of one size for one
    /// receiver, at most `segments_max`.
    pub(in crate::quic) fn poll_transmit(
        &mut self,
        now: Nanos,
        segments_max: usize,
        buffer: &mut Vec<u8>,
    ) -> Option<Departure> {
        buffer.clear();
        if let Some((transmit, bytes)) = self.responses.pop_front() {
            buffer.extend_from_slice(&bytes);
            return Some(Departure::of(&transmit));
        }
        while let Some(&place) = self.dirty.front() {
            let departure = self.poll_own(now, place as usize, segments_max, buffer, false);
            if departure.is_some() {
                return departure;
            }
            self.dirty.pop_front();
        }
        None
    }

    /// Writes the next packet of one connection into `buffer`, which is empty; `None` once it has
    /// nothing left to send, and then it is no longer dirty. With `sparing` QUIC is not asked again
    /// where that is known: then it cannot tell who sends less than it may, which a controller has to
    /// find out for itself.
    pub(in crate::quic) fn poll_own(
        &mut self,
        now: Nanos,
        place: usize,
        segments_max: usize,
        buffer: &mut Vec<u8>,
        sparing: bool,
    ) -> Option<Departure> {
        let instant = self.instant(now);
        let slot = self.slots.get_mut(place).filter(|slot| slot.dirty)?;
        let (mut transmit, mut last) = (None, true);
        if let Some(peer) = slot.peer.as_deref_mut() {
            transmit = peer.transmit(instant, segments_max, buffer);
            let departure = transmit.as_ref();
            last = departure.is_none_or(|transmit| sparing && peer.is_spent(instant, transmit));
        }
        if last {
            self.clean(now, place);
        }
        transmit.as_ref().map(Departure::of)
    }

    pub(in crate::quic) const fn events_mut(&mut self) -> &mut VecDeque<Event> {
        &mut self.events
    }

    pub(in crate::quic) fn events(&self) -> &VecDeque<Event> {
        &self.events
    }

    /// Does the connection at this place go by this key?
    pub(in crate::quic) fn is_at(&self, place: usize, key: ConnKey) -> bool {
        self.slots.get(place).is_some_and(|slot| slot.key == Some(key))
    }

    pub(in crate::quic) fn send_datagram(
        &mut self,
        place: usize,
        payload: &[u8],
    ) -> Result<(), SendError> {
        let slot = self.slots.get_mut(place).ok_or(SendError::Closed)?;
        let peer = slot.peer.as_deref_mut().ok_or(SendError::Closed)?;
        let sent = peer.send_datagram(payload, &mut self.arena);
        match sent {
            Ok(()) => self.census.datagrams_out += 1,
            Err(SendError::Full) => self.census.datagrams_full += 1,
            Err(_) => {}
        }
        self.touch(place);
        sent
    }

    pub(in crate::quic) fn write(
        &mut self,
        now: Nanos,
        place: usize,
        stream: StreamKind,
        bytes: &[u8],
    ) -> Result<usize, SendError> {
        let instant = self.instant(now);
        let slot = self.slots.get_mut(place).ok_or(SendError::Closed)?;
        let peer = slot.peer.as_deref_mut().filter(|peer| peer.is_open());
        let peer = peer.ok_or(SendError::Closed)?;
        let taken = peer.write(stream, bytes);
        peer.flush(instant);
        if slot.standing == Some(Standing::Up) {
            slot.allowance.stream_bytes = peer.stream_space();
        }
        self.touch(place);
        Ok(taken)
    }

    pub(in crate::quic) fn allowance(&self, place: usize) -> Option<Allowance> {
        let slot = self.slots.get(place)?;
        match slot.standing? {
            Standing::Connecting | Standing::Up => Some(slot.allowance),
            Standing::Over => None,
        }
    }

    pub(in crate::quic) fn close(
        &mut self,
        now: Nanos,
        place: usize,
        code: CloseCode,
        reason: &str,
    ) {
        let instant = self.instant(now);
        let Some(key) = self.peer(place).map(|peer| peer.key) else { return };
        self.events.retain(|event| event.conn() != key);
        if let Some(peer) = self.peer(place).filter(|peer| peer.is_open()) {
            peer.close(instant, code, reason);
            self.settle(now, place);
        }
    }

    /// Keeps a list of connections whose allowance is fresh, from now on.
    pub(in crate::quic) fn keep_fresh(&mut self) {
        self.fresh = Some(Vec::new());
    }

    /// The keys of connections whose allowance is fresh since this was last asked.
    pub(in crate::quic) fn drain_fresh(&mut self, keys: &mut Vec<ConnKey>) {
        for place in self.fresh.iter_mut().flat_map(|fresh| fresh.drain(..)) {
            let slot = &mut self.slots[place];
            slot.fresh = false;
            keys.extend(slot.peer.as_ref().map(|peer| peer.key));
        }
    }

    /// Bytes of the largest datagram that the connection at this place can send.
    pub(in crate::quic) fn datagram_bytes_max(&mut self, place: usize) -> usize {
        self.peer(place).map_or(0, Peer::datagram_bytes_max)
    }

    pub(in crate::quic) fn stats(&self, place: usize) -> Option<ConnStats> {
        Some(self.slots.get(place)?.peer.as_ref()?.stats())
    }

    /// Keys and places of connections that QUIC has forgotten since this was last asked.
    pub(in crate::quic) fn drain_forgotten(&mut self) -> impl Iterator<Item = (ConnKey, usize)> {
        self.forgotten.drain(..)
    }

    /// Places whose handshake has come to an end, one way or the other, since this was last asked.
    pub(in crate::quic) fn drain_shaken(&mut self) -> impl Iterator<Item = usize> {
        self.shaken.drain(..)
    }

    pub(in crate::quic) fn instant(&self, now: Nanos) -> Instant {
        self.origin + Duration::from_nanos(now.0)
    }

    fn peer(&mut self, place: usize) -> Option<&mut Peer> {
        self.slots.get_mut(place)?.peer.as_deref_mut()
    }

    /// Takes out what a connection has to say after something happened to it. What it has to send,
    /// and when it is due, is asked when the dirty list comes to it.
    fn settle(&mut self, now: Nanos, place: usize) {
        self.digest(now, place);
        self.touch(place);
    }

    /// Returns the number of datagrams.
    fn digest(&mut self, now: Nanos, place: usize) -> u64 {
        let moment = Moment { instant: self.instant(now), at: now };
        let Some(slot) = self.slots.get_mut(place) else { return 0 };
        let Some(peer) = slot.peer.as_deref_mut() else { return 0 };
        let datagrams = peer.digest(moment, &mut self.events);
        self.census.datagrams_in += datagrams;
        self.census.faults += u64::from(peer.take_fault());
        let standing = peer.standing();
        if slot.standing != Some(standing) {
            slot.allowance = peer.allowance();
            self.note(place, Some(standing));
        }
        datagrams
    }

    /// A connection stands otherwise than before.
    fn note(&mut self, place: usize, standing: Option<Standing>) {
        let before = std::mem::replace(&mut self.slots[place].standing, standing);
        if before == Some(Standing::Connecting) {
            self.shaken.push(place);
        }
        self.census.count(before, standing.unwrap_or(Standing::Over));
    }

    /// A connection has nothing to send for now.
    fn clean(&mut self, now: Nanos, place: usize) {
        let instant = self.instant(now);
        let Some(slot) = self.slots.get_mut(place) else { return };
        slot.dirty = false;
        let Some(peer) = slot.peer.as_deref_mut() else { return };
        if peer.acknowledges_promptly(instant) {
            return self.touch(place);
        }
        peer.measure();
        slot.allowance = peer.allowance();
        if let Some(fresh) = &mut self.fresh
            && !std::mem::replace(&mut slot.fresh, true)
        {
            fresh.push(place);
        }
        // Sending can end a connection, and it always moves timers.
        self.digest(now, place);
        self.exchange(place);
        self.schedule(place);
    }

    fn touch(&mut self, place: usize) {
        if let Some(slot) = self.slots.get_mut(place)
            && !std::mem::replace(&mut slot.dirty, true)
        {
            self.dirty.push_back(place as u32);
        }
    }

    /// Carries messages between a connection and its endpoint; a drained one goes.
    fn exchange(&mut self, place: usize) {
        loop {
            let Some(peer) = self.slots[place].peer.as_deref_mut() else { return };
            let Some(event) = peer.connection.poll_endpoint_events() else { return };
            let drained = event.is_drained();
            if let Some(answer) = self.endpoint.handle_event(ConnectionHandle(place), event)
                && let Some(peer) = self.slots[place].peer.as_deref_mut()
            {
                peer.connection.handle_event(answer);
                // New connection ids have to be told.
                self.touch(place);
            }
            if drained {
                self.forget(place);
            }
        }
    }

    fn forget(&mut self, place: usize) {
        let slot = &mut self.slots[place];
        slot.key = None;
        if let Some(peer) = slot.peer.take() {
            self.note(place, None);
            self.retired.add(&peer.stats());
            self.forgotten.push((peer.key, place));
            self.wheel.remove(place);
        }
    }

    fn schedule(&mut self, place: usize) {
        let Some(peer) = self.peer(place) else { return };
        let due = peer.next_timeout();
        let due = due.map(|at| at.saturating_duration_since(self.origin).as_nanos());
        let due = due.map(|ns| Nanos(ns.try_into().unwrap_or(u64::MAX)));
        self.wheel.set(place, due);
    }
}
