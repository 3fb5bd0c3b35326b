//! Interest without the rest of the tick: who sees whom, with its margin, and what changed.
//!
//! Beside our join, under the same meter and on the same movement: a plain grid with sorted lists
//! (the floor of what is simple), and rstar with one point in each element and a set for each
//! viewer (the naive arm). Figures are for one tick; the table divides them by visible pairs.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)] // a bench tells the terminal

mod nearest;

use nearest::Nearest;
use rstar::RTree;
use rstar::primitives::GeomWithData;
use starling_benches::clock::CpuTime;
use starling_benches::motion::{Gait, Mover};
use starling_benches::scene::{Cast, RADIUS_M};
use starling_benches::spread::Spread;
use starling_benches::still::Still;
use starling_protocol::message::control::{Audience, ControlUp, Spawn};
use starling_protocol::message::interest::{Interest, Shape};
use starling_protocol::space::{IPos, METRIC_STEPS, Space};
use starling_protocol::units::KindId;
use starling_world::World;
use starling_world::config::{Profile, WorldConfig};
use starling_world::entity::EntityIdx;
use starling_world::executor::Serial;
use starling_world::grants::{Grants, Principal};
use starling_world::input::{Attach, Command, ConnId, TickInputs};
use starling_world::output::Output;
use std::collections::BTreeSet;
use std::time::Duration;

/// Ticks until everyone has a seat and leaves are as full as they stay, and ticks that are timed.
const SETTLE_TICKS: usize = 200;
const TICKS: usize = 96;
/// Ticks timed of the arms that are slow.
const ARM_TICKS: usize = 8;
/// Leave distance over enter distance.
const HYSTERESIS: f64 = 1.125;

/// Both tables, or the one that is named: `cargo bench --bench interest -- viewers`, or `join`.
fn main() {
    let names = |name: &str| std::env::args().any(|arg| arg == name);
    let all = !names("viewers") && !names("join");
    if all || names("viewers") {
        viewers();
    }
    if all || names("join") {
        joins_of_all();
    }
}

fn joins_of_all() {
    println!(
        "| entities = viewers | pairs | index | join | join per pair | p99, max over mean | grid per pair | rstar points per pair |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let trial = starling_benches::is_trial();
    let sizes: &[(u32, u32)] =
        if trial { &[(500, 20)] } else { &[(10_000, 20), (10_000, 100), (100_000, 100)] };
    for &(entities, visible) in sizes {
        println!("{}", row(entities, visible));
    }
    println!();
}

fn viewers() {
    let trial = starling_benches::is_trial();
    let (still, vehicles) = if trial { (500, 5_000) } else { (10_000, 1_000_000) };
    println!("| what | per tick |\n|---|---|");
    println!(
        "| 16 viewers of {still} that stand still, index and interest | {:.2} us |",
        standing(still)
    );
    println!("| the same, the whole tick: mean / p50 / p99 / max | {} |", whole(still));
    println!(
        "| ten nearest of a kind among {vehicles}, for each viewer | {:.2} us |\n",
        ten(vehicles)
    );
}

/// Viewers that each see the ten nearest of a kind, and the ticks in which they look.
const VIEWERS: u32 = 500;
const NEAREST_TICKS: usize = 20;
/// Looks before those: the first ones learn how far away ten are.
const WARM_TICKS: usize = 3;

/// The mean look of one of them, of a tenth of all kinds.
fn ten(vehicles: u32) -> f64 {
    let mut nearest = Nearest::new(vehicles, VIEWERS, 10);
    let mut times: Vec<_> = (0..WARM_TICKS + NEAREST_TICKS).map(|_| nearest.tick()).collect();
    Spread::new(times.split_off(WARM_TICKS)).mean_us()
}

/// Ticks of a world in which nothing moves: ten seconds, with heartbeats in them.
const STILL_TICKS: usize = 200;

/// Whole ticks of sixteen viewers that hold everything while nothing moves.
fn whole(entities: u32) -> String {
    let mut still = Still::new(entities, 16);
    let spread = Spread::new((0..STILL_TICKS).map(|_| still.tick()).collect());
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| spread.quantile_us(share));
    format!("{:.2} / {p50:.2} / {p99:.2} / {max:.2} us", spread.mean_us())
}

fn row(entities: u32, visible: u32) -> String {
    let mut stage = Stage::new(entities, visible);
    for _ in 0..SETTLE_TICKS {
        stage.step();
    }
    let (mut moves, mut looks) = (Vec::new(), Vec::new());
    for _ in 0..TICKS {
        let (moved, looked) = stage.step();
        moves.push(moved);
        looks.push(looked);
    }
    let both = moves.iter().zip(&looks).map(|(a, b)| *a + *b).collect();
    let (moves, looks, both) = (Spread::new(moves), Spread::new(looks), Spread::new(both));
    let pairs = stage.pairs() as f64;
    let mut grid = Grid::default();
    let grid = stage.arm(|places| grid.tick(places));
    let mut naive = Naive::default();
    let naive = stage.arm(|places| naive.tick(places));
    let per_pair = |us: f64| us * 1000.0 / pairs;
    format!(
        "| {entities} | {pairs:.0} | {:.0} us | {:.0} us | {:.2} ns | {:.2}, {:.2} | {:.1} ns | {:.1} ns |",
        moves.mean_us(),
        looks.mean_us(),
        per_pair(looks.mean_us()),
        both.quantile_us(0.99) / both.mean_us(),
        both.quantile_us(1.0) / both.mean_us(),
        per_pair(grid),
        per_pair(naive),
    )
}

