//! What a game may see and do in one tick.

use super::PlayerEvent;
use crate::World;
use crate::channel::log::Record;
use crate::cue::GivenCue;
use crate::entity::{Accepted, EntityIdx, SpawnSpec};
use crate::output::{Note, Output};
use starling_protocol::close::CloseCode;
use starling_protocol::limits::EVENT_BYTES_MAX;
use starling_protocol::message::control::Audience;
use starling_protocol::message::events::{Receipt, Scope};
use starling_protocol::message::host::PlayerInput;
use starling_protocol::message::interest::Point;
use starling_protocol::sample::{Orientation, Sample};
use starling_protocol::space::{METRIC_STEPS, Space};
use starling_protocol::units::{EntityId, KindId, SessionId, Tick, TickRate};

/// One tick of a world, as its game sees it.
#[derive(Debug)]
pub struct GameContext<'a> {
    world: &'a mut World,
    comings: &'a [PlayerEvent],
    inputs: &'a [PlayerInput],
    out: &'a mut Output,
}

/// An entity that a game makes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewEntity {
    /// Unique in the world; one is made up if absent.
    pub name: Option<String>,
    /// A kind of the world's schema.
    pub kind: KindId,
    /// Team, 0 for none.
    pub team: u8,
    /// Who may see it at all.
    pub audience: Audience,
    /// Where it starts.
    pub motion: Motion,
    /// Typed fields that differ from zero, as raw values.
    pub fields: Vec<(u8, u32)>,
    /// The opaque block of a kind that has one.
    pub block: Vec<u8>,
    /// The player whose areas of interest centre here.
    pub avatar_of: Option<SessionId>,
}

/// To whom a game's cue goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CueTo {
    /// To sessions with an entity within a distance of one.
    NearEntity {
        /// Which.
        entity: EntityId,
        /// In metres, finite and not negative.
        radius_m: f32,
    },
    /// To sessions with an entity within a distance of a point.
    Near {
        /// The point.
        center: Point,
        /// In metres, finite and not negative.
        radius_m: f32,
    },
    /// To sessions that see an entity in this tick.
    Watchers(EntityId),
    /// To every session.
    World,
}

/// Where an entity is, and how it goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Motion {
    /// Metres, or degrees and metres of altitude.
    pub position: Point,
    /// Metres per second on each axis (metric worlds); derived from the last positions if absent.
    pub velocity: Option<Point>,
    /// How it is turned.
    pub orientation: Orientation,
}

impl<'a> GameContext<'a> {
    pub(super) fn new(
        world: &'a mut World,
        comings: &'a [PlayerEvent],
        inputs: &'a [PlayerInput],
        out: &'a mut Output,
    ) -> Self {
        Self { world, comings, inputs, out }
    }

    /// The tick that runs.
    #[must_use]
    pub fn tick(&self) -> Tick {
        self.world.now
    }

    /// Ticks per second.
    #[must_use]
    pub fn tick_rate(&self) -> TickRate {
        self.world.config.tick_rate
    }

