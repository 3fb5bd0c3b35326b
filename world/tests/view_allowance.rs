//! A narrow link gets less, never nothing, and never more than it may carry (P13).

mod view_stage;

use starling_protocol::schema::{Kind, OrientationKind, Schema};
use starling_protocol::units::{EntityId, KindId, Tick, TickRate};
use starling_world::config::WorldConfig;
use std::collections::BTreeMap;
use view_stage::*;

const CROWD: usize = 300;

/// A viewer in a crowd that moves all the time, on a link of so many bytes a tick.
fn crowd(bytes: u32, weather: Weather) -> (Sky, usize, usize) {
    let mut sky = Sky::new(metric(), 9);
    let owner = sky.client();
    for i in 0..CROWD {
        sky.spawn(owner, [(i % 20) as f64 * 4., (i / 20) as f64 * 4., 0.]);
    }
    let viewer = sky.player([1., 1., 0.], 200.);
    let conn = sky.clients[viewer].conn;
    sky.allowances.insert(conn, bytes);
    sky.clients[viewer].weather = weather;
    (sky, owner, viewer)
}

fn stir(sky: &mut Sky, owner: usize) {
    let space = sky.space();
    let mut rng = sky.rng.clone();
    for own in &mut sky.clients[owner].own {
        let mut point = space.point(own.sample.position);
        point[0] += rng.between(-0.5, 0.5);
        point[1] += rng.between(-0.5, 0.5);
        own.sample = at(space, point);
    }
    sky.rng = rng;
    sky.tick();
}

/// Greatest number of ticks for which an entity was not covered.
fn waits(sky: &mut Sky, owner: usize, viewer: usize, ticks: u32) -> BTreeMap<EntityId, u32> {
    let mut worst = BTreeMap::new();
    for _ in 0..ticks {
        stir(sky, owner);
        let now = sky.world.now();
        let table = &sky.clients[viewer].table;
        for slot in table.slots() {
            let covered = table.covered(slot).unwrap_or(Tick(0));
            let entity = table.entity(slot).expect("it is there").entity;
            let wait = worst.entry(entity).or_insert(0);
            *wait = (*wait).max(now.0 - covered.0);
        }
    }
    worst
}

#[test]
fn with_four_hundred_bytes_a_tick_nobody_starves_and_the_near_come_first() {
    let (mut sky, owner, viewer) = crowd(400, Weather::default());
    for _ in 0..100 {
        stir(&mut sky, owner);
    }
    assert_eq!(sky.seen(viewer).len(), CROWD, "all have entered");
    let worst = waits(&mut sky, owner, viewer, 200);
    assert_eq!(worst.len(), CROWD);
    let longest = worst.values().max().expect("not empty");
    assert!(*longest <= 60, "somebody waited for {longest} ticks");
    let ids: Vec<_> = sky.clients[owner].own.iter().map(|own| own.entity).collect();
    let mean = |ids: &[EntityId]| {
        ids.iter().map(|id| f64::from(worst[id])).sum::<f64>() / ids.len() as f64
    };
    let (near, far) = (mean(&ids[..4]), mean(&ids[CROWD - 20..]));
    assert!(near < far, "the near waited for {near}, the far for {far} ticks");
    assert!(sky.world.counters().skipped > 1_000);
    let sizes: usize = sky.clients[viewer].sizes.iter().sum();
    assert!(sizes > 300, "the link is used: {sizes} of 400 bytes");
}

/// Eighty in one spot at 30 Hz, who swerve all the time, each on a link of the fewest bytes that
/// carry anything: a quarter of what there is to tell, and less than a crowd of 2,000 gets for each
/// of its members from 256 kbit/s.
#[test]
fn in_a_dense_spot_nobody_is_left_out_for_long() {
    const CROWDED: usize = 80;
    let config = WorldConfig { tick_rate: TickRate::new(30).expect("in range"), ..metric() };
    let mut sky = Sky::new(config, 5);
    let mut rng = Rng(11);
    for _ in 0..CROWDED {
        sky.player([rng.between(0., 20.), rng.between(0., 20.), 0.], 60.);
    }
    sky.run(30);
    sky.allowances = sky.clients.iter().map(|client| (client.conn, 72)).collect();
    let mut oldest = 0;
    for tick in 0..300 {
        for client in 0..CROWDED {
            let now = sky.space().point(sky.clients[client].own[0].sample.position);
            let step = |c: f64, rng: &mut Rng| (c + rng.between(-0.3, 0.3)).clamp(0., 20.);
            sky.place(client, [step(now[0], &mut rng), step(now[1], &mut rng), 0.]);
        }
        sky.tick();
        let now = sky.world.now();
        for client in &sky.clients {
            let covered = client.table.slots().filter_map(|slot| client.table.covered(slot));
            let ages = covered.map(|tick| now.0 - tick.0);
            oldest = oldest.max(if tick < 60 { 0 } else { ages.max().unwrap_or(0) });
        }
    }
    assert!((0..CROWDED).all(|client| sky.seen(client).len() == CROWDED - 1));
    assert!(sky.world.counters().skipped > 100_000, "the links bind");
    assert!(oldest <= 60, "two seconds: somebody waited for {oldest} ticks");
}

