//! What the server counts.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Figures since the server started, but for `open` and `handshaking`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerStats {
    /// Connections whose handshake was completed.
    pub accepted: u64,
    /// Attempts refused because the server was full.
    pub refused: u64,
    /// Attempts that got no answer because too many handshakes were under way.
    pub ignored: u64,
    /// Attempts that had to prove their address first.
    pub retried: u64,
    /// Handshakes that failed or took too long.
    pub handshakes_failed: u64,
    /// Connections that stand now, or whose end has not been polled.
    pub open: u64,
    /// Handshakes that are under way now.
    pub handshaking: u64,
    /// Datagrams received from clients.
    pub datagrams_in: u64,
    /// Datagrams handed to QUIC.
    pub datagrams_out: u64,
    /// Datagrams that were not sent because the connection's buffer was full.
    pub datagrams_full: u64,
    /// Datagrams that were received and dropped because nobody polled.
    pub datagrams_dropped: u64,
    /// Connections closed for breaking the rules of streams.
    pub protocol_errors: u64,
    /// UDP payload received by connections: all but the first packet of each.
    pub udp_bytes_in: u64,
    /// UDP payload sent, everything included.
    pub udp_bytes_out: u64,
    /// UDP packets received.
    pub udp_packets_in: u64,
    /// UDP packets sent.
    pub udp_packets_out: u64,
    /// Packets that QUIC declared lost.
    pub packets_lost: u64,
    /// Times that a socket took no more for now.
    pub socket_full: u64,
    /// Packets that a socket failed to send for another reason.
    pub socket_errors: u64,
    /// Packets passed on to the shard that has their connection.
    pub forwarded: u64,
    /// Packets for another shard that were dropped because it was behind.
    pub forwards_dropped: u64,
    /// Datagrams and writes that a shard took over and whose connection had ended meanwhile.
    pub sends_late: u64,
}

impl ServerStats {
    /// Adds the figures of another part of the same server.
    pub(in crate::quic) const fn add_all(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.ignored += other.ignored;
        self.retried += other.retried;
        self.handshakes_failed += other.handshakes_failed;
        self.open += other.open;
        self.handshaking += other.handshaking;
        self.datagrams_in += other.datagrams_in;
        self.datagrams_out += other.datagrams_out;
        self.datagrams_full += other.datagrams_full;
        self.datagrams_dropped += other.datagrams_dropped;
        self.protocol_errors += other.protocol_errors;
        self.udp_bytes_in += other.udp_bytes_in;
        self.udp_bytes_out += other.udp_bytes_out;
        self.udp_packets_in += other.udp_packets_in;
        self.udp_packets_out += other.udp_packets_out;
        self.packets_lost += other.packets_lost;
        self.socket_full += other.socket_full;
        self.socket_errors += other.socket_errors;
        self.forwarded += other.forwarded;
        self.forwards_dropped += other.forwards_dropped;
        self.sends_late += other.sends_late;
    }

    pub(super) fn add(&mut self, stats: &quinn::ConnectionStats) {
        self.udp_bytes_in += stats.udp_rx.bytes;
        self.udp_bytes_out += stats.udp_tx.bytes;
        self.udp_packets_in += stats.udp_rx.datagrams;
        self.udp_packets_out += stats.udp_tx.datagrams;
        self.packets_lost += stats.path.lost_packets;
    }
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) accepted: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) ignored: AtomicU64,
    pub(super) retried: AtomicU64,
    pub(super) handshakes_failed: AtomicU64,
    pub(super) open: AtomicUsize,
    pub(super) handshaking: AtomicUsize,
    pub(super) datagrams_in: AtomicU64,
    pub(super) datagrams_dropped: AtomicU64,
    pub(super) protocol_errors: AtomicU64,
    /// UDP figures of connections that are gone.
    retired: std::sync::Mutex<ServerStats>,
}

impl Counters {
    pub(super) fn retire(&self, stats: &quinn::ConnectionStats) {
        self.retired.lock().expect("nobody panics while holding the totals").add(stats);
    }

    pub(super) fn snapshot(&self) -> ServerStats {
        let retired = *self.retired.lock().expect("nobody panics while holding the totals");
        ServerStats {
            accepted: self.accepted.load(Relaxed),
            refused: self.refused.load(Relaxed),
            ignored: self.ignored.load(Relaxed),
            retried: self.retried.load(Relaxed),
            handshakes_failed: self.handshakes_failed.load(Relaxed),
            open: self.open.load(Relaxed) as u64,
            handshaking: self.handshaking.load(Relaxed) as u64,
            datagrams_in: self.datagrams_in.load(Relaxed),
            datagrams_dropped: self.datagrams_dropped.load(Relaxed),
            protocol_errors: self.protocol_errors.load(Relaxed),
            ..retired
        }
    }
}
