//! From the rooms to the network: streams first, then datagrams, so that both share packets.

use super::{Front, key};
use crate::exchange::{Batch, Mailbox};
use crate::room::directory::Lender;
use crate::room::pool::RoomId;
use starling_protocol::close::CloseCode;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::Nanos;
use starling_transport::{ConnKey, SendError, Transport};
use starling_world::input::Link;
use starling_world::output::{Note, Output};
use std::sync::Arc;

/// A client that leaves bytes unread for so long is too slow.
const UNSENT_AGE_NS: u64 = 5 * Nanos::SECOND;

impl<T: Transport, L: Lender> Front<T, L> {
    /// Carries out what the rooms want done.
    pub fn deliver(&mut self, now: Nanos) {
        self.offer_unsent(now);
        let rooms: Vec<_> = self.entered.keys().copied().collect();
        for room in rooms {
            let Some(mailbox) = self.entered.get(&room).map(|e| Arc::clone(&e.mailbox)) else {
                continue;
            };
            while let Some(batch) = mailbox.collect() {
                self.carry_out(now, room, &batch);
                self.transport.flush(now);
                if batch.ticked {
                    self.tell_links(room, &mailbox);
                }
                mailbox.recycle(batch);
            }
        }
        self.ring();
        self.transport.flush(now);
    }

    fn carry_out(&mut self, now: Nanos, room: RoomId, batch: &Batch) {
        let output = &batch.output;
        for write in &output.writes {
            self.write(now, key(write.conn), write.stream, &output.arena[write.bytes.clone()]);
        }
        self.send_datagrams(now, output);
        for note in &output.notes {
            self.note(now, room, note);
        }
        for close in &output.closes {
            self.close_for_world(now, key(close.conn), close.code);
        }
    }

    fn send_datagrams(&mut self, now: Nanos, output: &Output) {
        let totals = &self.counters.totals;
        for datagram in &output.datagrams {
            let payload = &output.arena[datagram.bytes.clone()];
            match self.transport.send_datagram(now, key(datagram.conn), payload) {
                Ok(()) => {
                    totals.datagrams_sent.one();
                    totals.datagram_bytes_sent.add(payload.len() as u64);
                }
                Err(SendError::TooLarge(_)) => totals.datagrams_too_large.one(),
                Err(SendError::Closed) => totals.datagrams_too_late.one(),
                Err(_) => totals.datagrams_unsent.one(),
            }
        }
    }

    /// Writes to a stream, behind what waits there already.
    fn write(&mut self, now: Nanos, conn: ConnKey, stream: StreamKind, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let mut taken = 0;
        if !connection.unsent.holds(stream) {
            // A connection that is gone takes nothing; the event that says so is on its way.
            taken = self.transport.write(now, conn, stream, bytes).unwrap_or(0);
            self.counters.totals.stream_bytes_sent.add(taken as u64);
            self.paces.taken(conn, taken);
        }
        if taken < bytes.len() {
            connection.unsent.push(stream, &bytes[taken..], now);
            self.stuck.insert(conn);
        }
        if connection.unsent.bytes() > self.limits.unsent_bytes {
            self.close(now, conn, CloseCode::SLOW_CONSUMER, "too many bytes unread");
        }
    }

    /// Offers the network what it did not take before.
    fn offer_unsent(&mut self, now: Nanos) {
        for conn in std::mem::take(&mut self.stuck) {
            let Some(connection) = self.connections.get_mut(&conn) else { continue };
            connection.unsent.offer(|stream, bytes| {
                let taken = self.transport.write(now, conn, stream, bytes).unwrap_or(0);
                self.counters.totals.stream_bytes_sent.add(taken as u64);
                self.paces.taken(conn, taken);
                taken
            });
            if connection.unsent.age_ns(now) > UNSENT_AGE_NS {
                self.close(now, conn, CloseCode::SLOW_CONSUMER, "bytes unread for five seconds");
            } else if connection.unsent.bytes() > 0 {
                self.stuck.insert(conn);
            }
        }
    }

    /// Tells a room what its connections may carry in the next tick.
    fn tell_links(&mut self, room: RoomId, mailbox: &Mailbox) {
        let Some(entered) = self.entered.get(&room) else { return };
        let mut inbox = mailbox.inbox();
        for conn in &entered.connections {
            let Some(allowance) = self.transport.allowance(*conn) else { continue };
            // Who is not stuck has nothing unsent.
            let stuck = self.stuck.get(conn).and_then(|conn| self.connections.get(conn));
            let unsent = stuck.map_or(0, |connection| connection.unsent.bytes() as u32);
            let space = allowance.stream_bytes;
            let may = self.paces.grant(*conn, space, self.limits.unsent_bytes);
            inbox.link(Link {
                conn: super::id(*conn),
                datagram_bytes: allowance.datagram_bytes,
                stream_bytes: may.saturating_sub(unsent),
                rtt_us: allowance.rtt_us,
            });
        }
    }

    /// Closes a connection as its world wants.
    fn close_for_world(&mut self, now: Nanos, conn: ConnKey, code: CloseCode) {
        if self.connections.contains_key(&conn) {
            self.transport.close(now, conn, code, code.label());
            self.counters.closes.count(code);
            self.forget(now, conn, false);
        }
    }

    fn note(&mut self, now: Nanos, room: RoomId, note: &Note) {
        match note {
            Note::Joined { session, conn, resumed } => {
                let (conn, session, resumed) = (key(*conn), *session, *resumed);
                tracing::debug!(
                    room = room.0,
                    conn = conn.0,
                    session = session.0,
                    resumed,
                    "joined"
                );
                let totals = &self.counters.totals;
                match resumed {
                    true => totals.sessions_resumed.one(),
                    false => totals.sessions_joined.one(),
                }
                let parked = self.gateways.remove(&(room, session)).filter(|_| resumed);
                let Some(connection) = self.connections.get_mut(&conn) else { return };
                let Some(seat) = &mut connection.seat else { return };
                seat.session = Some(session);
                seat.entities = seat.entities.saturating_add(parked.unwrap_or(0));
                connection.measure_datagrams(&self.limits, now);
            }
            Note::Gone { session, code } => {
                tracing::debug!(room = room.0, session = session.0, %code, "gone");
                self.gateways.remove(&(room, *session));
            }
            Note::Revoked { session, token } => {
                tracing::info!(room = room.0, session = session.0, "revoked");
                self.has_revoked(now, *session, token);
            }
            Note::Parked { session } => {
                tracing::debug!(room = room.0, session = session.0, "parked");
            }
            Note::Refused { conn, code } => {
                tracing::debug!(room = room.0, conn = conn.0, %code, "refused by the world");
                self.counters.totals.hellos_refused.one();
            }
            Note::Settled => self.has_settled(room),
            other => tracing::trace!(room = room.0, note = ?other, "noted"),
        }
    }
}
