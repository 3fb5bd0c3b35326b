//! Players of a game: they turn, accelerate, stop, jump and flock to hot spots.

use super::clip::{CARS_PER_FIELD, FIELD_HALF_M};
use super::seed::{gauss, waiting};
use super::{ClipPlayer, Facing, Motion, Pose, clips, entity_rng, heading_deg};
use rand::RngExt;
use rand_pcg::Pcg64Mcg;
use std::f64::consts::{PI, TAU};
use std::sync::Arc;

/// Seconds of one step of the model; poses between steps are interpolated.
const STEP_S: f64 = 1.0 / 60.0;
const GRAVITY_MPS2: f64 = 9.81;
const JUMP_MPS: f64 = 5.0;

/// The places of one arena that players flock to, and its size.
#[derive(Debug)]
pub struct HotSpots {
    side_m: f64,
    spread_m: f64,
    centres: Vec<[f64; 2]>,
}

impl HotSpots {
    /// Share of players that flock.
    const FLOCKING: f64 = 0.4;
    /// Share of players that drive pieces of real traces.
    const RECORDED: f64 = 0.15;

    /// The hot spots of an arena for `entities` players.
    #[must_use]
    pub fn new(seed: u64, entities: u32, side_m: f64) -> Self {
        let mut rng = entity_rng(seed, u32::MAX);
        let count = (entities / 250).max(4);
        let mut centre = || rng.random_range(0.06..0.94) * side_m;
        let centres = (0..count).map(|_| [centre(), centre()]).collect();
        Self { side_m, spread_m: 0.17 * side_m / f64::from(count).sqrt(), centres }
    }

    /// The motion of one entity of this arena: a player, or a car of a real trace.
    #[must_use]
    pub fn entity(self: &Arc<Self>, seed: u64, entity: u32) -> Box<dyn Motion> {
        let group = entity / CARS_PER_FIELD;
        let mut rng = entity_rng(seed ^ 0x0f1e_1d00, group);
        if !rng.random_bool(Self::RECORDED) {
            return Box::new(ArenaPlayer::new(Arc::clone(self), seed, entity));
        }
        let half = FIELD_HALF_M.min(self.side_m / 2.0);
        let mut centre = || rng.random_range(half..=self.side_m - half);
        let centre = [centre(), centre()];
        Box::new(ClipPlayer::new(clips(), seed, group, entity % CARS_PER_FIELD, centre))
    }

    fn inside(&self, p: [f64; 2]) -> [f64; 2] {
        p.map(|c| c.clamp(0.0, self.side_m))
    }
}

/// One player of the made-up motion.
pub struct ArenaPlayer {
    arena: Arc<HotSpots>,
    rng: Pcg64Mcg,
    /// The hot spot it keeps to.
    home: Option<usize>,
    now: State,
    before: State,
    steps: u64,
    mood: Mood,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    position: [f64; 3],
    velocity: [f64; 3],
    /// Direction of travel, radians anticlockwise from +x.
    course: f64,
    /// Where it looks, relative to its course: players strafe and glance about.
    look: f64,
}

/// What a player is up to, until it changes its mind.
#[derive(Clone, Copy, Debug)]
struct Mood {
    goal: [f64; 2],
    /// Speed it tries to hold, metres per second; 0 stands.
    cruise_mps: f64,
    until_s: f64,
    weave: f64,
}

impl ArenaPlayer {
    /// Player `entity` of an arena.
    #[must_use]
    pub fn new(arena: Arc<HotSpots>, seed: u64, entity: u32) -> Self {
        let mut rng = entity_rng(seed, entity);
        let flocks = rng.random_bool(HotSpots::FLOCKING);
        let home = flocks.then(|| rng.random_range(0..arena.centres.len()));
        let start = match home {
            Some(spot) => near(&arena, spot, &mut rng),
            None => [0, 1].map(|_| rng.random::<f64>() * arena.side_m),
        };
        let course = rng.random_range(-PI..PI);
        let now = State { position: [start[0], start[1], 0.0], course, ..State::default() };
        let mood = Mood { goal: start, cruise_mps: 0.0, until_s: 0.0, weave: 0.0 };
        let mut player = Self { arena, rng, home, now, before: now, steps: 0, mood };
        player.change_mood(0.0);
        player
    }

