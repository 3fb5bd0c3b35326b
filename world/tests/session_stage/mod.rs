//! A world, the connections to it, and what each was told.
#![allow(dead_code, unreachable_pub)] // every test file uses a part of it, as if it were its own

pub mod dice;
pub mod disk;
pub mod line;

use disk::Disk;
use starling_protocol::close::CloseCode;
use starling_protocol::codec;
use starling_protocol::frame::Frames;
use starling_protocol::limits::MESSAGE_BYTES_MAX;
use starling_protocol::message::control::*;
use starling_protocol::message::events::*;
use starling_protocol::message::host::{HostDown, HostUp};
use starling_protocol::sample::Sample;
use starling_protocol::space::{IPos, Space};
use starling_protocol::stream::StreamKind;
use starling_protocol::units::*;
use starling_world::World;
use starling_world::config::{Profile, WorldConfig};
use starling_world::executor::Serial;
use starling_world::grants::{Grants, Pattern, Principal};
use starling_world::input::*;
use starling_world::output::{Note, Output};
use starling_world::recording::{Recorder, Sums};
use std::collections::BTreeMap;

/// What one connection was told, by stream.
#[derive(Default)]
pub struct Told {
    pub control: Vec<ControlDown>,
    pub events: Vec<EventDown>,
    pub host: Vec<HostDown>,
    pub bytes: usize,
    pub closed: Option<CloseCode>,
}

pub struct Stage {
    pub world: World,
    pub notes: Vec<Note>,
    pub disk: Disk,
    /// What goes into the world is written down here, where that is wanted.
    pub tape: Option<Recorder>,
    inputs: TickInputs,
    told: BTreeMap<ConnId, Told>,
    last_conn: u64,
}

/// A connection that has its session.
#[derive(Clone, Debug)]
pub struct Guest {
    pub conn: ConnId,
    pub welcome: Welcome,
}

impl Guest {
    pub fn session(&self) -> SessionId {
        self.welcome.session
    }
}

pub fn game() -> WorldConfig {
    WorldConfig::new("test", Space::Metric, Profile::Game)
}

pub fn digest(token: &[u8; 32]) -> [u8; 32] {
    token.map(|byte| byte ^ 0x5a)
}

pub fn patterns(names: &[&str]) -> Vec<Pattern> {
    names.iter().map(|name| Pattern((*name).into())).collect()
}

impl Stage {
    pub fn new() -> Self {
        Self::of(World::new(game()))
    }

    pub fn with(change: impl FnOnce(&mut WorldConfig)) -> Self {
        let mut config = game();
        change(&mut config);
        Self::of(World::new(config))
    }

    pub fn of(world: World) -> Self {
        Self {
            world,
            notes: Vec::new(),
            disk: Disk::default(),
            tape: None,
            inputs: TickInputs::default(),
            told: BTreeMap::new(),
            last_conn: 0,
        }
    }

    /// An Attach on a fresh connection, in open mode.
    pub fn knock(&mut self) -> Attach {
        self.last_conn += 1;
        let mut token = [0; 32];
        token[..8].copy_from_slice(&self.last_conn.to_le_bytes());
        Attach {
            conn: ConnId(self.last_conn),
            principal: Principal { grants: Grants::open(), ..Principal::default() },
            token,
            token_digest: digest(&token),
            resume: None,
            schema_hash: None,
            capabilities: 0,
        }
    }

    /// Attaches as asked; the Welcome, which may have waited for the disk, or the refusal.
    pub fn enter(&mut self, attach: Attach) -> Result<Guest, Refused> {
        let conn = attach.conn;
        self.step(Command::Attach(Box::new(attach)));
        let mut control = self.control(conn);
        if control.is_empty() {
            self.commit();
            control = self.control(conn);
        }
        match control.into_iter().next() {
            Some(ControlDown::Welcome(welcome)) => Ok(Guest { conn, welcome: *welcome }),
            Some(ControlDown::Refused(refused)) => Err(refused),
            other => panic!("neither Welcome nor Refused: {other:?}"),
        }
    }

    /// A guest in open mode.
    pub fn guest(&mut self) -> Guest {
        let attach = self.knock();
        self.enter(attach).expect("open mode lets everyone in")
    }

    /// A guest with a subject.
    pub fn guest_named(&mut self, subject: &str) -> Guest {
        let mut attach = self.knock();
        attach.principal.subject = subject.into();
        self.enter(attach).expect("everyone is let in")
    }

    /// A guest that would be told of its avatar.
    pub fn player(&mut self) -> Guest {
        let mut attach = self.knock();
        attach.capabilities = Capabilities::AVATAR;
        self.enter(attach).expect("open mode lets everyone in")
    }

