//! The client: a sans-I/O endpoint on quinn-proto, and a plain UDP socket round it.

mod endpoint;
mod options;
mod peer;
mod port;
mod stats;
mod udp;

pub use endpoint::ClientEndpoint;
pub use options::{ClientOptions, ConnectError, ConnectOptions, Sockets};
pub use port::socket_buffer_bytes;
pub use stats::{ClientStats, ConnStats};
pub use udp::{UdpClient, UdpClientError, UdpClientWaker, random_seed};
