//! Rigid bodies of a hosted world, one viewer that sees them all, and what that costs.
//!
//! The host says where every body is in every tick. The viewer's acknowledgements reach the world
//! so many ticks late that no baseline is younger than asked, however near the viewer may be.

use crate::client::Client;
use crate::clock::CpuTime;
use crate::wire::{ACK_BYTES, HEADER_BYTES, QUIC_BYTES};
use starling_protocol::message::control::{Authority, Capabilities, ControlUp};
use starling_protocol::message::interest::{Interest, Shape, Target};
use starling_protocol::motion::TrackKind;
use starling_protocol::sample::{Orientation, Sample};
use starling_protocol::schema::{Kind, OrientationKind, Schema};
use starling_protocol::space::{METRIC_STEPS, Space};
use starling_protocol::units::{EntityId, Tick, TickRate};
use starling_world::World;
use starling_world::config::{Profile, WorldConfig};
use starling_world::executor::Serial;
use starling_world::grants::Grants;
use starling_world::input::{Command, ConnId, Link, TickInputs};
use starling_world::output::Output;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

const HOST: ConnId = ConnId(1);
const VIEWER: ConnId = ConnId(2);

/// A body as its simulation has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Body {
    /// Metres.
    pub position: [f64; 3],
    /// Metres per second.
    pub velocity: [f64; 3],
    /// x, y, z, w.
    pub rotation: [f32; 4],
}

/// What was counted and compared.
#[derive(Clone, Debug, Default)]
pub struct Count {
    /// Ticks.
    pub ticks: u64,
    /// Datagrams to the viewer.
    pub datagrams: u64,
    /// Ticks that sent it one: the first of a tick carries an acknowledgement of what came up.
    pub told: u64,
    /// Bytes of their payloads, and of streams.
    pub bytes: u64,
    /// Bodies, over all ticks, that are not where or not as they were in the tick before.
    pub moving: u64,
    /// Bodies over all ticks.
    pub bodies: u64,
    /// Distances between the viewer's copies and the bodies, in metres.
    pub error_m: Vec<f32>,
    /// Angles between them, in degrees.
    pub error_deg: Vec<f32>,
    /// Bodies, over all ticks, of which the viewer had no copy.
    pub missing: u64,
    /// CPU time of the world's ticks.
    pub cpu: Duration,
}

impl Count {
    /// Kilobits per second: payloads, with QUIC's part and its acknowledgements, and with the
    /// headers below it.
    #[must_use]
    pub fn kbit_per_s(&self, hz: u16) -> [f64; 3] {
        let quic = self.datagrams * u64::from(QUIC_BYTES) + self.told * u64::from(ACK_BYTES);
        let quic = self.bytes + quic;
        let all = quic + self.datagrams * u64::from(HEADER_BYTES);
        let seconds = self.ticks as f64 / f64::from(hz);
        [self.bytes, quic, all].map(|bytes| bytes as f64 * 8.0 / 1e3 / seconds)
    }
}

/// A hosted world and its viewer.
#[derive(Debug)]
pub struct Stage {
    world: World,
    schema: Schema,
    host: Client,
    viewer: Client,
    /// Ticks from a datagram to its acknowledgement.
    delay: u32,
    acks: VecDeque<(u32, Vec<u8>)>,
    number: BTreeMap<EntityId, usize>,
    /// Bodies that the newest tick told of.
    updated: Vec<EntityId>,
    tick_us: f64,
    before: Vec<Body>,
    inputs: TickInputs,
    out: Output,
}

impl Stage {
    /// A world of these bodies at `hz`, with no baseline younger than `baseline_ms`.
    ///
    /// # Panics
    /// When the rate is beyond the protocol's limits.
    #[must_use]
    pub fn new(bodies: &[Body], hz: u16, baseline_ms: u32) -> Self {
        let schema = Schema {
            kinds: vec![Kind {
                name: "body".to_owned(),
                orientation: OrientationKind::Quaternion,
                fields: Vec::new(),
                block: false,
            }],
        };
        let config = WorldConfig {
            authority: Authority::Host,
            tick_rate: TickRate::new(hz).expect("a rate within the limits"),
            schema: schema.clone(),
            ..WorldConfig::new("bodies", Space::Metric, Profile::Game)
        };
        assert_eq!(config.track(), TrackKind::Knots, "bodies are a game");
        let mut stage = Self {
            world: World::new(config),
            schema,
            host: Client::new(HOST, 0..0),
            viewer: Client::new(VIEWER, 0..0),
            delay: (baseline_ms * u32::from(hz)).div_ceil(1_000),
            acks: VecDeque::new(),
            number: BTreeMap::new(),
            updated: Vec::new(),
            tick_us: 1e6 / f64::from(hz),
            before: bodies.to_vec(),
            inputs: TickInputs::default(),
            out: Output::default(),
        };
        stage.open(bodies);
        stage
    }

