//! Rings: what is far away is told less often, where a world's policy says so (P2), and where
//! there is too little time (P13).

mod view_stage;

use starling_protocol::message::control::Ring;
use starling_protocol::message::interest::{Interest, Shape, Target};
use starling_protocol::space::Space;
use starling_protocol::units::{EntityId, Tick};
use starling_world::config::WorldConfig;
use starling_world::input::Command;
use std::collections::BTreeMap;
use view_stage::*;

/// Where three entities stand: near, beyond 25 m, beyond 50 m.
const AWAY_M: [f64; 3] = [10., 35., 70.];

fn ringed() -> WorldConfig {
    let ring = |beyond_m, every_ticks| Ring { beyond_m, every_ticks };
    WorldConfig { rings: vec![ring(25., 2), ring(50., 4)], ..metric() }
}

/// A viewer at the origin and three entities that swerve all the time.
fn stage(config: WorldConfig) -> (Sky, usize, usize) {
    let mut sky = Sky::new(config, 3);
    let owner = sky.client();
    AWAY_M.iter().for_each(|away| {
        sky.spawn(owner, [*away, 0., 0.]);
    });
    let viewer = sky.player([0., 0., 0.], 120.);
    sky.run(20);
    (0..8).for_each(|_| swerve(&mut sky, owner));
    (sky, owner, viewer)
}

/// Everyone but the viewer jumps sideways, too far for any prediction.
fn swerve(sky: &mut Sky, owner: usize) {
    let space = sky.space();
    let mut rng = sky.rng.clone();
    for own in &mut sky.clients[owner].own {
        let x = space.point(own.sample.position)[0];
        own.sample = at(space, [x, rng.between(-3., 3.), 0.]);
    }
    sky.rng = rng;
    sky.tick();
}

/// Greatest number of ticks that the viewer's copy of each was old, nearest first.
fn oldest(sky: &mut Sky, owner: usize, viewer: usize, ticks: u32) -> Vec<u32> {
    let mut oldest: BTreeMap<EntityId, u32> = BTreeMap::new();
    for _ in 0..ticks {
        swerve(sky, owner);
        let (now, table) = (sky.world.now(), &sky.clients[viewer].table);
        for slot in table.slots() {
            let age = now.0 - table.covered(slot).unwrap_or(Tick(0)).0;
            let entity = table.entity(slot).expect("it is there").entity;
            let worst = oldest.entry(entity).or_default();
            *worst = age.max(*worst);
        }
    }
    sky.clients[owner].own.iter().map(|own| oldest[&own.entity]).collect()
}

#[test]
fn each_ring_is_told_in_its_turn() {
    let (mut sky, owner, viewer) = stage(ringed());
    assert_eq!(oldest(&mut sky, owner, viewer, 100), [0, 1, 3]);
    let deferred = sky.world.counters().deferred;
    assert!((125..=140).contains(&deferred), "of 108 ticks each, 54 and 81: {deferred}");
}

#[test]
fn without_rings_all_is_told_at_once() {
    let (mut sky, owner, viewer) = stage(metric());
    assert_eq!(oldest(&mut sky, owner, viewer, 100), [0, 0, 0]);
    assert_eq!(sky.world.counters().deferred, 0);
}

#[test]
fn what_is_told_less_often_takes_fewer_bytes() {
    let bytes = |config| {
        let (mut sky, owner, viewer) = stage(config);
        for i in 0..60 {
            sky.spawn(owner, [60. + f64::from(i) / 2., 0., 0.]);
        }
        (0..8).for_each(|_| swerve(&mut sky, owner));
        let before = sky.clients[viewer].bytes;
        (0..200).for_each(|_| swerve(&mut sky, owner));
        sky.clients[viewer].bytes - before
    };
    let (ringed, plain) = (bytes(ringed()), bytes(metric()));
    assert!(ringed < plain, "{ringed} and {plain}");
}

#[test]
fn enters_and_leaves_do_not_wait() {
    let (mut sky, owner, viewer) = stage(ringed());
    for round in 0..8 {
        let far = [70., f64::from(round), 0.];
        let entity = sky.spawn(owner, far);
        sky.tick();
        assert!(sky.seen(viewer).contains(&entity), "round {round}: it is told of at once");
        let own = sky.clients[owner].own.last_mut().expect("it was spawned");
        own.sample = at(sky.world.config().space, [500., 0., 0.]);
        sky.tick();
        assert!(!sky.seen(viewer).contains(&entity), "round {round}: it is gone at once");
    }
}

#[test]
fn a_followed_entity_is_near_wherever_it_is() {
    let (mut sky, owner, viewer) = stage(ringed());
    let far = sky.clients[owner].own[2].entity;
    sky.look(viewer, 1, Interest::new(Shape::Follow { entity: Target::Id(far) }));
    assert_eq!(oldest(&mut sky, owner, viewer, 60), [0, 1, 0]);
}

#[test]
fn loss_is_made_good_in_the_next_turn() {
    let (mut sky, owner, viewer) = stage(ringed());
    sky.clients[viewer].weather = Weather { loss: 0.3, delay: 1, jitter: 2, double: 0.1 };
    (0..200).for_each(|_| swerve(&mut sky, owner));
    sky.clients[viewer].weather = Weather::default();
    sky.run(12);
    for own in sky.clients[owner].own.clone() {
        let held = sky.believed(viewer, own.entity).expect("it is in view");
        assert!(distance_steps(held, sky.accepted(own.entity)) <= 40.96);
    }
}

/// P13: with too little time the far third of an area waits, then the middle one; what is near never does.
#[test]
fn what_is_shed_is_far_first_and_never_near() {
    let (mut sky, owner, viewer) = stage(metric());
    let strain = |sky: &mut Sky, too_much| sky.command(Command::Strain { too_much });
    strain(&mut sky, true);
    assert_eq!(oldest(&mut sky, owner, viewer, 40), [0, 0, 0], "newcomers only");
    let own = sky.clients[owner].own.last_mut().expect("three were spawned");
    own.sample = at(Space::Metric, [100., 0., 0.]);
    sky.run(8);
    strain(&mut sky, true);
    assert_eq!(oldest(&mut sky, owner, viewer, 40), [0, 0, 3]);
    strain(&mut sky, true);
    let own = &mut sky.clients[owner].own[1];
    own.sample = at(Space::Metric, [60., 0., 0.]);
    sky.run(8);
    assert_eq!(oldest(&mut sky, owner, viewer, 40), [0, 3, 3]);
    (0..3).for_each(|_| strain(&mut sky, true));
    assert_eq!(oldest(&mut sky, owner, viewer, 40), [0, 3, 3], "near is never shed");
    (0..6).for_each(|_| strain(&mut sky, false));
    sky.run(8);
    assert_eq!(oldest(&mut sky, owner, viewer, 40), [0, 0, 0]);
}
