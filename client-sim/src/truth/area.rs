//! Areas of interest, and on which side of one an entity is.

use super::places::Places;
use super::subject::Place;
use crate::space::{Position, Space, metres_per_degree, wrap_degrees};
use crate::target::EntityNo;

/// What a client looks at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Area {
    /// A sphere round its own first entity; an upright cylinder if `flat`.
    Around {
        /// Metres.
        radius_m: f64,
        /// Ignore heights.
        flat: bool,
    },
    /// A sphere round a point.
    Point {
        /// Its centre.
        centre: Position,
        /// Metres.
        radius_m: f64,
    },
    /// An upright square; heights are ignored.
    Viewport {
        /// Its centre.
        centre: Position,
        /// Metres along a side.
        side_m: f64,
    },
    /// One entity wherever it goes.
    Follow {
        /// Which.
        entity: EntityNo,
    },
    /// The nearest few, seen from its own first entity or from a point.
    Nearest {
        /// How many.
        count: usize,
        /// From here; from its own entity where absent.
        centre: Option<Position>,
    },
}

/// On which side of an area an entity is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Zone {
    /// Beyond the leave distance: must not be held.
    Outside,
    /// Between enter and leave distance, or too close to either to tell: may be held.
    #[default]
    Between,
    /// Within the enter distance: must be held.
    Inside,
}

/// Positions closer to an edge than this are not judged: the server's positions lie on a grid
/// and its shapes are approximations on the Earth.
const EDGE_M: f64 = 0.02;
/// The same as a share of the distance at which the edge is.
const EDGE_SHARE: f64 = 0.002;

/// One area as it lies at one tick: ready to be compared with many entities.
#[derive(Clone, Copy, Debug)]
pub(super) struct Eye {
    shape: Shape,
    space: Space,
    hysteresis: f64,
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    /// The observer has no place yet: nothing can be said.
    Unknown,
    /// Its centre in Cartesian metres.
    Sphere {
        centre: Position,
        radius_m: f64,
    },
    /// Heights ignored.
    Disc {
        centre: Position,
        radius_m: f64,
    },
    Square {
        centre: Position,
        metres_per_unit: [f64; 2],
        half_m: f64,
    },
    One(EntityNo),
}

impl Eye {
    /// An area of an observer whose first entity is at `own`. `others` are the entities that it
    /// might see, in Cartesian metres; they matter to "nearest" only.
    pub(super) fn new(
        area: &Area,
        space: Space,
        hysteresis: f64,
        own: Option<Place>,
        others: impl Iterator<Item = Position>,
    ) -> Self {
        let own = own.map(|place| place.position);
        let shape = match *area {
            Area::Around { radius_m, flat: true } => disc(own, radius_m),
            Area::Around { radius_m, flat: false } => sphere(space, own, radius_m),
            Area::Point { centre, radius_m } => sphere(space, Some(centre), radius_m),
            Area::Viewport { centre, side_m } => square(space, centre, side_m),
            Area::Follow { entity } => Shape::One(entity),
            Area::Nearest { count, centre } => match centre.or(own) {
                Some(centre) => return Self::nearest(space, centre, count, hysteresis, others),
                None => Shape::Unknown,
            },
        };
        Self { shape, space, hysteresis }
    }

    /// Clearly among the nearest are those that would be so at 1/h of the distance of the last,
    /// clearly not those beyond h times it: a server may keep whom it has at the border.
    fn nearest(
        space: Space,
        centre: Position,
        count: usize,
        hysteresis: f64,
        others: impl Iterator<Item = Position>,
    ) -> Self {
        let centre = space.cartesian(centre);
        let radius_m = kth_distance(centre, count, others) / hysteresis;
        let shape = Shape::Sphere { centre, radius_m };
        Self { shape, space, hysteresis: hysteresis * hysteresis }
    }

    /// Where every entity is to this area, wherever that is more than what `zones` has.
    pub(super) fn survey(&self, places: &Places, zones: &mut [Zone]) {
        if let Shape::Sphere { centre, radius_m } = self.shape {
            return self.survey_sphere(centre, radius_m, places, zones);
        }
        for (index, (spot, zone)) in places.spots.iter().zip(zones).enumerate() {
            if let Some(place) = spot.place {
                *zone = self.zone(EntityNo(index as u32), place).max(*zone);
            }
        }
    }

    /// The common shape, without a root, a branch or a jump in memory.
    fn survey_sphere(&self, centre: Position, radius_m: f64, places: &Places, zones: &mut [Zone]) {
        let (inside_m, outside_m) = self.limits(radius_m);
        // Nothing is within less than no distance, squared or not.
        let inside_m2 = if inside_m < 0.0 { -1.0 } else { inside_m * inside_m };
        let outside_m2 = outside_m * outside_m;
        let [x, y, z] = &places.axes;
        let points = x.iter().zip(y).zip(z).zip(&places.placeless);
        for ((((x, y), z), placeless), zone) in points.zip(zones) {
            let off = [x - centre[0], y - centre[1], z - centre[2]];
            let metres2 = off[0] * off[0] + off[1] * off[1] + off[2] * off[2];
            let here = zone_of(metres2, inside_m2, outside_m2);
            let here = if placeless.is_none() { here } else { Zone::Outside };
            *zone = here.max(*zone);
        }
    }

