//! Where simulated clients are: a pure function of seed, client and time.

use super::dice::Dice;

/// Side of the square that everyone stays in, in metres.
pub(crate) const SIDE_M: f64 = 120.0;

/// A smooth path with stops: two waves an axis, held still at times.
#[derive(Clone, Debug)]
pub(crate) struct Orbit {
    waves: [(f64, f64, f64); 2],
    rest_every_s: f64,
}

impl Orbit {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let mut wave = || {
            let turns_per_s = 0.005 + 0.03 * dice.unit();
            (turns_per_s * std::f64::consts::TAU, 7.0 * dice.unit(), 20.0 + 35.0 * dice.unit())
        };
        Self { waves: [wave(), wave()], rest_every_s: 2.0 + 4.0 * dice.unit() }
    }

    pub(crate) fn at(&self, seconds: f64) -> [f64; 3] {
        // Time itself stops for the last third of every stretch.
        let stretch = (seconds / self.rest_every_s).floor();
        let within = (seconds - stretch * self.rest_every_s).min(self.rest_every_s * 2.0 / 3.0);
        let t = stretch * self.rest_every_s * 2.0 / 3.0 + within;
        let axis = |(w, phase, size): (f64, f64, f64)| SIDE_M / 2.0 + size * (w * t + phase).sin();
        [axis(self.waves[0]), axis(self.waves[1]), 0.0]
    }
}
