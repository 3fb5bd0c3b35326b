//! A world cut into tiny zones, and the same in one: nobody can tell them apart.

mod view_stage;

use starling_protocol::message::control::ControlUp;
use starling_protocol::message::interest::{Interest, Shape};
use starling_protocol::space::Space;
use starling_protocol::uplink::CueScope;
use starling_world::config::WorldConfig;
use view_stage::*;

const SIDE_M: f64 = 300.0;

fn zoned(config: WorldConfig, zone_entities_max: usize) -> WorldConfig {
    WorldConfig { zone_entities_max, entities_max: 10_000, ..config }
}

/// A point of a square of sides 1.
fn point(sky: &Sky, at: [f64; 2]) -> [f64; 3] {
    match sky.space() {
        Space::Metric => [at[0] * SIDE_M, at[1] * SIDE_M, 0.],
        Space::Geodetic => {
            let [north, east] = at.map(|c| c * SIDE_M / 111_000.);
            [60. + north, wrapped(Space::Geodetic, 179.998 + 2. * east), 0.]
        }
    }
}

/// Players that look in every way there is, and one that owns many things.
fn open(sky: &mut Sky, rng: &mut Rng) {
    for i in 0..24 {
        let at = point(sky, [rng.unit(), rng.unit()]);
        let client = sky.player(at, 25.);
        let center = point(sky, [rng.unit(), rng.unit()]);
        let shape = match i % 6 {
            0 => Shape::Nearest { count: 7, center: None },
            1 => Shape::Nearest { count: 9, center: Some(center) },
            2 => Shape::Point { center, radius_m: 40. },
            3 => Shape::Viewport { center, side_m: 60. },
            _ => continue,
        };
        sky.look(client, 1, Interest::new(shape));
        sky.clients[client].weather = Weather { loss: 0.05, delay: 1, jitter: 1, double: 0.05 };
    }
    let herd = sky.client();
    for _ in 0..250 {
        let at = point(sky, [rng.unit(), rng.unit()]);
        sky.spawn(herd, at);
    }
}

/// Everyone takes a step; some jump, go, come, and call.
fn stir(sky: &mut Sky, rng: &mut Rng, tick: u32) {
    let space = sky.space();
    // To and fro between spread out and crowded, so that zones are cut and merged again.
    let crowd = tick / 25 % 2 == 1;
    for client in 0..sky.clients.len() {
        for own in 0..sky.clients[client].own.len() {
            let jumps = rng.chance(if crowd { 0.05 } else { 0.02 });
            let corner = if crowd { 0.1 } else { 1.0 };
            let far = point(sky, [rng.unit() * corner, rng.unit() * corner]);
            let [x, y] = [rng.between(-4., 4.), rng.between(-4., 4.)];
            let own = &mut sky.clients[client].own[own];
            let here = space.point(own.sample.position);
            let scale = if space == Space::Metric { 1. } else { 1e-5 };
            let to = if jumps { far } else { [here[0] + x * scale, here[1] + y * scale, 0.] };
            own.sample = at(space, [to[0], wrapped(space, to[1]), 0.]);
        }
    }
    let herd = sky.clients.len() - 1;
    for _ in 0..6 {
        let at = point(sky, [rng.unit(), rng.unit()]);
        sky.spawn(herd, at);
        let count = sky.clients[herd].own.len() as f64;
        let gone = sky.clients[herd].own.swap_remove(rng.between(0., count) as usize);
        sky.send(herd, ControlUp::Despawn { handle: gone.handle });
    }
    let caller = rng.between(0., 24.) as usize;
    let center = at(space, point(sky, [rng.unit(), rng.unit()])).position;
    let mine = sky.clients[caller].own[0].handle;
    let cues = &mut sky.clients[caller].cues;
    cues.clear();
    cues.push((2 * tick as u16, 1, 3, CueScope::Near { center, radius_m: 60. }, vec![1]));
    let near = CueScope::NearMine { entity: mine, radius_m: 40. };
    cues.push((2 * tick as u16 + 1, 2, 3, near, vec![2]));
}

/// A longitude on the other side of the antimeridian.
fn wrapped(space: Space, c: f64) -> f64 {
    if space == Space::Metric { c } else { (c + 180.).rem_euclid(360.) - 180. }
}

/// Runs both worlds by the same script and compares all that anyone is told, tick by tick.
fn assert_alike(config: &WorldConfig, zone_entities_max: usize, seed: u64) {
    let mut whole = Sky::new(zoned(config.clone(), 65_535), seed);
    let mut cut = Sky::new(zoned(config.clone(), zone_entities_max), seed);
    let mut dice = [Rng(seed), Rng(seed)];
    open(&mut whole, &mut dice[0]);
    open(&mut cut, &mut dice[1]);
    let mut zones = Vec::new();
    for tick in 0..100 {
        for (sky, rng) in [&mut whole, &mut cut].into_iter().zip(&mut dice) {
            stir(sky, rng, tick);
            sky.tick();
        }
        for (one, other) in whole.clients.iter().zip(&cut.clients) {
            assert_eq!(one.bytes, other.bytes, "tick {tick}");
            assert_eq!(one.heard, other.heard, "tick {tick}");
        }
        assert_eq!(whole.world.checksum(), cut.world.checksum(), "tick {tick}");
        zones.push(cut.world.stats().zones);
    }
    assert_eq!(whole.world.stats().zones, 1);
    let (least, most) = (zones.iter().min(), zones.iter().max());
    assert!(least.is_some_and(|zones| *zones >= 274 / zone_entities_max), "{zones:?}");
    assert!(zones.windows(2).any(|two| two[1] < two[0]), "none was merged: {zones:?}");
    assert!(least < most, "none was cut: {zones:?}");
    assert!(cut.world.counters().zone_handovers > 1_000);
    assert_eq!(whole.world.counters().zone_handovers, 0);
    assert!(whole.clients.iter().map(|client| client.heard.len()).sum::<usize>() > 100);
}

#[test]
fn a_border_between_zones_changes_nothing_that_anyone_is_told() {
    for (zone_entities_max, seed) in [(8, 1), (16, 2), (40, 3)] {
        assert_alike(&metric(), zone_entities_max, seed);
    }
}

#[test]
fn nor_does_it_on_the_globe() {
    assert_alike(&geodetic(), 12, 4);
}
