//! `starling check`: is the configuration sound, and can the server be reached well from here?

use crate::args::CheckArgs;
use crate::exit::Exit;
use crate::terminal::{clear_status, say, status};
use crate::trust::{read_token, trust};
use anyhow::{Result, bail};
use starling_client::net::{Client, MonotonicClock, Server};
use starling_client::{ClientEvent, ConnectOptions, SessionState};
use starling_protocol::limits::DATAGRAM_BYTES_MAX;
use starling_protocol::space::Space;
use starling_protocol::units::Nanos;
use starling_server::config::Config;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long to try to connect.
const CONNECT_NS: u64 = 5 * Nanos::SECOND;
/// How long to listen once connected: enough for a few clock echoes.
const LISTEN_NS: u64 = 5 * Nanos::SECOND;
/// Socket buffer below which a busy client loses datagrams.
const BUFFER_BYTES_GOOD: usize = 512 * 1024;
/// What QUIC adds to a datagram at the most: short header, connection id, frame header and tag.
const QUIC_BYTES: usize = 1 + 20 + 4 + 3 + 16;
/// How long a frame of the check's loop sleeps.
const FRAME: Duration = Duration::from_millis(2);

pub(crate) fn run(args: &CheckArgs) -> Result<Exit> {
    if args.config.is_none() && args.reach.is_none() {
        bail!("say what to check: --config FILE, --reach HOST:PORT, or both");
    }
    if let Some(file) = &args.config {
        config(file)?;
    }
    args.reach.as_deref().map_or(Ok(Exit::Done), |host| reach(host, args))
}

fn config(file: &Path) -> Result<()> {
    let (_, settings) = Config::load(Some(file), std::env::vars(), &[])?;
    say(&format!("config   ok: {} with {} worlds", file.display(), settings.listed.len()));
    Ok(())
}

fn reach(host: &str, args: &CheckArgs) -> Result<Exit> {
    let address = if host.contains(':') { host.to_owned() } else { format!("{host}:4433") };
    let server = Server::resolve(&address, trust(args.insecure, args.fingerprint.as_deref())?)?;
    let token = read_token(args.token.as_deref())?;
    let options = ConnectOptions::new(&args.world).token(token).create(Space::Metric).viewer();
    let clock = MonotonicClock::start();
    let mut client = Client::connect(clock.now(), &server, options)?;
    buffers();
    status(&format!("connecting to {address} ..."));
    let connected = run_until(&mut client, &clock, CONNECT_NS, |c| c.state() == SessionState::Live);
    clear_status();
    match connected {
        Ok(true) => {}
        Ok(false) => {
            say(&format!("udp      FAILED: no answer from {address} within 5 s"));
            say("         is the server running, and does a firewall pass UDP to this port?");
            return Ok(Exit::NoConnection);
        }
        Err(why) => {
            say(&format!("session  FAILED: {why}"));
            return Ok(Exit::NoConnection);
        }
    }
    say(&format!("udp      ok: connected to {address} in {:.1} ms", clock.now().0 as f64 / 1e6));
    status("measuring the link ...");
    let until = clock.now() + LISTEN_NS;
    let listened = run_until(&mut client, &clock, LISTEN_NS, |_| clock.now() >= until);
    clear_status();
    if let Err(why) = listened {
        say(&format!("session  FAILED: lost while it was measured: {why}"));
        return Ok(Exit::NoConnection);
    }
    link(&client, &clock);
    client.goodbye(clock.now());
    drop(run_until(&mut client, &clock, Nanos::SECOND / 5, |_| false));
    Ok(Exit::Done)
}

fn link(client: &Client, clock: &MonotonicClock) {
    if let Some(quic) = client.quic_stats() {
        let fits = usize::from(quic.mtu) >= DATAGRAM_BYTES_MAX + QUIC_BYTES;
        let (word, can) = if fits { ("ok", "fit") } else { ("FAILED", "do not fit") };
        let mtu = quic.mtu;
        say(&format!(
            "mtu      {word}: packets of {mtu} bytes; datagrams of {DATAGRAM_BYTES_MAX} {can}"
        ));
    }
    let stats = client.stats();
    say(&format!(
        "link     round trip {:.1} ms, jitter {:.1} ms, {} of {} datagrams lost",
        f64::from(stats.rtt_us) / 1e3,
        f64::from(stats.jitter_us) / 1e3,
        stats.datagrams_lost,
        stats.datagrams_lost + stats.datagrams_in,
    ));
    match client.tick_at(clock.now()) {
        Some(tick) => say(&format!("clock    ok: the server is at tick {tick}")),
        None => say("clock    not known: the server sent no tick while we listened"),
    }
    wall_clock();
}

fn wall_clock() {
    if SystemTime::now().duration_since(UNIX_EPOCH).is_err() {
        say("         WARNING: this machine's clock is before 1970; certificates will not verify");
    }
}

fn buffers() {
    match starling_transport::quic::socket_buffer_bytes() {
        Ok((receive, send)) if receive.min(send) >= BUFFER_BYTES_GOOD => {
            say(&format!("buffers  ok: {} KiB in, {} KiB out", receive / 1024, send / 1024));
        }
        Ok((receive, send)) => say(&format!(
            "buffers  small: {} KiB in, {} KiB out; raise net.core.rmem_max and wmem_max to 4 MiB",
            receive / 1024,
            send / 1024
        )),
        Err(why) => say(&format!("buffers  not known: {why}")),
    }
}

/// Runs the client until `done`; says whether that came in time.
fn run_until(
    client: &mut Client,
    clock: &MonotonicClock,
    limit_ns: u64,
    done: impl Fn(&Client) -> bool,
) -> Result<bool> {
    let until = clock.now() + limit_ns;
    while clock.now() < until {
        client.advance(clock.now());
        while let Some(event) = client.poll_event() {
            if let ClientEvent::Closed { error } = event {
                return Err(error.into());
            }
        }
        if done(client) {
            return Ok(true);
        }
        std::thread::sleep(FRAME);
    }
    Ok(false)
}
