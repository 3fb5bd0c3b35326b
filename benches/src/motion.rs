//! How things move in a bench: the same way in every run of a seed.

use crate::game::Gamer;
use starling_client_sim::motion::{ClipPlayer, Facing, HotSpots, Motion, Pose, clips};
use starling_protocol::sample::{Orientation, Sample};
use starling_protocol::space::{METRIC_STEPS, Space};
use std::fmt;
use std::sync::Arc;

/// Share of things that never move.
const STILL: f64 = 0.4;
/// Slowest and fastest, in metres per second.
const SPEED_MPS: [f64; 2] = [1.0, 8.0];
/// Greatest turn of what swerves, in radians per second.
const TURN_PER_S: f64 = 1.2;

/// Splitmix64.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The dice of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly in `low..high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * ((self.roll() >> 11) as f64 / (1u64 << 53) as f64)
    }

    /// True in this share of cases.
    pub fn chance(&mut self, share: f64) -> bool {
        self.between(0.0, 1.0) < share
    }
}

/// In which manner things move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gait {
    /// Straight to one random point after another, as in the scenario `walk`: two in five stand.
    Walk,
    /// The same, and nobody stands.
    March,
    /// Never straight: a new turn in every tick, which a straight prediction follows badly.
    Swerve,
    /// Players and recorded cars, as in the scenario `arena`.
    Arena,
    /// Players of the motion that bars of bits were set with.
    Game,
    /// Recorded cars alone, of which nothing but the position is told.
    Cars,
}

/// One thing in a square.
#[derive(Debug)]
pub struct Mover {
    player: Option<Player>,
    dice: Dice,
    gait: Gait,
    /// Seconds in a tick.
    tick_s: f64,
    side_m: f64,
    at: [f64; 2],
    goal: [f64; 2],
    speed_mps: f64,
    heading: f64,
}

impl Mover {
    /// The thing number `n` of a seed, in the square from the origin to (`side_m`, `side_m`), that
    /// moves on `hz` times a second.
    #[must_use]
    pub fn new(seed: u64, n: u32, gait: Gait, hz: u16, side_m: f64) -> Self {
        let mut dice = Dice::new(seed.wrapping_mul(0x1_0000_0001) ^ u64::from(n) << 20);
        let mut point = || [dice.between(0.0, side_m), dice.between(0.0, side_m)];
        let (at, goal) = (point(), point());
        let moves = !dice.chance(STILL) || gait == Gait::March;
        let speed_mps = if moves { dice.between(SPEED_MPS[0], SPEED_MPS[1]) } else { 0.0 };
        let heading = dice.between(0.0, std::f64::consts::TAU);
        let tick_s = 1.0 / f64::from(hz);
        let player = Player::of(gait, seed, n, side_m);
        let mut mover = Self { player, dice, gait, tick_s, side_m, at, goal, speed_mps, heading };
        mover.face_goal();
        mover
    }

    /// Moves on by one tick.
    pub fn step(&mut self) {
        if let Some(player) = &mut self.player {
            return player.step(self.tick_s);
        }
        if self.speed_mps == 0.0 {
            return;
        }
        let step = self.speed_mps * self.tick_s;
        match self.gait {
            Gait::Walk | Gait::March => self.seek(step),
            _ => {
                let turn = TURN_PER_S * self.tick_s;
                self.heading += self.dice.between(-turn, turn);
            }
        }
        self.at[0] += step * self.heading.sin();
        self.at[1] += step * self.heading.cos();
        self.stay_inside();
    }

    fn seek(&mut self, step: f64) {
        let away = (self.goal[0] - self.at[0]).hypot(self.goal[1] - self.at[1]);
        if away <= step {
            self.goal = [0; 2].map(|_: i32| self.dice.between(0.0, self.side_m));
            self.speed_mps = self.dice.between(SPEED_MPS[0], SPEED_MPS[1]);
            self.face_goal();
        }
    }

    fn face_goal(&mut self) {
        if matches!(self.gait, Gait::Walk | Gait::March) {
            let [dx, dy] = [self.goal[0] - self.at[0], self.goal[1] - self.at[1]];
            self.heading = dx.atan2(dy);
        }
    }

    /// Walls reflect.
    fn stay_inside(&mut self) {
        let inside = self.at.map(|c| c.clamp(0.0, self.side_m));
        if inside[0] != self.at[0] {
            self.heading = -self.heading;
        }
        if inside[1] != self.at[1] {
            self.heading = std::f64::consts::PI - self.heading;
        }
        self.at = inside;
    }

    /// Where it is, in metres.
    #[must_use]
    pub const fn at(&self) -> [f64; 2] {
        self.at
    }

