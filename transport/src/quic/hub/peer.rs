//! One connection of either side: its streams, its events, its end.

mod haste;

use super::arena::Arena;
use super::stats::ConnStats;
use crate::quic::config::DATAGRAM_SEND_BYTES;
use crate::quic::ending;
use crate::quic::framing::Framing;
use crate::quic::handshakes::HANDSHAKE_DEADLINE;
use crate::quic::outbox::Outbox;
use crate::quic::share::window_share;
use crate::{Allowance, CLOSE_LINGER_NS, ConnKey, Event, SendError};
use bytes::Bytes;
use haste::Haste;
use quinn_proto::{
    Connection, ConnectionError, ConnectionEvent, Dir, Event as QuicEvent, ReadError,
    SendDatagramError, Side, StreamEvent, StreamId, Transmit, WriteError,
};
use starling_protocol::close::CloseCode;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::Nanos;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Waits for the far side to have all that was written.
#[derive(Debug)]
struct Leaving {
    code: CloseCode,
    reason: Bytes,
    deadline: Instant,
    /// Streams that were finished and not yet acknowledged; `None` until they are finished.
    unfinished: Option<usize>,
}

#[derive(Debug)]
enum Phase {
    /// The handshake is under way; a server gives it up in the end.
    Connecting {
        deadline: Option<Instant>,
    },
    Up,
    /// This side closed; nothing is told any more.
    Leaving(Leaving),
    /// Over, though QUIC may still answer stray packets for a while.
    Ended,
}

/// Now, on both clocks.
#[derive(Clone, Copy, Debug)]
pub(in crate::quic) struct Moment {
    pub(in crate::quic) instant: Instant,
    pub(in crate::quic) at: Nanos,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::quic) enum Standing {
    /// The handshake is under way.
    Connecting,
    /// It stands.
    Up,
    /// Ended by either side, as far as the application is concerned.
    Over,
}

#[derive(Debug)]
pub(in crate::quic) struct Peer {
    pub(in crate::quic) key: ConnKey,
    pub(in crate::quic) connection: Connection,
    /// What gives its streams and datagrams their meaning.
    framing: Framing,
    /// The streams, once they are open.
    streams: [Option<StreamId>; StreamKind::ALL.len()],
    outbox: Outbox,
    phase: Phase,
    /// Bytes that QUIC's datagram buffer will still take.
    datagram_space: usize,
    /// The same while none waits: a little less than it was told to be.
    datagram_space_empty: usize,
    /// The far side broke the rules of streams.
    at_fault: bool,
    /// What presses.
    haste: Haste,
}

impl Peer {
    pub(super) fn new(
        now: Instant,
        key: ConnKey,
        mut connection: Connection,
        framing: Framing,
    ) -> Self {
        let datagram_space_empty = connection.datagrams().send_buffer_space();
        let server = connection.side() == Side::Server;
        Self {
            key,
            connection,
            framing,
            streams: [None; StreamKind::ALL.len()],
            outbox: Outbox::default(),
            phase: Phase::Connecting { deadline: server.then(|| now + HANDSHAKE_DEADLINE) },
            datagram_space: 0,
            datagram_space_empty,
            at_fault: false,
            haste: Haste::new(now),
        }
    }

    pub(super) const fn standing(&self) -> Standing {
        match self.phase {
            Phase::Connecting { .. } => Standing::Connecting,
            Phase::Up => Standing::Up,
            Phase::Leaving(_) | Phase::Ended => Standing::Over,
        }
    }

