//! One connection of a client: its streams, its events, its end.

use super::super::config::DATAGRAM_SEND_BYTES;
use super::super::ending;
use super::super::outbox::Outbox;
use super::super::share::window_share;
use super::stats::ConnStats;
use crate::{Allowance, CLOSE_LINGER_NS, ConnKey, Event, SendError};
use bytes::Bytes;
use quinn_proto::{
    Connection, ConnectionError, Dir, Event as QuicEvent, ReadError, SendDatagramError,
    StreamEvent, StreamId, WriteError,
};
use starling_protocol::close::CloseCode;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::Nanos;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Waits for the server to have all that was written.
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
    Connecting,
    Up,
    /// This side closed; nothing is told any more.
    Leaving(Leaving),
    /// Over, though QUIC may still answer stray packets for a while.
    Ended,
}

/// Now, on both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) instant: Instant,
    pub(super) at: Nanos,
}

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) key: ConnKey,
    pub(super) connection: Connection,
    /// The four streams, once the connection stands.
    streams: Option<[StreamId; StreamKind::ALL.len()]>,
    outbox: Outbox,
    phase: Phase,
    /// Bytes that QUIC's datagram buffer will still take.
    datagram_space: usize,
    /// Where it stands among the endpoint's timers.
    pub(super) scheduled: Option<Instant>,
    /// Already in the endpoint's list of connections that may have packets to send.
    pub(super) dirty: bool,
}

impl Peer {
    pub(super) fn new(key: ConnKey, connection: Connection) -> Self {
        Self {
            key,
            connection,
            streams: None,
            outbox: Outbox::default(),
            phase: Phase::Connecting,
            datagram_space: 0,
            scheduled: None,
            dirty: false,
        }
    }

