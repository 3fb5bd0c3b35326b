//! The codec alone: codes, whole datagrams down, and datagrams up.
//!
//! The states that are coded and the datagrams that are read were made by a world in which things
//! move, not made up.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)] // a bench tells the terminal

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use starling_benches::clock::CpuTime;
use starling_benches::codes::{Told, fixes_told, knots_told};
use starling_benches::motion::Gait;
use starling_benches::record::{Change, Recording};
use starling_benches::scene::{Cast, Scene};
use starling_client_sim::motion::{CityVehicle, Motion, Streets};
use starling_client_sim::trace::{Trace, TrackPlayer};
use starling_protocol::limits::DATAGRAM_BYTES_MAX;
use starling_protocol::schema::OrientationKind;
use starling_protocol::snapshot::{Code, Page, SnapshotWriter, knot_code};
use starling_protocol::space::Space;
use starling_protocol::units::Tick;
use starling_protocol::uplink::Uplink;
use starling_world::config::Profile;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

/// Codes in the page that is written.
const PAGE_CODES: u8 = 100;

fn main() {
    let mut criterion = Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    for (name, gait) in [("walk", Gait::Walk), ("swerve", Gait::Swerve)] {
        let recording = record(gait);
        println!("{name}: {}", recording.summary());
        codes(&mut criterion, name, &recording);
        snapshots(&mut criterion, name, &recording);
    }
    payloads();
    cars();
    fleets();
    uplinks(&mut criterion);
    criterion.final_summary();
}

/// What one of the clients of a world hears, each with about a hundred others in sight.
fn record(gait: Gait) -> Recording {
    let trial = starling_benches::is_trial();
    let (entities, ticks) = if trial { (200, 40) } else { (2_000, 400) };
    Recording::take(Cast { gait, ..Cast::walk(entities, entities / 20, 100) }, ticks)
}

/// What all that a world says costs for each visible entity and tick, payloads of datagrams only.
/// Acknowledgements of a tick arrive before the next.
fn payloads() {
    let gaits = [("walk", Gait::Walk), ("arena", Gait::Arena), ("game", Gait::Game)];
    for (name, gait) in gaits {
        for visible in [10, 25, 50, 100] {
            payload(name, Cast { gait, ..Cast::walk(0, 0, visible) });
        }
        // To the precision of the wire: by fixes, which have no band.
        let exact = Cast { gait, profile: Profile::Fleet, ..Cast::walk(0, 0, 100) };
        payload(&format!("{name}, exact"), exact);
    }
}

/// The same of one scene, of as many players as a bench or its trial has, without loss and with.
fn payload(name: &str, cast: Cast) {
    let (players, ticks) = if starling_benches::is_trial() { (40, 30) } else { (500, 300) };
    for loss in [0.0, 0.05] {
        let mut scene = Scene::new(Cast { entities: players, sessions: players, loss, ..cast }, 1);
        scene.run(40);
        let (mut bytes, mut seen) = (0, 0);
        for _ in 0..ticks {
            scene.run(1);
            bytes += scene.out().datagrams.iter().map(|d| d.bytes.len()).sum::<usize>();
            seen += scene.seen();
        }
        let bits = 8.0 * bytes as f64 / seen as f64;
        let seen = seen as f64 / f64::from(players * ticks);
        println!("{name}, {seen:.0} visible, loss {loss}: {bits:.2} bits each");
    }
}

/// What codes take of cars of real matches, of which only the position is known.
fn cars() {
    let (entities, ticks) = if starling_benches::is_trial() { (200, 40) } else { (800, 400) };
    let cast = Cast { gait: Gait::Cars, ..Cast::walk(entities, 20, 100) };
    let recording = Recording::take(cast, ticks);
    for age in [1, 2] {
        let told = knots_told(recording.changes(), OrientationKind::Heading, age);
        print_told(&format!("cars, positions alone, age {age}"), &told);
    }
}

