//! Sessions: live, parked, gone.

/// A row of the slab of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionIdx(pub u32);

impl SessionIdx {
    /// As an index into a column.
    #[must_use]
    pub const fn at(self) -> usize {
        self.0 as usize
    }
}
