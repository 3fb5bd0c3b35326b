//! What an owner says of one of its entities at one instant.

use crate::schema::OrientationKind;
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
    /// other three in that order at 10 bits each, the first highest. A component `q` stands for
    /// `(q - 512) / (511 sqrt(2))`; the largest is positive.
    Quaternion(u32),
}

/// A level view.
const PITCH_LEVEL: u16 = 1024;
/// No rotation: w is the largest and the others are zero.
const IDENTITY: u32 = 3 << 30 | 512 << 20 | 512 << 10 | 512;
/// What one step of a quaternion's component is worth.
const COMPONENT_STEP: f32 = std::f32::consts::FRAC_1_SQRT_2 / 511.0;

impl Orientation {
    /// The orientation as a kind carries it: another kind's becomes the kind's own zero, and
    /// angles are cut to their bits.
    ///
    /// ```
    /// use starling_protocol::{sample::Orientation, schema::OrientationKind};
    /// let none = Orientation::None;
    /// assert_eq!(none.fit(OrientationKind::Heading), Orientation::Heading(0));
    /// ```
    #[must_use]
    pub const fn fit(self, kind: OrientationKind) -> Self {
        match (kind, self) {
            (OrientationKind::None, _) => Self::None,
            (OrientationKind::Heading, Self::Heading(_))
            | (OrientationKind::Quaternion, Self::Quaternion(_)) => self,
            (OrientationKind::Look, Self::Look { yaw, pitch }) => {
                Self::Look { yaw: yaw & 0xfff, pitch: pitch & 0x7ff }
            }
            (OrientationKind::Heading, _) => Self::Heading(0),
            (OrientationKind::Look, _) => Self::Look { yaw: 0, pitch: PITCH_LEVEL },
            (OrientationKind::Quaternion, _) => Self::Quaternion(IDENTITY),
        }
    }

    /// A rotation x, y, z, w of any length but zero. What is not finite becomes no rotation.
    #[must_use]
    pub fn from_quaternion(rotation: [f32; 4]) -> Self {
        let length = rotation.iter().map(|c| c * c).sum::<f32>().sqrt();
        if !length.is_finite() || length <= f32::MIN_POSITIVE {
            return Self::Quaternion(IDENTITY);
        }
        let mut largest = 0;
        for (i, component) in rotation.iter().enumerate() {
            if component.abs() > rotation[largest].abs() {
                largest = i;
            }
        }
        let sign = if rotation[largest] < 0.0 { -1.0 } else { 1.0 };
        let mut packed = largest as u32;
        for (i, component) in rotation.iter().enumerate() {
            if i != largest {
                let steps = (sign * component / length / COMPONENT_STEP).round() as i32;
                packed = packed << 10 | (steps + 512).clamp(1, 1023) as u32;
            }
        }
        Self::Quaternion(packed)
    }

    /// The rotation x, y, z, w of length one, for [`Orientation::Quaternion`] only.
    #[must_use]
    pub fn to_quaternion(self) -> Option<[f32; 4]> {
        let Self::Quaternion(packed) = self else { return None };
        let largest = (packed >> 30) as usize;
        let mut rotation = [0.0; 4];
        let mut shift = 30;
        for (i, component) in rotation.iter_mut().enumerate() {
            if i != largest {
                shift -= 10;
                *component = ((packed >> shift & 0x3ff) as f32 - 512.0) * COMPONENT_STEP;
            }
        }
        let rest = 1.0 - rotation.iter().map(|c| c * c).sum::<f32>();
        rotation[largest] = rest.max(0.0).sqrt();
        Some(rotation)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_survives_within_a_step() {
        for rotation in [[0., 0., 0., 1.], [0.5, -0.5, 0.5, -0.5], [0.9, 0.1, -0.4, 0.13]] {
            let length = rotation.iter().map(|c: &f32| c * c).sum::<f32>().sqrt();
            let packed = Orientation::from_quaternion(rotation);
            let got = packed.to_quaternion().expect("a quaternion");
            let dot: f32 = got.iter().zip(rotation).map(|(a, b)| a * b / length).sum();
            assert!(dot.abs() > 0.999_99, "{rotation:?} became {got:?}");
            assert_eq!(Orientation::from_quaternion(got), packed);
        }
    }

    #[test]
    fn no_rotation_is_exact_and_what_is_no_rotation_becomes_it() {
        let identity = Orientation::None.fit(OrientationKind::Quaternion);
        assert_eq!(identity.to_quaternion(), Some([0., 0., 0., 1.]));
        assert_eq!(Orientation::from_quaternion([0., 0., 0., 1.]), identity);
        assert_eq!(Orientation::from_quaternion([f32::NAN, 0., 0., 1.]), identity);
        assert_eq!(Orientation::from_quaternion([0.; 4]), identity);
    }
}
