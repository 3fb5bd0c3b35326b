//! What a client counts.

/// Figures of one connection. Bytes are UDP payload, everything included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnStats {
    /// Bytes that QUIC sent.
    pub bytes_up: u64,
    /// Bytes that QUIC received.
    pub bytes_down: u64,
    /// Packets that QUIC sent.
    pub packets_up: u64,
    /// Packets that QUIC received.
    pub packets_down: u64,
    /// Packets sent that QUIC declared lost.
    pub packets_lost: u64,
    /// Smoothed round-trip time in microseconds.
    pub rtt_us: u64,
    /// Congestion window in bytes.
    pub window_bytes: u64,
    /// Largest UDP payload that the path is known to carry, in bytes.
    pub mtu: u16,
}

impl ConnStats {
    pub(super) fn of(stats: &quinn_proto::ConnectionStats) -> Self {
        Self {
            bytes_up: stats.udp_tx.bytes,
            bytes_down: stats.udp_rx.bytes,
            packets_up: stats.udp_tx.datagrams,
            packets_down: stats.udp_rx.datagrams,
            packets_lost: stats.path.lost_packets,
            rtt_us: stats.path.rtt.as_micros().try_into().unwrap_or(u64::MAX),
            window_bytes: stats.path.cwnd,
            mtu: stats.path.current_mtu,
        }
    }

    /// Adds the figures that count up; round-trip time and window are no sums and stay.
    pub(in crate::quic) const fn add(&mut self, other: &Self) {
        self.bytes_up += other.bytes_up;
        self.bytes_down += other.bytes_down;
        self.packets_up += other.packets_up;
        self.packets_down += other.packets_down;
        self.packets_lost += other.packets_lost;
    }
}

/// Figures of all connections of a client, gone ones included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientStats {
    /// Sums; its round-trip time and window are zero.
    pub sum: ConnStats,
    /// Packets that a socket did not take, its buffer being full.
    pub socket_full: u64,
    /// Packets that a socket failed to send for another reason.
    pub socket_errors: u64,
    /// Datagrams that were not sent because the connection's buffer was full.
    pub datagrams_full: u64,
    /// Sockets that were exchanged for fresh ones.
    pub rebinds: u64,
    /// Rebinds for which the system gave no socket.
    pub rebinds_failed: u64,
}
