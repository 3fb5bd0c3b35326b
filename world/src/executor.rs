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
