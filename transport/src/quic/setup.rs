//! From options to what quinn-proto wants to be told, for both servers.

use super::config::{IDLE_TIMEOUT_MAX, ServerSecret, Shape, limit_endpoint};
use super::delay::Unhurried;
use super::ids::MarkedIds;
use super::server::ServerOptions;
use crate::conditioner::rng::{derive, wide};
use aws_lc_rs::{hkdf, hmac, rand};
use quinn_proto::crypto::rustls::QuicServerConfig;
use quinn_proto::{EndpointConfig, ServerConfig, ValidationTokenConfig, crypto};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// Socket buffers hold one burst of a full server: a tick's worth of packets.
const SOCKET_BYTES: usize = 4 * 1024 * 1024;
/// Whether sockets of one program can share an address here: a server of several shards needs it.
pub const PORTS_CAN_BE_SHARED: bool =
    cfg!(all(unix, not(any(target_os = "solaris", target_os = "illumos"))));
/// Handshakes that QUIC itself keeps before they are looked at.
const INCOMING_MAX: usize = 4_096;
/// Bytes that one such handshake may hold.
const INCOMING_BYTES: u64 = 64 * 1024;
/// Bytes that all of them may hold.
const INCOMING_BYTES_TOTAL: u64 = 16 * 1024 * 1024;

/// What one endpoint of a server is made of.
pub(super) struct Setup {
    pub(super) endpoint: EndpointConfig,
    pub(super) server: ServerConfig,
    pub(super) ids: MarkedIds,
}

impl Setup {
    /// The setup of one shard: all shards of a server share their secret.
    pub(super) fn new(options: &ServerOptions, secret: &ServerSecret, shard: u8) -> Self {
        Self::with(options, secret, shard, |tls| tls)
    }

    /// The same for a hub that keeps acknowledgements late.
    pub(super) fn unhurried(options: &ServerOptions, secret: &ServerSecret, shard: u8) -> Self {
        Self::with(options, secret, shard, |tls| Arc::new(Unhurried(tls)))
    }

    fn with(
        options: &ServerOptions,
        secret: &ServerSecret,
        shard: u8,
        crypto: impl FnOnce(Arc<QuicServerConfig>) -> Arc<dyn crypto::ServerConfig>,
    ) -> Self {
        let mut endpoint = EndpointConfig::default();
        let tls = QuicServerConfig::try_from(options.identity.server_config())
            .expect("the provider has the suite that QUIC begins with");
        let mut server = server_config(options, crypto(Arc::new(tls)));
        let ids = use_secret(secret, shard, &mut endpoint, &mut server);
        limit_endpoint(&mut endpoint);
        Self { endpoint, server, ids }
    }

    /// Lets all that the endpoint draws follow from a seed, connection ids included.
    pub(super) fn seed(&mut self, seed: u64) {
        let ids = self.ids.clone().seeded(derive(seed, 1));
        self.endpoint
            .rng_seed(Some(wide(derive(seed, 0))))
            .cid_generator(move || Box::new(ids.clone()));
    }
}

/// The secret of the options, or a fresh one.
pub(super) fn secret(options: &ServerOptions) -> ServerSecret {
    options.secret.clone().unwrap_or_else(|| {
        let mut secret = [0; 32];
        rand::fill(&mut secret).expect("the system has randomness, or there is no TLS either");
        ServerSecret(secret)
    })
}

/// A socket on this address, which nobody else has.
pub(super) fn socket(address: SocketAddr) -> io::Result<Socket> {
    bound(address, false)
}

/// Another socket on the address of one that [shares](share) it.
pub(super) fn sibling(address: SocketAddr) -> io::Result<Socket> {
    bound(address, true)
}

/// Lets siblings have the address of a socket too. To be asked for once it is bound: one that shares
/// from the beginning would be given a port that another server shares already, even where it asks
/// for any that is free.
pub(super) fn share(socket: &Socket) -> io::Result<()> {
    set_shared(socket, true)
}

fn bound(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    // The system may grant less; it says how much in `starling check`.
    let _asked =
        (socket.set_recv_buffer_size(SOCKET_BYTES), socket.set_send_buffer_size(SOCKET_BYTES));
    socket.set_nonblocking(true)?;
    set_shared(&socket, shared)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos"))))]
fn set_shared(socket: &Socket, shared: bool) -> io::Result<()> {
    socket.set_reuse_port(shared)
}

#[cfg(not(all(unix, not(any(target_os = "solaris", target_os = "illumos")))))]
fn set_shared(_: &Socket, _: bool) -> io::Result<()> {
    Ok(())
}

fn server_config(options: &ServerOptions, crypto: Arc<dyn crypto::ServerConfig>) -> ServerConfig {
    let shape = Shape {
        // The shorter of both sides' counts, so the choice is the client's.
        idle_timeout: IDLE_TIMEOUT_MAX,
        keep_alive: None,
        segmentation_offload: options.segmentation_offload,
        congestion: options.congestion,
    };
    let mut config = ServerConfig::with_crypto(crypto);
    let mut tokens = ValidationTokenConfig::default();
    // Tokens for a later visit are bytes in every handshake; Retry serves who comes in a flood.
    tokens.sent(0);
    config
        .validation_token_config(tokens)
        .transport_config(Arc::new(shape.transport_config()))
        .max_incoming(INCOMING_MAX)
        .incoming_buffer_size(INCOMING_BYTES)
        .incoming_buffer_size_total(INCOMING_BYTES_TOTAL)
        .migration(true);
    config
}

/// Connection ids, reset tokens and retry tokens all follow from the secret: a server that comes
/// back knows the ids of its former life and can say that they are gone.
fn use_secret(
    secret: &ServerSecret,
    shard: u8,
    endpoint: &mut EndpointConfig,
    server: &mut ServerConfig,
) -> MarkedIds {
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"starling server").extract(&secret.0);
    let derive = |purpose: &[u8]| {
        let mut key = [0; 32];
        prk.expand(&[purpose], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut key))
            .expect("one hash is a length that HKDF gives");
        key
    };
    let [a, b, c, d, e, f, g, h, ..] = derive(b"connection ids");
    let ids = MarkedIds::new(u64::from_be_bytes([a, b, c, d, e, f, g, h]), shard);
    endpoint
        .cid_generator({
            let ids = ids.clone();
            move || Box::new(ids.clone())
        })
        .reset_key(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &derive(b"reset"))));
    server.token_key(Arc::new(prk));
    ids
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::net::Ipv4Addr;

    const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    fn port(socket: &Socket) -> u16 {
        let address = socket.local_addr().expect("it is bound");
        address.as_socket().expect("of the internet").port()
    }

    fn shared() -> Socket {
        let socket = socket(ANY_PORT).expect("a free port can be had");
        share(&socket).expect("it may be shared");
        socket
    }

    #[test]
    fn who_shares_a_port_with_siblings_does_not_share_it_with_another_server() {
        // So many that a port given twice would be likelier than not.
        let sockets: Vec<_> = (0..400).map(|_| shared()).collect();
        let ports: BTreeSet<u16> = sockets.iter().map(port).collect();
        assert_eq!(ports.len(), sockets.len());
    }

    #[test]
    fn siblings_share_and_strangers_are_refused() {
        let first = shared();
        let address =
            first.local_addr().expect("it is bound").as_socket().expect("of the internet");
        let _second = sibling(address).expect("it is shared");
        let refused = socket(address).expect_err("it is taken");
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    }
}
