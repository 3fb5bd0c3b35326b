//! A dense crowd on a plaza: slow people who drift between attractions and sway where they stand.

use super::seed::{gauss, waiting};
use super::{Facing, Motion, Pose, entity_rng, heading_deg};
use rand::RngExt;
use rand_pcg::Pcg64Mcg;
use std::sync::Arc;

/// The attractions of one plaza, and its size.
#[derive(Debug)]
pub struct Plaza {
    side_m: f64,
    attractions: Vec<[f64; 2]>,
    spread_m: f64,
}

impl Plaza {
    /// The plaza for `entities` people.
    #[must_use]
    pub fn new(seed: u64, entities: u32, side_m: f64) -> Self {
        let mut rng = entity_rng(seed, u32::MAX);
        let count = (entities / 120).max(3);
        let mut centre = || rng.random_range(0.08..0.92) * side_m;
        let attractions = (0..count).map(|_| [centre(), centre()]).collect();
        Self { side_m, attractions, spread_m: 0.2 * side_m / f64::from(count).sqrt() }
    }

    fn spot(&self, rng: &mut Pcg64Mcg) -> [f64; 2] {
        if rng.random_bool(0.35) {
            return [0, 1].map(|_| rng.random::<f64>() * self.side_m);
        }
        let centre = self.attractions[rng.random_range(0..self.attractions.len())];
        centre.map(|c| (c + gauss(rng) * self.spread_m).clamp(0.0, self.side_m))
    }
}

/// One person of the crowd.
pub struct Pedestrian {
    plaza: Arc<Plaza>,
    rng: Pcg64Mcg,
    height_m: f64,
    phase: f64,
    stage: Stage,
}

/// A walk to a spot, then a stay there.
struct Stage {
    from: [f64; 2],
    to: [f64; 2],
    start_s: f64,
    arrive_s: f64,
    leave_s: f64,
}

impl Pedestrian {
    /// Metres by which a walker swings from side to side.
    const SWING_M: f64 = 0.04;
    /// Metres by which somebody who stands sways.
    const SWAY_M: f64 = 0.03;

    /// Person `entity` of a plaza.
    #[must_use]
    pub fn new(plaza: Arc<Plaza>, seed: u64, entity: u32) -> Self {
        let mut rng = entity_rng(seed, entity);
        let from = plaza.spot(&mut rng);
        let leave_s = waiting(&mut rng, 10.0);
        let stage = Stage { from, to: from, start_s: 0.0, arrive_s: 0.0, leave_s };
        let height_m = 1.7 + gauss(&mut rng).clamp(-2.5, 2.5) * 0.08;
        let phase = rng.random_range(0.0..std::f64::consts::TAU);
        Self { plaza, rng, height_m, phase, stage }
    }

    fn next_stage(&mut self) {
        let from = self.stage.to;
        let to = self.plaza.spot(&mut self.rng);
        let speed = (1.1 + gauss(&mut self.rng) * 0.25).clamp(0.4, 1.8);
        let start_s = self.stage.leave_s;
        let arrive_s = start_s + (to[0] - from[0]).hypot(to[1] - from[1]).max(0.1) / speed;
        let leave_s = arrive_s + waiting(&mut self.rng, 15.0);
        self.stage = Stage { from, to, start_s, arrive_s, leave_s };
    }

    fn walking(&self, t_s: f64) -> Pose {
        let s = &self.stage;
        let duration = s.arrive_s - s.start_s;
        let v = [0, 1].map(|k| (s.to[k] - s.from[k]) / duration);
        let speed = v[0].hypot(v[1]).max(1e-9);
        // Two steps a second; the body swings across the path with each.
        let (swing, swing_rate) = (t_s * 6.0 + self.phase).sin_cos();
        let across = [-v[1] / speed, v[0] / speed];
        let at =
            |k: usize| s.from[k] + v[k] * (t_s - s.start_s) + across[k] * swing * Self::SWING_M;
        let rate = |k: usize| v[k] + across[k] * swing_rate * 6.0 * Self::SWING_M;
        self.pose_at(t_s, [at(0), at(1)], [rate(0), rate(1)], heading_deg(v[0], v[1]))
    }

    fn standing(&self, t_s: f64) -> Pose {
        let turn = 0.7;
        let (sin, cos) = (t_s * turn + self.phase).sin_cos();
        let (s0, c0) = (self.stage.arrive_s * turn + self.phase).sin_cos();
        // Measured from the moment of arrival, so that nobody jumps.
        let at = [
            self.stage.to[0] + Self::SWAY_M * (sin - s0),
            self.stage.to[1] + Self::SWAY_M * (cos - c0),
        ];
        let rate = [Self::SWAY_M * turn * cos, -Self::SWAY_M * turn * sin];
        self.pose_at(t_s, at, rate, (t_s * 4.0 + self.phase * 57.0).rem_euclid(360.0))
    }

    fn pose_at(&self, at_s: f64, p: [f64; 2], v: [f64; 2], heading: f64) -> Pose {
        Pose {
            at_s,
            position: [p[0], p[1], self.height_m],
            velocity: Some([v[0], v[1], 0.0]),
            facing: Facing::Heading(heading),
        }
    }
}

impl Motion for Pedestrian {
    fn pose(&mut self, t_s: f64) -> Option<Pose> {
        while t_s >= self.stage.leave_s {
            self.next_stage();
        }
        Some(if t_s < self.stage.arrive_s { self.walking(t_s) } else { self.standing(t_s) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_is_slow_and_never_jumps() {
        let plaza = Arc::new(Plaza::new(1, 300, 40.0));
        for entity in 0..100 {
            let mut person = Pedestrian::new(Arc::clone(&plaza), 1, entity);
            let mut last = person.pose(0.0).expect("people stay").position;
            for step in 1..1200 {
                let p = person.pose(f64::from(step) * 0.1).expect("people stay").position;
                let moved = (p[0] - last[0]).hypot(p[1] - last[1]);
                assert!(moved < 0.35, "{moved} m in 0.1 s");
                last = p;
            }
        }
    }
}
