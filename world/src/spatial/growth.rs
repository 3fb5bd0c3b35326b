//! Leaves that are full are cut in two, and two that are nearly empty become one.

use super::{Index, Lane, LeafIdx, MERGED_MAX, Shift, TURN_TICKS, fat};
use crate::curve;
use crate::entity::EntityIdx;
use crate::leaf::{GridBox, LEAF, Leaf, bits};

impl Index {
    /// Cuts a leaf in two where half of its entities lie on either side.
    pub(super) fn cut(&mut self, place: usize) {
        let number = self.order[place];
        let leaf = &self.leaves[number as usize];
        let mut members = [(0u64, 0u8); LEAF];
        for (lane, member) in members.iter_mut().enumerate() {
            *member = (curve::key(self.space, leaf.at(lane)), lane as u8);
        }
        members.sort_unstable();
        let half = LEAF / 2;
        let after = self.firsts.get(place + 1).copied().unwrap_or(u64::MAX);
        let first = members[half].0.clamp(leaf.first, after);
        let lanes = members[half..].iter().fold(0, |mask, (_, lane)| mask | 1u64 << lane);
        let other = self.take_leaf(first);
        self.order.insert(place + 1, other);
        self.firsts.insert(place + 1, first);
        self.give(number, other, lanes);
        for number in [number, other] {
            let bounds = self.leaves[number as usize].round(self.leaves[number as usize].used);
            self.bounds[number as usize] = bounds;
            let leaf = &mut self.leaves[number as usize];
            leaf.core = bounds;
            leaf.fat = fat(&bounds);
            self.reshaped.push(number);
        }
    }

    /// Gives all in these lanes to the same lanes of another leaf, which are free.
    fn give(&mut self, from: LeafIdx, to: LeafIdx, lanes: u64) {
        let who = self.moved_out.len() as u32;
        self.moved_out.extend_from_slice(&self.leaves[from as usize].entities);
        for lane in bits(lanes) {
            let leaf = &self.leaves[from as usize];
            let (entity, sort, at) =
                (EntityIdx(leaf.entities[lane]), leaf.sorts[lane], leaf.at(lane));
            self.leaves[to as usize].put(lane, entity, sort, at);
            self.lanes[entity.at()] = Lane::new(to, lane).0;
        }
        let strayed = self.leaves[from as usize].strayed & lanes;
        if strayed != 0 {
            self.leaves[to as usize].strayed |= strayed;
            self.strays.push(to);
        }
        self.leaves[from as usize].vacate(lanes);
        self.stamps[from as usize] = self.round;
        self.stamps[to as usize] = self.round;
        self.note(Shift::Many { from, to, lanes, who });
    }

    /// Makes one leaf of two neighbours that are nearly empty, one pair in each round.
    pub(super) fn merge(&mut self) {
        let count = |index: &Self, place: usize| {
            index.order.get(place).map_or(0, |leaf| index.leaves[*leaf as usize].used.count_ones())
        };
        let pairs = self.order.len() - 1;
        let looked = pairs.min(pairs / TURN_TICKS as usize + 1);
        for i in 0..looked {
            let place = (self.round as usize * looked + i) % pairs;
            if count(self, place) + count(self, place + 1) <= MERGED_MAX {
                self.absorb(place);
                return;
            }
        }
    }

    /// Takes all of the next leaf into this one.
    fn absorb(&mut self, place: usize) {
        let (number, next) = (self.order[place], self.order[place + 1]);
        self.order.remove(place + 1);
        self.firsts.remove(place + 1);
        let clash = self.leaves[next as usize].used & self.leaves[number as usize].used;
        let lanes = self.leaves[next as usize].used & !clash;
        let core = self.leaves[next as usize].core;
        if lanes != 0 {
            self.give(next, number, lanes);
        }
        for lane in bits(clash) {
            let leaf = &self.leaves[next as usize];
            let (entity, sort, at) =
                (EntityIdx(leaf.entities[lane]), leaf.sorts[lane], leaf.at(lane));
            let free = self.leaves[number as usize].used.trailing_ones() as usize;
            self.leaves[number as usize].put(free, entity, sort, at);
            let to = Lane::new(number, free);
            self.lanes[entity.at()] = to.0;
            self.leaves[next as usize].vacate(1 << lane);
            self.note(Shift::One { entity, from: Lane::new(next, lane), to });
        }
        self.stamps[number as usize] = self.round;
        let bounds = self.bounds[next as usize];
        self.bounds[number as usize] = self.bounds[number as usize].with(&bounds);
        let leaf = &mut self.leaves[number as usize];
        leaf.core = leaf.core.with(&core);
        leaf.fat = fat(&leaf.core).with(&self.bounds[number as usize]);
        self.reshaped.push(number);
        self.leaves[next as usize] = Leaf::empty(0);
        self.bounds[next as usize] = GridBox::EMPTY;
        self.free.push(next);
    }
}
