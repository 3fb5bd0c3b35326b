//! The sans-I/O server: packets and the time in, packets and events out.

use super::admission::{Admission, Verdict};
use super::token_time::TokenTime;
use crate::quic::config::{Congestion, ServerSecret};
use crate::quic::hub::{Arrival, CHUNK_BYTES, Census, Departure, Hub};
use crate::quic::ids::MarkedIds;
use crate::quic::server::{ServerOptions, ServerStats};
use crate::quic::setup::Setup;
use crate::{Allowance, ConnKey, Event, SendError};
use quinn_proto::{Endpoint, Incoming, TimeSource};
use starling_protocol::close::CloseCode;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::Nanos;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Packets of one size that the kernel cuts one large send into.
const SEGMENTS_MAX: usize = 10;

/// A server's keys: which shard, which number in its life, which place.
///
/// ```text
/// 8 bits   shard
/// 32 bits  number
/// 24 bits  place
/// ```
const PLACE_BITS: u32 = 24;
const SHARD_AT: u32 = 56;

/// QUIC for one of a server's sockets, without the socket, a thread or a clock.
///
/// The driver calls [`handle_packet`](Self::handle_packet) for what arrives,
/// [`handle_timeout`](Self::handle_timeout) when [`next_timeout`](Self::next_timeout) is due, and
/// after each of them, and after anything else that it asked for, takes packets from
/// [`poll_transmit`](Self::poll_transmit) and events from [`poll_event`](Self::poll_event) until
/// there are none.
#[derive(Debug)]
pub struct ServerEndpoint {
    hub: Hub,
    ids: Ids,
    shard: u8,
    connections_max: usize,
    /// Packets that may leave as one.
    segments_max: usize,
    /// The congestion controller tells by itself who sends less than it may.
    sparing: bool,
    admission: Admission,
    token_time: Arc<TokenTime>,
    /// Connections of all shards of the server, from the first packet of their handshake until QUIC
    /// has forgotten them, and those that this one has put there.
    population: Arc<AtomicUsize>,
    counted: usize,
    keys: u32,
    accepting: bool,
    refused: u64,
    ignored: u64,
    retried: u64,
    failed: u64,
}

/// Its connections make room on the server.
impl Drop for ServerEndpoint {
    fn drop(&mut self) {
        self.population.fetch_sub(self.counted, Relaxed);
    }
}

/// Connection ids, whose key stays out of logs.
struct Ids(MarkedIds);

impl std::fmt::Debug for Ids {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ids(..)")
    }
}

impl ServerEndpoint {
    /// A shard of a server. All shards share one secret, so that a packet that comes to the wrong
    /// one can be told from noise.
    #[must_use]
    pub fn new(options: &ServerOptions, secret: &ServerSecret, shard: u8) -> Self {
        Self::of(options, Setup::unhurried(options, secret, shard), shard)
    }

    /// The same server, all of whose chances follow from a seed but for TLS, which changes the bytes
    /// of packets and never their number or length: for simulation only.
    #[must_use]
    pub fn seeded(options: &ServerOptions, secret: &ServerSecret, shard: u8, seed: u64) -> Self {
        let mut setup = Setup::unhurried(options, secret, shard);
        setup.seed(seed);
        Self::of(options, setup, shard)
    }

    fn of(options: &ServerOptions, setup: Setup, shard: u8) -> Self {
        let Setup { endpoint, mut server, ids } = setup;
        let token_time = Arc::new(TokenTime::default());
        server.time_source(Arc::clone(&token_time) as Arc<dyn TimeSource>);
        let endpoint = Endpoint::new(Arc::new(endpoint), Some(Arc::new(server)), true, None);
        Self {
            hub: Hub::new(endpoint, CHUNK_BYTES),
            ids: Ids(ids),
            shard,
            connections_max: options.connections_max,
            segments_max: if options.segmentation_offload { SEGMENTS_MAX } else { 1 },
            admission: Admission::new(options.shards),
            token_time,
            sparing: options.congestion == Congestion::Steady,
            population: Arc::default(),
            counted: 0,
            keys: 0,
            accepting: true,
            refused: 0,
            ignored: 0,
            retried: 0,
            failed: 0,
        }
    }

    /// Counts its connections together with those of other shards from now on.
    pub(super) fn share_population(&mut self, population: Arc<AtomicUsize>) {
        self.population = population;
    }

    /// Lets at most so many packets leave as one from now on.
    pub(super) fn limit_segments(&mut self, max: usize) {
        self.segments_max = self.segments_max.min(max);
    }

