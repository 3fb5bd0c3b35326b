//! A server made by hand: it answers with exactly the messages and datagrams that a test wants.
#![allow(dead_code, unreachable_pub)] // every test file uses its own part of it

use starling_client::{ClientEvent, ConnectOptions, LinkWish, Session};
use starling_protocol::codec::{decode, encode};
use starling_protocol::frame::{self, Frames};
use starling_protocol::limits::{DATAGRAM_BYTES_MAX, MESSAGE_BYTES_MAX};
use starling_protocol::message::control::{
    Authority, ControlDown, ControlUp, OwnEntity, ResumeAnswer, Welcome,
};
use starling_protocol::message::events::{EventDown, EventUp};
use starling_protocol::motion::{FixState, Knot, TrackKind, VELOCITY_STEP};
use starling_protocol::schema::{Field, FieldType, Kind, OrientationKind, Schema, Visibility};
use starling_protocol::snapshot::{Clock, Enter, Fields, Fold, Page, SnapshotWriter, State};
use starling_protocol::space::Space;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::{EntityId, Epoch, KindId, Nanos, SessionId, Tick, TickRate};
use starling_protocol::uplink::Uplink;

pub const MS: u64 = Nanos::MILLISECOND;

pub fn ms(ms: u64) -> Nanos {
    Nanos::from_millis(ms)
}

/// One kind with a heading, a level of 8 bits and a block.
pub fn schema() -> Schema {
    let level = Field {
        name: "level".into(),
        ty: FieldType::Bits { bits: 8 },
        visibility: Visibility::All,
    };
    Schema {
        kinds: vec![Kind {
            name: "player".into(),
            orientation: OrientationKind::Heading,
            fields: vec![level],
            block: true,
        }],
    }
}

/// A game world at 20 Hz whose epoch began 5 s before the client's time zero.
pub fn welcome() -> Welcome {
    Welcome {
        version: 1,
        tables: starling_protocol::version::TABLES,
        session: SessionId(77),
        resume_token: [9; 32],
        world: "plaza".into(),
        space: Space::Metric,
        track: TrackKind::Knots,
        authority: Authority::Client,
        epoch: Epoch(1),
        tick: Tick(100),
        tick_rate: TickRate::new(20).expect("in range"),
        server_time_us: 5_000_000,
        error_bound_mm: 40,
        hysteresis_permille: 1_125,
        rings: vec![],
        presence_ms: 10_000,
        park_ms: 600_000,
        heartbeat_ticks: 80,
        schema: schema(),
        resumed: ResumeAnswer::New,
        entities: Vec::new(),
    }
}

pub fn fleet() -> Welcome {
    Welcome {
        space: Space::Geodetic,
        track: TrackKind::Fixes,
        tick_rate: TickRate::new(1).expect("in range"),
        tick: Tick(5),
        heartbeat_ticks: 0,
        ..welcome()
    }
}

pub fn own(handle: u16, index: u32, name: &str) -> OwnEntity {
    let entity = EntityId { index, generation: 0 };
    OwnEntity {
        handle: starling_protocol::units::Handle(handle),
        entity,
        name: name.into(),
        sequence: 0,
    }
}

/// A session on one end, the test on the other.
pub struct Bench {
    pub session: Session,
    pub welcome: Welcome,
    frames: [Frames; 4],
    sequence: u32,
    out: Vec<u8>,
}

impl Bench {
    /// A session that has not been answered yet; the connection stands at time zero.
    pub fn joining(options: ConnectOptions, welcome: Welcome) -> Self {
        let mut session = Session::new(Nanos(0), options);
        assert_eq!(session.poll_link(), Some(LinkWish::Connect));
        session.handle_connected(Nanos(0));
        let frames = [const { Frames::new(MESSAGE_BYTES_MAX) }; 4];
        Self { session, welcome, frames, sequence: 0, out: Vec::new() }
    }

    /// A session that stands.
    pub fn live(welcome: Welcome) -> Self {
        let mut bench = Self::joining(ConnectOptions::new("plaza"), welcome);
        let hello = bench.control();
        assert!(matches!(hello.as_slice(), [ControlUp::Hello(_)]), "{hello:?}");
        bench.welcome_at(Nanos(0));
        assert!(matches!(bench.events().as_slice(), [ClientEvent::Connected { .. }]));
        bench
    }

    pub fn welcome_at(&mut self, now: Nanos) {
        let welcome = Box::new(self.welcome.clone());
        self.say(now, &ControlDown::Welcome(welcome));
    }

    /// The server says something on the control stream.
    pub fn say(&mut self, now: Nanos, message: &ControlDown) {
        let mut bytes = Vec::new();
        frame::write(&encode(message), &mut bytes);
        self.session.handle_stream(now, StreamKind::Control, &bytes);
    }

    /// The server says something on the events stream.
    pub fn tell(&mut self, message: &EventDown) {
        let mut bytes = Vec::new();
        frame::write(&encode(message), &mut bytes);
        self.session.handle_stream(Nanos(0), StreamKind::Events, &bytes);
    }

