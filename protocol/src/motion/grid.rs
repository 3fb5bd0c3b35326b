//! The wire grid of fixes: about half a metre in geodetic worlds, 1/64 m in metric ones.
//!
//! The longitude unit grows with latitude so that it stays near half a metre on the ground. Every
//! unit divides half a turn of longitude, so that the grid closes on itself at the antimeridian.

use super::knot::nearest_unit;
use super::{KNOT_GRID, snap_knot};
use crate::space::{CIRCLE, IPos, METRIC_LIMIT, Space, wrap_longitude};

/// Steps of 1e-7 degree between neighbouring latitudes of the grid.
pub const LATITUDE_UNIT: i32 = 45;
/// Centimetres between neighbouring altitudes of the grid.
pub const ALTITUDE_UNIT: i32 = 50;

/// Steps of 1e-7 degree between neighbouring longitudes of the grid, by whole degrees of the
/// latitude's magnitude: the greatest divisor of 1,800,000,000 that is not above 45 / cos(degree).
pub const LONGITUDE_UNITS: [i32; 90] = [
    45, 45, 45, 45, 45, 45, 45, 45, 45, 45, 45, 45, 45, 45, 45, 45, 45, 45, 45, 45, 45, 48, 48, 48,
    48, 48, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 60, 60, 60, 60, 64, 64,
    64, 64, 64, 64, 72, 72, 75, 75, 80, 80, 80, 80, 90, 90, 90, 96, 100, 100, 100, 100, 120, 125,
    128, 128, 144, 150, 160, 160, 180, 200, 200, 225, 256, 256, 320, 360, 400, 512, 640, 800, 1280,
    2560,
];

const HALF_TURN: i32 = (CIRCLE / 2) as i32;
const LATITUDE_LIMIT: i32 = 900_000_000;
const ALTITUDE_LIMIT: i32 = 1_000_000_000;

const _: () = {
    let mut band = 0;
    while band < LONGITUDE_UNITS.len() {
        assert!(HALF_TURN % LONGITUDE_UNITS[band] == 0);
        band += 1;
    }
    assert!(LATITUDE_LIMIT % LATITUDE_UNIT == 0);
    assert!(ALTITUDE_LIMIT % ALTITUDE_UNIT == 0);
    assert!(METRIC_LIMIT % KNOT_GRID as i64 == 0);
};

/// The longitude unit at a latitude of the grid. The pole itself belongs to the last band.
#[must_use]
pub const fn longitude_unit(latitude: i32) -> i32 {
    let band = (latitude.unsigned_abs() / 10_000_000) as usize;
    LONGITUDE_UNITS[if band < LONGITUDE_UNITS.len() { band } else { LONGITUDE_UNITS.len() - 1 }]
}

/// The point of the wire grid nearest to `pos`. Snapping twice changes nothing.
#[must_use]
pub fn snap_fix(space: Space, pos: IPos) -> IPos {
    match space {
        Space::Metric => IPos(snap_knot(pos)),
        Space::Geodetic => {
            let [latitude, longitude, altitude] = pos.0;
            let latitude = round_div(latitude, LATITUDE_UNIT) * LATITUDE_UNIT;
            let unit = longitude_unit(latitude);
            let longitude = wrap_index(round_div(longitude, unit), unit) * unit;
            IPos([latitude, longitude, round_div(altitude, ALTITUDE_UNIT) * ALTITUDE_UNIT])
        }
    }
}

/// The indices of a point of the grid.
pub(crate) fn index(space: Space, pos: IPos) -> [i32; 3] {
    match space {
        Space::Metric => pos.0.map(nearest_unit),
        Space::Geodetic => {
            let unit = longitude_unit(pos.0[0]);
            [pos.0[0] / LATITUDE_UNIT, pos.0[1] / unit, pos.0[2] / ALTITUDE_UNIT]
        }
    }
}

/// The point with these indices, or `None` outside the space.
pub(crate) fn from_index(space: Space, index: [i32; 3]) -> Option<IPos> {
    let [a, b, c] = index;
    let pos = match space {
        Space::Metric => {
            IPos([a.checked_mul(KNOT_GRID)?, b.checked_mul(KNOT_GRID)?, c.checked_mul(KNOT_GRID)?])
        }
        Space::Geodetic => {
            let latitude = a.checked_mul(LATITUDE_UNIT)?;
            let longitude = b.checked_mul(longitude_unit(latitude))?;
            IPos([latitude, longitude, c.checked_mul(ALTITUDE_UNIT)?])
        }
    };
    space.contains(pos).then_some(pos)
}

/// From the grid point nearest to `predicted` to the grid point `pos`, in units; the shorter way
/// round in longitude, whose unit is that at `pos`.
pub(crate) fn residual(space: Space, predicted: IPos, pos: IPos) -> [i32; 3] {
    let now = index(space, pos);
    let then = reference(space, predicted, pos.0[0]);
    let mut residual = [0, 1, 2].map(|axis: usize| now[axis] - then[axis]);
    if space == Space::Geodetic {
        residual[1] = wrap_index(residual[1], longitude_unit(pos.0[0]));
    }
    residual
}

