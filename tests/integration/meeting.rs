//! Two meet on real sockets: they see each other, move within the stated bound, and part (P2, P3).

use crate::stage::{GLOBE, Player, Stage, YARD, config, distance, stage};
use starling_client::{
    ClientEvent, ConnectOptions, Interest, Nanos, Pose, RequestError, Shape, Space, SpawnSpec,
    Value,
};
use starling_server::config::{FieldEntry, KindEntry, OrientationName, VisibleName, WorldEntry};
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

#[test]
fn a_gateway_with_three_hundred_entities_is_seen_whole() {
    let mut stage = stage();
    let gateway = stage.knocks(ConnectOptions::new(YARD));
    let place = |number: usize| [(number % 20) as f64, (number / 20) as f64, 0.0];
    let keys: Vec<_> = (0..300)
        .map(|number| {
            let spec = SpawnSpec::at(Pose::at(place(number))).named(format!("bird/{number}"));
            stage[gateway].client.spawn(spec).expect("far fewer than a session may own")
        })
        .collect();
    let viewer = stage.knocks(ConnectOptions::new(YARD).viewer());
    let whole = Shape::Point { center: [10.0, 7.0, 0.0], radius_m: 100.0 };
    stage[viewer].client.set_interest(0, Interest::new(whole)).expect("the first of eight");
    stage.until("all are seen", |stage| stage[viewer].client.view().len() == keys.len());
    // All at once one metre up: more than one datagram of a tick can say.
    for (number, key) in keys.iter().enumerate() {
        let [x, y, _] = place(number);
        stage[gateway].client.set_pose(*key, Pose::at([x, y, 1.0])).expect("a place of this world");
    }
    stage.until("all have risen", |stage| {
        let bound_m = stage[viewer].bound_m();
        let view = stage[viewer].client.view();
        (0..keys.len()).all(|number| {
            let shown = view.find(&format!("bird/{number}")).map(|seen| seen.pose().position);
            let [x, y, _] = place(number);
            shown.is_some_and(|at| distance(at, [x, y, 1.0]) <= bound_m)
        })
    });
    assert_eq!(stage[viewer].client.stats().decode_errors, 0);
}

#[test]
fn a_field_that_changes_is_seen_by_those_it_is_for() {
    let mut config = config();
    config.worlds = vec![fighters()];
    let mut stage = Stage::of(config);
    let pair @ [ann, bob] = stage.pair();
    let me = stage[ann].me();
    let changes = [(0, Value::Number(62.5)), (1, Value::Int(30))];
    stage[ann].client.set_fields(me, &changes).expect("they are declared so");
    stage.until("her health is seen", |stage| {
        let seen = stage[bob].client.view().find("ann");
        seen.and_then(|seen| seen.field_named("health")) == Some(Value::Number(62.5))
    });
    let seen = stage[bob].client.view().find("ann").and_then(|seen| seen.field_named("ammo"));
    assert_eq!(seen, Some(Value::Int(0)), "her ammunition is for her alone to know");
    let wrong = stage[ann].client.set_fields(me, &[(0, Value::Bool(true))]);
    assert_eq!(wrong, Err(RequestError::BadField));
    stage.others_go_on(pair);
}

/// A yard of fighters, who show their health and hide their ammunition.
fn fighters() -> WorldEntry {
    let field = |name: &str, ty: &str, visible| FieldEntry {
        name: name.into(),
        r#type: ty.into(),
        visible,
    };
    let fighter = KindEntry {
        name: "fighter".into(),
        orientation: OrientationName::None,
        block: false,
        fields: vec![
            field("health", "range:0..100/0.5", VisibleName::All),
            field("ammo", "bits:10", VisibleName::Owner),
        ],
    };
    WorldEntry { kinds: vec![fighter], ..WorldEntry::new(YARD, Space::Metric) }
}
