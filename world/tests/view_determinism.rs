//! The same seed and the same inputs, the same world: with any executor, twice.

mod view_stage;

use starling_protocol::message::interest::{Interest, Shape};
use starling_world::config::WorldConfig;
use starling_world::executor::{Executor, Serial};
use starling_world::input::{Command, TickInputs};
use starling_world::output::Output;
use view_stage::*;

fn run(seed: u64, ticks: u32) -> (u64, usize) {
    let mut sky = Sky::new(metric(), seed);
    let mut rng = Rng(seed);
    for _ in 0..20 {
        let point = [rng.between(0., 100.), rng.between(0., 100.), 0.];
        let client = sky.player(point, 40.);
        sky.clients[client].weather = Weather { loss: 0.1, delay: 1, jitter: 2, double: 0.05 };
    }
    for _ in 0..ticks {
        for i in 0..20 {
            let step = [rng.between(-1., 1.), rng.between(-1., 1.)];
            let space = sky.space();
            let own = &mut sky.clients[i].own[0];
            let p = space.point(own.sample.position);
            own.sample = at(space, [p[0] + step[0], p[1] + step[1], 0.]);
        }
        sky.tick();
    }
    (sky.world.checksum(), sky.clients.iter().map(|c| c.bytes).sum())
}

#[test]
fn the_same_seed_gives_the_same_checksum_and_the_same_bytes() {
    for seed in [1, 2, 3] {
        assert_eq!(run(seed, 150), run(seed, 150));
    }
    assert_ne!(run(1, 150).0, run(2, 150).0);
    assert_ne!(run(1, 149).0, run(1, 150).0);
}

/// Cuts the work into parts and does the last one first.
struct Backwards(usize);

impl Executor for Backwards {
    fn width(&self) -> usize {
        self.0
    }

    fn run<T: Send>(&self, parts: &mut [T], work: &(dyn Fn(&mut T) + Sync)) {
        parts.iter_mut().rev().for_each(work);
    }
}

/// Runs every part on a thread of its own.
struct Threads(usize);

impl Executor for Threads {
    fn width(&self) -> usize {
        self.0
    }

    #[expect(clippy::disallowed_methods, reason = "the core starts no thread: it is lent some")]
    fn run<T: Send>(&self, parts: &mut [T], work: &(dyn Fn(&mut T) + Sync)) {
        std::thread::scope(|scope| {
            parts.iter_mut().for_each(|part| drop(scope.spawn(|| work(part))));
        });
    }
}

#[test]
fn an_executor_that_cuts_the_work_changes_nothing() {
    assert_like_serial(|_| Backwards(4), 1, 30, 100);
}

#[test]
fn any_number_of_threads_gives_the_same_checksum() {
    for threads in [1, 2, 3, 8] {
        assert_like_serial(|_| Threads(threads), 1, 30, 100);
    }
}

#[test]
fn samples_that_are_taken_in_on_many_threads_make_the_same_tracks() {
    for threads in [2, 3, 8] {
        assert_like_serial(|_| Threads(threads), 1, 1_100, 12);
    }
}

/// Few entities make fewer stretches than there are parts: what the others found in an earlier tick is
/// not found again.
#[test]
fn parts_that_have_no_entities_find_nothing() {
    // 100 entities are 15 stretches for 15 parts, and 13 for 14.
    assert_like_serial(|tick| Backwards(15 - (tick % 2) as usize), 40, 100, 12);
}

/// Two worlds with the same inputs: one serial, one in parts and in tiny zones. Every datagram
/// comes so many times.
fn assert_like_serial<E: Executor>(
    exec: impl Fn(u32) -> E,
    copies: usize,
    players: u64,
    ticks: u32,
) {
    let mut sky = Sky::new(metric(), 8);
    let mut twin = starling_world::World::new(WorldConfig { zone_entities_max: 8, ..metric() });
    let mirror = |world: &mut starling_world::World, commands: Vec<Command>| {
        world.step(0, &mut commands.clone(), &mut Output::default());
    };
    let mut commands = Vec::new();
    for i in 0..players {
        commands.extend(join(i, [i as f64 * 3., 0., 0.]));
    }
    mirror(&mut sky.world, commands.clone());
    mirror(&mut twin, commands);
    let mut rng = Rng(4);
    for tick in 1..ticks {
        let mut inputs = TickInputs::default();
        for i in 0..players {
            let x = i as f64 * 3. + rng.between(-2., 2.);
            let speech = Speech::number(i + u64::from(tick));
            for bytes in speech.datagrams(tick as u16, x) {
                for _ in 0..copies {
                    inputs.push(starling_world::input::ConnId(i), 0, &bytes);
                }
            }
        }
        let (mut one, mut many) = (Output::default(), Output::default());
        sky.world.tick(&inputs, &mut one, &Serial);
        twin.tick(&inputs, &mut many, &exec(tick));
        assert_eq!(one.arena, many.arena);
        assert_eq!(sky.world.checksum(), twin.checksum());
        let counted = |world: &starling_world::World| {
            let counters = world.counters();
            (counters.samples_accepted, counters.samples_old, counters.samples_rejected)
        };
        assert_eq!(counted(&sky.world), counted(&twin));
    }
    assert!(sky.world.counters().samples_rejected.iter().filter(|count| **count > 0).count() == 2);
}

