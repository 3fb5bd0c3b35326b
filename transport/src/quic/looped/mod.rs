//! The server on a loop of our own: quinn-proto, a socket, one thread for each shard.
//!
//! ```text
//! socket -> packets, in batches -> ServerEndpoint -> events -> UdpServer::poll
//! UdpServer::send_datagram, write -> ServerEndpoint -> flush -> packets -> socket
//! ```

mod admission;
mod endpoint;
mod lane;
mod shard;
mod sharded;
mod token_time;
mod udp;
mod worker;

pub use endpoint::ServerEndpoint;
pub use sharded::{ShardedServer, ShardedServerWaker};
pub use udp::UdpServer;
