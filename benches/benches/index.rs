//! The index without a world: moving everything, and asking for what is near. Beside it, under the
//! same meter: a plain grid built anew in every tick (the floor), rstar with one point in each
//! element (the naive arm), and rstar over the boxes of our leaves (what the canopy stands in for).
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)] // a bench tells the terminal

use criterion::{BenchmarkId, Criterion, Throughput};
use rstar::primitives::GeomWithData;
use rstar::{AABB, RTree};
use starling_benches::clock::CpuTime;
use starling_benches::globe::cities;
use starling_benches::motion::{Dice, Gait, Mover};
use starling_benches::scene::{Cast, RADIUS_M};
use starling_protocol::space::{METRIC_STEPS, Space};
use starling_protocol::units::KindId;
use starling_world::entity::EntityIdx;
use starling_world::leaf::{Grid, Probe};
use starling_world::space::ecef;
use starling_world::spatial::Index;
use std::hint::black_box;
use std::time::Duration;

fn main() {
    let mut criterion = Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let sizes: &[u32] = if starling_benches::is_trial() { &[500] } else { &[10_000, 100_000] };
    for &entities in sizes {
        let mut marching = Crowd::new(entities, Gait::March);
        all_moving(&mut criterion, &mut marching, entities);
        drop(marching);
        let mut crowd = Crowd::new(entities, Gait::Walk);
        updates(&mut criterion, &mut crowd, entities);
        queries(&mut criterion, &mut crowd, entities);
    }
    globe(&mut criterion, if starling_benches::is_trial() { 2_000 } else { 1_000_000 });
    criterion.final_summary();
}

/// Everything in three hundred cities on the globe, a tenth of it of each kind.
struct Globe {
    dice: Dice,
    points: Vec<[f64; 2]>,
    index: Index,
}

impl Globe {
    fn new(entities: u32) -> Self {
        let mut dice = Dice::new(7);
        let points = cities(entities, &mut dice);
        let mut index = Index::new(Space::Geodetic);
        for (n, point) in points.iter().enumerate() {
            index.insert(EntityIdx(n as u32), KindId((n % 10) as u8), ground(*point));
        }
        index.settle();
        Self { dice, points, index }
    }

    /// Everything moves by up to ten metres.
    fn refresh(&mut self) -> Duration {
        let step = |c: &mut f64, dice: &mut Dice| *c += dice.between(-1e-4, 1e-4);
        for point in &mut self.points {
            point.iter_mut().for_each(|c| step(c, &mut self.dice));
        }
        let moved: Vec<_> = self.points.iter().map(|point| ground(*point)).collect();
        CpuTime::of(|| {
            for (n, at) in moved.iter().enumerate() {
                self.index.moved(EntityIdx(n as u32), *at);
            }
            self.index.settle();
        })
    }

    /// Round ten thousand of them, as wide as it takes to hit about `wanted` of some kinds.
    fn probes(&self, wanted: f64, kinds: u64) -> Vec<Probe> {
        let step = (self.points.len() / 10_000).max(1);
        let centers: Vec<_> = self.points.iter().step_by(step).map(|p| ground(*p)).collect();
        let round = |radius_m: f64| {
            let probe = |center: &Grid| Probe::sphere(*center, radius_m * ECEF_STEPS, false);
            centers.iter().map(probe).collect::<Vec<_>>()
        };
        let mut radius_m = 50.0;
        while self.hits(&round(radius_m), kinds) < wanted && radius_m < 1e6 {
            radius_m *= 1.1;
        }
        println!("within {radius_m:.0} m: {:.1}", self.hits(&round(radius_m), kinds));
        round(radius_m)
    }

    fn hits(&self, probes: &[Probe], kinds: u64) -> f64 {
        let mut hits = 0u64;
        probes.iter().for_each(|probe| self.index.probe(probe, kinds, |_, _| hits += 1));
        hits as f64 / probes.len() as f64
    }
}

/// Steps of the index per metre on the globe.
const ECEF_STEPS: f64 = 256.0;

fn ground([lat, lon]: [f64; 2]) -> Grid {
    ecef([lat, lon, 0.0]).map(|metres| (metres * ECEF_STEPS).round() as i32)
}

