//! Leaves that are full lend to a neighbour or are cut in two, and two that are nearly empty become
//! one.

use super::zone::ZoneIdx;
use super::{Index, LENT_MAX, Lane, LeafIdx, MERGED_MAX, Shift, TURN_TICKS, fat};
use crate::curve;
use crate::entity::EntityIdx;
use crate::leaf::{GridBox, LEAF, Leaf, bits};

impl Index {
    /// Makes room in a leaf that is full: the emptier of its neighbours takes some of its entities,
    /// or, where both are nearly full, it is cut in two.
    pub(super) fn relieve(&mut self, zone: ZoneIdx, place: usize) {
        let row = &self.zones.rows[zone as usize];
        let count = |place: &usize| self.leaves[row.order[*place] as usize].used.count_ones();
        let neighbours = [place.checked_sub(1), Some(place + 1).filter(|at| *at < row.order.len())];
        let emptier = neighbours.into_iter().flatten().min_by_key(count);
        match emptier.filter(|other| count(other) <= LENT_MAX) {
            Some(other) => self.lend(zone, place, other),
            None => self.cut(zone, place),
        }
    }

    /// Who is in a leaf, along the curve: keys and lanes.
    fn members<'a>(&self, leaf: LeafIdx, all: &'a mut [(u64, u8); LEAF]) -> &'a [(u64, u8)] {
        let leaf = &self.leaves[leaf as usize];
        for (member, lane) in all.iter_mut().zip(bits(leaf.used)) {
            *member = (curve::key(self.space, leaf.at(lane)), lane as u8);
        }
        let members = &mut all[..leaf.used.count_ones() as usize];
        members.sort_unstable();
        members
    }

    /// Cuts a leaf of a zone in two where half of its entities lie on either side.
    pub(super) fn cut(&mut self, zone: ZoneIdx, place: usize) {
        let number = self.zones.rows[zone as usize].order[place];
        let mut all = [(0, 0); LEAF];
        let members = self.members(number, &mut all);
        let half = &members[members.len() / 2..];
        let leaf = &mut self.leaves[number as usize];
        let after = leaf.after;
        let first = half.first().map_or(leaf.first, |(key, _)| (*key).clamp(leaf.first, after));
        leaf.after = first;
        let other = self.take_leaf(zone, first, after);
        let row = &mut self.zones.rows[zone as usize];
        row.order.insert(place + 1, other);
        row.firsts.insert(place + 1, first);
        self.hand(number, other, lanes_of(half));
        self.redraw(number);
        self.redraw(other);
    }

    /// Moves the border between two leaves so that both have as much room.
    fn lend(&mut self, zone: ZoneIdx, place: usize, to: usize) {
        let row = &self.zones.rows[zone as usize];
        let (number, other) = (row.order[place], row.order[to]);
        let mut all = [(0, 0); LEAF];
        let members = self.members(number, &mut all);
        let room = LEAF - self.leaves[other as usize].used.count_ones() as usize;
        let (border, lent) = if to > place {
            let lent = &members[members.len() - room / 2..];
            (lent[0].0, lent)
        } else {
            (members[room / 2].0, &members[..room / 2])
        };
        let leaf = &mut self.leaves[number as usize];
        let border = border.clamp(leaf.first, leaf.after);
        if to > place {
            leaf.after = border;
            self.leaves[other as usize].first = border;
        } else {
            leaf.first = border;
            self.leaves[other as usize].after = border;
        }
        self.zones.rows[zone as usize].firsts[place.max(to)] = border;
        self.hand(number, other, lanes_of(lent));
        self.redraw(number);
        self.redraw(other);
    }

    /// Draws a leaf's boxes round who is in it.
    fn redraw(&mut self, number: LeafIdx) {
        let leaf = &mut self.leaves[number as usize];
        leaf.core = leaf.round(leaf.used);
        leaf.fat = fat(&leaf.core);
        self.bounds[number as usize] = leaf.core;
        self.reshaped.push(number);
    }

    /// Hands entities over to another leaf, which has room for them: into the same lanes where those
    /// are free.
    fn hand(&mut self, from: LeafIdx, to: LeafIdx, lanes: u64) {
        let clash = lanes & self.leaves[to as usize].used;
        if lanes != clash {
            self.give(from, to, lanes & !clash);
        }
        for lane in bits(clash) {
            let free = self.leaves[to as usize].used.trailing_ones() as usize;
            let (from, to) = (Lane::new(from, lane), Lane::new(to, free));
            let entity = self.carry(from, to);
            self.shifts.note(Shift::One { entity, from, to });
        }
        self.leaves[from as usize].vacate(clash);
        self.stamps[from as usize] = self.round;
        self.stamps[to as usize] = self.round;
    }

    /// Gives all in these lanes to the same lanes of another leaf, which are free.
    fn give(&mut self, from: LeafIdx, to: LeafIdx, lanes: u64) {
        let who = self.shifts.keep(&self.leaves[from as usize].entities);
        for lane in bits(lanes) {
            self.carry(Lane::new(from, lane), Lane::new(to, lane));
        }
        self.leaves[from as usize].vacate(lanes);
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
        self.hand(next, number, self.leaves[next as usize].used);
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

fn lanes_of(members: &[(u64, u8)]) -> u64 {
    members.iter().fold(0, |mask, (_, lane)| mask | 1u64 << lane)
}
