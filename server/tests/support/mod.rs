//! A server and raw clients in one thread on a network in memory: time moves when told.
#![allow(dead_code, reason = "each test uses its own part")]

use starling_protocol::close::CloseCode;
use starling_protocol::codec;
use starling_protocol::frame::{self, Frames};
use starling_protocol::limits::MESSAGE_BYTES_MAX;
use starling_protocol::message::control::{ControlDown, ControlUp, Hello, Spawn, Welcome};
use starling_protocol::message::events::{EventDown, EventUp};
use starling_protocol::sample::Sample;
use starling_protocol::space::{IPos, Space};
use starling_protocol::stream::StreamKind;
use starling_protocol::units::{KindId, Nanos};
use starling_protocol::version::VERSION;
use starling_server::config::{Config, Settings, Templates};
use starling_server::counters::NetTotals;
use starling_server::stepped::{Builder, Stepped};
use starling_transport::conditioner::LinkProfile;
use starling_transport::memory::{ClientSide, Network, ServerSide};
use starling_transport::{ConnKey, Event, Transport};
use starling_world::config::WorldConfig;

pub(crate) const WORLD: &str = "test";

/// A server and its clients.
pub(crate) struct Hall {
    pub(crate) network: Network,
    pub(crate) server: Stepped<ServerSide>,
    pub(crate) now: Nanos,
    pub(crate) clients: Vec<Raw>,
}

/// A client that says whatever it is told to.
pub(crate) struct Raw {
    side: ClientSide,
    pub(crate) conn: ConnKey,
    frames: Vec<Frames>,
    pub(crate) up: bool,
    pub(crate) control: Vec<ControlDown>,
    pub(crate) events: Vec<EventDown>,
    pub(crate) datagrams: Vec<Vec<u8>>,
    pub(crate) closed: Option<CloseCode>,
    /// Leaves what arrives unread.
    pub(crate) deaf: bool,
}

pub(crate) fn settings(change: impl FnOnce(&mut Config)) -> Settings {
    let mut config = Config::default();
    change(&mut config);
    config.settings().expect("the configuration holds")
}

pub(crate) fn metric_world() -> WorldConfig {
    Templates::default().created(WORLD, Space::Metric)
}

/// A hall with one metric world.
pub(crate) fn hall() -> Hall {
    hall_of(Builder::new(settings(|_| {}), 1).world(metric_world()))
}

pub(crate) fn hall_of(builder: Builder) -> Hall {
    let network = Network::new(7);
    let now = Nanos(Nanos::SECOND);
    let server = builder.build(network.server(), now);
    Hall { network, server, now, clients: Vec::new() }
}

pub(crate) fn hello() -> Hello {
    Hello {
        versions: vec![VERSION],
        world: WORLD.into(),
        create: None,
        token: String::new(),
        resume: None,
        schema_hash: None,
        capabilities: 0,
    }
}

pub(crate) fn spawn(name: &str, at: [i32; 3]) -> ControlUp {
    ControlUp::Spawn(Box::new(Spawn {
        request: 1,
        name: Some(name.into()),
        kind: KindId(0),
        team: 0,
        audience: Default::default(),
        sample: Sample { position: IPos(at), ..Sample::default() },
        fields: Vec::new(),
        block: Vec::new(),
        avatar_of: None,
    }))
}

impl Hall {
    /// A client whose connection stands, and that has said nothing.
    pub(crate) fn stranger(&mut self) -> usize {
        let mut side = self.network.client();
        let conn = side.connect(self.now, &LinkProfile::default());
        self.clients.push(Raw {
            side,
            conn,
            frames: StreamKind::ALL.map(|_| Frames::new(MESSAGE_BYTES_MAX)).into(),
            up: false,
            control: Vec::new(),
            events: Vec::new(),
            datagrams: Vec::new(),
            closed: None,
            deaf: false,
        });
        let at = self.clients.len() - 1;
        self.until("the connection stands", |hall| hall.clients[at].up);
        at
    }

    /// A client that has said this Hello, welcome or not.
    pub(crate) fn says(&mut self, hello: Hello) -> usize {
        let at = self.stranger();
        self.control(at, &ControlUp::Hello(Box::new(hello)));
        self.run_ms(20);
        at
    }

    /// A client that is in the world.
    pub(crate) fn guest(&mut self) -> usize {
        let at = self.says(hello());
        assert!(self.welcome(at).is_some(), "a plain Hello is welcome");
        at
    }

    pub(crate) fn control(&mut self, at: usize, message: &ControlUp) {
        self.send(at, StreamKind::Control, &codec::encode(message));
    }

    pub(crate) fn event(&mut self, at: usize, message: &EventUp) {
        self.send(at, StreamKind::Events, &codec::encode(message));
    }

    /// One whole frame.
    pub(crate) fn send(&mut self, at: usize, stream: StreamKind, body: &[u8]) {
        let mut bytes = Vec::new();
        frame::write(body, &mut bytes);
        self.raw(at, stream, &bytes);
    }