    /// Players that came and left since the last tick, in order.
    #[must_use]
    pub fn comings(&self) -> &'a [PlayerEvent] {
        self.comings
    }

    /// The players' inputs for this tick, in order of player and number, each once.
    #[must_use]
    pub fn inputs(&self) -> &'a [PlayerInput] {
        self.inputs
    }

    /// A number from the world's seed.
    pub fn random(&mut self) -> u64 {
        self.world.rules.random()
    }

    /// Makes an entity appear.
    ///
    /// # Errors
    /// `BAD_POSITION`, `BAD_NAME`, `UNKNOWN_KIND`, `BAD_FIELD`, `LIMIT`, and `UNKNOWN_ENTITY` for
    /// an avatar of a player that is not there.
    pub fn spawn(&mut self, new: NewEntity) -> Result<EntityId, CloseCode> {
        let player = match new.avatar_of {
            Some(id) => Some(self.world.sessions.by_id(id).ok_or(CloseCode::UNKNOWN_ENTITY)?),
            None => None,
        };
        let spec = SpawnSpec {
            name: new.name,
            kind: new.kind,
            team: new.team,
            audience: new.audience,
            sample: self.sample(&new.motion)?,
            fields: new.fields,
            block: new.block,
            owner: None,
            avatar_of: None,
        };
        let entity = self.world.entities.spawn(spec, self.last_tick())?;
        if let Some(player) = player {
            self.world.set_avatar(player, entity);
        }
        let id = self.world.entities.id(entity);
        self.out.notes.push(Note::Spawned { entity: id });
        Ok(id)
    }

    /// Puts an entity somewhere.
    ///
    /// # Errors
    /// `UNKNOWN_ENTITY`, `BAD_POSITION`.
    pub fn move_to(&mut self, entity: EntityId, motion: &Motion) -> Result<(), CloseCode> {
        let idx = self.find(entity)?;
        let Sample { position, velocity, orientation, fix } = self.sample(motion)?;
        let accepted = Accepted { position, velocity, orientation, fix, tick: self.world.now };
        self.world.entities.accept(idx, accepted);
        Ok(())
    }

    /// Changes typed fields, given as raw values.
    ///
    /// # Errors
    /// `UNKNOWN_ENTITY`, `BAD_FIELD`.
    pub fn set_fields(&mut self, entity: EntityId, fields: &[(u8, u32)]) -> Result<(), CloseCode> {
        let idx = self.find(entity)?;
        self.world.entities.set_fields(idx, fields, self.last_tick())
    }

    /// Makes an entity disappear.
    ///
    /// # Errors
    /// `UNKNOWN_ENTITY`.
    pub fn despawn(&mut self, entity: EntityId) -> Result<(), CloseCode> {
        let idx = self.find(entity)?;
        self.world.remove_entity(idx, self.out);
        Ok(())
    }

    /// Where an entity is.
    #[must_use]
    pub fn position(&self, entity: EntityId) -> Option<Point> {
        let idx = self.world.entities.find(entity)?;
        Some(self.world.config.space.point(self.world.entities.accepted(idx).position))
    }

    /// Publishes an event in the name of the server.
    ///
    /// # Errors
    /// `TOO_LARGE`, `BAD_NAME`, `UNKNOWN_ENTITY`, `UNKNOWN_CHANNEL`, `BAD_POSITION`, `LIMIT`.
    pub fn publish(&mut self, scope: &Scope, payload: &[u8]) -> Result<Receipt, CloseCode> {
        if payload.len() > EVENT_BYTES_MAX {
            return Err(CloseCode::TOO_LARGE);
        }
        let record = Record { payload: payload.into(), ..self.world.new_record() };
        self.world.publish_as_server(scope, record)
    }

    /// Lets something happen that is of use for a few ticks only.
    ///
    /// # Errors
    /// `TOO_LARGE` for a payload or a life beyond its limit, `UNKNOWN_ENTITY`, `BAD_POSITION`.
    pub fn cue(&mut self, to: &CueTo, kind: u8, life: u8, payload: &[u8]) -> Result<(), CloseCode> {
        let given = GivenCue::new(kind, life, payload).ok_or(CloseCode::TOO_LARGE)?;
        let radius = |m: f32| match m.is_finite() && m >= 0.0 {
            true => Ok(f64::from(m)),
            false => Err(CloseCode::BAD_POSITION),
        };
        match *to {
            CueTo::NearEntity { entity, radius_m } => {
                let idx = self.find(entity)?;
                self.world.cue_near_entity(None, idx, radius(radius_m)?, given);
            }
            CueTo::Near { center, radius_m } => {
                let space = self.world.config.space;
                let center = space.snap(center).map_err(|_| CloseCode::BAD_POSITION)?;
                self.world.cue_near(None, center, radius(radius_m)?, given);
            }
            CueTo::Watchers(entity) => {
                let idx = self.find(entity)?;
                self.world.cue_watchers(idx, given);
            }
            CueTo::World => self.world.cue_world(None, given),
        }
        Ok(())
    }

    /// What a game makes and changes is carried by the datagrams of its own tick, like what came
    /// after the tick before.
    fn last_tick(&self) -> Tick {
        self.world.now - 1
    }

    fn find(&self, entity: EntityId) -> Result<EntityIdx, CloseCode> {
        self.world.entities.find(entity).ok_or(CloseCode::UNKNOWN_ENTITY)
    }

    fn sample(&self, motion: &Motion) -> Result<Sample, CloseCode> {
        let space = self.world.config.space;
        let position = space.snap(motion.position).map_err(|_| CloseCode::BAD_POSITION)?;
        let velocity = match motion.velocity.filter(|_| space == Space::Metric) {
            Some(v) if v.iter().all(|c| c.is_finite()) => {
                Some(v.map(|c| (c * METRIC_STEPS).round_ties_even() as i32))
            }
            Some(_) => return Err(CloseCode::BAD_POSITION),
            None => None,
        };
        Ok(Sample { position, velocity, orientation: motion.orientation, fix: None })
    }
}