/// Sixteen viewers that see everything, and nothing moves.
fn standing(entities: u32) -> f64 {
    let mut stage = Stage::new(entities, 100);
    let radius_m = 2.0 * stage.side_m as f32;
    let center = [stage.side_m / 2.0, stage.side_m / 2.0, 0.0];
    let mut commands = Vec::new();
    for n in 0..entities {
        let interest = (n < 16).then(|| Interest::new(Shape::Point { center, radius_m }));
        let message = ControlUp::SetInterest { id: 0, interest };
        commands.push(Command::Control { conn: ConnId(u64::from(n)), message });
    }
    stage.world.step(0, &mut commands, &mut Output::default());
    let mut times = Vec::new();
    for _ in 0..TICKS {
        times.push(CpuTime::of(|| {
            stage.world.move_alone(&[]);
            stage.world.look_only(&Serial);
        }));
    }
    Spread::new(times.split_off(TICKS / 2)).mean_us()
}

/// A world in which everyone walks and looks.
struct Stage {
    world: World,
    movers: Vec<Mover>,
    places: Vec<IPos>,
    moved: Vec<(EntityIdx, IPos)>,
    side_m: f64,
}

impl Stage {
    fn new(entities: u32, visible: u32) -> Self {
        let side_m = Cast::walk(entities, 1, visible).side_m();
        let mover = |n| Mover::new(1, n, Gait::Walk, 20, side_m);
        let movers: Vec<_> = (0..entities).map(mover).collect();
        let mut config = WorldConfig::new("bench", Space::Metric, Profile::Game);
        config.entities_max = entities as usize;
        config.sessions_max = entities as usize;
        let mut world = World::new(config);
        for (n, mover) in movers.iter().enumerate() {
            world.step(0, &mut joins(n as u64, mover), &mut Output::default());
        }
        world.tick(&TickInputs::default(), &mut Output::default(), &Serial);
        let places = movers.iter().map(|mover| mover.sample().position).collect();
        Self { world, movers, places, moved: Vec::new(), side_m }
    }

    fn walk(&mut self) {
        self.moved.clear();
        for (n, mover) in self.movers.iter_mut().enumerate() {
            mover.step();
            let at = mover.sample().position;
            if at != self.places[n] {
                self.places[n] = at;
                self.moved.push((EntityIdx(n as u32), at));
            }
        }
    }

    /// One tick: what the index takes, and what the join takes.
    fn step(&mut self) -> (Duration, Duration) {
        self.walk();
        let moved = CpuTime::of(|| self.world.move_alone(&self.moved));
        (moved, CpuTime::of(|| self.world.look_only(&Serial)))
    }

    /// Everyone that someone sees, by a grid.
    fn pairs(&self) -> usize {
        let mut grid = Grid::default();
        grid.fill(&self.places);
        let within = |at: &IPos| grid.near(*at, RADIUS_M).count() - 1;
        self.places.iter().map(within).sum()
    }

    /// Mean microseconds of another way to do the same.
    fn arm(&mut self, mut tick: impl FnMut(&[IPos])) -> f64 {
        tick(&self.places);
        let mut times = Vec::new();
        for _ in 0..ARM_TICKS {
            self.walk();
            times.push(CpuTime::of(|| tick(&self.places)));
        }
        Spread::new(times).mean_us()
    }
}

/// A session for a connection.
fn joined(conn: ConnId) -> Command {
    let mut token = [0; 32];
    token[..8].copy_from_slice(&conn.0.to_le_bytes());
    let principal = Principal { grants: Grants::open(), ..Principal::default() };
    Command::Attach(Box::new(Attach {
        conn,
        principal,
        token,
        token_digest: token,
        resume: None,
        schema_hash: None,
        capabilities: 0,
    }))
}

fn joins(n: u64, mover: &Mover) -> Vec<Command> {
    let conn = ConnId(n);
    let spawn = Spawn {
        request: 0,
        name: None,
        kind: KindId(0),
        team: 0,
        audience: Audience::All,
        sample: mover.sample(),
        fields: Vec::new(),
        block: Vec::new(),
        avatar_of: None,
    };
    let area = Interest::new(Shape::Around { entity: None, radius_m: RADIUS_M as f32 });
    let say = |message| Command::Control { conn, message };
    vec![
        joined(conn),
        say(ControlUp::Spawn(Box::new(spawn))),
        say(ControlUp::SetInterest { id: 0, interest: Some(area) }),
    ]
}