    /// Where an entity is to this area.
    fn zone(&self, entity: EntityNo, at: Place) -> Zone {
        match self.shape {
            Shape::Unknown => Zone::Between,
            Shape::One(followed) if followed == entity => Zone::Inside,
            Shape::One(_) => Zone::Outside,
            Shape::Sphere { centre, radius_m } => {
                self.compare(Space::Metric.distance_m(centre, at.cartesian), radius_m)
            }
            Shape::Disc { centre, radius_m } => {
                self.compare(self.space.flat_distance_m(centre, at.position), radius_m)
            }
            Shape::Square { centre, metres_per_unit, half_m } => {
                let off = offsets(self.space, centre, at.position);
                let distance = off.iter().zip(metres_per_unit).map(|(d, m)| (d * m).abs());
                self.compare(distance.fold(0.0, f64::max), half_m)
            }
        }
    }

    fn compare(&self, distance_m: f64, enter_m: f64) -> Zone {
        let (inside_m, outside_m) = self.limits(enter_m);
        zone_of(distance_m, inside_m, outside_m)
    }

    /// At most this far is inside, at least that far is outside.
    fn limits(&self, enter_m: f64) -> (f64, f64) {
        let leave_m = enter_m * self.hysteresis;
        let edge = |at_m: f64| EDGE_M + at_m * EDGE_SHARE;
        (enter_m - edge(enter_m), leave_m + edge(leave_m))
    }
}

fn zone_of(distance: f64, inside: f64, outside: f64) -> Zone {
    if distance <= inside {
        Zone::Inside
    } else if distance >= outside {
        Zone::Outside
    } else {
        Zone::Between
    }
}

fn sphere(space: Space, centre: Option<Position>, radius_m: f64) -> Shape {
    let cartesian = centre.map(|centre| space.cartesian(centre));
    cartesian.map_or(Shape::Unknown, |centre| Shape::Sphere { centre, radius_m })
}

fn disc(centre: Option<Position>, radius_m: f64) -> Shape {
    centre.map_or(Shape::Unknown, |centre| Shape::Disc { centre, radius_m })
}

fn square(space: Space, centre: Position, side_m: f64) -> Shape {
    let metres_per_unit = match space {
        Space::Metric => [1.0, 1.0],
        Space::Geodetic => {
            let (lat, lon) = metres_per_degree(centre[0]);
            [lat, lon]
        }
    };
    Shape::Square { centre, metres_per_unit, half_m: side_m / 2.0 }
}

/// Differences along the two flat axes, longitude the short way round.
fn offsets(space: Space, centre: Position, at: Position) -> [f64; 2] {
    let second = at[1] - centre[1];
    match space {
        Space::Metric => [at[0] - centre[0], second],
        Space::Geodetic => [at[0] - centre[0], wrap_degrees(second)],
    }
}

/// Farther than any two points of a world: "everything is inside".
const EVERYWHERE_M: f64 = 1e12;

