//! Sessions that only exist: their handshakes, their memory, and what keeps them alive.

use super::Stand;
use crate::arms::process::{cpu_seconds, resident_bytes};
use crate::wire::with_headers;
use anyhow::{Context, Result, ensure};
use starling_client_sim::space::Space;
use starling_client_sim::starling::{QuicWire, Registry, StarlingOptions, StarlingTarget};
use starling_client_sim::target::{ClientNo, ClientPlan, Clock, Link, Received, Target, Traffic};
use starling_transport::conditioner::LinkProfile;
use starling_transport::quic::Sockets;
use starling_transport::tls::{ClientTls, ServerTrust};
use std::io::Write;
use std::time::{Duration, Instant};

/// A pass waits for at most this long.
const PASS_NS: u64 = 20_000_000;
/// Sessions that are on their way in at once: each gives up when it was not let in for ten seconds.
const ON_THE_WAY: u32 = 1_000;
/// Who is in is told this often, on standard error; where nobody came in for so long, nobody will.
const TELL_NS: u64 = 5_000_000_000;
const STALLED_NS: u64 = 60_000_000_000;

/// So many sessions, idle for so long.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    /// How many.
    pub sessions: u32,
    /// How long they rest before anything counts, and for how long it does.
    pub rest: Duration,
    /// See above.
    pub measured: Duration,
    /// All of them on one socket of the swarm: for more than there are ports.
    pub shared: bool,
}

struct Since(Instant);

impl Clock for Since {
    fn now_ns(&self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

/// Runs it.
///
/// # Errors
/// The server does not start, or not every session gets in.
pub fn idle(ask: Idle) -> Result<Vec<String>> {
    let settings = [format!("limits.connections_max={}", ask.sessions)];
    let stand = Stand::open(&settings, None)?;
    let process = stand.process.id();
    let clock = Since(Instant::now());
    let mut target = target(&stand, ask.shared)?;
    let use_now =
        || cpu_seconds(process).zip(resident_bytes(process)).context("the server is gone");
    let (cpu_empty, rss_empty) = use_now()?;
    connect(&mut target, &clock, ask.sessions)?;
    let (cpu_in, _) = use_now()?;
    rest(&mut target, &clock, ask.rest);
    let ((cpu_start, _), before) = (use_now()?, target.traffic());
    let lost = rest(&mut target, &clock, ask.measured);
    let ((cpu_end, rss), traffic) = (use_now()?, target.traffic().since(before));
    let each = f64::from(ask.sessions);
    let seconds = ask.measured.as_secs_f64();
    let rate = |count: u64| count as f64 / each / seconds;
    let [payload, whole] = wire_bytes(&traffic).map(|bytes| bytes / each / seconds);
    Ok(vec![
        "| sessions | server RSS, KiB per session | wire, B/s per session, both ways | down / up | packets/s down \
         / up | with IP and UDP | server CPU, % of a core | handshake, us of server CPU | lost | sockets |"
            .to_owned(),
        format!("|{}", "---|".repeat(10)),
        format!(
            "| {} | **{:.1}** | **{payload:.1}** | {:.1} / {:.1} | {:.2} / {:.2} | {whole:.1} | {:.1} | {:.0} | {lost} | {} |",
            ask.sessions,
            rss.saturating_sub(rss_empty) as f64 / 1_024.0 / each,
            rate(traffic.bytes_down),
            rate(traffic.bytes_up),
            rate(traffic.packets_down),
            rate(traffic.packets_up),
            (cpu_end - cpu_start) / seconds * 100.0,
            (cpu_in - cpu_empty) * 1e6 / each,
            if ask.shared { "one for all" } else { "one each" },
        ),
    ])
}

/// UDP payload both ways, and with headers.
fn wire_bytes(traffic: &Traffic) -> [f64; 2] {
    let payload = (traffic.bytes_down + traffic.bytes_up) as f64;
    [payload, with_headers(payload, (traffic.packets_down + traffic.packets_up) as f64)]
}

fn target(stand: &Stand, shared: bool) -> Result<StarlingTarget<QuicWire>> {
    let tls = ClientTls::new(&ServerTrust::Insecure)?;
    let sockets = if shared { Sockets::Shared } else { Sockets::PerConnection };
    let link = LinkProfile::default();
    let wire = QuicWire::with_sockets(sockets, stand.process.server, tls, &link, 1)?;
    let options = StarlingOptions {
        world: "idle".to_owned(),
        space: Space::Metric,
        token: String::new(),
        seed: 1,
        faulted: false,
        names: [].into(),
        unix_ms: 0,
    };
    Ok(StarlingTarget::new(wire, options, Registry::default()))
}

/// A session that owns nothing, looks at nothing, and subscribes to nothing.
fn plan(number: u32) -> ClientPlan {
    ClientPlan {
        client: ClientNo(number),
        entities: Vec::new(),
        areas: Vec::new(),
        channels: Vec::new(),
        judged: false,
    }
}

/// Lets all of them in, however long it takes, and tells how it goes.
fn connect(target: &mut impl Target, clock: &Since, asked: u32) -> Result<()> {
    let (mut connected, mut begun, mut why) = (0, 0, None);
    let (mut told_ns, mut told, mut came_ns) = (clock.now_ns(), 0, clock.now_ns());
    while connected < asked {
        let before = connected;
        let to = asked.min(connected + ON_THE_WAY);
        if to > begun {
            target.connect(clock, &(begun..to).map(plan).collect::<Vec<_>>())?;
            begun = to;
        }
        pass(target, clock, |link| match link {
            Link::Connected => connected += 1,
            Link::Refused(reason) | Link::Lost(reason) => why = Some(reason.clone()),
            Link::Resumed(_) => {}
        });
        let now_ns = clock.now_ns();
        if connected > before {
            came_ns = now_ns;
        }
        let stalled = now_ns > came_ns + STALLED_NS;
        ensure!(!stalled, "{connected} of {asked} sessions got in; the last refusal: {why:?}");
        if now_ns > told_ns + TELL_NS {
            let per_s = f64::from(connected - told) / ((now_ns - told_ns) as f64 / 1e9);
            writeln!(std::io::stderr(), "{connected} of {asked} are in, {per_s:.0} a second")?;
            (told_ns, told) = (now_ns, connected);
        }
    }
    Ok(())
}

/// Does what is due, and nothing else, for so long; returns how many sessions were lost.
fn rest(target: &mut impl Target, clock: &Since, time: Duration) -> u32 {
    let end_ns = clock.now_ns() + time.as_nanos() as u64;
    let mut lost = 0;
    while clock.now_ns() < end_ns {
        pass(target, clock, |link| lost += u32::from(matches!(link, Link::Lost(_))));
    }
    lost
}

fn pass(target: &mut impl Target, clock: &Since, mut note: impl FnMut(&Link)) {
    let mut received = Received::default();
    target.receive(clock, &mut received);
    received.links.iter().for_each(|(_, link)| note(link));
    target.submit(clock, &[]);
    target.wait(clock, clock.now_ns() + PASS_NS);
}
