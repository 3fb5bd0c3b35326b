//! Straight random waypoints: the plain work on which servers are compared.

use super::{Facing, Motion, Pose, entity_rng, heading_deg};
use rand::RngExt;
use rand_pcg::Pcg64Mcg;

/// An entity that stands, or walks straight to one random point after another.
pub struct Walker {
    rng: Pcg64Mcg,
    side_m: f64,
    walks: bool,
    leg: Leg,
}

struct Leg {
    from: [f64; 2],
    to: [f64; 2],
    start_s: f64,
    end_s: f64,
}

impl Walker {
    /// Share of entities that never move.
    const STILL: f64 = 0.4;
    /// Slowest and fastest walk, in metres per second.
    const SPEED_MPS: std::ops::Range<f64> = 1.0..8.0;

    /// An entity in the square from the origin to (`side_m`, `side_m`).
    #[must_use]
    pub fn new(seed: u64, entity: u32, side_m: f64) -> Self {
        let mut rng = entity_rng(seed, entity);
        let from = point(&mut rng, side_m);
        let walks = !rng.random_bool(Self::STILL);
        let leg = Leg { from, to: from, start_s: 0.0, end_s: 0.0 };
        Self { rng, side_m, walks, leg }
    }

    fn next_leg(&mut self) {
        let from = self.leg.to;
        let to = point(&mut self.rng, self.side_m);
        let speed = self.rng.random_range(Self::SPEED_MPS);
        let length = (to[0] - from[0]).hypot(to[1] - from[1]).max(0.01);
        let start_s = self.leg.end_s;
        self.leg = Leg { from, to, start_s, end_s: start_s + length / speed };
    }
}

impl Motion for Walker {
    fn pose(&mut self, t_s: f64) -> Option<Pose> {
        while self.walks && t_s >= self.leg.end_s {
            self.next_leg();
        }
        Some(self.leg.pose(t_s))
    }
}

impl Leg {
    fn pose(&self, t_s: f64) -> Pose {
        let duration = self.end_s - self.start_s;
        let (dx, dy) = (self.to[0] - self.from[0], self.to[1] - self.from[1]);
        let (share, vx, vy) = match duration > 0.0 {
            true => ((t_s - self.start_s) / duration, dx / duration, dy / duration),
            false => (0.0, 0.0, 0.0),
        };
        Pose {
            at_s: t_s,
            position: [self.from[0] + dx * share, self.from[1] + dy * share, 0.0],
            velocity: Some([vx, vy, 0.0]),
            facing: Facing::Heading(heading_deg(dx, dy)),
        }
    }
}

fn point(rng: &mut Pcg64Mcg, side_m: f64) -> [f64; 2] {
    [rng.random_range(0.0..side_m), rng.random_range(0.0..side_m)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walker_moves_straight_at_one_to_eight_metres_a_second_or_not_at_all() {
        let mut still = 0;
        for entity in 0..1000 {
            let mut walker = Walker::new(7, entity, 200.0);
            let a = walker.pose(3.0).expect("a walker always exists");
            let speed = a.velocity.map_or(0.0, |v| v[0].hypot(v[1]));
            match speed == 0.0 {
                true => still += 1,
                false => assert!((0.99..8.01).contains(&speed), "{speed}"),
            }
            let b = walker.pose(600.0).expect("a walker always exists");
            assert!(b.position.iter().all(|c| (0.0..=200.0).contains(c)));
        }
        assert!((350..450).contains(&still), "{still} of 1000 stand still");
    }

    #[test]
    fn the_path_does_not_depend_on_how_often_it_is_asked_for() {
        let (mut often, mut seldom) = (Walker::new(1, 2, 100.0), Walker::new(1, 2, 100.0));
        for step in 0..4000 {
            often.pose(f64::from(step) * 0.02);
        }
        assert_eq!(often.pose(80.0), seldom.pose(80.0));
    }
}
