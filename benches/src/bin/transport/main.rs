//! What a server's transport costs: processor time for each datagram, by who does the I/O.
//!
//! ```text
//! cargo run --release -p starling-benches --bin transport              all of it, two minutes
//! cargo run --release -p starling-benches --bin transport -- two-way loop 500
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
//! works in batches, and batches are cheap.

mod clients;
mod floor;
mod load;
mod server;

use load::{Load, Uplink};
use starling_transport::quic::Io;
use std::process::ExitCode;

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

/// Repetitions of each arm; the least is the figure.
const REPEATS: usize = 3;

#[allow(clippy::print_stdout)]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["clients", ..] => clients::run(&words[1..]),
        ["raw-clients", ..] => floor::run_clients(&words[1..]),
        [] => {
            for load in [
                Load::new(500, Uplink::Answer),
                Load::new(500, Uplink::Staggered),
                Load::new(1_000, Uplink::None),
            ] {
                compare(load, &Arm::ALL);
            }
            ExitCode::SUCCESS
        }
        [load, arm, clients] => match (parse_load(load, clients), parse_arm(arm)) {
            (Some(load), Some(arm)) => {
                compare(load, &[arm]);
                ExitCode::SUCCESS
            }
            _ => usage(),
        },
        _ => usage(),
    }
}

fn parse_load(name: &str, clients: &str) -> Option<Load> {
    let uplink = match name {
        "two-way" => Uplink::Answer,
        "staggered" => Uplink::Staggered,
        "down" => Uplink::None,
        _ => return None,
    };
    Some(Load::new(clients.parse().ok()?, uplink))
}

fn parse_arm(name: &str) -> Option<Arm> {
    Arm::ALL.into_iter().find(|arm| arm.name() == name)
}

#[allow(clippy::print_stdout)]
fn usage() -> ExitCode {
    println!("transport [two-way|staggered|down floor|quinn|loop|shards CLIENTS]");
    ExitCode::from(1)
}

#[allow(clippy::print_stdout)]
fn compare(load: Load, arms: &[Arm]) {
    println!("{load}");
    for arm in arms {
        let mut runs: Vec<_> = (0..REPEATS)
            .map(|_| match arm {
                Arm::Floor => floor::run(load),
                Arm::Quinn => server::run(Io::Quinn, 1, load),
                Arm::Loop => server::run(Io::Loop, 1, load),
                Arm::Shards => server::run(Io::Loop, 2, load),
            })
            .collect();
        runs.sort_by(|a, b| a.us_per_datagram().total_cmp(&b.us_per_datagram()));
        for figures in &runs {
            println!("  {:<6} {figures}", arm.name());
        }
    }
}
