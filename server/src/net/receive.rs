//! From the network to the rooms.

use super::connection::{Connection, Fault, Next, Up};
use super::gate::Refusal;
use super::{Front, id};
use crate::exchange::Full;
use crate::room::directory::Lender;
use crate::telemetry::Quoted;
use starling_protocol::close::CloseCode;
use starling_protocol::codec;
use starling_protocol::frame::{self, FrameError};
use starling_protocol::limits::{DATAGRAM_BYTES_MAX, HELLO_BYTES_MAX};
use starling_protocol::message::control::{ControlDown, ControlUp, Hello};
use starling_protocol::stream::StreamKind;
use starling_protocol::units::Nanos;
use starling_transport::{ConnKey, Event, Transport};
use starling_world::input::{Attach, Command, Link};
use std::net::SocketAddr;

/// Events taken in before the rooms' output has its turn.
const EVENTS_PER_POLL: usize = 4_096;

impl<T: Transport, L: Lender> Front<T, L> {
    /// Takes in what arrived and passes it to the rooms. Says whether more waits.
    pub fn receive(&mut self, now: Nanos) -> bool {
        self.take_revocations(now);
        let mut events = std::mem::take(&mut self.events);
        let count = self.transport.poll(now, EVENTS_PER_POLL, &mut events);
        for event in events.drain(..) {
            self.event(now, event);
        }
        self.events = events;
        self.read_held(now);
        self.admit_waiting(now);
        self.expire_hellos(now);
        self.upkeep(now);
        self.tend_drain(now);
        self.ring();
        count >= EVENTS_PER_POLL
    }

    fn event(&mut self, now: Nanos, event: Event) {
        match event {
            Event::Connected { conn, remote } => self.connected(now, conn, remote),
            Event::Datagram { conn, payload, at } => self.datagram(now, conn, &payload, at),
            Event::Stream { conn, stream, bytes, .. } => self.bytes(now, conn, stream, &bytes),
            Event::Closed { conn, code, reason } => self.closed(now, conn, code, &reason),
        }
    }

    fn connected(&mut self, now: Nanos, conn: ConnKey, remote: SocketAddr) {
        self.counters.totals.connections_opened.one();
        let connection = Box::new(Connection::new(remote, &self.limits, now));
        self.connections.insert(conn, connection);
        if self.connections.len() > self.limits.connections_max {
            return self.close(now, conn, CloseCode::OVERLOADED, "as many connections as may be");
        }
        self.hello_deadlines.push_back((now + self.limits.hello_timeout_ns, conn));
    }

    fn datagram(&mut self, now: Nanos, conn: ConnKey, payload: &[u8], at: Nanos) {
        let totals = &self.counters.totals;
        totals.datagrams_received.one();
        totals.datagram_bytes_received.add(payload.len() as u64);
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let (passes, over_ns) = connection.datagram(now);
        if over_ns >= self.limits.abuse_ns {
            return self.close(now, conn, CloseCode::ABUSE, "a flood of datagrams");
        }
        match &connection.seat {
            None => totals.datagrams_early.one(),
            Some(_) if payload.len() > DATAGRAM_BYTES_MAX => totals.datagrams_oversized.one(),
            Some(_) if !passes => totals.datagrams_over_rate.one(),
            Some(seat) => {
                let at_us = seat.entry.schedule.now_us(at);
                seat.entry.mailbox.inbox().datagram(id(conn), at_us, payload);
            }
        }
    }

    fn bytes(&mut self, now: Nanos, conn: ConnKey, stream: StreamKind, bytes: &[u8]) {
        self.counters.totals.stream_bytes_received.add(bytes.len() as u64);
        if self.is_deaf_to(conn) {
            return; // it was not acknowledged: the client brings it to the next server
        }
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        connection.push(stream, bytes);
        self.read(now, conn, stream);
        self.check_backlog(now, conn);
    }

    /// A stranger may keep one Hello waiting, a client as much as its limit says.
    fn check_backlog(&mut self, now: Nanos, conn: ConnKey) {
        let Some(connection) = self.connections.get(&conn) else { return };
        match (&connection.seat, connection.buffered()) {
            (None, waiting) if waiting > 2 * HELLO_BYTES_MAX => {
                self.close(now, conn, CloseCode::TOO_LARGE, "too much before the Hello");
            }
            (Some(_), waiting) if waiting > self.limits.backlog_bytes => {
                self.close(now, conn, CloseCode::RATE_LIMITED, "too many messages");
            }
            _ => {}
        }
    }

