//! Vehicles on a street grid that report a noisy GPS fix once a second.

use super::seed::{gauss, waiting};
use super::{Facing, Motion, Pose, entity_rng, heading_deg};
use crate::space::{Position, Space};
use rand::RngExt;
use rand_pcg::Pcg64Mcg;
use std::sync::Arc;

/// Seconds of one step of a vehicle.
const STEP_S: f64 = 0.1;
/// Steps from one fix to the next.
const STEPS_PER_FIX: u64 = 10;
/// Standard deviation of a fix in each direction, in metres.
const GPS_SIGMA_M: f64 = 2.5;
/// How much of the error of one fix is still in the next: GPS errors drift, they do not jitter.
const GPS_MEMORY: f64 = 0.95;

/// A town: a grid of streets about a centre.
#[derive(Debug)]
pub struct Streets {
    centre: Position,
    block_m: f64,
    /// Streets in each direction.
    streets: i32,
}

impl Streets {
    /// Metres from one street to the next.
    const BLOCK_M: f64 = 150.0;

    /// A town whose streets cover a square of about `side_m`, centred on `centre`.
    #[must_use]
    pub fn new(centre: Position, side_m: f64) -> Self {
        let streets = (side_m / Self::BLOCK_M).round().clamp(1.0, 10_000.0) as i32;
        Self { centre, block_m: side_m / f64::from(streets), streets }
    }

    fn place(&self, at: [f64; 2]) -> Position {
        let half = f64::from(self.streets) * self.block_m / 2.0;
        Space::Geodetic.offset(self.centre, at[0] - half, at[1] - half, 0.0)
    }

    /// Speed limit of a street: every fourth is a main road.
    fn limit_mps(&self, street: i32) -> f64 {
        if street % 4 == 0 { 16.7 } else { 10.0 }
    }
}

/// One vehicle.
pub struct CityVehicle {
    streets: Arc<Streets>,
    rng: Pcg64Mcg,
    parked: bool,
    /// The crossing it drives to, and the direction it drives in.
    to: [i32; 2],
    direction: [i32; 2],
    left_m: f64,
    speed_mps: f64,
    /// It waits at a light or a stop until then.
    waits_until_s: f64,
    stops_ahead: bool,
    error_m: [f64; 2],
    steps: u64,
    /// The fix is taken at this step of each second, so that fixes do not come all at once.
    fix_phase: u64,
    fix: Pose,
}

impl CityVehicle {
    /// Share of vehicles that stand parked.
    const PARKED: f64 = 0.3;

    /// Vehicle `entity` of a town.
    #[must_use]
    pub fn new(streets: Arc<Streets>, seed: u64, entity: u32) -> Self {
        let mut rng = entity_rng(seed, entity);
        let n = streets.streets;
        let to = [0, 1].map(|_| rng.random_range(0..=n));
        let direction = [[1, 0], [-1, 0], [0, 1], [0, -1]][rng.random_range(0..4)];
        let at = Pose { at_s: 0.0, position: [0.0; 3], velocity: None, facing: Facing::None };
        let mut vehicle = Self {
            parked: rng.random_bool(Self::PARKED),
            left_m: rng.random_range(0.0..streets.block_m),
            error_m: [0, 1].map(|_| gauss(&mut rng) * GPS_SIGMA_M),
            fix_phase: rng.random_range(0..STEPS_PER_FIX),
            stops_ahead: false,
            waits_until_s: 0.0,
            speed_mps: 0.0,
            steps: 0,
            fix: at,
            streets,
            rng,
            to,
            direction,
        };
        vehicle.keep_on_the_grid();
        vehicle.take_fix(0.0);
        vehicle
    }

    /// A vehicle at the edge of town must not come from outside it.
    fn keep_on_the_grid(&mut self) {
        let from = [0, 1].map(|k| self.to[k] - self.direction[k]);
        if from.iter().any(|c| !(0..=self.streets.streets).contains(c)) {
            self.direction = self.direction.map(|d| -d);
        }
    }

    fn step(&mut self) {
        self.steps += 1;
        let now_s = self.steps as f64 * STEP_S;
        if !self.parked && now_s >= self.waits_until_s {
            self.drive(now_s);
        }
        if self.steps % STEPS_PER_FIX == self.fix_phase {
            self.take_fix(now_s);
        }
    }

    fn drive(&mut self, now_s: f64) {
        let street = if self.direction[0] == 0 { self.to[0] } else { self.to[1] };
        let limit = self.streets.limit_mps(street);
        // Brake at 2.5 m/s2 to the crossing: to a halt, or to a speed at which one can turn.
        let end_mps: f64 = if self.stops_ahead { 0.3 } else { 6.0 };
        let wanted = limit.min((end_mps * end_mps + 2.0 * 2.5 * self.left_m).sqrt());
        let change = (wanted - self.speed_mps).clamp(-4.0 * STEP_S, 1.8 * STEP_S);
        self.speed_mps = (self.speed_mps + change).max(0.3);
        self.left_m -= self.speed_mps * STEP_S;
        if self.left_m <= 0.0 {
            self.cross(now_s);
        }
    }

