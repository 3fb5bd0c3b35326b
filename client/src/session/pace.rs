//! When an uplink is due, and for which tick.
//!
//! An uplink goes out on receipt of each new tick, so that acknowledgements ride along. When
//! nothing arrives, it goes out about as long after each tick's deadline as it did when something
//! arrived. Its samples are labelled with the tick that is current on the server at that moment.
//!
//! A fix that comes up in between, as those of vehicles do, goes on an errand of its own, so that
//! it does not wait for a tick here and for another one there. There is one errand between two
//! rounds, from a quarter of a tick after the first on, or from halfway on where many entities
//! share it. A tick still gets one sample of each.

use crate::clock::ServerClock;
use starling_protocol::units::{Nanos, Tick};

/// Entities from which on an errand waits for others to join.
const ENTITIES_MANY: usize = 8;

/// The rhythm of uplinks.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    label: Option<Tick>,
    last_round: Option<Nanos>,
    /// A tick was heard since the last round.
    heard: bool,
    newest: Tick,
    /// An errand was run since the last round.
    errand_run: bool,
    /// How long after its label's deadline a round takes place.
    phase_ns: f64,
}

impl Pace {
    /// A datagram of this tick arrived, the first of it.
    pub(crate) fn heard(&mut self, tick: Tick) {
        self.heard = true;
        self.newest = self.newest.max(tick);
    }

    /// The label of the newest round that had one.
    pub(crate) const fn label(&self) -> Option<Tick> {
        self.label
    }

    pub(crate) fn is_due(&self, now: Nanos, clock: &ServerClock) -> bool {
        let Some(last) = self.last_round else { return true };
        let answer = self.heard && now.since(last) >= clock.rate().period_ns() / 4;
        answer || now >= self.unasked(now, clock)
    }

    /// When the next round takes place though nothing was heard.
    pub(crate) fn unasked(&self, now: Nanos, clock: &ServerClock) -> Nanos {
        let (Some(last), Some(label)) = (self.last_round, self.label) else { return now };
        let period = clock.rate().period_ns();
        let slack = (self.phase_ns as u64 + period / 4).min(period * 15 / 16);
        let due = clock.local_time_of(now, label + 1) + slack;
        due.clamp(last + period / 2, last + period * 3 / 2)
    }

    /// When an errand may be run for whoever has so many entities.
    pub(crate) fn errand_at(&self, entities: usize, clock: &ServerClock) -> Option<Nanos> {
        let last = self.last_round.filter(|_| !self.errand_run)?;
        let share = if entities < ENTITIES_MANY { 4 } else { 2 };
        Some(last + clock.rate().period_ns() / share)
    }

    pub(crate) const fn run_errand(&mut self) {
        self.errand_run = true;
    }

    /// Begins a round. The tick to sample for, or `None` when that of the last round still stands.
    pub(crate) fn open(&mut self, now: Nanos, clock: &ServerClock) -> Option<Tick> {
        let answer = std::mem::take(&mut self.heard);
        self.last_round = Some(now);
        self.errand_run = false;
        let label = self.next_label(now, clock, answer)?;
        self.label = Some(label);
        if answer {
            let phase = clock.server_time(now).since(Nanos(clock.rate().deadline_ns(label)));
            let period = clock.rate().period_ns();
            self.phase_ns += (phase.min(period) as f64 - self.phase_ns) / 8.0;
        }
        Some(label)
    }

    fn next_label(&self, now: Nanos, clock: &ServerClock, answer: bool) -> Option<Tick> {
        let current = clock.tick_at(now).max(self.newest);
        let Some(last) = self.label.filter(|last| *last >= current) else { return Some(current) };
        // The clocks differ by a little: a tick that was answered half a tick early is no second
        // answer to the one before.
        let ahead = Nanos(clock.rate().deadline_ns(last + 1)).since(clock.server_time(now));
        (answer && ahead <= clock.rate().period_ns() / 2).then(|| last + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use starling_protocol::units::TickRate;

    const MS: u64 = Nanos::MILLISECOND;

    fn clock() -> ServerClock {
        ServerClock::new(Nanos(0), TickRate::new(20).expect("in range"), 0)
    }

    /// Rounds that take place when ticks are heard at these instants; labels and their instants.
    fn rounds(heard_ms: &[(u64, u32)], until_ms: u64) -> Vec<(u64, Option<Tick>)> {
        let (clock, mut pace, mut rounds) = (clock(), Pace::default(), Vec::new());
        for ms in 0..until_ms {
            let now = Nanos::from_millis(ms);
            for (_, tick) in heard_ms.iter().filter(|(at, _)| *at == ms) {
                pace.heard(Tick(*tick));
            }
            if pace.is_due(now, &clock) {
                rounds.push((ms, pace.open(now, &clock)));
            }
        }
        rounds
    }

    #[test]
    fn every_tick_heard_is_answered_once_and_labelled_with_itself() {
        let heard: Vec<_> = (1..40).map(|n| (u64::from(n) * 50 + 2, n)).collect();
        let rounds = rounds(&heard, 2_000);
        for (at, label) in &rounds[1..] {
            assert_eq!(*label, Some(Tick((at / 50) as u32)));
            assert_eq!(at % 50, 2);
        }
        assert_eq!(rounds.len(), 40);
    }

    #[test]
    fn silence_is_filled_at_the_rate_of_the_ticks() {
        let heard: Vec<_> = (1..10).map(|n| (u64::from(n) * 50 + 2, n)).collect();
        let rounds = rounds(&heard, 5_000);
        let labels: Vec<_> = rounds.iter().map(|r| r.1.map(|t| t.0)).collect();
        let expected: Vec<_> = (0..labels.len() as u32).map(Some).collect();
        assert_eq!(labels, expected, "no tick is left out and none comes twice");
        assert!((98..=101).contains(&labels.len()));
    }

    #[test]
    fn ticks_that_arrive_in_a_burst_are_answered_together() {
        let heard = [(52, 1), (203, 2), (203, 3), (203, 4), (252, 5)];
        let labels: Vec<_> = rounds(&heard, 260).iter().filter_map(|r| r.1).collect();
        assert_eq!(labels.last(), Some(&Tick(5)));
        assert!(labels.windows(2).all(|w| w[0] < w[1]), "{labels:?}");
    }

    #[test]
    fn a_tick_that_comes_early_by_our_clock_still_gets_its_own_label() {
        // The clock believes ticks to be due 3 ms later than they are heard.
        let heard: Vec<_> = (1..40).map(|n| (u64::from(n) * 50 - 3, n)).collect();
        let labels: Vec<_> = rounds(&heard, 1_900).iter().filter_map(|r| r.1).collect();
        assert!(labels.windows(2).all(|w| w[1].0 == w[0].0 + 1), "{labels:?}");
        assert!(labels.len() >= 37, "{} at {} ms", labels.len(), 1_900 * MS / MS);
    }
}