    pub(super) const fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Connecting | Phase::Up)
    }

    pub(super) fn stats(&self) -> ConnStats {
        ConnStats::of(&self.connection.stats())
    }

    /// When something is due.
    pub(super) fn next_timeout(&mut self) -> Option<Instant> {
        let linger = match &self.phase {
            Phase::Leaving(leaving) => Some(leaving.deadline),
            _ => None,
        };
        self.connection.poll_timeout().into_iter().chain(linger).min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.connection.handle_timeout(now);
        if matches!(&self.phase, Phase::Leaving(leaving) if leaving.deadline <= now) {
            self.say_goodbye(now);
        }
    }

    /// Turns what QUIC has to say into events.
    pub(super) fn digest(&mut self, now: Moment, events: &mut VecDeque<Event>) {
        while let Some(event) = self.connection.poll() {
            match event {
                QuicEvent::Connected => self.connected(now.instant, events),
                QuicEvent::Stream(event) => self.stream_event(now, event, events),
                QuicEvent::DatagramReceived => self.read_datagrams(now, events),
                QuicEvent::ConnectionLost { reason } => self.lost(&reason, events),
                QuicEvent::HandshakeDataReady | QuicEvent::DatagramsUnblocked => {}
            }
        }
    }

    /// Opens all streams at once, so that the server can write on each first.
    fn connected(&mut self, now: Instant, events: &mut VecDeque<Event>) {
        if !matches!(self.phase, Phase::Connecting) {
            return;
        }
        self.phase = Phase::Up;
        let remote = self.connection.remote_address();
        events.push_back(Event::Connected { conn: self.key, remote });
        self.streams = self.open_streams();
        if self.streams.is_none() {
            self.give_up(now, "the server allows too few streams", events);
        }
    }

    fn open_streams(&mut self) -> Option<[StreamId; StreamKind::ALL.len()]> {
        let mut streams = [StreamId::new(quinn_proto::Side::Client, Dir::Bi, 0); 4];
        for kind in StreamKind::ALL {
            let id = self.connection.streams().open(Dir::Bi)?;
            self.connection.send_stream(id).write(&[kind as u8]).ok()?;
            streams[kind as usize] = id;
        }
        Some(streams)
    }

    fn kind_of(&self, id: StreamId) -> Option<StreamKind> {
        let place = self.streams?.iter().position(|&stream| stream == id)?;
        StreamKind::from_byte(place as u8)
    }

    fn stream_event(&mut self, now: Moment, event: StreamEvent, events: &mut VecDeque<Event>) {
        match event {
            StreamEvent::Readable { id } => self.read_stream(now, id, events),
            StreamEvent::Writable { .. } => self.flush(now.instant),
            StreamEvent::Finished { .. } => self.finished(now.instant),
            StreamEvent::Stopped { .. } if self.is_open() => {
                self.give_up(now.instant, "a stream was stopped", events);
            }
            StreamEvent::Stopped { .. } => self.finished(now.instant),
            StreamEvent::Opened { .. } => {
                self.give_up(now.instant, "the server opened a stream", events);
            }
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

    fn read_datagrams(&mut self, now: Moment, events: &mut VecDeque<Event>) {
        while let Some(payload) = self.connection.datagrams().recv() {
            if self.is_open() {
                events.push_back(Event::Datagram { conn: self.key, payload, at: now.at });
            }
        }
    }

    fn lost(&mut self, error: &ConnectionError, events: &mut VecDeque<Event>) {
        if self.is_open() {
            let (code, reason) = ending::explain(error);
            events.push_back(Event::Closed { conn: self.key, code, reason });
        }
        self.phase = Phase::Ended;
    }

    /// The server broke the rules.
    fn give_up(&mut self, now: Instant, why: &'static str, events: &mut VecDeque<Event>) {
        if self.is_open() {
            let code = CloseCode::PROTOCOL_ERROR;
            events.push_back(Event::Closed { conn: self.key, code, reason: why.to_owned() });
            self.phase = Phase::Ended;
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
        let Some(streams) = self.streams else { return };
        if !self.outbox.is_empty() {
            StreamKind::ALL.into_iter().for_each(|kind| self.push(kind, streams[kind as usize]));
        }
        self.finish(now);
    }

    fn push(&mut self, kind: StreamKind, id: StreamId) {
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

    pub(super) fn send_datagram(&mut self, payload: &[u8]) -> Result<(), SendError> {
        match self.phase {
            Phase::Connecting => return Err(SendError::Full),
            Phase::Up => {}
            Phase::Leaving(_) | Phase::Ended => return Err(SendError::Closed),
        }
        let mut datagrams = self.connection.datagrams();
        let max = datagrams.max_size().unwrap_or(0).min(DATAGRAM_SEND_BYTES);
        if payload.len() > max {
            return Err(SendError::TooLarge(max));
        }
        let sent = datagrams.send(Bytes::copy_from_slice(payload), false);
        self.datagram_space = datagrams.send_buffer_space();
        sent.map_err(|error| match error {
            SendDatagramError::Blocked(_) => SendError::Full,
            _ => SendError::TooLarge(max),
        })
    }

    /// Looks how much of the datagram buffer has been sent.
    pub(super) fn measure(&mut self) {
        self.datagram_space = self.connection.datagrams().send_buffer_space();
    }

    pub(super) fn allowance(&self) -> Option<Allowance> {
        match self.phase {
            Phase::Connecting => Some(Allowance::default()),
            Phase::Up => Some(self.allowance_up()),
            Phase::Leaving(_) | Phase::Ended => None,
        }
    }

    fn allowance_up(&self) -> Allowance {
        let (rtt, window) = (self.connection.rtt(), self.connection.congestion_state().window());
        Allowance {
            datagram_bytes: window_share(window, rtt).min(self.datagram_space as u64) as u32,
            stream_bytes: self.outbox.space() as u32,
            rtt_us: rtt.as_micros().try_into().unwrap_or(u32::MAX),
        }
    }

    /// Closes once the server has all that was written, or the time to linger is over.
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

    /// Finishes the streams of a connection that leaves, once QUIC has all of their bytes.
    fn finish(&mut self, now: Instant) {
        let Phase::Leaving(leaving) = &mut self.phase else { return };
        if leaving.unfinished.is_some() || !self.outbox.is_empty() {
            return;
        }
        let streams = self.streams.iter().flatten();
        let connection = &mut self.connection;
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
