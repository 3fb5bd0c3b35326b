//! The transports on stage, and a troupe that plays any of them.

use starling_protocol::close::CloseCode;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::Nanos;
use starling_transport::conditioner::LinkProfile;
use starling_transport::memory::{ClientSide, Network, ServerSide};
use starling_transport::quic::{
    ClientOptions, ConnectOptions, QuinnServer, ServerError, ServerOptions, ServerStats,
    ShardedServer, Sockets, UdpClient, UdpServer,
};
use starling_transport::tls::{ClientTls, Identity, ServerTrust};
use starling_transport::{ConnKey, Event, Transport};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// How long anything may take, however loaded the machine is.
const DEADLINE: Duration = Duration::from_secs(120);
/// One step of a virtual clock, and the longest sleep on a real one.
const STEP: Duration = Duration::from_millis(1);
const SEED: u64 = 99;

/// A server's and a client's transport with a clock.
pub(crate) trait Stage {
    fn server(&mut self) -> &mut dyn Transport;
    fn client(&mut self) -> &mut dyn Transport;
    fn connect(&mut self) -> ConnKey;
    fn now(&self) -> Nanos;
    /// Lets a little time pass.
    fn pass(&mut self);

    fn both(&mut self) -> Vec<&mut dyn Transport>;
}

pub(crate) struct MemoryStage {
    server: ServerSide,
    client: ClientSide,
    now: Nanos,
}

impl MemoryStage {
    pub(crate) fn new() -> Self {
        let network = Network::new(SEED);
        Self { server: network.server(), client: network.client(), now: Nanos(0) }
    }
}

impl Stage for MemoryStage {
    fn server(&mut self) -> &mut dyn Transport {
        &mut self.server
    }
    fn client(&mut self) -> &mut dyn Transport {
        &mut self.client
    }
    fn connect(&mut self) -> ConnKey {
        let link = LinkProfile::parse("delay=5ms,jitter=2ms").expect("the profile is right");
        self.client.connect(self.now, &link)
    }
    fn now(&self) -> Nanos {
        self.now
    }
    fn pass(&mut self) {
        self.now = self.now + STEP.as_nanos() as u64;
    }
    fn both(&mut self) -> Vec<&mut dyn Transport> {
        vec![&mut self.server, &mut self.client]
    }
}

/// A server on real sockets.
pub(crate) trait QuicServer: Transport + Sized + Send + std::fmt::Debug + 'static {
    fn bind(options: &ServerOptions) -> Result<Self, ServerError>;
    fn local_addr(&self) -> SocketAddr;
    fn stats(&self) -> ServerStats;
    fn wait(&mut self, timeout: Duration);
    fn waker(&self) -> Box<dyn FnOnce() + Send>;
    fn shutdown(self, patience: Duration);
}

macro_rules! quic_server {
    ($server:ident) => {
        impl QuicServer for $server {
            fn bind(options: &ServerOptions) -> Result<Self, ServerError> {
                $server::bind(options)
            }
            fn local_addr(&self) -> SocketAddr {
                $server::local_addr(self)
            }
            fn stats(&self) -> ServerStats {
                $server::stats(self)
            }
            fn wait(&mut self, timeout: Duration) {
                $server::wait(self, timeout);
            }
            fn waker(&self) -> Box<dyn FnOnce() + Send> {
                let waker = $server::waker(self);
                Box::new(move || waker.wake())
            }
            fn shutdown(self, patience: Duration) {
                $server::shutdown(self, patience);
            }
        }
    };
}

quic_server!(QuinnServer);
quic_server!(UdpServer);
quic_server!(ShardedServer);

/// Runs each behaviour on each server.
macro_rules! on_each_server {
    ($($behaviour:ident),* $(,)?) => {
        mod quinn {
            $(#[test] fn $behaviour() {
                super::$behaviour::<starling_transport::quic::QuinnServer>();
            })*
        }
        mod looped {
            $(#[test] fn $behaviour() {
                super::$behaviour::<starling_transport::quic::UdpServer>();
            })*
        }
        mod sharded {
            $(#[test] fn $behaviour() {
                super::$behaviour::<starling_transport::quic::ShardedServer>();
            })*
        }
    };
}
pub(crate) use on_each_server;

pub(crate) struct QuicStage<V> {
    pub(crate) server: V,
    pub(crate) client: UdpClient,
    pub(crate) options: ConnectOptions,
    start: Instant,
}

