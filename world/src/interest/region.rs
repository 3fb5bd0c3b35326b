//! The geometry of an area of interest: what is inside, what is outside, and the margin between,
//! in which whoever was visible stays so and whoever was not does not become so.

use crate::atlas::{Atlas, Place, to_grid};
use crate::leaf::{Grid, GridBox, Probe};
use crate::space::{
    Cartesian, EARTH_A_M, EARTH_E2, distance2, ecef, flat_distance2, flattened, metres_per_degree,
};
use starling_protocol::message::interest::Point;
use starling_protocol::planted::{self, Bug};
use starling_protocol::space::{METRIC_STEPS, Space};

/// Where a place lies with respect to a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Within the enter distance.
    Inside,
    /// Between the enter and the leave distance.
    Margin,
    /// Beyond the leave distance.
    Outside,
}

impl Side {
    #[inline]
    pub(super) const fn of(inside: bool, outside: bool) -> Self {
        if inside {
            Self::Inside
        } else if outside {
            Self::Outside
        } else {
            Self::Margin
        }
    }
}

/// A region with its margin.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Region {
    /// A sphere; seen from above when `flat`.
    Sphere {
        /// Its centre.
        center: Cartesian,
        /// Square of the enter distance.
        enter2: f64,
        /// Square of the leave distance.
        leave2: f64,
        /// Heights are ignored.
        flat: bool,
    },
    /// Metres along each axis.
    Metric(Bounds),
    /// Degrees of latitude and longitude, metres of altitude; longitude wraps round.
    Geodetic(Bounds),
}

/// An axis-aligned box by centre and half its sides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    /// Its centre.
    pub(crate) center: Point,
    /// From the centre to each face; infinite for an axis without bounds.
    pub(crate) half: Point,
    /// What each half is multiplied by to leave.
    pub(crate) hysteresis: f64,
}

impl Region {
    /// A sphere of so many metres.
    #[must_use]
    pub(crate) fn sphere(center: Cartesian, radius_m: f64, hysteresis: f64, flat: bool) -> Self {
        let leave = match radius_m * hysteresis {
            leave if planted::is(Bug::FarSeen) => leave * 1.1,
            _ if planted::is(Bug::NoHysteresis) => radius_m,
            leave => leave,
        };
        Self::Sphere { center, enter2: radius_m * radius_m, leave2: leave * leave, flat }
    }

    /// A square seen from above with sides of so many metres. Geodetic: the degrees that these
    /// metres have at the latitude of its centre.
    #[must_use]
    pub(crate) fn viewport(space: Space, center: Point, side_m: f64, hysteresis: f64) -> Self {
        let half = side_m / 2.0;
        match space {
            Space::Metric => {
                Self::Metric(Bounds { center, half: [half, half, f64::INFINITY], hysteresis })
            }
            Space::Geodetic => {
                let (north, east) = metres_per_degree(center[0]);
                let half = [half / north, half / east, f64::INFINITY];
                Self::Geodetic(Bounds { center, half, hysteresis })
            }
        }
    }

    /// A box by two corners. Geodetic: west greater than east crosses the antimeridian.
    #[must_use]
    pub(crate) fn corners(space: Space, min: Point, max: Point, hysteresis: f64) -> Self {
        let mut center = [0.0; 3];
        let mut half = [0.0; 3];
        for axis in 0..3 {
            center[axis] = f64::midpoint(min[axis], max[axis]);
            half[axis] = (max[axis] - min[axis]) / 2.0;
        }
        if space == Space::Metric {
            return Self::Metric(Bounds { center, half, hysteresis });
        }
        if half[1] < 0.0 {
            half[1] += 180.0;
            center[1] += 180.0;
        }
        Self::Geodetic(Bounds { center, half, hysteresis })
    }

    /// Its centre, in metres.
    #[must_use]
    pub(crate) fn middle(&self) -> Cartesian {
        match self {
            Self::Sphere { center, .. } => *center,
            Self::Metric(bounds) => bounds.center,
            Self::Geodetic(bounds) => ecef(bounds.center),
        }
    }

