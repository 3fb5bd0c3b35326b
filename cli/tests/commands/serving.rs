//! `starling serve`: how it starts, or says why not, and how it ends (P14).

use crate::shell::{Scratch, Serving, serve, starling};
use starling_client::net::{Client, MonotonicClock, Server};
use starling_client::{ClientEvent, ConnectOptions, Space, tls::ServerTrust};
use std::net::{TcpListener, UdpSocket};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// A client in a world of the server.
pub(crate) struct Guest {
    pub(crate) client: Client,
    pub(crate) clock: MonotonicClock,
    pub(crate) events: Vec<ClientEvent>,
}

impl Guest {
    pub(crate) fn of(serving: &Serving) -> Self {
        let fingerprint = serving.fingerprint.parse().expect("as it was printed");
        let trust = ServerTrust::Fingerprint(fingerprint);
        let server = Server::resolve(&serving.address, trust).expect("as it was printed");
        let clock = MonotonicClock::start();
        let options = ConnectOptions::new("yard").create(Space::Metric);
        let client = Client::connect(clock.now(), &server, options).expect("it can be tried");
        let mut guest = Self { client, clock, events: Vec::new() };
        guest.hears("it is in", |event| matches!(event, ClientEvent::Connected { .. }));
        guest
    }

    /// Waits until it heard this.
    pub(crate) fn hears(&mut self, what: &str, is_it: impl Fn(&ClientEvent) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !self.events.iter().any(&is_it) {
            assert!(Instant::now() < deadline, "still not: {what}; {:?}", self.events);
            self.client.wait(self.clock.now(), Duration::from_millis(20));
            self.client.advance(self.clock.now());
            self.events.extend(std::iter::from_fn(|| self.client.poll_event()));
        }
    }
}

#[test]
fn it_says_where_it_is_reached_and_that_it_is_open() {
    let serving = serve(&[]);
    for words in ["127.0.0.1:", "sha256", "/metrics", "OPEN", "Ctrl-C"] {
        assert!(serving.greeting.contains(words), "`{words}`: {}", serving.greeting);
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound");
    let serve = ["serve", "--http", "127.0.0.1:0", "--listen", &address.to_string()];
    let (port, ip) = (address.port().to_string(), address.ip().to_string());
    starling(&serve).complains(1, &["server.listen", "taken", &port, &ip]);

    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--http", &address];
    starling(&serve).complains(1, &["http.listen", &address]);
}

#[cfg(unix)]
#[test]
fn it_stops_at_once_when_nobody_is_there() {
    let serving = serve(&[]);
    serving.program.terminate();
    serving.program.end().fine();
}

#[cfg(unix)]
#[test]
fn when_told_to_stop_it_tells_its_clients_and_waits_until_they_are_gone() {
    let serving = serve(&[]);
    let mut guest = Guest::of(&serving);
    serving.program.terminate();
    guest.hears("the server goes", |event| matches!(event, ClientEvent::GoingAway { .. }));
    guest.client.goodbye(guest.clock.now());
    guest.hears("it is let go", |event| matches!(event, ClientEvent::Goodbye));
    let started = Instant::now();
    serving.program.end().fine();
    assert!(started.elapsed() < Duration::from_secs(30), "it did not wait for its deadline");
}

#[cfg(unix)]
#[test]
fn told_twice_it_does_not_wait_for_anybody() {
    let scratch = Scratch::new();
    let patient =
        scratch.file("patient.toml", "[server]\ndrain_s = 3600\ndrain_jitter_ms = 3600000\n");
    let serving = serve(&["--config", &patient]);
    let mut guest = Guest::of(&serving);
    serving.program.terminate();
    guest.hears("the server goes", |event| matches!(event, ClientEvent::GoingAway { .. }));
    serving.program.terminate();
    serving.program.end().fine();
}
