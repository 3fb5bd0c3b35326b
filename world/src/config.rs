//! How a world behaves. Validated by the shell, fixed for the life of the world.

use crate::namespace::Namespaces;
use serde::{Deserialize, Serialize};
use starling_protocol::message::control::{Authority, Ring};
use starling_protocol::motion::TrackKind;
use starling_protocol::schema::Schema;
use starling_protocol::space::Space;
use starling_protocol::units::{Epoch, TickRate};

/// What a world is for: decides every default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Profile {
    /// Players: 20 Hz, knots, 10 s presence.
    Game,
    /// Vehicles: 2 Hz, fixes, 60 s presence.
    Fleet,
    /// Channels only: 10 Hz.
    Events,
}

/// Whose a world is. It decides who finds it, and nothing within it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Owner {
    /// One tenant's; that of tokens that name none where empty.
    Tenant(String),
    /// A place in which tenants meet.
    Shared,
}

/// How a world behaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorldConfig {
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub owner: Owner,
    /// Its space.
    pub space: Space,
    /// What it is for.
    pub profile: Profile,
    /// Who says where things are.
    pub authority: Authority,
    /// Ticks per second.
    pub tick_rate: TickRate,
    /// Kinds and fields.
    pub schema: Schema,
    /// Which life of the world this is.
    pub epoch: Epoch,
    /// Seeds what the world itself draws (names of unnamed entities).
    pub seed: u64,
    /// Leave radius over enter radius, in thousandths.
    pub hysteresis_permille: u16,
    /// Rings of distance in which changes are told less often, nearest first; by default none.
    pub rings: Vec<Ring>,
    /// What its channels are like, by the beginning of their names.
    pub namespaces: Namespaces,
    /// Milliseconds without contact after which an entity leaves (T_p).
    pub presence_ms: u32,
    /// Milliseconds for which a lost session stays parked (W).
    pub park_ms: u32,
    /// Milliseconds between heartbeats when nothing else is due.
    pub heartbeat_ms: u32,
    /// Greatest speed that a client may claim, in metres per second; `None` for no limit.
    pub speed_max_mps: Option<f64>,
    /// Greatest jump between two accepted positions, in metres; `None` for no limit.
    pub teleport_max_m: Option<f64>,
    /// Sessions that the world holds at once.
    pub sessions_max: usize,
    /// Entities that the world holds at once.
    pub entities_max: usize,
    /// Entities that one of its zones holds at once: decides how its index is cut, and nothing that
    /// anyone is told.
    pub zone_entities_max: usize,
}

impl WorldConfig {
    /// The defaults of a profile.
    #[must_use]
    pub fn new(name: &str, space: Space, profile: Profile) -> Self {
        let (hz, presence_ms) = match profile {
            Profile::Game => (20, 10_000),
            Profile::Fleet => (2, 60_000),
            Profile::Events => (10, 10_000),
        };
        Self {
            name: name.into(),
            owner: Owner::Tenant(String::new()),
            space,
            profile,
            authority: Authority::Client,
            tick_rate: TickRate::new(hz).expect("profile rates lie within the limits"),
            schema: Schema::plain(),
            epoch: Epoch(1),
            seed: 0,
            hysteresis_permille: 1_125,
            rings: Vec::new(),
            namespaces: Namespaces::default(),
            presence_ms,
            park_ms: 600_000,
            heartbeat_ms: 5_000,
            speed_max_mps: None,
            teleport_max_m: None,
            sessions_max: starling_protocol::limits::SESSIONS_MAX,
            entities_max: starling_protocol::limits::ZONE_ENTITIES_MAX,
            zone_entities_max: starling_protocol::limits::ZONE_ENTITIES_MAX,
        }
    }

    /// How positions are coded: by fixes in fleets and everywhere on the globe, else by knots.
    #[must_use]
    pub fn track(&self) -> TrackKind {
        match (self.space, self.profile) {
            (Space::Geodetic, _) | (_, Profile::Fleet) => TrackKind::Fixes,
            _ => TrackKind::Knots,
        }
    }

    /// Greatest distance between a right copy and the accepted position, in millimetres.
    #[must_use]
    pub fn error_bound_mm(&self) -> u32 {
        match (self.space, self.track()) {
            (Space::Geodetic, _) => 500,
            (Space::Metric, TrackKind::Knots) => 40,
            (Space::Metric, TrackKind::Fixes) => 15,
        }
    }
}
