//! Positions arrive within the bound, whatever the link does (P1, P2, P3).

mod view_stage;

use starling_protocol::message::control::ControlUp;
use starling_protocol::message::interest::{Interest, Shape};
use starling_protocol::sample::{Fix, Orientation};
use starling_protocol::schema::{Kind, OrientationKind, Schema};
use std::collections::BTreeSet;
use view_stage::*;

/// Walks to random goals, turns, stops and sometimes jumps up.
struct Walker {
    pos: [f64; 3],
    goal: [f64; 2],
    speed: f64,
}

impl Walker {
    fn new(rng: &mut Rng, side: f64) -> Self {
        let mut point = || [rng.between(0., side), rng.between(0., side)];
        let ([x, y], goal) = (point(), point());
        Self { pos: [x, y, 0.], goal, speed: rng.between(1., 12.) }
    }

    fn step(&mut self, rng: &mut Rng, side: f64) {
        let away = [self.goal[0] - self.pos[0], self.goal[1] - self.pos[1]];
        let distance = (away[0] * away[0] + away[1] * away[1]).sqrt();
        let step = self.speed / 20.;
        if distance < step || rng.chance(0.01) {
            self.goal = [rng.between(0., side), rng.between(0., side)];
            self.speed = if rng.chance(0.3) { 0. } else { rng.between(1., 12.) };
        } else {
            self.pos[0] += away[0] / distance * step;
            self.pos[1] += away[1] / distance * step;
        }
        self.pos[2] = if rng.chance(0.02) { 1. } else { (self.pos[2] - 0.1).max(0.) };
    }
}

struct Crowd {
    sky: Sky,
    walkers: Vec<Walker>,
    side: f64,
}

impl Crowd {
    fn new(seed: u64, count: usize, side: f64, radius_m: f32, weather: Weather) -> Self {
        let mut sky = Sky::new(metric(), seed);
        let mut rng = Rng(seed ^ 0xabcd);
        let walkers: Vec<_> = (0..count).map(|_| Walker::new(&mut rng, side)).collect();
        for walker in &walkers {
            let client = sky.player(walker.pos, radius_m);
            sky.clients[client].weather = weather;
        }
        Self { sky, walkers, side }
    }

    fn run(&mut self, ticks: u32) {
        for _ in 0..ticks {
            for (i, walker) in self.walkers.iter_mut().enumerate() {
                walker.step(&mut self.sky.rng, self.side);
                self.sky.place(i, walker.pos);
            }
            self.sky.tick();
        }
    }

    /// Everyone stands still under a clear sky for two seconds.
    fn settle(&mut self) {
        self.sky.clients.iter_mut().for_each(|c| c.weather = Weather::default());
        self.sky.run(40);
    }

    /// Every table is what the world says (P3).
    fn assert_converged(&self, radius: f64) {
        for (i, walker) in self.walkers.iter().enumerate() {
            let seen = self.sky.seen(i);
            for (j, other) in self.walkers.iter().enumerate().filter(|(j, _)| *j != i) {
                let entity = self.sky.clients[j].own[0].entity;
                let d: f64 = (0..3)
                    .map(|a| (walker.pos[a] - other.pos[a]) * (walker.pos[a] - other.pos[a]))
                    .sum::<f64>()
                    .sqrt();
                let sees = seen.contains(&entity);
                assert!(sees || d > radius - 0.01, "{i} does not see {j} at {d} m");
                assert!(!sees || d < radius * 1.125 + 0.01, "{i} sees {j} at {d} m");
                if sees {
                    let held = self.sky.believed(i, entity).expect("it is seen");
                    let off = distance_steps(held, self.sky.accepted(entity));
                    assert!(off <= 40.96, "{i} holds {j} {off} steps off");
                }
            }
        }
    }
}

#[test]
fn movement_is_within_the_bound_in_every_tick() {
    let mut crowd = Crowd::new(7, 30, 150., 50., Weather::default());
    crowd.run(400);
    assert!(crowd.sky.checks > 30_000, "{}", crowd.sky.checks);
    assert!(crowd.sky.worst_steps > 20., "the dead band is used");
    crowd.settle();
    crowd.assert_converged(50.);
    assert_eq!(crowd.sky.clients.iter().map(|c| c.stale).sum::<usize>(), 0);
}

