//! `starling check`: is the configuration sound, and can the server be reached well from here?

use crate::args::CheckArgs;
use crate::exit::Exit;
use crate::terminal::{clear_status, say, status};
use crate::trust::{read_token, trust};
use anyhow::{Result, bail};
use starling_client::net::{Client, MonotonicClock, Server};
use starling_client::{ClientEvent, ConnectError, ConnectOptions, SessionState};
use starling_protocol::limits::DATAGRAM_BYTES_MAX;
use starling_protocol::space::Space;
use starling_protocol::units::Nanos;
use starling_server::config::Config;
use starling_transport::quic::ConnStats;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long to try to connect.
const CONNECT_NS: u64 = 5 * Nanos::SECOND;
/// How long the first few clock echoes take.
const SETTLE_NS: u64 = Nanos::SECOND;
/// How long to listen after that.
const LISTEN_NS: u64 = 4 * Nanos::SECOND;
/// The world that is made for the check.
const OWN_WORLD: &str = "check";
/// Socket buffer below which a busy client loses datagrams.
const BUFFER_BYTES_GOOD: usize = 512 * 1024;
/// What QUIC adds to a datagram at the most: short header, connection id, frame header and tag.
const QUIC_BYTES: usize = 1 + 20 + 4 + 3 + 16;
/// How long a frame of the check's loop sleeps when no packet wakes it.
const FRAME: Duration = Duration::from_millis(50);

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
    let mut probe = Probe::start(&server, options(args).token(token).viewer())?;
    buffers();
    status(&format!("connecting to {address} ..."));
    let connected = probe.run_until(CONNECT_NS, |c| c.state() == SessionState::Live);
    clear_status();
    let took_ms = probe.clock.now().0 as f64 / 1e6;
    match connected {
        Ok(true) => say(&format!("udp      ok: connected to {address} in {took_ms:.1} ms")),
        Ok(false) => return Ok(no_answer(&address)),
        Err(why) => return Ok(refused(&address, &why, &probe, args.world.is_none())),
    }
    status("measuring the link ...");
    let listened = probe.listen();
    clear_status();
    let gained_ns = match listened {
        Ok(gained_ns) => gained_ns,
        Err(why) => {
            say(&format!("session  FAILED: lost while it was measured: {why}"));
            return Ok(Exit::NoConnection);
        }
    };
    path(&probe);
    server_clock(&probe, gained_ns);
    wall_clock();
    probe.leave();
    Ok(Exit::Done)
}

/// Without a world named, one is made for the check where the server allows that.
fn options(args: &CheckArgs) -> ConnectOptions {
    match &args.world {
        Some(world) => ConnectOptions::new(world),
        None => ConnectOptions::new(OWN_WORLD).create(Space::Metric),
    }
}

fn no_answer(address: &str) -> Exit {
    say(&format!("udp      FAILED: no answer from {address} within 5 s"));
    say("         is the server running, and does a firewall pass UDP to this port?");
    Exit::NoConnection
}

/// Even a refusal shows that packets pass, and it is none of the network's business.
fn refused(address: &str, why: &ConnectError, probe: &Probe, own_world: bool) -> Exit {
    if matches!(why, ConnectError::Unreachable | ConnectError::Untrusted) {
        say(&format!("session  FAILED: {why}"));
        return Exit::NoConnection;
    }
    say(&format!("udp      ok: {address} answers"));
    path(probe);
    if own_world && *why == ConnectError::UnknownWorld {
        say(
            "session  none: the server has listed worlds only; measure in one of them with --world",
        );
        return Exit::Done;
    }
    say(&format!("session  FAILED: {why}"));
    Exit::NoConnection
}

