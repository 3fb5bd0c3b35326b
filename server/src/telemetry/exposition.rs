//! The Prometheus text format, version 0.0.4: just what Starling shows.

use crate::room::gauge::Histogram;
use std::fmt::{Display, Write};

/// Text under construction.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    text: String,
}

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Counter,
    Gauge,
    Histogram,
}

impl Exposition {
    /// Begins a metric; its samples follow.
    pub(super) fn metric(&mut self, name: &str, help: &str, ty: Type) {
        let ty = match ty {
            Type::Counter => "counter",
            Type::Gauge => "gauge",
            Type::Histogram => "histogram",
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {ty}"));
    }

    /// One sample.
    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.line(format_args!("{name}{} {value}", Labels(labels)));
    }

    /// A metric of one sample without labels.
    pub(super) fn single(&mut self, name: &str, help: &str, ty: Type, value: impl Display) {
        self.metric(name, help, ty);
        self.sample(name, &[], value);
    }

    /// The samples of a histogram, in seconds.
    pub(super) fn histogram(&mut self, name: &str, label: (&str, &str), histogram: &Histogram) {
        let bounds = Histogram::BOUNDS_NS.iter().map(|ns| (*ns as f64 / 1e9).to_string());
        let bucket = format!("{name}_bucket");
        let mut below = 0;
        for (bound, count) in bounds.chain(["+Inf".into()]).zip(histogram.counts) {
            below += count;
            self.sample(&bucket, &[label, ("le", &bound)], below);
        }
        self.sample(&format!("{name}_sum"), &[label], histogram.sum_ns as f64 / 1e9);
        self.sample(&format!("{name}_count"), &[label], below);
    }

    /// The whole text.
    pub(super) fn finish(self) -> String {
        self.text
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{line}").expect("writing to a string does not fail");
    }
}

struct Labels<'a>(&'a [(&'a str, &'a str)]);

impl Display for Labels<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (number, (name, value)) in self.0.iter().enumerate() {
            let open = if number == 0 { '{' } else { ',' };
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            write!(f, "{open}{name}=\"{value}\"")?;
        }
        if self.0.is_empty() { Ok(()) } else { f.write_str("}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_written_as_prometheus_reads_it() {
        let mut text = Exposition::default();
        text.metric("a_total", "What\nit is.", Type::Counter);
        text.sample("a_total", &[("w", "x\"y\\"), ("v", "z")], 3);
        text.single("b", "B.", Type::Gauge, 0.5);
        let expected = "# HELP a_total What\\nit is.\n# TYPE a_total counter\n\
            a_total{w=\"x\\\"y\\\\\",v=\"z\"} 3\n# HELP b B.\n# TYPE b gauge\nb 0.5\n";
        assert_eq!(text.finish(), expected);
    }

    #[test]
    fn buckets_of_a_histogram_add_up() {
        let mut histogram = Histogram::default();
        [10_000, 30_000, 2_000_000_000].into_iter().for_each(|ns| histogram.record(ns));
        let mut text = Exposition::default();
        text.histogram("t", ("world", "a"), &histogram);
        let text = text.finish();
        for line in [
            "t_bucket{world=\"a\",le=\"0.00002\"} 1\n",
            "t_bucket{world=\"a\",le=\"0.00005\"} 2\n",
            "t_bucket{world=\"a\",le=\"1\"} 2\n",
            "t_bucket{world=\"a\",le=\"+Inf\"} 3\n",
            "t_sum{world=\"a\"} 2.00004\n",
            "t_count{world=\"a\"} 3\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }
}
