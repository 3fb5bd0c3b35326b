//! Which processors a program may use: so that a load does not take those of what it measures.

use anyhow::{Context, Result, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Keeps this thread, and those that it will start, off a processor; a server is started on it by
/// name, see [`crate::arms::process::Process::start_with`].
///
/// # Errors
/// There is no such processor, or no other.
pub fn keep_off(processor: u32) -> Result<()> {
    let mut set = sched_getaffinity(None).context("which processors there are")?;
    let others = others(&mut set, processor);
    ensure!(others, "processor {processor} is not one of several");
    sched_setaffinity(None, &set).context("the processors that a thread may use")
}

/// Takes a processor out of a set; `false` where it is not in it or the only one.
fn others(set: &mut CpuSet, processor: u32) -> bool {
    let number = processor as usize;
    let found = number < CpuSet::MAX_CPU && set.is_set(number) && set.count() > 1;
    if found {
        set.unset(number);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_several_is_left_out_and_the_last_one_is_kept() {
        let mut set = CpuSet::new();
        [3, 5].into_iter().for_each(|number| set.set(number));
        assert!(!others(&mut set, 4) && !others(&mut set, u32::MAX));
        assert!(others(&mut set, 3));
        assert!(!others(&mut set, 5));
        assert!(set.is_set(5) && set.count() == 1);
    }
}
