//! A world and clients that look at it over links that may lose, delay, double and reorder.
//!
//! Each client keeps a real snapshot table. After every tick what its table says is compared with
//! what the world accepted.
#![allow(dead_code, unreachable_pub)] // every test file uses a part of it, as if it were its own

use starling_protocol::codec;
use starling_protocol::frame::Frames;
use starling_protocol::limits::{DATAGRAM_BYTES_MAX, MESSAGE_BYTES_MAX};
use starling_protocol::message::bulk::{BulkDown, BulkUp};
use starling_protocol::message::control::*;
use starling_protocol::message::interest::{Interest, Shape};
use starling_protocol::sample::Sample;
use starling_protocol::snapshot::{Fold, SnapshotError, Table};
use starling_protocol::space::{IPos, Space};
use starling_protocol::stream::StreamKind;
use starling_protocol::units::*;
use starling_protocol::uplink::{CueScope, CueUp, SampleUp, UplinkWriter};
use starling_world::World;
use starling_world::config::{Profile, WorldConfig};
use starling_world::executor::Serial;
use starling_world::grants::{Grants, Principal};
use starling_world::input::*;
use starling_world::output::{Output, Write};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Splitmix64: the same seed, the same run.
#[derive(Clone, Debug)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }
}

/// What a link does to datagrams, each way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    pub loss: f64,
    pub double: f64,
    /// Ticks on the way, and up to how many more.
    pub delay: u32,
    pub jitter: u32,
}

/// One of a client's own entities.
#[derive(Clone, Debug)]
pub struct Own {
    pub handle: Handle,
    pub entity: EntityId,
    pub sequence: u16,
    /// Sent in the next datagram; kept until changed.
    pub sample: Sample,
    /// No sample is sent while it is off.
    pub speaks: bool,
}

/// A cue that was delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    pub at: Tick,
    pub given: Tick,
    pub life: u8,
    pub kind: u8,
    pub source: Option<EntityId>,
    pub position: Option<IPos>,
    pub payload: Vec<u8>,
}

pub struct Client {
    pub conn: ConnId,
    pub welcome: Welcome,
    pub table: Table,
    pub own: Vec<Own>,
    pub weather: Weather,
    pub control: Vec<ControlDown>,
    pub heard: Vec<Heard>,
    pub folds: Vec<(Tick, Fold)>,
    pub clocks: u32,
    /// Datagrams of the last tick: their sizes.
    pub sizes: Vec<usize>,
    pub bytes: usize,
    pub datagrams: usize,
    pub stale: usize,
    pub entered: usize,
    pub left: usize,
    /// Cues for the next datagrams, until told of as folded.
    pub cues: Vec<(u16, u8, u8, CueScope, Vec<u8>)>,
    /// It sends nothing at all while this is set.
    pub mute: bool,
    /// It sends nothing but probes while this is set.
    pub probes: bool,
    sequence: u16,
    covered: BTreeMap<EntityId, Tick>,
    down: VecDeque<(u32, Vec<u8>)>,
    up: VecDeque<(u32, Vec<u8>)>,
    frames: BTreeMap<StreamKind, Frames>,
    /// Ticks that bulk messages take down, and their acknowledgements up.
    pub bulk_delay: u32,
    bulks: VecDeque<(u32, BulkDown)>,
    bulk_acks: VecDeque<(u32, u32)>,
}

pub struct Sky {
    pub world: World,
    pub clients: Vec<Client>,
    pub rng: Rng,
    pub checks: usize,
    pub worst_steps: f64,
    pub allowances: BTreeMap<ConnId, u32>,
    /// Read before and after each tick of the world; the differences are kept.
    pub meter: fn() -> usize,
    pub metered: Vec<usize>,
    inputs: TickInputs,
    out: Output,
    /// Of the last ticks: where everything was, and when that was accepted.
    past: VecDeque<(Tick, BTreeMap<EntityId, (IPos, Tick)>)>,
    last_conn: u64,
}

pub fn metric() -> WorldConfig {
    WorldConfig::new("test", Space::Metric, Profile::Game)
}

pub fn geodetic() -> WorldConfig {
    WorldConfig::new("test", Space::Geodetic, Profile::Fleet)
}

pub fn at(space: Space, point: [f64; 3]) -> Sample {
    Sample { position: space.snap(point).expect("in range"), ..Sample::default() }
}

