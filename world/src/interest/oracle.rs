//! The join against the plain look: the same worlds, the same sessions, the same enters and leaves.

use super::Interests;
use crate::World;
use crate::config::{Profile, WorldConfig};
use crate::entity::{Accepted, EntityIdx};
use crate::executor::{Backwards, Executor, Serial};
use crate::grants::{Grants, Principal};
use crate::input::{Attach, Command, ConnId, TickInputs};
use crate::output::Output;
use crate::session::SessionIdx;
use proptest::prelude::*;
use starling_protocol::message::control::{Audience, ControlUp, Spawn};
use starling_protocol::message::interest::{Interest, Point, Shape, Target};
use starling_protocol::sample::{Orientation, Sample};
use starling_protocol::space::Space;
use starling_protocol::units::{Handle, KindId};

/// What happens between two ticks.
#[derive(Clone, Debug)]
enum Event {
    Join,
    Leave(usize),
    Spawn { who: usize, at: Place, team: u8, audience: u8 },
    Despawn { who: usize, handle: u16 },
    Look { who: usize, id: u8, area: Option<Interest> },
    Jump { which: usize, to: Place },
    Hand { which: usize, to: usize },
}

/// A point in a square of sides 1.
type Place = [f64; 3];

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![
        3 => prop::array::uniform3(0.0..1.0f64),
        2 => prop::array::uniform3(0.45..0.55f64),
    ]
}

struct Stage {
    world: World,
    oracle: Interests,
    conns: Vec<ConnId>,
    next: u64,
    side_m: f64,
}

impl Stage {
    fn new(space: Space, side_m: f64, zone_entities_max: usize) -> Self {
        let mut config = WorldConfig::new("t", space, Profile::Game);
        config.presence_ms = 1_000_000;
        config.zone_entities_max = zone_entities_max;
        let mut oracle = Interests::new(&config);
        oracle.plain_only = true;
        Self { world: World::new(config), oracle, conns: Vec::new(), next: 0, side_m }
    }

    fn point(&self, at: Place) -> Point {
        let [x, y, z] = at;
        match self.world.config.space {
            Space::Metric => [x * self.side_m, y * self.side_m, z * self.side_m / 20.0],
            Space::Geodetic => {
                let degrees = self.side_m / 111_000.0;
                [88.0 + x * degrees, 179.9 + y * degrees, z * 100.0 - 10.0]
            }
        }
    }

    fn sample(&self, at: Place) -> Sample {
        let space = self.world.config.space;
        let mut point = self.point(at);
        if space == Space::Geodetic {
            point[0] = point[0].clamp(-90.0, 90.0);
            point[1] = (point[1] + 180.0).rem_euclid(360.0) - 180.0;
        }
        let position = space.snap(point).expect("in range");
        Sample { position, velocity: None, orientation: Orientation::None, fix: None }
    }

    fn idx(&self, conn: ConnId) -> Option<SessionIdx> {
        self.world.sessions.by_conn(conn)
    }

    fn command(&mut self, command: Command) {
        self.world.step(0, &mut vec![command], &mut Output::default());
    }

    fn join(&mut self) {
        self.next += 1;
        let conn = ConnId(self.next);
        let mut token = [0; 32];
        token[..8].copy_from_slice(&self.next.to_le_bytes());
        self.command(Command::Attach(Box::new(Attach {
            conn,
            principal: Principal { grants: Grants::open(), ..Principal::default() },
            token,
            token_digest: token,
            resume: None,
            schema_hash: None,
            capabilities: 0,
        })));
        if let Some(idx) = self.idx(conn) {
            self.conns.push(conn);
            self.oracle.forget(idx);
            self.oracle.open(idx);
        }
    }

