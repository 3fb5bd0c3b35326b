//! Events through the whole server on loopback: what a delivery costs, and how long one takes.

use super::Stand;
use crate::arms::process::cpu_seconds;
use anyhow::{Context, Result, ensure};
use starling_client::net::{ClientIndex, Clients, Pilot, Server};
use starling_client::{ClientEvent, ConnectOptions, Publication, Session, SubscribeOptions};
use starling_protocol::space::Space;
use starling_protocol::units::{MessageId, Nanos};
use starling_transport::quic::{ClientOptions, Sockets, UdpClient};
use starling_transport::tls::ServerTrust;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// Bytes of a payload: when it was published, and room.
const PAYLOAD_BYTES: usize = 32;
/// A pass of the clients waits for at most this long.
const PASS: Duration = Duration::from_micros(200);
/// Nobody waits longer for subscriptions, members, or for one more session.
const PATIENCE: Duration = Duration::from_secs(120);
/// Sessions that come in at the same time.
const COMING_MAX: u32 = 40;
/// And in a second, so that those that are in are heard meanwhile, on two cores for both sides.
const COMING_PER_S: u32 = 900;
/// So often it is said how many are in.
const TOLD_EVERY: u32 = 10_000;

/// Publishers and subscribers of one channel.
#[derive(Clone, Debug)]
pub struct Events {
    /// Each gets every event.
    pub subscribers: u32,
    /// Each publishes at most 50 a second.
    pub publishers: u32,
    /// Events that each publishes in a second.
    pub per_second: u32,
    /// The channel's name.
    pub channel: String,
    /// The world's name.
    pub world: String,
    /// The server's settings.
    pub settings: Vec<String>,
    /// The one processor that the server may use.
    pub processor: Option<u32>,
    /// How long it counts.
    pub measured: Duration,
}

/// Everything that the clients hear.
struct Ears {
    began: Instant,
    now: Nanos,
    counts: bool,
    connected: u32,
    subscribed: u32,
    refused: u64,
    delivered: u64,
    published: HashMap<(ClientIndex, MessageId), Nanos>,
    delivery_ns: Vec<u64>,
    ack_ns: Vec<u64>,
    members: Option<Duration>,
    /// How many connections were lost, for each reason.
    lost: BTreeMap<String, u64>,
}

impl Ears {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            now: Nanos(0),
            counts: false,
            connected: 0,
            subscribed: 0,
            refused: 0,
            delivered: 0,
            published: HashMap::new(),
            delivery_ns: Vec::new(),
            ack_ns: Vec::new(),
            members: None,
            lost: BTreeMap::new(),
        }
    }

    /// A session was lost or refused, and why.
    fn lose(&mut self, why: String) {
        *self.lost.entry(why).or_default() += 1;
    }

    fn time(&self) -> Nanos {
        Nanos(self.began.elapsed().as_nanos() as u64)
    }
}

impl Pilot for Ears {
    fn event(&mut self, client: ClientIndex, _: &mut Session, event: ClientEvent) {
        let now = self.time();
        match event {
            ClientEvent::Connected { .. } => self.connected += 1,
            ClientEvent::Reconnecting { code, .. } => self.lose(code.to_string()),
            ClientEvent::Closed { error } => self.lose(error.to_string()),
            ClientEvent::Subscribed { .. } => self.subscribed += 1,
            ClientEvent::Members { .. } => self.members = Some(self.began.elapsed()),
            ClientEvent::PublishRefused { .. } => self.refused += 1,
            ClientEvent::Published { message, .. } => {
                if let Some(at) = self.published.remove(&(client, message))
                    && self.counts
                {
                    self.ack_ns.push(now.since(at));
                }
            }
            ClientEvent::Delivered(event) if self.counts => {
                self.delivered += 1;
                if let Some((at, _)) = event.payload.split_first_chunk() {
                    self.delivery_ns.push(now.since(Nanos(u64::from_le_bytes(*at))));
                }
            }
            _ => {}
        }
    }
}

