//! `starling swarm`: load, a live line, a report and a verdict.

use crate::args::SwarmArgs;
use crate::exit::Exit;
use crate::interrupt;
use crate::terminal::{clear_status, say, status};
use crate::trust::{read_token, trust};
use anyhow::{Context, Result};
use starling_client_sim::metrics::MetricsUrl;
use starling_client_sim::report::Report;
use starling_client_sim::report::html;
use starling_client_sim::report::summary;
use starling_client_sim::swarm::{Progress, SwarmError, SwarmOptions, Work, run, threads};
use starling_client_sim::verdict::Verdict;
use starling_transport::conditioner::LinkProfile;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;

pub(crate) fn run_args(args: &SwarmArgs) -> Result<Exit> {
    let options = options(args)?;
    let stop = interrupt::flag()?;
    let outcome = run(&options, &stop, |progress| status(&line(progress)));
    clear_status();
    let report = match outcome {
        Ok(report) => report,
        Err(error) => return refused(&error),
    };
    say(summary(&report).trim_end());
    write(args.report.as_deref(), || report.json())?;
    write(args.html.as_deref(), || html(&report))?;
    Ok(exit(&report))
}

fn refused(error: &SwarmError) -> Result<Exit> {
    crate::terminal::complain(&error.to_string());
    Ok(if error.exit_code() == Exit::Usage as u8 { Exit::Usage } else { Exit::NoConnection })
}

/// The exit code of a verdict.
pub(crate) fn exit(report: &Report) -> Exit {
    match report.verdict {
        Verdict::Pass => Exit::Done,
        Verdict::Fail => Exit::Fail,
        Verdict::Invalid => Exit::Invalid,
    }
}

/// One line on how a run stands.
pub(crate) fn line(progress: &Progress) -> String {
    let kib = |bytes: u64| bytes as f64 / 1024.0;
    format!(
        "{:?}  {}/{} connected  {:.0}/{:.0} s  {:.1} visible  {:.0} KiB/s down  {:.0} KiB/s up",
        progress.phase,
        progress.connected,
        progress.asked,
        progress.measured_s,
        progress.of_s,
        progress.visible,
        kib(progress.bytes_down),
        kib(progress.bytes_up),
    )
}

fn options(args: &SwarmArgs) -> Result<SwarmOptions> {
    let trust = trust(args.insecure, args.fingerprint.as_deref())?;
    let mut options = SwarmOptions::new(resolve(&args.server)?, trust);
    options.token = read_token(args.token.as_deref())?;
    options.world.clone_from(&args.world);
    options.metrics = args.metrics.as_deref().map(MetricsUrl::parse).transpose()?;
    if !args.traces.is_empty() {
        options.work = Work::Traces(args.traces.clone());
    } else if let Some(scenario) = &args.scenario {
        options.work = Work::Scenario(scenario.clone());
    }
    options.clients = u32::try_from(args.clients).context("--clients is too large")?;
    options.measured = args.window;
    options.seed = args.seed;
    options.visible = args.visible as f64;
    options.events_per_s = args.events_per_s;
    options.cues_per_s = args.cues_per_s;
    options.speed = args.speed;
    let sessions = args.sessions.map(u32::try_from).transpose();
    options.sessions = sessions.context("--sessions is too large")?;
    options.viewers = u32::try_from(args.viewers).context("--viewers is too large")?;
    options.interests = args.interests.iter().map(|i| i.parse()).collect::<Result<_>>()?;
    options.link = LinkProfile::parse(&args.link).context("--link")?;
    options.link_name = (!options.link.is_none()).then(|| args.link.clone());
    options.threads = match options.work {
        Work::Scenario(_) => threads(args.clients + args.viewers),
        // How many sessions a trace makes is known only once it is read.
        Work::Traces(_) => threads(usize::MAX),
    };
    options.commit = option_env!("STARLING_COMMIT").map(str::to_owned);
    Ok(options)
}

fn resolve(server: &str) -> Result<SocketAddr> {
    let named = if server.contains(':') { server.to_owned() } else { format!("{server}:4433") };
    named
        .to_socket_addrs()
        .with_context(|| format!("--server: `{server}` is no address, such as 127.0.0.1:4433"))?
        .next()
        .with_context(|| format!("--server: `{server}` has no address"))
}

fn write(file: Option<&Path>, text: impl FnOnce() -> String) -> Result<()> {
    let Some(file) = file else { return Ok(()) };
    std::fs::write(file, text()).with_context(|| format!("could not write {}", file.display()))?;
    say(&format!("wrote {}", file.display()));
    Ok(())
}