/// What codes take of fleets: of a town that reports once a second, and of the trace that is named by
/// `STARLING_FLEET`, if one is.
fn fleets() {
    let (vehicles, seconds) = if starling_benches::is_trial() { (20, 60) } else { (400, 900) };
    let streets = Arc::new(Streets::new([52.2, 21.0, 0.0], 3_000.0));
    let vehicle = |n| Box::new(CityVehicle::new(Arc::clone(&streets), 1, n)) as Box<dyn Motion>;
    print_told("a town, a fix each second", &fixes_told((0..vehicles).map(vehicle), seconds));
    let Some(path) = std::env::var_os("STARLING_FLEET") else { return };
    let trace = Trace::open(&[path]).expect("the trace that is named is one");
    let end_s = trace.tracks.iter().map(|track| track.end_s()).fold(0.0, f64::max);
    let track = |track: &Arc<_>| Box::new(TrackPlayer::new(Arc::clone(track), 1.0)) as _;
    let told = fixes_told(trace.tracks.iter().map(track), end_s as u32);
    print_told("the fleet that is named", &told);
}

fn print_told(name: &str, told: &Told) {
    let Told { codes, records, .. } = told;
    println!("{name}: {codes} codes of {:.2} bits, {records} records", told.mean_bits());
}

fn codes(criterion: &mut Criterion<CpuTime>, name: &str, recording: &Recording) {
    let changes = recording.changes();
    let made: Vec<Code> = changes.iter().filter_map(make).collect();
    let bits: u32 = made.iter().map(|code| code.len()).sum();
    println!("{name}: {} codes of {:.1} bits", made.len(), f64::from(bits) / made.len() as f64);
    let mut group = criterion.benchmark_group("code");
    group.throughput(Throughput::Elements(changes.len() as u64));
    group.bench_function(BenchmarkId::new("make", name), |bencher| {
        bencher.iter(|| changes.iter().filter_map(|c| make(black_box(c))).count());
    });
    let codes: Vec<Code> = made.iter().copied().cycle().take(usize::from(PAGE_CODES)).collect();
    let (mut page, mut out) = (Page::new(Space::Metric), Vec::with_capacity(DATAGRAM_BYTES_MAX));
    group.throughput(Throughput::Elements(u64::from(PAGE_CODES)));
    group.bench_function(BenchmarkId::new("append", name), |bencher| {
        bencher.iter(|| append(black_box(&codes), &mut page, &mut out));
    });
    group.finish();
}

fn make(change: &Change) -> Option<Code> {
    let since = [change.now];
    knot_code(OrientationKind::Heading, &change.base, &since, change.now.tick, change.age)
}

/// A whole datagram that says nothing but codes.
fn append(codes: &[Code], page: &mut Page, out: &mut Vec<u8>) -> usize {
    let tick = Tick(1_000);
    out.clear();
    page.start(0, tick, Some(tick - 1));
    for (slot, code) in codes.iter().enumerate() {
        page.code(slot as u8, *code);
    }
    let mut writer = SnapshotWriter::new(out, tick, 7, DATAGRAM_BYTES_MAX);
    assert!(writer.page(page), "a hundred codes fit a datagram");
    writer.finish(std::iter::empty()).0
}

/// Replays what a client heard into a table, datagram by datagram.
fn snapshots(criterion: &mut Criterion<CpuTime>, name: &str, recording: &Recording) {
    let mut group = criterion.benchmark_group("snapshot");
    group.throughput(Throughput::Elements(recording.updates()));
    group.bench_function(BenchmarkId::new("decode-per-update", name), |bencher| {
        bencher.iter_batched_ref(
            || recording.table(),
            |table| recording.replay(table),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn uplinks(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("uplink");
    for samples in [1, 20] {
        let bytes = uplink(samples);
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("parse", samples), |bencher| {
            bencher.iter(|| {
                let uplink = Uplink::decode(Space::Metric, black_box(&bytes)).expect("it is one");
                uplink.samples().map(|up| up.sample.position.0[0]).fold(0, i32::wrapping_add)
            });
        });
    }
    group.finish();
}

/// What a client with so many entities sends.
fn uplink(samples: u32) -> Vec<u8> {
    let mut scene = Scene::new(Cast::walk(samples * 20, 20, 10), 1);
    scene.run(20);
    scene.prepare();
    let inputs = scene.inputs();
    inputs.arena[inputs.datagrams[0].bytes.clone()].to_vec()
}
