//! Where an entity is at a given moment.
//!
//! Each entity is an object of its own that depends on (seed, entity, time) only, so that any
//! division of the entities over threads gives the same motion, and so does any server that is
//! put under the same load.

mod arena;
mod city;
mod clip;
mod crowd;
mod seed;
mod walk;

pub use arena::{ArenaPlayer, HotSpots};
pub use city::{CityVehicle, Streets};
pub use clip::{Clip, ClipPlayer, clips};
pub use crowd::{Pedestrian, Plaza};
pub use seed::entity_rng;
pub use walk::Walker;

use crate::space::Position;

/// Which way an entity faces.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Facing {
    /// It has no direction.
    #[default]
    None,
    /// Degrees clockwise from +y (metric) or true north (geodetic).
    Heading(f64),
    /// A unit quaternion x, y, z, w.
    Quaternion([f64; 4]),
}

/// What an entity would tell the server about itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pose {
    /// The moment this pose was true, in seconds of scenario time. For motion that is known
    /// at every moment it is the moment asked for; for fixes that fall due now and then it is
    /// the moment of the last one, and a pose that was already sent need not be sent again.
    pub at_s: f64,
    /// Where.
    pub position: Position,
    /// Metres per second along x, y, z, or east, north, up.
    pub velocity: Option<[f64; 3]>,
    /// Which way.
    pub facing: Facing,
}

/// The motion of one entity.
pub trait Motion: Send {
    /// The pose at `t_s` seconds after the start, or `None` while the entity does not exist.
    ///
    /// Time never runs backwards from call to call; motion may step itself forward and forget.
    fn pose(&mut self, t_s: f64) -> Option<Pose>;

    /// When the next fix falls due, in seconds, as of the last call of [`Motion::pose`]; `None` for
    /// motion that is known at every moment, which is sampled when the server wants it.
    fn next_fix_s(&self) -> Option<f64> {
        None
    }

    /// No pose will follow: the entity is gone for good.
    fn is_over(&self, t_s: f64) -> bool {
        let _ = t_s;
        false
    }
}

/// Degrees clockwise from +y of a direction in the plane.
#[must_use]
pub fn heading_deg(dx: f64, dy: f64) -> f64 {
    dx.atan2(dy).to_degrees().rem_euclid(360.0)
}
