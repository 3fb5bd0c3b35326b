//! Leaves that are full are cut in two, and two that are nearly empty become one.

use super::zone::ZoneIdx;
use super::{Index, Lane, LeafIdx, MERGED_MAX, Shift, TURN_TICKS, fat};
use crate::curve;
use crate::entity::EntityIdx;
use crate::leaf::{GridBox, LEAF, Leaf, bits};

impl Index {
    /// Cuts a leaf of a zone in two where half of its entities lie on either side.
    pub(super) fn cut(&mut self, zone: ZoneIdx, place: usize) {
        let number = self.zones.rows[zone as usize].order[place];
        let leaf = &self.leaves[number as usize];
        let mut members = [(u64::MAX, 0u8); LEAF];
        let count = leaf.used.count_ones() as usize;
        for (member, lane) in members.iter_mut().zip(bits(leaf.used)) {
            *member = (curve::key(self.space, leaf.at(lane)), lane as u8);
        }
        let members = &mut members[..count];
        members.sort_unstable();
        let half = &members[count / 2..];
        let (begins, after) = (leaf.first, leaf.after);
        let first = half.first().map_or(begins, |(key, _)| (*key).clamp(begins, after));
        let lanes = half.iter().fold(0, |mask, (_, lane)| mask | 1u64 << lane);
        let other = self.take_leaf(zone, first, after);
        self.leaves[number as usize].after = first;
        let row = &mut self.zones.rows[zone as usize];
        row.order.insert(place + 1, other);
        row.firsts.insert(place + 1, first);
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
        let who = self.shifts.keep(&self.leaves[from as usize].entities);
        for lane in bits(lanes) {
            self.carry(Lane::new(from, lane), Lane::new(to, lane));
        }
        self.leaves[from as usize].vacate(lanes);
        self.stamps[from as usize] = self.round;
        self.stamps[to as usize] = self.round;
        self.shifts.note(Shift::Many { from, to, lanes, who });
    }

    /// Puts an entity into a free lane, too; returns who it is.
    fn carry(&mut self, from: Lane, to: Lane) -> EntityIdx {
        let (leaf, lane) = (&self.leaves[from.leaf() as usize], from.lane());
        let (entity, sort, at) = (EntityIdx(leaf.entities[lane]), leaf.sorts[lane], leaf.at(lane));
        self.leaves[to.leaf() as usize].put(to.lane(), entity, sort, at);
        self.lanes[entity.at()] = to.0;
        entity
    }

    /// Makes one leaf of two neighbours that are nearly empty, one pair of each zone in a round.
    pub(super) fn merge(&mut self) {
        for at in 0..self.zones.order.len() {
            self.merge_in(self.zones.order[at]);
        }
    }

    fn merge_in(&mut self, zone: ZoneIdx) {
        let row = &self.zones.rows[zone as usize];
        let count = |place: usize| self.leaves[row.order[place] as usize].used.count_ones();
        let pairs = row.order.len() - 1;
        let looked = pairs.min(pairs / TURN_TICKS as usize + 1);
        let places = (0..looked).map(|i| (self.round as usize * looked + i) % pairs);
        let sparse = |place: &usize| count(*place) + count(*place + 1) <= MERGED_MAX;
        if let Some(place) = { places }.find(sparse) {
            self.absorb(zone, place);
        }
    }

    /// Takes all of the next leaf into this one.
    fn absorb(&mut self, zone: ZoneIdx, place: usize) {
        let row = &mut self.zones.rows[zone as usize];
        let (number, next) = (row.order[place], row.order.remove(place + 1));
        row.firsts.remove(place + 1);
        let clash = self.leaves[next as usize].used & self.leaves[number as usize].used;
        let lanes = self.leaves[next as usize].used & !clash;
        if lanes != 0 {
            self.give(next, number, lanes);
        }
        for lane in bits(clash) {
            let from = Lane::new(next, lane);
            let free = self.leaves[number as usize].used.trailing_ones() as usize;
            let to = Lane::new(number, free);
            let entity = self.carry(from, to);
            self.leaves[next as usize].vacate(1 << lane);
            self.shifts.note(Shift::One { entity, from, to });
        }
        self.stamps[number as usize] = self.round;
        let bounds = self.bounds[next as usize];
        self.bounds[number as usize] = self.bounds[number as usize].with(&bounds);
        let (core, after) = (self.leaves[next as usize].core, self.leaves[next as usize].after);
        let leaf = &mut self.leaves[number as usize];
        leaf.after = after;
        leaf.core = leaf.core.with(&core);
        leaf.fat = fat(&leaf.core).with(&self.bounds[number as usize]);
        self.reshaped.push(number);
        self.leaves[next as usize] = Leaf::empty();
        self.bounds[next as usize] = GridBox::EMPTY;
        self.free.push(next);
    }
}