/// A million that all move; about 47 of all kinds; and about 12 of one kind, which is what a search
/// for the nearest ten looks at in a tick, since it begins as far as the last one reached.
fn globe(criterion: &mut Criterion<CpuTime>, entities: u32) {
    let mut globe = Globe::new(entities);
    let mut group = criterion.benchmark_group("globe");
    group.bench_function(BenchmarkId::new("update", entities), |bencher| {
        bencher.iter_custom(|ticks| (0..ticks).map(|_| globe.refresh()).sum());
    });
    for (name, wanted, kinds) in [("47 of all", 47.0, u64::MAX), ("12 of a kind", 12.5, 1 << 3)] {
        let probes = globe.probes(wanted, kinds);
        let mut next = 0;
        group.bench_function(BenchmarkId::new(name, entities), |bencher| {
            bencher.iter(|| {
                next = (next + 1) % probes.len();
                let mut found = 0u32;
                globe.index.probe(black_box(&probes[next]), kinds, |entity, _| {
                    found = found.wrapping_add(entity.0);
                });
                found
            });
        });
    }
    group.finish();
}

/// One tick in which everything has moved.
fn all_moving(criterion: &mut Criterion<CpuTime>, crowd: &mut Crowd, entities: u32) {
    let mut group = criterion.benchmark_group("update-100-percent");
    group.bench_function(BenchmarkId::new("index", entities), |bencher| {
        bencher.iter_custom(|ticks| (0..ticks).map(|_| crowd.refresh()).sum());
    });
    group.finish();
    println!("moved in the last tick: {} of {entities}", crowd.moved.len());
}

/// One tick of each: everything that moves, three in five, is moved and may be asked for.
fn updates(criterion: &mut Criterion<CpuTime>, crowd: &mut Crowd, entities: u32) {
    let mut group = criterion.benchmark_group("update-60-percent");
    let mut arm = |name: &str, work: &mut dyn FnMut(&mut Crowd) -> Duration| {
        group.bench_function(BenchmarkId::new(name, entities), |bencher| {
            bencher.iter_custom(|ticks| (0..ticks).map(|_| work(crowd)).sum());
        });
    };
    arm("index", &mut |crowd| crowd.refresh());
    let mut grid = Cells::default();
    arm("grid", &mut |crowd| {
        crowd.step();
        CpuTime::of(|| grid.fill(&crowd.places))
    });
    arm("rstar points", &mut |crowd| {
        crowd.step();
        CpuTime::of(|| drop(black_box(points(&crowd.places))))
    });
    arm("rstar over leaves", &mut |crowd| {
        let spent = crowd.refresh();
        spent + CpuTime::of(|| drop(black_box(boughs(&crowd.index))))
    });
    group.finish();
}

/// One sphere with about a hundred in it.
fn queries(criterion: &mut Criterion<CpuTime>, crowd: &mut Crowd, entities: u32) {
    crowd.refresh();
    let centers = crowd.centers();
    let radius = RADIUS_M * METRIC_STEPS;
    let (mut cells, tree, leaves) = (Cells::default(), points(&crowd.places), boughs(&crowd.index));
    cells.fill(&crowd.places);
    let mut group = criterion.benchmark_group("query-100");
    group.throughput(Throughput::Elements(1));
    let mut arm = |name: &str, work: &mut dyn FnMut(Grid) -> u32| {
        let mut next = 0;
        group.bench_function(BenchmarkId::new(name, entities), |bencher| {
            bencher.iter(|| {
                next = (next + 1) % centers.len();
                work(black_box(centers[next]))
            });
        });
    };
    arm("index", &mut |center| {
        let mut found = 0u32;
        let probe = Probe::sphere(center, radius, false);
        crowd.index.probe(&probe, u64::MAX, |entity, _| found = found.wrapping_add(entity.0));
        found
    });
    arm("grid", &mut |center| cells.within(center, radius));
    arm("rstar points", &mut |center| {
        let near = tree.locate_within_distance(center.map(f64::from), radius * radius);
        near.fold(0, |found, point| found.wrapping_add(point.data))
    });
    arm("rstar over leaves, boxes only", &mut |center| {
        let corners = [-radius, radius].map(|d| center.map(|c| f64::from(c) + d));
        let near = AABB::from_corners(corners[0], corners[1]);
        leaves.locate_in_envelope_intersecting(near).count() as u32
    });
    group.finish();
    let (mut hits, mut seen) = (0usize, 0usize);
    for center in &centers {
        crowd.index.probe(&Probe::sphere(*center, radius, false), u64::MAX, |_, _| hits += 1);
        seen += tree.locate_within_distance(center.map(f64::from), radius * radius).count();
    }
    let mean = |sum: usize| sum as f64 / centers.len() as f64;
    println!(
        "{entities}: {} leaves, {:.1} hit, {:.1} within",
        crowd.index.leaves(),
        mean(hits),
        mean(seen)
    );
}

