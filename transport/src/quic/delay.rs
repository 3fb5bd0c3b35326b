//! A server that acknowledges with its next tick, not with a packet of its own.
//!
//! Every datagram wants to be acknowledged, and QUIC does so after 25 ms unless something else is
//! sent first. At 20 Hz the next tick is 50 ms away: each tick of each client then costs the server
//! a second packet, which is most of what a tick costs at all. A side may say in its transport
//! parameters that it takes longer (`max_ack_delay`, RFC 9000, section 18.2), and the other side
//! then waits longer before it takes silence for loss. quinn-proto has no word for this parameter,
//! so it is put in where TLS is handed the parameters, and the timer is kept late by the hub.

use quinn_proto::crypto::rustls::QuicServerConfig;
use quinn_proto::crypto::{Keys, ServerConfig, Session, UnsupportedVersion};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectionId, Side};
use std::sync::Arc;
use std::time::Duration;

/// When quinn-proto's timer for an acknowledgement runs out, after the packet.
pub(super) const ACK_DELAY: Duration = Duration::from_millis(25);
/// By how much the hub keeps it late: until after the next tick at 20 Hz.
pub(super) const DEFERRAL: Duration = Duration::from_millis(30);
/// So often an acknowledgement goes at once: a round trip of which nothing has to be subtracted. The
/// other side takes the shortest that it saw for a bound (RFC 9002, section 5.3), and one that was
/// long when it connected would make it count whole delays as round trips from then on.
pub(super) const PROMPT_EVERY: Duration = Duration::from_secs(2);
/// Who was silent for so long is at rest: nobody needs its round trip, and an acknowledgement at once
/// would be half of what it costs at all.
pub(super) const REST: Duration = Duration::from_secs(1);
/// What the other side is told: a little more than both.
const TOLD_MS: u8 = 60;
/// `max_ack_delay`, one byte long, small enough to be its own encoding.
const PARAMETER: [u8; 3] = [0x0b, 1, TOLD_MS];

const _: () = assert!(TOLD_MS < 64);
const _: () = assert!((ACK_DELAY.as_millis() + DEFERRAL.as_millis()) < TOLD_MS as u128);

/// TLS for a server that says that it takes its time.
pub(super) struct Unhurried(pub(super) Arc<QuicServerConfig>);

impl ServerConfig for Unhurried {
    fn initial_keys(
        &self,
        version: u32,
        dst_cid: &ConnectionId,
    ) -> Result<Keys, UnsupportedVersion> {
        self.0.initial_keys(version, dst_cid)
    }

    fn retry_tag(&self, version: u32, orig_dst_cid: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.0.retry_tag(version, orig_dst_cid, packet)
    }

    fn start_session(
        self: Arc<Self>,
        version: u32,
        params: &TransportParameters,
    ) -> Box<dyn Session> {
        self.0.clone().start_session(version, &unhurried(params))
    }
}

/// The same parameters with another delay; as they were, should they not be what we think.
fn unhurried(params: &TransportParameters) -> TransportParameters {
    let mut bytes = Vec::new();
    params.write(&mut bytes);
    bytes.extend_from_slice(&PARAMETER);
    TransportParameters::read(Side::Client, &mut &bytes[..]).unwrap_or(*params)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(params: &TransportParameters) -> Vec<u8> {
        let mut bytes = Vec::new();
        params.write(&mut bytes);
        bytes
    }

    #[test]
    fn parameters_say_the_delay_and_otherwise_stay() {
        // Half an hour of idle timeout, in milliseconds.
        let given = [0x01, 4, 0x80, 0x1b, 0x77, 0x40];
        let params = TransportParameters::read(Side::Client, &mut &given[..]);
        let params = params.expect("they are well formed");
        let told = unhurried(&params);
        let holds = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).any(|w| w == part);
        assert!(holds(&written(&told), &PARAMETER) && holds(&written(&told), &given));
        assert!(!holds(&written(&params), &PARAMETER));
        assert_eq!(written(&unhurried(&told)).len(), written(&told).len(), "twice is refused");
    }
}
