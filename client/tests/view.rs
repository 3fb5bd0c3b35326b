//! What is drawn between and beyond the instants that are known.

mod support;

use starling_client::{ConnectOptions, Facing, ViewOptions};
use starling_protocol::message::control::Welcome;
use starling_protocol::motion::Knot;
use starling_protocol::sample::Orientation;
use starling_protocol::snapshot::{Cue, State};
use starling_protocol::units::{Epoch, Nanos, Tick};
use support::{Bench, Snapshot, entity, fix, fleet, knot, ms, welcome};

/// A session whose view is drawn so many milliseconds behind the server.
fn behind(welcome: Welcome, interpolation_ms: u32) -> Bench {
    let mut options = ConnectOptions::new("plaza");
    options.view =
        ViewOptions { interpolation_ms: Some(interpolation_ms), ..ViewOptions::default() };
    let mut bench = Bench::joining(options, welcome);
    bench.welcome_at(Nanos(0));
    bench.events();
    bench
}

fn enter(bench: &mut Bench, now: Nanos, tick: u32, state: State) {
    let enters = vec![(0, entity(7), "ann", state)];
    assert!(bench.snapshot(now, &Snapshot { enters, ..Snapshot::at(tick) }));
}

fn move_to(bench: &mut Bench, now: Nanos, tick: u32, state: State) {
    assert!(bench.snapshot(now, &Snapshot { states: vec![(0, state)], ..Snapshot::at(tick) }));
}

/// Where the entity is drawn at this moment.
fn drawn(bench: &mut Bench, now: Nanos) -> [f64; 3] {
    bench.session.advance(now);
    bench.session.view().get(entity(7)).expect("it is in sight").pose().position
}

fn x(bench: &mut Bench, now: Nanos) -> f64 {
    drawn(bench, now)[0]
}

#[test]
fn between_two_ticks_something_is_on_the_line_between_its_places() {
    let mut bench = behind(welcome(), 100);
    enter(&mut bench, ms(0), 100, knot(100, 0.0, 0.0));
    move_to(&mut bench, ms(52), 101, knot(101, 1.0, 0.0));
    move_to(&mut bench, ms(102), 102, knot(102, 3.0, 0.0));
    // The server's time is ours plus 5 s, drawn 100 ms behind: tick 100 is drawn at 100 ms.
    let at = |bench: &mut Bench, now| (x(bench, ms(now)) * 1e6).round() / 1e6;
    assert_eq!(at(&mut bench, 100), 0.0);
    assert_eq!(at(&mut bench, 110), 0.2);
    assert_eq!(at(&mut bench, 125), 0.5);
    assert_eq!(at(&mut bench, 150), 1.0);
    assert_eq!(at(&mut bench, 175), 2.0);
    assert_eq!(at(&mut bench, 200), 3.0);
}

#[test]
fn a_track_moves_on_by_itself_until_the_server_owes_a_heartbeat() {
    let mut bench = behind(welcome(), 0);
    enter(&mut bench, ms(0), 100, knot(100, 0.0, 4.0));
    // As near to 4 m/s as units of 1/512 m a tick come.
    let speed = (4.0 * 512.0 / 20.0f64).floor() / 512.0 * 20.0;
    for now in [0, 333, 1_000, 4_990] {
        let error = x(&mut bench, ms(now)) - speed * now as f64 / 1e3;
        assert!(error.abs() < 1e-6, "{error} m at {now} ms");
    }
    let capped = x(&mut bench, ms(5_000));
    assert_eq!(x(&mut bench, ms(5_300)), capped, "100 ticks after the last word it stops");
}

#[test]
fn a_correction_blends_in_within_a_tenth_of_a_second_without_a_jump() {
    let mut bench = behind(welcome(), 0);
    enter(&mut bench, ms(0), 100, knot(100, 0.0, 0.0));
    assert_eq!(x(&mut bench, ms(60)), 0.0);
    // At tick 101 it was elsewhere already: what was drawn was wrong by two metres.
    move_to(&mut bench, ms(60), 101, knot(101, 2.0, 0.0));
    let path: Vec<f64> = (60..=170).map(|now| x(&mut bench, ms(now))).collect();
    assert!(path[0].abs() < 1e-9, "it begins where it was drawn: {}", path[0]);
    assert!(path.windows(2).all(|w| w[1] >= w[0] && w[1] - w[0] < 0.04), "{path:?}");
    assert!((path[50] - 1.0).abs() < 1e-6, "half of it after 50 ms: {}", path[50]);
    assert_eq!(path[100], 2.0);
}

#[test]
fn a_second_correction_starts_from_what_is_drawn() {
    let mut bench = behind(welcome(), 0);
    enter(&mut bench, ms(0), 100, knot(100, 0.0, 0.0));
    x(&mut bench, ms(60));
    move_to(&mut bench, ms(60), 101, knot(101, 2.0, 0.0));
    let before = x(&mut bench, ms(110));
    move_to(&mut bench, ms(110), 102, knot(102, -1.0, 0.0));
    let after = x(&mut bench, ms(111));
    assert!((after - before).abs() < 0.01, "{before} then {after}");
    assert_eq!(x(&mut bench, ms(215)), -1.0);
}

