//! The report as one HTML page that needs nothing else.

use super::plot::{Series, plot};
use super::summary::number;
use super::{Median99, Median99Max, Report, Row};
use crate::verdict::SloResult;
use std::fmt::Write;

const STYLE: &str = include_str!("html.css");

/// A self-contained page: no script, no font, no picture from elsewhere.
#[must_use]
pub fn html(report: &Report) -> String {
    let title = format!("{} · {}", escape(&report.scenario), report.verdict.label());
    let mut page = format!(
        "<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n\
         <meta name=viewport content=\"width=device-width,initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n"
    );
    head(&mut page, report);
    tiles(&mut page, report);
    plots(&mut page, &report.timeline);
    judged(&mut page, &report.slo);
    distributions(&mut page, report);
    named(&mut page, report);
    trace(&mut page, report);
    foot(&mut page, report);
    page
}

// Writing to a string cannot fail; results are dropped throughout.

fn head(page: &mut String, report: &Report) {
    let verdict = report.verdict.label();
    let link = match &report.link {
        Some(link) => format!(" over <code>{}</code>", escape(link)),
        None => String::new(),
    };
    let _ = writeln!(
        page,
        "<header><h1>{}</h1><span class=\"verdict {verdict}\">{verdict}</span></header>\n\
         <p class=quiet>{} of {} clients, {} s at {} ticks a second{link}, seed {}</p>",
        escape(&report.scenario),
        report.clients.connected,
        report.clients.asked,
        number(Some(report.seconds), 1),
        number(Some(report.tick_hz), 1),
        report.seed
    );
    let clients = &report.clients;
    if clients.judged < clients.looking {
        let (judged, looking) = (clients.judged, clients.looking);
        let _ =
            writeln!(page, "<p class=quiet>{judged} of {looking} clients that look are judged</p>");
    }
    if let Some(server) =
        report.server.as_ref().filter(|s| s.scrapes_failed > 0 || s.ticks.is_none())
    {
        let (failed, all) = (server.scrapes_failed, server.scrapes);
        let _ =
            writeln!(page, "<p class=invalid>{failed} of {all} readings of the metrics failed</p>");
    }
    let failed: Vec<&str> = report.slo.iter().filter(|s| !s.ok).map(|s| s.name.as_str()).collect();
    if !failed.is_empty() {
        let _ = writeln!(page, "<p class={verdict}>does not hold: {}</p>", failed.join(", "));
    }
}

fn tiles(page: &mut String, report: &Report) {
    let p = &report.positions;
    page.push_str("<h2>At a glance</h2>\n<div class=tiles>\n");
    tile(page, number(Some(p.visible_per_client), 1), "", "visible per client");
    tile(page, number(p.bytes_per_visible_update, 2), "B", "per visible update");
    tile(page, number(p.staleness_ms.p99, 1), "ms", "staleness, p99");
    tile(page, number(p.error_m.p99, 3), "m", "error, p99");
    tile(page, number(p.enter_ms.p99, 1), "ms", "time to enter, p99");
    tile(
        page,
        p.wrong_set.to_string(),
        "",
        &format!("wrong of {} pairs", grouped(p.pairs_checked)),
    );
    tile(page, grouped(report.events.delivered), "", "events delivered");
    if report.cues.sent > 0 {
        tile(page, grouped(report.cues.delivered), "", "cues delivered");
    }
    if let Some(server) = &report.server {
        let cpu = number(server.cpu_us_per_client_tick, 1);
        tile(page, cpu, "us", "server per client and tick");
    }
    page.push_str("</div>\n");
}

fn tile(page: &mut String, value: String, unit: &str, name: &str) {
    let _ = writeln!(
        page,
        "<div class=tile><b>{value} <small>{unit}</small></b><span>{name}</span></div>"
    );
}

fn plots(page: &mut String, rows: &[Row]) {
    let series = |name, pick: fn(&Row) -> Option<f64>| Series {
        name,
        values: rows.iter().map(pick).collect(),
    };
    page.push_str("<h2>Second by second</h2>\n<div class=plots>\n");
    page.push_str(&plot(
        "Staleness",
        "ms",
        &[series("p50", |r| r.staleness_p50_ms), series("p99", |r| r.staleness_p99_ms)],
    ));
    page.push_str(&plot("Time to enter, p99", "ms", &[series("p99", |r| r.enter_p99_ms)]));
    page.push_str(&plot(
        "UDP payload",
        "bytes/s",
        &[series("down", |r| Some(r.bytes_down as f64)), series("up", |r| Some(r.bytes_up as f64))],
    ));
    page.push_str(&plot("Visible per client", "entities", &[series("", |r| r.visible_per_client)]));
    page.push_str(&plot(
        "Server tick",
        "ms",
        &[series("mean", |r| r.tick_mean_ms), series("p99", |r| r.tick_p99_ms)],
    ));
    page.push_str(&plot("Round trip, p50", "ms", &[series("p50", |r| r.rtt_p50_ms)]));
    page.push_str("</div>\n");
}