#[test]
fn loss_delay_doubling_and_reordering_heal() {
    for seed in 0..12 {
        let mut rng = Rng(seed);
        let weather = Weather {
            loss: rng.between(0., 0.4),
            double: rng.between(0., 0.2),
            delay: rng.between(0., 5.) as u32,
            jitter: rng.between(0., 4.) as u32,
        };
        let mut crowd = Crowd::new(seed, 15, 120., 60., weather);
        crowd.run(300);
        assert!(crowd.sky.checks > 1_000, "seed {seed}: {weather:?}");
        crowd.settle();
        crowd.assert_converged(60.);
    }
}

#[test]
fn a_blackout_longer_than_any_history_heals() {
    let mut crowd = Crowd::new(3, 12, 60., 100., Weather::default());
    crowd.run(50);
    let dark = Weather { loss: 1.0, ..Weather::default() };
    crowd.sky.clients.iter_mut().for_each(|c| c.weather = dark);
    // Samples get lost as well, so only every other client goes dark.
    crowd.sky.clients.iter_mut().step_by(2).for_each(|c| c.weather = Weather::default());
    crowd.run(150);
    crowd.settle();
    crowd.assert_converged(100.);
}

#[test]
fn three_hundred_in_view_arrive_and_move() {
    let mut sky = Sky::new(metric(), 5);
    let owner = sky.client();
    let ids: BTreeSet<_> =
        (0..300).map(|i| sky.spawn(owner, [f64::from(i % 20), f64::from(i / 20), 0.])).collect();
    let viewer = sky.player([10., 7., 0.], 100.);
    sky.allowances.insert(sky.clients[viewer].conn, 8 * 1_100);
    sky.run(4);
    assert_eq!(sky.seen(viewer), ids, "they came over the bulk stream");
    let space = sky.space();
    for tick in 0..60 {
        for (i, own) in sky.clients[owner].own.iter_mut().enumerate() {
            let x = (i % 20) as f64 + f64::from(tick) * 0.2 * if i % 2 == 0 { 1. } else { -1. };
            own.sample = at(space, [x, (i / 20) as f64, 0.]);
            own.speaks = (i + tick as usize).is_multiple_of(3);
        }
        sky.tick();
    }
    assert_eq!(sky.seen(viewer), ids);
    assert!(sky.world.counters().bulks >= 1);
}

#[test]
fn turning_is_told_for_every_kind_of_orientation() {
    let kind = |name: &str, orientation| Kind {
        name: name.into(),
        orientation,
        fields: Vec::new(),
        block: false,
    };
    let schema = Schema {
        kinds: vec![
            kind("none", OrientationKind::None),
            kind("heading", OrientationKind::Heading),
            kind("look", OrientationKind::Look),
            kind("free", OrientationKind::Quaternion),
        ],
    };
    let mut sky = Sky::new(starling_world::config::WorldConfig { schema, ..metric() }, 1);
    let owner = sky.client();
    for kind in 0..4 {
        sky.spawn_as(owner, [f64::from(kind), 0., 0.], |s| {
            s.kind = starling_protocol::units::KindId(kind);
        });
    }
    let viewer = sky.player([0.; 3], 50.);
    for tick in 0..100u32 {
        let turn = |i: usize| match i {
            1 => Orientation::Heading((tick * 5) as u8),
            2 => Orientation::Look { yaw: (tick * 77 % 4096) as u16, pitch: 1000 },
            3 => Orientation::from_quaternion([0., tick as f32 * 0.1 - 5., 0., 1.]),
            _ => Orientation::None,
        };
        for (i, own) in sky.clients[owner].own.iter_mut().enumerate() {
            own.sample.orientation = turn(i);
        }
        sky.tick();
        if tick > 2 {
            let table = &sky.clients[viewer].table;
            for slot in table.slots() {
                let view = table.entity(slot).expect("it is there");
                let i = usize::from(view.kind.0);
                let own = turn(i);
                let told = view.state.orientation(sky.world.now());
                let holds = starling_protocol::motion::orientation_holds(told, own);
                assert!(holds, "kind {i}: {told:?} for {own:?}");
            }
        }
    }
}

#[test]
fn an_entity_without_samples_is_held_where_it_was_last() {
    let mut sky = Sky::new(metric(), 1);
    let viewer = sky.player([0.; 3], 500.);
    let walker = sky.player([0., 10., 0.], 1.);
    for i in 0..20 {
        sky.place(walker, [f64::from(i), 10., 0.]);
        sky.tick();
    }
    let entity = sky.clients[walker].own[0].entity;
    sky.clients[walker].own[0].speaks = false;
    sky.run(4);
    let on = sky.believed(viewer, entity).expect("seen").0[0];
    assert!(on > 22 * 1024, "the line goes on for a while: {on}");
    sky.run(10);
    let held = sky.believed(viewer, entity).expect("seen");
    assert!(distance_steps(held, sky.accepted(entity)) < 15.);
}

