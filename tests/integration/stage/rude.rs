//! Somebody who says whatever it is told to, on a real connection.

use starling_client::CloseCode;
use starling_client::net::{MonotonicClock, Server as Place};
use starling_protocol::codec;
use starling_protocol::frame::{self, Frames};
use starling_protocol::limits::MESSAGE_BYTES_MAX;
use starling_protocol::message::control::{ControlDown, ControlUp, Hello, Spawn, Welcome};
use starling_protocol::message::events::{EventDown, EventUp};
use starling_protocol::sample::Sample;
use starling_protocol::space::IPos;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::KindId;
use starling_protocol::version::VERSION;
use starling_transport::quic::{ClientOptions, ConnectOptions, UdpClient, random_seed};
use starling_transport::{ConnKey, Event, Transport};
use std::time::Duration;

/// A connection without manners.
pub(crate) struct Rude {
    udp: UdpClient,
    conn: ConnKey,
    clock: MonotonicClock,
    unsent: [Vec<u8>; 4],
    frames: [Frames; 4],
    pub(crate) up: bool,
    pub(crate) control: Vec<ControlDown>,
    pub(crate) events: Vec<EventDown>,
    pub(crate) closed: Option<CloseCode>,
    /// It leaves what arrives in its socket.
    pub(crate) deaf: bool,
}

/// A Hello that is welcome on an open server.
pub(crate) fn hello(world: &str) -> Hello {
    Hello {
        versions: vec![VERSION],
        world: world.into(),
        create: None,
        token: String::new(),
        resume: None,
        schema_hash: None,
        capabilities: 0,
    }
}

/// A request for an entity at a place on the canonical grid.
pub(crate) fn spawn(at: [i32; 3]) -> ControlUp {
    ControlUp::Spawn(Box::new(Spawn {
        request: 1,
        name: None,
        kind: KindId(0),
        team: 0,
        audience: Default::default(),
        sample: Sample { position: IPos(at), ..Sample::default() },
        fields: Vec::new(),
        block: Vec::new(),
        avatar_of: None,
    }))
}

impl Rude {
    pub(super) fn connect(clock: MonotonicClock, place: &Place) -> Self {
        Self::to(clock, &place.target().expect("a fingerprint is trust enough"))
    }

    /// To any target, such as one of another protocol.
    pub(crate) fn to(clock: MonotonicClock, target: &ConnectOptions) -> Self {
        let options = ClientOptions { seed: random_seed(), ..ClientOptions::default() };
        let mut udp = UdpClient::new(options).expect("a socket can be had");
        let conn = udp.connect(clock.now(), target).expect("it can be tried");
        Self {
            udp,
            conn,
            clock,
            unsent: StreamKind::ALL.map(|_| Vec::new()),
            frames: StreamKind::ALL.map(|_| Frames::new(MESSAGE_BYTES_MAX)),
            up: false,
            control: Vec::new(),
            events: Vec::new(),
            closed: None,
            deaf: false,
        }
    }

    pub(crate) fn says(&mut self, hello: &Hello) {
        self.control(&ControlUp::Hello(Box::new(hello.clone())));
    }

    pub(crate) fn control(&mut self, message: &ControlUp) {
        self.frame(StreamKind::Control, &codec::encode(message));
    }

    pub(crate) fn event(&mut self, message: &EventUp) {
        self.frame(StreamKind::Events, &codec::encode(message));
    }

    /// One whole frame of anything.
    pub(crate) fn frame(&mut self, stream: StreamKind, body: &[u8]) {
        frame::write(body, &mut self.unsent[stream as usize]);
    }

    /// Bytes as they are.
    pub(crate) fn raw(&mut self, stream: StreamKind, bytes: &[u8]) {
        self.unsent[stream as usize].extend_from_slice(bytes);
    }

    /// A datagram; says whether the network took it.
    pub(crate) fn datagram(&mut self, payload: &[u8]) -> bool {
        self.udp.send_datagram(self.clock.now(), self.conn, payload).is_ok()
    }

    pub(super) fn leaves(&mut self) {
        self.udp.close(self.clock.now(), self.conn, CloseCode::GOODBYE, "");
    }

    pub(super) fn wait(&mut self, at_most: Duration) {
        self.udp.wait(at_most);
    }

    pub(super) fn turn(&mut self) {
        if self.deaf {
            return;
        }
        let now = self.clock.now();
        for stream in StreamKind::ALL {
            let unsent = &mut self.unsent[stream as usize];
            // What is not taken now is offered again; a closed connection takes nothing.
            let taken = self.udp.write(now, self.conn, stream, unsent).unwrap_or(unsent.len());
            unsent.drain(..taken);
        }
        self.udp.flush(now);
        let mut events = Vec::new();
        self.udp.poll(now, usize::MAX, &mut events);
        events.into_iter().for_each(|event| self.hear(event));
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Connected { .. } => self.up = true,
            Event::Datagram { .. } => {}
            Event::Closed { code, .. } => self.closed = Some(code),
            Event::Stream { stream, bytes, .. } => self.read(stream, &bytes),
        }
    }

    fn read(&mut self, stream: StreamKind, bytes: &[u8]) {
        let frames = &mut self.frames[stream as usize];
        frames.push(bytes);
        while let Some(body) = frames.next_frame().expect("the server writes frames") {
            let message = "the server writes messages";
            match stream {
                StreamKind::Control => self.control.push(codec::decode(body).expect(message)),
                StreamKind::Events => self.events.push(codec::decode(body).expect(message)),
                StreamKind::Bulk | StreamKind::Host => {}
            }
        }
    }

    pub(crate) fn welcome(&self) -> Option<&Welcome> {
        self.control.iter().find_map(|message| match message {
            ControlDown::Welcome(welcome) => Some(&**welcome),
            _ => None,
        })
    }

    /// The code of a refusal of the whole session.
    pub(crate) fn refused(&self) -> Option<CloseCode> {
        self.control.iter().find_map(|message| match message {
            ControlDown::Refused(refused) => Some(refused.code),
            _ => None,
        })
    }
}

impl std::fmt::Debug for Rude {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { up, control, events, closed, .. } = self;
        f.debug_struct("Rude")
            .field("up", up)
            .field("closed", closed)
            .field("control", control)
            .field("events", &events.len())
            .finish_non_exhaustive()
    }
}