    /// Reads every message of a stream whose turn has come. Before admission only the control
    /// stream is read; the others wait.
    fn read(&mut self, now: Nanos, conn: ConnKey, stream: StreamKind) {
        while let Some(connection) = self.connections.get_mut(&conn) {
            let stranger = connection.seat.is_none();
            if stranger && (stream != StreamKind::Control || connection.waits) {
                return;
            }
            match connection.next(stream, now) {
                Ok(Next::Message(message, bytes)) => {
                    self.counters.totals.messages_received.one();
                    self.message(now, conn, message, bytes);
                }
                Ok(Next::Incomplete) => return,
                Ok(Next::Held(began)) => {
                    self.counters.totals.messages_held.add(began.into());
                    self.held.insert(conn);
                    return;
                }
                Err(fault) => return self.fault(now, conn, stream, &fault),
            }
        }
    }

    /// Messages that waited for their turn.
    fn read_held(&mut self, now: Nanos) {
        for conn in std::mem::take(&mut self.held) {
            if self.is_deaf_to(conn) {
                continue;
            }
            for stream in StreamKind::ALL {
                self.read(now, conn, stream);
            }
        }
    }

    fn fault(&mut self, now: Nanos, conn: ConnKey, stream: StreamKind, fault: &Fault) {
        self.counters.totals.messages_malformed.one();
        let code = match fault {
            Fault::Frame(FrameError::TooLarge(_)) => CloseCode::TOO_LARGE,
            _ => CloseCode::PROTOCOL_ERROR,
        };
        self.close(now, conn, code, &format!("{stream:?} stream: {fault}"));
    }

    fn message(&mut self, now: Nanos, conn: ConnKey, message: Up, bytes: usize) {
        let seated = self.connections.get(&conn).is_some_and(|c| c.seat.is_some());
        match message {
            Up::Control(ControlUp::Hello(hello)) if !seated => self.hello(now, conn, *hello),
            Up::Control(ControlUp::Hello(_)) => {
                self.close(now, conn, CloseCode::PROTOCOL_ERROR, "a second Hello");
            }
            _ if !seated => {
                self.close(now, conn, CloseCode::PROTOCOL_ERROR, "the first message is no Hello");
            }
            Up::Control(ControlUp::RefreshToken { token }) => self.renew(now, conn, &token),
            Up::Control(message) => {
                self.count_entities(now, conn, &message);
                self.command(now, conn, Command::Control { conn: id(conn), message }, bytes);
            }
            Up::Event(message) => {
                self.command(now, conn, Command::Event { conn: id(conn), message }, bytes);
            }
            Up::Bulk(message) => {
                self.command(now, conn, Command::Bulk { conn: id(conn), message }, bytes);
            }
            Up::Host(message) => {
                self.command(now, conn, Command::Host { conn: id(conn), message }, bytes);
            }
        }
    }

    fn command(&mut self, now: Nanos, conn: ConnKey, command: Command, bytes: usize) {
        let seat = self.connections.get(&conn).and_then(|connection| connection.seat.as_ref());
        let Some(entry) = seat.map(|seat| &seat.entry) else { return };
        let taken = entry.mailbox.inbox().command(command, bytes);
        self.rung.insert(entry.id);
        if taken == Err(Full) {
            self.close(now, conn, CloseCode::OVERLOADED, "the room's inbox is full");
        }
    }

