//! A world in which nothing moves and some look at all of it: what a whole tick costs then.

use crate::client::Client;
use crate::clock::CpuTime;
use starling_protocol::message::control::{Capabilities, ControlUp};
use starling_protocol::message::interest::{Interest, Shape};
use starling_protocol::sample::{Orientation, Sample};
use starling_protocol::schema::Schema;
use starling_protocol::space::Space;
use starling_world::World;
use starling_world::config::{Profile, WorldConfig};
use starling_world::executor::Serial;
use starling_world::grants::Grants;
use starling_world::input::{Command, ConnId, TickInputs};
use starling_world::output::Output;
use std::time::Duration;

/// Between two of the things, in metres.
const APART_M: f64 = 5.0;
/// Ticks in which viewers get to know everything, at most.
const MEET_TICKS: u32 = 2_000;
/// The owner says that it is still there in one tick of so many: a second. Things are not removed
/// although nothing is said of them for that long.
const PROBE_TICKS: u32 = 20;
const PRESENCE_MS: u32 = 1_000_000;
/// The owner's connection; those of viewers follow.
const OWNER: ConnId = ConnId(0);

/// The world and its viewers.
#[derive(Debug)]
pub struct Still {
    world: World,
    schema: Schema,
    owner: Client,
    viewers: Vec<Client>,
    /// Viewers that were told something in the newest tick: they answer.
    told: Vec<bool>,
    inputs: TickInputs,
    out: Output,
}

impl Still {
    /// So many things on a square and so many viewers that hold all of them.
    ///
    /// # Panics
    /// When viewers are not told of everything.
    #[must_use]
    pub fn new(entities: u32, viewers: u32) -> Self {
        let config = WorldConfig {
            presence_ms: PRESENCE_MS,
            ..WorldConfig::new("still", Space::Metric, Profile::Game)
        };
        let viewer = |n: u32| Client::new(ConnId(u64::from(n) + 1), 0..0);
        let mut still = Self {
            schema: config.schema.clone(),
            world: World::new(config),
            owner: Client::new(OWNER, 0..0),
            viewers: (0..viewers).map(viewer).collect(),
            told: vec![false; viewers as usize],
            inputs: TickInputs::default(),
            out: Output::default(),
        };
        still.open(entities);
        for _ in 0..MEET_TICKS {
            if still.seen() == entities as usize * viewers as usize && !still.told.contains(&true) {
                return still;
            }
            still.tick();
        }
        panic!("viewers hold {} of {entities} x {viewers}", still.seen());
    }

    fn open(&mut self, entities: u32) {
        let mut commands = vec![self.owner.attach()];
        let look = |viewer: &Client| viewer.attach_as(Grants::open(), Capabilities::VIEWER);
        commands.extend(self.viewers.iter().map(look));
        self.answer(commands);
        let across = f64::from(entities).sqrt().ceil() as u32;
        let side_m = f64::from(across) * APART_M;
        let spawns = (0..entities).map(|n| {
            let at = [n % across, n / across].map(|n| f64::from(n) * APART_M);
            self.owner.spawn(stands([at[0], at[1], 0.0]))
        });
        let spawns = spawns.collect();
        self.answer(spawns);
        let center = [side_m / 2.0, side_m / 2.0, 0.0];
        let shape = Shape::Point { center, radius_m: side_m as f32 };
        let interest = Some(Interest { names: false, ..Interest::new(shape) });
        let looks = self
            .viewers
            .iter()
            .map(|viewer| viewer.say(ControlUp::SetInterest { id: 0, interest: interest.clone() }));
        let looks = looks.collect();
        self.answer(looks);
    }

    /// One tick, and the CPU time that it took. Who was told something in the tick before has
    /// acknowledged it.
    ///
    /// # Panics
    /// When the world writes what its viewers cannot read.
    pub fn tick(&mut self) -> Duration {
        let next = self.world.now() + 1;
        self.inputs.clear();
        self.inputs.now_us = u64::from(next.0) * 50_000;
        if next.0.is_multiple_of(PROBE_TICKS) {
            self.owner.send(&[], next, &mut self.inputs);
        }
        for (viewer, told) in self.viewers.iter_mut().zip(&mut self.told) {
            if std::mem::take(told) {
                viewer.send(&[], next, &mut self.inputs);
            }
        }
        self.out.clear();
        let spent = CpuTime::of(|| self.world.tick(&self.inputs, &mut self.out, &Serial));
        let out = std::mem::take(&mut self.out);
        for datagram in out.datagrams.iter().filter(|datagram| datagram.conn != OWNER) {
            let (payload, at) = (&out.arena[datagram.bytes.clone()], at(datagram.conn));
            let applied = self.viewers[at].table.apply(&self.schema, payload);
            applied.expect("the world writes what tables take");
            self.told[at] = true;
        }
        let answers = self.hear(&out);
        self.out = out;
        self.answer(answers);
        spent
    }

    /// Pairs of a viewer and a thing that it holds.
    #[must_use]
    pub fn seen(&self) -> usize {
        self.viewers.iter().map(|viewer| viewer.table.slots().count()).sum()
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
            let owner = write.conn == OWNER;
            let client = if owner { &mut self.owner } else { &mut self.viewers[at(write.conn)] };
            let bytes = &out.arena[write.bytes.clone()];
            client.hear(write.stream, bytes, &self.schema, &mut answers);
        }
        answers
    }
}

/// Viewers are numbered from 1.
const fn at(conn: ConnId) -> usize {
    conn.0 as usize - 1
}

fn stands(position: [f64; 3]) -> Sample {
    Sample {
        position: Space::Metric.snap(position).expect("a bench's square is in range"),
        velocity: Some([0; 3]),
        orientation: Orientation::Heading(0),
        fix: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn viewers_hold_everything_and_hear_nothing_more_but_heartbeats() {
        let mut still = Still::new(300, 3);
        assert_eq!(still.seen(), 900);
        let (mut datagrams, ticks) = (0, 200);
        for _ in 0..ticks {
            still.tick();
            datagrams += still.out.datagrams.iter().filter(|d| d.conn != OWNER).count();
        }
        assert_eq!(still.seen(), 900);
        // A heartbeat in four seconds for each of three viewers, and what its answer brings about.
        assert!((6..=40).contains(&datagrams), "{datagrams} datagrams in {ticks} ticks");
    }
}
