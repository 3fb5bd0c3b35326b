//! `starling replay`: a recording run again, checked or shown.

use crate::args::ReplayArgs;
use crate::exit::Exit;
use crate::interrupt;
use crate::terminal::{clear_status, complain, say, status};
use anyhow::{Context, Result};
use starling_protocol::message::control::Authority;
use starling_protocol::units::Tick;
use starling_server::config::Config;
use starling_server::replay::{Projector, Reel};
use starling_server::run::Server;
use starling_world::executor::Serial;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Ticks between two lines of progress.
const TICKS_A_LINE: u32 = 256;
/// Ticks that differ and are named.
const NAMED_MAX: usize = 5;
/// How often a show looks whether it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(crate) fn run(args: &ReplayArgs) -> Result<Exit> {
    let reel = Reel::open(&args.file, None)?;
    let began = reel.replay().began();
    let config = &began.config;
    let (world, hz) = (&config.name, config.tick_rate.hz());
    say(&format!("world {world} at {hz} Hz, recorded by starling {}", began.starling));
    match args.listen {
        Some(listen) => show(reel, listen, args),
        None => check(reel, args.until.map(Tick)),
    }
}

/// Runs every tick and compares what it comes to.
fn check(mut reel: Reel, until: Option<Tick>) -> Result<Exit> {
    let (mut ticks, mut wrong) = (0_u32, Vec::new());
    while let Some(replayed) = reel.tick(&Serial)? {
        ticks += 1;
        if !replayed.is_exact() {
            wrong.push(replayed);
        }
        if ticks.is_multiple_of(TICKS_A_LINE) {
            status(&format!("tick {}, {} differ", replayed.tick.0, wrong.len()));
        }
        if until.is_some_and(|until| replayed.tick >= until) {
            break;
        }
    }
    clear_status();
    if reel.is_cut_off() {
        say("the recording was cut off; what there is of it is whole");
    }
    if reel.replay().ended() == Some(true) {
        say("the recording ended early: it could not be written fast enough");
    }
    for replayed in wrong.iter().take(NAMED_MAX) {
        let (then, now) = (replayed.then, replayed.now);
        complain(&format!(
            "tick {}: world {:016x} then, {:016x} now; datagrams {:016x} then, {:016x} now",
            replayed.tick.0, then.world, now.world, then.datagrams, now.datagrams
        ));
    }
    let sum = reel.replay().world().checksum();
    say(&format!("{ticks} ticks, {} differ, checksum {sum:016x}", wrong.len()));
    Ok(if wrong.is_empty() { Exit::Done } else { Exit::Fail })
}

/// Serves what happened to viewers, in a world of its own.
fn show(reel: Reel, listen: SocketAddr, args: &ReplayArgs) -> Result<Exit> {
    let mut shown = reel.replay().began().config.clone();
    shown.authority = Authority::Server;
    let mut config = Config::default();
    config.server.listen = listen;
    config.http.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let name = shown.name.clone();
    let game = Projector::new(reel, Tick(args.from), args.speed);
    let server = Server::new(config)?.world(shown).game(&name, Box::new(game));
    let running = server.start().context("could not start the server")?;
    say(&format!("showing from tick {} at {}x", args.from, args.speed));
    for line in running.greeting() {
        say(&format!("  {line}"));
    }
    say("  stop with Ctrl-C");
    let stop = interrupt::flag()?;
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(LOOK_EVERY);
    }
    running.stop();
    Ok(Exit::Done)
}