    /// Bytes as they are, stepping the world while the stream takes no more.
    pub(crate) fn raw(&mut self, at: usize, stream: StreamKind, bytes: &[u8]) {
        let mut rest = bytes;
        for _ in 0..100_000 {
            if self.clients[at].closed.is_some() || rest.is_empty() {
                return;
            }
            rest = &rest[self.pour(at, stream, rest)..];
            if !rest.is_empty() {
                self.run_ms(1);
            }
        }
        panic!("the server stopped reading a stream");
    }

    /// As many of these bytes as the stream takes now.
    pub(crate) fn pour(&mut self, at: usize, stream: StreamKind, bytes: &[u8]) -> usize {
        let (now, client) = (self.now, &mut self.clients[at]);
        let taken = client.side.write(now, client.conn, stream, bytes).unwrap_or(0);
        client.side.flush(now);
        taken
    }

    pub(crate) fn datagram(&mut self, at: usize, payload: &[u8]) {
        let (now, client) = (self.now, &mut self.clients[at]);
        // A full link drops it, as a network would.
        let _sent = client.side.send_datagram(now, client.conn, payload);
    }

    /// Moves time in steps of a millisecond.
    pub(crate) fn run_ms(&mut self, ms: u64) {
        self.limp_ms(ms, 1);
    }

    /// The same with a server that gets a turn only once in so many milliseconds.
    pub(crate) fn limp_ms(&mut self, ms: u64, turn_ms: u64) {
        for at in 1..=ms {
            self.now = self.now + Nanos::MILLISECOND;
            if at.is_multiple_of(turn_ms) {
                self.server.poll(self.now);
            }
            for client in self.clients.iter_mut().filter(|client| !client.deaf) {
                client.hear(self.now);
            }
        }
    }

    /// Moves time until something holds, for at most a minute of it.
    pub(crate) fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..60_000 {
            if holds(self) {
                return;
            }
            self.run_ms(1);
        }
        panic!("a minute passed and still not: {what}");
    }

    pub(crate) fn welcome(&self, at: usize) -> Option<&Welcome> {
        self.clients[at].control.iter().find_map(|message| match message {
            ControlDown::Welcome(welcome) => Some(&**welcome),
            _ => None,
        })
    }

    /// The code of a refusal, said before the connection was closed with the same.
    pub(crate) fn refusal(&self, at: usize) -> Option<CloseCode> {
        self.clients[at].control.iter().find_map(|message| match message {
            ControlDown::Refused(refused) => Some(refused.code),
            _ => None,
        })
    }

    pub(crate) fn closed(&self, at: usize) -> Option<CloseCode> {
        self.clients[at].closed
    }

    pub(crate) fn totals(&self) -> &NetTotals {
        &self.server.counters().totals
    }

    /// Connections that the server closed with this code.
    pub(crate) fn closes(&self, code: CloseCode) -> u64 {
        self.server.counters().closes.get(code)
    }

    /// Nobody but the client at `but` noticed anything: the others still are there and served.
    pub(crate) fn others_are_served(&mut self, but: usize) {
        for at in (0..self.clients.len()).filter(|at| *at != but) {
            assert_eq!(self.closed(at), None, "client {at} was closed too");
            self.clients[at].control.clear();
            self.control(at, &spawn(&format!("others-{at}-{}", self.now.0), [1_024, 2_048, 0]));
        }
        self.run_ms(100);
        for at in (0..self.clients.len()).filter(|at| *at != but) {
            let spawned = |m: &ControlDown| matches!(m, ControlDown::Spawned { .. });
            assert!(self.clients[at].control.iter().any(spawned), "client {at} is not served");
        }
    }
}

impl Raw {
    fn hear(&mut self, now: Nanos) {
        let mut events = Vec::new();
        self.side.poll(now, usize::MAX, &mut events);
        for event in events {
            match event {
                Event::Connected { .. } => self.up = true,
                Event::Datagram { payload, .. } => self.datagrams.push(payload.to_vec()),
                Event::Stream { stream, bytes, .. } => self.read(stream, &bytes),
                Event::Closed { code, .. } => self.closed = Some(code),
            }
        }
    }

    fn read(&mut self, stream: StreamKind, bytes: &[u8]) {
        let frames = &mut self.frames[stream as usize];
        frames.push(bytes);
        while let Some(body) = frames.next_frame().expect("the server writes frames") {
            match stream {
                StreamKind::Control => {
                    self.control.push(codec::decode(body).expect("the server writes messages"));
                }
                StreamKind::Events => {
                    self.events.push(codec::decode(body).expect("the server writes messages"));
                }
                StreamKind::Bulk | StreamKind::Host => {}
            }
        }
    }

    /// Closes from the client's side.
    pub(crate) fn leave(&mut self, now: Nanos, code: CloseCode) {
        self.side.close(now, self.conn, code, "leaving");
    }
}
