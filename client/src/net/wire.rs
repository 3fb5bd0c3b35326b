//! One session's end of one connection at a time.

use super::Dial;
use crate::session::{LinkWish, Session};
use starling_protocol::close::CloseCode;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::Nanos;
use starling_transport::{ConnKey, Event, Transport};

/// What a wire counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WireStats {
    /// Uplink datagrams that the network did not take; what they said is said again.
    pub datagrams_refused: u64,
    /// Connections that could not even be tried.
    pub dials_refused: u64,
}

/// Carries bytes between a session and its connection.
#[derive(Debug, Default)]
pub(super) struct Wire {
    conn: Option<ConnKey>,
    datagram: Vec<u8>,
    pub(super) stats: WireStats,
}

impl Wire {
    pub(super) const fn conn(&self) -> Option<ConnKey> {
        self.conn
    }

    /// Brings what happened to the session; true for a datagram that it applied.
    pub(super) fn bring(&mut self, now: Nanos, session: &mut Session, event: Event) -> bool {
        if self.conn != Some(event.conn()) {
            return false; // of a connection that was given up
        }
        match event {
            Event::Connected { .. } => session.handle_connected(now),
            Event::Datagram { payload, at, .. } => return session.handle_datagram(at, &payload),
            Event::Stream { stream, bytes, at, .. } => session.handle_stream(at, stream, &bytes),
            Event::Closed { code, .. } => {
                self.conn = None;
                session.handle_closed(now, code);
            }
        }
        false
    }

    /// Grants the session's wishes; true when its connection is another one now.
    pub(super) fn grant<T: Dial>(
        &mut self,
        now: Nanos,
        session: &mut Session,
        transport: &mut T,
        target: &T::Target,
    ) -> bool {
        let before = self.conn;
        while let Some(wish) = session.poll_link() {
            match wish {
                LinkWish::Close(code) => self.close(now, transport, code),
                LinkWish::Connect => {
                    self.close(now, transport, CloseCode::LOST);
                    self.conn = transport.dial(now, target);
                    if self.conn.is_none() {
                        self.stats.dials_refused += 1;
                        session.handle_closed(now, CloseCode::LOST);
                    }
                }
            }
        }
        self.conn != before
    }

    /// Sends what the session wants sent: streams first, so that both share packets.
    pub(super) fn send<T: Transport>(
        &mut self,
        now: Nanos,
        session: &mut Session,
        transport: &mut T,
    ) {
        let Some(conn) = self.conn else { return };
        for stream in StreamKind::ALL {
            while !session.poll_stream(stream).is_empty() {
                match transport.write(now, conn, stream, session.poll_stream(stream)) {
                    Ok(taken @ 1..) => session.stream_written(stream, taken),
                    // Full or closed; of the latter an event will tell.
                    Ok(0) | Err(_) => break,
                }
            }
        }
        while session.poll_datagram(now, &mut self.datagram) {
            if transport.send_datagram(now, conn, &self.datagram).is_err() {
                self.stats.datagrams_refused += 1;
            }
        }
    }

    fn close<T: Transport>(&mut self, now: Nanos, transport: &mut T, code: CloseCode) {
        if let Some(conn) = self.conn.take() {
            transport.close(now, conn, code, "");
        }
    }
}