/// Walks, says twice where it stands, as the SDK does, and falls silent; what it claims as its
/// velocity, in steps a second, may be left over from a physics engine at rest.
fn stop(metres_a_tick: f64, claims: Option<[i32; 3]>) {
    let mut sky = Sky::new(metric(), 1);
    let viewer = sky.player([0.; 3], 500.);
    let walker = sky.player([0., 10., 0.], 1.);
    let entity = sky.clients[walker].own[0].entity;
    for i in 0..20 {
        sky.place(walker, [f64::from(i) * metres_a_tick, 10., 0.]);
        sky.clients[walker].own[0].sample.velocity = claims;
        sky.tick();
    }
    sky.tick();
    sky.clients[walker].own[0].speaks = false;
    for tick in 0..10 {
        sky.tick();
        let held = sky.believed(viewer, entity).expect("seen");
        let off = distance_steps(held, sky.accepted(entity));
        assert!(off <= 40.96, "{metres_a_tick} m, {claims:?}: {off} steps off {tick} ticks later");
    }
}

#[test]
fn an_entity_that_stops_and_falls_silent_is_within_the_bound_in_every_tick() {
    for metres_a_tick in (1..100).map(|n| f64::from(n) * 0.003) {
        stop(metres_a_tick, None);
        for claimed in [[0, 0, 40], [614, 0, 0], [1024, 0, 0], [-300, 200, 9]] {
            stop(metres_a_tick, Some(claimed));
        }
    }
}

#[test]
fn fleets_tell_every_accepted_fix_on_the_globe() {
    let mut sky = Sky::new(geodetic(), 1);
    let gateway = sky.client();
    let starts: Vec<[f64; 3]> = (0..30).map(|i| [52. + f64::from(i) * 0.001, 21., 100.]).collect();
    for point in starts {
        sky.spawn(gateway, point);
    }
    let edges = [[0., 179.99995, 0.], [89.9999, 0., 0.], [-45., -179.9999, 9_000.]];
    for point in edges {
        sky.spawn(gateway, point);
    }
    let viewer = sky.client();
    let whole = Shape::Box { min: [-90., -180., -100.], max: [90., 180., 10_000.] };
    sky.look(viewer, 0, Interest::new(whole));
    sky.clients[viewer].weather = Weather { loss: 0.2, delay: 1, ..Weather::default() };
    let space = sky.space();
    for tick in 0..120u32 {
        for (i, own) in sky.clients[gateway].own.iter_mut().enumerate() {
            own.speaks = (i as u32 + tick).is_multiple_of(6);
            if own.speaks {
                let mut point = space.point(own.sample.position);
                point[0] = (point[0] + 0.0003).min(90.);
                point[1] += if i % 2 == 0 { 0.0004 } else { -0.0002 };
                point[1] = (point[1] + 180.).rem_euclid(360.) - 180.;
                own.sample = at(space, point);
                let time_ms = 1_700_000_000_000 + u64::from(tick) * 500;
                own.sample.fix = Some(Fix { time_ms, ..Fix::default() });
            }
        }
        sky.tick();
    }
    assert!(sky.checks > 500, "{}", sky.checks);
    sky.clients[viewer].weather = Weather::default();
    sky.clients[gateway].own.iter_mut().for_each(|own| own.speaks = false);
    sky.run(8);
    let entities: Vec<_> = sky.clients[gateway].own.iter().map(|o| o.entity).collect();
    for entity in entities {
        let snapped = starling_protocol::motion::snap_fix(space, sky.accepted(entity));
        assert_eq!(sky.believed(viewer, entity), Some(snapped));
    }
}

#[test]
fn codes_are_made_once_and_shared_by_all_who_watch() {
    let mut crowd = Crowd::new(11, 40, 30., 100., Weather::default());
    crowd.run(20);
    let before = crowd.sky.world.counters().clone();
    crowd.run(100);
    let after = crowd.sky.world.counters();
    let made = after.codes_made - before.codes_made;
    let sent = after.codes_sent - before.codes_sent;
    assert!(sent > 20 * made, "{made} were made for {sent}");
    let knots = after.entries - before.entries;
    // With two ticks between a knot and its acknowledgement a knot is coded at two ages.
    assert!(made <= 3 * knots, "{made} codes of {knots} knots");
}