    /// What its owner says of it now.
    #[must_use]
    pub fn sample(&self) -> Sample {
        if let Some(player) = &self.player {
            return player.sample();
        }
        let [x, y] = self.at;
        let speed = self.speed_mps * METRIC_STEPS;
        let velocity = [speed * self.heading.sin(), speed * self.heading.cos(), 0.0];
        let turns = (self.heading / std::f64::consts::TAU).rem_euclid(1.0);
        Sample {
            position: Space::Metric.snap([x, y, 0.0]).expect("a bench's square is in range"),
            velocity: Some(velocity.map(|v| v as i32)),
            orientation: Orientation::Heading((turns * 256.0) as u8),
            fix: None,
        }
    }
}

/// Something whose motion is known at every moment.
struct Player {
    motion: Box<dyn Motion>,
    tick: u32,
    pose: Pose,
    /// Nothing but its position is told.
    bare: bool,
}

/// Recorded cars that drive on one field together, half of it in metres.
const CARS: u32 = 8;
const FIELD_M: f64 = 60.0;

impl Player {
    fn of(gait: Gait, seed: u64, n: u32, side_m: f64) -> Option<Self> {
        let mut motion: Box<dyn Motion> = match gait {
            Gait::Walk | Gait::March | Gait::Swerve => return None,
            Gait::Arena => Arc::new(HotSpots::new(seed, 1_000, side_m)).entity(seed, n),
            Gait::Game => Box::new(Gamer::new(seed, n, side_m)),
            Gait::Cars => {
                let mut dice = Dice::new(seed ^ u64::from(n / CARS) << 20);
                let half = FIELD_M.min(side_m / 2.0);
                let centre = [0; 2].map(|_: i32| dice.between(half, side_m - half));
                Box::new(ClipPlayer::new(clips(), seed, n / CARS, n % CARS, centre))
            }
        };
        let pose = motion.pose(0.0).expect("players stay");
        Some(Self { motion, tick: 0, pose, bare: gait == Gait::Cars })
    }

    fn step(&mut self, tick_s: f64) {
        self.tick += 1;
        self.pose = self.motion.pose(f64::from(self.tick) * tick_s).expect("players stay");
    }

    fn sample(&self) -> Sample {
        let position = Space::Metric.snap(self.pose.position).expect("an arena is in range");
        if self.bare {
            return Sample { position, ..Sample::default() };
        }
        let velocity = self.pose.velocity.map(|v| v.map(|c| (c * METRIC_STEPS).round() as i32));
        let turns = match self.pose.facing {
            Facing::Heading(degrees) => (degrees / 360.0).rem_euclid(1.0),
            Facing::None | Facing::Quaternion(_) => 0.0,
        };
        Sample {
            position,
            velocity,
            orientation: Orientation::Heading((turns * 256.0).round() as i32 as u8),
            fix: None,
        }
    }
}

impl fmt::Debug for Player {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Player").field("tick", &self.tick).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where twenty of them are after so many ticks.
    fn after(ticks: u32, seed: u64, gait: Gait) -> Vec<[f64; 2]> {
        let mut movers: Vec<_> = (0..20).map(|n| Mover::new(seed, n, gait, 20, 40.0)).collect();
        (0..ticks).for_each(|_| movers.iter_mut().for_each(Mover::step));
        movers.iter().map(Mover::at).collect()
    }

    #[test]
    fn everything_stays_in_its_square_and_moves_the_same_way_again() {
        for (seed, gait) in [(1, Gait::Walk), (1, Gait::Swerve), (2, Gait::Walk)] {
            for ticks in (0..2_000).step_by(97) {
                let at = after(ticks, seed, gait);
                assert!(at.iter().flatten().all(|c| (0.0..=40.0).contains(c)), "{gait:?} {ticks}");
                assert!(at == after(ticks, seed, gait), "{gait:?} after {ticks} ticks");
            }
            assert!(after(0, seed, gait) != after(50, seed, gait), "{gait:?} moves");
        }
    }

    #[test]
    fn two_in_five_stand_still() {
        let still = |gait| {
            let speed_mps = |n| Mover::new(9, n, gait, 20, 40.0).speed_mps;
            (0..1_000).filter(|n| speed_mps(*n) == 0.0).count()
        };
        assert!((350..450).contains(&still(Gait::Walk)), "{}", still(Gait::Walk));
        assert_eq!(still(Gait::March), 0);
    }

    #[test]
    fn a_second_takes_everything_equally_far_at_any_rate() {
        for n in 0..20 {
            let far = |hz: u16| {
                let mut mover = Mover::new(4, n, Gait::March, hz, 1e4);
                let start = mover.at();
                (0..hz).for_each(|_| mover.step());
                (mover.at()[0] - start[0]).hypot(mover.at()[1] - start[1])
            };
            assert!((far(20) - far(30)).abs() < 1e-6, "{n}: {} and {}", far(20), far(30));
            assert!((1.0..8.0).contains(&far(60)), "{n}: {}", far(60));
        }
    }
}
