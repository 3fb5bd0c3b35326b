//! A run from options to report, on real threads and the real clock.

use starling_client_sim::space::Space;
use starling_client_sim::swarm::{Phase, SwarmError, SwarmOptions, Venue, Work, run_on};
use starling_client_sim::target::Terms;
use starling_client_sim::target::loopback::{Fault, Loopback};
use starling_transport::tls::ServerTrust;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const TERMS: Terms = Terms {
    space: Space::Metric,
    tick_hz: 60.0,
    error_bound_m: 0.04,
    grid_m: 0.001,
    hysteresis: 1.125,
};

/// Longer than any machine takes to show what a test waits for.
const LONG: Duration = Duration::from_secs(600);
/// Progress is told once a second. What the last of so many tells of a swarm that sees somebody
/// came after the first of them.
const LIVELY: usize = 3;

fn options(clients: u32) -> SwarmOptions {
    let server = "127.0.0.1:4433".parse().expect("an address");
    let measured = Some(Duration::from_millis(500));
    SwarmOptions {
        clients,
        measured,
        visible: 5.0,
        ..SwarmOptions::new(server, ServerTrust::Insecure)
    }
}

fn loopback(_: usize, venue: &Venue) -> anyhow::Result<Loopback> {
    assert_eq!(venue.world, "arena");
    Ok(Loopback::new(TERMS, Vec::new()).live())
}

#[test]
fn a_run_goes_through_all_phases_and_reports() {
    let (mut phases, mut lively) = (Vec::new(), 0);
    let stop = AtomicBool::new(false);
    let long = SwarmOptions { measured: Some(LONG), ..options(8) };
    let report = run_on(&long, &stop, loopback, |progress| {
        phases.push(progress.phase);
        lively += usize::from(progress.phase == Phase::Measure && progress.visible > 0.0);
        stop.store(lively >= LIVELY, Ordering::Relaxed);
    });
    let report = report.expect("a loopback server takes everybody");
    assert_eq!((report.clients.asked, report.clients.connected), (8, 8));
    assert!(report.seconds < LONG.as_secs_f64(), "{}", report.seconds);
    assert_eq!(report.positions.wrong_set, 0);
    assert!(report.positions.pairs_checked > 100, "{}", report.positions.pairs_checked);
    assert!(report.positions.staleness_ms.p99.is_some());
    assert!(phases.contains(&Phase::Measure) && phases.is_sorted(), "{phases:?}");
}

#[test]
fn what_is_measured_lasts_as_long_as_was_asked() {
    let stop = AtomicBool::new(false);
    let report = run_on(&options(3), &stop, loopback, |_| {});
    let report = report.expect("a loopback server takes everybody");
    assert!((report.seconds - 0.5).abs() < 1e-9, "{}", report.seconds);
}

#[test]
fn a_stop_ends_the_run_at_once() {
    let stop = AtomicBool::new(false);
    let long = SwarmOptions { measured: Some(LONG), ..options(3) };
    let report = run_on(&long, &stop, loopback, |progress| {
        stop.store(progress.phase != Phase::Connect, Ordering::Relaxed);
    });
    let report = report.expect("a loopback server takes everybody");
    assert!(report.seconds < LONG.as_secs_f64() / 2.0, "{}", report.seconds);
}

#[test]
fn nothing_to_load_is_bad_usage() {
    let stop = AtomicBool::new(false);
    let bad = [
        SwarmOptions { clients: 0, ..options(1) },
        SwarmOptions { work: Work::Scenario("moon".to_owned()), ..options(1) },
        SwarmOptions { work: Work::Traces(vec!["nothing.csv".into()]), ..options(1) },
        SwarmOptions { speed: 0.0, ..options(1) },
    ];
    for options in bad {
        let error = run_on(&options, &stop, loopback, |_| {}).expect_err("it makes no sense");
        assert_eq!(error.exit_code(), 1, "{error}");
    }
}

#[test]
fn a_world_of_another_space_is_no_run() {
    let stop = AtomicBool::new(false);
    let city = SwarmOptions { work: Work::Scenario("city".to_owned()), ..options(2) };
    let make = |_: usize, _: &Venue| Ok(Loopback::new(TERMS, vec![Fault::Delay(0)]));
    let error = run_on(&city, &stop, make, |_| {}).expect_err("metres are not degrees");
    assert!(matches!(error, SwarmError::Space { .. }), "{error}");
    assert_eq!(error.exit_code(), 2);
}
