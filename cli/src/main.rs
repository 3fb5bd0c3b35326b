//! The one binary: reads the command line and puts the parts together.
#![forbid(unsafe_code)]

mod args;
mod cert;
mod demo;
mod exit;
mod interrupt;
mod reach;
mod replay;
mod serve;
mod swarm;
mod terminal;
mod token;
mod trust;

use args::{Cli, Command};
use clap::Parser;
use exit::Exit;
use mimalloc::MiMalloc;
use std::process::ExitCode;

/// See `docs/adr/0029-one-program-one-allocator.md`.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match run(&cli) {
        Ok(exit) => exit.into(),
        Err(error) => {
            terminal::clear_status();
            terminal::complain(&terminal::with_causes(&error));
            Exit::Usage.into()
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<Exit> {
    let log = cli.log.as_deref();
    if !matches!(cli.command, Command::Serve(_)) {
        starling_server::telemetry::set_up(log.unwrap_or("warn"))?;
    }
    match &cli.command {
        Command::Serve(args) => serve::run(args, log),
        Command::Demo(args) => demo::run_args(args),
        Command::Swarm(args) => swarm::run_args(args),
        Command::Replay(args) => replay::run(args),
        Command::Token(args) => token::run(&args.command).map(|()| Exit::Done),
        Command::Cert(args) => cert::run(&args.command).map(|()| Exit::Done),
        Command::Config => {
            terminal::say(starling_server::config::Config::commented().trim_end());
            Ok(Exit::Done)
        }
        Command::Check(args) => reach::run(args),
    }
}

/// Help and version are no errors; everything else is bad usage.
fn usage(error: &clap::Error) -> ExitCode {
    let printed = error.print();
    if printed.is_ok() && !error.use_stderr() { Exit::Done.into() } else { Exit::Usage.into() }
}
