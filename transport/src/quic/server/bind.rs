//! From options to a bound endpoint.

use super::super::config::{IDLE_TIMEOUT_MAX, ServerSecret, Shape, limit_endpoint};
use super::ids::MarkedIds;
use super::{ServerError, ServerOptions};
use aws_lc_rs::{hkdf, hmac, rand};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, EndpointConfig, ServerConfig, TokioRuntime, ValidationTokenConfig};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

/// Socket buffers hold one burst of a full server: a tick's worth of packets.
const SOCKET_BYTES: usize = 4 * 1024 * 1024;
/// Handshakes that QUIC itself keeps before they are looked at.
const INCOMING_MAX: usize = 4_096;
/// Bytes that one such handshake may hold.
const INCOMING_BYTES: u64 = 64 * 1024;
/// Bytes that all of them may hold.
const INCOMING_BYTES_TOTAL: u64 = 16 * 1024 * 1024;

/// Binds the socket and starts the endpoint's own task on the current runtime.
pub(super) fn endpoint(options: &ServerOptions) -> Result<Endpoint, ServerError> {
    let address = options.listen;
    let socket = socket(address).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ServerError::PortTaken { address },
        _ => ServerError::Bind { address, source },
    })?;
    let mut endpoint_config = EndpointConfig::default();
    let mut server_config = server_config(options);
    let secret = options.secret.clone().unwrap_or_else(fresh_secret);
    use_secret(&secret, &mut endpoint_config, &mut server_config);
    limit_endpoint(&mut endpoint_config);
    Endpoint::new(endpoint_config, Some(server_config), socket, Arc::new(TokioRuntime))
        .map_err(|source| ServerError::Bind { address, source })
}

fn socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    // The system may grant less; it says how much in `starling check`.
    let _asked =
        (socket.set_recv_buffer_size(SOCKET_BYTES), socket.set_send_buffer_size(SOCKET_BYTES));
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn server_config(options: &ServerOptions) -> ServerConfig {
    let shape = Shape {
        // The shorter of both sides' counts, so the choice is the client's.
        idle_timeout: IDLE_TIMEOUT_MAX,
        keep_alive: None,
        segmentation_offload: options.segmentation_offload,
        congestion: options.congestion,
    };
    let tls = QuicServerConfig::try_from(options.identity.server_config())
        .expect("the provider has the suite that QUIC begins with");
    let mut config = ServerConfig::with_crypto(Arc::new(tls));
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

fn fresh_secret() -> ServerSecret {
    let mut secret = [0; 32];
    rand::fill(&mut secret).expect("the system has randomness, or there is no TLS either");
    ServerSecret(secret)
}

/// Connection ids, reset tokens and retry tokens all follow from the secret: a server that comes
/// back knows the ids of its former life and can say that they are gone.
fn use_secret(secret: &ServerSecret, endpoint: &mut EndpointConfig, server: &mut ServerConfig) {
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"starling server").extract(&secret.0);
    let derive = |purpose: &[u8]| {
        let mut key = [0; 32];
        prk.expand(&[purpose], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut key))
            .expect("one hash is a length that HKDF gives");
        key
    };
    let [a, b, c, d, e, f, g, h, ..] = derive(b"connection ids");
    let id_key = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    endpoint
        .cid_generator(move || Box::new(MarkedIds::new(id_key)))
        .reset_key(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &derive(b"reset"))));
    server.token_key(Arc::new(prk));
}
