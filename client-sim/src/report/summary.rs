//! The report as text for a terminal.

use super::{Median99, Median99Max, Percentiles, Report};
use std::fmt::Write;

/// A few dozen lines that a person reads after a run.
#[must_use]
pub fn summary(report: &Report) -> String {
    let mut out = String::new();
    head(&mut out, report);
    positions(&mut out, report);
    events(&mut out, report);
    cues(&mut out, report);
    resume(&mut out, report);
    swarm(&mut out, report);
    server(&mut out, report);
    trace(&mut out, report);
    verdict(&mut out, report);
    out
}

/// A line of the table. Writing to a string cannot fail.
fn line(out: &mut String, name: &str, text: &str) {
    let _ = writeln!(out, "  {name:<22} {text}");
}

fn head(out: &mut String, report: &Report) {
    let Report { scenario, seed, seconds, clients, .. } = report;
    let link = report.link.as_ref().map(|link| format!(", link {link}")).unwrap_or_default();
    let _ = writeln!(out, "{scenario}, seed {seed}{link}, {seconds:.1} s at {} Hz", report.tick_hz);
    let mut text = format!("{} of {}", clients.connected, clients.asked);
    for (count, what) in [(clients.refused, "refused"), (clients.lost, "lost")] {
        if count > 0 {
            let _ = write!(text, ", {count} {what}");
        }
    }
    if clients.judged < clients.looking {
        let _ = write!(text, "; {} of {} that look are judged", clients.judged, clients.looking);
    }
    line(out, "clients", &text);
    clients.reasons.iter().take(3).for_each(|reason| line(out, "", reason));
}

fn positions(out: &mut String, report: &Report) {
    let p = &report.positions;
    line(out, "visible per client", &format!("{:.1}", p.visible_per_client));
    let rate = format!("{:.0}/s, {:.0}/s changed", p.visible_updates_per_s, p.changed_per_s);
    line(out, "visible updates", &rate);
    let (down, up) = (p.bytes_down_per_s / 1e3, p.bytes_up_per_s / 1e3);
    line(out, "bytes", &format!("{down:.1} kB/s down, {up:.1} kB/s up"));
    let each = format!(
        "{} per visible update, {} per changed one",
        number(p.bytes_per_visible_update, 2),
        number(p.bytes_per_changed_update, 2)
    );
    line(out, "", &each);
    line(out, "staleness", &percentiles(&p.staleness_ms, "ms"));
    line(out, "time to enter", &three(&p.enter_ms, "ms", 1));
    line(out, "time to leave", &three(&p.leave_ms, "ms", 1));
    line(out, "error", &three(&p.error_m, "m", 4));
    if p.over_bound > 0 {
        let text = format!("{} of {} copies beyond the bound", p.over_bound, p.compared);
        line(out, "", &text);
    }
    p.over.iter().take(5).for_each(|over| line(out, "", &over.to_string()));
    line(out, "view error", &two(&p.view_error_m, "m", 3));
    line(out, "view age", &two(&p.view_age_ms, "ms", 1));
    let wrong = format!("{} wrong of {} pairs checked", p.wrong_set, p.pairs_checked);
    line(out, "who sees whom", &wrong);
    if p.went_back > 0 {
        line(out, "", &format!("{} copies went back in time", p.went_back));
    }
    for pair in p.wrong.iter().take(5) {
        let what = format!("{:?}", pair.what).to_lowercase().replace("still", "still ");
        let text = format!(
            "client {}: {} {what} since tick {}",
            pair.client, pair.entity, pair.since_tick
        );
        line(out, "", &text);
    }
}

fn events(out: &mut String, report: &Report) {
    let e = &report.events;
    if e.published == 0 {
        return;
    }
    let text = format!("{} published, {} acked, {} delivered", e.published, e.acked, e.delivered);
    line(out, "events", &text);
    let (lost, doubled, disordered, stray) = (e.lost, e.duplicated, e.out_of_order, e.stray);
    let bad = format!("{lost} lost, {doubled} doubled, {disordered} out of order, {stray} stray");
    line(out, "", &bad);
    line(out, "event latency", &three(&e.latency_ms, "ms", 1));
    e.named.iter().take(5).for_each(|named| line(out, "", named));
}

fn resume(out: &mut String, report: &Report) {
    let r = &report.resume;
    if r.attempts > 0 {
        let text = format!("{} resumed, {} reset, {} denied", r.resumed, r.reset, r.denied);
        line(out, "sessions taken up", &text);
        line(out, "", &three(&r.gap_ms, "ms", 1));
    }
}

