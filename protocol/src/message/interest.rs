//! Areas of interest as a client declares them.

use crate::units::{EntityId, Handle, KindId};
use serde::{Deserialize, Serialize};

/// A point in the world's space as the API names it.
///
/// Metric: `[x, y, z]` in metres, right-handed, z up. Geodetic: `[latitude, longitude]` in degrees
/// (WGS84) and altitude in metres.
pub type Point = [f64; 3];

/// What is near enough to matter to a session. A session may hold several at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interest {
    /// Which part of the world.
    pub shape: Shape,
    /// Bit `k` set: entities of kind `k` pass. All ones for every kind.
    pub kinds: u64,
    /// Only entities of this team pass.
    pub team: Option<u8>,
    /// Ignore height when measuring distance (metric worlds).
    pub flat: bool,
    /// Send names with enter records.
    pub names: bool,
    /// The error that this viewer accepts, in metres; the world's bound where absent or finer.
    pub precision_m: Option<f32>,
}

impl Interest {
    /// Every kind, any team, spherical, names included, the world's own precision.
    #[must_use]
    pub const fn new(shape: Shape) -> Self {
        Self { shape, kinds: u64::MAX, team: None, flat: false, names: true, precision_m: None }
    }
}

/// The shape of an area of interest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Shape {
    /// A sphere round one of my entities; my first where none is named.
    Around {
        /// Which of my entities.
        entity: Option<Handle>,
        /// Enter radius in metres; leave is at the world's hysteresis times this.
        radius_m: f32,
    },
    /// A sphere round a fixed point.
    Point {
        /// Its centre.
        center: Point,
        /// Enter radius in metres.
        radius_m: f32,
    },
    /// An upright square seen from above; altitude is ignored.
    Viewport {
        /// Its centre.
        center: Point,
        /// Length of a side in metres.
        side_m: f32,
    },
    /// An axis-aligned box in the API's coordinates. A geodetic box whose west is greater than its
    /// east crosses the antimeridian.
    Box {
        /// South-west-bottom corner.
        min: Point,
        /// North-east-top corner.
        max: Point,
    },
    /// One entity wherever it goes.
    Follow {
        /// Which entity.
        entity: Target,
    },
    /// The nearest few of the kinds that pass, seen from my first entity or from a point.
    Nearest {
        /// How many, at most [`crate::limits::NEAREST_MAX`].
        count: u16,
        /// From here; from my first entity where absent.
        center: Option<Point>,
    },
}

/// An entity by id or by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// By id.
    Id(EntityId),
    /// By its unique name in the world.
    Name(String),
}

/// A mask that passes the given kinds only.
#[must_use]
pub fn kind_mask(kinds: &[KindId]) -> u64 {
    kinds.iter().fold(0, |mask, kind| mask | 1u64.checked_shl(u32::from(kind.0)).unwrap_or(0))
}