impl<V: QuicServer> QuicStage<V> {
    pub(crate) fn new() -> Self {
        Self::with(Sockets::PerConnection, |_| {})
    }

    /// A stage whose server is set up otherwise.
    pub(crate) fn with(sockets: Sockets, setup: impl FnOnce(&mut ServerOptions)) -> Self {
        let identity = Identity::development().expect("a certificate can be made");
        let trust = ServerTrust::Fingerprint(identity.fingerprint());
        let mut options = ServerOptions::new((Ipv4Addr::LOCALHOST, 0).into(), identity);
        // One kind of server has several.
        options.shards = 3;
        setup(&mut options);
        let server = V::bind(&options).expect("a free port can be had");
        let options = ClientOptions { sockets, seed: SEED, ..ClientOptions::default() };
        let client = UdpClient::new(options).expect("sockets can be watched");
        let tls = ClientTls::new(&trust).expect("a pin needs no roots");
        let options = ConnectOptions::new(server.local_addr(), tls);
        Self { server, client, options, start: Instant::now() }
    }

    /// The same stage over a conditioned link.
    pub(crate) fn over(link: &str) -> Self {
        let mut stage = Self::new();
        stage.options.link = LinkProfile::parse(link).expect("the profile is right");
        stage
    }
}

impl<V: QuicServer> Stage for QuicStage<V> {
    fn server(&mut self) -> &mut dyn Transport {
        &mut self.server
    }
    fn client(&mut self) -> &mut dyn Transport {
        &mut self.client
    }
    fn connect(&mut self) -> ConnKey {
        self.client.connect(self.now(), &self.options).expect("the server's address is right")
    }
    fn now(&self) -> Nanos {
        Nanos(self.start.elapsed().as_nanos() as u64)
    }
    fn pass(&mut self) {
        self.client.wait(STEP);
    }
    fn both(&mut self) -> Vec<&mut dyn Transport> {
        vec![&mut self.server, &mut self.client]
    }
}

/// The two keys of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) client: ConnKey,
    pub(crate) server: ConnKey,
}

/// Plays a stage and keeps all that happened.
pub(crate) struct Troupe<S> {
    pub(crate) stage: S,
    pub(crate) at_server: Vec<Event>,
    pub(crate) at_client: Vec<Event>,
    /// Events that one poll may bring.
    pub(crate) limit: usize,
}

impl<S: Stage> Troupe<S> {
    pub(crate) fn new(stage: S) -> Self {
        Self { stage, at_server: Vec::new(), at_client: Vec::new(), limit: usize::MAX }
    }

    /// A troupe with one connection, of which both sides know; its events are forgotten.
    pub(crate) fn connected(stage: S) -> (Self, Pair) {
        let mut troupe = Self::new(stage);
        let pair = troupe.connect();
        (troupe, pair)
    }

    pub(crate) fn begin(&mut self) -> ConnKey {
        self.stage.connect()
    }

    pub(crate) fn connect(&mut self) -> Pair {
        self.at_client.clear();
        self.at_server.clear();
        let client = self.begin();
        self.until("both are connected", |t| {
            t.connected_at_client() == 1 && t.connected_at_server() == 1
        });
        let server = self.at_server.first().expect("it was just seen").conn();
        self.at_client.clear();
        self.at_server.clear();
        Pair { client, server }
    }

    /// Polls both sides once.
    pub(crate) fn step(&mut self) {
        self.stage.pass();
        let now = self.stage.now();
        self.poll_client(now);
        self.poll_server(now);
    }

    /// Lets time pass for the server alone.
    pub(crate) fn step_server(&mut self) {
        self.stage.pass();
        let now = self.stage.now();
        self.poll_server(now);
    }

    /// Gives what the server sent the time to get out.
    pub(crate) fn settle_server(&mut self) {
        (0..20).for_each(|_| self.step_server());
    }

    fn poll_client(&mut self, now: Nanos) {
        let before = self.at_client.len();
        let count = self.stage.client().poll(now, self.limit, &mut self.at_client);
        assert_eq!(self.at_client.len() - before, count);
        assert!(count <= self.limit);
    }

    fn poll_server(&mut self, now: Nanos) {
        let before = self.at_server.len();
        let count = self.stage.server().poll(now, self.limit, &mut self.at_server);
        assert_eq!(self.at_server.len() - before, count);
        assert!(count <= self.limit);
        self.stage.server().flush(now);
    }

