//! What a datagram weighs beside its payload, and what the swarm counts of it.

use starling_client_sim::report::Report;

/// The headers of UDP and IPv4, in bytes.
pub const HEADER_BYTES: u32 = 8 + 20;
/// What QUIC adds to one datagram in a packet of its own: the short header without a connection id
/// and with a packet number of 2 bytes, the frame's type and length, and the tag.
pub const QUIC_BYTES: u32 = 1 + 2 + 3 + 16;
/// An acknowledgement that rides in such a packet: type, the newest packet's number in 2 bytes, a
/// delay in 2, the number of ranges, and the first of them in 2.
pub const ACK_BYTES: u32 = 1 + 2 + 2 + 1 + 2;
/// All that one datagram with an acknowledgement weighs beside its payload.
pub const OVERHEAD_BYTES: u32 = QUIC_BYTES + ACK_BYTES + HEADER_BYTES;

/// So many bytes of UDP payload in so many packets, with the headers of UDP and IPv4.
#[must_use]
pub fn with_headers(bytes: f64, packets: f64) -> f64 {
    bytes + f64::from(HEADER_BYTES) * packets
}

/// Bytes down per visible update: UDP payload, and with the headers of UDP and IPv4.
#[must_use]
pub fn bytes_per_update(report: &Report) -> [f64; 2] {
    let positions = &report.positions;
    let payload = positions.bytes_down_per_s;
    let whole = with_headers(payload, positions.packets_down_per_s);
    [payload, whole].map(|bytes| bytes / positions.visible_updates_per_s.max(1e-9))
}
