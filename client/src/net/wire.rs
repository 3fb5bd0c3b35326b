//! One session's end of one connection at a time.

use super::Dial;
use crate::session::{LinkWish, Session};
use starling_protocol::close::CloseCode;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::Nanos;
use starling_transport::{ConnKey, Event, SendError, Transport};

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
    /// A second connection that is being made while the first is silent.
    rival: Option<ConnKey>,
    /// One that lost the race and is to be closed.
    beaten: Option<ConnKey>,
    datagram: Vec<u8>,
    pub(super) stats: WireStats,
}

impl Wire {
    pub(super) const fn conn(&self) -> Option<ConnKey> {
        self.conn
    }

    /// The connections whose events are this wire's.
    pub(super) const fn conns(&self) -> [Option<ConnKey>; 3] {
        [self.conn, self.rival, self.beaten]
    }

    /// Brings what happened to the session; true for a datagram that it applied.
    pub(super) fn bring(&mut self, now: Nanos, session: &mut Session, event: Event) -> bool {
        if self.rival == Some(event.conn()) {
            self.bring_rival(now, session, &event);
            return false;
        }
        if self.conn != Some(event.conn()) {
            return false; // of a connection that was given up
        }
        match event {
            Event::Connected { .. } => session.handle_connected(now),
            Event::Datagram { payload, at, .. } => return session.handle_datagram(at, &payload),
            Event::Stream { stream, bytes, at, .. } => session.handle_stream(at, stream, &bytes),
            Event::Closed { code, .. } => {
                self.conn = self.rival.take();
                session.handle_closed(now, code);
            }
        }
        false
    }

    fn bring_rival(&mut self, now: Nanos, session: &mut Session, event: &Event) {
        let rival = self.rival.take();
        match event {
            // The first one has spoken meanwhile, on which everything stands that was said.
            Event::Connected { .. } if !session.is_racing() => self.beaten = rival,
            Event::Connected { .. } => {
                self.beaten = std::mem::replace(&mut self.conn, rival);
                session.handle_connected(now);
            }
            Event::Closed { .. } => session.handle_rival_closed(now),
            _ => self.rival = rival,
        }
    }

    /// Grants the session's wishes.
    pub(super) fn grant<T: Dial>(
        &mut self,
        now: Nanos,
        session: &mut Session,
        transport: &mut T,
        target: &T::Target,
    ) {
        close(now, transport, self.beaten.take(), CloseCode::LOST);
        while let Some(wish) = session.poll_link() {
            match wish {
                LinkWish::Close(code) => {
                    close(now, transport, self.conn.take(), code);
                    close(now, transport, self.rival.take(), code);
                }
                LinkWish::Connect => {
                    close(now, transport, self.conn.take(), CloseCode::LOST);
                    self.conn = self.dial(now, transport, target);
                    if self.conn.is_none() {
                        session.handle_closed(now, CloseCode::LOST);
                    }
                }
                LinkWish::Race => {
                    self.rival = self.dial(now, transport, target);
                    if self.rival.is_none() {
                        session.handle_rival_closed(now);
                    }
                }
                LinkWish::Calm => close(now, transport, self.rival.take(), CloseCode::GOODBYE),
            }
        }
    }

    fn dial<T: Dial>(
        &mut self,
        now: Nanos,
        transport: &mut T,
        target: &T::Target,
    ) -> Option<ConnKey> {
        let conn = transport.dial(now, target);
        self.stats.dials_refused += u64::from(conn.is_none());
        conn
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
            let mut sent = transport.send_datagram(now, conn, &self.datagram);
            if sent == Err(SendError::Full) {
                // A gateway says more at once than the queue takes: what is in it goes first.
                transport.flush(now);
                sent = transport.send_datagram(now, conn, &self.datagram);
            }
            self.stats.datagrams_refused += u64::from(sent.is_err());
        }
    }
}

fn close<T: Transport>(now: Nanos, transport: &mut T, conn: Option<ConnKey>, code: CloseCode) {
    if let Some(conn) = conn {
        transport.close(now, conn, code, "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::ConnectOptions;

    /// P6: the session was live on the first and wrote its events there; on the second the server
    /// would have had them from a stranger.
    #[test]
    fn a_second_connection_that_stands_when_the_race_is_over_is_closed() {
        let (first, second) = (ConnKey(1), ConnKey(2));
        let mut session = Session::new(Nanos(0), ConnectOptions::new("plaza"));
        let mut wire = Wire { conn: Some(first), rival: Some(second), ..Wire::default() };
        let remote = ([10, 0, 0, 1], 4_433).into();
        wire.bring(Nanos(1), &mut session, Event::Connected { conn: second, remote });
        assert_eq!((wire.conn, wire.rival, wire.beaten), (Some(first), None, Some(second)));
    }
}