    pub(super) const fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Connecting { .. } | Phase::Up)
    }

    /// Says once that the far side broke the rules of streams.
    pub(super) const fn take_fault(&mut self) -> bool {
        std::mem::replace(&mut self.at_fault, false)
    }

    pub(super) fn stats(&self) -> ConnStats {
        ConnStats::of(&self.connection.stats())
    }

    /// When something is due.
    pub(super) fn next_timeout(&mut self) -> Option<Instant> {
        let quic = self.connection.poll_timeout();
        quic.into_iter().chain(self.haste.owed_until()).chain(self.deadline()).min()
    }

    /// A packet has arrived.
    pub(super) fn receive(&mut self, now: Instant, from: SocketAddr, event: ConnectionEvent) {
        self.haste.heard(now);
        if from != self.connection.remote_address() {
            // A path that is new to both has to be proven.
            self.haste.stir(now);
        }
        self.connection.handle_event(event);
    }

    /// Writes the next packet, or a run of them.
    pub(super) fn transmit(
        &mut self,
        now: Instant,
        segments_max: usize,
        buffer: &mut Vec<u8>,
    ) -> Option<Transmit> {
        let transmit = self.connection.poll_transmit(now, segments_max, buffer)?;
        // With it went whatever there was to acknowledge.
        self.haste.paid();
        Some(transmit)
    }

    /// When this side loses its patience.
    const fn deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Connecting { deadline } => *deadline,
            Phase::Leaving(leaving) => Some(leaving.deadline),
            Phase::Up | Phase::Ended => None,
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.connection.handle_timeout(now);
        self.haste.pass(now);
        if self.deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        if let Phase::Connecting { .. } = self.phase {
            self.phase = Phase::Ended;
            self.connection.close(now, ending::to_wire(CloseCode::LOST), Bytes::new());
        } else {
            self.say_goodbye(now);
        }
    }

    /// Turns what QUIC has to say into events. Returns the number of datagrams.
    pub(super) fn digest(&mut self, now: Moment, events: &mut VecDeque<Event>) -> u64 {
        let mut datagrams = 0;
        while let Some(event) = self.connection.poll() {
            if !matches!(event, QuicEvent::DatagramReceived) {
                self.haste.stir(now.instant);
            }
            match event {
                QuicEvent::Connected => self.connected(now.instant, events),
                QuicEvent::Stream(event) => self.stream_event(now, event, events),
                QuicEvent::DatagramReceived => datagrams += self.read_datagrams(now, events),
                QuicEvent::ConnectionLost { reason } => self.lost(&reason, events),
                QuicEvent::HandshakeDataReady | QuicEvent::DatagramsUnblocked => {}
            }
        }
        datagrams
    }

    fn connected(&mut self, now: Instant, events: &mut VecDeque<Event>) {
        if !matches!(self.phase, Phase::Connecting { .. }) {
            return;
        }
        self.phase = Phase::Up;
        self.measure();
        let remote = self.connection.remote_address();
        events.push_back(Event::Connected { conn: self.key, remote });
        if self.connection.side() == Side::Client && self.open_streams().is_none() {
            self.give_up(now, "the server allows too few streams", events);
        }
    }

    /// A client opens all streams at once, so that the server can write on each first.
    fn open_streams(&mut self) -> Option<()> {
        for kind in StreamKind::ALL {
            let id = self.connection.streams().open(Dir::Bi)?;
            self.connection.send_stream(id).write(self.framing.opening(kind)).ok()?;
            self.streams[kind as usize] = Some(id);
        }
        Some(())
    }

    /// A server takes in the streams that its client opened.
    fn accept_streams(&mut self, now: Moment, events: &mut VecDeque<Event>) {
        while let Some(id) = self.connection.streams().accept(Dir::Bi) {
            self.framing.opened(id);
            self.read_kind(now, id, events);
        }
    }

    /// Reads what a stream that was just opened is for, and then what it says.
    fn read_kind(&mut self, now: Moment, id: StreamId, events: &mut VecDeque<Event>) {
        let known = match self.framing.read_kind(&mut self.connection, id) {
            Ok(Some(kind)) if self.streams[kind as usize].is_none() => kind,
            Ok(Some(_)) => return self.give_up(now.instant, "a second stream of one kind", events),
            Ok(None) => return,
            Err(why) => return self.give_up(now.instant, why, events),
        };
        self.streams[known as usize] = Some(id);
        self.read_stream(now, id, events);
        // What was written for it before it was open can go.
        self.flush(now.instant);
    }

    fn kind_of(&self, id: StreamId) -> Option<StreamKind> {
        let place = self.streams.iter().position(|&stream| stream == Some(id))?;
        StreamKind::from_byte(place as u8)
    }

    fn stream_event(&mut self, now: Moment, event: StreamEvent, events: &mut VecDeque<Event>) {
        match event {
            StreamEvent::Readable { id } if self.framing.is_untold(id) => {
                self.read_kind(now, id, events);
            }
            StreamEvent::Readable { id } => self.read_stream(now, id, events),
            StreamEvent::Writable { .. } => self.flush(now.instant),
            StreamEvent::Finished { .. } => self.finished(now.instant),
            StreamEvent::Stopped { .. } if self.is_open() => {
                self.give_up(now.instant, "a stream was stopped", events);
            }
            StreamEvent::Stopped { .. } => self.finished(now.instant),
            StreamEvent::Opened { .. } if self.connection.side() == Side::Client => {
                self.give_up(now.instant, "the server opened a stream", events);
            }
            StreamEvent::Opened { .. } => self.accept_streams(now, events),
            StreamEvent::Available { .. } => {}
        }
    }

    fn read_stream(&mut self, now: Moment, id: StreamId, events: &mut VecDeque<Event>) {
        let Some(stream) = self.kind_of(id) else { return };
        let (conn, open) = (self.key, self.is_open());
        let mut way = self.connection.recv_stream(id);
        let Ok(mut chunks) = way.read(true) else { return };
        let end = loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) if open => {
                    let bytes = chunk.bytes;
                    events.push_back(Event::Stream { conn, stream, bytes, at: now.at });
                }
                Ok(Some(_)) => {}
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        // Whether windows have to be told is found out when packets are asked for.
        let _transmit = chunks.finalize();
        if matches!(end, Some(ReadError::Reset(_))) {
            self.give_up(now.instant, "a stream was reset", events);
        }
    }

    fn read_datagrams(&mut self, now: Moment, events: &mut VecDeque<Event>) -> u64 {
        let mut count = 0;
        while let Some(payload) = self.connection.datagrams().recv() {
            count += 1;
            if self.is_open() {
                events.push_back(Event::Datagram { conn: self.key, payload, at: now.at });
            }
        }
        count
    }

    fn lost(&mut self, error: &ConnectionError, events: &mut VecDeque<Event>) {
        // A server tells of connections that stood, a client of every attempt.
        let told = self.connection.side() == Side::Client || self.standing() == Standing::Up;
        if self.is_open() && told {
            let (code, reason) = ending::explain(error);
            events.push_back(Event::Closed { conn: self.key, code, reason });
        }
        self.phase = Phase::Ended;
    }

    /// The far side broke the rules.
    fn give_up(&mut self, now: Instant, why: &'static str, events: &mut VecDeque<Event>) {
        if self.is_open() {
            let code = CloseCode::PROTOCOL_ERROR;
            events.push_back(Event::Closed { conn: self.key, code, reason: why.to_owned() });
            self.phase = Phase::Ended;
            self.at_fault = true;
            self.connection.close(now, ending::to_wire(code), Bytes::from_static(why.as_bytes()));
        }
    }

    pub(super) fn write(&mut self, stream: StreamKind, bytes: &[u8]) -> usize {
        match self.phase {
            Phase::Up => self.outbox.write(stream, bytes),
            _ => 0,
        }
    }

    /// Gives QUIC what it will take.
    pub(super) fn flush(&mut self, now: Instant) {
        if !self.outbox.is_empty() {
            self.haste.stir(now);
            StreamKind::ALL.into_iter().for_each(|kind| self.push(kind));
        }
        self.finish(now);
    }

    fn push(&mut self, kind: StreamKind) {
        let Some(id) = self.streams[kind as usize] else { return };
        let mut way = self.connection.send_stream(id);
        let sent = self.outbox.push(kind, |bytes| match way.write(bytes) {
            Ok(written) => Ok(written),
            Err(WriteError::Blocked) => Ok(0),
            Err(error) => Err(error),
        });
        if let Err(error) = sent {
            // Stopped or gone: the event that says so ends the connection.
            tracing::trace!(conn = self.key.0, %error, "a stream takes no more");
        }
    }

    pub(super) fn send_datagram(
        &mut self,
        payload: &[u8],
        arena: &mut Arena,
    ) -> Result<(), SendError> {
        match self.phase {
            Phase::Connecting { .. } => return Err(SendError::Full),
            Phase::Up => {}
            Phase::Leaving(_) | Phase::Ended => return Err(SendError::Closed),
        }
        if payload.len() > DATAGRAM_SEND_BYTES {
            return Err(SendError::TooLarge(self.datagram_bytes_max()));
        }
        let mut datagrams = self.connection.datagrams();
        // QUIC looks by itself whether it fits the path.
        let sent = datagrams.send(arena.copy(payload), false);
        self.datagram_space = datagrams.send_buffer_space();
        sent.map_err(|error| match error {
            SendDatagramError::Blocked(_) => SendError::Full,
            _ => SendError::TooLarge(self.datagram_bytes_max()),
        })
    }

    /// Bytes of the largest datagram that it can send.
    pub(super) fn datagram_bytes_max(&mut self) -> usize {
        self.connection.datagrams().max_size().unwrap_or(0).min(DATAGRAM_SEND_BYTES)
    }

    /// Looks how much of the datagram buffer has been sent.
    pub(super) fn measure(&mut self) {
        self.datagram_space = self.space();
    }

    fn space(&mut self) -> usize {
        self.connection.datagrams().send_buffer_space()
    }

    /// Bytes that streams will still take.
    pub(super) const fn stream_space(&self) -> u32 {
        self.outbox.space() as u32
    }

    /// What it may send now; nothing unless it stands.
    pub(super) fn allowance(&self) -> Allowance {
        match self.phase {
            Phase::Up => self.allowance_up(),
            Phase::Connecting { .. } | Phase::Leaving(_) | Phase::Ended => Allowance::default(),
        }
    }

    fn allowance_up(&self) -> Allowance {
        let (rtt, window) = (self.connection.rtt(), self.connection.congestion_state().window());
        Allowance {
            datagram_bytes: window_share(window, rtt).min(self.datagram_space as u64) as u32,
            stream_bytes: self.stream_space(),
            rtt_us: rtt.as_micros().try_into().unwrap_or(u32::MAX),
        }
    }

    /// Closes once the far side has all that was written, or the time to linger is over.
    pub(super) fn close(&mut self, now: Instant, code: CloseCode, reason: &str) {
        let reason = Bytes::from(ending::printable(reason.as_bytes()));
        let up = matches!(self.phase, Phase::Up);
        let deadline = now + Duration::from_nanos(CLOSE_LINGER_NS);
        self.phase = Phase::Leaving(Leaving { code, reason, deadline, unfinished: None });
        if up {
            self.flush(now);
        } else {
            self.say_goodbye(now);
        }
    }

    /// Closes without waiting for anything.
    pub(super) fn close_at_once(&mut self, now: Instant, code: CloseCode, reason: &str) {
        if self.is_open() {
            let reason = Bytes::from(ending::printable(reason.as_bytes()));
            self.phase = Phase::Leaving(Leaving { code, reason, deadline: now, unfinished: None });
        }
        self.say_goodbye(now);
    }

    /// Finishes the streams of a connection that leaves, once QUIC has all of their bytes.
    fn finish(&mut self, now: Instant) {
        let Phase::Leaving(leaving) = &mut self.phase else { return };
        if leaving.unfinished.is_some() || !self.outbox.is_empty() {
            return;
        }
        let connection = &mut self.connection;
        let streams = self.streams.iter().flatten();
        let finished = streams.filter(|&&id| connection.send_stream(id).finish().is_ok()).count();
        leaving.unfinished = Some(finished);
        if finished == 0 {
            self.say_goodbye(now);
        }
    }

    /// One more stream has been acknowledged to its end.
    fn finished(&mut self, now: Instant) {
        let Phase::Leaving(Leaving { unfinished: Some(left), .. }) = &mut self.phase else {
            return;
        };
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.say_goodbye(now);
        }
    }

    fn say_goodbye(&mut self, now: Instant) {
        if let Phase::Leaving(Leaving { code, reason, .. }) =
            std::mem::replace(&mut self.phase, Phase::Ended)
        {
            self.connection.close(now, ending::to_wire(code), reason);
        }
    }
}
