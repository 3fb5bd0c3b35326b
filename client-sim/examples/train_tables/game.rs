//! Knots of a game, by the rule of the server, and the symbols that tell them.

use super::tally::{Tally, count_turn, turned};
use starling_client_sim::motion::{Motion, Pose};
use starling_protocol::limits::AGE_MAX;
use starling_protocol::motion::{
    Course, KNOT_GRID, Knot, Step, aim, aim_spin, orientation_holds, snap_knot, spin_between,
};
use starling_protocol::sample::Orientation;
use starling_protocol::space::{IPos, Space};
use starling_protocol::tables::class;
use starling_protocol::units::{Tick, TickRate};

const GAME_HZ: u16 = 20;
const GAME_TICKS: u32 = 1_200;
/// Ages of bases that are called long, for the class that they share with age 1.
const LONG_AGES: [u32; 2] = [40, 60];
/// Weight of those ages beside age 1.
const LONG_WEIGHT: f64 = 0.05;
/// Weight of states that are mostly told step by step.
const CHAIN_WEIGHT: f64 = 0.05;

pub(super) fn game(players: impl Iterator<Item = Box<dyn Motion>>) -> Tally {
    let mut tally = Tally::default();
    for mut player in players {
        let knots = knots(player.as_mut());
        for (newest, knot) in knots.iter().enumerate().skip(1) {
            count_step(&mut tally, &knots[newest - 1], knot);
            // Until the next one it is the newest.
            let next = knots.get(newest + 1).map_or(GAME_TICKS, |next| next.tick.0);
            for tick in knot.tick.0..next.min(knot.tick.0 + u32::from(AGE_MAX)) {
                for age in (1..=u32::from(AGE_MAX)).chain(LONG_AGES).filter(|age| *age <= tick) {
                    count_state(&mut tally, &knots[..=newest], tick, age);
                }
            }
        }
    }
    tally
}

/// Counts what the newest of some knots takes, where no step says it.
fn count_state(tally: &mut Tally, knots: &[Knot], tick: u32, age: u32) {
    let count = knots.iter().rev().take_while(|knot| knot.tick.0 > tick - age).count();
    let [.., now] = knots else { return };
    let Some(base) = knots.len().checked_sub(count + 1).map(|at| &knots[at]) else { return };
    if count == 0 {
        return;
    }
    if age > 1 && age <= u32::from(AGE_MAX) {
        tally.count("LAG", class(age), (tick - now.tick.0) as usize, 1.0);
    }
    let is_step = base.is_continued_by(now) || base.step_to(now).is_some();
    if !is_step {
        let is_chain = age <= 8 && count <= 3;
        count_knot(tally, base, now, age, if is_chain { CHAIN_WEIGHT } else { 1.0 });
    }
}

fn count_step(tally: &mut Tally, from: &Knot, to: &Knot) {
    let class = from.step_class(to.tick);
    let turned = to.orientation != from.faces(to.tick) || to.spin != from.spin;
    if turned {
        let tables = ["STEP_HEADING", "STEP_LOOK", "STEP_QUATERNION"];
        count_turn(tally, tables, class, from.faces(to.tick), to.orientation, 1.0);
    }
    if from.is_continued_by(to) {
        return tally.count("STEP_HEAD", class, 0, 1.0);
    }
    let Some(Step { gain, residual: [x, y, z] }) = from.step_to(to) else {
        return tally.count("STEP_HEAD", class, 13, 1.0);
    };
    let head = 1 + 4 * gain as usize + 2 * usize::from(z != 0) + usize::from(turned);
    tally.count("STEP_HEAD", class, head, 1.0);
    tally.residual("STEP_PLANE", class, x, 1.0);
    tally.residual("STEP_PLANE", class, y, 1.0);
    if z != 0 {
        tally.residual("STEP_HEIGHT", class, z, 1.0);
    }
}

