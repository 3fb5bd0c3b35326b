//! `starling serve` and `starling config`.

use crate::args::ServeArgs;
use crate::exit::Exit;
use crate::terminal::say;
use anyhow::{Context, Result};
use starling_server::config::{Config, Override};
use starling_server::run::{Ended, Running, Server};
use starling_server::telemetry;

pub(crate) fn run(args: &ServeArgs, log: Option<&str>) -> Result<Exit> {
    let (config, settings) = Config::load(args.config.as_deref(), std::env::vars(), &flags(args))?;
    telemetry::set_up(log.unwrap_or(&settings.log_filter))?;
    let running = Server::new(config)?.start()?;
    match running.until_signal(greet).context("could not listen for signals")? {
        Ended::Broken => anyhow::bail!("the server stopped by itself; the log says why"),
        Ended::Drained | Ended::Deadline | Ended::Forced => Ok(Exit::Done),
    }
}

fn greet(running: &Running) {
    say(&format!("starling {}", env!("CARGO_PKG_VERSION")));
    for line in running.greeting() {
        say(&format!("  {line}"));
    }
    say("  stop with Ctrl-C; a second one does not wait for the clients");
}

/// What the flags lay over file and environment.
pub(crate) fn flags(args: &ServeArgs) -> Vec<Override> {
    let mut flags = Vec::new();
    let mut lay = |flag: &str, field: &str, value: Option<String>| {
        flags.extend(value.map(|value| Override::new(flag, field, value)));
    };
    lay("--listen", "server.listen", args.listen.map(|a| a.to_string()));
    lay("--http", "http.listen", args.http.map(|a| a.to_string()));
    lay("--tick-hz", "server.tick_hz", args.tick_hz.map(|hz| hz.to_string()));
    lay("--worlds", "server.worlds", args.policy.clone());
    let path = |path: &Option<std::path::PathBuf>| path.as_ref().map(|p| p.display().to_string());
    lay("--data", "data.dir", path(&args.data));
    lay("--record", "data.record", path(&args.record));
    lay("--cert", "tls.cert_file", path(&args.cert));
    lay("--key", "tls.key_file", path(&args.key));
    if let Some(key) = &args.auth_key {
        lay("--auth-key", "auth.mode", Some("token".into()));
        lay("--auth-key", "auth.keys", Some(format!("[{:?}]", key.display().to_string())));
    }
    for world in &args.worlds {
        lay("--world", "worlds", Some(world.clone()));
    }
    flags
}
