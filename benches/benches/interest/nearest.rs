//! A world of vehicles on the globe in which some ask for the nearest few of a kind.

use crate::joined;
use starling_benches::clock::CpuTime;
use starling_benches::globe::cities;
use starling_benches::motion::Dice;
use starling_protocol::limits::SESSION_ENTITIES_MAX;
use starling_protocol::message::control::{Audience, ControlUp, Spawn};
use starling_protocol::message::interest::{Interest, Shape};
use starling_protocol::sample::{Orientation, Sample};
use starling_protocol::schema::{Kind, OrientationKind, Schema};
use starling_protocol::space::{IPos, Space};
use starling_protocol::units::KindId;
use starling_world::World;
use starling_world::config::{Profile, WorldConfig};
use starling_world::entity::EntityIdx;
use starling_world::executor::Serial;
use starling_world::input::{Command, ConnId, TickInputs};
use starling_world::output::Output;
use std::time::Duration;

/// Kinds, of which each vehicle has one.
const KINDS: u32 = 10;

/// The world.
pub(crate) struct Nearest {
    world: World,
    dice: Dice,
    points: Vec<[f64; 2]>,
    moved: Vec<(EntityIdx, IPos)>,
    viewers: u32,
}

impl Nearest {
    /// So many vehicles, a tenth of each kind, and so many viewers, each somewhere among them, that
    /// see the `count` nearest of one kind.
    pub(crate) fn new(vehicles: u32, viewers: u32, count: u16) -> Self {
        let mut dice = Dice::new(7);
        let points = cities(vehicles, &mut dice);
        let owners = points.len().div_ceil(SESSION_ENTITIES_MAX) as u32;
        let config = WorldConfig {
            schema: Schema { kinds: (0..KINDS).map(kind).collect() },
            entities_max: points.len(),
            sessions_max: (owners + viewers) as usize,
            ..WorldConfig::new("nearest", Space::Geodetic, Profile::Fleet)
        };
        let mut nearest =
            Self { world: World::new(config), dice, points, moved: Vec::new(), viewers };
        for owner in 0..owners {
            nearest.fill(owner);
        }
        assert_eq!(nearest.world.stats().entities, vehicles as usize, "all have a place");
        nearest.look(owners, count);
        nearest.world.tick(&TickInputs::default(), &mut Output::default(), &Serial);
        let pairs = nearest.world.stats().visible_pairs;
        assert_eq!(pairs, usize::from(count) * viewers as usize, "everyone sees the nearest few");
        nearest
    }

    /// The vehicles of one owner.
    fn fill(&mut self, owner: u32) {
        let conn = ConnId(u64::from(owner));
        let from = owner as usize * SESSION_ENTITIES_MAX;
        let to = self.points.len().min(from + SESSION_ENTITIES_MAX);
        let spawn = |n: usize| {
            let spawn = Spawn {
                request: 1,
                name: None,
                kind: KindId((n as u32 % KINDS) as u8),
                team: 0,
                audience: Audience::All,
                sample: stands(self.points[n]),
                fields: Vec::new(),
                block: Vec::new(),
                avatar_of: None,
            };
            Command::Control { conn, message: ControlUp::Spawn(Box::new(spawn)) }
        };
        let mut commands = vec![joined(conn)];
        commands.extend((from..to).map(spawn));
        self.say(commands);
    }

    /// The viewers.
    fn look(&mut self, owners: u32, count: u16) {
        let step = (self.points.len() / self.viewers as usize).max(1);
        let mut commands = Vec::new();
        for n in 0..self.viewers {
            let conn = ConnId(u64::from(owners + n));
            let [lat, lon] = self.points[n as usize * step];
            let center = Some([lat, lon, 0.0]);
            let shape = Shape::Nearest { count, center };
            let interest = Some(Interest { kinds: 1 << 3, ..Interest::new(shape) });
            let message = ControlUp::SetInterest { id: 0, interest };
            commands.extend([joined(conn), Command::Control { conn, message }]);
        }
        self.say(commands);
    }

    fn say(&mut self, mut commands: Vec<Command>) {
        let mut out = Output::default();
        self.world.step(0, &mut commands, &mut out);
        assert!(out.closes.is_empty(), "the world closed a bench's client: {:?}", out.closes);
    }

    /// One vehicle in ten moves by up to ten metres, and everyone looks; returns the CPU time of the
    /// looking alone, for each viewer.
    pub(crate) fn tick(&mut self) -> Duration {
        self.moved.clear();
        let turn = self.dice.roll() as usize % 10;
        for n in (turn..self.points.len()).step_by(10) {
            let point = &mut self.points[n];
            point.iter_mut().for_each(|c| *c += self.dice.between(-1e-4, 1e-4));
            self.moved.push((EntityIdx(n as u32), stands(*point).position));
        }
        self.world.move_alone(&self.moved);
        let world = &mut self.world;
        CpuTime::of(|| world.look_only(&Serial)) / self.viewers
    }
}

fn kind(n: u32) -> Kind {
    let (name, orientation) = (format!("kind-{n}"), OrientationKind::None);
    Kind { name, orientation, fields: Vec::new(), block: false }
}

fn stands([lat, lon]: [f64; 2]) -> Sample {
    Sample {
        position: Space::Geodetic.snap([lat, lon, 0.0]).expect("cities are on the globe"),
        velocity: None,
        orientation: Orientation::None,
        fix: None,
    }
}