/// The swarm: one thread, one socket, sessions that own nothing.
struct Crowd {
    clients: Clients<UdpClient>,
    server: Server,
    world: String,
    ears: Ears,
}

impl Crowd {
    fn new(stand: &Stand, world: &str) -> Result<Self> {
        let options =
            ClientOptions { sockets: Sockets::Shared, seed: 1, ..ClientOptions::default() };
        let clients = Clients::new(UdpClient::new(options)?);
        let server = Server::new(stand.process.server, ServerTrust::Insecure);
        Ok(Self { clients, server, world: world.to_owned(), ears: Ears::new() })
    }

    fn add(&mut self) -> Result<ClientIndex> {
        let mut options = ConnectOptions::new(&self.world).create(Space::Metric);
        options.seed = self.clients.len() as u64 + 1;
        Ok(self.clients.add(self.ears.time(), self.server.target()?, options))
    }

    fn pass(&mut self) {
        self.ears.now = self.ears.time();
        self.clients.advance(self.ears.now, &mut self.ears);
        let due = self.clients.next_timeout(self.ears.now);
        let nap = due.map_or(PASS, |due| Duration::from_nanos(due.since(self.ears.now)));
        self.clients.transport_mut().wait(nap.min(PASS));
    }

    fn until(&mut self, what: &str, done: impl Fn(&Ears) -> bool) -> Result<()> {
        let began = Instant::now();
        while !done(&self.ears) {
            let lost = &self.ears.lost;
            ensure!(
                began.elapsed() < PATIENCE,
                "{what} did not come about in time; lost: {lost:?}"
            );
            self.pass();
        }
        Ok(())
    }

    fn session(&mut self, client: ClientIndex) -> Result<&mut Session> {
        self.clients.get_mut(client).context("a session is there until it is removed")
    }
}

/// Runs it.
///
/// # Errors
/// The server does not start, or a session does not get in.
pub fn events(ask: &Events) -> Result<Vec<String>> {
    let stand = Stand::open(&ask.settings, ask.processor)?;
    let mut crowd = Crowd::new(&stand, &ask.world)?;
    for _ in 0..ask.subscribers {
        let client = crowd.add()?;
        crowd.session(client)?.subscribe(&ask.channel, SubscribeOptions::default())?;
    }
    let publishers = (0..ask.publishers).map(|_| crowd.add()).collect::<Result<Vec<_>>>()?;
    let everyone = ask.subscribers + ask.publishers;
    crowd.until("all sessions", |ears| ears.connected >= everyone)?;
    crowd.until("all subscriptions", |ears| ears.subscribed >= ask.subscribers)?;
    talk(&mut crowd, ask, &publishers, Duration::from_secs(1))?;
    crowd.ears.counts = true;
    let cpu = || cpu_seconds(stand.process.id()).context("the server is gone");
    let before = cpu()?;
    let began = Instant::now();
    talk(&mut crowd, ask, &publishers, ask.measured)?;
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), cpu()? - before);
    Ok(table(ask, &mut crowd.ears, seconds, cpu))
}

/// Each publishes at its rate, all of them evenly over time.
fn talk(crowd: &mut Crowd, ask: &Events, publishers: &[ClientIndex], time: Duration) -> Result<()> {
    let gap = Duration::from_secs(1) / (ask.per_second * ask.publishers).max(1);
    let (began, mut made) = (Instant::now(), 0_u32);
    while began.elapsed() < time {
        while gap * made < began.elapsed() {
            let client = publishers[made as usize % publishers.len()];
            made += 1;
            let at = crowd.ears.time();
            let mut payload = vec![0; PAYLOAD_BYTES];
            payload[..8].copy_from_slice(&at.0.to_le_bytes());
            let publication = Publication::to_channel(&ask.channel, payload);
            let message = crowd.session(client)?.publish(publication)?;
            crowd.ears.published.insert((client, message), at);
        }
        crowd.pass();
    }
    Ok(())
}