    fn take(&mut self, stream: StreamKind) -> Vec<Vec<u8>> {
        let bytes = self.session.poll_stream(stream).to_vec();
        self.session.stream_written(stream, bytes.len());
        let frames = &mut self.frames[stream as usize];
        frames.push(&bytes);
        let mut bodies = Vec::new();
        while let Some(body) = frames.next_frame().expect("whole frames") {
            bodies.push(body.to_vec());
        }
        bodies
    }

    /// What the session wrote on the control stream since the last look.
    pub fn control(&mut self) -> Vec<ControlUp> {
        let bodies = self.take(StreamKind::Control);
        bodies.iter().map(|body| decode(body).expect("a message")).collect()
    }

    /// What the session wrote on the events stream since the last look.
    pub fn channel(&mut self) -> Vec<EventUp> {
        let bodies = self.take(StreamKind::Events);
        bodies.iter().map(|body| decode(body).expect("a message")).collect()
    }

    pub fn events(&mut self) -> Vec<ClientEvent> {
        std::iter::from_fn(|| self.session.poll_event()).collect()
    }

    pub fn wishes(&mut self) -> Vec<LinkWish> {
        std::iter::from_fn(|| self.session.poll_link()).collect()
    }

    /// The uplink datagrams that are due now.
    pub fn uplinks(&mut self, now: Nanos) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        while self.session.poll_datagram(now, &mut self.out) {
            assert!(self.out.len() <= DATAGRAM_BYTES_MAX);
            all.push(self.out.clone());
        }
        all
    }

    pub fn read<'a>(&self, uplink: &'a [u8]) -> Uplink<'a> {
        Uplink::decode(self.welcome.space, uplink).expect("an uplink")
    }

    /// Sends a snapshot; says whether the session applied it.
    pub fn snapshot(&mut self, now: Nanos, snapshot: &Snapshot<'_>) -> bool {
        let sequence = self.sequence;
        self.sequence += 1;
        let bytes = snapshot.encode(&self.welcome, sequence);
        self.session.handle_datagram(now, &bytes)
    }

    pub fn skip_sequence(&mut self) {
        self.sequence += 1;
    }
}

/// What a snapshot datagram says; everything in page 0.
#[derive(Default)]
pub struct Snapshot<'a> {
    pub tick: u32,
    pub fold: Option<Fold>,
    pub clock: Option<Clock>,
    pub enters: Vec<(u8, EntityId, &'a str, State)>,
    pub states: Vec<(u8, State)>,
    pub leaves: Vec<u8>,
    pub cues: Vec<starling_protocol::snapshot::Cue<'a>>,
}

impl Snapshot<'_> {
    pub fn at(tick: u32) -> Self {
        Self { tick, ..Self::default() }
    }

    /// One that says something that is repeated until it is acknowledged: nobody is in that slot.
    pub fn news(tick: u32) -> Self {
        Self { leaves: vec![255], ..Self::at(tick) }
    }

    pub fn encode(&self, welcome: &Welcome, sequence: u32) -> Vec<u8> {
        let (mut out, tick) = (Vec::new(), Tick(self.tick));
        let mut writer = SnapshotWriter::new(&mut out, tick, sequence, DATAGRAM_BYTES_MAX);
        if let Some(fold) = &self.fold {
            writer.fold(fold);
        }
        if let Some(clock) = &self.clock {
            writer.clock(clock);
        }
        let mut page = Page::new(welcome.space);
        page.start(0, tick, None);
        self.leaves.iter().for_each(|slot| page.leave(*slot));
        for (slot, entity, name, state) in &self.enters {
            let enter = Enter {
                entity: *entity,
                kind: KindId(0),
                name: Some(name),
                fields: Fields::default(),
            };
            page.enter(*slot, &welcome.schema.kinds[0], &enter, state);
        }
        self.states.iter().for_each(|(slot, state)| page.absolute(*slot, state));
        assert!(writer.page(&page), "a test's snapshot fits one datagram");
        let (_, told) = writer.finish(self.cues.iter().copied());
        assert_eq!(told, self.cues.len());
        out
    }
}

pub fn entity(index: u32) -> EntityId {
    EntityId { index, generation: 0 }
}

/// A knot at metres, with metres per second (at 20 Hz) along x.
pub fn knot(tick: u32, x: f64, vx: f64) -> State {
    let per_tick = vx * 1024.0 / 20.0 / VELOCITY_STEP as f64;
    State::Knot(Knot {
        tick: Tick(tick),
        run: 0,
        pos: [(x * 64.0).round() as i32 * 16, 0, 0],
        vel: [per_tick.round() as i16, 0, 0],
        orientation: starling_protocol::sample::Orientation::Heading(0),
        spin: [0; 3],
    })
}

/// A fix on the equator, in grid steps of longitude (45e-7 degree), and the one before.
pub fn fix(tick: u32, east: i32, before: Option<(u32, i32)>) -> State {
    let pos = |east: i32| starling_protocol::space::IPos([0, east * 45, 0]);
    let (prev_tick, prev) = before.unwrap_or((tick, east));
    State::Fix(FixState {
        tick: Tick(tick),
        pos: pos(east),
        prev_tick: Tick(prev_tick),
        prev_pos: pos(prev),
        orientation: starling_protocol::sample::Orientation::Heading(0),
    })
}