pub fn around(radius_m: f32) -> Interest {
    Interest::new(Shape::Around { entity: None, radius_m })
}

impl Sky {
    pub fn new(config: WorldConfig, seed: u64) -> Self {
        Self::of(World::new(config), seed)
    }

    pub fn of(world: World, seed: u64) -> Self {
        Self {
            world,
            clients: Vec::new(),
            rng: Rng(seed),
            checks: 0,
            worst_steps: 0.0,
            allowances: BTreeMap::new(),
            meter: || 0,
            metered: Vec::new(),
            inputs: TickInputs::default(),
            out: Output::default(),
            past: VecDeque::new(),
            last_conn: 0,
        }
    }

    pub fn space(&self) -> Space {
        self.world.config().space
    }

    /// A client without entities.
    pub fn client(&mut self) -> usize {
        self.client_with(Grants::open(), 0)
    }

    pub fn client_with(&mut self, grants: Grants, capabilities: u32) -> usize {
        let attach = self.knock(grants, capabilities);
        let conn = attach.conn;
        let welcome = self.attach(attach);
        let table = Table::new(welcome.track, welcome.space, welcome.tick, 0);
        self.clients.push(Client {
            conn,
            welcome,
            table,
            own: Vec::new(),
            weather: Weather::default(),
            control: Vec::new(),
            heard: Vec::new(),
            folds: Vec::new(),
            clocks: 0,
            sizes: Vec::new(),
            bytes: 0,
            datagrams: 0,
            stale: 0,
            entered: 0,
            left: 0,
            cues: Vec::new(),
            mute: false,
            probes: false,
            sequence: 0,
            covered: BTreeMap::new(),
            down: VecDeque::new(),
            up: VecDeque::new(),
            frames: BTreeMap::new(),
            bulk_delay: 0,
            bulks: VecDeque::new(),
            bulk_acks: VecDeque::new(),
        });
        self.clients.len() - 1
    }

    fn knock(&mut self, grants: Grants, capabilities: u32) -> Attach {
        self.last_conn += 1;
        let mut token = [0; 32];
        token[..8].copy_from_slice(&self.last_conn.to_le_bytes());
        Attach {
            conn: ConnId(self.last_conn),
            principal: Principal { grants, ..Principal::default() },
            token,
            token_digest: token,
            resume: None,
            schema_hash: None,
            capabilities,
        }
    }

    fn attach(&mut self, attach: Attach) -> Welcome {
        let conn = attach.conn;
        let mut out = Output::default();
        self.world.step(0, &mut vec![Command::Attach(Box::new(attach))], &mut out);
        let mine = |write: &&Write| write.conn == conn && write.stream == StreamKind::Control;
        let write = out.writes.iter().find(mine).expect("an Attach is answered");
        let frame = frames_of(&out.arena[write.bytes.clone()]).remove(0);
        match codec::decode(&frame).expect("we wrote it") {
            ControlDown::Welcome(welcome) => *welcome,
            other => panic!("no Welcome: {other:?}"),
        }
    }

    /// A client loses its connection and takes its session up again on another: its table is
    /// empty, its session is not.
    pub fn resume(&mut self, client: usize) {
        let (old, session, token) = {
            let client = &self.clients[client];
            (client.conn, client.welcome.session, client.welcome.resume_token)
        };
        self.command(Command::Detach { conn: old });
        let mut attach = self.knock(Grants::open(), 0);
        let conn = attach.conn;
        attach.resume = Some(ResumeRequest { session, token_digest: token, channels: Vec::new() });
        let welcome = self.attach(attach);
        assert_eq!(welcome.resumed, ResumeAnswer::Resumed);
        let client = &mut self.clients[client];
        client.table = Table::new(welcome.track, welcome.space, welcome.tick, 0);
        client.conn = conn;
        client.welcome = welcome;
        client.frames.clear();
        client.down.clear();
        client.up.clear();
        client.bulks.clear();
        client.bulk_acks.clear();
        client.covered.clear();
    }

    /// A client with one entity and an area of so many metres round it.
    pub fn player(&mut self, point: [f64; 3], radius_m: f32) -> usize {
        let client = self.client();
        self.spawn(client, point);
        self.look(client, 0, around(radius_m));
        client
    }

