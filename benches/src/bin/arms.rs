//! Starling, the naive and the competent server under the same swarm, one after another.
//!
//! Every run has its server in a process of its own; its figures are that process's CPU time, the
//! UDP payload that the swarm received, and what the truth found. Rows are printed in Markdown.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a program that prints a table")]

use anyhow::Result;
use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;
use starling_benches::arms::Arm;
use starling_benches::contest::{self, Contest};
use starling_benches::seconds;
use starling_benches::system::seconds_of;
use std::io::Write;
use std::time::Duration;

/// See `docs/adr/0029-one-program-one-allocator.md`.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Loads Starling and two other servers with the same swarm and compares them.
#[derive(Debug, Parser)]
#[command(after_help = "\
Examples:
  arms                                                        500 x 100 of walk and arena, 10 s each
  arms --scenario walk,arena --visible 10,25,50,100 --once
  arms --repeat 3                                             the medians of three
  arms --clients 200 --visible 50 --arm starling,naive --for 5s")]
struct Args {
    #[command(subcommand)]
    command: Option<Do>,
    /// Motions.
    #[arg(long, value_delimiter = ',', default_value = "walk,arena")]
    scenario: Vec<String>,
    /// Clients, each with one entity.
    #[arg(long, value_delimiter = ',', default_value = "500")]
    clients: Vec<u32>,
    /// Entities that one sees, on average.
    #[arg(long, value_delimiter = ',', default_value = "100")]
    visible: Vec<u32>,
    /// Which servers.
    #[arg(long, value_delimiter = ',', default_value = "starling,naive,competent")]
    arm: Vec<Arm>,
    /// Measured time of one run.
    #[arg(long = "for", default_value = "10s", value_parser = seconds)]
    measured: Duration,
    /// Runs of each, in turn; printed are the medians of the valid ones. Runs that are not valid
    /// are tried again, once each.
    #[arg(long, default_value_t = 1)]
    repeat: u32,
    /// Runs that are not valid are not tried again.
    #[arg(long)]
    once: bool,
    /// Threads of the swarm; one for each 500 clients, and a core left to the server, if absent.
    #[arg(long)]
    threads: Option<usize>,
    /// Setting of the servers, FIELD=VALUE; all must know it.
    #[arg(long = "set")]
    settings: Vec<String>,
    /// Seed of all motion.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Subcommand)]
enum Do {
    /// Only serves, on a free port that is printed, until standard input ends.
    Serve {
        /// Which.
        arm: Arm,
        /// FIELD=VALUE of Starling's configuration.
        #[arg(long = "set")]
        settings: Vec<String>,
    },
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(Do::Serve { arm, settings }) = args.command {
        return arm.serve(&settings);
    }
    let loads = args.scenario.len() * args.clients.len() * args.visible.len();
    let seconds = seconds_of(loads * args.arm.len() * args.repeat.max(1) as usize, args.measured);
    let most = if args.once { seconds } else { 2 * seconds };
    writeln!(std::io::stderr(), "{seconds} to {most} s")?;
    println!("{}", contest::HEAD);
    for scenario in &args.scenario {
        for &clients in &args.clients {
            for &visible in &args.visible {
                let contest = Contest {
                    scenario: scenario.clone(),
                    clients,
                    visible,
                    measured: args.measured,
                    seed: args.seed,
                    threads: args.threads,
                    settings: args.settings.clone(),
                };
                let results = contest.run_all(&args.arm, args.repeat, !args.once)?;
                results.iter().for_each(|result| println!("{}", result.row(&contest)));
                contest::ratios(&results).iter().for_each(|line| println!("{line}"));
            }
        }
    }
    Ok(())
}
