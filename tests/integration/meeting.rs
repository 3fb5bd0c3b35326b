//! Two meet on real sockets: they see each other, move within the stated bound, and part.

use crate::stage::{GLOBE, Player, Stage, config, stage};
use starling_client::{ClientEvent, ConnectOptions, Interest, Nanos, Shape};
use starling_server::config::WorldEntry;
use std::f64::consts::TAU;
use std::time::{Duration, Instant};

#[test]
fn two_who_are_near_see_each_other_and_nobody_sees_himself() {
    let mut stage = stage();
    let [ann, bob] = stage.pair();
    for (who, own, other) in [(ann, "ann", "bob"), (bob, "bob", "ann")] {
        assert!(stage[who].sees(other) && !stage[who].sees(own));
        assert_eq!(stage[who].client.view().len(), 1);
    }
}

/// Metres from the centre, and seconds for one round.
const RADIUS_M: f64 = 20.0;
const ROUND_S: f64 = 10.0;

/// Where somebody is who walks in a circle.
fn circle(at: Nanos) -> [f64; 3] {
    let (sin, cos) = (at.as_secs_f64() / ROUND_S * TAU).sin_cos();
    [RADIUS_M * cos, RADIUS_M * sin, 0.0]
}

#[test]
fn every_place_that_one_is_told_of_is_on_the_way_that_the_other_went() {
    let mut stage = stage();
    let ann = stage.enters("ann", circle(Nanos(0)));
    let bob = stage.enters("bob", [0.0; 3]);
    stage.until("she is in sight", |stage| stage[bob].sees("ann"));
    stage[ann].walks(circle);
    let heard = |stage: &Stage| stage[bob].client.stats().ticks_heard;
    let before = heard(&stage);
    stage.until_with(
        "thirty ticks are heard",
        |stage| is_on_the_circle(&stage[bob]),
        |stage| heard(stage) >= before + 30,
    );
    assert_eq!(stage[bob].client.stats().decode_errors, 0);
}

fn is_on_the_circle(player: &Player) {
    let seen = player.client.view().find("ann").expect("she stays in sight");
    let rate = player.client.welcome().expect("it was welcomed").tick_rate;
    let tick = player.client.view().table().and_then(|table| table.newest_tick());
    let at = Nanos(rate.deadline_ns(tick.expect("one was heard")));
    let [x, y, _] = player.client.view().pose_at(seen.id(), at).expect("it is known").position;
    let off_m = (x.hypot(y) - RADIUS_M).abs();
    assert!(off_m <= player.bound_m(), "{off_m} m off the way at {tick:?}");
}

#[test]
fn who_comes_near_enters_and_who_goes_far_leaves_a_little_later() {
    let mut stage = stage();
    let [ann, bob] = [stage.enters("ann", [200.0, 0.0, 0.0]), stage.enters("bob", [0.0; 3])];
    let cat = stage.enters("cat", [0.0, 10.0, 0.0]);
    stage.until("they see who is near", |s| s[bob].sees("cat") && s[cat].sees("bob"));
    assert!(!stage[bob].sees("ann"), "two hundred metres are too far");
    stage[ann].goes_to([49.0, 0.0, 0.0]);
    stage.until("she has come", |stage| stage[bob].sees("ann") && stage[ann].sees("bob"));
    // Within the hysteresis nobody leaves; that she is drawn there says that it was seen.
    stage[ann].goes_to([55.0, 0.0, 0.0]);
    stage.until("she is a little further", |stage| stage[bob].has_in_place(&stage[ann]));
    stage[ann].goes_to([60.0, 0.0, 0.0]);
    stage.until("she has left", |stage| !stage[bob].sees("ann") && !stage[ann].sees("bob"));
    assert!(stage[bob].sees("cat"));
}

#[test]
fn who_says_goodbye_is_gone_at_once() {
    let mut config = config();
    let entry = WorldEntry::parse("yard=metric,presence-s=600").expect("well formed");
    config.worlds = vec![entry];
    let mut stage = Stage::of(config);
    let [ann, bob] = stage.pair();
    let clock = stage.clock;
    stage[ann].client.goodbye(clock.now());
    stage.until("she is gone", |stage| !stage[bob].sees("ann"));
    stage.until("she was let go", |stage| {
        stage[ann].has_heard(|event| matches!(event, ClientEvent::Goodbye))
    });
    assert_eq!(stage.metric("starling_world_sessions{world=\"yard\",state=\"parked\"}"), 0.0);
}

#[test]
fn who_falls_silent_is_gone_when_its_time_of_presence_is_over() {
    let mut config = config();
    let entry = WorldEntry::parse("yard=metric,presence-s=2").expect("well formed");
    config.worlds = vec![entry];
    let mut stage = Stage::of(config);
    let [ann, bob] = stage.pair();
    let silent_since = Instant::now();
    stage[ann].frozen = true;
    stage.until("she is gone", |stage| !stage[bob].sees("ann"));
    assert!(silent_since.elapsed() > Duration::from_millis(500), "she was waited for");
}

#[test]
fn vehicles_meet_across_the_antimeridian() {
    let mut stage = stage();
    let west = stage.knocks(ConnectOptions::new(GLOBE));
    let east = stage.knocks(ConnectOptions::new(GLOBE));
    stage.appears(west, "west", [10.0, 179.9999, 0.0]);
    stage.appears(east, "east", [10.0, -179.9999, 0.0]);
    stage.until("they see each other", |s| s[west].sees("east") && s[east].sees("west"));
    let looks_on = stage.knocks(ConnectOptions::new(GLOBE).viewer());
    let window = Shape::Viewport { center: [10.0, 180.0, 0.0], side_m: 2_000.0 };
    stage[looks_on].client.set_interest(0, Interest::new(window)).expect("the first of eight");
    stage.until("both are in the window", |s| s[looks_on].sees("east") && s[looks_on].sees("west"));
    stage[east].goes_to([10.001, 179.9998, 0.0]);
    // Half a metre is 45e-7 of a degree of latitude; it is 46e-7 of longitude there.
    stage.until("it is seen on the other side", |stage| {
        let shown = stage[looks_on].place_of("east");
        shown.is_some_and(|[lat, lon, _]| {
            (lat - 10.001).abs() < 50e-7 && (lon - 179.9998).abs() < 50e-7
        })
    });
}
