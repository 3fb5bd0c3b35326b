//! The machine's cores, lent to the ticks of large worlds.
//!
//! Each room runs on one worker of the [`pool`](super::pool) at a time. A tick that takes long is
//! cut into parts, and the parts run on threads that all rooms share; a tick that does not is run
//! where it is, for handing parts over has a price, too. What a tick does is the same either way.

use rayon_core::{ThreadPool, ThreadPoolBuilder, join};
use starling_world::executor::{Executor, Serial};

/// A tick with this much work is worth cutting. To hand parts over and to wait for them took 4 us
/// while the threads were awake and 40 us after they had slept for 50 ms (two cores, middle of 100).
const WORTH_NS: u64 = 1_000_000;
/// One with less than this is not; between the two a room goes on as before.
const NOT_WORTH_NS: u64 = 500_000;

/// Threads that run the parts of ticks.
#[derive(Debug, Default)]
pub struct Cores {
    pool: Option<ThreadPool>,
}

impl Cores {
    /// No threads: every tick runs where it is.
    #[must_use]
    pub const fn none() -> Self {
        Self { pool: None }
    }

    /// So many threads; with fewer than two, none.
    ///
    /// # Errors
    /// What the system says when it grants no more threads.
    pub fn start(threads: usize) -> Result<Self, rayon_core::ThreadPoolBuildError> {
        if threads < 2 {
            return Ok(Self::none());
        }
        let named = ThreadPoolBuilder::new().thread_name(|i| format!("tick-{i}"));
        Ok(Self { pool: Some(named.num_threads(threads).build()?) })
    }
}

impl Executor for Cores {
    fn width(&self) -> usize {
        self.pool.as_ref().map_or(1, ThreadPool::current_num_threads)
    }

    fn run<T: Send>(&self, parts: &mut [T], work: &(dyn Fn(&mut T) + Sync)) {
        match &self.pool {
            Some(pool) if parts.len() > 1 => pool.install(|| halve(parts, work)),
            _ => Serial.run(parts, work),
        }
    }
}

/// Both halves at once, where a thread is free.
fn halve<T: Send>(parts: &mut [T], work: &(dyn Fn(&mut T) + Sync)) {
    if let [part] = parts {
        return work(part);
    }
    let (left, right) = parts.split_at_mut(parts.len() / 2);
    if left.is_empty() {
        return;
    }
    join(|| halve(left, work), || halve(right, work));
}

/// Whether a room's ticks are worth cutting, by how long the last one took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weight {
    heavy: bool,
}

impl Weight {
    /// Is the next tick worth cutting?
    pub(super) const fn is_heavy(self) -> bool {
        self.heavy
    }

    /// A tick that was cut into `width` parts took so long.
    pub(super) const fn note(&mut self, took_ns: u64, width: usize) {
        let work = took_ns.saturating_mul(width as u64);
        self.heavy = if self.heavy { work >= NOT_WORTH_NS } else { work >= WORTH_NS };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_run_once() {
        for threads in [0, 1, 2, 3, 8] {
            let cores = Cores::start(threads).expect("threads");
            assert_eq!(cores.width(), threads.max(1));
            for count in [0, 1, 2, 7, 100] {
                let mut parts = vec![0u32; count];
                cores.run(&mut parts, &|part| *part += 1);
                assert!(parts.iter().all(|part| *part == 1), "{threads} threads, {count} parts");
            }
        }
    }

    #[test]
    fn a_part_that_breaks_down_breaks_down_the_tick() {
        let cores = Cores::start(2).expect("threads");
        let run = || cores.run(&mut [1, 2, 3, 4], &|part| assert_ne!(*part, 3));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err());
        let mut parts = [0; 4];
        cores.run(&mut parts, &|part| *part = 1);
        assert_eq!(parts, [1; 4], "the threads are there for the next tick");
    }

    #[test]
    fn a_room_does_not_change_its_mind_with_every_tick() {
        let mut weight = Weight::default();
        weight.note(900_000, 1);
        assert!(!weight.is_heavy());
        weight.note(1_100_000, 1);
        assert!(weight.is_heavy());
        weight.note(300_000, 2);
        assert!(weight.is_heavy());
        weight.note(200_000, 2);
        assert!(!weight.is_heavy());
    }
}
