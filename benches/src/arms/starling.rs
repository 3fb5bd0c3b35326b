//! Starling as `starling serve` runs it.

use anyhow::{Context, Result};
use starling_server::config::{Config, Override};
use starling_server::run::Server;
use std::net::SocketAddr;

/// Serves until standard input ends. A setting is `FIELD=VALUE`, as in the environment.
///
/// # Errors
/// What the server refuses to start with.
pub(super) fn serve(listen: SocketAddr, settings: &[String]) -> Result<()> {
    let mut lay = vec![
        Override::new("listen", "server.listen", listen),
        Override::new("http", "http.listen", listen),
    ];
    for setting in settings {
        let (field, value) = setting.split_once('=').context("a setting is FIELD=VALUE")?;
        lay.push(Override::new("--set", field, value));
    }
    let (config, _) = Config::load(None, [], &lay)?;
    let server = Server::new(config)?.start()?;
    super::tell(server.local_addr(), server.http_addr())?;
    super::until_told();
    server.stop();
    Ok(())
}
