//! `starling swarm` and `starling demo`: load, a report and a verdict that scripts can rely on.

use crate::shell::{Ended, Scratch, Serving, serve, starling};
use serde_json::Value;
use std::net::UdpSocket;

/// Every field that a report has, as scripts may rely on it.
const FIELDS: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "schema",
            "scenario",
            "seed",
            "link",
            "starling",
            "env",
            "tick_hz",
            "seconds",
            "clients",
            "generator",
            "positions",
            "events",
            "cues",
            "resume",
            "server",
            "trace",
            "timeline",
            "slo",
            "verdict",
        ],
    ),
    ("/env", &["commit", "cpu", "cores", "kernel", "config_hash"]),
    ("/clients", &["asked", "connected", "refused", "lost"]),
    ("/generator", &["cpu_cores", "late_sends_ms", "socket_drops", "rtt_ms"]),
    ("/generator/late_sends_ms", &["p50", "p99"]),
    ("/generator/rtt_ms", &["p50", "p99"]),
    (
        "/positions",
        &[
            "sent_per_s",
            "visible_per_client",
            "visible_updates_per_s",
            "changed_per_s",
            "records_per_s",
            "bytes_down_per_s",
            "bytes_up_per_s",
            "bytes_per_visible_update",
            "bytes_per_changed_update",
            "staleness_ms",
            "error_m",
            "view_error_m",
            "view_age_ms",
            "enter_ms",
            "leave_ms",
            "pairs_checked",
            "wrong_set",
        ],
    ),
    ("/positions/staleness_ms", &["p50", "p90", "p99", "max"]),
    ("/positions/error_m", &["p50", "p99", "max"]),
    ("/positions/view_error_m", &["p50", "p99"]),
    ("/positions/view_age_ms", &["p50", "p99"]),
    ("/positions/enter_ms", &["p50", "p99", "max"]),
    ("/positions/leave_ms", &["p50", "p99", "max"]),
    (
        "/events",
        &["published", "acked", "delivered", "lost", "duplicated", "out_of_order", "latency_ms"],
    ),
    ("/cues", &["sent", "delivered", "lost", "duplicated", "late", "stray"]),
    ("/events/latency_ms", &["p50", "p99", "max"]),
    ("/resume", &["attempts", "resumed", "reset", "denied", "gap_ms"]),
    ("/resume/gap_ms", &["p50", "p99", "max"]),
    ("/slo/0", &["name", "limit", "value", "ok"]),
];

const SERVER_FIELDS: &[&str] = &[
    "cpu_us_per_client_tick",
    "cpu_ns_per_visible_update",
    "rss_bytes",
    "rss_bytes_per_client",
    "tick_ms",
    "overruns",
    "scrapes",
    "scrapes_failed",
];

fn has_fields(report: &Value, at: &str, fields: &[&str]) {
    let part = report.pointer(at).unwrap_or_else(|| panic!("no `{at}` in {report:#}"));
    for field in fields {
        assert!(part.get(field).is_some(), "no `{field}` in `{at}`: {part:#}");
    }
}

fn number(report: &Value, at: &str) -> f64 {
    let value = report.pointer(at).and_then(Value::as_f64);
    value.unwrap_or_else(|| panic!("`{at}` is no number in {report:#}"))
}

/// The names of what does not hold.
fn broken(report: &Value) -> Vec<&str> {
    let slo = report["slo"].as_array().expect("a list");
    let broken = slo.iter().filter(|slo| slo["ok"] == false);
    broken.filter_map(|slo| slo["name"].as_str()).collect()
}

/// The exit code is that of the verdict.
fn exits_with_its_verdict(ended: &Ended, report: &Value) {
    let code = match report["verdict"].as_str() {
        Some("pass") => 0,
        Some("fail") => 3,
        Some("invalid") => 4,
        other => panic!("{other:?} is no verdict"),
    };
    assert_eq!(ended.code, Some(code), "{ended:?}");
}

