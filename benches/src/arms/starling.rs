//! Starling as `starling serve` runs it.

use anyhow::Result;
use starling_server::config::Config;
use starling_server::run::Server;
use std::net::{Ipv4Addr, SocketAddr};

/// Serves until standard input ends.
///
/// # Errors
/// What the server refuses to start with.
pub(super) fn serve(listen: SocketAddr) -> Result<()> {
    let mut config = Config::default();
    config.server.listen = listen;
    config.http.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = Server::new(config)?.start()?;
    super::tell(server.local_addr())?;
    super::until_told();
    server.stop();
    Ok(())
}
