//! The boxes round the leaves in the order of the curve, 16 to a box, 16 of those to the next, and
//! so on to the top: what a probe climbs down.
//!
//! Built anew in every tick from the boxes of the leaves, which takes a few nanoseconds for each
//! leaf and no memory.

use crate::leaf::{GridBox, Probe};
use crate::simd::{BLOCK, Boxes, Level};

/// The levels, leaves first.
#[derive(Debug, Default)]
pub(crate) struct Canopy {
    levels: Vec<Boxes>,
    height: usize,
}

impl Canopy {
    /// Covers these boxes.
    pub(crate) fn cover(&mut self, leaves: impl Iterator<Item = GridBox>) {
        self.height = 1;
        self.make_room();
        self.levels[0].fill(leaves);
        while self.levels[self.height - 1].blocks() > 1 {
            self.height += 1;
            self.make_room();
            let (below, above) = self.levels.split_at_mut(self.height - 1);
            let below = &below[self.height - 2];
            above[0].fill((0..below.blocks()).map(|block| below.round(block)));
        }
    }

    /// The box round all of them.
    pub(crate) fn bounds(&self) -> GridBox {
        let top = self.height.checked_sub(1).map(|top| &self.levels[top]);
        top.filter(|top| top.blocks() != 0).map_or(GridBox::EMPTY, |top| top.round(0))
    }

    fn make_room(&mut self) {
        if self.levels.len() < self.height {
            self.levels.push(Boxes::default());
        }
    }

    /// Calls `found` with the place in the order of every leaf whose box the probe touches.
    #[inline]
    pub(crate) fn touching(&self, simd: Level, probe: &Probe, mut found: impl FnMut(usize)) {
        // What is still to be looked at on each level: a block, and which of it.
        let mut stack = [(0usize, 0u16); 8];
        let Some(top) = self.height.checked_sub(1) else { return };
        if self.levels[top].blocks() == 0 {
            return;
        }
        let mut level = top;
        stack[top] = (0, probe.touches(simd, &self.levels[top], 0));
        loop {
            let (block, left) = stack[level];
            if left == 0 {
                if level == top {
                    return;
                }
                level += 1;
                continue;
            }
            stack[level].1 = left & (left - 1);
            let at = block * BLOCK + left.trailing_zeros() as usize;
            if level == 0 {
                found(at);
            } else {
                level -= 1;
                stack[level] = (at, probe.touches(simd, &self.levels[level], at));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_climbs_down_to_every_box_that_it_touches() {
        for count in [0usize, 1, 15, 16, 17, 255, 256, 257, 5_000] {
            let leaf = |i: usize| {
                let x = (i as i32 * 7_919) % 1_000;
                GridBox { min: [x, i as i32, 0], max: [x + 5, i as i32 + 5, 3] }
            };
            let mut canopy = Canopy::default();
            canopy.cover((0..count).map(leaf));
            for probe in [
                GridBox { min: [100, 3, 0], max: [200, 4_000, 0] },
                GridBox { min: [0, 0, 4], max: [9_999; 3] },
                GridBox::ALL,
            ] {
                let mut found = Vec::new();
                canopy.touching(Level::detect(), &Probe::Box(probe), |at| found.push(at));
                found.sort_unstable();
                let all: Vec<_> = (0..count).filter(|i| leaf(*i).touches(&probe)).collect();
                assert_eq!(found, all);
            }
        }
    }
}
