//! What every example takes: the server's address, then its fingerprint.

use anyhow::{Context, Result};
use starling_client::net::Server;
use starling_client::tls::ServerTrust;

/// The server that the command line names: `[HOST:PORT [FINGERPRINT]]`.
///
/// Without a fingerprint any certificate is believed, which is for experiments on one machine.
pub(crate) fn server() -> Result<Server> {
    let address = argument(1).unwrap_or_else(|| "127.0.0.1:4433".into());
    let trust = match argument(2).filter(|hex| !hex.is_empty()) {
        Some(hex) => ServerTrust::Fingerprint(hex.parse().context("the second argument")?),
        None => ServerTrust::Insecure,
    };
    Ok(Server::resolve(&address, trust)?)
}

/// An argument by its place.
pub(crate) fn argument(place: usize) -> Option<String> {
    std::env::args().nth(place)
}

/// The access token of the environment variable `STARLING_TOKEN`; none in open mode.
pub(crate) fn token() -> String {
    std::env::var("STARLING_TOKEN").unwrap_or_default()
}

/// A number that differs from run to run, for message ids and back-off.
pub(crate) fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}
