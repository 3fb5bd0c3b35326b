//! The report keeps its contract, and the page needs nothing from elsewhere.

mod rig;

use rig::{Run, failing};
use starling_client_sim::metrics::ServerUse;
use starling_client_sim::report::{html, summary};
use starling_client_sim::target::loopback::Fault;

/// The keys of the outermost object of indented JSON, in order.
fn keys(json: &str) -> Vec<&str> {
    let outer = json.lines().filter(|line| line.starts_with("  \"") && line.contains("\": "));
    outer.filter_map(|line| line.trim().split('"').nth(1)).collect()
}

#[test]
fn the_json_has_the_documented_fields_in_the_documented_order() {
    let report = Run { seconds: 3, ..Run::default() }.go();
    let json = report.json();
    assert_eq!(
        keys(&json),
        [
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
            "verdict"
        ]
    );
    let value: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
    assert_eq!(value["schema"], 1);
    assert_eq!(value["server"], serde_json::Value::Null);
    assert_eq!(value["verdict"], "pass");
    assert_eq!(value["timeline"].as_array().map(Vec::len), Some(3));
    for field in ["staleness_ms", "error_m", "view_error_m", "view_age_ms", "enter_ms", "leave_ms"]
    {
        assert!(value["positions"][field]["p99"].is_number(), "{field}");
    }
    assert!(value["slo"][0]["limit"].as_str().is_some_and(|limit| limit.starts_with(">= ")));
}

/// What each block of schema 1 has. More may come; what goes, or changes its meaning, is schema 2.
const FIELDS: [(&str, &str); 7] = [
    ("clients", "asked connected judged looking refused lost reasons"),
    (
        "generator",
        "cpu_cores late_sends_ms socket_drops rtt_ms frames_unjudged events_unjudged cues_unjudged",
    ),
    (
        "positions",
        "sent_per_s visible_per_client visible_updates_per_s changed_per_s records_per_s \
         bytes_down_per_s bytes_up_per_s packets_down_per_s packets_up_per_s bytes_per_visible_update bytes_per_changed_update \
         staleness_ms error_m compared over_bound over view_error_m view_age_ms enter_ms leave_ms \
         pairs_checked wrong_set wrong went_back",
    ),
    (
        "events",
        "published acked delivered lost duplicated out_of_order stray latency_ms refused named",
    ),
    ("cues", "sent delivered owed lost duplicated late stray refused named"),
    ("resume", "attempts resumed reset denied gap_ms"),
    (
        "server",
        "cpu_us_per_client_tick cpu_ns_per_visible_update rss_bytes rss_bytes_per_client tick_ms \
         overruns ticks scrapes scrapes_failed",
    ),
];

#[test]
fn no_field_of_the_schema_is_missing() {
    let server = Some(ServerUse::default());
    let report = Run { seconds: 1, server, ..Run::default() }.go();
    let value: serde_json::Value = serde_json::from_str(&report.json()).expect("it is JSON");
    for (block, fields) in FIELDS {
        for field in fields.split_whitespace() {
            assert!(value[block].get(field).is_some(), "{block}.{field}");
        }
    }
}

#[test]
fn the_page_is_self_contained_and_says_the_verdict() {
    let report = Run::with(Fault::DoubleEvent(60));
    let page = html(&report);
    if let Some(path) = std::env::var_os("STARLING_REPORT_HTML") {
        std::fs::write(path, &page).expect("the page can be written");
    }
    assert!(page.contains("class=\"verdict fail\">fail<"));
    assert!(page.contains("events.duplicated"));
    for elsewhere in ["http://", "https://", "<script", "@import", "url("] {
        assert!(!page.contains(elsewhere), "{elsewhere}");
    }
    assert!(page.matches("<svg").count() >= 3);
}

#[test]
fn a_run_in_which_not_every_client_is_judged_says_so() {
    let mut report = Run { seconds: 1, ..Run::default() }.go();
    assert_eq!((report.clients.judged, report.clients.looking), (30, 30));
    assert!(!summary(&report).contains("that look are judged"), "{}", summary(&report));
    report.clients.judged = 8;
    assert!(summary(&report).contains("30 of 30; 8 of 30 that look are judged"));
    assert!(html(&report).contains("8 of 30 clients that look are judged"));
}

#[test]
fn sessions_that_were_taken_up_are_told_also_in_a_run_without_events() {
    let (faults, link) = (vec![Fault::Interrupt(1140)], Some("lte".to_owned()));
    let report = Run { faults, link, events_per_s: 0.0, ..Run::default() }.go();
    assert!(summary(&report).contains("30 resumed, 0 reset, 0 denied"), "{}", summary(&report));
}

#[test]
fn the_summary_names_what_fails() {
    let report = Run::with(Fault::DoubleEvent(60));
    let text = summary(&report);
    assert_eq!(failing(&report), ["events.duplicated"]);
    assert!(text.contains("FAIL events.duplicated"), "{text}");
    assert!(text.ends_with("verdict: fail\n"), "{text}");
}