    fn apply(&mut self, event: &Event) {
        let Some(some) = self.conns.first().copied() else { return self.join() };
        let conn = |at: &usize| self.conns[at % self.conns.len()];
        match event {
            Event::Join => self.join(),
            Event::Leave(who) => {
                let conn = conn(who);
                if let Some(idx) = self.idx(conn) {
                    self.oracle.close(idx);
                }
                self.conns.retain(|other| *other != conn);
                self.command(Command::Detach { conn });
            }
            Event::Spawn { who, at, team, audience } => {
                let audience = [Audience::All, Audience::Team, Audience::Private]
                    [usize::from(*audience).saturating_sub(2).min(2)];
                let spawn = Spawn {
                    request: 0,
                    name: None,
                    kind: KindId(0),
                    team: *team,
                    audience,
                    sample: self.sample(*at),
                    fields: Vec::new(),
                    block: Vec::new(),
                    avatar_of: None,
                };
                let message = ControlUp::Spawn(Box::new(spawn));
                self.command(Command::Control { conn: conn(who), message });
            }
            Event::Despawn { who, handle } => {
                let message = ControlUp::Despawn { handle: Handle(*handle) };
                self.command(Command::Control { conn: conn(who), message });
            }
            Event::Look { who, id, area } => {
                let conn = conn(who);
                let area = area.as_ref().map(|area| self.placed(area));
                if let Some(idx) = self.idx(conn) {
                    match &area {
                        Some(area) => drop(self.oracle.set(idx, *id, area)),
                        None => self.oracle.clear(idx, *id),
                    }
                }
                let message = ControlUp::SetInterest { id: *id, interest: area };
                self.command(Command::Control { conn, message });
            }
            Event::Jump { which, to } => {
                let position = self.sample(*to).position;
                if let Some(entity) = self.some_entity(which) {
                    self.move_to(entity, position);
                }
            }
            Event::Hand { which, to } => {
                let to = self.idx(conn(to)).or_else(|| self.idx(some));
                if let Some(entity) = self.some_entity(which) {
                    let free = self.world.entities.avatar_of(entity).is_none();
                    if let Some(to) = to.filter(|_| free) {
                        self.world.set_avatar(to, entity);
                    }
                }
            }
        }
    }

    /// Areas are made for a square of sides 1.
    fn placed(&self, area: &Interest) -> Interest {
        let mut area = area.clone();
        let point = |at: Point| self.sample([at[0], at[1], at[2]]).position;
        let point = |at: Point| self.world.config.space.point(point(at));
        let long = |part: f32| part * self.side_m as f32;
        match &mut area.shape {
            Shape::Around { radius_m, .. } => *radius_m = long(*radius_m),
            Shape::Point { center, radius_m } => {
                (*center, *radius_m) = (point(*center), long(*radius_m));
            }
            Shape::Viewport { center, side_m } => {
                (*center, *side_m) = (point(*center), long(*side_m));
            }
            Shape::Box { min, max } => {
                let (a, b) = (point(*min), point(*max));
                (*min, *max) =
                    ([0, 1, 2].map(|i| a[i].min(b[i])), [0, 1, 2].map(|i| a[i].max(b[i])));
            }
            Shape::Nearest { center: Some(center), .. } => *center = point(*center),
            Shape::Follow { entity: Target::Id(id) } => id.generation = 0,
            _ => {}
        }
        area
    }

    fn some_entity(&self, which: &usize) -> Option<EntityIdx> {
        let all: Vec<_> = self.world.entities.iter().collect();
        (!all.is_empty()).then(|| all[which % all.len()])
    }

    fn move_to(&mut self, entity: EntityIdx, position: starling_protocol::space::IPos) {
        let tick = self.world.now + 1;
        let accepted = *self.world.entities.accepted(entity);
        self.world.entities.accept(entity, Accepted { position, tick, ..accepted });
    }