fn table(ask: &Events, ears: &mut Ears, seconds: f64, cpu: f64) -> Vec<String> {
    let rate = ears.delivered as f64 / seconds;
    let each_us = cpu * 1e6 / ears.delivered.max(1) as f64;
    let [d50, d99] = [50, 99].map(|part| percentile(&mut ears.delivery_ns, part));
    let [a50, a99] = [50, 99].map(|part| percentile(&mut ears.ack_ns, part));
    vec![
        "| subscribers | events/s | deliveries/s | server CPU | per delivery | deliveries/s and \
         core | delivery p50 / p99 | acknowledged p50 / p99 | refused |"
            .into(),
        "|---|---|---|---|---|---|---|---|---|".into(),
        format!(
            "| {} | {} | {rate:.0} | {:.0} % of a core | {each_us:.2} us | {:.0} | {d50:.2} / \
             {d99:.2} ms | {a50:.2} / {a99:.2} ms | {} |",
            ask.subscribers,
            ask.publishers * ask.per_second,
            cpu / seconds * 100.0,
            1e6 / each_us,
            ears.refused,
        ),
    ]
}

/// In milliseconds.
fn percentile(sorted: &mut [u64], part: usize) -> f64 {
    sorted.sort_unstable();
    let at = sorted.len() * part / 100;
    sorted.get(at.min(sorted.len().saturating_sub(1))).map_or(0.0, |ns| *ns as f64 / 1e6)
}

/// So many sessions come in; then one more asks who is there, several times.
///
/// # Errors
/// The server does not start, or a session does not get in.
pub fn members(count: u32, settings: &[String]) -> Result<Vec<String>> {
    let mut settings = settings.to_vec();
    settings.push(format!("limits.connections_max={}", count + 10));
    let stand = Stand::open(&settings, None)?;
    let mut crowd = Crowd::new(&stand, "plaza")?;
    let cpu = || cpu_seconds(stand.process.id()).context("the server is gone");
    let (before, began) = (cpu()?, Instant::now());
    for made in 0..count {
        crowd.add()?;
        let due = Duration::from_secs(1) * made / COMING_PER_S;
        crowd.until("a session", |ears| {
            made < ears.connected + COMING_MAX && began.elapsed() >= due
        })?;
        if made % TOLD_EVERY == TOLD_EVERY - 1 {
            eprintln!("{} sessions after {:.1} s", made + 1, began.elapsed().as_secs_f64());
        }
    }
    crowd.until("all sessions", |ears| ears.connected >= count)?;
    let (joined, join_cpu) = (began.elapsed().as_secs_f64(), cpu()? - before);
    let mut took = Vec::new();
    for _ in 0..5 {
        let reader = crowd.add()?;
        let all = crowd.ears.connected + 1;
        crowd.until("the reader", |ears| ears.connected >= all)?;
        crowd.ears.members = None;
        let asked = crowd.ears.began.elapsed();
        let key = crowd.session(reader)?.subscribe("presence/", SubscribeOptions::default())?;
        crowd.until("the list", |ears| ears.members.is_some())?;
        took.extend(crowd.ears.members.map(|at| (at - asked).as_secs_f64() * 1e3));
        let here =
            crowd.session(reader)?.presence(key).map_or(0, starling_client::PresenceList::len);
        ensure!(here >= count as usize, "only {here} are on the list");
        crowd.clients.remove(crowd.ears.time(), reader);
    }
    took.sort_unstable_by(f64::total_cmp);
    Ok(vec![
        "| members | all in after | server CPU of each | the whole list: least / median / most |"
            .into(),
        "|---|---|---|---|".into(),
        format!(
            "| {count} | {joined:.1} s | {:.0} us | {:.0} / {:.0} / {:.0} ms |",
            join_cpu * 1e6 / f64::from(count),
            took[0],
            took[took.len() / 2],
            took[took.len() - 1]
        ),
    ])
}