    /// How far it reaches from its middle along its longest bounded axis, in metres; infinite where
    /// nothing bounds it.
    #[must_use]
    pub(crate) fn reach_m(&self) -> f64 {
        let longest = |halves: [f64; 3]| {
            let bounded = halves.into_iter().filter(|half| half.is_finite());
            bounded.reduce(f64::max).unwrap_or(f64::INFINITY)
        };
        match self {
            Self::Sphere { enter2, .. } => enter2.sqrt(),
            Self::Metric(bounds) => longest(bounds.half),
            Self::Geodetic(Bounds { center, half, .. }) => {
                let (north, east) = metres_per_degree(center[0]);
                longest([half[0] * north, half[1] * east, half[2]])
            }
        }
    }

    /// On which side a place lies.
    #[inline]
    #[must_use]
    pub(crate) fn side(&self, space: Space, place: &Place) -> Side {
        match self {
            Self::Sphere { center, enter2, leave2, flat: false } => {
                let d2 = distance2(*center, place.point);
                Side::of(d2 <= *enter2, d2 > *leave2)
            }
            Self::Sphere { center, enter2, leave2, flat: true } => {
                let d2 = flat2(space, *center, place);
                Side::of(d2 <= *enter2, d2 > *leave2)
            }
            Self::Metric(bounds) => bounds.side(bounds.offsets(place.point)),
            Self::Geodetic(bounds) => {
                let point = Space::Geodetic.point(place.pos);
                let mut offsets = bounds.offsets(point);
                offsets[1] = turn(point[1] - bounds.center[1]).abs();
                bounds.side(offsets)
            }
        }
    }

    /// A probe that hits everything but what is outside.
    #[must_use]
    pub(crate) fn probe(&self, atlas: &Atlas, grid: Grid) -> Probe {
        match self {
            Self::Sphere { leave2, flat, .. } => atlas.sphere(grid, leave2.sqrt(), *flat),
            Self::Metric(bounds) => Probe::Box(bounds.metric_box()),
            Self::Geodetic(bounds) => Probe::Box(bounds.patch()),
        }
    }
}

/// Squared distance with heights ignored, to a centre that lies on the ground already.
fn flat2(space: Space, center: Cartesian, place: &Place) -> f64 {
    match space {
        Space::Metric => flat_distance2(center, place.point),
        Space::Geodetic => distance2(center, flattened(space, place.pos)),
    }
}

/// Degrees folded into [-180, 180).
fn turn(degrees: f64) -> f64 {
    (degrees + 180.0).rem_euclid(360.0) - 180.0
}

impl Bounds {
    fn offsets(&self, point: Point) -> Point {
        let mut offsets = [0.0; 3];
        for axis in 0..3 {
            offsets[axis] = (point[axis] - self.center[axis]).abs();
        }
        offsets
    }

    fn side(&self, offsets: Point) -> Side {
        let inside = (0..3).all(|axis| offsets[axis] <= self.half[axis]);
        let outside = (0..3).any(|axis| offsets[axis] > self.half[axis] * self.hysteresis);
        Side::of(inside, outside)
    }

    /// The leave box in grid steps.
    fn metric_box(&self) -> GridBox {
        let mut bounds = GridBox::ALL;
        for axis in 0..3 {
            let half = self.half[axis] * self.hysteresis;
            // Casts saturate, and an infinite half reaches as far as there is.
            bounds.min[axis] = ((self.center[axis] - half) * METRIC_STEPS).floor() as i32;
            bounds.max[axis] = ((self.center[axis] + half) * METRIC_STEPS).ceil() as i32;
        }
        bounds.grown(1)
    }

    /// The ECEF box round the leave patch of the ellipsoid.
    fn patch(&self) -> GridBox {
        let half = self.half.map(|h| h * self.hysteresis);
        let south = (self.center[0] - half[0]).max(-90.0);
        let north = (self.center[0] + half[0]).min(90.0);
        let nearest = if south <= 0.0 && north >= 0.0 { 0.0 } else { south.abs().min(north.abs()) };
        let (wide, _) = meridian(nearest);
        let (narrow, _) = meridian(south.abs().max(north.abs()));
        let arc = |peak: f64| self.arc(half[1], peak).map(|c| span(c, narrow, wide));
        let ([x0, x1], [y0, y1]) = (ends(arc(0.0)), ends(arc(90.0)));
        let min = [x0, y0, meridian(south).1].map(to_grid);
        let max = [x1, y1, meridian(north).1].map(to_grid);
        GridBox { min, max }.grown(4)
    }

