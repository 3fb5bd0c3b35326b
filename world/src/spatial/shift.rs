//! Who changed lanes since the index was settled last.

use crate::entity::EntityIdx;
use crate::leaf::LEAF;

/// No shift.
const NO_SHIFT: u32 = u32::MAX;

/// A leaf's number.
pub(crate) type LeafIdx = u32;

/// A lane of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lane(pub(super) u32);

impl Lane {
    pub(super) fn new(leaf: LeafIdx, lane: usize) -> Self {
        Self(leaf * LEAF as u32 + lane as u32)
    }

    /// Of which leaf.
    #[inline]
    pub(crate) const fn leaf(self) -> LeafIdx {
        self.0 / LEAF as u32
    }

    /// Which of it.
    #[inline]
    pub(crate) const fn lane(self) -> usize {
        self.0 as usize % LEAF
    }
}

/// Entities that changed lanes. In order, each as of those before it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shift {
    /// One went from a lane to a lane of another leaf.
    One { entity: EntityIdx, from: Lane, to: Lane },
    /// All in these lanes went to the same lanes of another leaf; who they were is in
    /// [`Shifts::moved_out`], from this place on.
    Many { from: LeafIdx, to: LeafIdx, lanes: u64, who: u32 },
    /// One is gone.
    Gone { entity: EntityIdx, from: Lane },
}

impl Shift {
    fn from(&self) -> LeafIdx {
        match *self {
            Self::One { from, .. } | Self::Gone { from, .. } => from.leaf(),
            Self::Many { from, .. } => from,
        }
    }
}

/// All of them, and those out of each leaf.
#[derive(Debug, Default)]
pub(super) struct Shifts {
    pub(super) all: Vec<Shift>,
    /// The newest shift out of each leaf.
    heads: Vec<u32>,
    /// The shift before each out of the same leaf.
    earlier: Vec<u32>,
    moved_out: Vec<u32>,
}

impl Shifts {
    /// One more leaf.
    pub(super) fn add_leaf(&mut self) {
        self.heads.push(NO_SHIFT);
    }

    pub(super) fn clear(&mut self) {
        for shift in self.all.drain(..) {
            self.heads[shift.from() as usize] = NO_SHIFT;
        }
        self.earlier.clear();
        self.moved_out.clear();
    }

    pub(super) fn note(&mut self, shift: Shift) {
        let head = &mut self.heads[shift.from() as usize];
        self.earlier.push(std::mem::replace(head, self.all.len() as u32));
        self.all.push(shift);
    }

    /// Keeps who is in the lanes of a leaf, and returns where.
    pub(super) fn keep(&mut self, entities: &[u32; LEAF]) -> u32 {
        let who = self.moved_out.len() as u32;
        self.moved_out.extend_from_slice(entities);
        who
    }

    /// The numbers of the shifts out of a leaf, newest first.
    pub(super) fn from(&self, leaf: LeafIdx) -> impl Iterator<Item = u32> + '_ {
        let some = |number: u32| (number != NO_SHIFT).then_some(number);
        std::iter::successors(some(self.heads[leaf as usize]), move |number| {
            some(self.earlier[*number as usize])
        })
    }

    /// Who was in a lane that [`Shift::Many`] emptied.
    pub(super) fn moved_out(&self, who: u32, lane: usize) -> EntityIdx {
        EntityIdx(self.moved_out[who as usize + lane])
    }
}
