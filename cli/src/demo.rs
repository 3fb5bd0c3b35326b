//! `starling demo`: a server, a game world and a fleet world, all in one process.

use crate::args::DemoArgs;
use crate::exit::Exit;
use crate::interrupt;
use crate::swarm::exit;
use crate::terminal::{clear_status, complain, say, status};
use anyhow::{Context, Result};
use starling_client_sim::report::Report;
use starling_client_sim::report::summary;
use starling_client_sim::swarm::{Progress, SwarmError, SwarmOptions, Work, run};
use starling_protocol::space::Space;
use starling_server::config::Config;
use starling_server::run::{Running, Server, StartError};
use starling_transport::tls::ServerTrust;
use starling_world::config::{Profile, WorldConfig};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A demo without `--for` runs until it is interrupted, but not for ever.
const LONG: Duration = Duration::from_secs(24 * 3_600);
/// Players that one sees on average.
const VISIBLE: f64 = 20.0;
/// Events per second of each player: enough that something is said all the time.
const EVENTS_PER_S: f64 = 0.2;

/// One half of the demo.
struct Half {
    world: &'static str,
    scenario: &'static str,
    what: &'static str,
    clients: usize,
}

pub(crate) fn run_args(args: &DemoArgs) -> Result<Exit> {
    let halves = [
        Half { world: "arena", scenario: "arena", what: "players", clients: args.players },
        Half { world: "city", scenario: "city", what: "vehicles", clients: args.vehicles },
    ];
    let server = start()?;
    greet(&server, &halves, args);
    let stop = interrupt::flag()?;
    let reports = fly(&server, &halves, args, &stop);
    clear_status();
    let ended = conclude(&halves, reports);
    server.stop();
    ended
}

/// The usual addresses, or free ones where those are taken.
fn start() -> Result<Running> {
    match serve(&Config::default()) {
        Err(StartError::Network(_) | StartError::Http { .. }) => {
            let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let mut config = Config::default();
            config.server.listen = free;
            config.http.listen = free;
            serve(&config).context("could not start the server")
        }
        other => other.context("could not start the server"),
    }
}

fn serve(config: &Config) -> Result<Running, StartError> {
    Server::new(config.clone())?
        .world(WorldConfig::new("arena", Space::Metric, Profile::Game))
        .world(WorldConfig::new("city", Space::Geodetic, Profile::Fleet))
        .start()
}

fn greet(server: &Running, halves: &[Half], args: &DemoArgs) {
    say("A game world and a fleet world, with a swarm in each, in this one process.");
    for line in server.greeting() {
        say(&format!("  {line}"));
    }
    for half in halves {
        say(&format!("  world {:<12} {} {}", half.world, half.clients, half.what));
    }
    if let Some(http) = server.http_addr() {
        say("Meanwhile, in another terminal:");
        say(&format!("  curl http://{http}/debug"));
        say(&format!(
            "  cargo run --release -- swarm --server {} --insecure --scenario crowd --clients 50",
            server.local_addr()
        ));
    }
    match args.seconds {
        Some(time) => say(&format!("A report follows after {:.0} s.", time.as_secs_f64())),
        None => say("Ctrl-C ends it with a report."),
    }
}

fn fly(
    server: &Running,
    halves: &[Half; 2],
    args: &DemoArgs,
    stop: &AtomicBool,
) -> [Result<Report, SwarmError>; 2] {
    let lines = Mutex::new([String::new(), String::new()]);
    let one = |at: usize| {
        let outcome = run(&options(server, &halves[at], args), stop, |progress| {
            let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            lines[at] = short(&halves[at], progress);
            status(&lines.join("  |  "));
        });
        if outcome.is_err() {
            stop.store(true, Ordering::Relaxed);
        }
        outcome
    };
    std::thread::scope(|scope| {
        let second = scope.spawn(|| one(1));
        let first = one(0);
        [first, second.join().expect("a swarm that breaks returns an error")]
    })
}

fn options(server: &Running, half: &Half, args: &DemoArgs) -> SwarmOptions {
    let trust = ServerTrust::Fingerprint(server.fingerprint());
    let mut options = SwarmOptions::new(server.local_addr(), trust);
    options.world = Some(half.world.into());
    options.work = Work::Scenario(half.scenario.into());
    options.clients = u32::try_from(half.clients).unwrap_or(u32::MAX);
    options.measured = Some(args.seconds.unwrap_or(LONG));
    options.seed = args.seed;
    options.visible = VISIBLE;
    options.events_per_s = EVENTS_PER_S;
    options.commit = option_env!("STARLING_COMMIT").map(str::to_owned);
    options
}

fn short(half: &Half, progress: &Progress) -> String {
    format!(
        "{}: {} {}, {:.0} in sight of each, {:.0} KiB/s",
        half.world,
        progress.connected,
        half.what,
        progress.visible,
        progress.bytes_down as f64 / 1024.0,
    )
}

fn conclude(halves: &[Half], reports: [Result<Report, SwarmError>; 2]) -> Result<Exit> {
    let mut ended = Exit::Done;
    for (half, report) in halves.iter().zip(reports) {
        match report {
            Ok(report) => {
                say(&format!("\nworld {}", half.world));
                say(summary(&report).trim_end());
                ended = worse(ended, exit(&report));
            }
            Err(error) => {
                complain(&format!("world {}: {error}", half.world));
                ended = Exit::NoConnection;
            }
        }
    }
    say("\nNext: README.md has three doors, for games, fleets and testers.");
    Ok(ended)
}

/// A failure outweighs a run that showed nothing, and that outweighs a pass.
fn worse(a: Exit, b: Exit) -> Exit {
    let weight = |exit| match exit {
        Exit::Done => 0,
        Exit::Invalid => 1,
        Exit::Fail => 2,
        Exit::NoConnection | Exit::Usage => 3,
    };
    if weight(a) >= weight(b) { a } else { b }
}
