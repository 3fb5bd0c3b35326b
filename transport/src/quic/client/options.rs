//! How a client and its connections are set up.

use super::super::config::{Congestion, IDLE_TIMEOUT_DEFAULT, Shape};
use crate::conditioner::LinkProfile;
use crate::tls::ClientTls;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use thiserror::Error;

/// Longest idle timeout for which a client keeps its connection alive by itself.
const KEEP_ALIVE_IDLE_MAX: Duration = Duration::from_secs(60);
/// Signs of life within one idle timeout.
const KEEP_ALIVES_PER_IDLE: u32 = 3;

/// Whether connections share a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sockets {
    /// Each connection has its own, like so many devices; its connection ids are empty.
    #[default]
    PerConnection,
    /// All connections go through one, told apart by their connection ids.
    Shared,
}

/// How a [`UdpClient`](super::UdpClient) is set up.
#[derive(Clone, Debug, Default)]
pub struct ClientOptions {
    /// Whether connections share a socket.
    pub sockets: Sockets,
    /// Seeds the links' faults. Connection ids come from the system's randomness.
    pub seed: u64,
    /// What the shared socket does to packets; connections with sockets of their own name theirs.
    pub link: LinkProfile,
}

/// How one connection is set up.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// Where the server is.
    pub server: SocketAddr,
    /// What its certificate is asked to name, unless it is pinned.
    pub server_name: String,
    /// How it is believed.
    pub tls: ClientTls,
    /// Silence after which the connection is lost: 15 s, and up to 30 min for devices.
    pub idle_timeout: Duration,
    /// Distance of signs of life while nothing else is sent; `None` for none.
    pub keep_alive: Option<Duration>,
    /// How the connection shares the path.
    pub congestion: Congestion,
    /// What both directions of the way to the server do to packets, below QUIC.
    pub link: LinkProfile,
}

impl ConnectOptions {
    /// The usual connection: 15 s of silence at most, kept alive, an untouched link.
    #[must_use]
    pub fn new(server: SocketAddr, tls: ClientTls) -> Self {
        Self {
            server,
            server_name: "localhost".to_owned(),
            tls,
            idle_timeout: IDLE_TIMEOUT_DEFAULT,
            keep_alive: keep_alive(IDLE_TIMEOUT_DEFAULT),
            congestion: Congestion::default(),
            link: LinkProfile::default(),
        }
    }

    /// The same with another idle timeout. One of more than a minute is a device's, which sends no
    /// signs of life.
    #[must_use]
    pub fn with_idle_timeout(mut self, idle_timeout: Duration) -> Self {
        self.idle_timeout = idle_timeout;
        self.keep_alive = keep_alive(idle_timeout);
        self
    }

    /// The same over a conditioned link.
    #[must_use]
    pub fn with_link(mut self, link: LinkProfile) -> Self {
        self.link = link;
        self
    }

    pub(super) const fn shape(&self) -> Shape {
        Shape {
            idle_timeout: self.idle_timeout,
            keep_alive: self.keep_alive,
            segmentation_offload: false,
            congestion: self.congestion,
        }
    }
}

fn keep_alive(idle_timeout: Duration) -> Option<Duration> {
    (idle_timeout <= KEEP_ALIVE_IDLE_MAX).then(|| idle_timeout / KEEP_ALIVES_PER_IDLE)
}

/// Why a connection was not even tried.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No packet can be sent there.
    #[error("{0} is no address of a server")]
    Address(SocketAddr),
    /// No certificate can carry that name.
    #[error("{0:?} is no name of a server")]
    Name(String),
    /// The system gives no socket.
    #[error("cannot open a UDP socket: {0}")]
    Socket(#[from] io::Error),
    /// The link of a shared socket is named once, with the client.
    #[error("a connection on a shared socket cannot have a link of its own")]
    LinkOnSharedSocket,
    /// QUIC refuses for another reason.
    #[error("cannot connect: {0}")]
    Refused(String),
}