    /// At a crossing: perhaps a wait at the light, then straight on or a turn.
    fn cross(&mut self, now_s: f64) {
        if std::mem::take(&mut self.stops_ahead) {
            self.speed_mps = 0.0;
            self.waits_until_s = now_s + 2.0 + waiting(&mut self.rng, 12.0);
        }
        let [x, y] = self.direction;
        let turns = [[x, y], [x, y], [y, -x], [-y, x]];
        let mut pick = self.rng.random_range(0..turns.len());
        while !self.leads_somewhere(turns[pick]) {
            pick = (pick + 1) % turns.len();
        }
        self.direction = turns[pick];
        self.to = [0, 1].map(|k| self.to[k] + self.direction[k]);
        self.left_m += self.streets.block_m;
        self.stops_ahead = self.rng.random_bool(0.35);
    }

    /// A grid of at least one block offers a turn at every corner.
    fn leads_somewhere(&self, direction: [i32; 2]) -> bool {
        [0, 1].iter().all(|&k| (0..=self.streets.streets).contains(&(self.to[k] + direction[k])))
    }

    fn take_fix(&mut self, at_s: f64) {
        let moves = self.speed_mps > 0.6 && at_s >= self.waits_until_s;
        // Receivers hold their fix while they stand.
        if moves || at_s == 0.0 {
            let fresh = (1.0 - GPS_MEMORY * GPS_MEMORY).sqrt() * GPS_SIGMA_M;
            self.error_m = self.error_m.map(|e| e * GPS_MEMORY + gauss(&mut self.rng) * fresh);
        }
        let back = self.direction.map(|d| f64::from(d) * self.left_m);
        let at = [0, 1].map(|k| f64::from(self.to[k]) * self.streets.block_m - back[k]);
        let [east, north] = self.direction.map(f64::from);
        let speed = if moves { self.speed_mps } else { 0.0 };
        self.fix = Pose {
            at_s,
            position: self.streets.place([at[0] + self.error_m[0], at[1] + self.error_m[1]]),
            velocity: Some([east * speed, north * speed, 0.0]),
            facing: Facing::Heading(heading_deg(east, north)),
        };
    }
}

impl Motion for CityVehicle {
    fn pose(&mut self, t_s: f64) -> Option<Pose> {
        while (self.steps + 1) as f64 * STEP_S <= t_s {
            self.step();
        }
        Some(self.fix)
    }

    fn next_fix_s(&self) -> Option<f64> {
        let since = (self.steps + STEPS_PER_FIX - self.fix_phase) % STEPS_PER_FIX;
        Some((self.steps + STEPS_PER_FIX - since) as f64 * STEP_S)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CENTRE: Position = [47.0, 8.0, 0.0];

    #[test]
    fn a_vehicle_reports_once_a_second_and_stays_in_town() {
        let streets = Arc::new(Streets::new(CENTRE, 3000.0));
        for entity in 0..50 {
            let mut vehicle = CityVehicle::new(Arc::clone(&streets), 4, entity);
            let mut fixes = std::collections::BTreeSet::new();
            for step in 0..2000 {
                let pose = vehicle.pose(f64::from(step) * 0.05).expect("vehicles stay");
                fixes.insert(pose.at_s.to_bits());
                assert!(Space::Geodetic.distance_m(CENTRE, pose.position) < 2200.0);
            }
            assert!((99..=102).contains(&fixes.len()), "{}", fixes.len());
        }
    }

    #[test]
    fn a_vehicle_tells_when_its_next_fix_falls_due() {
        let streets = Arc::new(Streets::new(CENTRE, 3000.0));
        for entity in 0..20 {
            let mut vehicle = CityVehicle::new(Arc::clone(&streets), 4, entity);
            vehicle.pose(0.0);
            for _ in 0..50 {
                let due_s = vehicle.next_fix_s().expect("vehicles have fixes");
                let before = vehicle.pose(due_s - 0.01).expect("vehicles stay");
                assert!(before.at_s < due_s);
                assert_eq!(vehicle.pose(due_s).map(|pose| pose.at_s), Some(due_s));
            }
        }
    }

    #[test]
    fn vehicles_drive_at_town_speeds_and_some_stand() {
        let streets = Arc::new(Streets::new(CENTRE, 3000.0));
        let (mut standing, mut fastest) = (0, 0.0_f64);
        for entity in 0..200 {
            let mut vehicle = CityVehicle::new(Arc::clone(&streets), 4, entity);
            let v = vehicle.pose(60.0).and_then(|p| p.velocity).expect("vehicles have a speed");
            standing += i32::from(v[0] == 0.0 && v[1] == 0.0);
            fastest = fastest.max(v[0].hypot(v[1]));
        }
        assert!((60..150).contains(&standing), "{standing} of 200 stand");
        assert!((8.0..17.0).contains(&fastest), "{fastest}");
    }
}
