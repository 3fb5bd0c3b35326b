//! Entities that move, and the whole past of each.

use crate::dice::Dice;
use starling_protocol::motion::{FixState, Gain, Knot, Spin, Step, TrackKind, snap_fix, snap_knot};
use starling_protocol::sample::Orientation;
use starling_protocol::schema::{Field, FieldType, Kind, OrientationKind, Schema, Visibility};
use starling_protocol::snapshot::State;
use starling_protocol::space::{IPos, Space, wrap_longitude};
use starling_protocol::units::{EntityId, KindId, Tick};

pub(crate) struct Entity {
    pub(crate) id: EntityId,
    pub(crate) kind: KindId,
    pub(crate) name: String,
    /// Oldest first, one per tick at most.
    pub(crate) states: Vec<State>,
    /// What its fields and its block were from a tick on, oldest first.
    pub(crate) facts: Vec<Facts>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Facts {
    pub(crate) tick: Tick,
    /// Mask of what changed in this tick, the block after the last field.
    changed: u32,
    pub(crate) values: Vec<u32>,
    pub(crate) block: Vec<u8>,
}

impl Entity {
    pub(crate) fn state_at(&self, tick: Tick) -> Option<&State> {
        self.states.iter().rev().find(|state| state.tick() <= tick)
    }

    pub(crate) fn facts_at(&self, tick: Tick) -> Option<&Facts> {
        self.facts.iter().rev().find(|facts| facts.tick <= tick)
    }

    pub(crate) fn newest(&self) -> &State {
        self.states.last().expect("an entity is born with a state")
    }

    fn facts(&self) -> &Facts {
        self.facts.last().expect("an entity is born with fields")
    }

    pub(crate) fn values(&self) -> Vec<u32> {
        self.facts().values.clone()
    }

    pub(crate) fn block(&self) -> &[u8] {
        &self.facts().block
    }

    /// Mask of the fields that changed after a tick.
    pub(crate) fn changed_since(&self, tick: Tick) -> u32 {
        let since = self.facts.iter().rev().take_while(|facts| facts.tick > tick);
        since.fold(0, |mask, facts| mask | facts.changed)
    }
}

pub(crate) struct World {
    pub(crate) track: TrackKind,
    pub(crate) space: Space,
    pub(crate) schema: Schema,
    pub(crate) tick: Tick,
    pub(crate) entities: Vec<Entity>,
}

impl World {
    pub(crate) fn new(
        dice: &mut Dice,
        track: TrackKind,
        space: Space,
        tick: Tick,
        count: usize,
    ) -> Self {
        let mut world = Self { track, space, schema: schema(), tick, entities: Vec::new() };
        for i in 0..count {
            let entity = world.born(dice, i);
            world.entities.push(entity);
        }
        world
    }

    fn born(&self, dice: &mut Dice, i: usize) -> Entity {
        let kind = KindId(dice.below(self.schema.kinds.len() as u64) as u8);
        let declared = &self.schema.kinds[usize::from(kind.0)];
        let orientation = turn(dice, declared.orientation, Orientation::None);
        let at = snap_fix(self.space, place(dice, self.space));
        let state = match self.track {
            TrackKind::Fixes => State::Fix(FixState::first(self.tick, at, orientation)),
            TrackKind::Knots => {
                State::Knot(Knot { tick: self.tick, pos: at.0, orientation, ..Knot::default() })
            }
        };
        Entity {
            id: EntityId { index: (i * i * 40_961) as u32, generation: dice.below(3) as u32 },
            kind,
            name: format!("entity {i}"),
            states: vec![state],
            facts: vec![Facts {
                tick: self.tick,
                changed: 0,
                values: vec![0; declared.fields.len()],
                block: Vec::new(),
            }],
        }
    }

    pub(crate) fn kind(&self, entity: &Entity) -> &Kind {
        &self.schema.kinds[usize::from(entity.kind.0)]
    }

