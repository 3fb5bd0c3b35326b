//! A server on real sockets and threads: start, look, talk, drain, and what hinders a start.

use starling_protocol::close::CloseCode;
use starling_protocol::codec;
use starling_protocol::frame::{self, Frames};
use starling_protocol::limits::MESSAGE_BYTES_MAX;
use starling_protocol::message::control::{Audience, ControlDown, ControlUp, Hello, Spawn};
use starling_protocol::message::interest::{Interest, Shape};
use starling_protocol::sample::Sample;
use starling_protocol::space::Space;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::{KindId, Nanos};
use starling_protocol::version::VERSION;
use starling_server::auth::keys::generate;
use starling_server::config::{AuthMode, Config, IoChoice, WorldEntry};
use starling_server::run::{Running, Server, StartError};
use starling_transport::quic::{ClientOptions, ConnectOptions, UdpClient};
use starling_transport::tls::{ClientTls, ServerTrust, development_certificate};
use starling_transport::{ConnKey, Event, Transport};
use starling_world::authority::{Game, GameContext};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything here may take, however loaded the machine is.
const PATIENCE: Duration = Duration::from_secs(30);

fn config() -> Config {
    let mut config = Config::default();
    config.server.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.http.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.server.drain_s = 2;
    config.worlds = vec![WorldEntry::new("arena", Space::Metric)];
    config
}

fn shards(count: u8) -> Config {
    let mut config = config();
    config.server.shards = Some(count);
    config
}

fn quinn() -> Config {
    let mut config = config();
    config.server.io = IoChoice::Quinn;
    config
}