    /// Keeps a list of connections whose allowance is fresh, from now on.
    pub(super) fn keep_fresh(&mut self) {
        self.hub.keep_fresh();
    }

    /// Takes out the connections whose allowance is fresh.
    pub(super) fn drain_fresh(&mut self, keys: &mut Vec<ConnKey>) {
        self.hub.drain_fresh(keys);
    }

    /// Bytes of the largest datagram that a connection can send.
    pub(super) fn datagram_bytes_max(&mut self, conn: ConnKey) -> usize {
        self.place(conn).map_or(0, |place| self.hub.datagram_bytes_max(place))
    }

    /// The shard that a packet names, if it names one.
    #[must_use]
    pub fn shard_of(&self, packet: &[u8]) -> Option<u8> {
        self.ids.0.shard_of(packet)
    }

    /// The shard that made a key.
    #[must_use]
    pub const fn shard_of_key(conn: ConnKey) -> u8 {
        (conn.0 >> SHARD_AT) as u8
    }

    /// Takes in a packet.
    pub fn handle_packet(&mut self, now: Nanos, arrival: &Arrival, bytes: &[u8]) {
        self.sort_packet(now, arrival, bytes);
        self.take_in(now);
    }

    /// Takes in a packet as far as that is cheap: one of a connection waits for
    /// [`take_in`](Self::take_in) or a newcomer, and the state of that connection is on its way until
    /// then.
    pub(super) fn sort_packet(&mut self, now: Nanos, arrival: &Arrival, bytes: &[u8]) {
        self.token_time.set(now);
        if let Some(incoming) = self.hub.sort(now, arrival, bytes) {
            // What was sent, and what came before it, may have ended connections and handshakes.
            self.take_in(now);
            self.judge(now, incoming);
            self.sweep();
        }
    }

    /// Takes in the packets that were sorted.
    pub(super) fn take_in(&mut self, now: Nanos) {
        self.hub.take_in(now);
        self.sweep();
    }

    /// Something will be done for a connection soon.
    pub(super) fn fetch(&self, conn: ConnKey) {
        if let Some(place) = self.place(conn) {
            self.hub.fetch(place);
        }
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Nanos) {
        self.hub.handle_timeout(now);
        self.sweep();
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Nanos> {
        self.hub.next_timeout()
    }

    /// Something may wait to be sent.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        self.hub.is_dirty()
    }

    /// Writes the next packet into `buffer`, which it empties first, and says where it goes.
    pub fn poll_transmit(&mut self, now: Nanos, buffer: &mut Vec<u8>) -> Option<Departure> {
        self.hub.poll_transmit(now, self.segments_max, buffer)
    }

    /// The same for one connection; `None` once it has nothing left to send.
    pub fn poll_own(
        &mut self,
        now: Nanos,
        conn: ConnKey,
        buffer: &mut Vec<u8>,
    ) -> Option<Departure> {
        buffer.clear();
        let place = self.place(conn)?;
        self.hub.poll_own(now, place, self.segments_max, buffer, self.sparing)
    }

