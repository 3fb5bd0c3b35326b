//! Who runs the parts of a phase. The core spawns nothing: the room lends it threads.

/// Runs the same work on disjoint parts.
///
/// The parts do not see each other and their results are merged in order, so that every executor
/// gives the same output and the same checksum.
pub trait Executor {
    /// Into how many parts work is worth cutting.
    fn width(&self) -> usize;

    /// Calls `work` once for every part and returns when all are done.
    fn run<T: Send>(&self, parts: &mut [T], work: &(dyn Fn(&mut T) + Sync));
}

/// Parts that a phase is cut into at most, however many threads there are.
pub(crate) const PARTS_MAX: usize = 64;

/// Into how many parts the phases of a tick are cut.
pub(crate) fn width(exec: &impl Executor) -> usize {
    exec.width().clamp(1, PARTS_MAX)
}

/// Runs `work` on parts, at most [`PARTS_MAX`], without a list of them on the heap.
pub(crate) fn run_parts<T: Send>(
    exec: &impl Executor,
    parts: impl Iterator<Item = T>,
    work: impl Fn(&mut T) + Sync,
) {
    let mut slots: [Option<T>; PARTS_MAX] = [const { None }; PARTS_MAX];
    let mut count = 0;
    for part in parts {
        slots[count] = Some(part);
        count += 1;
    }
    exec.run(&mut slots[..count], &|slot| {
        if let Some(part) = slot {
            work(part);
        }
    });
}

/// Runs every part on the caller's thread, one after another.
#[derive(Clone, Copy, Debug, Default)]
pub struct Serial;

impl Executor for Serial {
    fn width(&self) -> usize {
        1
    }

    fn run<T: Send>(&self, parts: &mut [T], work: &(dyn Fn(&mut T) + Sync)) {
        parts.iter_mut().for_each(work);
    }
}

/// Cuts work into so many parts and runs the last one first, for tests of what must not depend on
/// either.
#[cfg(test)]
pub(crate) struct Backwards(pub(crate) usize);

#[cfg(test)]
impl Executor for Backwards {
    fn width(&self) -> usize {
        self.0
    }

    fn run<T: Send>(&self, parts: &mut [T], work: &(dyn Fn(&mut T) + Sync)) {
        parts.iter_mut().rev().for_each(work);
    }
}