#[test]
fn a_teleport_is_not_drawn_as_a_motion() {
    let mut bench = behind(welcome(), 100);
    enter(&mut bench, ms(0), 100, knot(100, 0.0, 0.0));
    move_to(&mut bench, ms(52), 101, knot(101, 500.0, 0.0));
    assert_eq!(x(&mut bench, ms(149)), 0.0);
    assert_eq!(x(&mut bench, ms(150)), 500.0);

    let mut bench = behind(welcome(), 0);
    enter(&mut bench, ms(0), 100, knot(100, 0.0, 0.0));
    x(&mut bench, ms(60));
    move_to(&mut bench, ms(60), 101, knot(101, 500.0, 0.0));
    assert_eq!(x(&mut bench, ms(61)), 500.0, "nor as a correction");
}

#[test]
fn turns_are_drawn_the_shorter_way_round() {
    let facing = |tick: u32, heading: u8| {
        let orientation = Orientation::Heading(heading);
        State::Knot(Knot { tick: Tick(tick), orientation, ..Knot::default() })
    };
    let mut bench = behind(welcome(), 100);
    enter(&mut bench, ms(0), 100, facing(100, 248));
    move_to(&mut bench, ms(52), 101, facing(101, 8));
    bench.session.advance(ms(125));
    let seen = bench.session.view().get(entity(7)).expect("it is in sight");
    assert_eq!(seen.pose().facing, Facing::Heading(0.0));
}

#[test]
fn a_fleet_is_drawn_between_its_fixes_and_on_beyond_the_last() {
    // One tick a second; tick 5 is our time zero. Drawn 2 s behind: tick 3 at time zero.
    let mut bench = behind(fleet(), 2_000);
    let east = |bench: &mut Bench, now| (drawn(bench, ms(now))[1] * 1e7 / 45.0 * 1e3).round() / 1e3;
    enter(&mut bench, ms(0), 5, fix(4, 100, None));
    move_to(&mut bench, ms(3_000), 8, fix(8, 140, Some((4, 100))));
    assert_eq!(east(&mut bench, 1_000), 100.0);
    assert_eq!(east(&mut bench, 2_000), 110.0);
    assert_eq!(east(&mut bench, 4_500), 135.0);
    assert_eq!(east(&mut bench, 5_000), 140.0);
    assert_eq!(east(&mut bench, 7_000), 160.0, "on along the line through the last two");
    assert_eq!(east(&mut bench, 9_000), 180.0);
    assert_eq!(east(&mut bench, 12_000), 180.0, "for no longer than they were apart");
}

#[test]
fn a_vehicle_crosses_the_antimeridian_without_going_round_the_world() {
    let circle = 80_000_000; // 360 degrees in steps of 45e-7
    let mut bench = behind(fleet(), 2_000);
    enter(&mut bench, ms(0), 5, fix(4, circle / 2 - 10, None));
    let across = fix(8, -circle / 2 + 10, Some((4, circle / 2 - 10)));
    move_to(&mut bench, ms(3_000), 8, across);
    for now in (1_000..5_000).step_by(100) {
        let longitude = drawn(&mut bench, ms(now))[1];
        assert!(longitude.abs() > 179.999, "{longitude} at {now} ms");
    }
}

#[test]
fn time_that_is_drawn_never_runs_back() {
    let mut bench = behind(welcome(), 100);
    enter(&mut bench, ms(0), 100, knot(100, 0.0, 1.0));
    let mut last = f64::MIN;
    for now in (0..3_000).step_by(7) {
        if now % 49 == 0 {
            let tick = 101 + now as u32 / 50;
            let _late = bench.snapshot(ms(now), &Snapshot::at(tick));
        }
        let here = x(&mut bench, ms(now));
        assert!(here >= last, "{here} after {last} at {now} ms");
        last = here;
    }
}

#[test]
fn who_entered_left_and_changed_is_told_until_cleared() {
    let mut bench = Bench::live(welcome());
    enter(&mut bench, ms(2), 100, knot(100, 0.0, 0.0));
    bench.session.advance(ms(3));
    let view = bench.session.view();
    assert_eq!(view.entered(), [entity(7)]);
    assert_eq!(view.find("ann").map(|seen| seen.id()), Some(entity(7)));
    bench.session.view_mut().clear_changes();
    move_to(&mut bench, ms(52), 101, knot(101, 1.0, 0.0));
    bench.session.advance(ms(53));
    let view = bench.session.view();
    assert!(view.entered().is_empty() && view.left().is_empty());
    assert_eq!(view.updated().map(|seen| seen.id()).collect::<Vec<_>>(), [entity(7)]);
    bench.session.view_mut().clear_changes();
    assert!(bench.snapshot(ms(102), &Snapshot { leaves: vec![0], ..Snapshot::at(102) }));
    bench.session.advance(ms(103));
    let view = bench.session.view();
    assert_eq!(view.left(), [entity(7)]);
    assert!(view.is_empty() && view.iter().next().is_none());
}

