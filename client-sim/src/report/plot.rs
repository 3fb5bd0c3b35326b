//! Line plots as inline SVG.

use std::fmt::Write;

/// Size of a plot in its own units, and of the margins that hold the labels.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 22.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 30.0;
/// Horizontal lines, about.
const STEPS: f64 = 4.0;
/// Points drawn per line; a longer run is thinned to the largest value of each stretch.
const POINTS_MAX: usize = 600;

/// One value per second, with gaps.
pub(super) struct Series<'a> {
    pub name: &'a str,
    pub values: Vec<Option<f64>>,
}

/// A plot over the seconds of a run: its caption with a legend, and the drawing.
pub(super) fn plot(title: &str, unit: &str, series: &[Series<'_>]) -> String {
    let seconds = series.iter().map(|s| s.values.len()).max().unwrap_or(0);
    let values = series.iter().flat_map(|s| &s.values).flatten();
    let highest = values.copied().fold(0.0, f64::max);
    if seconds == 0 || series.iter().all(|s| s.values.iter().all(Option::is_none)) {
        return format!(
            "<figure><figcaption><b>{title}</b></figcaption><p class=none>not measured</p></figure>\n"
        );
    }
    let step = round_step(highest / STEPS);
    let top = (highest / step).ceil().max(1.0) * step;
    let scale = Scale { seconds: (seconds.max(2) - 1) as f64, top };
    let mut svg = String::new();
    let _ = write!(
        svg,
        "<figure><figcaption><b>{title}</b> <span class=unit>{unit}</span>{}</figcaption>\
         <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=img aria-label=\"{title} in {unit}\">",
        legend(series)
    );
    grid(&mut svg, &scale, step);
    for (index, s) in series.iter().enumerate() {
        let path = path(&thin(&s.values), s.values.len(), &scale);
        let _ = write!(svg, "<path class=\"line s{index}\" d=\"{path}\"/>");
    }
    svg.push_str("</svg></figure>\n");
    svg
}

fn legend(series: &[Series<'_>]) -> String {
    if series.len() < 2 {
        return String::new();
    }
    let key = |(index, s): (usize, &Series<'_>)| {
        format!(" <span class=\"key s{index}\"></span><span class=name>{}</span>", s.name)
    };
    series.iter().enumerate().map(key).collect()
}

/// From seconds and values to the drawing.
struct Scale {
    seconds: f64,
    top: f64,
}

impl Scale {
    fn x(&self, second: f64) -> f64 {
        LEFT + second / self.seconds * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - value / self.top * (HEIGHT - TOP - BOTTOM)
    }
}

fn grid(svg: &mut String, scale: &Scale, step: f64) {
    let (left, right) = (LEFT, WIDTH - RIGHT);
    for k in 0..=(scale.top / step).round() as i32 {
        let value = f64::from(k) * step;
        let y = scale.y(value);
        let _ = write!(
            svg,
            "<line class=grid x1={left} x2={right} y1={y:.1} y2={y:.1} />\
             <text class=y x={} y={:.1}>{}</text>",
            left - 6.0,
            y + 4.0,
            short(value)
        );
    }
    let step = round_step(scale.seconds / 8.0).max(1.0);
    let mut second = 0.0;
    while second <= scale.seconds {
        let (x, y) = (scale.x(second), HEIGHT - 10.0);
        let _ = write!(svg, "<text class=x x={x:.1} y={y}>{second:.0} s</text>");
        second += step;
    }
}

/// A path with a gap wherever nothing was measured.
fn path(points: &[(f64, Option<f64>)], seconds: usize, scale: &Scale) -> String {
    let mut path = String::new();
    let mut pen = 'M';
    for (second, value) in points {
        let Some(value) = value else {
            pen = 'M';
            continue;
        };
        let (x, y) = (scale.x(*second), scale.y(*value));
        let _ = write!(path, "{pen}{x:.1} {y:.1}");
        if seconds == 1 {
            let _ = write!(path, "L{:.1} {y:.1}", WIDTH - RIGHT);
        }
        pen = 'L';
    }
    path
}

/// At most [`POINTS_MAX`] points; a peak must not vanish.
fn thin(values: &[Option<f64>]) -> Vec<(f64, Option<f64>)> {
    let stretch = values.len().div_ceil(POINTS_MAX).max(1);
    let largest = |chunk: &[Option<f64>]| chunk.iter().flatten().copied().reduce(f64::max);
    let chunks = values.chunks(stretch).enumerate();
    chunks.map(|(index, chunk)| ((index * stretch) as f64, largest(chunk))).collect()
}

/// 1, 2 or 5 times a power of ten, not below `about`.
fn round_step(about: f64) -> f64 {
    let power = 10f64.powf(about.max(1e-9).log10().floor());
    let digits = [1.0, 2.0, 5.0, 10.0];
    digits.iter().map(|d| d * power).find(|step| *step >= about * 0.999).unwrap_or(power * 10.0)
}

/// A label of few characters.
fn short(value: f64) -> String {
    let (scaled, suffix) = match value.abs() {
        v if v >= 1e9 => (value / 1e9, "G"),
        v if v >= 1e6 => (value / 1e6, "M"),
        v if v >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    // Two significant digits of what is small, none lost of what is large.
    let digits = (1.0 - scaled.abs().max(1e-9).log10().floor()).clamp(0.0, 9.0) as usize;
    format!("{}{suffix}", super::summary::number(Some(scaled), digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_labels_short() {
        assert_eq!(round_step(0.0), 1e-9);
        assert_eq!(round_step(3.0), 5.0);
        assert_eq!(round_step(0.17), 0.2);
        assert_eq!(round_step(100.0), 100.0);
        assert_eq!(short(2_500_000.0), "2.5M");
        assert_eq!(short(40.0), "40");
        assert_eq!(short(0.0005), "0.0005");
        assert_eq!(short(125.0), "125");
    }

    #[test]
    fn a_gap_breaks_the_line_and_a_peak_survives_thinning() {
        let scale = Scale { seconds: 3.0, top: 10.0 };
        let values = [Some(1.0), None, Some(2.0), Some(3.0)];
        assert_eq!(path(&thin(&values), 4, &scale).matches('M').count(), 2);
        let mut long = vec![Some(1.0); 5000];
        long[1234] = Some(99.0);
        let thinned = thin(&long);
        assert!(thinned.len() <= POINTS_MAX);
        assert!(thinned.iter().any(|(_, v)| *v == Some(99.0)));
    }

    #[test]
    fn nothing_measured_is_said() {
        let nothing = Series { name: "a", values: vec![None; 3] };
        assert!(plot("t", "ms", &[nothing]).contains("not measured"));
    }
}