/// The knots of a player, by the rule of the server.
fn knots(player: &mut dyn Motion) -> Vec<Knot> {
    let rate = TickRate::new(GAME_HZ).expect("in range");
    let (mut knots, mut last) = (Vec::<Knot>::new(), None::<(Course, Orientation)>);
    for tick in 0..GAME_TICKS {
        let pose = player.pose(f64::from(tick) / f64::from(GAME_HZ));
        let Some((pose, at)) = pose.and_then(|p| Some((p, Space::Metric.snap(p.position).ok()?)))
        else {
            last = None;
            continue;
        };
        let facing = turned(pose.facing);
        let course = course(&pose, at, facing, last);
        last = Some((course, facing));
        knots.extend(next_knot(knots.last(), Tick(tick), &course, facing, rate));
    }
    knots
}

fn course(
    pose: &Pose,
    position: IPos,
    facing: Orientation,
    last: Option<(Course, Orientation)>,
) -> Course {
    let Some((last, before)) = last else { return Course { position, ..Course::default() } };
    let by = |axis: usize| (position.0[axis] - last.position.0[axis]) * i32::from(GAME_HZ);
    let named = pose.velocity.map(|v| v.map(|c| (c * 1024.0).round() as i32));
    let stands = position == last.position;
    let velocity = if stands { [0; 3] } else { named.unwrap_or_else(|| [by(0), by(1), by(2)]) };
    let change = [0, 1, 2].map(|axis: usize| velocity[axis] - last.velocity[axis]);
    Course { position, velocity, change, spin: spin_between(before, facing, 1) }
}

fn next_knot(
    last: Option<&Knot>,
    tick: Tick,
    course: &Course,
    turned: Orientation,
    rate: TickRate,
) -> Option<Knot> {
    let Some(last) = last else {
        let nothing = Knot { tick, orientation: turned, ..Knot::default() };
        return Some(aim(&nothing, tick, course, rate));
    };
    let goes_on = course.is_still() && !last.is_still();
    let on_line = !goes_on && last.holds(tick, course.position);
    let spins_on = course.spin == [0; 3] && last.spin != [0; 3];
    let faces = !spins_on && orientation_holds(last.faces(tick), turned);
    if on_line && faces {
        return None;
    }
    let line =
        if on_line { last.turned(tick, last.faces(tick)) } else { aim(last, tick, course, rate) };
    let next = Knot { orientation: if faces { line.orientation } else { turned }, ..line };
    let spin = if faces { next.spin } else { aim_spin(last, &next, course.spin) };
    Some(Knot { spin, ..next })
}

fn count_knot(tally: &mut Tally, base: &Knot, now: &Knot, age: u32, weight: f64) {
    let long = age > u32::from(AGE_MAX);
    let (class, weight) = (class(age), weight * if long { LONG_WEIGHT } else { 1.0 });
    let at = snap_knot(base.predict(Tick(now.tick.0 - now.run)));
    let moved = [0, 1, 2].map(|a: usize| (now.pos[a] - at[a]) / KNOT_GRID);
    let sped = [0, 1, 2].map(|a: usize| i32::from(now.vel[a]) - i32::from(base.vel[a]));
    let turned = now.orientation != base.faces(now.tick) || now.spin != base.spin;
    let parts = [
        moved[0] != 0 || moved[1] != 0,
        moved[2] != 0,
        sped[0] != 0 || sped[1] != 0,
        sped[2] != 0,
        turned,
    ];
    let head = parts.iter().enumerate().map(|(bit, part)| usize::from(*part) << bit).sum();
    tally.count("HEAD", class, head, weight);
    let mut residuals = |table, part: bool, values: &[i32]| {
        for value in values.iter().filter(|_| part) {
            tally.residual(table, class, *value, weight);
        }
    };
    residuals("POSITION_XY", parts[0], &moved[..2]);
    residuals("POSITION_Z", parts[1], &moved[2..]);
    residuals("VELOCITY_XY", parts[2], &sped[..2]);
    residuals("VELOCITY_Z", parts[3], &sped[2..]);
    if turned {
        count_turn(
            tally,
            ["HEADING", "LOOK", "QUATERNION"],
            class,
            base.faces(now.tick),
            now.orientation,
            weight,
        );
    }
}
