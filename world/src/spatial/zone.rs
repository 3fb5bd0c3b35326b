//! Zones: stretches of the curve, each with at most so many entities, leaves in its own order and
//! canopies of its own.
//!
//! A zone that is full is cut in two at a leaf near its middle; two sparse neighbours become one. An
//! entity that crosses from one zone's stretch into another's is handed over: it changes lanes as
//! between any two leaves, and whoever looks follows it by the same shift. Leaves have numbers of
//! the whole index, so that a cut between zones moves no entity and no mask.

use super::{Index, LeafIdx};
use crate::canopy::Canopy;
use crate::leaf::{GridBox, Leaf, Probe};
use crate::simd::Level;

/// Fewest entities that a zone may be limited to: what is full can still be cut in two.
const LIMIT_MIN: usize = 2;

/// A zone's number.
pub(super) type ZoneIdx = u32;

/// A stretch of the curve.
#[derive(Debug, Default)]
pub(super) struct Zone {
    /// Its leaves along the curve, and where each begins.
    pub(super) order: Vec<LeafIdx>,
    pub(super) firsts: Vec<u64>,
    /// How many entities are in them.
    pub(super) len: usize,
    /// Over the boxes of the leaves as they are, and over the fat ones.
    near: Canopy,
    fat: Canopy,
}

/// All zones.
#[derive(Debug)]
pub(super) struct Zones {
    /// Most entities of one.
    pub(super) limit: usize,
    /// By number.
    pub(super) rows: Vec<Zone>,
    /// The zones along the curve, and where each begins.
    pub(super) order: Vec<ZoneIdx>,
    firsts: Vec<u64>,
    free: Vec<ZoneIdx>,
    /// Over the zones.
    near: Canopy,
    fat: Canopy,
    /// Entities that crossed from one zone into another.
    pub(super) handovers: u64,
}

impl Zones {
    /// One zone with one leaf.
    pub(super) fn new(limit: usize, first: LeafIdx) -> Self {
        let zone = Zone { order: vec![first], firsts: vec![0], ..Zone::default() };
        Self {
            limit: limit.max(LIMIT_MIN),
            rows: vec![zone],
            order: vec![0],
            firsts: vec![0],
            free: Vec::new(),
            near: Canopy::default(),
            fat: Canopy::default(),
            handovers: 0,
        }
    }

    /// To which zone along the curve a key belongs, and to which leaf of it.
    #[inline]
    pub(super) fn find(&self, key: u64) -> (usize, usize) {
        let at = self.firsts.partition_point(|first| *first <= key) - 1;
        let zone = &self.rows[self.order[at] as usize];
        (at, zone.firsts.partition_point(|first| *first <= key) - 1)
    }

    /// Covers every zone, and then all of them.
    pub(super) fn cover(&mut self, leaves: &[Leaf], bounds: &[GridBox]) {
        for zone in &mut self.rows {
            zone.cover(leaves, bounds);
        }
        let zones = || self.order.iter().map(|zone| &self.rows[*zone as usize]);
        self.near.cover(zones().map(|zone| zone.near.bounds()));
        self.fat.cover(zones().map(|zone| zone.fat.bounds()));
    }

    /// Calls `found` with every leaf whose box the probe touches.
    #[inline]
    pub(super) fn touching(&self, simd: Level, probe: &Probe, mut found: impl FnMut(LeafIdx)) {
        self.near.touching(simd, probe, |at| {
            let zone = &self.rows[self.order[at] as usize];
            zone.near.touching(simd, probe, |place| found(zone.order[place]));
        });
    }

    /// Calls `found` with every leaf whose fat box touches this one.
    pub(super) fn near(&self, simd: Level, reach: &GridBox, mut found: impl FnMut(LeafIdx)) {
        let probe = Probe::Box(*reach);
        self.fat.touching(simd, &probe, |at| {
            let zone = &self.rows[self.order[at] as usize];
            zone.fat.touching(simd, &probe, |place| found(zone.order[place]));
        });
    }
}

impl Zone {
    fn cover(&mut self, leaves: &[Leaf], bounds: &[GridBox]) {
        self.near.cover(self.order.iter().map(|leaf| bounds[*leaf as usize]));
        self.fat.cover(self.order.iter().map(|leaf| leaves[*leaf as usize].fat));
    }
}

impl Index {
    /// Cuts the zone at this place in two, where half of its entities lie on either side.
    pub(super) fn split(&mut self, at: usize) {
        let number = self.zones.order[at];
        if self.zones.rows[number as usize].order.len() == 1 {
            self.cut(number, 0);
        }
        let zone = &self.zones.rows[number as usize];
        let count = |place: usize| self.leaves[zone.order[place] as usize].used.count_ones();
        let (mut place, mut before) = (1, count(0) as usize);
        while place + 1 < zone.order.len() && before * 2 < zone.len {
            before += count(place) as usize;
            place += 1;
        }
        let other = self.zones.free.pop().unwrap_or_else(|| {
            self.zones.rows.push(Zone::default());
            self.zones.rows.len() as ZoneIdx - 1
        });
        let zone = &mut self.zones.rows[number as usize];
        let (order, firsts) = (zone.order.split_off(place), zone.firsts.split_off(place));
        let len = zone.len - before;
        zone.len = before;
        order.iter().for_each(|leaf| self.leaves[*leaf as usize].zone = other);
        self.zones.order.insert(at + 1, other);
        self.zones.firsts.insert(at + 1, firsts[0]);
        self.zones.rows[other as usize] = Zone { order, firsts, len, ..Zone::default() };
    }

    /// Makes one zone of two sparse neighbours; one pair in each round is looked at.
    pub(super) fn merge_zones(&mut self) {
        let pairs = self.zones.order.len() - 1;
        if pairs == 0 {
            return;
        }
        let at = self.round as usize % pairs;
        let [number, next] = [self.zones.order[at], self.zones.order[at + 1]];
        let len = |zone: ZoneIdx| self.zones.rows[zone as usize].len;
        if (len(number) + len(next)) * 2 > self.zones.limit {
            return;
        }
        let gone = std::mem::take(&mut self.zones.rows[next as usize]);
        gone.order.iter().for_each(|leaf| self.leaves[*leaf as usize].zone = number);
        let zone = &mut self.zones.rows[number as usize];
        zone.order.extend(gone.order);
        zone.firsts.extend(gone.firsts);
        zone.len += gone.len;
        self.zones.order.remove(at + 1);
        self.zones.firsts.remove(at + 1);
        self.zones.free.push(next);
    }
}
