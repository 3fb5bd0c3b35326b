//! One area of interest, checked and made ready.

use super::region::Region;
use crate::atlas::grid;
use crate::leaf::Grid;
use crate::space::{Cartesian, cartesian, place};
use starling_protocol::close::CloseCode;
use starling_protocol::limits::NEAREST_MAX;
use starling_protocol::message::interest::{Interest, Point, Shape, Target};
use starling_protocol::space::{IPos, Space};
use starling_protocol::units::Handle;

/// Where the search for the nearest begins; from then on it begins where the last one ended.
const NEAREST_REACH_M: f64 = 128.0;

/// One area of interest, checked and made ready.
///
/// The precision that a viewer accepts is advice and not kept: all viewers of an entity share one
/// track, which is never worse than the world's bound.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Area {
    pub(super) shape: Ready,
    /// Bit `k` set: entities of kind `k` pass.
    pub(crate) kinds: u64,
    /// Only entities of this team pass.
    pub(crate) team: Option<u8>,
    /// Send names with enter records.
    pub(crate) names: bool,
}

/// A shape with everything computed that does not change.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Ready {
    Around { entity: Option<Handle>, radius_m: f64, hysteresis: f64, flat: bool },
    Fixed { region: Region, grid: Grid },
    Follow { target: Target },
    Nearest { count: usize, center: Option<IPos>, flat: bool, reach_m: f64 },
}

impl Area {
    /// Its middle, where it has one that does not depend on an entity.
    #[must_use]
    pub(crate) fn middle(&self, space: Space) -> Option<Cartesian> {
        match &self.shape {
            Ready::Fixed { region, .. } => Some(region.middle()),
            Ready::Nearest { center, .. } => center.map(|pos| cartesian(space, pos)),
            _ => None,
        }
    }

    /// How far it reaches from its middle, in metres; infinite where nothing bounds it.
    #[must_use]
    pub(crate) fn reach_m(&self) -> f64 {
        match &self.shape {
            Ready::Around { radius_m, .. } => *radius_m,
            Ready::Fixed { region, .. } => region.reach_m(),
            Ready::Nearest { reach_m, .. } => *reach_m,
            Ready::Follow { .. } => f64::INFINITY,
        }
    }

    /// Whom it follows, if that is all it does.
    #[must_use]
    pub(crate) fn followed(&self) -> Option<&Target> {
        match &self.shape {
            Ready::Follow { target } => Some(target),
            _ => None,
        }
    }

    /// The entity of the session that it names as its middle.
    #[must_use]
    pub(crate) fn entity(&self) -> Option<Handle> {
        match &self.shape {
            Ready::Around { entity, .. } => *entity,
            _ => None,
        }
    }

    /// Its shape, in a word.
    #[must_use]
    pub(crate) fn shape_name(&self) -> &'static str {
        match &self.shape {
            Ready::Around { .. } => "around",
            Ready::Fixed { .. } => "fixed",
            Ready::Follow { .. } => "follow",
            Ready::Nearest { .. } => "nearest",
        }
    }

    /// Its border, where it has one; `centre` says where the session's own entities are.
    pub(crate) fn region(
        &self,
        centre: impl Fn(Option<Handle>) -> Option<Cartesian>,
    ) -> Option<Region> {
        match &self.shape {
            Ready::Around { entity, radius_m, hysteresis, flat } => {
                Some(Region::sphere(centre(*entity)?, *radius_m, *hysteresis, *flat))
            }
            Ready::Fixed { region, .. } => Some(region.clone()),
            _ => None,
        }
    }

    pub(super) fn new(
        space: Space,
        hysteresis: f64,
        interest: &Interest,
    ) -> Result<Self, CloseCode> {
        let flat = interest.flat && space == Space::Metric;
        let precise = interest.precision_m.is_none_or(|p| p.is_finite() && p > 0.0);
        let shape = ready(space, hysteresis, &interest.shape, flat);
        let shape = shape.filter(|_| precise).ok_or(CloseCode::BAD_INTEREST)?;
        Ok(Self { shape, kinds: interest.kinds, team: interest.team, names: interest.names })
    }
}

