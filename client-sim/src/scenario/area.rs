//! How large an area must be for a client to see as many others as asked.

use super::{MotionKind, Scenario};
use crate::space::Position;
use std::collections::HashMap;
use std::f64::consts::PI;

/// The square in which a scenario takes place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Area {
    /// Metres along each side.
    pub side_m: f64,
    /// Others within the radius of an entity, on average, as it was estimated.
    pub visible: f64,
}

/// Entities whose neighbours are counted in one estimate.
const PROBES: usize = 2000;
/// Halvings of the interval in which the side is sought.
const HALVINGS: u32 = 16;

impl Area {
    /// The square for `entities` entities of a scenario of which each sees `visible` others.
    ///
    /// `walk` follows the formula side = sqrt(N pi R^2 / visible); motion that is not uniform
    /// is placed and counted, larger and smaller in turn, until it fits.
    #[must_use]
    pub fn solve(scenario: &Scenario, seed: u64, entities: u32, visible: f64) -> Self {
        let uniform = (f64::from(entities) * PI / visible.max(0.01)).sqrt() * scenario.radius_m;
        let count = |side_m: f64| mean_neighbours(scenario, seed, entities, side_m);
        if scenario.motion == MotionKind::Walk || entities < 2 {
            return Self { side_m: uniform, visible: count(uniform) };
        }
        let (mut low, mut high) = (uniform / 8.0, uniform * 8.0);
        for _ in 0..HALVINGS {
            let middle = (low * high).sqrt();
            match count(middle) > visible {
                true => low = middle,
                false => high = middle,
            }
        }
        let side_m = (low * high).sqrt();
        Self { side_m, visible: count(side_m) }
    }
}

/// Counts the neighbours of a sample of entities, as they stand at the start.
fn mean_neighbours(scenario: &Scenario, seed: u64, entities: u32, side_m: f64) -> f64 {
    let cast = scenario.cast(seed, entities, side_m);
    let place = |entity| cast.entity(entity).pose(0.0).map(|pose| pose.position);
    let positions: Vec<Position> = (0..entities).filter_map(place).collect();
    let cells = Cells::new(scenario, &positions);
    let step = (positions.len() / PROBES).max(1);
    let probes = (0..positions.len()).step_by(step);
    let total: usize = probes.clone().map(|probe| cells.neighbours(probe)).sum();
    total as f64 / probes.len().max(1) as f64
}

/// Positions by cells one radius wide.
struct Cells<'a> {
    scenario: &'a Scenario,
    positions: &'a [Position],
    cells: HashMap<(i64, i64), Vec<usize>>,
}

impl<'a> Cells<'a> {
    fn new(scenario: &'a Scenario, positions: &'a [Position]) -> Self {
        let mut all = Self { scenario, positions, cells: HashMap::new() };
        for index in 0..positions.len() {
            all.cells.entry(all.cell(index)).or_default().push(index);
        }
        all
    }

    fn cell(&self, index: usize) -> (i64, i64) {
        let Scenario { space, centre, radius_m, .. } = self.scenario;
        let (east, north) = space.offset_from(*centre, self.positions[index]);
        ((east / radius_m).floor() as i64, (north / radius_m).floor() as i64)
    }

    fn neighbours(&self, index: usize) -> usize {
        let (x, y) = self.cell(index);
        let around = (-1..=1).flat_map(|dx| (-1..=1).map(move |dy| (x + dx, y + dy)));
        let near = |other: &&usize| {
            let (a, b) = (self.positions[index], self.positions[**other]);
            **other != index && self.scenario.space.distance_m(a, b) <= self.scenario.radius_m
        };
        around.filter_map(|cell| self.cells.get(&cell)).flatten().filter(near).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean neighbours after a minute of motion, by brute force.
    fn seen_later(scenario: &Scenario, entities: u32, area: Area) -> f64 {
        let cast = scenario.cast(3, entities, area.side_m);
        let later = |entity| cast.entity(entity).pose(60.0).map(|pose| pose.position);
        let at: Vec<_> = (0..entities).filter_map(later).collect();
        let near =
            |a: usize, b: usize| scenario.space.distance_m(at[a], at[b]) <= scenario.radius_m;
        let pairs = (0..at.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
        2.0 * pairs.filter(|&(a, b)| near(a, b)).count() as f64 / at.len() as f64
    }

    #[test]
    fn each_scenario_shows_about_as_many_others_as_asked_at_the_start_and_later() {
        for name in Scenario::names() {
            let scenario = Scenario::open(name).expect("built-in scenarios parse");
            let area = Area::solve(&scenario, 3, 600, 50.0);
            let later = seen_later(&scenario, 600, area);
            assert!((35.0..65.0).contains(&area.visible), "{name}: {}", area.visible);
            assert!((30.0..75.0).contains(&later), "{name}: {later} after a minute");
        }
    }

    #[test]
    fn the_walk_is_the_peers_square() {
        let scenario = Scenario::open("walk").expect("built-in scenarios parse");
        let area = Area::solve(&scenario, 1, 200, 50.0);
        assert!((area.side_m - (200.0 * PI * 2500.0 / 50.0_f64).sqrt()).abs() < 1e-9);
    }
}