/// What a player sends in one tick.
enum Speech {
    Plain,
    /// Of an entity that it does not have, and where there is no place, beside what is true.
    Wrong,
    /// A sample, a sample with a cue, a sample: all of it counts, in this order.
    Cue,
    /// The same sample in two datagrams.
    Twice,
}

impl Speech {
    fn number(n: u64) -> Self {
        match n % 16 {
            3 => Self::Wrong,
            7 => Self::Cue,
            11 => Self::Twice,
            _ => Self::Plain,
        }
    }

    fn datagrams(&self, tick: u16, x: f64) -> Vec<Vec<u8>> {
        let first = tick * 3;
        match self {
            Self::Plain => vec![said(first, &[(0, x)], false)],
            Self::Wrong => vec![said(first, &[(9, x), (0, f64::INFINITY), (0, x)], false)],
            Self::Cue => vec![
                said(first, &[(0, x)], false),
                said(first + 1, &[(0, x + 0.1)], true),
                said(first + 2, &[(0, x + 0.2)], false),
            ],
            Self::Twice => vec![said(first, &[(0, x)], false), said(first + 1, &[], false)],
        }
    }
}

/// One that nobody else has.
fn token(conn: u64) -> [u8; 32] {
    let mut token = [0; 32];
    token[..8].copy_from_slice(&conn.to_le_bytes());
    token
}

fn join(conn: u64, point: [f64; 3]) -> Vec<Command> {
    use starling_protocol::message::control::*;
    use starling_world::grants::{Grants, Principal};
    use starling_world::input::{Attach, ConnId};
    let conn = ConnId(conn);
    let attach = Attach {
        conn,
        principal: Principal { grants: Grants::open(), ..Principal::default() },
        token: token(conn.0),
        token_digest: token(conn.0),
        resume: None,
        schema_hash: None,
        capabilities: 0,
    };
    let spawn = Spawn {
        request: 0,
        name: None,
        kind: starling_protocol::units::KindId(0),
        team: 0,
        audience: Audience::All,
        sample: at(starling_protocol::space::Space::Metric, point),
        fields: Vec::new(),
        block: Vec::new(),
        avatar_of: None,
    };
    let area = Interest::new(Shape::Around { entity: None, radius_m: 20. });
    let control = |message| Command::Control { conn, message };
    vec![
        Command::Attach(Box::new(attach)),
        control(ControlUp::Spawn(Box::new(spawn))),
        control(ControlUp::SetInterest { id: 0, interest: Some(area) }),
    ]
}

/// A datagram with samples of these entities, and with a cue. Without samples it repeats the one before.
fn said(sequence: u16, samples: &[(u16, f64)], cue: bool) -> Vec<u8> {
    use starling_protocol::space::{IPos, Space};
    use starling_protocol::units::{Handle, Tick};
    use starling_protocol::uplink::{CueScope, CueUp, SampleUp, UplinkWriter};
    let mut bytes = Vec::new();
    let tick = Tick(u32::from(sequence / 3));
    let mut writer = UplinkWriter::new(&mut bytes, Space::Metric, sequence, tick);
    let scope = CueScope::NearMine { entity: Handle(0), radius_m: 10. };
    let given = CueUp { id: sequence, kind: 1, life: 3, scope, payload: &[] };
    writer.cues(cue.then_some(given).into_iter());
    for (nth, (handle, x)) in (0..).zip(samples) {
        let mut sample = at(Space::Metric, [if x.is_finite() { *x } else { 0. }, 0., 0.]);
        if x.is_infinite() {
            sample.position = IPos([i32::MAX; 3]);
        }
        let (handle, sequence) = (Handle(*handle), sequence * 4 + nth);
        assert!(writer.sample(&SampleUp { handle, sequence, sample }));
    }
    if samples.is_empty() {
        let (handle, sequence) = (Handle(0), (sequence - 1) * 4);
        let sample = at(Space::Metric, [0.; 3]);
        assert!(writer.sample(&SampleUp { handle, sequence, sample }));
    }
    writer.finish();
    bytes
}

#[test]
fn ten_thousand_entities_and_a_hundred_viewers_keep_going() {
    let mut sky = Sky::new(metric(), 2);
    let mut rng = Rng(77);
    let owner = sky.client();
    for i in 0..10_000 {
        if i % 250 == 0 {
            sky.tick();
        }
        let point = [rng.between(0., 1_300.), rng.between(0., 1_300.), 0.];
        sky.spawn(owner, point);
        sky.clients[owner].own[i].speaks = false;
    }
    for _ in 0..100 {
        let center = [rng.between(0., 1_300.), rng.between(0., 1_300.), 0.];
        let viewer = sky.client();
        sky.look(viewer, 0, Interest::new(Shape::Point { center, radius_m: 64. }));
    }
    let space = sky.space();
    for tick in 0..30usize {
        for own in sky.clients[owner].own.iter_mut().skip(tick % 4).step_by(4) {
            let p = space.point(own.sample.position);
            own.sample = at(space, [p[0] + 0.2, p[1] - 0.1, 0.]);
        }
        sky.clients[owner].own.iter_mut().for_each(|own| own.speaks = false);
        sky.clients[owner].own.iter_mut().skip(tick % 4).step_by(4).for_each(|o| o.speaks = true);
        sky.tick();
    }
    let seen: usize = (1..=100).map(|viewer| sky.seen(viewer).len()).sum();
    assert!(seen > 5_000, "{seen}");
    assert!(sky.checks > 10_000);
}
