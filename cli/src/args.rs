//! The command line: flags, their help and their examples.
#![allow(rustdoc::broken_intra_doc_links)] // comments here are help texts: brackets mean optional

use clap::{Args, Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// One server for everything that moves.
#[derive(Debug, Parser)]
#[command(name = "starling", version, about, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = "\
Examples:
  starling demo                              see the whole thing in one process
  starling serve                             a server on 127.0.0.1:4433, open to all
  starling swarm --insecure --clients 100    load it and get a verdict")]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// What to log to standard error: off, error, warn, info, debug, trace, or a filter.
    /// [default: as configured for serve, else warn]
    #[arg(long, global = true, env = "STARLING_LOG", value_name = "FILTER")]
    pub(crate) log: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server.
    Serve(Box<ServeArgs>),
    /// Run a server and a mixed swarm in one process, to see the whole thing.
    Demo(DemoArgs),
    /// Load a server with simulated clients and end in a verdict.
    Swarm(Box<SwarmArgs>),
    /// Run a recording again: check that it comes out the same, or serve it to viewers.
    Replay(ReplayArgs),
    /// Make signing keys and access tokens.
    Token(TokenArgs),
    /// Make a development certificate, or show the fingerprint of one.
    Cert(CertArgs),
    /// Print a complete configuration file with every default and what it costs.
    #[command(after_help = "\
Examples:
  starling config > starling.toml
  starling check --config starling.toml")]
    Config,
    /// Check a configuration, or whether a server can be reached well from here.
    Check(CheckArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Flags beat the environment (STARLING_SECTION__KEY), which beats the file.

Examples:
  starling serve
  starling serve --world arena=metric,tick-hz=60 --world city=geodetic
  starling serve --config starling.toml --listen 0.0.0.0:4433
  STARLING_SERVER__LISTEN=127.0.0.1:5000 starling serve")]
pub(crate) struct ServeArgs {
    /// Configuration file (TOML); `starling config` prints one.
    #[arg(long, env = "STARLING_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// UDP address to serve on [default: 127.0.0.1:4433].
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// Address of the internal listener: health, metrics, debug [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR")]
    pub(crate) http: Option<SocketAddr>,
    /// Ticks per second of worlds that do not say otherwise.
    #[arg(long, value_name = "HZ")]
    pub(crate) tick_hz: Option<u16>,
    /// A world: NAME=metric|geodetic and any of ,profile=game|fleet|events
    /// ,authority=client|server|host ,tick-hz=N ,presence-s=N ,park-s=N ,speed-max-mps=X
    /// ,teleport-max-m=X ,sessions-max=N ,entities-max=N ,tenant=NAME ,shared=true
    /// ,durability=memory|durable (durable: on disk before it is acknowledged; needs --data)
    /// ,rings=25m/2+50m/4 (told in every 2nd tick beyond 25 m, every 4th beyond 50) [repeatable].
    #[arg(long = "world", value_name = "SPEC")]
    pub(crate) worlds: Vec<String>,
    /// Whether a client may create a world by naming it: auto or listed [default: auto while open].
    #[arg(long = "worlds", value_name = "auto|listed")]
    pub(crate) policy: Option<String>,
    /// Folder for keys and for what is kept, so that clients find the same server after a restart
    /// [default: nothing outlives the process].
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Folder for recordings of every world, which `starling replay` runs again.
    #[arg(long, value_name = "DIR")]
    pub(crate) record: Option<PathBuf>,
    /// Certificate chain (PEM); a development certificate is made where absent.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// Private key of the certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// Public key (PEM) that access tokens are verified with; open to all where absent.
    #[arg(long, value_name = "FILE")]
    pub(crate) auth_key: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
`starling serve --record DIR` makes recordings. Without --listen every tick is run as fast as it goes
and compared with what it came to then: exit code 0 when all are the same, 3 when one is not.

Examples:
  starling replay recordings/arena-7.starling
  starling replay recordings/arena-7.starling --until 5000
  starling replay recordings/arena-7.starling --listen 127.0.0.1:4433 --speed 4x")]
pub(crate) struct ReplayArgs {
    /// The recording.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Stop after this tick.
    #[arg(long, value_name = "TICK")]
    pub(crate) until: Option<u32>,
    /// Serve the entities to viewers at this UDP address, in a world of the same name.
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// How fast it is served, such as 4x or 0.5x.
    #[arg(long, value_name = "FACTOR", default_value = "1x", requires = "listen", value_parser = factor)]
    pub(crate) speed: f64,
    /// Begin to serve at this tick.
    #[arg(long, value_name = "TICK", default_value_t = 0, requires = "listen")]
    pub(crate) from: u32,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  starling demo                 until Ctrl-C
  starling demo --for 20s       with a report at the end; exit code 0 when the verdict is pass")]
pub(crate) struct DemoArgs {
    /// Stop after this long and report.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub(crate) seconds: Option<Duration>,
    /// Players in the game world.
    #[arg(long, default_value_t = 40, value_name = "N")]
    pub(crate) players: usize,
    /// Vehicles in the fleet world.
    #[arg(long, default_value_t = 80, value_name = "N")]
    pub(crate) vehicles: usize,
    /// Seed of everything random.
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Scenarios: walk, arena, crowd, city, or a TOML file.
Link profiles: none, wifi-bad, lte, train, geo-sat, rideshare, or keys such as
  loss=5%,delay=60ms,jitter=20ms,dup=1%,reorder=2%,burst=3,rate=1mbit,queue=64k,blackout=5s@20s,rebind=10s

Exit codes: 0 verdict pass; 1 bad usage; 2 could not connect or was refused; 3 verdict fail;
4 verdict invalid (this machine could not keep up, so nothing was shown).

Examples:
  starling swarm --insecure --scenario walk --clients 200 --for 30s \\
      --metrics http://127.0.0.1:8080/metrics
  starling swarm --insecure --scenario arena --clients 100 \\
      --link \"loss=5%,delay=60ms,jitter=20ms\"
  starling swarm --insecure --trace buses.csv.gz --speed 20x --world city \\
      --viewers 50 --interest viewport=2km
  starling swarm --insecure --trace match.csv.gz --report report.json")]
pub(crate) struct SwarmArgs {
    /// UDP address of the server.
    #[arg(long, default_value = "127.0.0.1:4433", value_name = "ADDR")]
    pub(crate) server: String,
    /// Do not verify the server's certificate.
    #[arg(long, conflicts_with = "fingerprint")]
    pub(crate) insecure: bool,
    /// SHA-256 of the server's certificate, as `starling serve` prints it.
    #[arg(long, value_name = "HEX")]
    pub(crate) fingerprint: Option<String>,
    /// Access token, or @FILE to read it from.
    #[arg(long, value_name = "T|@FILE")]
    pub(crate) token: Option<String>,
    /// World to enter [default: named after the scenario].
    #[arg(long, value_name = "NAME")]
    pub(crate) world: Option<String>,
    /// Metrics of the server, for its CPU, memory and tick time in the report.
    #[arg(long, value_name = "URL")]
    pub(crate) metrics: Option<String>,
    /// What the clients do.
    #[arg(long, conflicts_with = "traces", value_name = "NAME|FILE.toml")]
    pub(crate) scenario: Option<String>,
    /// Replay this trace instead (CSV or GPX, gzip allowed). May be repeated.
    #[arg(long = "trace", value_name = "FILE")]
    pub(crate) traces: Vec<PathBuf>,
    /// How many clients.
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub(crate) clients: usize,
    /// Length of the measured window [default: 30s; a trace: its length].
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub(crate) window: Option<Duration>,
    /// Seed of everything random.
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    pub(crate) seed: u64,
    /// Entities that a client sees on average; sizes the area.
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub(crate) visible: usize,
    /// Events that each client publishes per second.
    #[arg(long, default_value_t = 0.1, value_name = "F")]
    pub(crate) events_per_s: f64,
    /// Cues that each client gives per second: shots heard within 25 m for 3 ticks
    /// [default: the scenario's, 0.5 in arena and 0 in others].
    #[arg(long, value_name = "F")]
    pub(crate) cues_per_s: Option<f64>,
    /// Replay speed of traces, such as 4x.
    #[arg(long, default_value = "1x", value_name = "FACTOR", value_parser = factor)]
    pub(crate) speed: f64,
    /// Spread traced entities over this many connections [default: one each].
    #[arg(long, value_name = "N")]
    pub(crate) sessions: Option<usize>,
    /// Further sessions that only look.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) viewers: usize,
    /// Area of interest: radius=50m, viewport=2km, nearest=10 or follow. May be repeated.
    #[arg(long = "interest", value_name = "AREA")]
    pub(crate) interests: Vec<String>,
    /// Spoil the network: a profile or a list of faults, one way each way.
    #[arg(long, default_value = "none", value_name = "PROFILE|FAULTS")]
    pub(crate) link: String,
    /// Write the report as JSON.
    #[arg(long, value_name = "FILE.json")]
    pub(crate) report: Option<PathBuf>,
    /// Write the report as a page with plots.
    #[arg(long, value_name = "FILE.html")]
    pub(crate) html: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  starling token keys --out keys        writes keys/starling.key.pem and keys/starling.pub.pem
  starling token make --key keys/starling.key.pem --sub alice --grant see,move
  starling serve --auth-key keys/starling.pub.pem")]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    pub(crate) command: TokenCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make an Ed25519 key pair.
    #[command(after_help = "\
Examples:
  starling token keys --out keys        writes keys/starling.key.pem and keys/starling.pub.pem")]
    Keys {
        /// Folder to write into; existing files are not overwritten.
        #[arg(long, default_value = ".", value_name = "DIR")]
        out: PathBuf,
    },
    /// Make and print an access token.
    Make(Box<MakeTokenArgs>),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  starling token make --key keys/starling.key.pem --sub alice
  starling token make --key keys/starling.key.pem --sub bot \\
      --world 'arena*' --grant see --for 5m")]
pub(crate) struct MakeTokenArgs {
    /// Private key that signs it (PEM).
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// Subject: who it is for.
    #[arg(long, value_name = "NAME")]
    pub(crate) sub: String,
    /// Worlds it is good for; `*` at the end matches any rest. May be repeated.
    #[arg(long = "world", default_value = "*", value_name = "PATTERN")]
    pub(crate) worlds: Vec<String>,
    /// What it allows: see, move, host.
    #[arg(long = "grant", default_value = "see,move", value_delimiter = ',', value_name = "VERB")]
    pub(crate) grants: Vec<String>,
    /// Channels it may subscribe to. May be repeated.
    #[arg(long, default_value = "*", value_name = "PATTERN")]
    pub(crate) subscribe: Vec<String>,
    /// Channels it may publish to. May be repeated.
    #[arg(long, default_value = "*", value_name = "PATTERN")]
    pub(crate) publish: Vec<String>,
    /// How long it is good, at most 1h.
    #[arg(long = "for", default_value = "1h", value_name = "TIME", value_parser = duration)]
    pub(crate) life: Duration,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  starling cert make --out certs --host game.example.org
  starling cert show certs/starling.cert.pem")]
pub(crate) struct CertArgs {
    #[command(subcommand)]
    pub(crate) command: CertCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CertCommand {
    /// Make a self-signed certificate for 13 days.
    #[command(after_help = "\
Examples:
  starling cert make --out certs --host game.example.org
  starling serve --cert certs/starling.cert.pem --key certs/starling.cert.key.pem")]
    Make {
        /// Folder to write into; existing files are not overwritten.
        #[arg(long, default_value = ".", value_name = "DIR")]
        out: PathBuf,
        /// Further host names or addresses. May be repeated.
        #[arg(long = "host", value_name = "NAME")]
        hosts: Vec<String>,
    },
    /// Print the fingerprint of a certificate, for `--fingerprint`.
    #[command(after_help = "\
Examples:
  starling cert show certs/starling.cert.pem")]
    Show {
        /// The certificate (PEM).
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  starling check --config starling.toml
  starling check --reach game.example.org:4433
  starling check --reach game.example.org:4433 --insecure --world plaza")]
pub(crate) struct CheckArgs {
    /// Configuration to check.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Server to reach: UDP, MTU, clock and buffers are tried.
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) reach: Option<String>,
    /// Do not verify the server's certificate.
    #[arg(long)]
    pub(crate) insecure: bool,
    /// SHA-256 of the server's certificate.
    #[arg(long, value_name = "HEX", conflicts_with = "insecure")]
    pub(crate) fingerprint: Option<String>,
    /// World to enter while checking; without it one is made where the server allows that.
    #[arg(long, value_name = "NAME")]
    pub(crate) world: Option<String>,
    /// Access token, or @FILE to read it from.
    #[arg(long, value_name = "T|@FILE")]
    pub(crate) token: Option<String>,
}

/// A time such as `250ms`, `30s`, `5m` or `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("`{unit}` is no unit of time; use ms, s, m or h")),
    };
    let number: f64 = number.parse().map_err(|_| format!("`{text}` is no time, such as 30s"))?;
    Duration::try_from_secs_f64(number * factor).map_err(|e| e.to_string())
}

/// A factor such as `4x` or `0.5`.
fn factor(text: &str) -> Result<f64, String> {
    let number: f64 = text
        .trim_end_matches('x')
        .parse()
        .map_err(|_| format!("`{text}` is no factor, such as 4x"))?;
    if number.is_finite() && number > 0.0 {
        Ok(number)
    } else {
        Err("the factor must be above zero".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_have_units() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert!(duration("3 days").is_err() && duration("").is_err());
    }

    #[test]
    fn factors_end_in_x_or_not() {
        assert_eq!(factor("20x"), Ok(20.0));
        assert!(factor("0x").is_err() && factor("fast").is_err());
    }
}
