//! Starling's server under the loads of the system's bars. Rows are printed in Markdown.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a program that prints tables")]

use anyhow::Result;
use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;
use starling_benches::arms::Arm;
use starling_benches::seconds;
use starling_benches::system::{self, Beside, Events, Idle, Resume};
use std::io::Write;
use std::time::Duration;

/// See `docs/adr/0029-one-program-one-allocator.md`.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Runs the server in a process of its own, loads it, and prints what it took.
#[derive(Debug, Parser)]
#[command(arg_required_else_help = true)]
struct Args {
    #[command(subcommand)]
    command: Do,
    /// Measured time of each run.
    #[arg(long = "for", global = true, default_value = "10s", value_parser = seconds)]
    measured: Duration,
}

#[derive(Debug, Subcommand)]
enum Do {
    /// CPU per client and tick, and the spread of ticks, at several tick rates.
    Rates {
        #[arg(long, value_delimiter = ',', default_value = "20,30,60,128")]
        hz: Vec<u32>,
        #[arg(long, default_value = "arena")]
        scenario: String,
        #[arg(long, default_value_t = 100)]
        clients: u32,
        #[arg(long, default_value_t = 50)]
        visible: u32,
    },
    /// Clients that each own an object and see all others.
    Objects {
        #[arg(long, default_value_t = 100)]
        count: u32,
        #[arg(long, default_value_t = 60)]
        hz: u32,
        /// The swarm's, and one in which everything changes in every tick.
        #[arg(long, value_delimiter = ',', default_values = ["arena", system::SHAKEN])]
        motion: Vec<String>,
    },
    /// Many small matches at once.
    Matches {
        #[arg(long, default_value_t = 20)]
        count: u32,
        #[arg(long, default_value_t = 10)]
        players: u32,
        #[arg(long, default_value_t = 128)]
        hz: u32,
        /// The one processor that the server may use (with `taskset`); the swarms use the others.
        #[arg(long)]
        processor: Option<u32>,
    },
    /// Links that lose packets, compared with such that lose none.
    Loss {
        #[arg(long, default_value = "arena")]
        scenario: String,
        #[arg(long, default_value_t = 100)]
        clients: u32,
        /// Per cent, each way.
        #[arg(long, value_delimiter = ',', default_value = "5,10")]
        loss: Vec<u32>,
        /// Milliseconds.
        #[arg(long, value_delimiter = ',', default_value = "100,300")]
        rtt: Vec<u32>,
    },
    /// Sessions that own nothing and look at nothing.
    Idle {
        #[arg(long, default_value_t = 5_000)]
        sessions: u32,
        /// Before anything counts.
        #[arg(long, default_value = "10s", value_parser = seconds)]
        rest: Duration,
        /// All on one socket of the swarm: for more than there are ports or descriptors.
        #[arg(long)]
        shared: bool,
    },
    /// A game alone, and beside fleets at full ingest in another and in the same process.
    Beside {
        #[arg(long, default_value_t = 100)]
        players: u32,
        #[arg(long, default_value_t = 60)]
        hz: u32,
        #[arg(long, default_value_t = 100_000)]
        vehicles: u32,
        /// The one processor that servers may use (with `taskset`); the swarms use the others.
        #[arg(long)]
        processor: Option<u32>,
    },
    /// Events of one channel: what a delivery costs, and how long it takes.
    Events {
        #[arg(long, default_value_t = 100)]
        subscribers: u32,
        #[arg(long, default_value_t = 10)]
        publishers: u32,
        /// Of each publisher.
        #[arg(long, default_value_t = 20)]
        per_second: u32,
        #[arg(long, default_value = "lobby")]
        channel: String,
        #[arg(long, default_value = "plaza")]
        world: String,
        /// FIELD=VALUE of the configuration.
        #[arg(long = "set")]
        settings: Vec<String>,
        /// The one processor that the server may use (with `taskset`).
        #[arg(long)]
        processor: Option<u32>,
    },
    /// How long a new subscriber takes to know everyone in a world.
    Members {
        #[arg(long, default_value_t = 10_000)]
        count: u32,
        /// FIELD=VALUE of the configuration.
        #[arg(long = "set")]
        settings: Vec<String>,
    },
    /// A server killed under load: how soon everyone is back, and whether anything was lost.
    Resume {
        #[arg(long, default_value_t = 2_000)]
        clients: u32,
        /// Of all clients together.
        #[arg(long, default_value_t = 200)]
        per_second: u32,
        /// How often it is killed.
        #[arg(long, default_value_t = 3)]
        times: u32,
        /// FIELD=VALUE of the configuration.
        #[arg(long = "set")]
        settings: Vec<String>,
    },
    /// Only serves, on a free port that is printed, until standard input ends.
    Serve {
        arm: Arm,
        /// FIELD=VALUE of the configuration.
        #[arg(long = "set")]
        settings: Vec<String>,
    },
}

impl Do {
    /// How long it takes, about.
    fn seconds(&self, measured: Duration) -> Option<u64> {
        let runs = |count| system::seconds_of(count, measured);
        match self {
            Self::Rates { hz, .. } => Some(runs(hz.len())),
            Self::Objects { motion, .. } => Some(runs(motion.len())),
            Self::Matches { .. } => Some(runs(1)),
            Self::Loss { loss, rtt, .. } => Some(runs((loss.len() + 1) * rtt.len())),
            // A handshake takes a millisecond of this machine's time, both sides together.
            Self::Idle { sessions, rest, .. } => {
                Some((measured + *rest).as_secs() + u64::from(*sessions) / 1_000 + 1)
            }
            // Vehicles come in at some ten thousand a second, twice.
            Self::Beside { vehicles, .. } => Some(runs(3) + u64::from(*vehicles) / 5_000),
            Self::Events { .. } => Some(runs(1)),
            Self::Members { count, .. } => Some(u64::from(*count) / 1_000 + 5),
            Self::Resume { times, .. } => Some(runs(*times as usize + 1)),
            Self::Serve { .. } => None,
        }
    }
}

fn main() -> Result<()> {
    let Args { command, measured } = Args::parse();
    if let Some(seconds) = command.seconds(measured) {
        writeln!(std::io::stderr(), "about {seconds} s")?;
    }
    let lines = match command {
        Do::Rates { hz, scenario, clients, visible } => {
            system::rates(&hz, &scenario, clients, visible, measured)?
        }
        Do::Objects { count, hz, motion } => system::objects(count, hz, &motion, measured)?,
        Do::Matches { count, players, hz, processor } => {
            system::matches(count, players, hz, processor, measured)?
        }
        Do::Loss { scenario, clients, loss, rtt } => {
            system::loss(&scenario, clients, &loss, &rtt, measured)?
        }
        Do::Idle { sessions, rest, shared } => {
            system::idle(Idle { sessions, rest, measured, shared })?
        }
        Do::Beside { players, hz, vehicles, processor } => {
            system::beside(Beside { players, hz, vehicles, processor, measured })?
        }
        Do::Events { subscribers, publishers, per_second, channel, world, settings, processor } => {
            system::events(&Events {
                subscribers,
                publishers,
                per_second,
                channel,
                world,
                settings,
                processor,
                measured,
            })?
        }
        Do::Members { count, settings } => system::members(count, &settings)?,
        Do::Resume { clients, per_second, times, settings } => {
            let peace = measured;
            system::resume(&Resume { clients, per_second, times, settings, peace })?
        }
        Do::Serve { arm, settings } => return arm.serve(&settings),
    };
    lines.iter().for_each(|line| println!("{line}"));
    Ok(())
}