    /// Everyone takes a step, and the tick is run; then both see the same.
    fn tick(&mut self, seed: u64, exec: &impl Executor) -> Result<(), TestCaseError> {
        let all: Vec<_> = self.world.entities.iter().collect();
        let unit = self.side_m / 60.0;
        for (i, entity) in all.into_iter().enumerate() {
            let dice = (seed ^ i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            if dice >> 60 < 9 {
                let mut position = self.world.entities.accepted(entity).position;
                let scale = if self.world.config.space == Space::Metric { 1024.0 } else { 90.0 };
                let step = (unit * scale) as i64;
                let climbs = scale < 1_000.0 && dice >> 56 & 7 == 0;
                if climbs {
                    // Straight up or down, in centimetres.
                    let part = (dice & 0xffff) as i64 - 0x8000;
                    let moved = i64::from(position.0[2]) + part * (unit * 1_000.0) as i64 / 0x8000;
                    position.0[2] = moved.clamp(-100_000, 1_000_000) as i32;
                }
                for (axis, shift) in [(0, 8), (1, 24)].into_iter().filter(|_| !climbs) {
                    let part = (dice >> shift & 0xffff) as i64 - 0x8000;
                    let moved = i64::from(position.0[axis]) + part * step / 0x8000;
                    let limit = if axis == 0 { 900_000_000 } else { 1_799_999_999 };
                    let limit = if scale > 1_000.0 { 1_000_000_000 } else { limit };
                    position.0[axis] = moved.clamp(-limit, limit) as i32;
                }
                self.move_to(entity, position);
            }
        }
        self.world.tick(&TickInputs::default(), &mut Output::default(), exec);
        let World { sessions, atlas, entities, interests, .. } = &self.world;
        self.oracle.look(sessions, atlas, entities, &Serial);
        for conn in &self.conns {
            let Some(idx) = self.idx(*conn) else { continue };
            let (ours, plain) = (interests.changes(idx), self.oracle.changes(idx));
            let seat = interests.rows[idx.at()].seat;
            prop_assert_eq!(ours.enters, plain.enters, "{:?} enters, {:?}", idx, seat);
            prop_assert_eq!(ours.leaves, plain.leaves, "{:?} leaves, {:?}", idx, seat);
            for entity in entities.iter() {
                prop_assert_eq!(
                    interests.sees(idx, atlas.index(), entity),
                    self.oracle.sees(idx, atlas.index(), entity),
                );
            }
        }
        Ok(())
    }
}

fn interest() -> impl Strategy<Value = Interest> {
    let radius = || prop_oneof![Just(0.1f32), 0.02..0.4f32, Just(3.0)];
    let shape = prop_oneof![
        6 => radius().prop_map(|radius_m| Shape::Around { entity: None, radius_m }),
        1 => (0..2u16, radius()).prop_map(|(handle, radius_m)| {
            Shape::Around { entity: Some(Handle(handle)), radius_m }
        }),
        1 => (place(), radius()).prop_map(|(center, radius_m)| Shape::Point { center, radius_m }),
        1 => (place(), radius()).prop_map(|(center, side_m)| Shape::Viewport { center, side_m }),
        1 => (place(), place()).prop_map(|(min, max)| Shape::Box { min, max }),
        1 => (1..9u16, prop::option::of(place()))
            .prop_map(|(count, center)| Shape::Nearest { count, center }),
        1 => (0..50u32).prop_map(|index| {
            let id = starling_protocol::units::EntityId { index, generation: 0 };
            Shape::Follow { entity: Target::Id(id) }
        }),
    ];
    (shape, any::<bool>(), prop::option::weighted(0.2, 0..3u8), 0..5u8).prop_map(
        |(shape, flat, team, kinds)| {
            let kinds = if kinds == 0 { 1 } else { u64::MAX };
            Interest { flat, team, kinds, ..Interest::new(shape) }
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    let index = || 0..1_000usize;
    prop_oneof![
        2 => Just(Event::Join),
        1 => index().prop_map(Event::Leave),
        12 => (index(), place(), 0..3u8, 0..6u8).prop_map(|(who, at, team, audience)| {
            Event::Spawn { who, at, team, audience }
        }),
        1 => (index(), 0..3u16).prop_map(|(who, handle)| Event::Despawn { who, handle }),
        4 => (index(), prop_oneof![3 => Just(0u8), 1 => 1..3u8], prop::option::weighted(0.9, interest()))
            .prop_map(|(who, id, area)| Event::Look { who, id, area }),
        2 => (index(), place()).prop_map(|(which, to)| Event::Jump { which, to }),
        1 => (index(), index()).prop_map(|(which, to)| Event::Hand { which, to }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_join_tells_what_a_plain_look_tells(
        crowd in prop::collection::vec(place(), 0..400),
        ticks in prop::collection::vec((prop::collection::vec(event(), 0..12), any::<u64>()), 1..40),
        globe in prop::bool::weighted(0.3),
        side_m in 50.0..5_000.0f64,
        width in 1..4usize,
        zone_entities_max in prop_oneof![Just(65_535usize), 2..40usize],
    ) {
        let space = if globe { Space::Geodetic } else { Space::Metric };
        let mut stage = Stage::new(space, side_m, zone_entities_max);
        for _ in 0..8 {
            stage.join();
        }
        for (i, at) in crowd.into_iter().enumerate() {
            stage.apply(&Event::Spawn { who: i, at, team: i as u8 % 3, audience: 0 });
        }
        for who in 0..8 {
            let area = Some(Interest::new(Shape::Around { entity: None, radius_m: 0.15 }));
            stage.apply(&Event::Look { who, id: 0, area });
        }
        for (events, seed) in &ticks {
            events.iter().for_each(|event| stage.apply(event));
            stage.tick(*seed, &Backwards(width))?;
        }
    }
}
