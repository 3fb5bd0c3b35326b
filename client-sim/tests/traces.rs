//! Recorded movement is replayed as it was, and what is wrong with it is counted and named.

use starling_client_sim::motion::{Facing, Motion, Pose};
use starling_client_sim::space::Space;
use starling_client_sim::trace::{Trace, TrackPlayer};
use std::path::PathBuf;
use std::sync::Arc;

fn sample(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn open(name: &str) -> Trace {
    Trace::open(&[sample(name)]).expect("the committed samples can be read")
}

fn player(trace: &Trace, name: &str, speed: f64) -> TrackPlayer {
    let track = trace.tracks.iter().find(|t| t.name() == name).expect("this entity is recorded");
    TrackPlayer::new(Arc::clone(track), speed)
}

fn at(player: &mut TrackPlayer, t_s: f64) -> Pose {
    player.pose(t_s).expect("the entity exists at this time")
}

#[test]
fn malformed_rows_are_counted_named_by_line_and_skipped() {
    let sum = open("buses.csv").summary;
    let named: Vec<_> = sum.malformed.iter().map(|m| (m.line, m.why.as_str())).collect();
    assert_eq!(
        named,
        [
            (6, "t_unix_ms is empty"),
            (11, "latitude 91.5 is outside -90..90"),
            (14, "4 cells where the header has 6"),
            (16, "t_unix_ms `17083537x5000` is not a number"),
            (17, "the id is empty"),
        ]
    );
    assert_eq!((sum.rows, sum.malformed_rows), (16, 5));
}

#[test]
fn odd_rows_are_counted_apart() {
    let sum = open("buses.csv").summary;
    assert_eq!(sum.future, 1);
    assert_eq!(sum.duplicate, 1);
    assert_eq!(sum.same_time, 1);
    assert_eq!(sum.back_in_time, 1);
    assert_eq!(sum.single_row, 2);
    assert_eq!(sum.unchanged_position, 1);
    assert_eq!(sum.gaps_over_60_s, 1);
    assert_eq!(sum.over_1_km, 1);
    let future = sum.noted.iter().find(|n| n.what == "future").expect("it is named");
    assert_eq!((future.entity.as_str(), future.line), ("buses/10", 10));
}

#[test]
fn a_bus_from_the_future_is_not_replayed() {
    let names: Vec<_> = open("buses.csv").tracks.iter().map(|t| t.name().to_owned()).collect();
    assert_eq!(names, ["buses/7", "buses/8", "buses/9"]);
}

#[test]
fn sparse_fixes_are_held_until_the_next_falls_due() {
    // The first percentile of this short file is its oldest row, an hour before the rest.
    let trace = open("buses.csv");
    let mut bus = player(&trace, "buses/7", 60.0);
    assert!(bus.pose(3699.0 / 60.0).is_none());
    let first = at(&mut bus, 3700.0 / 60.0);
    assert_eq!(first.position, [52.2, 21.0, 0.0]);
    assert_eq!(at(&mut bus, 3711.0 / 60.0), first);
    // Of two rows with one time the last in the file counts.
    assert_eq!(at(&mut bus, 3712.1 / 60.0).position, [52.2011, 21.0011, 0.0]);
    assert_eq!(at(&mut bus, 3725.0 / 60.0).position, [52.203, 21.003, 0.0]);
}

#[test]
fn an_entity_leaves_after_its_last_row() {
    let trace = open("match.csv.gz");
    let mut car = player(&trace, "match/p0", 1.0);
    assert!(car.pose(2.0).is_some());
    assert!(!car.is_over(2.0));
    assert!(car.pose(2.2).is_none());
    assert!(car.is_over(2.2));
}

#[test]
fn dense_rows_are_interpolated_to_the_moment_asked_for() {
    let trace = open("match.csv.gz");
    assert_eq!(trace.space, Space::Metric);
    let pose = at(&mut player(&trace, "match/p0", 1.0), 0.55);
    assert!((pose.position[0] - 5.5).abs() < 1e-9, "{pose:?}");
    assert_eq!(pose.velocity, Some([10.0, 0.0, 0.0]));
    assert!((pose.at_s - 0.55).abs() < 1e-9);
    let Facing::Quaternion(q) = pose.facing else { panic!("cars have a rotation") };
    assert!((q[3] - 1.0).abs() < 1e-9);
}

#[test]
fn what_is_held_at_the_end_of_a_dense_run_stands() {
    let trace = open("match.csv.gz");
    let mut car = player(&trace, "match/p0", 1.0);
    assert_eq!(at(&mut car, 1.95).velocity, Some([10.0, 0.0, 0.0]));
    assert_eq!(at(&mut car, 2.05).velocity, Some([0.0, 0.0, 0.0]));
}

#[test]
fn a_jump_is_not_interpolated() {
    let trace = open("match.csv.gz");
    let mut car = player(&trace, "match/p1", 1.0);
    assert!((at(&mut car, 0.95).position[0] - 9.0).abs() < 1e-9);
    assert!((at(&mut car, 1.0).position[0] - 60.0).abs() < 1e-9);
    assert_eq!(trace.summary.over_350_mps, 1);
    let whys: Vec<_> = trace.summary.malformed.iter().map(|m| m.why.as_str()).collect();
    assert_eq!(whys, ["y_m `nan` is not finite", "the quaternion's length is 0.200, not 1"]);
}

#[test]
fn speed_scales_time_and_velocity() {
    let trace = open("match.csv.gz");
    let pose = at(&mut player(&trace, "match/p0", 4.0), 0.25);
    assert!((pose.position[0] - 10.0).abs() < 1e-9);
    assert_eq!(pose.velocity, Some([40.0, 0.0, 0.0]));
    assert!((pose.at_s - 0.25).abs() < 1e-9);
}

#[test]
fn the_tracks_of_a_gpx_file_start_together() {
    let trace = open("hike.gpx");
    assert_eq!(trace.space, Space::Geodetic);
    let mut first = player(&trace, "hike/1", 1.0);
    let mut second = player(&trace, "hike/2", 1.0);
    assert_eq!(at(&mut first, 0.0).position, [46.0, 14.0, 500.5]);
    assert_eq!(at(&mut second, 0.0).position, [46.1, 14.1, 0.0]);
    assert_eq!(at(&mut first, 10.6).position, [46.0001, 14.0, 0.0]);
    // Only a speed that is a child of the point itself is the point's.
    assert_eq!(at(&mut first, 10.7).velocity, None);
    assert_eq!(at(&mut first, 60.0).position, [46.0003, 14.0, 0.0]);
}

#[test]
fn points_without_time_or_outside_the_earth_are_named_and_others_counted() {
    let sum = open("hike.gpx").summary;
    let named: Vec<_> = sum.malformed.iter().map(|m| (m.line, m.why.as_str())).collect();
    assert_eq!(named, [(12, "time is missing"), (21, "latitude -95 is outside -90..90")]);
    assert_eq!((sum.rows, sum.other_points), (6, 1));
}

#[test]
fn gpx_1_0_has_speed_and_course_and_damage_ends_a_file_without_losing_the_rest() {
    let trace = open("drive.gpx");
    let pose = at(&mut player(&trace, "drive/1", 1.0), 0.0);
    assert_eq!(pose.facing, Facing::Heading(90.0));
    assert!((pose.velocity.expect("a speed is given")[0] - 12.5).abs() < 1e-9);
    assert_eq!(trace.summary.malformed.len(), 1);
    assert!(trace.summary.malformed[0].why.starts_with("XML: "));
}

#[test]
fn files_of_two_spaces_do_not_go_together() {
    let error = Trace::open(&[sample("buses.csv"), sample("match.csv.gz")]).err();
    let text = format!("{:#}", error.expect("a world has one space"));
    assert!(text.contains("a world has one space"), "{text}");
}

#[test]
fn what_is_no_trace_is_refused_with_a_reason() {
    let error = Trace::open(&[sample("../traces.rs")]).err().expect("not a trace");
    assert!(format!("{error:#}").contains(".csv or .gpx"), "{error:#}");
    assert!(Trace::open(&[sample("nothing.csv")]).is_err());
}
