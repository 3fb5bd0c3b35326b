//! How packets come to an endpoint and leave it, apart from their bytes.

use quinn_proto::{EcnCodepoint, Transmit};
use std::net::{IpAddr, SocketAddr};

/// A packet that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Who sent it.
    pub from: SocketAddr,
    /// To which of the local addresses, where that is known and answers have to come from it.
    pub to: Option<IpAddr>,
    /// The congestion mark: the two bits of RFC 3168.
    pub ecn_bits: u8,
}

impl Arrival {
    /// An unmarked packet.
    #[must_use]
    pub const fn from(from: SocketAddr) -> Self {
        Self { from, to: None, ecn_bits: 0 }
    }

    pub(in crate::quic) fn ecn(&self) -> Option<EcnCodepoint> {
        EcnCodepoint::from_bits(self.ecn_bits)
    }
}

/// A packet that is to leave, or several of one size for one receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    /// Who gets it.
    pub to: SocketAddr,
    /// From which of the local addresses, where it matters.
    pub from: Option<IpAddr>,
    /// The congestion mark: the two bits of RFC 3168.
    pub ecn_bits: u8,
    /// Bytes of it all.
    pub bytes: usize,
    /// Bytes of each packet but the last; `None` when there is one.
    pub segment_bytes: Option<usize>,
}

impl Departure {
    /// One packet.
    pub(in crate::quic) const fn one(to: SocketAddr, ecn_bits: u8, bytes: usize) -> Self {
        Self { to, from: None, ecn_bits, bytes, segment_bytes: None }
    }

    pub(super) fn of(transmit: &Transmit) -> Self {
        Self {
            to: transmit.destination,
            from: transmit.src_ip,
            ecn_bits: transmit.ecn.map_or(0, |ecn| ecn as u8),
            bytes: transmit.size,
            segment_bytes: transmit.segment_size.filter(|&segment| segment < transmit.size),
        }
    }
}
