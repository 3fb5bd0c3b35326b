//! The core alone: whole ticks of a world with clients, and their allocations.
//!
//! Before criterion's figures comes a table with one row for each world: how its ticks spread, and
//! what they allocate once the world has settled.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)] // a bench tells the terminal

use criterion::{Criterion, SamplingMode, Throughput};
use starling_benches::clock::CpuTime;
use starling_benches::meter::{Meter, Phase};
use starling_benches::motion::{Dice, Gait};
use starling_benches::scene::{Cast, Scene};
use starling_benches::spread::Spread;
use starling_benches::wire::OVERHEAD_BYTES;
use starling_server::room::cores::Cores;
use starling_world::priority::{Candidates, Choice};
use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// Ticks until queues, pools and tables have their size, and ticks that are measured then.
const SETTLE_TICKS: u32 = 300;
const TABLE_TICKS: u32 = 160;
/// The same for a world with this many sessions or more, whose clients take their time.
const MANY_SESSIONS: u32 = 5_000;
const MANY_SETTLE_TICKS: u32 = 60;
const MANY_TABLE_TICKS: u32 = 32;

/// All of it, or the rows and parts that are named: `cargo bench --bench world -- 10k-10kx100`.
fn main() {
    let mut criterion = Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    table();
    if is_asked("dense") {
        dense();
    }
    if is_asked("threads") {
        threads();
    }
    choices(&mut criterion);
    ticks(&mut criterion);
    criterion.final_summary();
}

