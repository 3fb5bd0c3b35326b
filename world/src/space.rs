//! Where grid points lie in metres.
//!
//! Metric: the point itself. Geodetic: WGS84 to ECEF (earth-centred, earth-fixed), so that a
//! distance is a straight chord and neither the antimeridian nor a pole is a special case. Sines
//! come from libm: the platform's differ in their last bits.

use starling_protocol::message::interest::Point;
use starling_protocol::space::{IPos, METRIC_STEPS, PositionError, Space};

/// Semi-major axis of WGS84, in metres.
pub const EARTH_A_M: f64 = 6_378_137.0;
/// First eccentricity of WGS84, squared.
pub const EARTH_E2: f64 = 6.694_379_990_141_316_5e-3;

/// Metres in a Cartesian frame in which straight lines are distances.
pub type Cartesian = [f64; 3];

/// Where a grid point lies. Exact in metric worlds, whose step is a power of two of a metre.
#[must_use]
pub fn cartesian(space: Space, pos: IPos) -> Cartesian {
    match space {
        Space::Metric => pos.0.map(|c| f64::from(c) / METRIC_STEPS),
        Space::Geodetic => ecef(space.point(pos)),
    }
}

/// The same with height ignored: z dropped, or the point put on the ellipsoid.
#[must_use]
pub fn flattened(space: Space, pos: IPos) -> Cartesian {
    cartesian(space, IPos([pos.0[0], pos.0[1], 0]))
}

/// Latitude and longitude in degrees and altitude in metres to ECEF metres.
#[must_use]
pub fn ecef([lat, lon, alt]: Point) -> Cartesian {
    let (sin_lat, cos_lat) = libm::sincos(lat.to_radians());
    let (sin_lon, cos_lon) = libm::sincos(lon.to_radians());
    let normal = EARTH_A_M / (1.0 - EARTH_E2 * sin_lat * sin_lat).sqrt();
    let across = (normal + alt) * cos_lat;
    [across * cos_lon, across * sin_lon, (normal * (1.0 - EARTH_E2) + alt) * sin_lat]
}

/// Metres per degree of latitude and of longitude, on the ellipsoid at a latitude.
#[must_use]
pub fn metres_per_degree(lat: f64) -> (f64, f64) {
    let (sin, cos) = libm::sincos(lat.to_radians());
    let squeeze = 1.0 - EARTH_E2 * sin * sin;
    let meridian = EARTH_A_M * (1.0 - EARTH_E2) / (squeeze * squeeze.sqrt());
    let parallel = EARTH_A_M / squeeze.sqrt() * cos.max(1e-9);
    (meridian.to_radians(), parallel.to_radians())
}

/// A point of the API as a grid point and in metres.
///
/// # Errors
/// [`PositionError`] when it is not finite or out of the space's range.
pub fn place(space: Space, point: Point) -> Result<(IPos, Cartesian), PositionError> {
    let pos = space.snap(point)?;
    let exact = match space {
        Space::Metric => point,
        Space::Geodetic => ecef(point),
    };
    Ok((pos, exact))
}

/// Squared distance in square metres.
#[must_use]
pub fn distance2(a: Cartesian, b: Cartesian) -> f64 {
    let [x, y, z] = [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
    x * x + y * y + z * z
}

/// Squared distance seen from above.
#[must_use]
pub fn flat_distance2(a: Cartesian, b: Cartesian) -> f64 {
    let [x, y] = [a[0] - b[0], a[1] - b[1]];
    x * x + y * y
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chord(a: Point, b: Point) -> f64 {
        distance2(ecef(a), ecef(b)).sqrt()
    }

    #[test]
    fn a_degree_of_latitude_at_the_equator_is_110_574_metres() {
        assert!((chord([-0.5, 0., 0.], [0.5, 0., 0.]) - 110_574.).abs() < 5.);
    }

    #[test]
    fn the_antimeridian_and_the_pole_are_no_walls() {
        assert!((chord([10., 179.999, 0.], [10., -179.999, 0.]) - 219.3).abs() < 1.);
        assert!((chord([89.999, 0., 0.], [89.999, 180., 0.]) - 223.4).abs() < 1.);
    }

    #[test]
    fn a_metric_point_is_exact_in_metres() {
        assert_eq!(cartesian(Space::Metric, IPos([1, -1024, 512])), [1. / 1024., -1., 0.5]);
    }

    #[test]
    fn degrees_have_the_length_of_the_ellipsoid() {
        let (north, east) = metres_per_degree(52.0);
        assert!((north - chord([51.5, 0., 0.], [52.5, 0., 0.])).abs() < 5.);
        assert!((east - chord([52., -0.5, 0.], [52., 0.5, 0.])).abs() < 5.);
    }
}
