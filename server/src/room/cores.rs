//! The machine's cores, lent to the ticks of large worlds.
//!
//! Each room runs on one worker of the [`pool`](super::pool) at a time. A tick that takes long is
//! cut into parts, and the parts run on threads that all rooms share; a tick that does not is run
//! where it is, for handing parts over has a price, too. What a tick does is the same either way.

use rayon_core::{ThreadPool, ThreadPoolBuilder, join};
use starling_world::executor::{Executor, Serial};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// A tick is worth cutting once its work takes more than this part of the time between two ticks.
/// Below that nobody would notice, and threads that wait for parts take processor time: for 500
/// sessions at 20 Hz, whose ticks take 1 ms, a fourteenth of what the whole server took.
const WORTH_PART: u64 = 10;
/// It is not any more once it takes less than this part; between the two a room goes on as before.
const NOT_WORTH_PART: u64 = 20;

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

/// The cores as one tick uses them, with a tally of what its parts took.
#[derive(Debug)]
pub(super) struct Tally<'a> {
    cores: &'a Cores,
    /// Nanoseconds of all parts.
    parts_ns: AtomicU64,
    /// Nanoseconds for which the tick waited for them.
    waited_ns: AtomicU64,
}

impl<'a> Tally<'a> {
    pub(super) const fn new(cores: &'a Cores) -> Self {
        Self { cores, parts_ns: AtomicU64::new(0), waited_ns: AtomicU64::new(0) }
    }

    /// The work of the tick, which took so long: what it would have taken on one core.
    pub(super) fn work_ns(&self, took_ns: u64) -> u64 {
        took_ns.saturating_sub(self.waited_ns.load(Relaxed)) + self.parts_ns.load(Relaxed)
    }
}

impl Executor for Tally<'_> {
    fn width(&self) -> usize {
        self.cores.width()
    }

    fn run<T: Send>(&self, parts: &mut [T], work: &(dyn Fn(&mut T) + Sync)) {
        let begun = Instant::now();
        self.cores.run(parts, &|part| {
            let begun = Instant::now();
            work(part);
            add(&self.parts_ns, begun);
        });
        add(&self.waited_ns, begun);
    }
}

fn add(sum_ns: &AtomicU64, begun: Instant) {
    sum_ns.fetch_add(begun.elapsed().as_nanos() as u64, Relaxed);
}

/// Whether a room's ticks are worth cutting, by how much work the last one was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weight {
    period_ns: u64,
    heavy: bool,
}

impl Weight {
    /// Of a room whose ticks are so far apart.
    pub(super) const fn new(period_ns: u64) -> Self {
        Self { period_ns, heavy: false }
    }

    /// Is the next tick worth cutting?
    pub(super) const fn is_heavy(self) -> bool {
        self.heavy
    }

    /// A tick was this much work, on however many cores.
    pub(super) const fn note(&mut self, work_ns: u64) {
        let part = if self.heavy { NOT_WORTH_PART } else { WORTH_PART };
        self.heavy = work_ns >= self.period_ns / part;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

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
        let mut weight = Weight::new(10_000_000);
        for (work_ns, heavy) in
            [(900_000, false), (1_100_000, true), (600_000, true), (400_000, false)]
        {
            weight.note(work_ns);
            assert_eq!(weight.is_heavy(), heavy, "{work_ns}");
        }
    }

    #[test]
    fn what_is_heavy_for_many_ticks_a_second_is_light_for_few() {
        let [mut game, mut fleet] = [7_812_500, 500_000_000].map(Weight::new);
        game.note(5_000_000);
        fleet.note(5_000_000);
        assert_eq!((game.is_heavy(), fleet.is_heavy()), (true, false));
    }

    #[test]
    fn a_light_room_that_was_held_up_once_is_light_again_on_any_number_of_cores() {
        let cores = Cores::start(64).expect("threads");
        let mut weight = Weight { heavy: true, ..Weight::new(10_000_000) };
        let tally = Tally::new(&cores);
        tally.waited_ns.store(60_000, Relaxed);
        tally.parts_ns.store(90_000, Relaxed);
        weight.note(tally.work_ns(80_000));
        assert_eq!((tally.work_ns(80_000), weight.is_heavy()), (110_000, false));
    }

    #[test]
    fn the_work_of_a_tick_is_that_of_all_its_parts() {
        let nap = Duration::from_millis(5);
        let cores = Cores::start(8).expect("threads");
        let (tally, begun) = (Tally::new(&cores), Instant::now());
        for _ in 0..2 {
            tally.run(&mut [0; 8], &|part| {
                std::thread::sleep(nap);
                *part = 1;
            });
        }
        let work_ns = tally.work_ns(begun.elapsed().as_nanos() as u64);
        assert!(work_ns >= 16 * nap.as_nanos() as u64, "{work_ns}");
    }
}