    pub fn spawn(&mut self, client: usize, point: [f64; 3]) -> EntityId {
        self.spawn_as(client, point, |_| ())
    }

    pub fn spawn_as(
        &mut self,
        client: usize,
        point: [f64; 3],
        change: impl FnOnce(&mut Spawn),
    ) -> EntityId {
        let sample = at(self.space(), point);
        let mut spawn = Spawn {
            request: 1,
            name: None,
            kind: KindId(0),
            team: 0,
            audience: Audience::All,
            sample,
            fields: Vec::new(),
            block: Vec::new(),
            avatar_of: None,
        };
        change(&mut spawn);
        let sample = spawn.sample;
        self.send(client, ControlUp::Spawn(Box::new(spawn)));
        match self.clients[client].control.pop() {
            Some(ControlDown::Spawned { handle, entity, .. }) => {
                let own = Own { handle, entity, sequence: 0, sample, speaks: true };
                self.clients[client].own.push(own);
                entity
            }
            other => panic!("not spawned: {other:?}"),
        }
    }

    pub fn look(&mut self, client: usize, id: u8, interest: Interest) {
        self.send(client, ControlUp::SetInterest { id, interest: Some(interest) });
        let answer = self.clients[client].control.pop();
        assert!(matches!(answer, Some(ControlDown::InterestSet { .. })), "{answer:?}");
    }

    pub fn send(&mut self, client: usize, message: ControlUp) {
        let conn = self.clients[client].conn;
        self.command(Command::Control { conn, message });
    }

    pub fn command(&mut self, command: Command) {
        let mut out = Output::default();
        self.world.step(0, &mut vec![command], &mut out);
        self.take_writes(&out);
    }

    /// Moves a client's first entity from the next tick on.
    pub fn place(&mut self, client: usize, point: [f64; 3]) {
        self.clients[client].own[0].sample = at(self.space(), point);
    }

    pub fn run(&mut self, ticks: u32) {
        (0..ticks).for_each(|_| self.tick());
    }

    /// Every client sends, the world runs, every client takes in what reaches it.
    pub fn tick(&mut self) {
        let next = self.world.now() + 1;
        self.inputs.clear();
        for (conn, datagram_bytes) in &self.allowances {
            let (conn, datagram_bytes) = (*conn, *datagram_bytes);
            let link = Link { conn, datagram_bytes, stream_bytes: 64 * 1024, rtt_us: 0 };
            self.inputs.links.push(link);
        }
        for client in &mut self.clients {
            for payload in client.uplinks(next) {
                client.depart(payload, true, next, &mut self.rng);
            }
            while client.up.front().is_some_and(|(due, _)| *due <= next.0) {
                let (_, payload) = client.up.pop_front().expect("just seen");
                self.inputs.push(client.conn, u64::from(next.0) * 50_000 - 10_000, &payload);
            }
        }
        self.inputs.now_us = u64::from(next.0) * 50_000;
        self.out.clear();
        let before = (self.meter)();
        self.world.tick(&self.inputs, &mut self.out, &Serial);
        self.metered.push((self.meter)() - before);
        self.remember();
        self.deliver();
        self.acknowledge_bulk();
        self.check();
    }

    fn remember(&mut self) {
        let entities = self.world.entities();
        let all = entities.iter().map(|idx| {
            let accepted = entities.accepted(idx);
            (entities.id(idx), (accepted.position, accepted.tick))
        });
        self.past.push_back((self.world.now(), all.collect()));
        if self.past.len() > 200 {
            self.past.pop_front();
        }
    }

    fn deliver(&mut self) {
        let now = self.world.now();
        let out = std::mem::take(&mut self.out);
        self.take_writes(&out);
        let mut spent: BTreeMap<ConnId, usize> = BTreeMap::new();
        self.clients.iter_mut().for_each(|client| client.sizes.clear());
        for datagram in &out.datagrams {
            let payload = out.arena[datagram.bytes.clone()].to_vec();
            assert!(payload.len() <= DATAGRAM_BYTES_MAX);
            *spent.entry(datagram.conn).or_default() += payload.len();
            let client = self.clients.iter_mut().find(|c| c.conn == datagram.conn);
            let client = client.expect("datagrams go to connections that are there");
            client.sizes.push(payload.len());
            client.bytes += payload.len();
            client.datagrams += 1;
            client.depart(payload, false, now, &mut self.rng);
        }
        for (conn, bytes) in spent {
            let allowed = self.allowances.get(&conn).copied().unwrap_or(1_100) as usize;
            assert!(bytes <= allowed, "{bytes} bytes where {allowed} were allowed");
        }
        let schema = self.world.config().schema.clone();
        self.clients.iter_mut().for_each(|client| client.take_datagrams(&schema, now));
        self.out = out;
    }