    /// The next event, in order of arrival.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.hub.events_mut().pop_front()
    }

    /// Events that wait.
    #[must_use]
    pub fn events_waiting(&self) -> usize {
        self.hub.events().len()
    }

    /// Takes out at most `limit` events, in order of arrival.
    pub fn drain_events(&mut self, limit: usize, events: &mut Vec<Event>) -> usize {
        let count = limit.min(self.hub.events().len());
        events.extend(self.hub.events_mut().drain(..count));
        count
    }

    /// As [`Transport::send_datagram`](crate::Transport::send_datagram).
    ///
    /// # Errors
    /// [`SendError`] says why nothing was sent.
    pub fn send_datagram(&mut self, conn: ConnKey, payload: &[u8]) -> Result<(), SendError> {
        let place = self.place(conn).ok_or(SendError::Closed)?;
        self.hub.send_datagram(place, payload)
    }

    /// As [`Transport::write`](crate::Transport::write).
    ///
    /// # Errors
    /// [`SendError::Closed`] when the connection is gone.
    pub fn write(
        &mut self,
        now: Nanos,
        conn: ConnKey,
        stream: StreamKind,
        bytes: &[u8],
    ) -> Result<usize, SendError> {
        let place = self.place(conn).ok_or(SendError::Closed)?;
        self.hub.write(now, place, stream, bytes)
    }

    /// As [`Transport::allowance`](crate::Transport::allowance).
    #[must_use]
    pub fn allowance(&self, conn: ConnKey) -> Option<Allowance> {
        self.hub.allowance(self.place(conn)?)
    }

    /// As [`Transport::close`](crate::Transport::close).
    pub fn close(&mut self, now: Nanos, conn: ConnKey, code: CloseCode, reason: &str) {
        if let Some(place) = self.place(conn) {
            self.hub.close(now, place, code, reason);
            self.sweep();
        }
    }

    /// Closes every connection without waiting for what was written.
    pub fn close_all(&mut self, now: Nanos, code: CloseCode, reason: &str) {
        self.hub.close_all(now, code, reason);
    }

    /// Refuses everybody from now on. Connections that stand stay.
    pub fn stop_accepting(&mut self) {
        self.accepting = false;
    }

    /// Connections that QUIC has not forgotten yet.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.hub.connections()
    }

    /// What was counted so far.
    #[must_use]
    pub fn stats(&self) -> ServerStats {
        let Census { completed, failed, faults, .. } = *self.hub.census();
        let Census { datagrams_in, datagrams_out, datagrams_full, .. } = *self.hub.census();
        let Census { open, responses_dropped, .. } = *self.hub.census();
        let total = self.hub.total();
        ServerStats {
            accepted: completed,
            refused: self.refused,
            ignored: self.ignored + responses_dropped,
            retried: self.retried,
            handshakes_failed: self.failed + failed,
            open: open as u64,
            handshaking: self.admission.count() as u64,
            datagrams_in,
            datagrams_out,
            datagrams_full,
            protocol_errors: faults,
            udp_bytes_in: total.bytes_down,
            udp_bytes_out: total.bytes_up,
            udp_packets_in: total.packets_down,
            udp_packets_out: total.packets_up,
            packets_lost: total.packets_lost,
            ..ServerStats::default()
        }
    }

    fn judge(&mut self, now: Nanos, incoming: Incoming) {
        let full = !self.accepting || self.population.load(Relaxed) >= self.connections_max;
        let (from, proven) = (incoming.remote_address(), incoming.remote_address_validated());
        match self.admission.judge(from, proven, full) {
            Verdict::Accept => self.accept(now, incoming),
            Verdict::Retry => self.retry(incoming),
            Verdict::Refuse => {
                self.refused += 1;
                let mut bytes = Vec::new();
                let transmit = self.hub.endpoint_mut().refuse(incoming, &mut bytes);
                self.hub.respond(transmit, bytes);
            }
            Verdict::Ignore => {
                self.ignored += 1;
                self.hub.endpoint_mut().ignore(incoming);
            }
        }
    }

    fn accept(&mut self, now: Nanos, incoming: Incoming) {
        let (from, mut bytes) = (incoming.remote_address(), Vec::new());
        let instant = self.hub.instant(now);
        match self.hub.endpoint_mut().accept(incoming, instant, &mut bytes, None) {
            Ok((handle, connection)) => {
                let key = self.next_key(handle.0);
                self.admission.begin(handle.0, from);
                self.hub.add(now, handle, key, connection);
            }
            Err(error) => {
                tracing::debug!(error = %error.cause, "handshake failed");
                self.failed += 1;
                if let Some(transmit) = error.response {
                    self.hub.respond(transmit, bytes);
                }
            }
        }
    }

    fn retry(&mut self, incoming: Incoming) {
        self.retried += 1;
        let mut bytes = Vec::new();
        match self.hub.endpoint_mut().retry(incoming, &mut bytes) {
            Ok(transmit) => self.hub.respond(transmit, bytes),
            // It cannot fail: an address that is not validated may always be asked to.
            Err(error) => self.hub.endpoint_mut().ignore(error.into_incoming()),
        }
    }

    /// Forgets what is over.
    fn sweep(&mut self) {
        for place in self.hub.drain_shaken() {
            self.admission.end(place);
        }
        self.hub.drain_forgotten().for_each(drop);
        // One that is over takes its memory until QUIC has forgotten it.
        let count = self.hub.connections();
        if count != self.counted {
            self.population.fetch_add(count.wrapping_sub(self.counted), Relaxed);
            self.counted = count;
        }
    }

    fn next_key(&mut self, place: usize) -> ConnKey {
        self.keys = self.keys.wrapping_add(1);
        let number = u64::from(self.keys) << PLACE_BITS;
        ConnKey(u64::from(self.shard) << SHARD_AT | number | place as u64)
    }

    fn place(&self, conn: ConnKey) -> Option<usize> {
        let place = (conn.0 & ((1 << PLACE_BITS) - 1)) as usize;
        self.hub.is_at(place, conn).then_some(place)
    }
}

#[cfg(test)]
mod tests;
