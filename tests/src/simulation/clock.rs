//! Clocks of processes, each with a beginning and a drift of its own.

use super::dice::Dice;
use starling_protocol::units::Nanos;

const MILLION: u128 = 1_000_000;

/// What one process takes for the time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    offset_ns: u64,
    /// Nanoseconds of its own in a true millisecond.
    rate: u64,
}

impl Clock {
    /// The true time.
    pub(crate) const TRUE: Self = Self { offset_ns: 0, rate: MILLION as u64 };

    /// A clock that runs too fast or too slowly by at most so many parts in a million.
    pub(crate) fn draw(dice: &mut Dice, drift_ppm: u32) -> Self {
        if drift_ppm == 0 {
            return Self::TRUE;
        }
        let rate = 1_000_000 + dice.below(2 * u64::from(drift_ppm) + 1) - u64::from(drift_ppm);
        Self { offset_ns: dice.below(3_600) * Nanos::SECOND, rate }
    }

    /// What it shows at a true time.
    pub(crate) fn local(self, at: Nanos) -> Nanos {
        Nanos(self.offset_ns + (u128::from(at.0) * u128::from(self.rate) / MILLION) as u64)
    }

    /// The first true time at which it shows this.
    pub(crate) fn truth(self, local: Nanos) -> Nanos {
        let since = u128::from(local.0.saturating_sub(self.offset_ns));
        Nanos((since * MILLION).div_ceil(u128::from(self.rate)) as u64)
    }
}

#[test]
fn a_clock_shows_what_it_was_asked_for_no_sooner_and_no_later() {
    let mut dice = Dice::new(1);
    for _ in 0..1_000 {
        let clock = Clock::draw(&mut dice, 50_000);
        let local = clock.local(Nanos(dice.below(20 * Nanos::SECOND)));
        let at = clock.truth(local);
        assert!(clock.local(at) >= local);
        assert!(at.0 == 0 || clock.local(Nanos(at.0 - 1)) < local);
    }
}
