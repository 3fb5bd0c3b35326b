//! How late the swarm is, through no fault of the server.
//!
//! A tick's news reaches all clients at once and is answered one client after another; that burst
//! is part of the work. What counts as late is what comes on top: the thread was ready to run and
//! the system ran something else, or the burst of one tick reached into the next.

use std::fs::File;
use std::io::{Read, Seek};

/// The lateness of one thread of the swarm.
pub struct Lateness {
    /// Where the system tells how long this thread waited for a processor.
    schedstat: Option<File>,
    tick_ns: u64,
    /// When the thread last had nothing to do.
    idle_ns: u64,
    /// How long it had waited for a processor by then.
    waited_ns: u64,
}

impl Lateness {
    /// For the calling thread.
    #[must_use]
    pub fn of_this_thread() -> Self {
        Self::with(File::open("/proc/thread-self/schedstat").ok())
    }

    /// Without the system's help: only bursts that reach into the next tick count.
    #[must_use]
    pub fn by_clock_only() -> Self {
        Self::with(None)
    }

    fn with(schedstat: Option<File>) -> Self {
        Self { schedstat, tick_ns: 50_000_000, idle_ns: 0, waited_ns: 0 }
    }

    /// The server's tick is so long.
    pub fn set_tick(&mut self, tick_ns: u64) {
        self.tick_ns = tick_ns;
    }

    /// The thread has nothing to do and waits from now on. Not to be called within a burst: what is
    /// sent late in it is late by all that the thread has waited since it began.
    pub fn before_wait(&mut self) {
        self.waited_ns = self.schedstat().map_or(0, |(_, waited)| waited);
    }

    /// It has something to do again.
    pub fn after_wait(&mut self, now_ns: u64) {
        self.idle_ns = now_ns;
    }

    /// How late the work at hand is.
    pub fn now_ns(&mut self, now_ns: u64) -> u64 {
        let waited = self.schedstat().map_or(0, |(_, waited)| waited);
        let starved = waited.saturating_sub(self.waited_ns);
        let busy = now_ns.saturating_sub(self.idle_ns);
        starved + busy.saturating_sub(self.tick_ns)
    }

    /// Processor time of the thread so far.
    pub fn cpu_ns(&mut self) -> Option<u64> {
        self.schedstat().map(|(ran, _)| ran)
    }

    /// Nanoseconds that the thread ran, and that it waited to run.
    fn schedstat(&mut self) -> Option<(u64, u64)> {
        let file = self.schedstat.as_mut()?;
        let mut text = [0; 64];
        file.rewind().ok()?;
        let read = file.read(&mut text).ok()?;
        let text = std::str::from_utf8(&text[..read]).ok()?;
        let mut numbers = text.split_whitespace().map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_within_its_tick_is_not_late_and_one_beyond_it_is() {
        let mut lateness = Lateness::by_clock_only();
        lateness.set_tick(50);
        lateness.before_wait();
        lateness.after_wait(1_000);
        assert_eq!(lateness.now_ns(1_040), 0);
        assert_eq!(lateness.now_ns(1_080), 30);
        lateness.after_wait(1_100);
        assert_eq!(lateness.now_ns(1_110), 0);
    }

    #[test]
    fn where_the_system_tells_processor_time_grows_with_work() {
        let mut lateness = Lateness::of_this_thread();
        let Some(before) = lateness.cpu_ns() else { return };
        let mut sum = 0_u64;
        while lateness.cpu_ns() == Some(before) {
            sum = sum.wrapping_mul(31).wrapping_add(7);
        }
        assert!(lateness.cpu_ns() > Some(before), "{sum}");
    }
}