/// On a machine that is busy with something else times may be missed, and nothing but times.
fn holds_but_for_time(report: &Value) {
    let of_time = |name: &&str| name.contains("_ms.") || *name == "server.overruns";
    let other: Vec<_> = broken(report).into_iter().filter(|name| !of_time(name)).collect();
    assert!(other.is_empty(), "{other:?} in {report:#}");
}

/// Flies a swarm against a server, and reads the report that it leaves.
fn fly(serving: &Serving, scratch: &Scratch, how: &[&str]) -> (Ended, Value) {
    let json = scratch.path("report.json");
    let flight = ["swarm", "--server", &serving.address, "--insecure", "--report", &json];
    let ended = starling(&[&flight[..], how].concat());
    let report = serde_json::from_str(&scratch.read("report.json")).expect("it is JSON");
    (ended, report)
}

#[test]
fn a_flight_ends_in_a_report_with_every_field_and_an_exit_code() {
    let scratch = Scratch::new();
    let serving = serve(&[]);
    let (json, html) = (scratch.path("report.json"), scratch.path("report.html"));
    let ended = starling(&[
        "swarm",
        "--server",
        &serving.address,
        "--fingerprint",
        &serving.fingerprint,
        "--metrics",
        &serving.metrics,
        "--scenario",
        "walk",
        "--clients",
        "5",
        "--for",
        "3s",
        "--seed",
        "7",
        "--events-per-s",
        "1",
        "--report",
        &json,
        "--html",
        &html,
    ]);
    let report: Value = serde_json::from_str(&scratch.read("report.json")).expect("it is JSON");
    assert_eq!(report["schema"], 1);
    FIELDS.iter().for_each(|(at, fields)| has_fields(&report, at, fields));
    has_fields(&report, "/server", SERVER_FIELDS);
    assert_eq!((&report["scenario"], &report["seed"]), (&"walk".into(), &7.into()));
    assert_eq!(
        (number(&report, "/clients/asked"), number(&report, "/clients/connected")),
        (5.0, 5.0)
    );
    assert_eq!(number(&report, "/positions/wrong_set"), 0.0);
    assert!(number(&report, "/positions/pairs_checked") > 0.0);
    for wrong in ["lost", "duplicated", "out_of_order"] {
        assert_eq!(number(&report, &format!("/events/{wrong}")), 0.0, "{wrong}");
    }
    assert!(number(&report, "/events/delivered") > 0.0, "{report:#}");
    assert_eq!(report["timeline"].as_array().map(Vec::len), Some(3), "a row a second");
    holds_but_for_time(&report);
    exits_with_its_verdict(&ended, &report);
    let verdict = report["verdict"].as_str().expect("it is one of three words");
    assert!(ended.out.contains(&format!("verdict: {verdict}")), "{ended:?}");
    let page = scratch.read("report.html");
    assert!(page.contains("<svg") && page.contains(verdict), "the page has plots and the verdict");
}

#[test]
fn a_flight_that_misses_its_limits_fails() {
    let scratch = Scratch::new();
    let hopeless = "name = \"hopeless\"\nspace = \"metric\"\nmotion = \"walk\"\nradius_m = 50\n\
        [slo]\nstaleness_p99_over_tick_ms = -49.9\n";
    let scenario = scratch.file("hopeless.toml", hopeless);
    let how = ["--scenario", &scenario, "--clients", "3", "--for", "2s"];
    let (ended, report) = fly(&serve(&[]), &scratch, &how);
    assert!(broken(&report).contains(&"positions.staleness_ms.p99"), "{report:#}");
    assert!(matches!(ended.code, Some(3 | 4)), "{ended:?}");
    exits_with_its_verdict(&ended, &report);
    assert!(report["server"].is_null(), "without --metrics nothing is known of the server");
}

