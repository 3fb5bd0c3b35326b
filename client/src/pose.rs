//! Where something is and how it is turned, in the units of the API.

use starling_protocol::sample::{Fix, Orientation, Sample};
use starling_protocol::space::{METRIC_STEPS, PositionError, Space};

/// Where an entity is, and how it is turned.
///
/// ```
/// use starling_client::{Facing, Pose};
/// let pose = Pose::at([12.5, -3.0, 0.0]).moving([1.5, 0.0, 0.0]).facing(Facing::Heading(90.0));
/// assert_eq!(pose.position[0], 12.5);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pose {
    /// Metric worlds: x, y, z in metres. Geodetic worlds: latitude and longitude in degrees,
    /// altitude in metres.
    pub position: [f64; 3],
    /// Metres per second along x, y, z; ignored in geodetic worlds. Derived if absent.
    pub velocity: Option<[f64; 3]>,
    /// How it is turned.
    pub facing: Facing,
    /// What a receiver of satellite fixes knows besides.
    pub fix: Option<Fix>,
}

/// How something is turned.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Facing {
    /// Not said.
    #[default]
    None,
    /// Degrees clockwise from +y (metric) or true north (geodetic), 0 to 360.
    Heading(f32),
    /// Where a view points.
    Look {
        /// Degrees, as a heading.
        yaw: f32,
        /// Degrees above level, -90 to 90.
        pitch: f32,
    },
    /// A unit quaternion x, y, z, w.
    Quaternion([f32; 4]),
}

impl Pose {
    /// Here, with nothing else said.
    #[must_use]
    pub fn at(position: [f64; 3]) -> Self {
        Self { position, ..Self::default() }
    }

    /// With this velocity in metres per second.
    #[must_use]
    pub const fn moving(mut self, velocity: [f64; 3]) -> Self {
        self.velocity = Some(velocity);
        self
    }

    /// Turned like this.
    #[must_use]
    pub const fn facing(mut self, facing: Facing) -> Self {
        self.facing = facing;
        self
    }

    /// As a satellite fix.
    #[must_use]
    pub const fn fix(mut self, fix: Fix) -> Self {
        self.fix = Some(fix);
        self
    }

    /// The sample that says this in a world of this space.
    ///
    /// # Errors
    /// [`PositionError`] when a coordinate is not finite or out of range.
    pub fn sample(&self, space: Space) -> Result<Sample, PositionError> {
        let velocity = match (space, self.velocity) {
            (Space::Metric, Some(v)) if v.iter().any(|c| !c.is_finite()) => {
                return Err(PositionError::NotFinite);
            }
            (Space::Metric, Some(v)) => Some(v.map(|c| (c * METRIC_STEPS).round() as i32)),
            _ => None,
        };
        Ok(Sample {
            position: space.snap(self.position)?,
            velocity,
            orientation: self.facing.to_wire(),
            fix: self.fix,
        })
    }
}

impl Facing {
    /// The wire form. What is not finite is not said.
    #[must_use]
    pub fn to_wire(self) -> Orientation {
        match self {
            Self::Heading(degrees) if degrees.is_finite() => {
                Orientation::Heading(turn(degrees, 256) as u8)
            }
            Self::Look { yaw, pitch } if yaw.is_finite() && pitch.is_finite() => {
                let level = (pitch / 90.0 * 1024.0).round() as i32 + 1024;
                Orientation::Look { yaw: turn(yaw, 4096), pitch: level.clamp(0, 2047) as u16 }
            }
            Self::Quaternion(q) if length(q) > 1e-6 => Orientation::from_quaternion(q),
            _ => Orientation::None,
        }
    }

    /// What a wire form stands for.
    #[must_use]
    pub fn from_wire(orientation: Orientation) -> Self {
        match orientation {
            Orientation::None => Self::None,
            Orientation::Heading(h) => Self::Heading(f32::from(h) * (360.0 / 256.0)),
            Orientation::Look { yaw, pitch } => Self::Look {
                yaw: f32::from(yaw) * (360.0 / 4096.0),
                pitch: (f32::from(pitch) - 1024.0) * (90.0 / 1024.0),
            },
            Orientation::Quaternion(_) => {
                orientation.to_quaternion().map_or(Self::None, Self::Quaternion)
            }
        }
    }
}

/// Not above anything when a component is not finite.
fn length(q: [f32; 4]) -> f32 {
    let length = q.iter().map(|c| c * c).sum::<f32>().sqrt();
    if length.is_finite() { length } else { 0.0 }
}

/// Degrees as a number of steps of a turn, folded into one turn.
fn turn(degrees: f32, steps: i32) -> u16 {
    let scaled = (f64::from(degrees) / 360.0 * f64::from(steps)).round() as i64;
    scaled.rem_euclid(i64::from(steps)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn angle_deg(a: [f32; 4], b: [f32; 4]) -> f32 {
        let dot: f32 = a.iter().zip(b).map(|(x, y)| x * y).sum();
        2.0 * dot.abs().min(1.0).acos().to_degrees()
    }

    #[test]
    fn a_rotation_survives_the_wire_within_a_third_of_a_degree() {
        let mut random: u64 = 11;
        for _ in 0..2_000 {
            let mut q = [0.0f32; 4];
            for c in &mut q {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *c = (random >> 40) as f32 / (1 << 23) as f32 - 1.0;
            }
            let length = q.iter().map(|c| c * c).sum::<f32>().sqrt();
            let q = q.map(|c| c / length);
            let Facing::Quaternion(back) = Facing::from_wire(Facing::Quaternion(q).to_wire())
            else {
                panic!("a rotation stays a rotation")
            };
            assert!(angle_deg(q, back) < 0.33, "{q:?} {back:?}");
        }
    }

    #[test]
    fn headings_and_looks_fold_into_one_turn() {
        assert_eq!(Facing::Heading(-90.0).to_wire(), Orientation::Heading(192));
        assert_eq!(Facing::Heading(359.9).to_wire(), Orientation::Heading(0));
        let level = Facing::Look { yaw: 720.0, pitch: 0.0 }.to_wire();
        assert_eq!(level, Orientation::Look { yaw: 0, pitch: 1024 });
        assert_eq!(Facing::from_wire(level), Facing::Look { yaw: 0.0, pitch: 0.0 });
        let up = Facing::Look { yaw: 0.0, pitch: 90.0 }.to_wire();
        assert_eq!(up, Orientation::Look { yaw: 0, pitch: 2047 });
    }

    #[test]
    fn what_is_not_finite_is_refused_or_left_out() {
        assert_eq!(Facing::Heading(f32::NAN).to_wire(), Orientation::None);
        assert_eq!(Facing::Quaternion([0.0; 4]).to_wire(), Orientation::None);
        let pose = Pose::at([0.0; 3]).moving([f64::INFINITY, 0.0, 0.0]);
        assert_eq!(pose.sample(Space::Metric), Err(PositionError::NotFinite));
        assert_eq!(pose.sample(Space::Geodetic).map(|s| s.velocity), Ok(None));
    }
}