    pub(crate) fn step(&mut self, dice: &mut Dice, ticks: u32) {
        self.tick = self.tick + ticks;
        let (tick, space) = (self.tick, self.space);
        for entity in &mut self.entities {
            let kind = &self.schema.kinds[usize::from(entity.kind.0)];
            if dice.chance(30) {
                let state = moved(dice, space, tick, kind.orientation, entity.newest());
                entity.states.push(state);
            }
            if dice.chance(5) {
                change_fields(dice, tick, kind, entity);
            }
        }
    }
}

fn change_fields(dice: &mut Dice, tick: Tick, kind: &Kind, entity: &mut Entity) {
    let mut facts = Facts { tick, changed: 0, ..entity.facts().clone() };
    for (i, (field, slot)) in kind.fields.iter().zip(&mut facts.values).enumerate() {
        if dice.chance(40) {
            let value = (dice.roll() & ((1 << field.ty.bits()) - 1)) as u32;
            *slot = if field.ty.allows(value) { value } else { 0 };
            facts.changed |= 1 << i;
        }
    }
    if kind.block && dice.chance(40) {
        let len = dice.below(20);
        facts.block = (0..len).map(|_| dice.roll() as u8).collect();
        facts.changed |= 1 << kind.fields.len();
    }
    entity.facts.push(facts);
}

fn place(dice: &mut Dice, space: Space) -> IPos {
    match space {
        Space::Metric => IPos([0; 3].map(|_: i32| dice.spread(1_000_000_000) as i32)),
        Space::Geodetic => {
            let near_pole = dice.chance(20);
            let latitude = if near_pole { 899_990_000 } else { dice.spread(900_000_000) as i32 };
            let seam = dice.chance(30);
            let longitude = if seam { 1_799_999_990 } else { dice.spread(1_800_000_000) };
            IPos([latitude, wrap_longitude(longitude), dice.spread(1_000_000) as i32])
        }
    }
}

fn moved(dice: &mut Dice, space: Space, tick: Tick, kind: OrientationKind, from: &State) -> State {
    let turned = if dice.chance(50) {
        turn(dice, kind, from.orientation(tick))
    } else {
        from.orientation(tick)
    };
    let teleport = dice.chance(3);
    let mut step = || dice.spread(if teleport { 500_000_000 } else { 4_000 });
    let by = [step(), step(), step()];
    match from {
        State::Knot(knot) => {
            let at = knot.predict(tick).0;
            let at = [0, 1, 2].map(|a: usize| {
                (i64::from(at[a]) + by[a]).clamp(-1_000_000_000, 1_000_000_000) as i32
            });
            let vel = match dice.below(4) {
                0 => knot.vel,
                1 => [0; 3],
                _ => [0; 3].map(|_: i32| dice.spread(500) as i16),
            };
            let pos = snap_knot(IPos(at));
            let anew = Knot { tick, run: 0, pos, vel, orientation: turned, spin: [0; 3] };
            let residual = by.map(|steps| (steps / 400) as i32);
            let gain = Gain::ALL[dice.below(3) as usize];
            let next = match dice.below(5) {
                0 => knot.turned(tick, turned),
                1 => anew,
                _ => knot.step(tick, &Step { gain, residual }).unwrap_or(anew),
            };
            let next = Knot { orientation: turned, ..next };
            let spins = kind == OrientationKind::Quaternion;
            let spin = match dice.below(5) {
                _ if !spins => [0; 3],
                0 => [0; 3].map(|_: i32| dice.spread(3_000) as i16),
                n => knot.spin_after(&next, Spin::ALL[n as usize % 3]),
            };
            State::Knot(Knot { spin, ..next })
        }
        State::Fix(fix) => {
            let at = fix.predict(space, tick).0.map(i64::from);
            let at = [at[0] + by[0], at[1] + by[1], at[2] + by[2] / 100];
            let limit = if space == Space::Metric { 1_024_000_000 } else { 900_000_000 };
            let second = match space {
                Space::Metric => at[1].clamp(-limit, limit) as i32,
                Space::Geodetic => wrap_longitude(at[1]),
            };
            let at = IPos([
                at[0].clamp(-limit, limit) as i32,
                second,
                at[2].clamp(-900_000_000, 900_000_000) as i32,
            ]);
            State::Fix(fix.then(tick, snap_fix(space, at), turned))
        }
    }
}

fn turn(dice: &mut Dice, kind: OrientationKind, from: Orientation) -> Orientation {
    match (kind, from.fit(kind)) {
        (OrientationKind::Heading, Orientation::Heading(heading)) => {
            Orientation::Heading(heading.wrapping_add(dice.spread(128) as u8))
        }
        (OrientationKind::Look, Orientation::Look { yaw, pitch }) => {
            let pitch = i64::from(pitch) + dice.spread(1024);
            Orientation::Look {
                yaw: yaw.wrapping_add(dice.spread(2048) as u16) & 0xfff,
                pitch: pitch.clamp(0, 2047) as u16,
            }
        }
        (OrientationKind::Quaternion, Orientation::Quaternion(packed)) => {
            let near = packed ^ (dice.roll() as u32 & 0x0070_1c07);
            Orientation::Quaternion(if dice.chance(90) { near } else { dice.roll() as u32 })
        }
        (_, other) => other,
    }
}

fn schema() -> Schema {
    let field = |name: &str, ty| Field { name: name.into(), ty, visibility: Visibility::All };
    let kind = |name: &str, orientation, fields, block| Kind {
        name: name.into(),
        orientation,
        fields,
        block,
    };
    let schema = Schema {
        kinds: vec![
            kind("bare", OrientationKind::None, vec![], false),
            kind("bus", OrientationKind::Heading, vec![field("open", FieldType::Bool)], false),
            kind(
                "player",
                OrientationKind::Look,
                vec![
                    field("health", FieldType::Bits { bits: 7 }),
                    field("arm", FieldType::Enum { variants: 5 }),
                    field("fuel", FieldType::Ranged { min: 0.0, max: 9.5, quantum: 0.1 }),
                ],
                true,
            ),
            kind("ship", OrientationKind::Quaternion, vec![], true),
        ],
    };
    schema.validate().expect("a sound schema");
    schema
}