#[test]
fn a_flight_whose_metrics_cannot_be_read_is_invalid_and_says_so() {
    let arena = ["--scenario", "arena", "--clients", "4", "--for", "2s", "--cues-per-s", "2"];
    // Nobody serves metrics on port 1.
    let how = [&arena[..], &["--metrics", "http://127.0.0.1:1"]].concat();
    let (ended, report) = fly(&serve(&[]), &Scratch::new(), &how);
    assert!(broken(&report).contains(&"server.scrapes_failed"), "{report:#}");
    assert!(number(&report, "/server/scrapes_failed") >= 2.0);
    assert!(
        report["server"]["tick_ms"]["p99"].is_null() && report["server"]["rss_bytes"].is_null()
    );
    assert_eq!(ended.code, Some(4), "{ended:?}");
    assert!(ended.out.contains("readings of its metrics failed"), "{ended:?}");
    assert!(number(&report, "/cues/sent") >= 1.0, "{report:#}");
    for wrong in ["lost", "duplicated", "late", "stray"] {
        assert_eq!(number(&report, &format!("/cues/{wrong}")), 0.0, "{wrong}");
    }
}

#[test]
fn a_trace_is_flown_and_its_bad_rows_are_named_by_line() {
    let scratch = Scratch::new();
    let mut rows = String::from("player,t_ms,x_m,y_m\n");
    for step in 0..40 {
        for player in 0..3 {
            let (at, x) = (step * 50, f64::from(step) * 0.2);
            rows.push_str(&format!("p{player},{at},{x},{}\n", player * 5));
        }
    }
    rows.push_str("p1,soon,1.0,2.0\n");
    let trace = scratch.file("match.csv", &rows);
    let how = ["--trace", &trace, "--events-per-s", "0"];
    let (ended, report) = fly(&serve(&[]), &scratch, &how);
    has_fields(&report, "/trace", &["rows", "malformed", "future", "duplicate"]);
    assert_eq!(report.pointer("/trace/malformed/0/line"), Some(&122.into()), "{report:#}");
    assert_eq!(number(&report, "/positions/wrong_set"), 0.0);
    holds_but_for_time(&report);
    exits_with_its_verdict(&ended, &report);
}

#[test]
fn where_nobody_answers_a_flight_could_not_connect() {
    // A port that is ours, on which nobody ever speaks.
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("it is bound").to_string();
    let flight = ["swarm", "--insecure", "--clients", "2", "--for", "1s", "--server", &address];
    starling(&flight).complains(2, &["cannot be reached"]);
    let check = starling(&["check", "--insecure", "--reach", &address]);
    assert_eq!(check.code, Some(2), "{check:?}");
    assert!(check.out.contains(&address), "{check:?}");
}

#[test]
fn a_flight_that_makes_no_sense_is_bad_usage() {
    let server = ["swarm", "--insecure", "--clients", "1", "--for", "1s"];
    let refused = |more: &[&str], words: &[&str]| {
        starling(&[&server, more].concat()).complains(1, words);
    };
    refused(&["--scenario", "moon"], &["moon", "walk"]);
    refused(&["--trace", "no-such-file.csv"], &["no-such-file.csv"]);
    refused(&["--link", "loss=200%"], &["--link"]);
    refused(&["--interest", "radius=wide"], &["wide"]);
    refused(&["--server", "nowhere"], &["nowhere"]);
}

#[test]
fn a_demo_shows_both_worlds_and_ends_in_a_report() {
    let ended = starling(&["demo", "--for", "2s", "--players", "5", "--vehicles", "8"]);
    for words in ["world arena", "world city", "who sees whom", "curl http://", "verdict: "] {
        assert!(ended.out.contains(words), "`{words}` is not said: {ended:?}");
    }
    assert_eq!(ended.out.matches("0 wrong of ").count(), 2, "{ended:?}");
    assert!(matches!(ended.code, Some(0 | 3 | 4)), "{ended:?}");
    for broken in ended.out.lines().filter_map(|line| line.trim().strip_prefix("FAIL ")) {
        assert!(broken.contains("_ms."), "only times may be missed: {broken}");
    }
}
