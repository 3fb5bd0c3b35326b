//! A server's folder with durable and memory channels, and a crowd that fills its store.

use crate::Scratch;
use crate::cast::WORLD;
use crate::server::Server;
use starling_client::net::{Client, MonotonicClock};
use starling_client::{ClientEvent, ConnectOptions, Publication};
use starling_protocol::close::CloseCode;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// One world: what begins with `room` is on disk before anybody is told, the rest in memory.
const CONFIG: &str = r#"
[[worlds]]
name = "yard"
space = "metric"

[[worlds.namespaces]]
name = "room"
durability = "durable"

[[worlds.namespaces]]
name = ""
"#;
/// The largest payload there is.
const PAYLOAD: usize = 16 * 1024;
const EVERY: Duration = Duration::from_millis(25);

/// What a server is started with.
pub(crate) struct Room {
    scratch: Scratch,
    config: String,
    data: String,
}

impl Room {
    pub(crate) fn new() -> Self {
        Self::with(CONFIG)
    }

    /// The same, whose world has so many ticks in a second.
    pub(crate) fn with_ticks(hz: u16) -> Self {
        let space = "space = \"metric\"\n";
        Self::with(&CONFIG.replace(space, &format!("{space}tick_hz = {hz}\n")))
    }

    fn with(config: &str) -> Self {
        let scratch = Scratch::new();
        let config = scratch.file("starling.toml", config).display().to_string();
        let data = scratch.path().join("data").display().to_string();
        Self { scratch, config, data }
    }

    pub(crate) fn args(&self) -> [&str; 4] {
        ["--config", &self.config, "--data", &self.data]
    }

    pub(crate) fn folder(&self) -> &Path {
        self.scratch.path()
    }

    pub(crate) fn data(&self) -> &str {
        &self.data
    }
}

/// Publishers of large events on a durable channel of their own.
pub(crate) struct Crowd {
    clock: MonotonicClock,
    clients: Vec<Client>,
    due: Instant,
    acked: u64,
    refusals: BTreeMap<CloseCode, u64>,
    /// What a refusal said last of when to try again, in milliseconds.
    pub(crate) retry_after: Option<u32>,
}

impl Crowd {
    pub(crate) fn gather(at: SocketAddr, publishers: usize) -> Self {
        let clock = MonotonicClock::start();
        let connect = |_| {
            let mut options = ConnectOptions::new(WORLD);
            options.reconnect.before_first = true;
            Client::connect(clock.now(), &Server::place(at), options).expect("it can be tried")
        };
        let clients = (0..publishers).map(connect).collect();
        let (due, refusals) = (Instant::now(), BTreeMap::new());
        Self { clock, clients, due, acked: 0, refusals, retry_after: None }
    }

    pub(crate) fn were_all_refused_with(&self, code: CloseCode) -> bool {
        !self.refusals.is_empty() && self.refusals.keys().all(|refused| *refused == code)
    }

    /// Everybody publishes what is due, and hears what there is.
    pub(crate) fn pump(&mut self) {
        let now = self.clock.now();
        let is_due = self.due <= Instant::now();
        if is_due {
            self.due = Instant::now() + EVERY;
        }
        for client in &mut self.clients {
            if is_due && client.welcome().is_some() {
                // Who has too many under way waits for some to be answered.
                let _full = client.publish(Publication::to_channel("room/2", vec![7; PAYLOAD]));
            }
            client.advance(now);
            while let Some(event) = client.poll_event() {
                match event {
                    ClientEvent::Published { .. } => self.acked += 1,
                    ClientEvent::PublishRefused { code, retry_after_ms, .. } => {
                        *self.refusals.entry(code).or_default() += 1;
                        self.retry_after = retry_after_ms;
                    }
                    _ => {}
                }
            }
        }
    }
}

impl std::fmt::Display for Crowd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { acked, refusals, .. } = self;
        write!(f, "{} publishers, acknowledged {acked}, refused {refusals:?}", self.clients.len())
    }
}
