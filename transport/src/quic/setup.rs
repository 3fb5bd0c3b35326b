//! From options to what quinn-proto wants to be told, for both servers.

use super::config::{IDLE_TIMEOUT_MAX, ServerSecret, Shape, limit_endpoint};
use super::delay::Unhurried;
use super::ids::MarkedIds;
use super::server::ServerOptions;
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
}

/// The secret of the options, or a fresh one.
pub(super) fn secret(options: &ServerOptions) -> ServerSecret {
    options.secret.clone().unwrap_or_else(|| {
        let mut secret = [0; 32];
        rand::fill(&mut secret).expect("the system has randomness, or there is no TLS either");
        ServerSecret(secret)
    })
}

/// A socket on this address; `shared` with others of this program on the same one.
pub(super) fn socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    // The system may grant less; it says how much in `starling check`.
    let _asked =
        (socket.set_recv_buffer_size(SOCKET_BYTES), socket.set_send_buffer_size(SOCKET_BYTES));
    socket.set_nonblocking(true)?;
    #[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos"))))]
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    Ok(socket)
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
        .cid_generator(move || Box::new(ids))
        .reset_key(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &derive(b"reset"))));
    server.token_key(Arc::new(prk));
    ids
}