    /// A client that owns more may send more datagrams.
    fn count_entities(&mut self, now: Nanos, conn: ConnKey, message: &ControlUp) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let Some(seat) = &mut connection.seat else { return };
        match message {
            ControlUp::Spawn(_) => seat.entities = seat.entities.saturating_add(1),
            ControlUp::Despawn { .. } => seat.entities = seat.entities.saturating_sub(1),
            _ => return,
        }
        connection.measure_datagrams(&self.limits, now);
    }

    /// A Hello has its turn.
    pub(super) fn admit(&mut self, now: Nanos, conn: ConnKey, hello: Hello) {
        if let Some(drain) = &self.draining {
            let refusal = Refusal::new(CloseCode::GOING_AWAY, "the server is going away");
            return self.refuse(now, conn, &refusal.retry_after(drain.jitter_ms));
        }
        let admitted = self.gate.admit(hello, id(conn), now, &mut self.directory, &mut self.rooms);
        let (seat, attach) = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => return self.refuse(now, conn, &refusal),
        };
        let entry = seat.entry.clone();
        self.open(&entry).connections.insert(conn);
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.seat(seat, &self.limits, now);
        }
        if let Some(allowance) = self.transport.allowance(conn) {
            let (datagram_bytes, stream_bytes) = (allowance.datagram_bytes, allowance.stream_bytes);
            let rtt_us = allowance.rtt_us;
            let link = Link { conn: id(conn), datagram_bytes, stream_bytes, rtt_us };
            entry.mailbox.inbox().link(link);
        }
        self.attach(now, conn, attach);
        for stream in StreamKind::ALL {
            self.read(now, conn, stream);
        }
    }

    /// Asks the room for a session.
    fn attach(&mut self, now: Nanos, conn: ConnKey, attach: Attach) {
        self.command(now, conn, Command::Attach(Box::new(attach)), HELLO_BYTES_MAX);
        // A connection that found the inbox full is closed already.
        let seat = self.connections.get_mut(&conn).and_then(|connection| connection.seat.as_mut());
        if let Some(seat) = seat {
            seat.known = true;
        }
    }

    /// Tells a stranger why it gets no session, and closes.
    pub(super) fn refuse(&mut self, now: Nanos, conn: ConnKey, refusal: &Refusal) {
        let code = refusal.refused.code;
        self.counters.totals.hellos_refused.one();
        if code == CloseCode::UNAUTHORIZED {
            self.counters.totals.tokens_refused.one();
        }
        let mut bytes = Vec::new();
        frame::write(&codec::encode(&ControlDown::Refused(refusal.refused.clone())), &mut bytes);
        // A connection that just arrived has room for one small frame; if it takes none, it is
        // gone already, and nobody is left to be told.
        let told = self.transport.write(now, conn, StreamKind::Control, &bytes);
        tracing::trace!(conn = conn.0, ?told, "refused");
        self.close(now, conn, code, &format!("{} {}", refusal.refused.reason, refusal.detail));
    }

    /// A fresh token in mid-session.
    fn renew(&mut self, now: Nanos, conn: ConnKey, token: &str) {
        let seat = self.connections.get(&conn).and_then(|connection| connection.seat.as_ref());
        let Some(seat) = seat else { return };
        let conn_id = id(conn);
        let command = match self.gate.renew(token, seat, now) {
            Ok(principal) => {
                if let Some(seat) = self.connections.get_mut(&conn).and_then(|c| c.seat.as_mut()) {
                    seat.token.clone_from(&principal.token);
                }
                Command::Regrant { conn: conn_id, principal }
            }
            Err(refusal) => {
                self.counters.totals.tokens_refused.one();
                if let Some(suppressed) = self.warnings.allows("token", now) {
                    let why = Quoted(&refusal.detail);
                    tracing::warn!(conn = conn.0, %why, suppressed, "a fresh token was refused");
                }
                Command::RegrantRefused { conn: conn_id }
            }
        };
        self.command(now, conn, command, token.len());
    }

    /// The peer closed, or is lost.
    fn closed(&mut self, now: Nanos, conn: ConnKey, code: CloseCode, reason: &str) {
        let Some(connection) = self.connections.get(&conn) else { return };
        tracing::debug!(conn = conn.0, %code, reason = %Quoted(reason), "ended by the peer");
        self.counters.ends.count(code);
        if let Some(seat) = connection.seat.as_ref().filter(|_| code == CloseCode::GOODBYE) {
            let message = ControlUp::Goodbye;
            seat.entry.mailbox.inbox().tell(Command::Control { conn: id(conn), message });
        }
        self.forget(now, conn, true);
    }

    /// Wakes the rooms that have something new.
    pub(super) fn ring(&mut self) {
        for id in std::mem::take(&mut self.rung) {
            self.rooms.ring(id);
        }
    }
}