    fn open(&mut self, bodies: &[Body]) {
        let grants = Grants { host: true, ..Grants::open() };
        let host = self.host.attach_as(grants, Capabilities::HOST);
        let viewer = self.viewer.attach_as(Grants::open(), Capabilities::VIEWER);
        self.answer(vec![host, viewer]);
        let spawns = bodies.iter().map(|body| self.host.spawn(sample(body))).collect();
        self.answer(spawns);
        let shape = Shape::Point { center: [0.0; 3], radius_m: 10_000.0 };
        let interest = Some(Interest { names: false, ..Interest::new(shape) });
        let look = self.viewer.say(ControlUp::SetInterest { id: 0, interest });
        self.answer(vec![look]);
        let entities = self.host.entities.iter().enumerate();
        self.number = entities.map(|(at, entity)| (*entity, at)).collect();
        assert_eq!(self.number.len(), bodies.len(), "every body has a place in the world");
    }

    /// One tick with the bodies as they are now; what it cost is added to `count`.
    ///
    /// # Panics
    /// When the world writes what its viewer cannot read.
    pub fn tick(&mut self, bodies: &[Body], count: &mut Count) {
        let next = self.world.now() + 1;
        self.inputs.clear();
        self.inputs.now_us = (f64::from(next.0) * self.tick_us) as u64;
        let links = [HOST, VIEWER].map(|conn| Link {
            conn,
            datagram_bytes: 64 * 1024,
            stream_bytes: 64 * 1024,
            rtt_us: 100_000,
        });
        self.inputs.links.extend(links);
        let samples: Vec<Sample> = bodies.iter().map(sample).collect();
        self.host.send_all(&samples, next, &mut self.inputs);
        self.acknowledge(next.0);
        self.out.clear();
        count.cpu += CpuTime::of(|| self.world.tick(&self.inputs, &mut self.out, &Serial));
        self.deliver(count);
        self.acks.push_back((next.0 + self.delay, self.viewer.acknowledge(next)));
        self.compare(bodies, count);
    }

    /// Acknowledgements that have been under way for long enough.
    fn acknowledge(&mut self, tick: u32) {
        while self.acks.front().is_some_and(|(due, _)| *due <= tick) {
            let Some((_, bytes)) = self.acks.pop_front() else { return };
            let at_us = self.inputs.now_us;
            self.inputs.push(VIEWER, at_us, &bytes);
        }
    }

    fn deliver(&mut self, count: &mut Count) {
        let out = std::mem::take(&mut self.out);
        self.updated.clear();
        count.told += u64::from(out.datagrams.iter().any(|datagram| datagram.conn == VIEWER));
        for datagram in out.datagrams.iter().filter(|datagram| datagram.conn == VIEWER) {
            let payload = &out.arena[datagram.bytes.clone()];
            count.datagrams += 1;
            count.bytes += payload.len() as u64;
            let applied = self.viewer.table.apply(&self.schema, payload);
            let applied = applied.expect("the world writes what tables take");
            let updated = applied.updated().to_vec();
            let entity = |slot| self.viewer.table.entity(slot).map(|seen| seen.entity);
            self.updated.extend(updated.into_iter().filter_map(entity));
        }
        let writes = out.writes.iter().filter(|write| write.conn == VIEWER);
        count.bytes += writes.map(|write| write.bytes.len() as u64).sum::<u64>();
        let answers = self.hear(&out);
        self.out = out;
        self.answer(answers);
    }

    fn compare(&mut self, bodies: &[Body], count: &mut Count) {
        let tick = self.world.now();
        count.ticks += 1;
        count.bodies += bodies.len() as u64;
        let moved = bodies.iter().zip(&self.before).filter(|(now, before)| moved(now, before));
        count.moving += moved.count() as u64;
        self.before.copy_from_slice(bodies);
        let mut held = 0;
        for slot in self.viewer.table.slots() {
            let Some(seen) = self.viewer.table.entity(slot) else { continue };
            let Some(&number) = self.number.get(&seen.entity) else { continue };
            let body = &bodies[number];
            held += 1;
            let copy = Space::Metric.point(seen.state.position(tick));
            count.error_m.push(distance(copy, body.position) as f32);
            let turned = seen.state.orientation(tick).to_quaternion();
            let turned = turned.unwrap_or([0.0, 0.0, 0.0, 1.0]);
            count.error_deg.push(angle_deg(turned, body.rotation));
        }
        count.missing += bodies.len() as u64 - held;
    }

