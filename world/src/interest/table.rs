//! What some viewers see, leaf by leaf: a mask of 64 bits for each viewer and each leaf that is near
//! enough to matter.

use crate::entity::EntityIdx;
use crate::leaf::{GridBox, bits};
use crate::simd::{self, BLOCK};
use crate::spatial::{Index, LeafIdx, Shift};

/// Masks in a line of the cache: rows grow by so many.
const LINE: usize = 8;

/// Rows of masks over the same leaves.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// The leaves that matter, in no order.
    pub(super) list: Vec<LeafIdx>,
    /// Row by row, as many as `stride`.
    masks: Vec<u64>,
    /// Row by row, for each block of leaves: which masks may have a bit.
    live: Vec<u16>,
    /// A multiple of [`LINE`].
    stride: usize,
    rows: usize,
}

/// What [`Table::follow`] needs besides, used again and again.
#[derive(Debug, Default)]
pub(super) struct Trail {
    shifts: Vec<u32>,
    /// Who went to a leaf that was not known to matter.
    limbo: Vec<(usize, EntityIdx)>,
}

impl Table {
    /// Forgets everything but its memory.
    pub(super) fn clear(&mut self) {
        self.list.clear();
        self.masks.clear();
        self.live.clear();
        (self.stride, self.rows) = (0, 0);
    }

    pub(super) fn position(&self, leaf: LeafIdx) -> Option<usize> {
        self.list.iter().position(|other| *other == leaf)
    }

    /// A leaf matters from now on.
    pub(super) fn add(&mut self, leaf: LeafIdx) {
        if self.list.len() == self.stride {
            self.widen();
        }
        self.list.push(leaf);
    }

    fn widen(&mut self) {
        let (old, before) = (self.stride, self.blocks());
        self.stride += LINE;
        let (new, after) = (self.stride, self.blocks());
        self.masks.resize(self.rows * new, 0);
        self.live.resize(self.rows * after, 0);
        for row in (0..self.rows).rev() {
            self.masks.copy_within(row * old..(row + 1) * old, row * new);
            self.masks[row * new + old..(row + 1) * new].fill(0);
            self.live.copy_within(row * before..(row + 1) * before, row * after);
            self.live[row * after + before..(row + 1) * after].fill(0);
        }
    }

    /// Blocks of leaves in a row.
    #[inline]
    fn blocks(&self) -> usize {
        self.stride.div_ceil(BLOCK)
    }

    /// Every leaf that touches `reach` matters.
    pub(super) fn walk(&mut self, index: &Index, reach: &GridBox) {
        index.each_near(reach, |leaf| {
            if self.position(leaf).is_none() {
                self.add(leaf);
            }
        });
    }

    /// Leaves that grew may matter now.
    pub(super) fn take_in_reshaped(&mut self, index: &Index, reach: &GridBox) {
        index.each_reshaped(reach, |leaf| {
            if self.position(leaf).is_none() {
                self.add(leaf);
            }
        });
    }

    /// Leaves of which nobody sees anything are dropped unless `matters`.
    pub(super) fn prune(&mut self, mut matters: impl FnMut(LeafIdx) -> bool) {
        for at in (0..self.list.len()).rev() {
            if !matters(self.list[at]) && (0..self.rows).all(|row| self.mask(row, at) == 0) {
                let last = self.list.len() - 1;
                self.list.swap_remove(at);
                for row in 0..self.rows {
                    let mask = self.mask(row, last);
                    self.set(row, at, mask);
                    self.set(row, last, 0);
                }
            }
        }
    }

    /// One more viewer, who sees nothing; returns its row.
    pub(super) fn push_row(&mut self) -> usize {
        self.rows += 1;
        self.masks.resize(self.rows * self.stride, 0);
        self.live.resize(self.rows * self.blocks(), 0);
        self.rows - 1
    }

    /// A viewer less; the last row takes its place.
    pub(super) fn swap_remove_row(&mut self, row: usize) {
        let last = self.rows - 1;
        let blocks = self.blocks();
        self.masks.copy_within(last * self.stride..(last + 1) * self.stride, row * self.stride);
        self.live.copy_within(last * blocks..(last + 1) * blocks, row * blocks);
        self.rows = last;
        self.masks.truncate(last * self.stride);
        self.live.truncate(last * blocks);
    }

    #[inline]
    pub(super) fn mask(&self, row: usize, at: usize) -> u64 {
        self.masks[row * self.stride + at]
    }

