//! Where a server is, and why it is believed.

use starling_transport::conditioner::LinkProfile;
use starling_transport::quic::{self, ClientOptions, UdpClient, UdpClientError};
use starling_transport::tls::{ClientTls, ServerTrust, TlsError};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;
use thiserror::Error;

/// Why no connection to a server can be tried.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The name leads nowhere.
    #[error("cannot find {name}: {source}")]
    Resolve {
        /// What was asked for.
        name: String,
        /// The system's words.
        source: io::Error,
    },
    /// The name has no address.
    #[error("{0} has no address")]
    NoAddress(String),
    /// The roots are no certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The system gives no sockets.
    #[error(transparent)]
    Udp(#[from] UdpClientError),
}

/// A server: its address, its name, and why it is believed.
///
/// ```no_run
/// use starling_client::net::{Client, MonotonicClock, Server};
/// use starling_client::{ConnectOptions, tls::ServerTrust};
///
/// let server = Server::resolve("game.example.org:4433", ServerTrust::Insecure)?;
/// let clock = MonotonicClock::start();
/// let client = Client::connect(clock.now(), &server, ConnectOptions::new("plaza"))?;
/// # Ok::<(), starling_client::net::ServerError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Server {
    /// Where it is.
    pub address: SocketAddr,
    /// What its certificate is asked to name, unless it is pinned.
    pub name: String,
    /// Why it is believed.
    pub trust: ServerTrust,
    /// Silence after which the connection is lost: 15 s, and up to 30 min for devices.
    pub idle_timeout: Option<Duration>,
    /// How the connection shares its path.
    pub congestion: quic::Congestion,
    /// What both directions of the way there do to packets; for tests.
    pub link: LinkProfile,
}

impl Server {
    /// A server at an address.
    #[must_use]
    pub fn new(address: SocketAddr, trust: ServerTrust) -> Self {
        let name = "localhost".to_owned();
        Self {
            address,
            name,
            trust,
            idle_timeout: None,
            congestion: quic::Congestion::default(),
            link: LinkProfile::default(),
        }
    }

    /// A server by `host:port`; asks the system for the host's address, and waits for it.
    ///
    /// # Errors
    /// [`ServerError::Resolve`] or [`ServerError::NoAddress`].
    pub fn resolve(host_and_port: &str, trust: ServerTrust) -> Result<Self, ServerError> {
        let name = || host_and_port.to_owned();
        let found = host_and_port.to_socket_addrs();
        let mut found = found.map_err(|source| ServerError::Resolve { name: name(), source })?;
        let address = found.next().ok_or_else(|| ServerError::NoAddress(name()))?;
        let host = host_and_port.rsplit_once(':').map_or(host_and_port, |(host, _)| host);
        Ok(Self { name: host.trim_matches(['[', ']']).to_owned(), ..Self::new(address, trust) })
    }

    /// The target that a [`UdpClient`] dials.
    ///
    /// # Errors
    /// [`ServerError::Tls`].
    pub fn target(&self) -> Result<quic::ConnectOptions, ServerError> {
        let mut target = quic::ConnectOptions::new(self.address, ClientTls::new(&self.trust)?);
        if let Some(idle_timeout) = self.idle_timeout {
            target = target.with_idle_timeout(idle_timeout);
        }
        target.server_name.clone_from(&self.name);
        target.congestion = self.congestion;
        Ok(target.with_link(self.link.clone()))
    }

    /// A transport for one session to it.
    ///
    /// # Errors
    /// [`ServerError::Udp`].
    pub(super) fn transport(seed: u64) -> Result<UdpClient, ServerError> {
        Ok(UdpClient::new(ClientOptions { seed, ..ClientOptions::default() })?)
    }
}
