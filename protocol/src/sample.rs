//! What an owner says of one of its entities at one instant.

use crate::space::IPos;
use serde::{Deserialize, Serialize};

/// One sample of an entity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Where it is, on the canonical grid.
    pub position: IPos,
    /// Canonical steps per second on each axis (metric worlds); the server derives it if absent.
    pub velocity: Option<[i32; 3]>,
    /// How it is turned.
    pub orientation: Orientation,
    /// What the receiver of a satellite fix knows besides (geodetic worlds).
    pub fix: Option<Fix>,
}

/// How an entity is turned, in wire form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Orientation {
    /// Not given.
    #[default]
    None,
    /// 1/256 turn, clockwise from +y (metric) or north (geodetic).
    Heading(u8),
    /// Where a view points.
    Look {
        /// 1/4096 turn.
        yaw: u16,
        /// 0 is straight down, 1024 level, 2047 almost straight up.
        pitch: u16,
    },
    /// Smallest three: bits 30-31 index of the largest component in x, y, z, w order; then the
    /// other three in that order at 10 bits each, from -1/sqrt(2) to 1/sqrt(2), the first highest.
    Quaternion(u32),
}

/// What a satellite receiver knows of its own fix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fix {
    /// Milliseconds since 1970-01-01T00:00:00Z at which the position held.
    pub time_ms: u64,
    /// Radius of 68 % confidence in decimetres.
    pub accuracy_dm: Option<u16>,
    /// Speed over ground in centimetres per second.
    pub speed_cmps: Option<u16>,
    /// Where the fix comes from.
    pub source: FixSource,
}

/// Where a fix comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FixSource {
    /// Not said.
    #[default]
    Unknown,
    /// Satellites.
    Gnss,
    /// Wi-Fi or cells.
    Network,
    /// A person or a test.
    Manual,
}