/// Is a row or a part to be measured? Criterion takes the same words as a filter.
fn is_asked(name: &str) -> bool {
    let mut words = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).peekable();
    words.peek().is_none() || words.any(|word| word == name)
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
        ("50k-50kx100", Cast::walk(50_000, 50_000, 100)),
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
    for (name, cast) in worlds().into_iter().filter(|(name, _)| is_asked(name)) {
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

/// Ticks per second in the dense spot.
const DENSE_HZ: u16 = 30;
/// Payload of a tick that 256 kbit/s on the wire leave, all headers and acknowledgements included:
/// one datagram.
const NARROW_BYTES: u32 = 256_000 / 8 / DENSE_HZ as u32 - OVERHEAD_BYTES;

/// Ticks that are measured there: two seconds, in which everyone must have been told of everyone.
const DENSE_TICKS: u32 = 60;

/// A crowd in one dense spot, all of it swerving, in which every link is narrow.
fn dense() {
    let crowd = if starling_benches::is_trial() { 100 } else { 2_000 };
    let cast = Cast {
        gait: Gait::Swerve,
        hz: DENSE_HZ,
        datagram_bytes: Some(NARROW_BYTES),
        ..Cast::walk(crowd, crowd, 4 * crowd)
    };
    let mut scene = Scene::new(cast, 1);
    scene.run(90);
    let skipped = scene.world().counters().skipped;
    let (mut times, mut oldest) = (Vec::new(), 0);
    for _ in 0..DENSE_TICKS {
        scene.prepare();
        times.push(CpuTime::of(|| scene.tick()));
        scene.deliver();
        oldest = oldest.max(scene.oldest());
    }
    let spread = Spread::new(times);
    let skipped = scene.world().counters().skipped - skipped;
    println!(
        "\none dense spot at {DENSE_HZ} Hz: {crowd} clients see {:.0} each, {NARROW_BYTES} B of payload a tick: \
         mean {:.1} ms, max {:.1} ms of {:.1}, skipped per client and tick {:.0}, oldest neighbour {oldest} ticks, \
         {:.1} s",
        scene.seen() as f64 / f64::from(crowd),
        spread.mean_us() / 1e3,
        spread.quantile_us(1.0) / 1e3,
        1e3 / f64::from(DENSE_HZ),
        skipped as f64 / f64::from(DENSE_TICKS) / f64::from(crowd),
        f64::from(oldest) / f64::from(DENSE_HZ),
    );
}

/// The same ticks on one thread and on the two that the server lends them, in turns, by the clock
/// on the wall; where the time of both goes; and what two threads are worth at most.
fn threads() {
    let (_, cast) = worlds().into_iter().find(|(name, _)| *name == "10k-10kx100").expect("a row");
    let mut scene = Scene::new(cast, 1);
    scene.run(length(cast).0);
    let cores = [Cores::none(), Cores::start(2).expect("two threads")];
    let mut best: [(Duration, Vec<Phase>); 2] =
        std::array::from_fn(|_| (Duration::MAX, Vec::new()));
    for turn in 0..2 * length(cast).1 as usize {
        scene.prepare();
        let (meter, start) = (Meter::new(&cores[turn % 2]), Instant::now());
        scene.tick_on(&meter);
        let took = start.elapsed();
        if took < best[turn % 2].0 {
            best[turn % 2] = (took, meter.end());
        }
        scene.deliver();
    }
    let [one, two] = [0, 1].map(|n: usize| best[n].0.as_secs_f64() * 1e3);
    println!(
        "\nthreads, fastest tick on the wall: one {one:.1} ms, two {two:.1} ms, {:.2}",
        one / two
    );
    for (name, (_, phases)) in ["one", "two"].into_iter().zip(&best) {
        println!("{name}: {}", told(phases));
    }
    println!("two worlds at once, one on each of two threads: {:.2}", ceiling(cast));
}

/// Phases as text: `serial + [part, part] + serial ...` in microseconds, and the sum of what is serial.
fn told(phases: &[Phase]) -> String {
    let us = |time: &Duration| format!("{:.0}", time.as_secs_f64() * 1e6);
    let phase = |phase: &Phase| {
        let parts: Vec<_> = phase.parts.iter().map(us).collect();
        format!("{} + [{}]", us(&phase.before), parts.join(", "))
    };
    let all: Vec<_> = phases.iter().map(phase).collect();
    let serial: Duration = phases.iter().map(|phase| phase.before).sum();
    format!("{} us; serial {} us", all.join(" + "), us(&serial))
}

/// What two threads are worth that share nothing but the machine: how much of two worlds' ticks gets
/// done on both at once in the time of one world's tick alone, by the fastest on the wall.
fn ceiling(cast: Cast) -> f64 {
    let turns = length(cast).1 as usize;
    let barrier = Barrier::new(2);
    let run = |number: u64| {
        let mut scene = Scene::new(cast, number + 1);
        scene.run(length(cast).0);
        let (mut alone, mut both) = (Duration::MAX, Duration::MAX);
        for turn in 0..3 * turns as u64 {
            // Alone, while the other is, both.
            let plays = turn % 3 == 2 || turn % 3 == number;
            if plays {
                scene.prepare();
            }
            barrier.wait();
            if plays {
                let start = Instant::now();
                scene.tick();
                let best = if turn % 3 == 2 { &mut both } else { &mut alone };
                *best = start.elapsed().min(*best);
            }
            barrier.wait();
            if plays {
                scene.deliver();
            }
        }
        2.0 * alone.as_secs_f64() / both.as_secs_f64()
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| run(1));
        let mine = run(0);
        (mine + other.join().expect("a world that ticks")) / 2.0
    })
}

/// Whom a narrow link tells of, of 300 candidates: by the threshold of the last tick, and without.
fn choices(criterion: &mut Criterion<CpuTime>) {
    let mut dice = Dice::new(1);
    let mut candidates = Candidates::new();
    for slot in 0..300 {
        let (hunger, bits) = (dice.between(0.0, 256.0) as u8, dice.between(10.0, 30.0) as u16);
        candidates.add(slot, hunger, bits);
    }
    let mut group = criterion.benchmark_group("choose-60-of-300");
    group.throughput(Throughput::Elements(300));
    for (name, carried) in [("carried", true), ("exact", false)] {
        let mut choice = Choice::default();
        choice.choose(&mut candidates, 1_200);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut fresh = if carried { choice } else { Choice::default() };
                fresh.choose(black_box(&mut candidates), 1_200);
                candidates.chosen().fold(0, |chosen, (_, mask)| chosen + mask.count_ones())
            });
        });
    }
    group.finish();
}

/// Worlds that criterion follows from run to run; of the others the table says enough.
fn is_plain(cast: Cast) -> bool {
    cast.loss == 0.0 && cast.gait == Gait::Walk && cast.sessions < MANY_SESSIONS
}

fn ticks(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("tick");
    group.sampling_mode(SamplingMode::Flat);
    for (name, cast) in
        worlds().into_iter().filter(|(name, cast)| is_plain(*cast) && is_asked(name))
    {
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