fn cues(out: &mut String, report: &Report) {
    let c = &report.cues;
    if c.sent + c.refused + c.delivered == 0 {
        return;
    }
    let text = format!("{} sent, {} delivered, {} owed for certain", c.sent, c.delivered, c.owed);
    line(out, "cues", &text);
    let (lost, doubled, late, stray) = (c.lost, c.duplicated, c.late, c.stray);
    line(out, "", &format!("{lost} lost, {doubled} doubled, {late} late, {stray} stray"));
    c.named.iter().take(5).for_each(|named| line(out, "", named));
}

fn swarm(out: &mut String, report: &Report) {
    let g = &report.generator;
    line(out, "swarm late", &two(&g.late_sends_ms, "ms", 2));
    line(out, "round trip", &two(&g.rtt_ms, "ms", 2));
    let cores = g.cpu_cores.map_or_else(|| "-".to_owned(), |cores| format!("{cores:.2} cores"));
    line(out, "swarm processor", &cores);
    for (name, count) in [
        ("frames unjudged", g.frames_unjudged),
        ("events unjudged", g.events_unjudged),
        ("cues unjudged", g.cues_unjudged),
    ] {
        if count > 0 {
            line(out, name, &count.to_string());
        }
    }
}

fn server(out: &mut String, report: &Report) {
    let Some(s) = &report.server else { return };
    if s.scrapes_failed > 0 || s.ticks.is_none() {
        let (failed, all) = (s.scrapes_failed, s.scrapes);
        let unknown = if s.ticks.is_none() { ": nothing is known of the server" } else { "" };
        line(out, "WARNING", &format!("{failed} of {all} readings of its metrics failed{unknown}"));
    }
    if s.ticks.is_none() {
        return;
    }
    let cpu = number(s.cpu_us_per_client_tick, 2);
    line(out, "server processor", &format!("{cpu} us per client and tick"));
    let rss = s.rss_bytes.map_or_else(|| "-".to_owned(), |b| format!("{:.1} MB", b as f64 / 1e6));
    line(out, "server memory", &rss);
    line(out, "server tick", &three(&s.tick_ms, "ms", 3));
    if let Some(overruns) = s.overruns {
        line(out, "tick overruns", &overruns.to_string());
    }
}

fn trace(out: &mut String, report: &Report) {
    let Some(t) = &report.trace else { return };
    let text =
        format!("{} rows, {} entities, {:.0} s at {}x", t.rows, t.entities, t.seconds, t.speed);
    line(out, "trace", &text);
    let defects = [
        (t.malformed_rows, "malformed"),
        (t.future, "future"),
        (t.back_in_time, "back in time"),
        (t.same_time, "with unchanged time"),
        (t.duplicate, "duplicate"),
        (t.single_row, "with one row only"),
        (t.over_1_km, "jumps over 1 km"),
    ];
    let counted = defects.iter().filter(|(count, _)| *count > 0);
    let text: Vec<String> = counted.map(|(count, what)| format!("{count} {what}")).collect();
    if !text.is_empty() {
        line(out, "", &text.join(", "));
    }
    for bad in t.malformed.iter().take(5) {
        line(out, "", &format!("{} line {}: {}", bad.file, bad.line, bad.why));
    }
}

fn verdict(out: &mut String, report: &Report) {
    out.push('\n');
    for slo in &report.slo {
        let mark = if slo.ok { "ok  " } else { "FAIL" };
        let limit = slo.limit.to_string();
        let _ = writeln!(out, "  {mark} {:<38} {:>12} {limit}", slo.name, number(slo.value, 4));
    }
    let _ = writeln!(out, "\nverdict: {}", report.verdict.label());
}

/// A number without trailing zeros, or a dash.
pub(super) fn number(value: Option<f64>, digits: usize) -> String {
    let Some(value) = value else { return "-".to_owned() };
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

fn two(m: &Median99, unit: &str, digits: usize) -> String {
    match m.p50 {
        Some(_) => {
            format!("p50 {} {unit}, p99 {} {unit}", number(m.p50, digits), number(m.p99, digits))
        }
        None => "-".to_owned(),
    }
}

fn three(m: &Median99Max, unit: &str, digits: usize) -> String {
    match m.max {
        Some(_) => {
            let both = two(&Median99 { p50: m.p50, p99: m.p99 }, unit, digits);
            format!("{both}, max {} {unit}", number(m.max, digits))
        }
        None => "-".to_owned(),
    }
}

fn percentiles(p: &Percentiles, unit: &str) -> String {
    three(&Median99Max { p50: p.p50, p99: p.p99, max: p.max }, unit, 1)
}
