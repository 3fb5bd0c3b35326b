//! Rigid bodies in a hosted world: what one viewer that sees them all costs, and how right it is.
//!
//! `cargo bench -p starling-benches --bench scenes` prints a row for each scene. The bodies are
//! rapier's, the same in every run; everything else is Starling's core as it ships.

mod simulation;

use simulation::Simulation;
use starling_benches::bodies::{Count, Stage};
use starling_benches::is_trial;
use std::io::Write;

/// No acknowledgement arrives sooner, in milliseconds, so that no baseline is younger.
const BASELINE_MS: u32 = 100;
/// Seconds in which bodies settle before anyone looks, in which the viewer gets to know them, which
/// are measured, and in which the world is asked for the baselines that it uses.
const SECONDS: [u32; 4] = [3, 2, 30, 2];

struct Scene {
    name: &'static str,
    hz: u16,
    bar: f64,
    make: fn(f32) -> Simulation,
}

const SCENES: [Scene; 3] = [
    Scene { name: "901 cubes", hz: 60, bar: 180.0, make: simulation::field },
    Scene { name: "250 asteroids", hz: 30, bar: 96.0, make: simulation::asteroids },
    // Without a bar: harder than any scene that a published figure is of.
    Scene { name: "250 kicked about", hz: 30, bar: f64::NAN, make: simulation::tumble },
];

fn main() {
    let mut out = std::io::stdout().lock();
    let head = "| scene | Hz | bar, kbit/s | payload | + QUIC and its acks | + UDP and IP | bytes per body and tick \
                | moving | position p99 / max, m | orientation p99 / max, degrees | missing \
                | baselines in use, least / mean, ms | tick, us |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|";
    // A table that cannot be printed is nobody's loss.
    let _ = writeln!(out, "{head}");
    for scene in &SCENES {
        let _ = writeln!(out, "{}", row(scene));
    }
}

fn row(scene: &Scene) -> String {
    let hz = u32::from(scene.hz);
    let [settle, meet, measure, ask] = SECONDS.map(|s| if is_trial() { s.min(1) } else { s } * hz);
    let mut simulation = (scene.make)(1.0 / hz as f32);
    (0..settle).for_each(|_| simulation.step(false));
    let mut stage = Stage::new(&simulation.bodies(), scene.hz, BASELINE_MS);
    for _ in 0..meet {
        simulation.step(true);
        stage.tick(&simulation.bodies(), &mut Count::default());
    }
    let mut count = Count::default();
    for _ in 0..measure {
        simulation.step(true);
        stage.tick(&simulation.bodies(), &mut count);
    }
    let mut baselines = Vec::new();
    for _ in 0..ask {
        simulation.step(true);
        stage.tick(&simulation.bodies(), &mut Count::default());
        baselines.extend(stage.baselines_ms());
    }
    shown(scene, &mut count, &baselines)
}

fn shown(scene: &Scene, count: &mut Count, baselines: &[f64]) -> String {
    let [payload, quic, ip] = count.kbit_per_s(scene.hz);
    let per_body = ip * 1e3 / 8.0 / f64::from(scene.hz) / (count.bodies / count.ticks) as f64;
    let moving = 100.0 * count.moving as f64 / count.bodies as f64;
    let [m99, m_max] = tail(&mut count.error_m);
    let [d99, d_max] = tail(&mut count.error_deg);
    let bar = if scene.bar.is_nan() { "-".to_owned() } else { format!("{:.0}", scene.bar) };
    let least = baselines.iter().copied().fold(f64::INFINITY, f64::min);
    let mean = baselines.iter().sum::<f64>() / baselines.len() as f64;
    let tick_us = count.cpu.as_secs_f64() * 1e6 / count.ticks as f64;
    format!(
        "| {} | {} | {bar} | {payload:.1} | {quic:.1} | **{ip:.1}** | {per_body:.2} | {moving:.0} % \
         | {m99:.4} / {m_max:.4} | {d99:.2} / {d_max:.2} | {} | {least:.0} / {mean:.0} | {tick_us:.0} |",
        scene.name, scene.hz, count.missing
    )
}

/// The 99th percentile and the largest.
fn tail(errors: &mut [f32]) -> [f32; 2] {
    errors.sort_unstable_by(f32::total_cmp);
    let at = |share: f64| (errors.len() as f64 * share) as usize;
    [at(0.99), errors.len().saturating_sub(1)].map(|at| errors.get(at).copied().unwrap_or(0.0))
}
