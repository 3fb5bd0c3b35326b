//! Version negotiation and names that both sides compare.

/// The protocol version that this crate speaks.
pub const VERSION: u16 = 1;
/// QUIC ALPN identifier of the native protocol (RFC 7301).
pub const ALPN: &[u8] = b"starling/1";
/// Version of the prefix-code tables of the snapshot codec. Raised with every new table.
pub const TABLES: u16 = 2;

/// The newest version that both sides speak.
///
/// ```
/// use starling_protocol::version::{VERSION, negotiate};
/// assert_eq!(negotiate(&[VERSION, 7]), Some(VERSION));
/// assert_eq!(negotiate(&[7]), None);
/// ```
#[must_use]
pub fn negotiate(offered: &[u16]) -> Option<u16> {
    offered.contains(&VERSION).then_some(VERSION)
}
