//! The few metrics that the report needs, out of the text.

/// One reading of the server's metrics. Absent metrics are `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scrape {
    /// Processor time of the process since its start.
    pub cpu_seconds: Option<f64>,
    /// Resident memory.
    pub rss_bytes: Option<u64>,
    /// Ticks that took too long, over all worlds.
    pub overruns: Option<u64>,
    /// Durations of ticks in seconds, over all worlds.
    pub ticks: Buckets,
}

/// A histogram: how many values are at or below each bound.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Buckets {
    /// (bound, count of values at or below it), bounds ascending, the last infinite.
    counts: Vec<(f64, f64)>,
    sum: f64,
}

impl Scrape {
    /// Reads Prometheus text. Lines that are not understood are passed over: they are others'.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut all = Self::default();
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            if let Some((name, labels, value)) = sample(line) {
                all.take(name, labels, value);
            }
        }
        all.ticks.counts.sort_by(|a, b| a.0.total_cmp(&b.0));
        all
    }

    /// Is nothing in it that the report needs?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn take(&mut self, name: &str, labels: &str, value: f64) {
        match name {
            "process_cpu_seconds_total" => self.cpu_seconds = Some(value),
            "process_resident_memory_bytes" => self.rss_bytes = Some(value as u64),
            "starling_tick_overruns_total" => {
                *self.overruns.get_or_insert(0) += value as u64;
            }
            "starling_tick_duration_seconds_sum" => self.ticks.sum += value,
            "starling_tick_duration_seconds_bucket" => {
                if let Some(bound) = label(labels, "le").and_then(number) {
                    self.ticks.add(bound, value);
                }
            }
            _ => {}
        }
    }
}

impl Buckets {
    /// One series per world: their counts add up.
    fn add(&mut self, bound: f64, count: f64) {
        match self.counts.iter_mut().find(|(b, _)| *b == bound) {
            Some((_, sum)) => *sum += count,
            None => self.counts.push((bound, count)),
        }
    }

    /// Number of values.
    #[must_use]
    pub fn len(&self) -> f64 {
        self.counts.last().map_or(0.0, |(_, count)| *count)
    }

    /// No value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0.0
    }

    /// The values that came since an earlier reading.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |bound: f64| earlier.counts.iter().find(|(b, _)| *b == bound);
        let fresh = |(bound, count): &(f64, f64)| {
            (*bound, (count - before(*bound).map_or(0.0, |(_, c)| *c)).max(0.0))
        };
        Self {
            counts: self.counts.iter().map(fresh).collect(),
            sum: (self.sum - earlier.sum).max(0.0),
        }
    }

    /// The mean value.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (!self.is_empty()).then(|| self.sum / self.len())
    }

    /// The value below which a share of all values lies, interpolated within its bucket. Values
    /// beyond the last finite bound count as that bound.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<f64> {
        if self.is_empty() {
            return None;
        }
        let rank = share * self.len();
        let at = self.counts.iter().position(|(_, count)| *count >= rank)?;
        let (low, below) = match at.checked_sub(1) {
            Some(previous) => self.counts[previous],
            None => (0.0, 0.0),
        };
        let (high, count) = self.counts[at];
        if !high.is_finite() {
            return Some(low);
        }
        let inside = (count - below).max(1e-9);
        Some(low + (high - low) * ((rank - below) / inside).clamp(0.0, 1.0))
    }
}

/// `name{labels} value [timestamp]`
fn sample(line: &str) -> Option<(&str, &str, f64)> {
    let (series, rest) = match line.rfind('}') {
        Some(end) => (&line[..=end], &line[end + 1..]),
        None => line.split_once(' ')?,
    };
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.trim_end_matches('}')),
        None => (series, ""),
    };
    Some((name, labels, number(rest.split_whitespace().next()?)?))
}

fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    let mut parts = labels.split(',').filter_map(|part| part.split_once('='));
    parts.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().trim_matches('"'))
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        _ => text.parse().ok().filter(|v: &f64| v.is_finite()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
# HELP process_cpu_seconds_total Total user and system CPU time spent in seconds.
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total 12.5
process_resident_memory_bytes 5.24288e+07
starling_tick_overruns_total{world="a"} 2
starling_tick_overruns_total{world="b"} 1
starling_tick_duration_seconds_bucket{world="a",le="0.001"} 90
starling_tick_duration_seconds_bucket{world="a",le="0.002"} 99
starling_tick_duration_seconds_bucket{world="a",le="+Inf"} 100
starling_tick_duration_seconds_sum{world="a"} 0.08
starling_tick_duration_seconds_count{world="a"} 100
starling_other{path="a b,c"} NaN
nonsense
"#;

    #[test]
    fn what_the_report_needs_is_found_and_worlds_are_added_up() {
        let scrape = Scrape::parse(TEXT);
        assert_eq!(scrape.cpu_seconds, Some(12.5));
        assert_eq!(scrape.rss_bytes, Some(52_428_800));
        assert_eq!(scrape.overruns, Some(3));
        assert_eq!(scrape.ticks.len(), 100.0);
        assert_eq!(scrape.ticks.mean(), Some(0.0008));
    }

    #[test]
    fn quantiles_come_from_buckets() {
        let ticks = Scrape::parse(TEXT).ticks;
        assert_eq!(ticks.quantile(0.45), Some(0.0005));
        assert_eq!(ticks.quantile(0.99), Some(0.002));
        assert_eq!(ticks.quantile(1.0), Some(0.002));
        assert_eq!(Buckets::default().quantile(0.5), None);
    }

    #[test]
    fn only_what_came_since_counts() {
        let before = Scrape::parse(TEXT).ticks;
        let after =
            TEXT.replace(" 90", " 92").replace(" 99\n", " 105\n").replace(" 100\n", " 110\n");
        let fresh = Scrape::parse(&after).ticks.since(&before);
        assert_eq!(fresh.len(), 10.0);
        assert_eq!(fresh.quantile(0.2), Some(0.001));
    }
}