fn judged(page: &mut String, slo: &[SloResult]) {
    page.push_str(
        "<h2>What was judged</h2>\n<div class=table><table>\n\
         <tr><th>condition<th class=n>limit<th class=n>value<th></tr>\n",
    );
    for s in slo {
        let (class, mark) = if s.ok { ("pass", "holds") } else { ("fail", "does not hold") };
        let limit = escape(&s.limit.to_string());
        let value = number(s.value, 4);
        let _ = writeln!(
            page,
            "<tr><td><code>{}</code><td class=n>{limit}<td class=n>{value}<td class={class}>{mark}</tr>",
            escape(&s.name)
        );
    }
    page.push_str("</table></div>\n");
}

fn distributions(page: &mut String, report: &Report) {
    let (p, e, g) = (&report.positions, &report.events, &report.generator);
    page.push_str(
        "<h2>Distributions</h2>\n<div class=table><table>\n\
         <tr><th>what<th class=n>p50<th class=n>p99<th class=n>max<th>unit</tr>\n",
    );
    let s = &p.staleness_ms;
    row(page, "staleness", Median99Max { p50: s.p50, p99: s.p99, max: s.max }, "ms");
    row(page, "time to enter", p.enter_ms, "ms");
    row(page, "time to leave", p.leave_ms, "ms");
    row(page, "error", p.error_m, "m");
    row(page, "view error", open_ended(p.view_error_m), "m");
    row(page, "view age", open_ended(p.view_age_ms), "ms");
    row(page, "event latency", e.latency_ms, "ms");
    row(page, "session gap", report.resume.gap_ms, "ms");
    row(page, "round trip", open_ended(g.rtt_ms), "ms");
    row(page, "swarm late", open_ended(g.late_sends_ms), "ms");
    if let Some(server) = &report.server {
        row(page, "server tick", server.tick_ms, "ms");
    }
    page.push_str("</table></div>\n");
}

fn open_ended(m: Median99) -> Median99Max {
    Median99Max { p50: m.p50, p99: m.p99, max: None }
}

fn row(page: &mut String, name: &str, m: Median99Max, unit: &str) {
    let cell = |value| number(value, 4);
    let _ = writeln!(
        page,
        "<tr><td>{name}<td class=n>{}<td class=n>{}<td class=n>{}<td class=quiet>{unit}</tr>",
        cell(m.p50),
        cell(m.p99),
        cell(m.max)
    );
}

/// Whatever went wrong and can be named.
fn named(page: &mut String, report: &Report) {
    let pairs = report.positions.wrong.iter().map(|w| {
        let what = format!("{:?}", w.what).to_lowercase().replace("still", "still ");
        let (from, to) = (w.since_tick, w.found_tick);
        format!("client {}: {} {what}, ticks {from} to {to}", w.client, w.entity)
    });
    let over = report.positions.over.iter().map(ToString::to_string);
    let reasons = report.clients.reasons.iter().cloned();
    let cues = report.cues.named.iter().cloned();
    let events = report.events.named.iter().cloned();
    let all: Vec<String> = pairs.chain(over).chain(events).chain(cues).chain(reasons).collect();
    if all.is_empty() {
        return;
    }
    page.push_str("<h2>By name</h2>\n<div class=table><table>\n");
    for text in all {
        let _ = writeln!(page, "<tr><td>{}</tr>", escape(&text));
    }
    page.push_str("</table></div>\n");
}

fn trace(page: &mut String, report: &Report) {
    let Some(t) = &report.trace else { return };
    page.push_str("<h2>Trace</h2>\n<div class=table><table>\n");
    let _ = writeln!(page, "<tr><td>files<td class=n>{}</tr>", escape(&t.files.join(", ")));
    for (name, count) in [
        ("rows", t.rows),
        ("entities", t.entities),
        ("malformed, skipped", t.malformed_rows),
        ("from the future, skipped", t.future),
        ("before the start", t.early),
        ("duplicate, skipped", t.duplicate),
        ("new position, unchanged time", t.same_time),
        ("back in time", t.back_in_time),
        ("unchanged position", t.unchanged_position),
        ("over 40 m/s", t.over_40_mps),
        ("jumps over 1 km", t.over_1_km),
        ("gaps over a minute", t.gaps_over_60_s),
        ("entities with one row", t.single_row),
    ] {
        let _ = writeln!(page, "<tr><td>{name}<td class=n>{}</tr>", grouped(count));
    }
    for bad in &t.malformed {
        let (file, why) = (escape(&bad.file), escape(&bad.why));
        let _ = writeln!(page, "<tr><td>{file} line {}<td class=n>{why}</tr>", bad.line);
    }
    page.push_str("</table></div>\n");
}

fn foot(page: &mut String, report: &Report) {
    let env = &report.env;
    let known = |value: &Option<String>| escape(value.as_deref().unwrap_or("unknown"));
    let _ = writeln!(
        page,
        "<h2>Where</h2>\n<p class=quiet>Starling {} ({}), {} with {} cores, kernel {}, options {}</p>",
        escape(&report.starling),
        known(&env.commit),
        known(&env.cpu),
        env.cores,
        known(&env.kernel),
        env.config_hash
    );
}

/// Thousands apart.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
    }

    #[test]
    fn text_from_files_cannot_become_markup() {
        assert_eq!(escape("<a href=\"x\">&"), "&lt;a href=&quot;x&quot;&gt;&amp;");
    }
}
