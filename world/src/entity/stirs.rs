//! Since when there is something new to tell of each entity.

use super::EntityIdx;
use starling_protocol::units::Tick;

/// The tick that first carries the newest fields or the newest entry of the track, by row.
#[derive(Debug, Default)]
pub(super) struct Stirs {
    pub(super) at: Vec<Tick>,
    /// The newest of them.
    pub(super) newest: Tick,
    /// The newest that is a change of a field or of a block.
    pub(super) newest_fields: Tick,
}

impl Stirs {
    /// There is something new from this tick on.
    pub(super) fn stir(&mut self, idx: EntityIdx, at: Tick) {
        self.at[idx.at()] = self.at[idx.at()].max(at);
        self.newest = self.newest.max(at);
    }

    /// The same, and it is a field or a block.
    pub(super) fn stir_fields(&mut self, idx: EntityIdx, at: Tick) {
        self.stir(idx, at);
        self.newest_fields = self.newest_fields.max(at);
    }

    /// Another entity begins in this row.
    pub(super) fn begin(&mut self, idx: EntityIdx, at: Tick) {
        self.at[idx.at()] = at;
        self.stir_fields(idx, at);
    }
}
