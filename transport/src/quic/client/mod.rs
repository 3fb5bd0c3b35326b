//! The client: a sans-I/O endpoint on quinn-proto, and a plain UDP socket round it.

mod endpoint;
mod options;
mod port;
mod udp;

pub use endpoint::ClientEndpoint;
pub use options::{ClientOptions, ConnectError, ConnectOptions, Sockets};
pub use port::socket_buffer_bytes;
pub use udp::{UdpClient, UdpClientError, random_seed};
