//! The core alone: whole ticks of a world with clients, their allocations, and the index.
//!
//! Before criterion's figures comes a table with one row for each world: how its ticks spread, and
//! what they allocate once the world has settled.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)] // a bench tells the terminal

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use starling_benches::clock::CpuTime;
use starling_benches::motion::{Gait, Mover};
use starling_benches::scene::{Cast, Scene};
use starling_benches::spread::Spread;
use starling_protocol::units::KindId;
use starling_world::entity::EntityIdx;
use starling_world::leaf::{Grid, Probe};
use starling_world::spatial::{Entry, Index};
use std::hint::black_box;
use std::time::Duration;

/// Ticks until queues, pools and tables have their size, and ticks that are measured then.
const SETTLE_TICKS: u32 = 300;
const TABLE_TICKS: u32 = 160;
/// The same for a world with this many sessions or more, whose clients take their time.
const MANY_SESSIONS: u32 = 5_000;
const MANY_SETTLE_TICKS: u32 = 60;
const MANY_TABLE_TICKS: u32 = 32;
/// Ticks between two rebuilds of the index, as in a game world at 20 Hz.
const REBUILD_TICKS: u32 = 8;

fn main() {
    let mut criterion = Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    table();
    ticks(&mut criterion);
    index(&mut criterion);
    criterion.final_summary();
}

/// Every world that is measured, by name.
fn worlds() -> Vec<(&'static str, Cast)> {
    let walk = Cast::walk(10_000, 500, 50);
    let all = vec![
        ("10k-500x50", walk),
        ("10k-500x50-lossy", Cast { loss: 0.05, ..walk }),
        ("10k-500x50-swerving", Cast { gait: Gait::Swerve, ..walk }),
        ("1k-1kx50", Cast::walk(1_000, 1_000, 50)),
        ("200-200x50", Cast::walk(200, 200, 50)),
        ("10k-10kx100", Cast::walk(10_000, 10_000, 100)),
    ];
    if starling_benches::is_trial() { all.into_iter().map(small).collect() } else { all }
}

/// The same world at a twentieth of its size, for trials.
fn small((name, cast): (&'static str, Cast)) -> (&'static str, Cast) {
    let (entities, sessions) = (cast.entities / 20, cast.sessions / 20);
    (name, Cast { entities, sessions, visible: cast.visible / 5, ..cast })
}

/// Ticks until a world has settled, and ticks to measure.
fn length(cast: Cast) -> (u32, u32) {
    if starling_benches::is_trial() {
        (10, 10)
    } else if cast.sessions >= MANY_SESSIONS {
        (MANY_SETTLE_TICKS, MANY_TABLE_TICKS)
    } else {
        (SETTLE_TICKS, TABLE_TICKS)
    }
}

/// Prints how the ticks of each world spread, what they allocate and what they send.
fn table() {
    println!(
        "| world | seen | mean | p50 | p99 | max | blind | per session | allocs | bytes out |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for (name, cast) in worlds() {
        println!("{}", row(name, cast));
    }
}

fn row(name: &str, cast: Cast) -> String {
    let (settle, ticks) = length(cast);
    let mut scene = Scene::new(cast, 1);
    scene.run(settle);
    let before = scene.world().counters().datagram_bytes;
    let mut allocations = 0;
    let mut times = Vec::new();
    for _ in 0..ticks {
        scene.prepare();
        let mut time = Duration::ZERO;
        let spent = allocation_counter::measure(|| time = CpuTime::of(|| scene.tick()));
        allocations += spent.count_total;
        times.push(time);
        scene.deliver();
    }
    let bytes = scene.world().counters().datagram_bytes - before;
    let seen = scene.seen() as f64 / f64::from(cast.sessions);
    let spread = Spread::new(times);
    let blind = blind_us(cast);
    format!(
        "| {name} | {seen:.1} | {:.0} us | {:.0} us | {:.0} us | {:.0} us | {blind:.0} us | {:.2} us | {:.2} | {:.1} |",
        spread.mean_us(),
        spread.quantile_us(0.5),
        spread.quantile_us(0.99),
        spread.quantile_us(1.0),
        (spread.mean_us() - blind) / f64::from(cast.sessions),
        allocations as f64 / f64::from(ticks),
        bytes as f64 / f64::from(ticks) / f64::from(cast.sessions),
    )
}

/// The mean tick of the same world in which nobody looks: what is neither interest nor encoding.
fn blind_us(cast: Cast) -> f64 {
    let (settle, ticks) = length(cast);
    let mut scene = Scene::blind(cast, 1);
    scene.run(settle.min(MANY_SETTLE_TICKS));
    let one = |_| {
        scene.prepare();
        let time = CpuTime::of(|| scene.tick());
        scene.deliver();
        time
    };
    Spread::new((0..ticks).map(one).collect()).mean_us()
}

/// Worlds that criterion follows from run to run; of the others the table says enough.
fn is_plain(cast: Cast) -> bool {
    cast.loss == 0.0 && cast.gait == Gait::Walk && cast.sessions < MANY_SESSIONS
}

fn ticks(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("tick");
    group.sampling_mode(SamplingMode::Flat);
    for (name, cast) in worlds().into_iter().filter(|(_, cast)| is_plain(*cast)) {
        let mut scene = Scene::new(cast, 1);
        scene.run(length(cast).0);
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|ticks| {
                let mut total = Duration::ZERO;
                for _ in 0..ticks {
                    scene.prepare();
                    total += CpuTime::of(|| scene.tick());
                    scene.deliver();
                }
                total
            });
        });
    }
    group.finish();
}

