//! The part of a tick's work on the index that looks at each leaf alone, so that any number of
//! threads share the leaves: positions are fetched, boxes drawn anew, and whoever belongs elsewhere
//! is found. What crosses from leaf to leaf is done afterwards, in order.

use super::{LeafIdx, TURN_TICKS, fat};
use crate::curve;
use crate::entity::EntityIdx;
use crate::leaf::{Grid, GridBox, Leaf, bits};
use crate::simd::{self, Level};
use starling_protocol::space::Space;

/// What a share of the leaves found out.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// Who belongs elsewhere, and where on the curve.
    pub(super) departures: Vec<(EntityIdx, u64)>,
    /// Leaves whose fat box grew.
    pub(super) reshaped: Vec<LeafIdx>,
}

/// What every share reads.
#[derive(Clone, Copy)]
pub(super) struct Scenery<'a> {
    pub(super) space: Space,
    pub(super) simd: Level,
    pub(super) round: u32,
    pub(super) grids: &'a [Grid],
}

/// A share of the leaves.
pub(super) struct Part<'a> {
    pub(super) first: LeafIdx,
    pub(super) leaves: &'a mut [Leaf],
    pub(super) bounds: &'a mut [GridBox],
    pub(super) stamps: &'a [u32],
    pub(super) sweep: &'a mut Sweep,
}

impl Part<'_> {
    pub(super) fn run(&mut self, scenery: Scenery<'_>) {
        self.sweep.departures.clear();
        self.sweep.reshaped.clear();
        for at in 0..self.leaves.len() {
            let number = self.first + at as u32;
            let turn = number % TURN_TICKS == scenery.round % TURN_TICKS;
            let moved = self.stamps[at] >= scenery.round;
            if self.leaves[at].used != 0 && (turn || moved) {
                self.refresh(at, turn, scenery);
            }
        }
    }

    /// Brings one leaf up to where its entities are now.
    ///
    /// In its turn a leaf lets go whoever is out of its core and off its stretch, and draws its
    /// core and fat box anew; else only who is out of the fat box is looked at.
    fn refresh(&mut self, at: usize, turn: bool, scenery: Scenery<'_>) {
        let leaf = &mut self.leaves[at];
        leaf.fetch(scenery.grids);
        let limit = if turn { &leaf.core } else { &leaf.fat };
        let outside = leaf.used & !simd::inside(scenery.simd, &leaf.axes, limit);
        let mut strangers = 0;
        for lane in bits(outside) {
            let key = curve::key(scenery.space, leaf.at(lane));
            if !leaf.owns(key) {
                strangers |= 1 << lane;
                self.sweep.departures.push((EntityIdx(leaf.entities[lane]), key));
            }
        }
        let bounds = simd::round(scenery.simd, &leaf.axes, leaf.used & !strangers);
        self.bounds[at] = bounds;
        if turn {
            leaf.core = bounds;
            leaf.kinds = bits(leaf.used).fold(0, |kinds, lane| kinds | 1 << leaf.sorts[lane]);
        } else if outside == strangers {
            return;
        } else {
            leaf.core = leaf.core.with(&bounds);
        }
        let new = fat(&leaf.core);
        if !leaf.fat.holds(&new) {
            self.sweep.reshaped.push(self.first + at as u32);
        }
        leaf.fat = new;
    }
}