/// Cells as wide as the leave distance, by counting sort, and a sorted list for each viewer.
#[derive(Default)]
struct Grid {
    starts: Vec<u32>,
    members: Vec<(IPos, u32)>,
    across: i32,
    lists: Vec<Vec<u32>>,
    changes: usize,
}

impl Grid {
    const SIDE: i32 = (RADIUS_M * HYSTERESIS * METRIC_STEPS) as i32 + 1;

    fn cell(&self, at: IPos) -> [i32; 2] {
        [at.0[0], at.0[1]].map(|c| (c / Self::SIDE).clamp(0, self.across - 1))
    }

    fn number(&self, [x, y]: [i32; 2]) -> usize {
        (y * self.across + x) as usize
    }

    fn fill(&mut self, places: &[IPos]) {
        let far = places.iter().map(|at| at.0[0].max(at.0[1])).max().unwrap_or(0);
        self.across = far / Self::SIDE + 1;
        self.starts.clear();
        self.starts.resize((self.across * self.across) as usize + 2, 0);
        for at in places {
            let cell = self.number(self.cell(*at));
            self.starts[cell + 2] += 1;
        }
        for cell in 2..self.starts.len() {
            self.starts[cell] += self.starts[cell - 1];
        }
        self.members.resize(places.len(), (IPos([0; 3]), 0));
        for (n, at) in places.iter().enumerate() {
            let cell = self.number(self.cell(*at));
            self.members[self.starts[cell + 1] as usize] = (*at, n as u32);
            self.starts[cell + 1] += 1;
        }
    }

    fn near(&self, center: IPos, radius_m: f64) -> impl Iterator<Item = (u32, f64)> + '_ {
        let [x, y] = self.cell(center);
        let limit = (radius_m * METRIC_STEPS) * (radius_m * METRIC_STEPS);
        let rows = (y - 1).max(0)..=(y + 1).min(self.across - 1);
        rows.flat_map(move |row| {
            let from = self.starts[self.number([(x - 1).max(0), row])];
            let to = self.starts[self.number([(x + 1).min(self.across - 1), row]) + 1];
            &self.members[from as usize..to as usize]
        })
        .map(move |(at, n)| (*n, square(*at, center)))
        .filter(move |(_, d2)| *d2 <= limit)
    }

    fn tick(&mut self, places: &[IPos]) {
        self.fill(places);
        self.lists.resize_with(places.len(), Vec::new);
        let enter2 = (RADIUS_M * METRIC_STEPS) * (RADIUS_M * METRIC_STEPS);
        let mut now = Vec::new();
        for (n, at) in places.iter().enumerate() {
            now.clear();
            let old = &self.lists[n];
            let stays = |m: u32, d2: f64| d2 <= enter2 || old.binary_search(&m).is_ok();
            let near = self.near(*at, RADIUS_M * HYSTERESIS);
            now.extend(near.filter(|(m, d2)| *m != n as u32 && stays(*m, *d2)).map(|(m, _)| m));
            now.sort_unstable();
            self.changes += differences(old, &now);
            std::mem::swap(&mut self.lists[n], &mut now);
        }
    }
}

/// How many are in one of two sorted lists only.
fn differences(a: &[u32], b: &[u32]) -> usize {
    let (mut i, mut j, mut both) = (0, 0, 0);
    while i < a.len() && j < b.len() {
        both += usize::from(a[i] == b[j]);
        let (left, right) = (a[i], b[j]);
        i += usize::from(left <= right);
        j += usize::from(right <= left);
    }
    a.len() + b.len() - 2 * both
}

fn square(a: IPos, b: IPos) -> f64 {
    let away = |axis: usize| f64::from(a.0[axis]) - f64::from(b.0[axis]);
    away(0) * away(0) + away(1) * away(1) + away(2) * away(2)
}

/// One point in each element of rstar, built anew in every tick, and a set for each viewer.
#[derive(Default)]
struct Naive {
    sets: Vec<BTreeSet<u32>>,
    changes: usize,
}

impl Naive {
    fn tick(&mut self, places: &[IPos]) {
        let point = |(n, at): (usize, &IPos)| GeomWithData::new(at.0.map(f64::from), n as u32);
        let tree = RTree::bulk_load(places.iter().enumerate().map(point).collect());
        self.sets.resize_with(places.len(), BTreeSet::new);
        let enter = RADIUS_M * METRIC_STEPS;
        let leave2 = (enter * HYSTERESIS) * (enter * HYSTERESIS);
        for (n, at) in places.iter().enumerate() {
            let old = &self.sets[n];
            let near = tree.locate_within_distance(at.0.map(f64::from), leave2);
            let seen = near.filter(|point| {
                let m = point.data;
                let inside = square(places[m as usize], *at) <= enter * enter;
                m != n as u32 && (inside || old.contains(&m))
            });
            let now: BTreeSet<u32> = seen.map(|point| point.data).collect();
            self.changes += now.symmetric_difference(old).count();
            self.sets[n] = now;
        }
    }
}
