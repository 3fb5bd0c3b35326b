//! The two spaces, and the integer grids that the codec sees.
//!
//! At the API a position is `[f64; 3]`. On the wire and in the core it is an [`IPos`]: an i32
//! triple on the canonical grid of its space. Conversions round to nearest, ties to even, and
//! use no trigonometry, so that both sides of the wire agree bit for bit.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What coordinates mean in a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Space {
    /// Metres, right-handed, z up.
    Metric,
    /// WGS84 degrees (latitude, longitude), altitude in metres above the ellipsoid.
    Geodetic,
}

/// A position on the canonical grid.
///
/// Metric: x, y, z in 1/1024 m. Geodetic: latitude and longitude in 1e-7 degree, altitude in
/// centimetres.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct IPos(pub [i32; 3]);

/// Canonical steps per metre in metric worlds.
pub const METRIC_STEPS: f64 = 1024.0;
/// Canonical steps per degree in geodetic worlds.
pub const GEODETIC_STEPS: f64 = 1e7;
/// Canonical steps per metre of altitude in geodetic worlds.
pub const ALTITUDE_STEPS: f64 = 100.0;
/// Steps of one turn of longitude.
pub const CIRCLE: i64 = 3_600_000_000;
/// Farthest metric coordinate, in metres: leaves room to extrapolate without overflow.
pub const METRIC_RANGE_M: f64 = 1_000_000.0;
/// The same in canonical steps.
pub const METRIC_LIMIT: i64 = 1_024_000_000;
/// Highest and lowest altitude, in metres.
pub const ALTITUDE_RANGE_M: f64 = 10_000_000.0;

/// Why a point is no position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PositionError {
    /// NaN or infinite.
    #[error("a coordinate is not a finite number")]
    NotFinite,
    /// Beyond the space's range.
    #[error("a coordinate is out of range")]
    OutOfRange,
}

impl Space {
    /// Snaps a point of the API to the canonical grid.
    ///
    /// Longitude 180 becomes -180.
    ///
    /// # Errors
    /// [`PositionError`] when a coordinate is not finite or out of range: metric +-1,000 km,
    /// latitude +-90, longitude +-180, altitude +-10,000 km.
    pub fn snap(self, point: [f64; 3]) -> Result<IPos, PositionError> {
        if !point.iter().all(|c| c.is_finite()) {
            return Err(PositionError::NotFinite);
        }
        let (range, steps) = match self {
            Self::Metric => ([METRIC_RANGE_M; 3], [METRIC_STEPS; 3]),
            Self::Geodetic => {
                ([90.0, 180.0, ALTITUDE_RANGE_M], [GEODETIC_STEPS, GEODETIC_STEPS, ALTITUDE_STEPS])
            }
        };
        if point.iter().zip(range).any(|(c, r)| c.abs() > r) {
            return Err(PositionError::OutOfRange);
        }
        let mut grid = [0; 3];
        for axis in 0..3 {
            grid[axis] = (point[axis] * steps[axis]).round_ties_even() as i32;
        }
        if self == Self::Geodetic {
            grid[1] = wrap_longitude(i64::from(grid[1]));
        }
        Ok(IPos(grid))
    }

    /// Is this grid point one that [`Space::snap`] could have made?
    #[must_use]
    pub fn contains(self, pos: IPos) -> bool {
        let [a, b, c] = pos.0.map(i64::from);
        match self {
            Self::Metric => [a, b, c].iter().all(|v| v.abs() <= METRIC_LIMIT),
            Self::Geodetic => {
                a.abs() <= 900_000_000
                    && (-CIRCLE / 2..CIRCLE / 2).contains(&b)
                    && c.abs() <= 1_000_000_000
            }
        }
    }

    /// The point of the API that a grid point stands for.
    #[must_use]
    pub fn point(self, pos: IPos) -> [f64; 3] {
        let [a, b, c] = pos.0.map(f64::from);
        match self {
            Self::Metric => [a / METRIC_STEPS, b / METRIC_STEPS, c / METRIC_STEPS],
            Self::Geodetic => [a / GEODETIC_STEPS, b / GEODETIC_STEPS, c / ALTITUDE_STEPS],
        }
    }
}

/// Longitude steps folded into [-180, 180) degrees.
#[must_use]
pub const fn wrap_longitude(steps: i64) -> i32 {
    let half = CIRCLE / 2;
    ((steps + half).rem_euclid(CIRCLE) - half) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_point_survives_the_grid_within_half_a_step() {
        let p = Space::Metric.snap([1.000_4, -2.5, 1e6]).expect("in range");
        assert_eq!(p, IPos([1024, -2560, 1_024_000_000]));
        assert!(Space::Metric.contains(p));
    }

    #[test]
    fn what_is_not_finite_or_out_of_range_is_refused() {
        assert_eq!(Space::Metric.snap([f64::NAN, 0., 0.]), Err(PositionError::NotFinite));
        assert_eq!(Space::Geodetic.snap([91., 0., 0.]), Err(PositionError::OutOfRange));
        assert_eq!(Space::Geodetic.snap([0., f64::INFINITY, 0.]), Err(PositionError::NotFinite));
    }

    #[test]
    fn the_antimeridian_has_one_name() {
        assert_eq!(Space::Geodetic.snap([0., 180., 0.]), Space::Geodetic.snap([0., -180., 0.]));
        assert_eq!(wrap_longitude(1_800_000_001), -1_799_999_999);
    }
}