#[test]
fn a_quiet_world_sends_heartbeats_only() {
    let mut sky = Sky::new(metric(), 1);
    let (a, b) = (sky.player([0.; 3], 50.), sky.player([10., 0., 0.], 50.));
    sky.run(100);
    for client in [a, b] {
        sky.clients[client].own[0].speaks = false;
        (sky.clients[client].bytes, sky.clients[client].datagrams) = (0, 0);
    }
    sky.run(20);
    for client in [a, b] {
        sky.clients[client].mute = true;
        (sky.clients[client].bytes, sky.clients[client].datagrams) = (0, 0);
    }
    sky.run(160);
    for client in [a, b] {
        assert!((1..=3).contains(&sky.clients[client].datagrams), "every four seconds");
        assert!(sky.clients[client].bytes <= 3 * 12);
    }
}

#[test]
fn a_session_that_resumes_sees_everything_anew() {
    let mut crowd = Crowd::new(6, 20, 80., 60., Weather::default());
    for round in 0..6 {
        crowd.run(20);
        crowd.sky.resume(round * 3);
        crowd.run(5);
    }
    crowd.settle();
    crowd.assert_converged(60.);
}

#[test]
fn a_slow_bulk_stream_is_never_mistaken_for_news() {
    for delay in [1, 4, 9] {
        let mut sky = Sky::new(metric(), u64::from(delay));
        let owner = sky.client();
        for i in 0..260 {
            sky.spawn(owner, [f64::from(i % 20) * 3., f64::from(i / 20) * 3., 0.]);
        }
        let viewer = sky.player([30., 20., 0.], 30.);
        sky.clients[viewer].bulk_delay = delay;
        sky.clients[viewer].weather = Weather { loss: 0.1, delay: 1, ..Weather::default() };
        let conn = sky.clients[viewer].conn;
        sky.allowances.insert(conn, 8 * 1_100);
        let space = sky.space();
        let mut rng = Rng(9);
        for tick in 0..200u32 {
            for own in &mut sky.clients[owner].own {
                let [x, y, _] = space.point(own.sample.position);
                let step = [rng.between(-1., 1.), rng.between(-1., 1.)];
                own.sample = at(space, [x + step[0], y + step[1], 0.]);
            }
            // There and back again, so that crowds leave while their enters are under way.
            let x = if tick / 7 % 2 == 0 { 30. } else { 500. };
            sky.place(viewer, [x, 20., 0.]);
            sky.tick();
        }
        sky.clients[viewer].weather = Weather::default();
        sky.run(40);
        let space = sky.space();
        let here = space.point(sky.accepted(sky.clients[viewer].own[0].entity));
        for own in &sky.clients[owner].own {
            let there = space.point(sky.accepted(own.entity));
            let off = [here[0] - there[0], here[1] - there[1]];
            let away = (off[0] * off[0] + off[1] * off[1]).sqrt();
            let sees = sky.sees(viewer, own.entity);
            assert!(sees || away > 29.9, "missing at {away} m, delay {delay}");
            assert!(!sees || away < 30. * 1.125 + 0.1, "still there at {away} m");
        }
        assert!(sky.world.counters().bulks >= 5, "{}", sky.world.counters().bulks);
    }
}

/// The index of an entity that is gone is soon another's, while leaves and bulk messages are still
/// under way.
#[test]
fn a_newcomer_is_never_taken_for_whoever_had_its_index() {
    for delay in [1, 4, 9] {
        let mut sky = Sky::new(metric(), u64::from(delay));
        let owner = sky.client();
        for i in 0..100 {
            sky.spawn(owner, [f64::from(i % 10), f64::from(i / 10), 0.]);
        }
        let viewer = sky.player([5., 5., 0.], 30.);
        sky.clients[viewer].bulk_delay = delay;
        sky.clients[viewer].weather = Weather { delay: 3, ..Weather::default() };
        sky.tick();
        for round in 0..20 {
            let gone = sky.clients[owner].own.remove(round * 3);
            sky.send(owner, ControlUp::Despawn { handle: gone.handle });
            sky.run(2);
            let new = sky.spawn(owner, [f64::from(round as u8), 11., 0.]);
            assert_eq!(new.index, gone.entity.index, "its index was free");
        }
        sky.run(40);
        let own = sky.clients[owner].own.iter().map(|own| own.entity);
        assert_eq!(sky.seen(viewer), own.collect(), "delay {delay}");
    }
}
