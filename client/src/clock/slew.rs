//! A value that follows its target without jumping, so that time drawn from it never runs back.

use starling_protocol::units::Nanos;

/// A signed number of nanoseconds on its way to a target.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slew {
    value_ns: i64,
    target_ns: i64,
    since: Nanos,
    /// One nanosecond of change per so many of time.
    slowness: u64,
    /// Farther away than this, the value jumps.
    jump_ns: i64,
}

impl Slew {
    pub(super) const fn new(now: Nanos, value_ns: i64, slowness: u64, jump_ns: i64) -> Self {
        Self { value_ns, target_ns: value_ns, since: now, slowness, jump_ns }
    }

    pub(super) fn at(&self, now: Nanos) -> i64 {
        let reach = (now.since(self.since) / self.slowness) as i64;
        self.value_ns + (self.target_ns - self.value_ns).clamp(-reach, reach)
    }

    pub(super) fn aim(&mut self, now: Nanos, target_ns: i64) {
        let value_ns = self.at(now);
        let far = target_ns.abs_diff(value_ns) > self.jump_ns.unsigned_abs();
        self.value_ns = if far { target_ns } else { value_ns };
        self.target_ns = target_ns;
        self.since = now;
    }
}
