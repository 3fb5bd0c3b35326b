//! What became of a session's own datagrams, tick by tick: the FOLD and CLOCK reports.

use starling_protocol::limits::FOLD_TICKS;
use starling_protocol::snapshot::{CLOCK_UNITS_PER_MS, Clock, Fold};
use starling_protocol::units::{Tick, newer16};

/// Ticks that a report may wait for a datagram that is sent anyway: three chances in the time for
/// which a tick is told of.
const REPORT_TICKS: u32 = 5;
/// Ticks between clock reports.
const CLOCK_TICKS: u32 = 16;

/// What became of an uplink datagram's sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Newer than every one before.
    Newest,
    /// Late, and not seen before.
    Late,
    /// Seen before, or too old to tell.
    Repeated,
}

/// The uplink of one session.
#[derive(Debug, Default)]
pub(crate) struct Uplinks {
    newest: Option<u16>,
    received: u32,
    steps: [u16; FOLD_TICKS - 1],
    /// The tick that `steps[0]` counts for.
    at: Tick,
    /// Datagrams taken in this tick.
    taken: u32,
    /// What is said in this tick from now on waits in line.
    in_line: bool,
    /// The last tick with something whose arrival the client wants to know.
    mattered: Option<Tick>,
    told: Tick,
    /// The newest datagram whose acknowledgement was used.
    acked: Option<u16>,
    echo: Option<(u16, u64)>,
    clock_told: Option<Tick>,
}

impl Uplinks {
    /// Begins a tick: moves the steps of earlier ticks back.
    pub(crate) fn advance(&mut self, now: Tick) {
        let ticks = now.since(self.at).unwrap_or(0) as usize;
        if ticks > 0 {
            let fresh = self.steps.len().min(ticks);
            self.steps.rotate_right(fresh);
            self.steps[..fresh].fill(0);
            self.at = now;
            self.taken = 0;
            self.in_line = false;
        }
    }

    /// Does what is said now wait in line, since something said before does?
    pub(crate) fn is_in_line(&self) -> bool {
        self.in_line
    }

    /// What is said in this tick from now on waits in line.
    pub(crate) fn get_in_line(&mut self) {
        self.in_line = true;
    }

    /// One more datagram in this tick; how many that makes.
    pub(crate) fn take(&mut self) -> u32 {
        self.taken += 1;
        self.taken
    }

    /// Notes a sequence.
    pub(crate) fn note(&mut self, sequence: u16) -> Arrival {
        let Some(newest) = self.newest else {
            self.newest = Some(sequence);
            self.steps[0] = self.steps[0].wrapping_add(1);
            return Arrival::Newest;
        };
        if newer16(sequence, newest) {
            let ahead = sequence.wrapping_sub(newest);
            let shifted = self.received.checked_shl(u32::from(ahead)).unwrap_or(0);
            let newest_bit = 1u32.checked_shl(u32::from(ahead) - 1).unwrap_or(0);
            self.received = shifted | newest_bit;
            self.newest = Some(sequence);
            self.steps[0] = self.steps[0].wrapping_add(ahead);
            return Arrival::Newest;
        }
        let back = newest.wrapping_sub(sequence);
        let bit = u32::from(back).checked_sub(1).and_then(|shift| 1u32.checked_shl(shift));
        match bit {
            Some(bit) if self.received & bit == 0 => {
                self.received |= bit;
                Arrival::Late
            }
            _ => Arrival::Repeated,
        }
    }

    /// Is an acknowledgement in this datagram newer than all before? Older ones say less.
    pub(crate) fn is_newest_ack(&mut self, sequence: u16) -> bool {
        let newer = self.acked.is_none_or(|newest| newer16(sequence, newest));
        if newer {
            self.acked = Some(sequence);
        }
        newer
    }

    /// The client will want to know that this tick's datagram arrived.
    pub(crate) fn matters(&mut self) {
        self.mattered = Some(self.at);
    }

    /// The newest datagram and its time of arrival, for the clock report.
    pub(crate) fn note_time(&mut self, sequence: u16, at_us: u64) {
        self.echo = Some((sequence, at_us));
    }

    /// Is a report worth a datagram of its own?
    #[must_use]
    pub(crate) fn report_due(&self, now: Tick) -> bool {
        let untold = self.mattered.is_some_and(|tick| tick > self.told);
        untold && now.since(self.told).is_some_and(|ticks| ticks >= REPORT_TICKS)
    }

    /// The report for a datagram of this tick, while there is anything to tell.
    #[must_use]
    pub(crate) fn report(&self, now: Tick, applied: Option<u16>) -> Option<Fold> {
        let recent = self.mattered?;
        let newest = self.newest?;
        if now.since(recent).is_none_or(|ticks| ticks >= FOLD_TICKS as u32) {
            return None;
        }
        Some(Fold { newest, received: self.received, steps: self.steps, applied })
    }