/// Distance of the `count`-th nearest, all in Cartesian metres.
fn kth_distance(centre: Position, count: usize, others: impl Iterator<Item = Position>) -> f64 {
    let metres = |p| Space::Metric.distance_m(centre, p);
    let mut distances: Vec<f64> = others.map(metres).collect();
    match count.checked_sub(1) {
        Some(last) if last < distances.len() => {
            *distances.select_nth_unstable_by(last, f64::total_cmp).1
        }
        Some(_) => EVERYWHERE_M,
        None => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::news::Taken;
    use super::super::subject::Subject;
    use super::*;

    const ME: EntityNo = EntityNo(0);
    const OTHER: EntityNo = EntityNo(1);

    fn place(space: Space, position: Position) -> Place {
        Place { position, cartesian: space.cartesian(position) }
    }

    fn zone(area: Area, space: Space, own: Option<Position>, at: Position) -> Zone {
        let own = own.map(|position| place(space, position));
        let at = place(space, at);
        Eye::new(&area, space, 1.125, own, [at.cartesian].into_iter()).zone(OTHER, at)
    }

    #[test]
    fn a_sphere_has_an_enter_and_a_leave_distance() {
        let area = Area::Around { radius_m: 50.0, flat: false };
        let at = |x: f64| zone(area, Space::Metric, Some([0.0; 3]), [x, 0.0, 0.0]);
        assert_eq!(at(49.8), Zone::Inside);
        assert_eq!(at(50.1), Zone::Between);
        assert_eq!(at(56.0), Zone::Between);
        assert_eq!(at(56.5), Zone::Outside);
    }

    #[test]
    fn height_counts_unless_the_area_is_flat() {
        let at = [30.0, 0.0, 60.0];
        let own = Some([0.0; 3]);
        let round = Area::Around { radius_m: 50.0, flat: false };
        let flat = Area::Around { radius_m: 50.0, flat: true };
        assert_eq!(zone(round, Space::Metric, own, at), Zone::Outside);
        assert_eq!(zone(flat, Space::Metric, own, at), Zone::Inside);
    }

    #[test]
    fn an_observer_without_a_place_is_not_judged() {
        let area = Area::Around { radius_m: 50.0, flat: false };
        assert_eq!(zone(area, Space::Metric, None, [0.0; 3]), Zone::Between);
    }

    #[test]
    fn a_viewport_is_a_square_that_ignores_height_also_across_the_antimeridian() {
        let area = Area::Viewport { centre: [0.0, 179.999, 0.0], side_m: 2000.0 };
        let at = |lat: f64, lon: f64| zone(area, Space::Geodetic, None, [lat, lon, 9000.0]);
        assert_eq!(at(0.0, -179.993), Zone::Inside);
        assert_eq!(at(0.0085, -179.993), Zone::Inside);
        assert_eq!(at(0.0, -179.98), Zone::Outside);
        assert_eq!(at(0.02, 179.999), Zone::Outside);
    }

    #[test]
    fn follow_is_one_entity_wherever_it_is() {
        let eye = Eye::new(
            &Area::Follow { entity: OTHER },
            Space::Metric,
            1.125,
            None,
            std::iter::empty(),
        );
        assert_eq!(eye.zone(OTHER, place(Space::Metric, [1e6, 0.0, 0.0])), Zone::Inside);
        assert_eq!(eye.zone(ME, place(Space::Metric, [0.0; 3])), Zone::Outside);
    }

    #[test]
    fn the_nearest_are_judged_only_clear_of_the_border() {
        let others: Vec<Position> = (1..=20).map(|k| [f64::from(k) * 10.0, 0.0, 0.0]).collect();
        let area = Area::Nearest { count: 10, centre: Some([0.0; 3]) };
        let eye = Eye::new(&area, Space::Metric, 1.125, None, others.iter().copied());
        assert_eq!(eye.zone(OTHER, place(Space::Metric, others[7])), Zone::Inside);
        assert_eq!(eye.zone(OTHER, place(Space::Metric, others[9])), Zone::Between);
        assert_eq!(eye.zone(OTHER, place(Space::Metric, others[11])), Zone::Outside);
        let few = Eye::new(&area, Space::Metric, 1.125, None, others[..5].iter().copied());
        assert_eq!(few.zone(OTHER, place(Space::Metric, others[4])), Zone::Inside);
    }

    /// What everything is to an area, one by one and all at once.
    fn zones_both_ways(area: &Area, space: Space, subjects: &[Subject]) -> [Vec<Zone>; 2] {
        let mut places = Places::default();
        places.lay_out(subjects, 9, 50_000_000);
        let others = places.spots.iter().filter_map(|spot| spot.place.map(|place| place.cartesian));
        let eye = Eye::new(area, space, 1.125, places.spots[0].place, others);
        let one = |(index, spot): (usize, &super::super::places::Spot)| match spot.place {
            Some(place) => eye.zone(EntityNo(index as u32), place),
            None => places.placeless[index].expect("it has no place"),
        };
        let singly = places.spots.iter().enumerate().map(one).collect();
        let known = places.placeless.iter().map(|zone| zone.unwrap_or(Zone::Outside));
        let mut at_once: Vec<Zone> = known.collect();
        eye.survey(&places, &mut at_once);
        [singly, at_once]
    }

    #[test]
    fn all_at_once_everything_is_where_it_is_one_by_one() {
        for space in [Space::Metric, Space::Geodetic] {
            let scale = if space == Space::Metric { 1.0 } else { 1e-5 };
            let subjects: Vec<Subject> = (0..400).map(|n| stranger(n, space, scale)).collect();
            let areas = [
                Area::Around { radius_m: 50.0, flat: false },
                Area::Around { radius_m: 0.001, flat: false },
                Area::Around { radius_m: 50.0, flat: true },
                Area::Viewport { centre: [1.0 * scale; 3], side_m: 80.0 },
                Area::Follow { entity: OTHER },
                Area::Nearest { count: 20, centre: None },
                Area::Nearest { count: 1_000, centre: None },
            ];
            for area in areas {
                let [singly, at_once] = zones_both_ways(&area, space, &subjects);
                assert_eq!(singly, at_once, "{area:?}");
            }
        }
    }

    /// One of many in a spiral, some of whom are nowhere and some nobody knows where.
    fn stranger(number: u32, space: Space, scale: f64) -> Subject {
        let mut subject = Subject::new();
        if number % 7 == 3 {
            return subject;
        }
        let (turn, off) = (f64::from(number) * 0.61, f64::from(number) * 0.2);
        let position = [off * turn.sin() * scale, off * turn.cos() * scale, off * 0.1];
        let entity = EntityNo(number);
        subject.take(space, Taken { entity, tick: 9, exact: true, position, sampled_ns: 0 });
        if number % 11 == 5 {
            subject.go_blind();
        }
        subject
    }
}
