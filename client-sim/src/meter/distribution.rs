//! A distribution of non-negative numbers, with three significant digits.

use hdrhistogram::Histogram;

/// Values of one kind in one unit. Empty distributions have no quantiles.
#[derive(Clone, Debug)]
pub struct Distribution {
    /// In steps.
    counts: Histogram<u64>,
    max: f64,
    sum: f64,
}

/// Steps per unit: a distribution of milliseconds resolves 0.1 us, one of metres 0.1 mm.
const STEPS: f64 = 1e4;

impl Default for Distribution {
    fn default() -> Self {
        let counts = Histogram::new(3).expect("three digits are allowed");
        Self { counts, max: 0.0, sum: 0.0 }
    }
}

impl Distribution {
    /// Adds one value. Negative values count as zero: they come from clock resolution.
    pub fn record(&mut self, value: f64) {
        self.record_many(value, 1);
    }

    /// Adds one value `times` times.
    pub fn record_many(&mut self, value: f64, times: u64) {
        if times == 0 || value.is_nan() {
            return;
        }
        let value = value.max(0.0);
        self.max = self.max.max(value);
        self.sum += value * times as f64;
        // The histogram resizes itself; only memory could refuse.
        let step = (value * STEPS).round().min(1e17) as u64;
        self.counts.record_n(step, times).expect("an automatically resized histogram takes all");
    }

    /// Adds nanoseconds to a distribution of milliseconds.
    pub fn record_ns(&mut self, ns: u64) {
        self.record(ns as f64 / 1e6);
    }

    /// Number of values.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.counts.len()
    }

    /// No value yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The value below which a share of all values lies, to three digits.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let value = self.counts.value_at_quantile(share) as f64 / STEPS;
        (!self.is_empty()).then(|| value.min(self.max))
    }

    /// The largest value, exactly.
    #[must_use]
    pub fn max(&self) -> Option<f64> {
        (!self.is_empty()).then_some(self.max)
    }

    /// The mean, exactly.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (!self.is_empty()).then(|| self.sum / self.len() as f64)
    }

    /// Adds all values of another.
    pub fn merge(&mut self, other: &Self) {
        self.counts.add(&other.counts).expect("an automatically resized histogram takes all");
        self.max = self.max.max(other.max);
        self.sum += other.sum;
    }

    /// Forgets all values and keeps the memory.
    pub fn clear(&mut self) {
        self.counts.reset();
        (self.max, self.sum) = (0.0, 0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_thousandth_and_the_maximum_is_exact() {
        let mut d = Distribution::default();
        for k in 1..=10_000 {
            d.record(f64::from(k) * 0.01);
        }
        let p50 = d.quantile(0.5).expect("there are values");
        assert!((p50 - 50.0).abs() < 0.05, "{p50}");
        assert_eq!(d.max(), Some(100.0));
        assert!((d.mean().expect("there are values") - 50.005).abs() < 1e-9);
    }

    #[test]
    fn an_empty_distribution_says_nothing() {
        let d = Distribution::default();
        assert_eq!((d.quantile(0.5), d.max(), d.mean()), (None, None, None));
    }

    #[test]
    fn merging_adds() {
        let (mut a, mut b) = (Distribution::default(), Distribution::default());
        a.record(1.0);
        b.record_many(3.0, 3);
        a.merge(&b);
        assert_eq!((a.len(), a.max(), a.mean()), (4, Some(3.0), Some(2.5)));
    }
}