    fn answer(&mut self, mut commands: Vec<Command>) {
        while !commands.is_empty() {
            let mut out = Output::default();
            self.world.step(0, &mut commands, &mut out);
            commands = self.hear(&out);
        }
    }

    fn hear(&mut self, out: &Output) -> Vec<Command> {
        assert!(out.closes.is_empty(), "the world closed a bench's client: {:?}", out.closes);
        let mut answers = Vec::new();
        for write in &out.writes {
            let client = if write.conn == HOST { &mut self.host } else { &mut self.viewer };
            let bytes = &out.arena[write.bytes.clone()];
            client.hear(write.stream, bytes, &self.schema, &mut answers);
        }
        answers
    }

    /// Milliseconds by which the baselines lay back that the newest tick's codes were made against,
    /// as the world itself says. It keeps news of a session that somebody asks about, so this is no
    /// question for ticks that are timed.
    ///
    /// # Panics
    /// When the world does not know its viewer.
    pub fn baselines_ms(&mut self) -> Vec<f64> {
        let (session, now) = (self.viewer.session.expect("it was welcomed"), self.world.now());
        let mut ages = Vec::new();
        for entity in std::mem::take(&mut self.updated) {
            let why =
                self.world.why(session, &Target::Id(entity)).expect("it was told of this one");
            let base = why.slot.map(|slot| slot.base).filter(|base| *base > Tick(0));
            let age = base.and_then(|base| now.since(base));
            ages.extend(age.map(|ticks| f64::from(ticks) * self.tick_us / 1e3));
        }
        ages
    }

    /// Does the viewer hold every body?
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.viewer.table.slots().count() == self.number.len()
    }
}

fn sample(body: &Body) -> Sample {
    Sample {
        position: Space::Metric.snap(body.position).expect("bodies stay in their world"),
        velocity: Some(body.velocity.map(|v| (v * METRIC_STEPS) as i32)),
        orientation: Orientation::from_quaternion(body.rotation),
        fix: None,
    }
}

fn moved(now: &Body, before: &Body) -> bool {
    now.position != before.position || now.rotation != before.rotation
}

fn distance(a: [f64; 3], b: [f64; 3]) -> f64 {
    let square: f64 = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum();
    square.sqrt()
}

/// The angle of the rotation between two rotations.
fn angle_deg(a: [f32; 4], b: [f32; 4]) -> f32 {
    let dot: f64 = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(b)).sum();
    (2.0 * dot.abs().min(1.0).acos()).to_degrees() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn falling(tick: u32) -> Vec<Body> {
        let t = f64::from(tick) / 60.0;
        let body = |n: u32| Body {
            position: [f64::from(n), 0.0, 20.0 - 5.0 * t * t],
            velocity: [0.0, 0.0, -10.0 * t],
            rotation: [0.0, 0.0, (t as f32).sin(), (t as f32).cos()],
        };
        (0..100).map(body).collect()
    }

    #[test]
    fn a_viewer_holds_every_body_as_it_is_with_late_acknowledgements() {
        let mut stage = Stage::new(&falling(0), 60, 100);
        (1..40).for_each(|t| stage.tick(&falling(t), &mut Count::default()));
        assert!(stage.is_complete());
        let mut count = Count::default();
        let mut baselines = Vec::new();
        for t in 40..80 {
            stage.tick(&falling(t), &mut count);
            baselines.extend(stage.baselines_ms());
        }
        assert_eq!((count.missing, count.moving, count.ticks), (0, 4_000, 40));
        assert!(baselines.len() > 100, "what falls is told of");
        assert!(baselines.iter().all(|ms| (99.9..200.0).contains(ms)), "{baselines:?}");
        assert!(count.error_m.iter().all(|e| *e < 0.05), "the bound of a game holds");
        assert!(count.error_deg.iter().all(|e| *e < 3.0));
        assert!(count.kbit_per_s(60)[0] > 1.0);
    }
}