    /// What a connection was told of its avatar since the last look.
    pub fn avatars(&mut self, conn: ConnId) -> Vec<Option<EntityId>> {
        let told = self.control(conn).into_iter().filter_map(|message| match message {
            ControlDown::Avatar { entity } => Some(entity),
            _ => None,
        });
        told.collect()
    }

    /// A guest with these grants.
    pub fn guest_with(&mut self, grants: Grants) -> Guest {
        let mut attach = self.knock();
        attach.principal.grants = grants;
        self.enter(attach).expect("everyone is let in")
    }

    /// Attaches again with the token of the last Welcome, having seen so much of each channel.
    pub fn resume(&mut self, guest: &Guest, seen: &[(ChannelKey, ChannelPosition)]) -> Guest {
        let attach = self.knock_again(guest, seen);
        self.enter(attach).expect("a resume never refuses a session")
    }

    pub fn knock_again(&mut self, guest: &Guest, seen: &[(ChannelKey, ChannelPosition)]) -> Attach {
        let mut attach = self.knock();
        attach.resume = Some(ResumeRequest {
            session: guest.welcome.session,
            token_digest: digest(&guest.welcome.resume_token),
            channels: seen.to_vec(),
        });
        attach
    }

    pub fn step(&mut self, command: Command) {
        self.steps(vec![command]);
    }

    pub fn steps(&mut self, mut commands: Vec<Command>) {
        let mut out = Output::default();
        if let Some(tape) = &mut self.tape {
            tape.step(0, &commands);
        }
        self.world.step(0, &mut commands, &mut out);
        self.take(out);
    }

    pub fn tick(&mut self) {
        let mut out = Output::default();
        self.world.tick(&self.inputs, &mut out, &Serial);
        if let Some(tape) = &mut self.tape {
            tape.tick(&self.inputs, Sums::of(&self.world, &out));
        }
        self.inputs.clear();
        self.take(out);
    }

    pub fn ticks(&mut self, count: u32) {
        (0..count).for_each(|_| self.tick());
    }

    /// Ticks, with a sign of life of these connections in each.
    pub fn ticks_with(&mut self, count: u32, alive: &[ConnId]) {
        for _ in 0..count {
            for conn in alive {
                self.breathe(*conn);
            }
            self.tick();
        }
    }

    /// A sign of life that changes nothing.
    pub fn breathe(&mut self, conn: ConnId) {
        let key = ChannelKey(u32::MAX);
        self.event(conn, EventUp::Unsubscribe { key });
        let nothing = EventDown::Unsubscribed { key, code: CloseCode::UNKNOWN_CHANNEL };
        if let Some(told) = self.told.get_mut(&conn) {
            told.events.retain(|event| *event != nothing);
        }
    }

    /// What a link carries from the next tick on.
    pub fn allow(&mut self, conn: ConnId, stream_bytes: u32) {
        self.inputs.links.push(Link { conn, datagram_bytes: 1_100, stream_bytes, rtt_us: 0 });
    }

    pub fn datagram(&mut self, conn: ConnId, payload: &[u8]) {
        self.inputs.push(conn, 0, payload);
    }

    pub fn detach(&mut self, conn: ConnId) {
        self.step(Command::Detach { conn });
    }

    pub fn send(&mut self, conn: ConnId, message: ControlUp) {
        self.step(Command::Control { conn, message });
    }

    pub fn event(&mut self, conn: ConnId, message: EventUp) {
        self.step(Command::Event { conn, message });
    }

    pub fn host(&mut self, conn: ConnId, message: HostUp) {
        self.step(Command::Host { conn, message });
    }

    pub fn spawn(&mut self, conn: ConnId, spawn: Spawn) -> Result<(Handle, EntityId), CloseCode> {
        self.control(conn);
        self.send(conn, ControlUp::Spawn(Box::new(spawn)));
        match self.control(conn).pop() {
            Some(ControlDown::Spawned { handle, entity, .. }) => Ok((handle, entity)),
            Some(ControlDown::SpawnRefused { code, .. }) => Err(code),
            other => panic!("no answer to a Spawn: {other:?}"),
        }
    }

    pub fn subscribe(&mut self, conn: ConnId, key: u32, channel: &str) -> Answer {
        self.subscribe_with(conn, key, channel, None, false)
    }

    /// Asks for a subscription and does not look for the answer.
    pub fn subscribe_unanswered(&mut self, conn: ConnId, key: u32, channel: &str) {
        let (key, channel) = (ChannelKey(key), channel.to_string());
        self.event(conn, EventUp::Subscribe { key, channel, resume: None, presence: false });
    }