/// The inverse of [`residual`]; `None` outside the space.
pub(crate) fn add_residual(space: Space, predicted: IPos, residual: [i32; 3]) -> Option<IPos> {
    let latitude = match space {
        Space::Metric => 0,
        Space::Geodetic => {
            let index = round_div(predicted.0[0], LATITUDE_UNIT).checked_add(residual[0])?;
            index.checked_mul(LATITUDE_UNIT)?
        }
    };
    let then = reference(space, predicted, latitude);
    let mut now = [0; 3];
    for axis in 0..3 {
        now[axis] = then[axis].checked_add(residual[axis])?;
    }
    if space == Space::Geodetic {
        now[1] = wrap_index(now[1], longitude_unit(latitude));
    }
    from_index(space, now)
}

/// The indices nearest to a predicted point, with the longitude unit of `latitude`.
fn reference(space: Space, predicted: IPos, latitude: i32) -> [i32; 3] {
    match space {
        Space::Metric => predicted.0.map(nearest_unit),
        Space::Geodetic => [
            round_div(predicted.0[0], LATITUDE_UNIT),
            round_div(predicted.0[1], longitude_unit(latitude)),
            round_div(predicted.0[2], ALTITUDE_UNIT),
        ],
    }
}

/// A point moved into the space: clamped, and longitude folded.
pub(super) fn fold(space: Space, at: [i64; 3]) -> IPos {
    match space {
        Space::Metric => IPos(at.map(|v| v.clamp(-METRIC_LIMIT, METRIC_LIMIT) as i32)),
        Space::Geodetic => IPos([
            at[0].clamp(-i64::from(LATITUDE_LIMIT), i64::from(LATITUDE_LIMIT)) as i32,
            wrap_longitude(at[1]),
            at[2].clamp(-i64::from(ALTITUDE_LIMIT), i64::from(ALTITUDE_LIMIT)) as i32,
        ]),
    }
}

/// A longitude index folded into half a turn to either side.
fn wrap_index(index: i32, unit: i32) -> i32 {
    let half = HALF_TURN / unit;
    (index.wrapping_add(half)).rem_euclid(2 * half) - half
}

/// `v / unit` to the nearest integer; halves go up.
fn round_div(v: i32, unit: i32) -> i32 {
    (i64::from(v) + i64::from(unit) / 2).div_euclid(i64::from(unit)) as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn anywhere() -> impl Strategy<Value = (Space, IPos)> {
        let metric = prop::array::uniform3(-1_024_000_000i32..=1_024_000_000);
        let band =
            prop_oneof![Just(0), Just(899_999_999), Just(-900_000_000), -899_999_999..899_999_999];
        let around =
            prop_oneof![Just(-1_800_000_000), Just(1_799_999_999), -1_800_000_000..1_800_000_000];
        let altitude = -1_000_000_000i32..=1_000_000_000;
        prop_oneof![
            metric.prop_map(|p| (Space::Metric, IPos(p))),
            (band, around, altitude).prop_map(|(a, b, c)| (Space::Geodetic, IPos([a, b, c]))),
        ]
    }

    proptest! {
        #[test]
        fn a_snapped_point_stays_where_it_is((space, pos) in anywhere()) {
            let snapped = snap_fix(space, pos);
            prop_assert!(space.contains(snapped));
            prop_assert_eq!(snap_fix(space, snapped), snapped);
            prop_assert_eq!(from_index(space, index(space, snapped)), Some(snapped));
        }

        #[test]
        fn a_point_moves_by_half_a_unit_at_most((space, pos) in anywhere()) {
            let snapped = snap_fix(space, pos);
            let off = |axis: usize| (i64::from(snapped.0[axis]) - i64::from(pos.0[axis])).abs();
            let round = |d: i64| d.min(CIRCLE - d);
            match space {
                Space::Metric => prop_assert!((0..3).all(|axis| off(axis) <= 8)),
                Space::Geodetic => {
                    let unit = i64::from(longitude_unit(snapped.0[0]));
                    prop_assert!(off(0) <= 22 && off(2) <= 25 && 2 * round(off(1)) <= unit);
                }
            }
        }

        #[test]
        fn a_residual_leads_back((space, from) in anywhere(), (other, to) in anywhere()) {
            prop_assume!(space == other);
            let to = snap_fix(space, to);
            let residual = residual(space, from, to);
            prop_assert_eq!(add_residual(space, from, residual), Some(to));
        }

        #[test]
        fn any_residual_is_answered((space, from) in anywhere(), residual in any::<[i32; 3]>()) {
            if let Some(to) = add_residual(space, from, residual) {
                prop_assert!(space.contains(to));
                prop_assert_eq!(snap_fix(space, to), to);
            }
        }
    }

    #[test]
    fn the_way_across_the_antimeridian_is_short() {
        let west = snap_fix(Space::Geodetic, IPos([0, 1_799_999_990, 0]));
        let east = snap_fix(Space::Geodetic, IPos([0, -1_799_999_900, 0]));
        assert_eq!(residual(Space::Geodetic, west, east), [0, 2, 0]);
    }
}
