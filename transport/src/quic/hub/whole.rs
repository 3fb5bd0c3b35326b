//! What concerns all connections of a hub at once.

use super::{ConnStats, Hub, Peer};
use starling_protocol::close::CloseCode;
use starling_protocol::units::Nanos;

impl Hub {
    /// Closes every connection at once.
    pub(in crate::quic) fn close_all(&mut self, now: Nanos, code: CloseCode, reason: &str) {
        let instant = self.instant(now);
        self.events.clear();
        for place in 0..self.slots.len() {
            if let Some(peer) = self.peer(place) {
                peer.close_at_once(instant, code, reason);
                self.settle(now, place);
            }
        }
    }

    /// Tells every connection that the local address has changed.
    pub(in crate::quic) fn local_address_changed(&mut self, now: Nanos) {
        for place in 0..self.slots.len() {
            if let Some(peer) = self.peer(place) {
                peer.connection.local_address_changed();
                self.settle(now, place);
            }
        }
    }

    /// Figures of all connections, gone ones included.
    pub(in crate::quic) fn total(&self) -> ConnStats {
        let mut total = self.retired;
        let live = self.slots.iter().filter_map(|slot| slot.peer.as_deref());
        live.map(Peer::stats).for_each(|stats| total.add(&stats));
        total
    }

    /// Connections that QUIC has not forgotten yet.
    pub(in crate::quic) fn connections(&self) -> usize {
        self.endpoint.open_connections()
    }
}
