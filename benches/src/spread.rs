//! How durations spread: a tick is not the same every time.

use std::time::Duration;

/// Durations of one kind of work.
#[derive(Clone, Debug)]
pub struct Spread {
    sorted: Vec<Duration>,
}

impl Spread {
    /// The spread of these, at least one.
    ///
    /// # Panics
    /// When there are none.
    #[must_use]
    pub fn new(mut durations: Vec<Duration>) -> Self {
        assert!(!durations.is_empty(), "a spread of nothing");
        durations.sort_unstable();
        Self { sorted: durations }
    }

    /// The mean in microseconds.
    #[must_use]
    pub fn mean_us(&self) -> f64 {
        let total: Duration = self.sorted.iter().sum();
        total.as_secs_f64() * 1e6 / self.sorted.len() as f64
    }

    /// What this share of them does not exceed, in microseconds.
    #[must_use]
    pub fn quantile_us(&self, share: f64) -> f64 {
        let rank = (share * self.sorted.len() as f64).ceil() as usize;
        self.sorted[rank.clamp(1, self.sorted.len()) - 1].as_secs_f64() * 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_what_was_measured() {
        let spread = Spread::new((1..=100).rev().map(Duration::from_micros).collect());
        assert!((spread.mean_us() - 50.5).abs() < 1e-9);
        assert!((spread.quantile_us(0.5) - 50.0).abs() < 1e-9);
        assert!((spread.quantile_us(0.99) - 99.0).abs() < 1e-9);
        assert!((spread.quantile_us(1.0) - 100.0).abs() < 1e-9);
    }
}