fn points(places: &[Grid]) -> RTree<GeomWithData<[f64; 3], u32>> {
    let point = |(n, at): (usize, &Grid)| GeomWithData::new(at.map(f64::from), n as u32);
    RTree::bulk_load(places.iter().enumerate().map(point).collect())
}

/// The boxes of the index's leaves.
fn boughs(index: &Index) -> RTree<rstar::primitives::Rectangle<[f64; 3]>> {
    let bough = |bounds: starling_world::leaf::GridBox| {
        rstar::primitives::Rectangle::from_corners(
            bounds.min.map(f64::from),
            bounds.max.map(f64::from),
        )
    };
    RTree::bulk_load(index.boxes().map(bough).collect())
}

/// A plain grid by counting sort, with cells as wide as the radius: it knows its world's size.
#[derive(Default)]
struct Cells {
    starts: Vec<u32>,
    members: Vec<(Grid, u32)>,
    across: usize,
}

impl Cells {
    const SIDE: i32 = (RADIUS_M * METRIC_STEPS) as i32;

    fn cell(&self, at: Grid) -> usize {
        let [x, y] = [at[0], at[1]].map(|c| (c / Self::SIDE).clamp(0, self.across as i32 - 1));
        y as usize * self.across + x as usize
    }

    fn fill(&mut self, places: &[Grid]) {
        let far = places.iter().map(|at| at[0].max(at[1])).max().unwrap_or(0);
        self.across = (far / Self::SIDE) as usize + 1;
        self.starts.clear();
        self.starts.resize(self.across * self.across + 2, 0);
        for at in places {
            let cell = self.cell(*at);
            self.starts[cell + 2] += 1;
        }
        for cell in 2..self.starts.len() {
            self.starts[cell] += self.starts[cell - 1];
        }
        self.members.resize(places.len(), ([0; 3], 0));
        for (n, at) in places.iter().enumerate() {
            let cell = self.cell(*at);
            self.members[self.starts[cell + 1] as usize] = (*at, n as u32);
            self.starts[cell + 1] += 1;
        }
    }

    fn within(&self, center: Grid, radius: f64) -> u32 {
        let (limit, mut found) = ((radius * radius) as f32, 0u32);
        let low = self.cell(center.map(|c| c - Self::SIDE));
        let high = self.cell(center.map(|c| c + Self::SIDE));
        let (width, mut row) = (high % self.across - low % self.across, low);
        while row <= high {
            let range = self.starts[row] as usize..self.starts[row + width + 1] as usize;
            for (at, n) in &self.members[range] {
                let d = [0, 1, 2].map(|axis| (at[axis] - center[axis]) as f32);
                if d[0] * d[0] + d[1] * d[1] + d[2] * d[2] <= limit {
                    found = found.wrapping_add(*n);
                }
            }
            row += self.across;
        }
        found
    }
}

/// Everything in an index.
struct Crowd {
    movers: Vec<Mover>,
    index: Index,
    places: Vec<Grid>,
    moved: Vec<(EntityIdx, Grid)>,
}

impl Crowd {
    fn new(entities: u32, gait: Gait) -> Self {
        let cast = Cast::walk(entities, 1, 100);
        let mover = |n| Mover::new(1, n, gait, cast.hz, cast.side_m());
        let movers: Vec<_> = (0..entities).map(mover).collect();
        let mut index = Index::new(Space::Metric);
        let places: Vec<_> = movers.iter().map(grid).collect();
        for (n, at) in places.iter().enumerate() {
            index.insert(EntityIdx(n as u32), KindId(0), *at);
        }
        let mut crowd = Self { movers, index, places, moved: Vec::new() };
        for _ in 0..200 {
            crowd.refresh();
        }
        crowd
    }

    /// One tick of the index.
    fn refresh(&mut self) -> Duration {
        self.step();
        CpuTime::of(|| {
            for &(entity, at) in &self.moved {
                self.index.moved(entity, at);
            }
            self.index.settle();
        })
    }

    fn step(&mut self) {
        self.moved.clear();
        for (n, mover) in self.movers.iter_mut().enumerate() {
            mover.step();
            let at = grid(mover);
            if at != self.places[n] {
                self.places[n] = at;
                self.moved.push((EntityIdx(n as u32), at));
            }
        }
    }

    /// Ten thousand of them, wherever they are.
    fn centers(&self) -> Vec<Grid> {
        let step = (self.places.len() / 10_000).max(1);
        self.places.iter().copied().step_by(step).collect()
    }
}

fn grid(mover: &Mover) -> Grid {
    mover.sample().position.0
}