    /// Picks the next goal. A third of the time nobody moves; the rest walks, runs or drives.
    fn change_mood(&mut self, now_s: f64) {
        let here = [self.now.position[0], self.now.position[1]];
        let (cruise_mps, mean_s) = match self.rng.random_range(0..20) {
            0..6 => (0.0, 4.0),
            6..12 => (self.rng.random_range(1.0..3.0), 5.0),
            12..17 => (self.rng.random_range(3.0..8.0), 6.0),
            _ => (self.rng.random_range(10.0..28.0), 5.0),
        };
        self.mood = Mood {
            goal: self.pick_goal(here, cruise_mps),
            cruise_mps,
            until_s: now_s + 0.3 + waiting(&mut self.rng, mean_s),
            weave: if self.rng.random_bool(0.3) { self.rng.random_range(0.5..2.5) } else { 0.0 },
        };
    }

    fn pick_goal(&mut self, here: [f64; 2], cruise_mps: f64) -> [f64; 2] {
        if let Some(spot) = self.home {
            return near(&self.arena, spot, &mut self.rng);
        }
        let reach = (cruise_mps * 15.0).min(self.arena.side_m * 0.25).max(1.0);
        let goal = here.map(|c| c + gauss(&mut self.rng) * reach);
        self.arena.inside(goal)
    }

    fn step(&mut self) {
        self.before = self.now;
        self.steps += 1;
        let now_s = self.steps as f64 * STEP_S;
        let to_goal = [0, 1].map(|k| self.mood.goal[k] - self.now.position[k]);
        let distance = to_goal[0].hypot(to_goal[1]);
        if now_s >= self.mood.until_s || (self.mood.cruise_mps > 0.0 && distance < 1.0) {
            self.change_mood(now_s);
        }
        self.steer(to_goal, distance, now_s);
        self.fall();
        self.advance();
    }

    /// Turns towards the goal as fast as the speed allows and approaches the wanted speed.
    fn steer(&mut self, to_goal: [f64; 2], distance: f64, now_s: f64) {
        let cruise = self.mood.cruise_mps;
        let weave = self.mood.weave * (now_s * 2.1).sin() * 0.4;
        let off = wrap(to_goal[1].atan2(to_goal[0]) + weave - self.now.course);
        // Feet turn on the spot, wheels do not.
        let turn_rate = if cruise > 8.0 { 1.4 } else { 7.0 };
        let turn = turn_rate * STEP_S;
        if cruise > 0.0 {
            self.now.course = wrap(self.now.course + off.clamp(-turn, turn));
        }
        let braking = (2.0 * 8.0 * distance).sqrt();
        let wanted = cruise.min(braking) * if off.abs() > 1.0 { 0.45 } else { 1.0 };
        let speed = self.now.velocity[0].hypot(self.now.velocity[1]);
        let speed = speed + (wanted - speed).clamp(-14.0 * STEP_S, 7.0 * STEP_S);
        let (sin, cos) = self.now.course.sin_cos();
        (self.now.velocity[0], self.now.velocity[1]) = (speed * cos, speed * sin);
        if self.rng.random_bool(0.08) {
            self.now.look = (self.now.look + gauss(&mut self.rng) * 0.15).clamp(-2.0, 2.0);
        }
    }

    /// Jumps now and then, and comes down again.
    fn fall(&mut self) {
        let grounded = self.now.position[2] <= 0.0 && self.now.velocity[2] <= 0.0;
        let cruise = self.mood.cruise_mps;
        if !grounded {
            self.now.velocity[2] -= GRAVITY_MPS2 * STEP_S;
        } else if cruise > 0.0 && cruise < 8.0 && self.rng.random_bool(0.002) {
            self.now.velocity[2] = JUMP_MPS;
        }
    }