    pub fn subscribe_with(
        &mut self,
        conn: ConnId,
        key: u32,
        channel: &str,
        resume: Option<ChannelPosition>,
        presence: bool,
    ) -> Answer {
        let (key, channel) = (ChannelKey(key), channel.to_string());
        let before = self.told.entry(conn).or_default().events.len();
        self.event(conn, EventUp::Subscribe { key, channel, resume, presence });
        let answers = self.told[&conn].events[before..].iter().filter_map(|event| match event {
            EventDown::Subscribed { key: k, answer, .. } if *k == key => Some(*answer),
            _ => None,
        });
        let answers: Vec<_> = answers.collect();
        assert_eq!(answers.len(), 1, "a Subscribe has exactly one answer");
        answers[0]
    }

    /// Publishes a message and returns its receipt or why it was refused.
    pub fn publish(&mut self, conn: ConnId, publish: Publish) -> Result<Receipt, CloseCode> {
        let id = publish.message;
        let before = self.told.entry(conn).or_default().events.len();
        self.event(conn, EventUp::Publish(Box::new(publish)));
        let answers = self.told[&conn].events[before..].iter().filter_map(|event| match event {
            EventDown::Published { message, receipt } if *message == id => Some(Ok(*receipt)),
            EventDown::PublishRefused { message, code, .. } if *message == id => Some(Err(*code)),
            _ => None,
        });
        let answers: Vec<_> = answers.collect();
        assert_eq!(answers.len(), 1, "a Publish has exactly one answer");
        answers[0]
    }

    pub fn say(&mut self, conn: ConnId, channel: &str, id: u64) -> Result<Receipt, CloseCode> {
        self.publish(conn, message(channel, id))
    }

    /// What the connection was told on the control stream, and forgets it.
    pub fn control(&mut self, conn: ConnId) -> Vec<ControlDown> {
        std::mem::take(&mut self.told.entry(conn).or_default().control)
    }

    /// What the connection was told on the events stream, and forgets it.
    pub fn events(&mut self, conn: ConnId) -> Vec<EventDown> {
        std::mem::take(&mut self.told.entry(conn).or_default().events)
    }

    /// What the connection was told on the host stream, and forgets it.
    pub fn hosted(&mut self, conn: ConnId) -> Vec<HostDown> {
        std::mem::take(&mut self.told.entry(conn).or_default().host)
    }

    /// The events delivered to the connection under a key, and forgets everything else.
    pub fn delivered(&mut self, conn: ConnId, key: u32) -> Vec<Event> {
        let events = self.events(conn).into_iter().filter_map(|event| match event {
            EventDown::Deliver(event) if event.key == ChannelKey(key) => Some(*event),
            _ => None,
        });
        events.collect()
    }

    pub fn closed(&self, conn: ConnId) -> Option<CloseCode> {
        self.told.get(&conn).and_then(|told| told.closed)
    }

    /// Stream bytes written to the connection so far.
    pub fn bytes(&self, conn: ConnId) -> usize {
        self.told.get(&conn).map_or(0, |told| told.bytes)
    }

    fn take(&mut self, mut out: Output) {
        for write in &out.writes {
            let told = self.told.entry(write.conn).or_default();
            assert_eq!(told.closed, None, "nothing is written after a close");
            told.bytes += write.bytes.len();
            let mut frames = Frames::new(MESSAGE_BYTES_MAX);
            frames.push(&out.arena[write.bytes.clone()]);
            while let Some(body) = frames.next_frame().expect("we write whole frames") {
                told.read(write.stream, body);
            }
        }
        for close in &out.closes {
            self.told.entry(close.conn).or_default().closed = Some(close.code);
        }
        self.notes.append(&mut out.notes);
        self.disk.take(&mut out);
    }
}

impl Told {
    fn read(&mut self, stream: StreamKind, body: &[u8]) {
        match stream {
            StreamKind::Control => self.control.push(codec::decode(body).expect("control")),
            StreamKind::Events => self.events.push(codec::decode(body).expect("event")),
            StreamKind::Host => self.host.push(codec::decode(body).expect("host")),
            StreamKind::Bulk => {}
        }
    }
}

/// A message for a channel.
pub fn message(channel: &str, id: u64) -> Publish {
    scoped(Scope::Channel(channel.into()), id)
}

/// A message for a scope; its payload is its id.
pub fn scoped(scope: Scope, id: u64) -> Publish {
    Publish::plain(MessageId(id), scope, id.to_le_bytes().to_vec())
}

/// A request for an entity of the first kind at a place in metres.
pub fn spawn_at(name: &str, at: [f64; 3]) -> Spawn {
    Spawn {
        request: 1,
        name: Some(name.into()),
        kind: KindId(0),
        team: 0,
        audience: Audience::All,
        sample: Sample { position: metres(at), ..Sample::default() },
        fields: Vec::new(),
        block: Vec::new(),
        avatar_of: None,
    }
}

pub fn metres(at: [f64; 3]) -> IPos {
    Space::Metric.snap(at).expect("in range")
}

pub fn place(epoch: Epoch, offset: u64) -> ChannelPosition {
    ChannelPosition { epoch, offset: Offset(offset) }
}
