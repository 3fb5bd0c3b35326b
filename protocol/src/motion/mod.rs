//! The prediction that both sides share. Integers only: it is wire.
//!
//! Between the instants at which a server says something new of an entity, both sides hold the
//! same integers for it. Games break a straight line by [`Knot`]s; fleets repeat the accepted
//! fixes themselves ([`FixState`]) and predict the next one along the line through the last two.

mod aim;
mod fix;
mod grid;
mod knot;
mod spin;
mod step;
mod turn;

pub use aim::{Course, aim, aim_spin};
pub use fix::{FixState, PREDICT_TICKS_MAX};
pub use grid::{ALTITUDE_UNIT, LATITUDE_UNIT, LONGITUDE_UNITS, longitude_unit, snap_fix};
pub(crate) use grid::{add_residual, from_index, index, residual};
pub(crate) use knot::nearest_unit;
pub use knot::{DEAD_BAND, KNOT_GRID, Knot, VELOCITY_STEP, snap_knot, snap_velocity};
pub use spin::{spin_between, spun};
pub use step::{Gain, STEP_CLASSES, Spin, Step};
pub use turn::{HEADING_BAND, LOOK_BAND, QUATERNION_BAND, orientation_holds};

use serde::{Deserialize, Serialize};

/// How the positions of a world are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TrackKind {
    /// Games: a canonical line with a dead band, broken by knots.
    Knots,
    /// Fleets: the accepted fixes themselves, predicted along the line through the last two.
    Fixes,
}
