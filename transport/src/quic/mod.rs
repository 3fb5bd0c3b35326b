//! QUIC: sans-I/O endpoints for both sides, plain UDP sockets round them, and a server on quinn.
//!
//! Nothing outside of this crate sees a quinn type.

mod client;
mod config;
mod delay;
mod either;
mod ending;
mod framing;
mod handshakes;
mod hub;
mod ids;
mod looped;
mod outbox;
mod server;
mod setup;
mod share;
mod steady;

pub use client::{
    ClientEndpoint, ClientOptions, ConnectError, ConnectOptions, Sockets, UdpClient,
    UdpClientError, random_seed, socket_buffer_bytes,
};
pub use config::{Congestion, ServerSecret};
pub use either::{Io, QuicServer, QuicServerWaker};
pub use hub::{Arrival, ClientStats, ConnStats, Departure, UdpWaker};
pub use looped::{ServerEndpoint, ShardedServer, ShardedServerWaker, UdpServer};
pub use server::{
    QuinnServer, RuntimeChoice, ServerError, ServerOptions, ServerStats, ServerWaker,
};
pub use setup::PORTS_CAN_BE_SHARED;
