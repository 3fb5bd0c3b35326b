//! What a hub counts.

use super::peer::Standing;

/// How many connections there are and were.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::quic) struct Census {
    /// Handshakes under way.
    pub(in crate::quic) handshaking: usize,
    /// Connections that stand.
    pub(in crate::quic) open: usize,
    /// Handshakes that were completed.
    pub(in crate::quic) completed: u64,
    /// Handshakes that were not.
    pub(in crate::quic) failed: u64,
    /// Connections whose far side broke the rules of streams.
    pub(in crate::quic) faults: u64,
    /// Datagrams received.
    pub(in crate::quic) datagrams_in: u64,
    /// Datagrams handed to QUIC.
    pub(in crate::quic) datagrams_out: u64,
    /// Datagrams that found the connection's buffer full.
    pub(in crate::quic) datagrams_full: u64,
    /// Answers to strangers that found too many others waiting.
    pub(in crate::quic) responses_dropped: u64,
}

impl Census {
    /// Counts a change of standing.
    pub(super) const fn count(&mut self, from: Option<Standing>, to: Standing) {
        match (from, to) {
            (Some(Standing::Connecting), Standing::Up) => {
                self.handshaking -= 1;
                self.open += 1;
                self.completed += 1;
            }
            (Some(Standing::Connecting), Standing::Over) => {
                self.handshaking -= 1;
                self.failed += 1;
            }
            (Some(Standing::Up), Standing::Over) => self.open -= 1,
            _ => {}
        }
    }
}