/// What QUIC knows of the way there, and what the session knows besides.
fn path(probe: &Probe) {
    let Some(quic) = probe.quic else { return };
    let fits = usize::from(quic.mtu) >= DATAGRAM_BYTES_MAX + QUIC_BYTES;
    let (word, can) = if fits { ("ok", "fit") } else { ("FAILED", "do not fit") };
    let (mtu, rtt_ms) = (quic.mtu, quic.rtt_us as f64 / 1e3);
    say(&format!(
        "mtu      {word}: packets of {mtu} bytes; datagrams of {DATAGRAM_BYTES_MAX} {can}"
    ));
    let stats = probe.client.stats();
    say(&format!(
        "link     round trip {rtt_ms:.1} ms by QUIC, handshake included; {:.1} ms by ticks; jitter \
         {:.1} ms; {} of {} datagrams lost",
        f64::from(stats.rtt_us) / 1e3,
        f64::from(stats.jitter_us) / 1e3,
        stats.datagrams_lost,
        stats.datagrams_lost + stats.datagrams_in,
    ));
}

/// How the server's clock goes beside this machine's.
fn server_clock(probe: &Probe, gained_ns: Option<i64>) {
    let now = probe.clock.now();
    let (Some(clock), Some(gained_ns)) = (probe.client.clock(), gained_ns) else {
        return say("clock    not known: the server sent no tick while we listened");
    };
    let (time, tick) = (clock.server_time(now), clock.tick_at(now));
    say(&format!(
        "clock    ok: the server is at tick {tick}, {:.1} s after its epoch; against this machine \
         it gained {:+.1} ms in {} s",
        time.as_secs_f64(),
        gained_ns as f64 / 1e6,
        LISTEN_NS / Nanos::SECOND,
    ));
}

/// The wire carries no time of day, so that of the server cannot be told from here; tokens and the
/// times of fixes depend on it all the same.
fn wall_clock() {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => say(&format!(
            "         this machine's time of day is {} (compare with `date +%s` on the server)",
            since.as_secs()
        )),
        Err(_) => {
            say("         WARNING: this machine's clock is before 1970; no token is valid then")
        }
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

/// A client that looks at the way to a server.
struct Probe {
    client: Client,
    clock: MonotonicClock,
    /// What QUIC said last: of a connection that was closed it says nothing.
    quic: Option<ConnStats>,
}

impl Probe {
    fn start(server: &Server, options: ConnectOptions) -> Result<Self> {
        let clock = MonotonicClock::start();
        let client = Client::connect(clock.now(), server, options)?;
        Ok(Self { client, clock, quic: None })
    }

    /// Runs the client until `done`; says whether that came in time.
    fn run_until(
        &mut self,
        limit_ns: u64,
        done: impl Fn(&Client) -> bool,
    ) -> Result<bool, ConnectError> {
        let until = self.clock.now() + limit_ns;
        while self.clock.now() < until {
            self.client.advance(self.clock.now());
            self.quic = self.client.quic_stats().or(self.quic);
            while let Some(event) = self.client.poll_event() {
                if let ClientEvent::Closed { error } = event {
                    return Err(error);
                }
            }
            if done(&self.client) {
                return Ok(true);
            }
            self.client.wait(self.clock.now(), FRAME);
        }
        Ok(false)
    }

    /// Listens for a while; the nanoseconds that the server's clock gained on this one in that time.
    fn listen(&mut self) -> Result<Option<i64>, ConnectError> {
        self.run_until(SETTLE_NS, |_| false)?;
        let before = self.ahead_ns();
        self.run_until(LISTEN_NS, |_| false)?;
        Ok(self.ahead_ns().zip(before).map(|(after, before)| after - before))
    }

    /// How far the server's time is ahead of this side's.
    fn ahead_ns(&self) -> Option<i64> {
        let now = self.clock.now();
        let server = self.client.clock()?.server_time(now);
        Some(server.0.cast_signed() - now.0.cast_signed())
    }

    fn leave(mut self) {
        self.client.goodbye(self.clock.now());
        // Whether the goodbye arrived makes no difference any more.
        drop(self.run_until(Nanos::SECOND / 5, |_| false));
    }
}
