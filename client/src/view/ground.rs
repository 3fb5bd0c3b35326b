//! Distances and ways on the canonical grid, in its own steps but with fractions.

use starling_protocol::space::{ALTITUDE_STEPS, CIRCLE, GEODETIC_STEPS, IPos, METRIC_STEPS, Space};

/// Metres of one degree of a great circle of the Earth's mean radius.
const METRES_PER_DEGREE: f64 = 111_194.926_644_558_74;

/// A point or a way between grid points.
pub(super) type Steps = [f64; 3];

pub(super) fn of(pos: IPos) -> Steps {
    pos.0.map(f64::from)
}

/// The way from `a` to `b`, the shorter way round in longitude.
pub(super) fn way(space: Space, a: Steps, b: Steps) -> Steps {
    let mut way = [b[0] - a[0], b[1] - a[1], b[2] - a[2]];
    if space == Space::Geodetic {
        let circle = CIRCLE as f64;
        way[1] = (way[1] + circle / 2.0).rem_euclid(circle) - circle / 2.0;
    }
    way
}

/// `from` plus `part` of a way.
pub(super) fn along(from: Steps, way: Steps, part: f64) -> Steps {
    [from[0] + way[0] * part, from[1] + way[1] * part, from[2] + way[2] * part]
}

/// Length of a short way that starts at `from`, in metres.
pub(super) fn metres(space: Space, from: Steps, way: Steps) -> f64 {
    let [a, b, c] = match space {
        Space::Metric => way.map(|v| v / METRIC_STEPS),
        Space::Geodetic => {
            let latitude = (from[0] / GEODETIC_STEPS).to_radians();
            let east = way[1] / GEODETIC_STEPS * METRES_PER_DEGREE * latitude.cos();
            [way[0] / GEODETIC_STEPS * METRES_PER_DEGREE, east, way[2] / ALTITUDE_STEPS]
        }
    };
    (a * a + b * b + c * c).sqrt()
}

/// The point of the API.
pub(super) fn point(space: Space, at: Steps) -> [f64; 3] {
    match space {
        Space::Metric => at.map(|v| v / METRIC_STEPS),
        Space::Geodetic => {
            let circle = CIRCLE as f64;
            let longitude = (at[1] + circle / 2.0).rem_euclid(circle) - circle / 2.0;
            let latitude = (at[0] / GEODETIC_STEPS).clamp(-90.0, 90.0);
            [latitude, longitude / GEODETIC_STEPS, at[2] / ALTITUDE_STEPS]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_across_the_antimeridian_is_short() {
        let (west, east) = ([0.0, 1_799_999_000.0, 0.0], [0.0, -1_799_999_000.0, 0.0]);
        let way = way(Space::Geodetic, west, east);
        assert_eq!(way, [0.0, 2_000.0, 0.0]);
        let end = point(Space::Geodetic, along(west, way, 1.0));
        assert!((end[1] + 179.9999).abs() < 1e-9, "{end:?}");
        assert!((metres(Space::Geodetic, west, way) - 22.239).abs() < 0.01);
    }

    #[test]
    fn a_degree_of_longitude_shrinks_with_latitude() {
        let way = [0.0, 1e7, 0.0];
        let at = |degrees: f64| metres(Space::Geodetic, [degrees * 1e7, 0.0, 0.0], way);
        assert!((at(60.0) / at(0.0) - 0.5).abs() < 1e-9);
        assert!((metres(Space::Metric, [0.0; 3], [3_072.0, 4_096.0, 0.0]) - 5.0).abs() < 1e-12);
    }
}