    /// Steps until `done`, or fails with what was hoped for.
    pub(crate) fn until(&mut self, hope: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let (virtual_start, start) = (self.stage.now(), Instant::now());
        while !done(self) {
            let passed = self.stage.now().since(virtual_start);
            assert!(
                passed < DEADLINE.as_nanos() as u64 && start.elapsed() < DEADLINE,
                "hoped in vain that {hope}\nserver: {:?}\nclient: {:?}",
                brief(&self.at_server),
                brief(&self.at_client),
            );
            self.step();
        }
    }

    pub(crate) fn client_datagram(&mut self, conn: ConnKey, payload: &[u8]) {
        let now = self.stage.now();
        self.stage.client().send_datagram(now, conn, payload).expect("there is room");
    }

    pub(crate) fn server_datagram(&mut self, conn: ConnKey, payload: &[u8]) {
        let now = self.stage.now();
        self.stage.server().send_datagram(now, conn, payload).expect("there is room");
    }

    pub(crate) fn client_writes(&mut self, conn: ConnKey, stream: StreamKind, bytes: &[u8]) {
        let now = self.stage.now();
        assert_eq!(self.stage.client().write(now, conn, stream, bytes), Ok(bytes.len()));
    }

    pub(crate) fn server_writes(&mut self, conn: ConnKey, stream: StreamKind, bytes: &[u8]) {
        let now = self.stage.now();
        assert_eq!(self.stage.server().write(now, conn, stream, bytes), Ok(bytes.len()));
    }

    pub(crate) fn connected_at_client(&self) -> usize {
        connected(&self.at_client)
    }

    pub(crate) fn connected_at_server(&self) -> usize {
        connected(&self.at_server)
    }

    pub(crate) fn datagrams_at_client(&self) -> Vec<Vec<u8>> {
        datagrams(&self.at_client)
    }

    pub(crate) fn datagrams_at_server(&self) -> Vec<Vec<u8>> {
        datagrams(&self.at_server)
    }

    pub(crate) fn stream_at_client(&self, kind: StreamKind) -> Vec<u8> {
        stream(&self.at_client, kind)
    }

    pub(crate) fn stream_at_server(&self, kind: StreamKind) -> Vec<u8> {
        stream(&self.at_server, kind)
    }

    pub(crate) fn streams_at_client(&self) -> BTreeMap<ConnKey, Vec<u8>> {
        streams(&self.at_client)
    }

    pub(crate) fn streams_at_server(&self) -> BTreeMap<ConnKey, Vec<u8>> {
        streams(&self.at_server)
    }

    pub(crate) fn closed_at_client(&self) -> Option<(CloseCode, String)> {
        closed(&self.at_client)
    }

    pub(crate) fn closed_at_server(&self) -> Option<(CloseCode, String)> {
        closed(&self.at_server)
    }
}

fn connected(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::Connected { .. })).count()
}

fn datagrams(events: &[Event]) -> Vec<Vec<u8>> {
    let payload = |event: &Event| match event {
        Event::Datagram { payload, .. } => Some(payload.to_vec()),
        _ => None,
    };
    events.iter().filter_map(payload).collect()
}

fn stream(events: &[Event], kind: StreamKind) -> Vec<u8> {
    let part = |event: &Event| match event {
        Event::Stream { stream, bytes, .. } if *stream == kind => Some(bytes.to_vec()),
        _ => None,
    };
    events.iter().filter_map(part).flatten().collect()
}

/// The bytes of all streams by connection.
fn streams(events: &[Event]) -> BTreeMap<ConnKey, Vec<u8>> {
    let mut streams = BTreeMap::<_, Vec<u8>>::new();
    for event in events {
        if let Event::Stream { conn, bytes, .. } = event {
            streams.entry(*conn).or_default().extend_from_slice(bytes);
        }
    }
    streams
}

/// The last event, if it is an end: nothing may follow it.
fn closed(events: &[Event]) -> Option<(CloseCode, String)> {
    let end = events.iter().position(|event| matches!(event, Event::Closed { .. }))?;
    assert_eq!(end, events.len() - 1, "something follows the end: {:?}", brief(events));
    match &events[end] {
        Event::Closed { code, reason, .. } => Some((*code, reason.clone())),
        _ => None,
    }
}

fn brief(events: &[Event]) -> Vec<String> {
    let tail = events.len().saturating_sub(10);
    events[tail..].iter().map(|event| format!("{event:.60?}").chars().take(200).collect()).collect()
}