fn ready(space: Space, hysteresis: f64, shape: &Shape, flat: bool) -> Option<Ready> {
    Some(match shape {
        Shape::Around { entity, radius_m } => {
            Ready::Around { entity: *entity, radius_m: length(*radius_m)?, hysteresis, flat }
        }
        Shape::Point { center, radius_m } => {
            let (pos, point) = place(space, *center).ok()?;
            let region = Region::sphere(point, length(*radius_m)?, hysteresis, flat);
            Ready::Fixed { region, grid: grid(space, pos) }
        }
        Shape::Viewport { center, side_m } => {
            place(space, *center).ok()?;
            let region = Region::viewport(space, *center, length(*side_m)?, hysteresis);
            Ready::Fixed { region, grid: [0; 3] }
        }
        Shape::Box { min, max } => {
            Ready::Fixed { region: corners(space, *min, *max, hysteresis)?, grid: [0; 3] }
        }
        Shape::Follow { entity } => Ready::Follow { target: entity.clone() },
        Shape::Nearest { count, center } => {
            let count = (1..=NEAREST_MAX).contains(count).then_some(usize::from(*count))?;
            let center = match center {
                Some(center) => Some(place(space, *center).ok()?.0),
                None => None,
            };
            Ready::Nearest { count, center, flat, reach_m: NEAREST_REACH_M }
        }
        _ => return None,
    })
}

/// A length that is finite and more than nothing.
fn length(metres: f32) -> Option<f64> {
    (metres.is_finite() && metres > 0.0).then_some(f64::from(metres))
}

/// Metric: corners in order on every axis. Geodetic: on all but longitude, which may wrap round.
fn corners(space: Space, min: Point, max: Point, hysteresis: f64) -> Option<Region> {
    let finite = min.iter().chain(&max).all(|c| c.is_finite());
    let axes: &[usize] = if space == Space::Metric { &[0, 1, 2] } else { &[0, 2] };
    let ordered = axes.iter().all(|axis| min[*axis] <= max[*axis]);
    let on_earth = |p: Point| p[0].abs() <= 90.0 && p[1].abs() <= 180.0;
    let in_range = space == Space::Metric || (on_earth(min) && on_earth(max));
    (finite && ordered && in_range).then(|| Region::corners(space, min, max, hysteresis))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(space: Space, shape: Shape) -> Result<(), CloseCode> {
        Area::new(space, 1.125, &Interest::new(shape)).map(|_| ())
    }

    #[test]
    fn what_is_not_finite_or_empty_is_refused() {
        let bad = Err(CloseCode::BAD_INTEREST);
        for radius_m in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert_eq!(check(Space::Metric, Shape::Around { entity: None, radius_m }), bad);
            let center = [0.0; 3];
            assert_eq!(check(Space::Metric, Shape::Point { center, radius_m }), bad);
            assert_eq!(check(Space::Metric, Shape::Viewport { center, side_m: radius_m }), bad);
        }
        let nowhere = Shape::Point { center: [f64::NAN, 0., 0.], radius_m: 1.0 };
        assert_eq!(check(Space::Metric, nowhere), bad);
        let beyond = Shape::Point { center: [91., 0., 0.], radius_m: 1.0 };
        assert_eq!(check(Space::Geodetic, beyond), bad);
        assert_eq!(check(Space::Metric, Shape::Nearest { count: 0, center: None }), bad);
        assert_eq!(check(Space::Metric, Shape::Nearest { count: 257, center: None }), bad);
        let mut coarse = Interest::new(Shape::Around { entity: None, radius_m: 1.0 });
        coarse.precision_m = Some(-1.0);
        assert!(Area::new(Space::Metric, 1.125, &coarse).is_err());
    }

    #[test]
    fn corners_are_in_order_but_for_longitude() {
        let wraps = |min, max| Shape::Box { min, max };
        assert!(check(Space::Geodetic, wraps([0., 170., 0.], [1., -170., 9.])).is_ok());
        assert!(check(Space::Geodetic, wraps([1., 0., 0.], [0., 1., 9.])).is_err());
        assert!(check(Space::Metric, wraps([0., 170., 0.], [1., -170., 9.])).is_err());
        assert!(check(Space::Geodetic, wraps([0., 0., 0.], [91., 1., 9.])).is_err());
    }
}
