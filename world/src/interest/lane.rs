//! What one thread needs to work out what its share of the viewers sees, used again every tick.

use super::sight::Sight;
use super::solo::Spot;
use super::table::Trail;
use crate::entity::EntityIdx;
use crate::session::SessionIdx;
use crate::simd::Verdict;

/// Working space and output of one share of the viewers.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) sight: Sight,
    pub(super) trail: Trail,
    pub(super) verdicts: Vec<Verdict>,
    pub(super) spots: Vec<Spot>,
    /// Enters and leaves, one viewer's after another's.
    pub(super) enters: Vec<EntityIdx>,
    pub(super) leaves: Vec<EntityIdx>,
    /// Whose they are, and where each one's end.
    pub(super) ends: Vec<(SessionIdx, u32, u32)>,
    /// Who is no longer in its group's leaf.
    pub(super) astray: Vec<SessionIdx>,
    /// Entities that changed lanes or went so that a viewer sees them no longer.
    pub(super) gone: Vec<(SessionIdx, EntityIdx)>,
    from: (usize, usize),
}

impl Lane {
    /// Forgets the last tick.
    pub(super) fn clear(&mut self) {
        self.enters.clear();
        self.leaves.clear();
        self.ends.clear();
    }

    /// Begins with the next viewer.
    pub(super) fn begin(&mut self) {
        self.from = (self.enters.len(), self.leaves.len());
    }

    /// Ends with a viewer: what it was told is put in order.
    pub(super) fn end(&mut self, session: SessionIdx) {
        let (enters, leaves) = self.from;
        if (enters, leaves) != (self.enters.len(), self.leaves.len()) {
            self.enters[enters..].sort_unstable();
            self.leaves[leaves..].sort_unstable();
            self.ends.push((session, self.enters.len() as u32, self.leaves.len() as u32));
        }
    }
}