/// What is too wide for any datagram of the link waits for a wider one, and holds up nobody else.
#[test]
fn a_record_wider_than_the_link_holds_up_nobody() {
    let kind = |name: &str, block| Kind {
        name: name.into(),
        orientation: OrientationKind::None,
        fields: vec![],
        block,
    };
    let schema = Schema { kinds: vec![kind("plain", false), kind("wide", true)] };
    let mut sky = Sky::new(WorldConfig { schema, ..metric() }, 2);
    let owner = sky.client();
    for i in 0..30 {
        sky.spawn(owner, [f64::from(i), 0., 0.]);
    }
    let viewer = sky.player([1., 1., 0.], 60.);
    let conn = sky.clients[viewer].conn;
    sky.run(40);
    sky.allowances.insert(conn, 100);
    let wide: Vec<_> = (0..5)
        .map(|i| {
            sky.spawn_as(owner, [f64::from(i), 3., 0.], |spawn| {
                spawn.kind = KindId(1);
                spawn.block = vec![7; 255];
            })
        })
        .collect();
    let worst = waits(&mut sky, owner, viewer, 300);
    let longest = worst.values().max().expect("not empty");
    assert!(*longest <= 40, "somebody waited for {longest} ticks");
    assert!(wide.iter().all(|id| !sky.sees(viewer, *id)), "they cannot be told of");
    sky.allowances.insert(conn, 1_100);
    for _ in 0..40 {
        stir(&mut sky, owner);
    }
    assert!(wide.iter().all(|id| sky.sees(viewer, *id)), "the link is wide again");
}

#[test]
fn a_narrow_link_with_loss_heals_when_everything_stands_still() {
    let weather = Weather { loss: 0.2, delay: 2, jitter: 2, double: 0.1 };
    let (mut sky, owner, viewer) = crowd(300, weather);
    for _ in 0..200 {
        stir(&mut sky, owner);
    }
    sky.clients[viewer].weather = Weather::default();
    sky.run(120);
    let ids: Vec<_> = sky.clients[owner].own.iter().map(|own| own.entity).collect();
    for id in ids {
        let held = sky.believed(viewer, id).expect("it is in view");
        assert!(distance_steps(held, sky.accepted(id)) <= 40.96);
    }
}

#[test]
fn a_link_that_takes_nothing_gets_nothing_and_then_everything() {
    let (mut sky, owner, viewer) = crowd(0, Weather::default());
    for _ in 0..20 {
        stir(&mut sky, owner);
        assert!(sky.clients[viewer].sizes.is_empty());
    }
    let conn = sky.clients[viewer].conn;
    sky.allowances.insert(conn, 8 * 1_100);
    for _ in 0..10 {
        stir(&mut sky, owner);
    }
    assert_eq!(sky.seen(viewer).len(), CROWD);
}

#[test]
fn a_wide_link_carries_many_datagrams_in_one_tick() {
    let mut sky = Sky::new(metric(), 4);
    let owner = sky.client();
    for i in 0..1_000 {
        sky.spawn(owner, [f64::from(i % 40), f64::from(i / 40), 0.]);
    }
    let viewer = sky.player([20., 12., 0.], 100.);
    for client in [owner, viewer] {
        let conn = sky.clients[client].conn;
        sky.allowances.insert(conn, 8 * 1_100);
    }
    sky.run(8);
    assert_eq!(sky.seen(viewer).len(), 1_000);
    let mut most = 0;
    for _ in 0..30 {
        stir(&mut sky, owner);
        most = most.max(sky.clients[viewer].sizes.len());
    }
    assert!((2..=8).contains(&most), "{most} datagrams in one tick");
}
