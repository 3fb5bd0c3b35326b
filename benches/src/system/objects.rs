//! Clients that each own an object and see all others.

use super::load::Load;
use super::{Stand, cpu_us, shown, ticks_ms, validity};
use crate::contest::RTT_MS_MAX;
use crate::motion::Dice;
use crate::wire::bytes_per_update;
use anyhow::Result;
use starling_client_sim::report::Report;
use starling_client_sim::swarm::InterestSpec;
use std::fmt::Write as _;
use std::time::Duration;
use tempfile::NamedTempFile;

/// The motion in which everything changes in every tick.
pub const SHAKEN: &str = "shaken";
/// Half the width in which it does, on each axis, in metres: far beyond the stated error.
const SHAKE_M: f64 = 0.15;
/// How fast it goes besides, in metres per second, and the half width of where it begins.
const SPEED_MPS: f64 = 4.0;
const FIELD_M: f64 = 50.0;
/// A trace is longer than the measured time by what comes before and after.
const AROUND: Duration = Duration::from_secs(15);

/// So many objects under each of these motions: those of the swarm's scenarios, and [`SHAKEN`].
///
/// # Errors
/// The server does not start, or lets nobody in.
pub fn objects(count: u32, hz: u32, motions: &[String], time: Duration) -> Result<Vec<String>> {
    let mut lines = vec![
        "| clients x objects | Hz | motion | seen | told anew | B per update | with IP and UDP | B per update \
         told anew, with IP and UDP | share of a core | tick p50 / p99 / max, ms | RTT p99, ms | run |"
            .to_owned(),
        format!("|{}", "---|".repeat(12)),
    ];
    for motion in motions {
        let report = run(count, hz, motion, time)?;
        lines.push(row(count, hz, motion, &report));
    }
    Ok(lines)
}

fn run(count: u32, hz: u32, motion: &str, time: Duration) -> Result<Report> {
    let stand = Stand::open(&[format!("server.tick_hz={hz}")], None)?;
    let everywhere = Some(InterestSpec::Radius(100_000.0));
    let load = Load { interest: everywhere, ..Load::of(motion, count, count, time) };
    if motion != SHAKEN {
        return load.run(&stand);
    }
    let file = trace_of(count, hz, time + AROUND)?;
    Load { trace: Some(file.path().to_owned()), ..load }.run(&stand)
}

fn row(count: u32, hz: u32, motion: &str, report: &Report) -> String {
    let positions = &report.positions;
    let [payload, whole] = bytes_per_update(report);
    let share = positions.changed_per_s / positions.visible_updates_per_s.max(1e-9);
    let cores = cpu_us(report).map(|us| us * f64::from(count * hz) / 1e6);
    format!(
        "| {count} x {count} | {hz} | {motion} | {:.1} | {:.0} % | {payload:.2} | **{whole:.2}** | {:.2} | \
         **{} %** | {} | {} | {} |",
        positions.visible_per_client,
        share * 100.0,
        whole / share.max(1e-9),
        shown(cores.map(|c| c * 100.0), 1),
        ticks_ms(report),
        shown(report.generator.rtt_ms.p99, 1),
        validity(report, RTT_MS_MAX),
    )
}

/// Objects that shake while they go: one row for each object and tick, in a file that is gone when
/// this is dropped.
fn trace_of(count: u32, hz: u32, time: Duration) -> Result<NamedTempFile> {
    let trace = tempfile::Builder::new().prefix(SHAKEN).suffix(".csv").tempfile()?;
    std::fs::write(trace.path(), shaken(count, hz, time))?;
    Ok(trace)
}

fn shaken(count: u32, hz: u32, time: Duration) -> String {
    let mut dice = Dice::new(60);
    let mut text = String::from("player,t_ms,x_m,y_m,z_m\n");
    for player in 0..count {
        let mut at = [0; 2].map(|_: i32| dice.between(-FIELD_M, FIELD_M));
        let mut heading = dice.between(0.0, std::f64::consts::TAU);
        for tick in 0..=time.as_millis() as u32 * hz / 1_000 {
            heading += dice.between(-0.05, 0.05);
            let step = SPEED_MPS / f64::from(hz);
            at = [at[0] + step * heading.sin(), at[1] + step * heading.cos()];
            let [x, y, z] = [at[0], at[1], 1.0].map(|c| c + dice.between(-SHAKE_M, SHAKE_M));
            let t_ms = f64::from(tick) * 1e3 / f64::from(hz);
            // Writing to a string does not fail.
            let _ = writeln!(text, "{player},{t_ms:.3},{x:.4},{y:.4},{z:.4}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_of_what_shakes_has_a_row_for_each_object_and_tick() {
        let text = shaken(3, 60, Duration::from_secs(2));
        assert_eq!(text.lines().count(), 1 + 3 * 121);
        let file = trace_of(3, 60, Duration::from_secs(2)).expect("a file can be written");
        let path = file.path().to_owned();
        let read = starling_client_sim::trace::Trace::open(std::slice::from_ref(&path));
        let read = read.expect("the swarm reads it");
        assert_eq!((read.tracks.len(), read.summary.malformed_rows), (3, 0));
        drop(file);
        assert!(!path.exists());
    }
}
