//! When something that happens at random is due: a Poisson process.

use rand::RngExt;
use rand_pcg::Pcg64Mcg;

/// Moments at a mean rate, independent of each other.
#[derive(Debug)]
pub(super) struct Rhythm {
    mean_ns: f64,
    /// 0 until it is started.
    due_ns: u64,
}

impl Rhythm {
    /// `None` where nothing ever happens.
    pub(super) fn new(per_s: f64) -> Option<Self> {
        (per_s > 0.0).then_some(Self { mean_ns: 1e9 / per_s, due_ns: 0 })
    }

    /// From now on, not for all at once.
    pub(super) fn start(&mut self, now_ns: u64, rng: &mut Pcg64Mcg) {
        self.due_ns = now_ns + self.wait_ns(rng);
    }

    /// Has the next moment come?
    pub(super) fn beats(&mut self, now_ns: u64, rng: &mut Pcg64Mcg) -> bool {
        let beats = self.due_ns > 0 && now_ns >= self.due_ns;
        if beats {
            // A late swarm does not make up for what it missed in one go.
            self.due_ns = now_ns + self.wait_ns(rng);
        }
        beats
    }

    fn wait_ns(&self, rng: &mut Pcg64Mcg) -> u64 {
        let share: f64 = rng.random::<f64>().max(1e-12);
        (-share.ln() * self.mean_ns) as u64
    }
}
