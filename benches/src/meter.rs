//! Where the time of a tick goes that is cut into parts: how long each part takes, and how long the
//! tick is on one thread between them.

use crate::clock::CpuTime;
use starling_world::executor::Executor;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One phase that was cut.
#[derive(Clone, Debug)]
pub struct Phase {
    /// On one thread before it, by the clock on the wall.
    pub before: Duration,
    /// CPU time of each of its parts.
    pub parts: Vec<Duration>,
}

/// An executor that runs parts on another, and notes what they take.
#[derive(Debug)]
pub struct Meter<'a, E> {
    exec: &'a E,
    notes: Mutex<(Instant, Vec<Phase>)>,
}

impl<'a, E: Executor> Meter<'a, E> {
    /// Begins to measure now.
    #[must_use]
    pub fn new(exec: &'a E) -> Self {
        Self { exec, notes: Mutex::new((Instant::now(), Vec::new())) }
    }

    /// The phases in order; after the last, which has no parts, the tick was at its end.
    #[must_use]
    pub fn end(self) -> Vec<Phase> {
        let notes = self.notes.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (last, mut phases) = notes;
        phases.push(Phase { before: last.elapsed(), parts: Vec::new() });
        phases
    }
}

impl<E: Executor> Executor for Meter<'_, E> {
    fn width(&self) -> usize {
        self.exec.width()
    }

    fn run<T: Send>(&self, parts: &mut [T], work: &(dyn Fn(&mut T) + Sync)) {
        let lock = || self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let before = lock().0.elapsed();
        let took = Mutex::new(Vec::with_capacity(parts.len()));
        self.exec.run(parts, &|part| {
            let time = CpuTime::of(|| work(part));
            took.lock().unwrap_or_else(PoisonError::into_inner).push(time);
        });
        let parts = took.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut notes = lock();
        notes.1.push(Phase { before, parts });
        notes.0 = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use starling_world::executor::Serial;

    #[test]
    fn every_phase_is_noted_with_its_parts() {
        let meter = Meter::new(&Serial);
        for count in [3, 1] {
            let mut parts = vec![0u32; count];
            meter.run(&mut parts, &|part| *part += 1);
            assert!(parts.iter().all(|part| *part == 1));
        }
        let parts: Vec<_> = meter.end().iter().map(|phase| phase.parts.len()).collect();
        assert_eq!(parts, [3, 1, 0]);
    }
}