/// Runs each behaviour on each loop of the network.
macro_rules! on_each_loop {
    ($($behaviour:ident),* $(,)?) => {
        mod one_shard { $(#[test] fn $behaviour() { super::$behaviour(super::shards(1)); })* }
        #[cfg(unix)]
        mod three_shards { $(#[test] fn $behaviour() { super::$behaviour(super::shards(3)); })* }
        mod quinn { $(#[test] fn $behaviour() { super::$behaviour(super::quinn()); })* }
    };
}

on_each_loop!(
    a_server_serves_over_real_sockets,
    metrics_and_debug_show_what_goes_on,
    ticks_keep_time,
    a_shutdown_drains_and_says_whether_all_were_gone,
    who_stays_is_closed_at_the_deadline,
    a_stop_is_at_once,
);

fn start(config: Config) -> Running {
    Server::new(config).and_then(Server::start).expect("a server starts on free ports")
}

fn start_error(config: Config) -> StartError {
    match Server::new(config).and_then(Server::start) {
        Ok(_) => panic!("it started"),
        Err(error) => error,
    }
}

/// Asks the internal listener and gives status line, headers and body.
fn get(address: SocketAddr, path: &str) -> String {
    ask(address, "GET", path, "")
}

fn ask(address: SocketAddr, verb: &str, path: &str, more: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    write!(stream, "{verb} {path} HTTP/1.1\r\nhost: localhost\r\n{more}connection: close\r\n\r\n")
        .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

struct Client {
    udp: UdpClient,
    conn: ConnKey,
    started: Instant,
    frames: Frames,
    up: bool,
    heard: Vec<ControlDown>,
    datagrams: usize,
    closed: Option<CloseCode>,
}

impl Client {
    fn connect(running: &Running) -> Self {
        let trust = ServerTrust::Fingerprint(running.fingerprint());
        let tls = ClientTls::new(&trust).expect("a fingerprint is trust enough");
        let options = ConnectOptions::new(running.local_addr(), tls);
        // A client's first connection id follows from its seed, so that each needs its own.
        static SEEDS: AtomicU64 = AtomicU64::new(1);
        let seed = SEEDS.fetch_add(1, Ordering::Relaxed);
        let udp = UdpClient::new(ClientOptions { seed, ..ClientOptions::default() });
        let mut udp = udp.expect("a socket can be had");
        let conn = udp.connect(Nanos(0), &options).expect("it can be tried");
        let mut client = Self {
            udp,
            conn,
            started: Instant::now(),
            frames: Frames::new(MESSAGE_BYTES_MAX),
            up: false,
            heard: Vec::new(),
            datagrams: 0,
            closed: None,
        };
        client.until("the handshake is done", |client| client.up);
        client
    }

    fn join(running: &Running, world: &str) -> Self {
        let mut client = Self::connect(running);
        client.say(&ControlUp::Hello(Box::new(Hello {
            versions: vec![VERSION],
            world: world.into(),
            create: None,
            token: String::new(),
            resume: None,
            schema_hash: None,
            capabilities: 0,
        })));
        client
    }

    fn now(&self) -> Nanos {
        Nanos(self.started.elapsed().as_nanos() as u64)
    }

    fn say(&mut self, message: &ControlUp) {
        let mut bytes = Vec::new();
        frame::write(&codec::encode(message), &mut bytes);
        let taken = self.udp.write(self.now(), self.conn, StreamKind::Control, &bytes);
        assert_eq!(taken.ok(), Some(bytes.len()), "a small message fits");
        self.udp.flush(self.now());
    }

    fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(Instant::now() < deadline, "still not: {what}; heard {:?}", self.heard);
            self.udp.wait(Duration::from_millis(5));
            let mut events = Vec::new();
            self.udp.poll(self.now(), 1_000, &mut events);
            events.into_iter().for_each(|event| self.event(event));
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Connected { .. } => self.up = true,
            Event::Datagram { .. } => self.datagrams += 1,
            Event::Closed { code, .. } => self.closed = Some(code),
            Event::Stream { stream: StreamKind::Control, bytes, .. } => {
                self.frames.push(&bytes);
                while let Some(body) = self.frames.next_frame().expect("frames") {
                    self.heard.push(codec::decode(body).expect("messages"));
                }
            }
            Event::Stream { .. } => {}
        }
    }

    fn is_welcome(&self) -> bool {
        self.heard.iter().any(|message| matches!(message, ControlDown::Welcome(_)))
    }
}

fn a_server_serves_over_real_sockets(config: Config) {
    let running = start(config);
    let mut client = Client::join(&running, "arena");
    client.until("it is welcome", Client::is_welcome);
    let http = running.http_addr().expect("it is on by default");
    assert!(get(http, "/live").starts_with("HTTP/1.1 200"));
    assert!(get(http, "/ready").starts_with("HTTP/1.1 200"));
    assert!(get(http, "/nothing").starts_with("HTTP/1.1 404"));
    let revoke = |query: &str, more: &str| ask(http, "POST", &format!("/revoke{query}"), more);
    let taken = revoke("?subject=eve&tenant=acme", "");
    assert!(taken.starts_with("HTTP/1.1 200") && taken.contains("\"connections\": 0"), "{taken}");
    assert!(revoke("", "").starts_with("HTTP/1.1 400"));
    assert!(revoke("?subject=eve", "origin: http://x\r\n").starts_with("HTTP/1.1 403"));
    assert!(get(http, "/revoke?subject=eve").starts_with("HTTP/1.1 405"));
    assert!(running.greeting().iter().any(|line| line.contains("OPEN")));
}

fn metrics_and_debug_show_what_goes_on(config: Config) {
    let running = start(config);
    let mut client = Client::join(&running, "arena");
    client.until("it is welcome", Client::is_welcome);
    let mut stranger = Client::join(&running, "no-such-world");
    stranger.until("it is refused", |client| client.closed.is_some());
    assert_eq!(stranger.closed, Some(CloseCode::UNKNOWN_WORLD));

    let http = running.http_addr().expect("it is on by default");
    let deadline = Instant::now() + PATIENCE;
    let wanted = [
        "starling_net_connections{transport=\"quic\"} 1",
        "starling_net_sessions{transport=\"quic\"} 1",
        "starling_net_sessions_joined_total{transport=\"quic\"} 1",
        "starling_net_closes_total{transport=\"quic\",by=\"server\",code=\"unknown_world\"} 1",
        "starling_world_sessions{world=\"arena\",state=\"live\"} 1",
        "starling_quic_handshakes_total 2",
        "starling_tick_duration_seconds_bucket{world=\"arena\",le=\"+Inf\"}",
        "starling_tick_overruns_total{world=\"arena\"}",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
    ];
    let mut text = String::new();
    while let Some(missing) = wanted.iter().find(|line| !text.contains(**line)) {
        assert!(Instant::now() < deadline, "no `{missing}` in\n{text}");
        client.udp.wait(Duration::from_millis(20));
        text = get(http, "/metrics");
    }
    let debug = get(http, "/debug");
    for part in ["\"cores\"", "\"config_hash\"", "\"arena\"", "\"tick_hz\": 20", "\"queue\""] {
        assert!(debug.contains(part), "{part}: {debug}");
    }
}

/// A client in a world, with an entity at so many metres and an area of interest round it.
fn player(running: &Running, name: &str, x_m: f64) -> (Client, u64) {
    let mut client = Client::join(running, "arena");
    client.until("it is welcome", Client::is_welcome);
    let session = client.heard.iter().find_map(|message| match message {
        ControlDown::Welcome(welcome) => Some(welcome.session.0),
        _ => None,
    });
    let position = Space::Metric.snap([x_m, 0., 0.]).expect("in range");
    client.say(&ControlUp::Spawn(Box::new(Spawn {
        request: 1,
        name: Some(name.into()),
        kind: KindId(0),
        team: 0,
        audience: Audience::All,
        sample: Sample { position, ..Sample::default() },
        fields: Vec::new(),
        block: Vec::new(),
        avatar_of: None,
    })));
    let round = Interest::new(Shape::Around { entity: None, radius_m: 50. });
    client.say(&ControlUp::SetInterest { id: 3, interest: Some(round) });
    let spawned = |c: &Client| c.heard.iter().any(|m| matches!(m, ControlDown::Spawned { .. }));
    client.until("it has its entity", spawned);
    (client, session.expect("just seen"))
}

#[test]
fn debug_says_why_a_session_gets_an_entity_or_not() {
    let running = start(config());
    let (_near, _) = player(&running, "near one", 30.);
    let (_far, _) = player(&running, "far", 900.);
    let (mut viewer, session) = player(&running, "viewer", 0.);
    let http = running.http_addr().expect("it is on by default");
    let why = |of: &str| get(http, &format!("/debug/why?world=arena&session={session}&{of}"));
    let deadline = Instant::now() + PATIENCE;
    let mut answer = String::new();
    while !answer.contains("\"what\": \"enter\"") {
        assert!(Instant::now() < deadline, "{answer}");
        viewer.udp.wait(Duration::from_millis(20));
        answer = why("entity=near%20one");
    }
    for part in ["\"id\": 3", "\"around\"", "\"inside\"", "\"distance_m\": 30.0", "\"entering\""] {
        assert!(answer.contains(part), "{part}: {answer}");
    }
    assert!(
        answer.contains("\"sent\"") && answer.contains("\"datagram_bytes_per_tick\""),
        "{answer}"
    );
    let far = why("entity=far");
    assert!(far.contains("\"slot\": null") && far.contains("\"outside\""), "{far}");
    assert!(why("entity=viewer").contains("the session's own"));
    let past = why("entity=far&tick=1");
    assert!(past.contains("that tick was not kept"), "{past}");
    assert!(why("entity=nobody").starts_with("HTTP/1.1 404"));
    assert!(get(http, "/debug/why?world=arena").starts_with("HTTP/1.1 400"));
}

#[test]
fn labels_are_never_text_of_a_client() {
    let running = start(config());
    let mut client = Client::connect(&running);
    client.say(&ControlUp::Hello(Box::new(Hello {
        versions: vec![VERSION],
        world: "made-by-a-stranger".into(),
        create: Some(Space::Metric),
        token: String::new(),
        resume: None,
        schema_hash: None,
        capabilities: 0,
    })));
    client.until("it is welcome", Client::is_welcome);
    let text = get(running.http_addr().expect("it is on by default"), "/metrics");
    assert!(text.contains("world=\"auto\"") && !text.contains("stranger"), "{text}");
}

fn ticks_keep_time(config: Config) {
    let running = start(config);
    let reading = || running.board().worlds.labelled("arena").expect("it is listed").gauge.read();
    let started = Instant::now();
    let first = reading().tick.0;
    let mut client = Client::join(&running, "arena");
    client.until("a second of ticks", |_| reading().tick.0 >= first + 20);
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(940), "20 ticks of 50 ms took {took:?}");
    let (ticks, skipped) = (u64::from(reading().tick.0), reading().skipped);
    assert_eq!(reading().durations.count() + skipped, ticks, "each tick is run or skipped");
}

fn a_shutdown_drains_and_says_whether_all_were_gone(config: Config) {
    let running = start(config);
    let mut client = Client::join(&running, "arena");
    client.until("it is welcome", Client::is_welcome);
    running.drain();
    assert!(!running.board().is_ready());
    client.until("it is told", |client| {
        client.heard.iter().any(|message| matches!(message, ControlDown::GoingAway { .. }))
    });
    client.say(&ControlUp::Goodbye);
    client.until("it is let go", |client| client.closed.is_some());
    assert!(running.shutdown(), "nobody was left");
}

fn who_stays_is_closed_at_the_deadline(config: Config) {
    let running = start(config);
    let mut client = Client::join(&running, "arena");
    client.until("it is welcome", Client::is_welcome);
    let ending = std::thread::spawn(move || running.shutdown());
    client.until("it is closed", |client| client.closed.is_some());
    assert_eq!(client.closed, Some(CloseCode::GOING_AWAY));
    assert!(ending.join().expect("a shutdown does not panic"), "closed clients are gone");
}

fn a_stop_is_at_once(mut config: Config) {
    config.server.drain_s = 600;
    let running = start(config);
    let mut client = Client::join(&running, "arena");
    client.until("it is welcome", Client::is_welcome);
    let started = Instant::now();
    running.stop();
    assert!(started.elapsed() < PATIENCE);
    client.until("it is closed", |client| client.closed.is_some());
    assert_eq!(client.closed, Some(CloseCode::GOING_AWAY));
}

/// A game with a bug.
#[derive(Debug)]
struct Bomb(u32);

impl Game for Bomb {
    fn step(&mut self, _: &mut GameContext<'_>) {
        self.0 -= 1;
        assert!(self.0 > 0, "this game breaks down on purpose");
    }
}

#[test]
fn a_world_that_breaks_down_takes_nobody_else_with_it() {
    let mut config = config();
    let bomb = WorldEntry::parse("bomb=metric,authority=server,tick-hz=10");
    config.worlds.push(bomb.expect("well formed"));
    let server = Server::new(config).expect("the configuration holds");
    let running = server.game("bomb", Box::new(Bomb(30))).start().expect("it starts");
    let mut safe = Client::join(&running, "arena");
    safe.until("it is welcome", Client::is_welcome);
    let mut victim = Client::join(&running, "bomb");
    victim.until("its world broke down", |client| client.closed.is_some());
    assert_eq!(victim.closed, Some(CloseCode::INTERNAL));
    let mut again = Client::join(&running, "bomb");
    again.until("it is refused", |client| client.closed.is_some());
    assert_eq!(again.closed, Some(CloseCode::INTERNAL), "there was one game, and it is gone");
    let heard = safe.datagrams;
    safe.until("the other world goes on", |client| client.datagrams > heard);
    assert_eq!(safe.closed, None);
}

#[test]
fn a_game_for_no_world_is_refused() {
    let server = Server::new(config()).expect("the configuration holds");
    let error = server.game("nowhere", Box::new(Bomb(1))).start().expect_err("no such world");
    assert!(error.to_string().contains("`nowhere`"), "{error}");
}

#[test]
fn a_taken_port_is_named() {
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let mut udp = config();
    udp.server.listen = taken.local_addr().expect("it is bound");
    let error = start_error(udp).to_string();
    let port = taken.local_addr().expect("it is bound").port().to_string();
    assert!(error.starts_with("server.listen: ") && error.contains(&port), "{error}");

    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mut tcp = config();
    tcp.http.listen = taken.local_addr().expect("it is bound");
    let error = start_error(tcp).to_string();
    let address = taken.local_addr().expect("it is bound").to_string();
    assert!(error.starts_with("http.listen: ") && error.contains(&address), "{error}");
}

/// A file of this text in a folder that is gone with its test.
fn file(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).expect("a file can be written");
    path
}

#[test]
fn a_bad_certificate_is_named() {
    let scratch = tempfile::tempdir().expect("a folder can be made");
    let made = || {
        development_certificate(&["localhost".into()], Duration::from_secs(86_400))
            .expect("the system has random bytes")
    };
    let (one, other) = (made(), made());
    let cert = file(&scratch, "cert.pem", &one.certificate);
    let error = |cert: &PathBuf, key: PathBuf| {
        let mut config = config();
        config.tls.cert_file = Some(cert.clone());
        config.tls.key_file = Some(key);
        start_error(config).to_string()
    };
    let missing = error(&cert, scratch.path().join("missing.pem"));
    assert!(missing.starts_with("tls: ") && missing.contains("missing.pem"), "{missing}");
    let garbage = error(&cert, file(&scratch, "garbage.pem", "no key"));
    assert!(garbage.contains("garbage.pem"), "{garbage}");
    let foreign = error(&cert, file(&scratch, "other.pem", &other.key));
    assert!(foreign.contains("other.pem") && foreign.contains("belong"), "{foreign}");

    let mut good = config();
    good.tls.cert_file = Some(cert);
    good.tls.key_file = Some(file(&scratch, "key.pem", &one.key));
    start(good);
}

#[test]
fn a_bad_token_key_is_named() {
    let scratch = tempfile::tempdir().expect("a folder can be made");
    let pair = generate().expect("the system has random bytes");
    let mut config = config();
    config.auth.mode = AuthMode::Token;
    config.auth.keys = vec![file(&scratch, "private.pem", &pair.private)];
    let error = start_error(config.clone()).to_string();
    assert!(error.starts_with("auth.keys: ") && error.contains("private.pem"), "{error}");
    config.auth.keys = vec![file(&scratch, "public.pem", &pair.public)];
    let running = start(config);
    assert!(!running.is_open());
    let mut client = Client::join(&running, "arena");
    client.until("it is refused", |client| client.closed.is_some());
    assert_eq!(client.closed, Some(CloseCode::UNAUTHORIZED));
}
