//! What a server's transport costs: processor time for each datagram, by who does the I/O.
//!
//! ```text
//! cargo run --release -p starling-benches --bin transport              all of it
//! cargo run --release -p starling-benches --bin transport -- two-way loop 500 --for 4s --repeat 1
//! ```
//!
//! The server is this process, its clients another one, each with a socket of its own. *Two-way*:
//! 20 datagrams of 100 bytes a second to each client and as many back; *answer* sends them on
//! receipt of the tick, as the SDK does, *staggered* at a phase of their own. *Down*: none back.
//! The *floor* is plain UDP with the same packets: one send and, for the answer or for the
//! acknowledgement that QUIC would send, one receive.
//!
//! Processor time is the process's, user and system, over the measured seconds, divided by
//! datagrams in both directions. A run whose round trip is above 30 ms says nothing: who is starved
//! works in batches, and batches are cheap. Such runs are printed last, and do not count.

mod clients;
mod floor;
mod load;
mod raw_clients;
mod server;

use anyhow::{Result, bail};
use clap::Parser;
use load::{HEAD, Load, SETTLE, Uplink};
use mimalloc::MiMalloc;
use starling_benches::seconds;
use starling_transport::quic::Io;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

/// See `docs/adr/0029-one-program-one-allocator.md`.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// What a server's transport costs: processor time for each datagram.
#[derive(Debug, Parser)]
struct Args {
    /// `two-way`, `staggered` or `down`, then `floor`, `quinn`, `loop` or `shards`, then how many
    /// clients; all of it when there are none.
    words: Vec<String>,
    /// Measured time of each run.
    #[arg(long = "for", default_value = "8s", value_parser = seconds)]
    measured: Duration,
    /// Repetitions of each arm; the least that is valid is the figure.
    #[arg(long, default_value_t = 3)]
    repeat: usize,
}

/// Who does the server's input and output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arm {
    Floor,
    Quinn,
    Loop,
    Shards,
}

impl Arm {
    const ALL: [Self; 4] = [Self::Floor, Self::Quinn, Self::Loop, Self::Shards];

    const fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Quinn => "quinn",
            Self::Loop => "loop",
            Self::Shards => "shards",
        }
    }
}

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["clients", ..] => return Ok(clients::run(&words[1..])),
        ["raw-clients", ..] => return Ok(raw_clients::run(&words[1..])),
        _ => {}
    }
    let args = Args::parse();
    let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    let load = |clients, uplink| Load { clients, uplink, measured: args.measured };
    let (loads, arms) = match words[..] {
        [] => {
            let two_way = [Uplink::Answer, Uplink::Staggered].map(|uplink| load(500, uplink));
            (vec![two_way[0], two_way[1], load(1_000, Uplink::None)], Arm::ALL.to_vec())
        }
        [name, arm, clients] => {
            let (Some(uplink), Some(arm)) = (parse_uplink(name), parse_arm(arm)) else {
                bail!("a load is two-way, staggered or down; a server floor, quinn, loop or shards")
            };
            (vec![load(clients.parse()?, uplink)], vec![arm])
        }
        _ => bail!("nothing, or a load, a server, and how many clients"),
    };
    compare(&loads, &arms, args.repeat)?;
    Ok(ExitCode::SUCCESS)
}

fn parse_uplink(name: &str) -> Option<Uplink> {
    match name {
        "two-way" => Some(Uplink::Answer),
        "staggered" => Some(Uplink::Staggered),
        "down" => Some(Uplink::None),
        _ => None,
    }
}

fn parse_arm(name: &str) -> Option<Arm> {
    Arm::ALL.into_iter().find(|arm| arm.name() == name)
}

/// Beside what is measured: handshakes, settling, and the end.
const AROUND: Duration = SETTLE.saturating_add(Duration::from_secs(3));

fn compare(loads: &[Load], arms: &[Arm], repeat: usize) -> Result<()> {
    let (mut out, repeat) = (std::io::stdout(), repeat.max(1));
    let each = loads.iter().map(|load| load.measured + AROUND).sum::<Duration>();
    let runs = loads.len() * arms.len() * repeat;
    let seconds = each.as_secs() * (arms.len() * repeat) as u64;
    writeln!(std::io::stderr(), "{runs} runs, about {seconds} s")?;
    writeln!(out, "{HEAD}")?;
    for load in loads {
        for arm in arms {
            let run = |_| match arm {
                Arm::Floor => floor::run(*load),
                Arm::Quinn => server::run(Io::Quinn, 1, *load),
                Arm::Loop => server::run(Io::Loop, 1, *load),
                Arm::Shards => server::run(Io::Loop, 2, *load),
            };
            let mut runs: Vec<_> = (0..repeat).map(run).collect();
            runs.sort_by(|a, b| {
                let order = a.is_starved().cmp(&b.is_starved());
                order.then(a.us_per_datagram().total_cmp(&b.us_per_datagram()))
            });
            for figures in &runs {
                writeln!(out, "| {load} | {} | {figures} |", arm.name())?;
            }
        }
    }
    Ok(())
}