/// The index without a world: moving everything, and asking for what is near.
fn index(criterion: &mut Criterion<CpuTime>) {
    let sizes: &[u32] = if starling_benches::is_trial() { &[500] } else { &[10_000, 100_000] };
    let mut group = criterion.benchmark_group("index");
    for &entities in sizes {
        let mut crowd = Crowd::new(entities);
        let id = BenchmarkId::new("refresh", entities);
        group.bench_function(id, |bencher| {
            bencher.iter_custom(|ticks| (0..ticks).map(|_| crowd.refresh()).sum());
        });
        let probes = crowd.probes();
        group.throughput(Throughput::Elements(1));
        let mut next = 0;
        group.bench_function(BenchmarkId::new("probe-100", entities), |bencher| {
            bencher.iter(|| {
                next = (next + 1) % probes.len();
                let mut found = 0u32;
                crowd.index.probe(black_box(&probes[next]), u64::MAX, |entity, _| {
                    found = found.wrapping_add(entity.0);
                });
                found
            });
        });
    }
    group.finish();
}

/// Everything in an index.
struct Crowd {
    movers: Vec<Mover>,
    index: Index,
    entries: Vec<Entry>,
    moved: Vec<(EntityIdx, Grid)>,
    ticks: u32,
}

impl Crowd {
    fn new(entities: u32) -> Self {
        let cast = Cast::walk(entities, 1, 100);
        let mover = |n| Mover::new(1, n, Gait::Walk, cast.side_m());
        let movers: Vec<_> = (0..entities).map(mover).collect();
        let mut index = Index::new();
        for (n, mover) in movers.iter().enumerate() {
            index.insert(EntityIdx(n as u32), KindId(0), grid(mover));
        }
        let mut crowd = Self { movers, index, entries: Vec::new(), moved: Vec::new(), ticks: 0 };
        for _ in 0..2 * REBUILD_TICKS {
            crowd.refresh();
        }
        crowd
    }

    /// One tick of the index: those that move are moved, and each eighth time it is built anew.
    fn refresh(&mut self) -> Duration {
        self.step();
        let rebuild = self.ticks.is_multiple_of(REBUILD_TICKS);
        CpuTime::of(|| {
            for &(entity, at) in &self.moved {
                self.index.moved(entity, KindId(0), at);
            }
            if rebuild || self.index.is_worn() {
                self.rebuild();
            }
        })
    }

    fn step(&mut self) {
        self.ticks += 1;
        self.moved.clear();
        for (n, mover) in self.movers.iter_mut().enumerate() {
            let before = mover.at();
            mover.step();
            if mover.at() != before {
                self.moved.push((EntityIdx(n as u32), grid(mover)));
            }
        }
    }

    fn rebuild(&mut self) {
        self.entries.clear();
        let movers = self.movers.iter().enumerate();
        self.entries.extend(movers.map(|(n, mover)| {
            let at = grid(mover);
            Entry { entity: EntityIdx(n as u32), kind: KindId(0), at, curve: [at[0], at[1]] }
        }));
        self.index.rebuild(&self.entries, REBUILD_TICKS);
    }

    /// A sphere round each of them with about a hundred others in it.
    fn probes(&self) -> Vec<Probe> {
        let radius = starling_benches::scene::RADIUS_M * starling_protocol::space::METRIC_STEPS;
        self.movers.iter().map(|mover| Probe::sphere(grid(mover), radius, false)).collect()
    }
}

fn grid(mover: &Mover) -> Grid {
    mover.sample().position.0
}
