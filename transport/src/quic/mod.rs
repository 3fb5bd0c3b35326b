//! QUIC: the quinn shell for servers, a sans-I/O endpoint with a plain UDP socket for clients.
//!
//! Nothing outside of this crate sees a quinn type.

mod client;
mod config;
mod ending;
mod outbox;
mod server;
mod share;
mod steady;

pub use client::{
    ClientEndpoint, ClientOptions, ClientStats, ConnStats, ConnectError, ConnectOptions, Sockets,
    UdpClient, UdpClientError, UdpClientWaker, random_seed, socket_buffer_bytes,
};
pub use config::{Congestion, ServerSecret};
pub use server::{
    QuinnServer, RuntimeChoice, ServerError, ServerOptions, ServerStats, ServerWaker,
};
