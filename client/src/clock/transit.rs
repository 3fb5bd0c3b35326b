//! How late ticks arrive, and so how far behind the present a smooth view is drawn.

/// Ticks that are remembered.
const WINDOW: usize = 64;
/// The estimate is renewed every so many ticks.
const RENEW_EVERY: u32 = 8;
/// One in so many ticks may come later than the estimate.
const LATE_ONE_IN: usize = 20;

/// Time from a tick's deadline to its arrival here, over the last ticks.
#[derive(Debug)]
pub(super) struct Transit {
    late_us: [u32; WINDOW],
    count: u32,
    /// Running mean of the difference between neighbours (RFC 3550 section 6.4.1), in ns.
    jitter_ns: f64,
    high_us: u32,
}

impl Transit {
    pub(super) const fn new() -> Self {
        Self { late_us: [0; WINDOW], count: 0, jitter_ns: 0.0, high_us: 0 }
    }

    pub(super) fn record(&mut self, late_ns: u64) {
        let late_us = u32::try_from(late_ns / 1_000).unwrap_or(u32::MAX);
        if self.count > 0 {
            let last = self.late_us[(self.count as usize - 1) % WINDOW];
            let change_ns = f64::from(late_us.abs_diff(last)) * 1e3;
            self.jitter_ns += (change_ns - self.jitter_ns) / 16.0;
        }
        self.late_us[self.count as usize % WINDOW] = late_us;
        self.count = self.count.wrapping_add(1).max(1);
        if self.count <= RENEW_EVERY || self.count.is_multiple_of(RENEW_EVERY) {
            self.high_us = self.high();
        }
    }

    /// All but one in twenty of the last ticks arrived within so many nanoseconds.
    pub(super) const fn high_ns(&self) -> u64 {
        self.high_us as u64 * 1_000
    }

    pub(super) const fn jitter_ns(&self) -> f64 {
        self.jitter_ns
    }

    fn high(&self) -> u32 {
        let known = (self.count as usize).min(WINDOW);
        let mut sorted = self.late_us;
        let late = known / LATE_ONE_IN;
        let place = known.saturating_sub(1 + late);
        *sorted[..known].select_nth_unstable(place).1
    }
}
