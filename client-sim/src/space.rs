//! Positions and the distance between two of them.
//!
//! These formulas are the swarm's own. They share nothing with the server, because the verdict
//! must not repeat the server's mistakes.

use serde::{Deserialize, Serialize};

/// Three numbers whose meaning the [`Space`] gives.
///
/// Metric: x, y, z in metres, right-handed, z up. Geodetic: latitude and longitude in degrees
/// (WGS84), altitude in metres.
pub type Position = [f64; 3];

/// The semi-major axis of WGS84, in metres.
const EARTH_A_M: f64 = 6_378_137.0;
/// The first eccentricity of WGS84, squared.
const EARTH_E2: f64 = 6.694_379_990_141_316_5e-3;

/// How positions are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Space {
    /// Metres in a right-handed frame, z up.
    Metric,
    /// WGS84 degrees and an altitude in metres.
    Geodetic,
}

impl Space {
    /// The straight line between two positions, in metres. Geodetic: the ECEF chord.
    #[must_use]
    pub fn distance_m(self, a: Position, b: Position) -> f64 {
        match self {
            Self::Metric => norm(sub(a, b)),
            Self::Geodetic => norm(sub(ecef(a), ecef(b))),
        }
    }

    /// The same with heights ignored: z dropped, or both points put on the ellipsoid.
    #[must_use]
    pub fn flat_distance_m(self, a: Position, b: Position) -> f64 {
        self.distance_m([a[0], a[1], 0.0], [b[0], b[1], 0.0])
    }

    /// The position as a point in a Cartesian frame of metres, in which straight lines are
    /// distances. Worth keeping when one position is compared with many.
    #[must_use]
    pub fn cartesian(self, p: Position) -> Position {
        match self {
            Self::Metric => p,
            Self::Geodetic => ecef(p),
        }
    }

    /// Finite, and in range where the space has a range.
    #[must_use]
    pub fn contains(self, p: Position) -> bool {
        let finite = p.iter().all(|c| c.is_finite());
        match self {
            Self::Metric => finite,
            Self::Geodetic => finite && p[0].abs() <= 90.0 && p[1].abs() <= 180.0,
        }
    }

    /// `origin` moved by metres east (or +x), north (or +y) and up, over distances that are
    /// small against the Earth.
    #[must_use]
    pub fn offset(self, origin: Position, east_m: f64, north_m: f64, up_m: f64) -> Position {
        match self {
            Self::Metric => [origin[0] + east_m, origin[1] + north_m, origin[2] + up_m],
            Self::Geodetic => {
                let (north, east) = metres_per_degree(origin[0]);
                [
                    origin[0] + north_m / north,
                    wrap_degrees(origin[1] + east_m / east),
                    origin[2] + up_m,
                ]
            }
        }
    }

    /// Metres east and north from `origin` to `p`: the inverse of [`Space::offset`].
    #[must_use]
    pub fn offset_from(self, origin: Position, p: Position) -> (f64, f64) {
        match self {
            Self::Metric => (p[0] - origin[0], p[1] - origin[1]),
            Self::Geodetic => {
                let (north, east) = metres_per_degree(origin[0]);
                (wrap_degrees(p[1] - origin[1]) * east, (p[0] - origin[0]) * north)
            }
        }
    }
}

/// Earth-centred, earth-fixed coordinates in metres.
fn ecef(p: Position) -> Position {
    let (sin_lat, cos_lat) = p[0].to_radians().sin_cos();
    let (sin_lon, cos_lon) = p[1].to_radians().sin_cos();
    let n = EARTH_A_M / (1.0 - EARTH_E2 * sin_lat * sin_lat).sqrt();
    let across = (n + p[2]) * cos_lat;
    [across * cos_lon, across * sin_lon, (n * (1.0 - EARTH_E2) + p[2]) * sin_lat]
}

/// Metres per degree of latitude and of longitude, on the ellipsoid at a latitude.
#[must_use]
pub fn metres_per_degree(lat_deg: f64) -> (f64, f64) {
    let (sin, cos) = lat_deg.to_radians().sin_cos();
    let w2 = 1.0 - EARTH_E2 * sin * sin;
    let meridian = EARTH_A_M * (1.0 - EARTH_E2) / (w2 * w2.sqrt());
    let parallel = EARTH_A_M / w2.sqrt() * cos.max(1e-9);
    (meridian.to_radians(), parallel.to_radians())
}

/// An angle in (-180, 180].
#[must_use]
pub fn wrap_degrees(deg: f64) -> f64 {
    let turned = (deg + 180.0).rem_euclid(360.0) - 180.0;
    if turned == -180.0 { 180.0 } else { turned }
}

fn sub(a: Position, b: Position) -> Position {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

fn norm(a: Position) -> f64 {
    (a[0] * a[0] + a[1] * a[1] + a[2] * a[2]).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_degree_of_latitude_at_the_equator_is_about_110_574_metres() {
        let d = Space::Geodetic.distance_m([-0.5, 0.0, 0.0], [0.5, 0.0, 0.0]);
        assert!((d - 110_574.0).abs() < 5.0, "{d}");
    }

    #[test]
    fn the_antimeridian_and_the_pole_are_no_walls() {
        let across = Space::Geodetic.distance_m([10.0, 179.999, 0.0], [10.0, -179.999, 0.0]);
        assert!((across - 219.3).abs() < 1.0, "{across}");
        let over = Space::Geodetic.distance_m([89.999, 0.0, 0.0], [89.999, 180.0, 0.0]);
        assert!((over - 223.4).abs() < 1.0, "{over}");
    }

    #[test]
    fn an_offset_is_as_long_as_asked_in_either_space() {
        for (space, origin) in [
            (Space::Metric, [5.0, -7.0, 1.0]),
            (Space::Geodetic, [52.2, 21.0, 0.0]),
            (Space::Geodetic, [-33.9, 179.9999, 0.0]),
        ] {
            let p = space.offset(origin, 300.0, -400.0, 0.0);
            assert!((space.distance_m(origin, p) - 500.0).abs() < 0.1);
            let (east, north) = space.offset_from(origin, p);
            assert!((east - 300.0).abs() < 1e-6 && (north + 400.0).abs() < 1e-6);
        }
    }

    #[test]
    fn what_is_not_on_the_earth_is_refused() {
        assert!(!Space::Geodetic.contains([91.0, 0.0, 0.0]));
        assert!(!Space::Metric.contains([0.0, f64::NAN, 0.0]));
        assert!(Space::Metric.contains([1e6, 0.0, 0.0]));
    }
}
