//! What the server's own metrics say is judged where they were read, and is no verdict where not.

mod rig;

use rig::{Run, failing};
use starling_client_sim::metrics::{Scrape, ServerUse};
use starling_client_sim::report::{Report, html, summary};
use starling_client_sim::target::loopback::Fault;
use starling_client_sim::verdict::Verdict;

fn reading(fast: u32, all: u32, overruns: u32, cpu_seconds: f64) -> Scrape {
    Scrape::parse(&format!(
        "process_cpu_seconds_total {cpu_seconds}\n\
         starling_tick_overruns_total {overruns}\n\
         starling_tick_duration_seconds_bucket{{le=\"0.001\"}} {fast}\n\
         starling_tick_duration_seconds_bucket{{le=\"0.1\"}} {all}\n\
         starling_tick_duration_seconds_bucket{{le=\"+Inf\"}} {all}\n"
    ))
}

/// A server that ran 160 ticks, so many of which took less than 1 ms and the others 100 ms.
fn used(fast: u32, overruns: u32, cpu_seconds: f64) -> ServerUse {
    let mut used = ServerUse::default();
    used.take(0, reading(0, 0, 0, 0.0));
    used.take(0, reading(fast, 160, overruns, cpu_seconds));
    used
}

fn run(server: ServerUse) -> Report {
    Run { server: Some(server), ..Run::default() }.go()
}

#[test]
fn a_server_whose_ticks_are_short_passes() {
    let report = run(used(160, 2, 1.0));
    assert_eq!(failing(&report), Vec::<&str>::new());
    let judged: Vec<_> = report.slo.iter().map(|slo| slo.name.as_str()).collect();
    assert!(judged.contains(&"server.tick_ms.p99") && judged.contains(&"server.overruns"));
    // Thirty clients are too few to say what one costs.
    assert!(!judged.contains(&"server.cpu_us_per_client_tick"));
}

#[test]
fn without_metrics_nothing_is_said_of_the_server() {
    let report = Run::with(Fault::DoubleEvent(60));
    assert!(report.server.is_none() && report.slo.iter().all(|slo| !slo.name.contains("server")));
}

#[test]
fn ticks_longer_than_their_period_fail_by_name() {
    assert_eq!(failing(&run(used(150, 0, 1.0))), ["server.tick_ms.p99"]);
    assert_eq!(failing(&run(used(160, 3, 1.0))), ["server.overruns"]);
}

#[test]
fn a_server_that_costs_too_much_fails_by_name() {
    let run = |cpu_seconds| {
        let server = Some(used(160, 0, cpu_seconds));
        Run { scenario: "walk", clients: 100, visible: 50.0, server, ..Run::default() }.go()
    };
    // 100 clients, 160 ticks: 0.48 s are 30 us each.
    assert_eq!(failing(&run(0.48)), Vec::<&str>::new());
    assert_eq!(failing(&run(0.64)), ["server.cpu_us_per_client_tick"]);
}

#[test]
fn metrics_that_cannot_be_read_make_a_run_invalid_and_its_figures_null() {
    let mut blind = used(160, 0, 1.0);
    blind.miss();
    let report = run(blind);
    assert_eq!(report.verdict, Verdict::Invalid);
    assert_eq!(failing(&report), ["server.scrapes_failed"]);
    let server = report.server.as_ref().expect("its metrics were asked for");
    assert_eq!(
        (server.ticks, server.cpu_us_per_client_tick, server.tick_ms.p99),
        (None, None, None)
    );
    let words = "WARNING                1 of 3 readings of its metrics failed: nothing is known";
    assert!(summary(&report).contains(words), "{}", summary(&report));
    assert!(html(&report).contains("1 of 3 readings of the metrics failed"));
}

#[test]
fn metrics_that_were_read_once_make_a_run_invalid_and_say_nothing_of_the_server() {
    let mut once = ServerUse::default();
    once.take(0, reading(160, 160, 0, 1.0));
    let report = run(once);
    assert_eq!((report.verdict, failing(&report)), (Verdict::Invalid, vec!["server.scrapes"]));
    let server = report.server.as_ref().expect("its metrics were asked for");
    assert_eq!((server.scrapes, server.scrapes_failed, server.ticks), (1, 0, None));
    let words = "0 of 1 readings of its metrics failed: nothing is known of the server";
    assert!(summary(&report).contains(words), "{}", summary(&report));
    assert_eq!(failing(&run(ServerUse::default())), ["server.scrapes"]);
}

#[test]
fn one_reading_in_ten_may_fail() {
    let mut used = ServerUse::default();
    (0..18).for_each(|n| used.take(0, reading(n, n, 0, 0.0)));
    used.miss();
    used.miss();
    let report = run(used.clone());
    assert_eq!((report.verdict, failing(&report)), (Verdict::Pass, Vec::new()));
    used.miss();
    assert_eq!(failing(&run(used)), ["server.scrapes_failed"]);
}