    fn take_writes(&mut self, out: &Output) {
        for write in &out.writes {
            let bytes = &out.arena[write.bytes.clone()];
            if let Some(client) = self.clients.iter_mut().find(|c| c.conn == write.conn) {
                client.take_stream(write.stream, bytes);
            }
        }
    }

    fn acknowledge_bulk(&mut self) {
        let now = self.world.now().0;
        let schema = self.world.config().schema.clone();
        let mut acks = Vec::new();
        for client in &mut self.clients {
            client.take_bulks(&schema, now);
            while client.bulk_acks.front().is_some_and(|(due, _)| *due <= now) {
                let (_, sequence) = client.bulk_acks.pop_front().expect("just seen");
                acks.push((client.conn, sequence));
            }
        }
        for (conn, sequence) in acks {
            self.command(Command::Bulk { conn, message: BulkUp::Ack { sequence } });
        }
    }

    /// Compares every table with the world: P1, and the bound on positions.
    fn check(&mut self) {
        let space = self.space();
        let bound = match space {
            Space::Metric => 40.96,
            Space::Geodetic => 0.0,
        };
        for client in &mut self.clients {
            for slot in client.table.slots() {
                let (Some(view), Some(tick)) =
                    (client.table.entity(slot), client.table.covered(slot))
                else {
                    continue;
                };
                let before = client.covered.insert(view.entity, tick);
                assert!(before.is_none_or(|b| b <= tick), "{} went back in time", view.entity);
                let Some((_, past)) = self.past.iter().find(|(t, _)| *t == tick) else { continue };
                let Some((accepted, at)) = past.get(&view.entity) else { continue };
                if *at != tick {
                    continue;
                }
                let held = client.table.position(slot, tick).expect("it is there");
                self.checks += 1;
                let off = match space {
                    Space::Metric => distance_steps(held, *accepted),
                    Space::Geodetic => {
                        let snapped = starling_protocol::motion::snap_fix(space, *accepted);
                        if held == snapped { 0.0 } else { 1.0 }
                    }
                };
                self.worst_steps = self.worst_steps.max(off);
                assert!(
                    off <= bound,
                    "{} is {off} steps off in {tick}: {held:?} for {accepted:?}",
                    view.entity
                );
            }
        }
    }

    /// What a client sees now.
    pub fn seen(&self, client: usize) -> BTreeSet<EntityId> {
        let table = &self.clients[client].table;
        table.slots().filter_map(|slot| Some(table.entity(slot)?.entity)).collect()
    }

    pub fn sees(&self, client: usize, entity: EntityId) -> bool {
        self.seen(client).contains(&entity)
    }

    /// Where a client believes an entity to be now.
    pub fn believed(&self, client: usize, entity: EntityId) -> Option<IPos> {
        let table = &self.clients[client].table;
        let slot = table.slots().find(|s| table.entity(*s).is_some_and(|e| e.entity == entity))?;
        table.position(slot, self.world.now())
    }

    /// Where an entity was accepted last.
    pub fn accepted(&self, entity: EntityId) -> IPos {
        let entities = self.world.entities();
        let idx = entities.find(entity).expect("it lives");
        entities.accepted(idx).position
    }
}

pub fn distance_steps(a: IPos, b: IPos) -> f64 {
    let off = |axis: usize| f64::from(a.0[axis]) - f64::from(b.0[axis]);
    (0..3).map(|axis| off(axis) * off(axis)).sum::<f64>().sqrt()
}

pub fn frames_of(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Frames::new(MESSAGE_BYTES_MAX);
    frames.push(bytes);
    let mut all = Vec::new();
    while let Some(frame) = frames.next_frame().expect("we wrote it") {
        all.push(frame.to_vec());
    }
    all
}

impl Client {
    /// Its datagrams of this tick: as many as its samples need.
    fn uplinks(&mut self, tick: Tick) -> Vec<Vec<u8>> {
        let mut datagrams = Vec::new();
        let mut next = 0;
        while !self.mute && (datagrams.is_empty() || next < self.own.len()) {
            datagrams.push(self.uplink(tick, &mut next));
        }
        datagrams
    }

