//! The game motion with which the bar of bits for each visible entity was set.
//!
//! Of ten players four never move and four keep to a hot spot. Speeds are 1 to 30 m/s, walkers turn
//! by 6 rad/s, the fast by 1.2; inputs are noise, walkers jump and glance about, some pause.

use crate::motion::Dice;
use starling_client_sim::motion::{Facing, Motion, Pose};
use std::f64::consts::{PI, TAU};

/// Seconds of one step.
const STEP_S: f64 = 0.05;
const MOVING: f64 = 0.6;
const FLOCKING: f64 = 0.4;
const HOT_SPOTS: u64 = 4;
/// Deviation of who keeps to a hot spot, as a share of the side.
const SPREAD: f64 = 0.09;
/// Who is slower walks: turns at once, jumps and looks about.
const WALK_MPS: f64 = 8.0;

/// One player.
#[derive(Debug)]
pub(crate) struct Gamer {
    dice: Dice,
    side_m: f64,
    hot_spot: Option<[f64; 2]>,
    moves: bool,
    at: [f64; 3],
    velocity: [f64; 3],
    /// Radians anticlockwise from +x, and where it looks besides.
    course: f64,
    look: f64,
    speed: f64,
    cruise: f64,
    goal: [f64; 2],
    pause_s: f64,
    steps: u64,
}

impl Gamer {
    /// Player number `n` of a seed.
    pub(crate) fn new(seed: u64, n: u32, side_m: f64) -> Self {
        let mut dice = Dice::new(seed.wrapping_mul(0x1_0000_0001) ^ u64::from(n) << 20);
        let hot_spot =
            dice.chance(FLOCKING).then(|| hot_spot(seed, dice.roll() % HOT_SPOTS, side_m));
        let mut gamer = Self {
            moves: dice.chance(MOVING),
            course: dice.between(-PI, PI),
            cruise: cruise(&mut dice),
            dice,
            side_m,
            hot_spot,
            at: [0.0; 3],
            velocity: [0.0; 3],
            look: 0.0,
            speed: 0.0,
            goal: [0.0; 2],
            pause_s: 0.0,
            steps: 0,
        };
        let [x, y] = match hot_spot {
            Some(spot) => gamer.near(spot, SPREAD * side_m),
            None => [0; 2].map(|_: i32| gamer.dice.between(0.0, side_m)),
        };
        gamer.at = [x, y, 0.0];
        gamer.pick();
        gamer
    }

    fn near(&mut self, [x, y]: [f64; 2], spread: f64) -> [f64; 2] {
        [x, y].map(|c| (c + gauss(&mut self.dice) * spread).clamp(0.0, self.side_m))
    }

    fn pick(&mut self) {
        let [x, y, _] = self.at;
        self.goal = match self.hot_spot {
            Some(spot) => self.near(spot, SPREAD * self.side_m),
            None => self.near([x, y], (self.cruise * 15.0).min(self.side_m * 0.2)),
        };
    }

    fn step(&mut self) {
        self.steps += 1;
        if !self.moves {
            return;
        }
        if self.cruise < WALK_MPS && self.dice.chance(0.25) {
            self.look += gauss(&mut self.dice) * 0.08;
        }
        if self.pause_s > 0.0 {
            self.pause_s -= STEP_S;
            return;
        }
        let away = [self.goal[0] - self.at[0], self.goal[1] - self.at[1]];
        if away[0].hypot(away[1]) < self.speed * 0.3 + 0.5 && self.arrive() {
            return;
        }
        self.steer(away);
        self.jump();
        let [vx, vy, _] = self.velocity;
        let inside = |c: f64| c.clamp(0.0, self.side_m);
        self.at = [inside(self.at[0] + vx * STEP_S), inside(self.at[1] + vy * STEP_S), self.at[2]];
    }

    /// Chooses where to go next; true when it pauses first.
    fn arrive(&mut self) -> bool {
        self.pick();
        if self.dice.chance(0.05) {
            self.pause_s = self.dice.between(0.2, 2.0);
            self.speed = 0.0;
            (self.velocity[0], self.velocity[1]) = (0.0, 0.0);
            return true;
        }
        if self.dice.chance(0.3) {
            self.cruise = cruise(&mut self.dice);
        }
        false
    }

    fn steer(&mut self, away: [f64; 2]) {
        let off = (away[1].atan2(away[0]) - self.course + PI).rem_euclid(TAU) - PI;
        let most = STEP_S * if self.cruise > WALK_MPS { 1.2 } else { 6.0 };
        let noise = if self.dice.chance(0.1) { gauss(&mut self.dice) * 0.1 } else { 0.0 };
        self.course += off.clamp(-most, most) + noise;
        let wanted = if off.abs() > 1.0 { self.cruise * 0.4 } else { self.cruise };
        self.speed += (wanted - self.speed).clamp(-12.0 * STEP_S, 6.0 * STEP_S);
        self.velocity[0] = self.speed * self.course.cos();
        self.velocity[1] = self.speed * self.course.sin();
    }

    fn jump(&mut self) {
        let ([_, _, z], [_, _, vz]) = (&mut self.at, &mut self.velocity);
        if *z <= 0.0 && self.cruise < WALK_MPS && self.dice.chance(0.005) {
            *vz = 5.0;
        }
        if *z > 0.0 || *vz > 0.0 {
            *z += *vz * STEP_S;
            *vz -= 9.81 * STEP_S;
            if *z <= 0.0 {
                (*z, *vz) = (0.0, 0.0);
            }
        }
    }
}

impl Motion for Gamer {
    fn pose(&mut self, t_s: f64) -> Option<Pose> {
        while (self.steps as f64 + 0.5) * STEP_S < t_s {
            self.step();
        }
        let heading = (PI / 2.0 - self.course - self.look).to_degrees().rem_euclid(360.0);
        let (position, facing) = (self.at, Facing::Heading(heading));
        Some(Pose { at_s: t_s, position, velocity: Some(self.velocity), facing })
    }
}

/// Where a hot spot is, the same for all players of a seed.
fn hot_spot(seed: u64, number: u64, side_m: f64) -> [f64; 2] {
    let mut dice = Dice::new(seed ^ number << 40);
    [0; 2].map(|_: i32| side_m * dice.between(0.05, 0.95))
}

/// Metres a second, 1 to 30, as many below as above 5.5.
fn cruise(dice: &mut Dice) -> f64 {
    30f64.powf(dice.between(0.0, 1.0))
}

fn gauss(dice: &mut Dice) -> f64 {
    let (u, v) = (dice.between(1e-9, 1.0), dice.between(0.0, TAU));
    (-2.0 * u.ln()).sqrt() * v.cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn players_stay_in_their_square_and_move_the_same_way_again() {
        let path = |n| {
            let mut gamer = Gamer::new(3, n, 90.0);
            let mut at =
                |tick| gamer.pose(f64::from(tick) * STEP_S).expect("players stay").position;
            (0..2_000).map(&mut at).collect::<Vec<_>>()
        };
        let paths: Vec<_> = (0..40).map(path).collect();
        let all = || paths.iter().flatten();
        assert!(
            all().all(|[x, y, z]| [x, y].iter().all(|c| (0.0..=90.0).contains(*c)) && *z >= 0.0)
        );
        assert!(paths == (0..40).map(path).collect::<Vec<_>>());
        let moved = paths.iter().filter(|path| path[0] != path[1_999]).count();
        assert!((15..35).contains(&moved), "{moved}");
        assert!(all().any(|[_, _, z]| *z > 0.5), "someone jumps");
    }
}
