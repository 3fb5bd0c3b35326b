//! What QUIC is told, alike on both sides unless said.

use super::steady::SteadyFactory;
use quinn_proto::congestion::{ControllerFactory, CubicConfig};
use quinn_proto::{EndpointConfig, IdleTimeout, TransportConfig, VarInt};
use std::sync::Arc;
use std::time::Duration;

/// Silence after which a client counts its connection as lost, unless it chooses otherwise.
pub(crate) const IDLE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(15);
/// Longest silence that a client may choose; the server's own limit.
pub(crate) const IDLE_TIMEOUT_MAX: Duration = Duration::from_secs(30 * 60);
/// Bytes of datagrams that wait for the network. The usual mebibyte is seconds of stale positions.
pub(crate) const DATAGRAM_SEND_BYTES: usize = 4 * 1024;
/// Bytes of datagrams that wait for the application.
pub(crate) const DATAGRAM_RECEIVE_BYTES: usize = 64 * 1024;
/// Stream bytes of one connection that may be written and not yet acknowledged.
pub(crate) const SEND_WINDOW_BYTES: usize = 64 * 1024;
/// The smallest MTU of QUIC, which every path has: no probing, no black holes.
const MTU_BYTES: u16 = 1_200;
/// Streams of each direction that a peer may open: four of ours, and room for WebTransport's.
const STREAMS_MAX: u32 = 8;
const STREAM_RECEIVE_BYTES: u32 = 64 * 1024;
const CONNECTION_RECEIVE_BYTES: u32 = 128 * 1024;
/// At most 10,000 stateless resets a second: enough after a restart, too few to be a weapon.
const RESET_INTERVAL_MIN: Duration = Duration::from_micros(100);
/// Largest UDP payload that is read: an Ethernet frame's.
const UDP_PAYLOAD_BYTES_MAX: u16 = 1_472;

/// How a connection decides how fast it may send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Congestion {
    /// Never below 32 KiB in flight, and little moved by losses that no queue explains: for games
    /// and vehicles on radio links.
    #[default]
    Steady,
    /// RFC 9438: fair beside other traffic, down to two packets in flight after a run of losses.
    Cubic,
}

impl Congestion {
    fn factory(self) -> Arc<dyn ControllerFactory + Send + Sync> {
        match self {
            Self::Cubic => Arc::new(CubicConfig::default()),
            Self::Steady => Arc::new(SteadyFactory),
        }
    }
}

/// Secrets of a server that outlive a restart: clients are then told at once that their
/// connections are gone, and retry tokens stay good.
#[derive(Clone)]
pub struct ServerSecret(pub [u8; 32]);

impl std::fmt::Debug for ServerSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerSecret(..)")
    }
}

/// What differs from connection to connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) idle_timeout: Duration,
    pub(crate) keep_alive: Option<Duration>,
    pub(crate) segmentation_offload: bool,
    pub(crate) congestion: Congestion,
}

impl Shape {
    pub(crate) fn transport_config(&self) -> TransportConfig {
        let idle = IdleTimeout::try_from(self.idle_timeout.min(IDLE_TIMEOUT_MAX));
        let mut config = TransportConfig::default();
        config
            .max_idle_timeout(Some(idle.expect("half an hour fits a QUIC integer")))
            .keep_alive_interval(self.keep_alive)
            .datagram_send_buffer_size(DATAGRAM_SEND_BYTES)
            .datagram_receive_buffer_size(Some(DATAGRAM_RECEIVE_BYTES))
            .initial_mtu(MTU_BYTES)
            .min_mtu(MTU_BYTES)
            .mtu_discovery_config(None)
            .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_MAX))
            .max_concurrent_uni_streams(VarInt::from_u32(STREAMS_MAX))
            .stream_receive_window(VarInt::from_u32(STREAM_RECEIVE_BYTES))
            .receive_window(VarInt::from_u32(CONNECTION_RECEIVE_BYTES))
            .send_window(SEND_WINDOW_BYTES as u64)
            .enable_segmentation_offload(self.segmentation_offload)
            .allow_spin(false)
            .congestion_controller_factory(self.congestion.factory());
        config
    }
}

/// Limits of an endpoint, which is one socket.
pub(crate) fn limit_endpoint(config: &mut EndpointConfig) {
    config.min_reset_interval(RESET_INTERVAL_MIN);
    config
        .max_udp_payload_size(UDP_PAYLOAD_BYTES_MAX)
        .expect("1,472 bytes are more than QUIC's minimum of 1,200");
}