    /// Least and greatest cosine of (longitude - peak) within the patch.
    fn arc(&self, half: f64, peak: f64) -> [f64; 2] {
        let from = turn(self.center[1] - peak);
        let cos = |degrees: f64| libm::cos(degrees.to_radians());
        let (a, b) = (cos(from - half), cos(from + half));
        let least = if turn(from - 180.0).abs() <= half { -1.0 } else { a.min(b) };
        let greatest = if from.abs() <= half { 1.0 } else { a.max(b) };
        [least, greatest]
    }
}

/// A cosine times every distance from the axis between two.
fn span(cos: f64, narrow: f64, wide: f64) -> [f64; 2] {
    let (a, b) = (cos * narrow, cos * wide);
    [a.min(b), a.max(b)]
}

fn ends([least, greatest]: [[f64; 2]; 2]) -> [f64; 2] {
    [least[0], greatest[1]]
}

/// Distance from the Earth's axis and height above the equator's plane, on the ellipsoid.
fn meridian(lat: f64) -> (f64, f64) {
    let (sin, cos) = libm::sincos(lat.to_radians());
    let normal = EARTH_A_M / (1.0 - EARTH_E2 * sin * sin).sqrt();
    (normal * cos, normal * (1.0 - EARTH_E2) * sin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Profile, WorldConfig};
    use crate::entity::EntityIdx;
    use proptest::prelude::*;
    use starling_protocol::space::wrap_longitude;
    use starling_protocol::units::KindId;

    fn fold_longitude(degrees: f64) -> f64 {
        f64::from(wrap_longitude((degrees * 1e7).round_ties_even() as i64)) / 1e7
    }

    fn atlas(space: Space, points: &[Point]) -> Atlas {
        let mut atlas = Atlas::new(&WorldConfig::new("t", space, Profile::Game));
        for (i, point) in points.iter().enumerate() {
            atlas.insert(EntityIdx(i as u32), KindId(0), space.snap(*point).expect("in range"));
        }
        atlas.refresh(&crate::executor::Serial);
        atlas
    }

    /// Whatever is not outside is hit by the region's probe.
    fn assert_probe_covers(atlas: &Atlas, region: &Region, center: Point, count: usize) {
        let space = atlas.space();
        let grid = atlas.locate(space.snap(center).expect("in range")).grid;
        let mut hits = vec![false; count];
        atlas.probe(&region.probe(atlas, grid), u64::MAX, |e, _| hits[e.at()] = true);
        for (i, hit) in hits.iter().enumerate() {
            let side = region.side(space, &atlas.place(EntityIdx(i as u32)));
            assert!(*hit || side == Side::Outside, "{i} is {side:?} and was not found");
        }
    }

    fn on_earth() -> impl Strategy<Value = Point> {
        let lat = prop_oneof![-90.0..=90.0, 89.9..=90.0, -90.0..=-89.9];
        let lon = prop_oneof![-180.0..=180.0, 179.99..=180.0, -180.0..=-179.99];
        let alt = prop_oneof![Just(0.0), -400.0..12_000.0, -90_000.0..400_000.0];
        (lat, lon, alt).prop_map(|(a, b, c)| [a, b, c])
    }

    /// Points near each other, so that regions have something in them.
    fn crowd() -> impl Strategy<Value = (Point, Vec<Point>)> {
        let offsets = prop::collection::vec((-0.3..0.3f64, -0.3..0.3f64, 0.0..9_000.0f64), 1..80);
        (on_earth(), offsets, prop::collection::vec(on_earth(), 0..20)).prop_map(
            |(center, offsets, far)| {
                let near = offsets.into_iter().map(|(a, b, c)| {
                    let lat = (center[0] + a).clamp(-90.0, 90.0);
                    [lat, fold_longitude(center[1] + b), center[2] + c]
                });
                (center, near.chain(far).collect())
            },
        )
    }

    proptest! {
        #[test]
        fn a_probe_on_the_globe_misses_nothing(
            (center, points) in crowd(),
            radius in 1.0..60_000.0f64,
            corner in on_earth(),
        ) {
            let atlas = atlas(Space::Geodetic, &points);
            let space = Space::Geodetic;
            let place = atlas.locate(space.snap(center).expect("in range"));
            let regions = [
                Region::sphere(place.point, radius, 1.125, false),
                Region::sphere(flattened(space, place.pos), radius, 1.125, true),
                Region::viewport(space, center, radius, 1.125),
                Region::corners(
                    space,
                    [center[0].min(corner[0]), center[1], center[2].min(corner[2])],
                    [center[0].max(corner[0]), corner[1], center[2].max(corner[2])],
                    1.125,
                ),
            ];
            for region in &regions {
                assert_probe_covers(&atlas, region, center, points.len());
            }
        }

        #[test]
        fn a_probe_in_the_plane_misses_nothing(
            points in prop::collection::vec([-900.0..900.0f64, -900.0..900.0, -900.0..900.0], 1..80),
            center in [-900.0..900.0f64, -900.0..900.0, -900.0..900.0],
            radius in 0.1..900.0f64,
            flat: bool,
        ) {
            let atlas = atlas(Space::Metric, &points);
            let side = center.map(|c| c + radius);
            for region in [
                Region::sphere(center, radius, 1.125, flat),
                Region::viewport(Space::Metric, center, radius, 1.125),
                Region::corners(Space::Metric, center, side, 1.125),
            ] {
                assert_probe_covers(&atlas, &region, center, points.len());
            }
        }
    }

    fn side_of(region: &Region, space: Space, point: Point) -> Side {
        let atlas = atlas(space, &[point]);
        region.side(space, &atlas.place(EntityIdx(0)))
    }

    #[test]
    fn a_box_may_cross_the_antimeridian() {
        let region =
            Region::corners(Space::Geodetic, [-10., 170., -100.], [10., -170., 100.], 1.125);
        assert_eq!(side_of(&region, Space::Geodetic, [0., 180., 0.]), Side::Inside);
        assert_eq!(side_of(&region, Space::Geodetic, [0., -170.5, 0.]), Side::Inside);
        assert_eq!(side_of(&region, Space::Geodetic, [0., -169., 0.]), Side::Margin);
        assert_eq!(side_of(&region, Space::Geodetic, [0., 0., 0.]), Side::Outside);
        let plain = Region::corners(Space::Geodetic, [-10., -170., -100.], [10., 170., 100.], 1.0);
        assert_eq!(side_of(&plain, Space::Geodetic, [0., 0., 0.]), Side::Inside);
        assert_eq!(side_of(&plain, Space::Geodetic, [0., 180., 0.]), Side::Outside);
    }

    #[test]
    fn a_viewport_at_the_pole_sees_all_round_it() {
        let region = Region::viewport(Space::Geodetic, [90., 0., 0.], 2_000., 1.125);
        for lon in [-180., -90., 0., 77., 179.] {
            assert_eq!(side_of(&region, Space::Geodetic, [89.995, lon, 500.]), Side::Inside);
            assert_eq!(side_of(&region, Space::Geodetic, [89.9, lon, 0.]), Side::Outside);
        }
    }

    #[test]
    fn a_sphere_has_a_margin() {
        let region = Region::sphere([0.; 3], 100., 1.125, false);
        assert_eq!(side_of(&region, Space::Metric, [100., 0., 0.]), Side::Inside);
        assert_eq!(side_of(&region, Space::Metric, [112., 0., 0.]), Side::Margin);
        assert_eq!(side_of(&region, Space::Metric, [113., 0., 0.]), Side::Outside);
        let flat = Region::sphere([0.; 3], 100., 1.125, true);
        assert_eq!(side_of(&flat, Space::Metric, [60., 80., 900.]), Side::Inside);
    }
}
