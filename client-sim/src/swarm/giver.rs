//! When a client gives a cue: a shot that those near it hear.

use super::rhythm::Rhythm;
use crate::motion::entity_rng;
use crate::target::{ClientNo, CueNo, GivenCue};
use rand_pcg::Pcg64Mcg;

/// Metres within which a shot is heard.
const RADIUS_M: u32 = 25;
/// Ticks after which it is of no use.
const LIFE_TICKS: u8 = 3;

/// The cues of one client.
pub(super) struct Giver {
    client: ClientNo,
    rng: Pcg64Mcg,
    rhythm: Rhythm,
    number: u32,
}

impl Giver {
    /// `None` for a client that gives none.
    pub(super) fn new(seed: u64, client: ClientNo, per_s: f64) -> Option<Self> {
        let rng = entity_rng(seed ^ 0x0000_5407, client.0);
        Some(Self { client, rng, rhythm: Rhythm::new(per_s)?, number: 0 })
    }

    pub(super) fn start(&mut self, now_ns: u64) {
        self.rhythm.start(now_ns, &mut self.rng);
    }

    /// The next cue if it is due.
    pub(super) fn next(&mut self, now_ns: u64) -> Option<GivenCue> {
        if !self.rhythm.beats(now_ns, &mut self.rng) {
            return None;
        }
        self.number += 1;
        let cue = CueNo { giver: self.client, number: self.number };
        Some(GivenCue { cue, radius_m: RADIUS_M, life_ticks: LIFE_TICKS })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cues_come_at_the_rate_asked_for_and_are_numbered() {
        let mut giver = Giver::new(1, ClientNo(4), 0.5).expect("it gives some");
        giver.start(0);
        let all: Vec<_> = (0..1_000_000).filter_map(|ms| giver.next(ms * 1_000_000)).collect();
        assert!((430..570).contains(&all.len()), "{}", all.len());
        assert!(all.iter().zip(1..).all(|(given, n)| given.cue.number == n));
        assert!(Giver::new(1, ClientNo(4), 0.0).is_none());
    }
}