#[test]
fn whoever_entered_and_left_unseen_was_never_there() {
    let mut bench = Bench::live(welcome());
    enter(&mut bench, ms(2), 100, knot(100, 0.0, 0.0));
    assert!(bench.snapshot(ms(52), &Snapshot { leaves: vec![0], ..Snapshot::at(101) }));
    let view = bench.session.view();
    assert!(view.entered().is_empty() && view.left().is_empty());
}

#[test]
fn an_older_datagram_changes_nothing_and_is_counted() {
    let mut bench = Bench::live(welcome());
    enter(&mut bench, ms(102), 102, knot(102, 2.0, 0.0));
    assert!(!bench.snapshot(ms(103), &Snapshot { leaves: vec![0], ..Snapshot::at(101) }));
    assert_eq!(bench.session.stats().datagrams_stale, 1);
    assert_eq!(bench.session.view().len(), 1);
    assert!(!bench.session.handle_datagram(ms(104), &[0xff; 40]));
    assert_eq!(bench.session.stats().decode_errors, 1);
}

#[test]
fn a_datagram_that_never_came_is_counted() {
    let mut bench = Bench::live(welcome());
    assert!(bench.snapshot(ms(2), &Snapshot::at(100)));
    bench.skip_sequence();
    assert!(bench.snapshot(ms(102), &Snapshot::at(102)));
    assert_eq!(bench.session.stats().datagrams_lost, 1);
}

#[test]
fn a_cue_is_delivered_once_and_never_late() {
    let mut bench = Bench::live(welcome());
    let cue = |id: u8, tick: u32, life: u8| Cue {
        id,
        tick: Tick(tick),
        life,
        kind: 3,
        source: Some(entity(7)),
        position: None,
        payload: b"bang",
    };
    for tick in 100..103 {
        let cues = vec![cue(1, 100, 3)];
        assert!(bench.snapshot(ms(0), &Snapshot { cues, ..Snapshot::at(tick) }));
    }
    let heard: Vec<_> = std::iter::from_fn(|| bench.session.poll_cue()).collect();
    assert_eq!(heard.len(), 1);
    assert_eq!((heard[0].tick, heard[0].payload()), (Tick(100), b"bang".as_slice()));
    assert_eq!(heard[0].source, Some(entity(7)));
}

/// Loses the connection and is welcomed again, in the same epoch or in another.
fn reconnect(bench: &mut Bench, lost: Nanos, epoch: u32) -> Nanos {
    bench.session.handle_closed(lost, starling_protocol::close::CloseCode::LOST);
    let due = bench.session.next_timeout(lost).expect("it tries again");
    bench.session.advance(due);
    bench.wishes();
    bench.session.handle_connected(due);
    bench.welcome.epoch = Epoch(epoch);
    bench.welcome_at(due);
    due
}

#[test]
fn whoever_is_told_again_after_a_reconnect_never_left() {
    let mut bench = behind(welcome(), 0);
    enter(&mut bench, ms(0), 100, knot(100, 0.0, 0.0));
    x(&mut bench, ms(10));
    bench.session.view_mut().clear_changes();
    let now = reconnect(&mut bench, ms(50), 1);
    let tick = 100 + (now.0 / 50 / support::MS) as u32;
    enter(&mut bench, now, tick, knot(tick, 1.0, 0.0));
    let first = x(&mut bench, now);
    assert!(first < 0.01, "it goes on from where it was drawn: {first}");
    let later = Nanos(now.0 + 150 * support::MS);
    assert_eq!(x(&mut bench, later), 1.0);
    let view = bench.session.view();
    assert!(view.entered().is_empty() && view.left().is_empty());
    assert_eq!(view.updated().count(), 1);
}

#[test]
fn whoever_is_not_told_again_within_two_seconds_has_left() {
    let mut bench = Bench::live(welcome());
    enter(&mut bench, ms(2), 100, knot(100, 0.0, 0.0));
    bench.session.view_mut().clear_changes();
    let now = reconnect(&mut bench, ms(50), 1);
    assert!(bench.session.view().left().is_empty());
    bench.session.advance(Nanos(now.0 + 2_000 * support::MS));
    assert_eq!(bench.session.view().left(), [entity(7)]);
}

#[test]
fn in_another_epoch_of_the_world_everything_is_new() {
    let mut bench = Bench::live(welcome());
    enter(&mut bench, ms(2), 100, knot(100, 0.0, 0.0));
    bench.session.view_mut().clear_changes();
    let now = reconnect(&mut bench, ms(50), 2);
    assert_eq!(bench.session.view().left(), [entity(7)]);
    enter(&mut bench, now, 101, knot(101, 0.0, 0.0));
    assert_eq!(bench.session.view().entered(), [entity(7)]);
}
