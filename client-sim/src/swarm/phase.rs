//! The phases of a run, told to all threads by a few instants.

use std::sync::atomic::{AtomicU64, Ordering};

/// What the swarm does at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Clients connect and stand where they will start.
    Connect,
    /// They move and publish; nothing counts yet.
    WarmUp,
    /// What happens now is the result.
    Measure,
    /// They move on and publish nothing; what is under way arrives.
    Drain,
    /// They say goodbye.
    Leave,
}

/// When each phase begins, in nanoseconds of the run's clock. Phases are set as the run goes and
/// only ever move on.
#[derive(Debug)]
pub struct Schedule {
    motion_ns: AtomicU64,
    measure_ns: AtomicU64,
    drain_ns: AtomicU64,
    leave_ns: AtomicU64,
}

const NOT_YET: u64 = u64::MAX;

impl Default for Schedule {
    fn default() -> Self {
        let not_yet = || AtomicU64::new(NOT_YET);
        Self {
            motion_ns: not_yet(),
            measure_ns: not_yet(),
            drain_ns: not_yet(),
            leave_ns: not_yet(),
        }
    }
}

impl Schedule {
    /// Everybody is in: motion starts now, and is measured from after the warm-up on.
    pub fn start(&self, now_ns: u64, warm_up_ns: u64, measured_ns: u64) {
        self.measure_ns.store(now_ns + warm_up_ns, Ordering::Relaxed);
        self.drain_ns.store(now_ns + warm_up_ns + measured_ns, Ordering::Relaxed);
        // Last, and released: who sees the start sees the rest.
        self.motion_ns.store(now_ns, Ordering::Release);
    }

    /// The measured time ends now, earlier than was meant.
    pub fn cut(&self, now_ns: u64) {
        self.measure_ns.fetch_min(now_ns, Ordering::AcqRel);
        self.drain_ns.fetch_min(now_ns, Ordering::AcqRel);
    }

    /// Nothing more is expected: everybody leaves.
    pub fn leave(&self, now_ns: u64) {
        self.leave_ns.store(now_ns, Ordering::Release);
    }

    /// The phase at a moment.
    pub fn phase(&self, now_ns: u64) -> Phase {
        let has_come = |at: &AtomicU64| now_ns >= at.load(Ordering::Acquire);
        if has_come(&self.leave_ns) {
            Phase::Leave
        } else if !has_come(&self.motion_ns) {
            Phase::Connect
        } else if !has_come(&self.measure_ns) {
            Phase::WarmUp
        } else if !has_come(&self.drain_ns) {
            Phase::Measure
        } else {
            Phase::Drain
        }
    }

    /// The measured time, once it is settled.
    pub fn measured_ns(&self) -> Option<std::ops::Range<u64>> {
        self.motion_start_ns()?;
        let at = |at: &AtomicU64| at.load(Ordering::Acquire);
        Some(at(&self.measure_ns)..at(&self.drain_ns))
    }

    /// When motion starts, once it is settled.
    pub fn motion_start_ns(&self) -> Option<u64> {
        Some(self.motion_ns.load(Ordering::Acquire)).filter(|ns| *ns != NOT_YET)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_follow_each_other() {
        let schedule = Schedule::default();
        assert_eq!(schedule.phase(5), Phase::Connect);
        assert_eq!(schedule.measured_ns(), None);
        schedule.start(100, 30, 1000);
        assert_eq!(schedule.measured_ns(), Some(130..1130));
        let at = |ns| schedule.phase(ns);
        assert_eq!(
            [at(99), at(100), at(130), at(1130)],
            [Phase::Connect, Phase::WarmUp, Phase::Measure, Phase::Drain]
        );
        schedule.cut(500);
        assert_eq!(schedule.measured_ns(), Some(130..500));
        assert_eq!(schedule.phase(500), Phase::Drain);
        schedule.leave(1200);
        assert_eq!(schedule.phase(1200), Phase::Leave);
    }
}
