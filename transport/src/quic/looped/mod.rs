//! The server on a loop of our own: quinn-proto, a socket, one thread for each shard.
//!
//! ```text
//! socket -> packets, in batches -> ServerEndpoint -> events -> UdpServer::poll
//! UdpServer::send_datagram, write -> ServerEndpoint -> flush -> packets -> socket
//! ```

mod admission;
mod endpoint;
mod shard;
mod udp;

pub use endpoint::ServerEndpoint;
pub use udp::{UdpServer, UdpServerWaker};