    /// Is a clock report due?
    #[must_use]
    pub(crate) fn clock_due(&self, now: Tick) -> bool {
        let waited = |told: Tick| now.since(told).is_some_and(|ticks| ticks >= CLOCK_TICKS);
        self.echo.is_some() && self.clock_told.is_none_or(waited)
    }

    /// The clock report for a datagram that is sent at `now_us`, `late_us` after its deadline.
    #[must_use]
    pub(crate) fn clock(&self, now: Tick, now_us: u64, late_us: u64) -> Option<Clock> {
        let (echo, at_us) = self.echo.filter(|_| self.clock_due(now))?;
        let hold = clock_units(now_us.saturating_sub(at_us));
        Some(Clock { echo, hold, late: clock_units(late_us) })
    }

    /// Reports went out with a datagram.
    pub(crate) fn reported(&mut self, fold: bool, clock: bool, now: Tick) {
        if fold {
            self.told = now;
        }
        if clock {
            self.echo = None;
            self.clock_told = Some(now);
        }
    }
}

fn clock_units(us: u64) -> u16 {
    u16::try_from(us.saturating_mul(u64::from(CLOCK_UNITS_PER_MS)) / 1000).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_tells_by_how_much_the_sequence_rose_in_each_tick() {
        let mut uplinks = Uplinks::default();
        for tick in 1..=20 {
            uplinks.advance(Tick(tick));
            let count = if tick == 18 {
                0
            } else if tick == 19 {
                2
            } else {
                1
            };
            for _ in 0..count {
                let next = uplinks.newest.map_or(100, |n| n + 1);
                assert_eq!(uplinks.note(next), Arrival::Newest);
                uplinks.matters();
            }
        }
        let fold = uplinks.report(Tick(20), Some(3)).expect("something to tell");
        assert_eq!(fold.newest, 119);
        assert_eq!(fold.steps[..4], [1, 2, 0, 1]);
        assert_eq!(fold.newest_at(1), Some(118));
        assert_eq!(fold.newest_at(3), Some(116));
        assert_eq!((fold.received & 0x7_ffff, fold.applied), (0x7_ffff, Some(3)));
    }

    #[test]
    fn ticks_that_were_passed_over_count_as_empty() {
        let mut uplinks = Uplinks::default();
        uplinks.advance(Tick(1));
        uplinks.note(7);
        uplinks.matters();
        uplinks.advance(Tick(4));
        let fold = uplinks.report(Tick(4), None).expect("something to tell");
        assert_eq!(fold.steps[..4], [0, 0, 0, 1]);
        uplinks.advance(Tick(400));
        assert_eq!(uplinks.report(Tick(400), None), None);
    }

    #[test]
    fn a_late_datagram_counts_once_and_a_repeated_one_never() {
        let mut uplinks = Uplinks::default();
        uplinks.advance(Tick(1));
        let arrivals = [65_535, 1, 0, 0, 1, 65_535].map(|s| uplinks.note(s));
        use Arrival::{Late, Newest, Repeated};
        assert_eq!(arrivals, [Newest, Newest, Late, Repeated, Repeated, Repeated]);
        assert_eq!(uplinks.note(500), Newest);
        assert_eq!(uplinks.note(460), Repeated, "too old to tell");
        assert_eq!(uplinks.received, 0);
    }

    #[test]
    fn reports_are_due_when_something_mattered_and_not_for_acknowledgements() {
        let mut uplinks = Uplinks::default();
        uplinks.advance(Tick(10));
        uplinks.note(1);
        assert!(!uplinks.report_due(Tick(100)));
        uplinks.matters();
        assert!(uplinks.report_due(Tick(10)));
        uplinks.reported(true, false, Tick(10));
        uplinks.advance(Tick(11));
        uplinks.note(2);
        uplinks.matters();
        assert!(!uplinks.report_due(Tick(14)) && uplinks.report_due(Tick(15)));
    }

    #[test]
    fn the_clock_is_told_at_once_and_then_every_sixteen_ticks() {
        let mut uplinks = Uplinks::default();
        assert!(!uplinks.clock_due(Tick(1)));
        uplinks.note_time(9, 1_000);
        let clock = uplinks.clock(Tick(1), 3_500, 125).expect("due");
        assert_eq!((clock.echo, clock.hold, clock.late), (9, 40, 2));
        uplinks.reported(false, true, Tick(1));
        uplinks.note_time(10, 4_000);
        assert!(!uplinks.clock_due(Tick(16)) && uplinks.clock_due(Tick(17)));
        let late = uplinks.clock(Tick(17), u64::MAX, u64::MAX).expect("due");
        assert_eq!((late.hold, late.late), (u16::MAX, u16::MAX));
    }
}
