//! CPU time of one thread: what the work itself took, however busy the machine is with others.

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Measures by the CPU time of the calling thread instead of by the clock on the wall.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuTime;

impl CpuTime {
    /// CPU time that the calling thread has used since it began.
    #[must_use]
    pub fn now() -> Duration {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
    }

    /// CPU time that `work` takes.
    pub fn of(work: impl FnOnce()) -> Duration {
        let start = Self::now();
        work();
        Self::now() - start
    }
}

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        Self::now()
    }

    fn end(&self, start: Duration) -> Duration {
        Self::now() - start
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    /// Nanoseconds are shown as those of the wall clock are.
    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_cpu_time_and_waiting_does_not() {
        let work = CpuTime::of(|| {
            let until = CpuTime::now() + Duration::from_millis(2);
            while CpuTime::now() < until {}
        });
        assert!(work >= Duration::from_millis(2));
        let (_sender, receiver) = std::sync::mpsc::sync_channel::<()>(1);
        let wait = CpuTime::of(|| {
            let heard = receiver.recv_timeout(Duration::from_millis(20));
            assert!(heard.is_err(), "nobody sends");
        });
        assert!(wait < Duration::from_millis(10), "{wait:?}");
    }
}