    fn advance(&mut self) {
        let State { position, velocity, .. } = &mut self.now;
        for (p, v) in position.iter_mut().zip(*velocity) {
            *p += v * STEP_S;
        }
        for k in 0..2 {
            if position[k] < 0.0 || position[k] > self.arena.side_m {
                position[k] = position[k].clamp(0.0, self.arena.side_m);
                velocity[k] = 0.0;
            }
        }
        if position[2] < 0.0 {
            (position[2], velocity[2]) = (0.0, 0.0);
        }
    }
}

impl Motion for ArenaPlayer {
    fn pose(&mut self, t_s: f64) -> Option<Pose> {
        while (self.steps as f64) * STEP_S < t_s {
            self.step();
        }
        let back = (self.steps as f64 - t_s / STEP_S).clamp(0.0, 1.0);
        let mix = |a: f64, b: f64| b + (a - b) * back;
        let (a, b) = (&self.before, &self.now);
        let turn = wrap(b.course - a.course);
        let facing = b.course - turn * back + mix(a.look, b.look);
        Some(Pose {
            at_s: t_s,
            position: [0, 1, 2].map(|k| mix(a.position[k], b.position[k])),
            velocity: Some([0, 1, 2].map(|k| mix(a.velocity[k], b.velocity[k]))),
            facing: Facing::Heading(heading_deg(facing.cos(), facing.sin())),
        })
    }
}

fn near(arena: &HotSpots, spot: usize, rng: &mut Pcg64Mcg) -> [f64; 2] {
    let centre = arena.centres[spot];
    arena.inside(centre.map(|c| c + gauss(rng) * arena.spread_m))
}

fn wrap(angle: f64) -> f64 {
    (angle + PI).rem_euclid(TAU) - PI
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arena() -> Arc<HotSpots> {
        Arc::new(HotSpots::new(5, 400, 300.0))
    }

    #[test]
    fn players_stay_in_the_arena_and_never_exceed_game_speeds() {
        let arena = arena();
        for entity in 0..60 {
            let mut player = ArenaPlayer::new(Arc::clone(&arena), 5, entity);
            for step in 0..1200 {
                let pose = player.pose(f64::from(step) * 0.05).expect("players stay");
                let [x, y, z] = pose.position;
                assert!((0.0..=300.0).contains(&x) && (0.0..=300.0).contains(&y));
                assert!((0.0..2.0).contains(&z), "{z}");
                let v = pose.velocity.expect("players have a velocity");
                assert!(v[0].hypot(v[1]) < 29.0, "{v:?}");
            }
        }
    }

    #[test]
    fn some_stand_some_turn_some_jump() {
        let arena = arena();
        let (mut still, mut turning, mut airborne, mut all) = (0, 0, 0, 0);
        for entity in 0..100 {
            let mut player = ArenaPlayer::new(Arc::clone(&arena), 5, entity);
            let mut last = 0.0;
            for step in 0..400 {
                let pose = player.pose(f64::from(step) * 0.05).expect("players stay");
                let v = pose.velocity.expect("players have a velocity");
                let course = v[1].atan2(v[0]);
                all += 1;
                still += i32::from(v[0].hypot(v[1]) < 0.05);
                turning += i32::from(wrap(course - last).abs() > 0.02);
                airborne += i32::from(pose.position[2] > 0.01);
                last = course;
            }
        }
        let share = |n: i32| f64::from(n) / f64::from(all);
        assert!((0.15..0.6).contains(&share(still)), "still {}", share(still));
        assert!((0.1..0.7).contains(&share(turning)), "turning {}", share(turning));
        assert!((0.005..0.2).contains(&share(airborne)), "airborne {}", share(airborne));
    }

    #[test]
    fn the_path_does_not_depend_on_how_often_it_is_asked_for() {
        let arena = arena();
        let mut often = ArenaPlayer::new(Arc::clone(&arena), 9, 3);
        let mut seldom = ArenaPlayer::new(arena, 9, 3);
        for step in 0..3000 {
            often.pose(f64::from(step) * 0.01);
        }
        assert_eq!(often.pose(30.0), seldom.pose(30.0));
    }
}