    #[inline]
    pub(super) fn set(&mut self, row: usize, at: usize, mask: u64) {
        self.masks[row * self.stride + at] = mask;
        let block = row * self.blocks() + at / BLOCK;
        let live = &mut self.live[block];
        let bit = 1 << (at % BLOCK);
        *live = if mask == 0 { *live & !bit } else { *live | bit };
    }

    /// Asks for the masks of a viewer, should there be one in this row.
    pub(super) fn prefetch(&self, row: usize) {
        if let Some(masks) = self.masks.get(row * self.stride..(row + 1) * self.stride) {
            // To wait for them took an eighth of a sieve.
            simd::fetch_row(masks, usize::MAX);
        }
    }

    /// Masks and live blocks of one viewer.
    pub(super) fn row(&self, row: usize) -> (&[u64], &[u16]) {
        let blocks = self.blocks();
        (
            &self.masks[row * self.stride..(row + 1) * self.stride],
            &self.live[row * blocks..(row + 1) * blocks],
        )
    }

    /// Does this viewer see an entity?
    pub(super) fn sees(&self, row: usize, index: &Index, entity: EntityIdx) -> bool {
        let lane = index.lane(entity);
        lane.is_some_and(|lane| {
            let at = self.position(lane.leaf());
            at.is_some_and(|at| self.mask(row, at) >> lane.lane() & 1 == 1)
        })
    }

    /// This viewer sees an entity, or no longer; `false` when the entity's leaf does not matter.
    pub(super) fn mark(
        &mut self,
        row: usize,
        index: &Index,
        entity: EntityIdx,
        sees: bool,
    ) -> bool {
        let Some(lane) = index.lane(entity) else { return false };
        let Some(at) = self.position(lane.leaf()) else { return false };
        let bit = 1 << lane.lane();
        let mask = self.mask(row, at);
        self.set(row, at, if sees { mask | bit } else { mask & !bit });
        true
    }

    /// Everyone whom a viewer sees, in no order.
    pub(super) fn seen(&self, row: usize, index: &Index, seen: &mut Vec<EntityIdx>) {
        for (at, leaf) in self.list.iter().enumerate() {
            let leaf = &index.rows()[*leaf as usize];
            seen.extend(bits(self.mask(row, at)).map(|lane| EntityIdx(leaf.entities[lane])));
        }
    }

    /// Brings the masks up to who changed lanes. Who went beyond all leaves that matter, or is no
    /// more, is `gone` from the rows that saw it.
    pub(super) fn follow(
        &mut self,
        index: &Index,
        trail: &mut Trail,
        mut gone: impl FnMut(usize, EntityIdx),
    ) {
        trail.shifts.clear();
        for leaf in &self.list {
            trail.shifts.extend(index.shifts_from(*leaf));
        }
        trail.shifts.sort_unstable();
        for &number in &trail.shifts {
            match *index.shift(number) {
                Shift::One { entity, from, to } => {
                    let to = self.position(to.leaf()).map(|at| (at, 1 << to.lane()));
                    self.take(from.leaf(), 1 << from.lane(), |table, row, _| match to {
                        Some((at, bit)) => table.set(row, at, table.mask(row, at) | bit),
                        None => trail.limbo.push((row, entity)),
                    });
                }
                Shift::Many { from, to, lanes, who } => {
                    let to = self.position(to);
                    self.take(from, lanes, |table, row, mask| match to {
                        Some(at) => table.set(row, at, table.mask(row, at) | mask),
                        None => trail
                            .limbo
                            .extend(bits(mask).map(|lane| (row, index.moved_out(who, lane)))),
                    });
                }
                Shift::Gone { entity, from } => {
                    self.take(from.leaf(), 1 << from.lane(), |_, row, _| gone(row, entity));
                }
            }
        }
        for (row, entity) in trail.limbo.drain(..) {
            if !self.mark(row, index, entity, true) {
                gone(row, entity);
            }
        }
    }

    /// Takes these lanes of a leaf out of every row that has one of them.
    fn take(&mut self, leaf: LeafIdx, lanes: u64, mut taken: impl FnMut(&mut Self, usize, u64)) {
        let Some(at) = self.position(leaf) else { return };
        for row in 0..self.rows {
            let mask = self.mask(row, at);
            if mask & lanes != 0 {
                self.set(row, at, mask & !lanes);
                taken(self, row, mask & lanes);
            }
        }
    }
}