    fn uplink(&mut self, tick: Tick, next: &mut usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.sequence = self.sequence.wrapping_add(1);
        let mut writer = UplinkWriter::new(&mut bytes, self.welcome.space, self.sequence, tick);
        if self.probes {
            *next = self.own.len();
            writer.finish();
            return bytes;
        }
        if let Some(ack) = self.table.ack() {
            writer.ack(ack);
        }
        let cues = self.cues.iter().map(|(id, kind, life, scope, payload)| CueUp {
            id: *id,
            kind: *kind,
            life: *life,
            scope: *scope,
            payload,
        });
        assert_eq!(writer.cues(cues), self.cues.len(), "a few cues fit");
        for own in &mut self.own[*next..] {
            if own.speaks {
                let sequence = own.sequence.wrapping_add(1);
                let sample = SampleUp { handle: own.handle, sequence, sample: own.sample };
                if !writer.sample(&sample) {
                    break;
                }
                own.sequence = sequence;
            }
            *next += 1;
        }
        writer.finish();
        bytes
    }

    /// Puts a datagram on its way, or loses it.
    fn depart(&mut self, payload: Vec<u8>, up: bool, now: Tick, rng: &mut Rng) {
        let copies = 1 + usize::from(rng.chance(self.weather.double));
        for _ in 0..copies {
            if payload.is_empty() || rng.chance(self.weather.loss) {
                continue;
            }
            let jitter = (rng.unit() * f64::from(self.weather.jitter + 1)) as u32;
            let due = now.0 + self.weather.delay + jitter;
            let queue = if up { &mut self.up } else { &mut self.down };
            let place = queue.partition_point(|(other, _)| *other <= due);
            queue.insert(place, (due, payload.clone()));
        }
    }

    fn take_datagrams(&mut self, schema: &starling_protocol::schema::Schema, now: Tick) {
        while self.down.front().is_some_and(|(due, _)| *due <= now.0) {
            let (_, payload) = self.down.pop_front().expect("just seen");
            let applied = match self.table.apply(schema, &payload) {
                Ok(applied) => applied,
                Err(SnapshotError::Stale(_)) => {
                    self.stale += 1;
                    continue;
                }
                Err(error) => panic!("a datagram of the world was refused: {error}"),
            };
            self.entered += applied.entered().len();
            self.left += applied.left().len();
            self.folds.extend(applied.fold.map(|fold| (applied.tick, fold)));
            self.clocks += u32::from(applied.clock.is_some());
            let tick = applied.tick;
            self.heard.extend(applied.cues().map(|cue| Heard {
                at: tick,
                given: cue.tick,
                life: cue.life,
                kind: cue.kind,
                source: cue.source,
                position: cue.position,
                payload: cue.payload.into(),
            }));
        }
    }

    fn take_stream(&mut self, stream: StreamKind, bytes: &[u8]) {
        let frames = self.frames.entry(stream).or_insert_with(|| Frames::new(MESSAGE_BYTES_MAX));
        frames.push(bytes);
        let mut bodies = Vec::new();
        while let Some(body) = frames.next_frame().expect("we wrote it") {
            bodies.push(body.to_vec());
        }
        for body in bodies {
            match stream {
                StreamKind::Control => {
                    self.control.push(codec::decode(&body).expect("we wrote it"));
                }
                StreamKind::Bulk => {
                    let message: BulkDown = codec::decode(&body).expect("we wrote it");
                    let BulkDown::Enters { tick, .. } = &message else { continue };
                    self.bulks.push_back((tick.0 + self.bulk_delay, message));
                }
                _ => {}
            }
        }
    }

    fn take_bulks(&mut self, schema: &starling_protocol::schema::Schema, now: u32) {
        while self.bulks.front().is_some_and(|(due, _)| *due <= now) {
            let (_, message) = self.bulks.pop_front().expect("just seen");
            let applied = self.table.apply_bulk(schema, &message).expect("we wrote it");
            self.entered += applied.entered().len();
            if let BulkDown::Enters { sequence, .. } = message {
                self.bulk_acks.push_back((now + self.bulk_delay, sequence));
            }
        }
    }
}
