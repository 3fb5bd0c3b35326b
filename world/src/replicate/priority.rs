//! Who is told of when not all can be: the hungriest.
//!
//! Every candidate has waited for so long, in 256 steps and weighted by how near it is. A threshold
//! parts who is told from who waits. It changes little from tick to tick, so that of the last tick is
//! tried first; when it misses by more than a fifth, a histogram finds the exact one.
//!
//! Candidates lie as slots do, 64 to a block, and a choice is a mask for each block.

use super::slots::{BLOCK, bits};
use crate::simd::{self, Lanes, Level, Parted};

/// Slots with news, in order. Reused from session to session.
#[derive(Debug)]
pub struct Candidates {
    level: Level,
    blocks: Vec<Block>,
    /// Of each block.
    lanes: Vec<Lanes>,
    parted: Vec<Parted>,
    len: usize,
}

/// Which slots of one block.
#[derive(Clone, Copy, Debug)]
struct Block {
    word: u16,
    due: u64,
    chosen: u64,
}

impl Block {
    /// Its slots that come after a slot.
    fn after(&self, slot: u16) -> u64 {
        let (word, bit) = (slot / BLOCK as u16, u32::from(slot) % BLOCK as u32);
        match self.word.cmp(&word) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => u64::MAX.checked_shl(bit + 1).unwrap_or(0),
            std::cmp::Ordering::Greater => u64::MAX,
        }
    }
}

impl Default for Candidates {
    fn default() -> Self {
        Self::new()
    }
}

impl Candidates {
    /// None, on this machine.
    #[must_use]
    pub fn new() -> Self {
        let level = Level::detect();
        Self { level, blocks: Vec::new(), lanes: Vec::new(), parted: Vec::new(), len: 0 }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.blocks.clear();
        self.lanes.clear();
        self.len = 0;
    }

    /// One more, beyond all before: how long it has waited, weighted by nearness, and what its news
    /// takes, about.
    pub fn add(&mut self, slot: u16, hunger: u8, bits: u16) {
        let (word, lane) = (slot / BLOCK as u16, usize::from(slot) % BLOCK);
        if self.blocks.last().is_none_or(|block| block.word != word) {
            self.blocks.push(Block { word, due: 0, chosen: 0 });
            self.lanes.push(Lanes { hunger: [0; BLOCK], bits: [0; BLOCK] });
        }
        if let (Some(block), Some(lanes)) = (self.blocks.last_mut(), self.lanes.last_mut()) {
            block.due |= 1 << lane;
            (lanes.hunger[lane], lanes.bits[lane]) = (hunger, bits);
            self.len += 1;
        }
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// None?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Visits how long each has waited, in order, to change it.
    pub(crate) fn each_hunger(&mut self, mut visit: impl FnMut(u16, &mut u8)) {
        for (block, lanes) in self.blocks.iter().zip(&mut self.lanes) {
            bits(block.due).for_each(|lane| {
                visit(block.word * BLOCK as u16 + lane as u16, &mut lanes.hunger[lane]);
            });
        }
    }

    /// Who was chosen: a mask of the 64 slots of each block, in order.
    pub fn chosen(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        self.blocks.iter().map(|block| (block.word, block.chosen))
    }

    /// Chooses all above a threshold; returns what they take and what those at it do.
    fn part(&mut self, threshold: u8) -> (usize, usize) {
        let (above, at) = simd::part(self.level, &self.lanes, threshold, &mut self.parted);
        for (block, parted) in self.blocks.iter_mut().zip(&self.parted) {
            block.chosen = parted.above & block.due;
        }
        (above as usize, at as usize)
    }
}

/// What one session carries from tick to tick.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choice {
    /// Who is hungrier is told.
    threshold: u8,
    /// Of those that are exactly as hungry, the first after this slot come first.
    turn: u16,
}

impl Choice {
    /// Who is hungrier is told.
    pub const fn threshold(self) -> u8 {
        self.threshold
    }

    /// Chooses as many as take `room` bits; one at least, or a record larger than a narrow link would
    /// wait for ever.
    pub fn choose(&mut self, candidates: &mut Candidates, room: usize) {
        let (above, at) = candidates.part(self.threshold);
        let left = match room.checked_sub(above) {
            Some(left) if at > left || (above + at) * 5 >= room * 4 => left,
            _ => {
                let left = self.aim(candidates, room);
                candidates.part(self.threshold);
                left
            }
        };
        self.choose_equals(candidates, left);
    }

    /// Those that are as hungry as the threshold, as many as take `left` bits: first who comes after
    /// the one whose turn it was last.
    fn choose_equals(&mut self, candidates: &mut Candidates, mut left: usize) {
        let Candidates { blocks, lanes, parted, .. } = candidates;
        let mut any = blocks.iter().any(|block| block.chosen != 0);
        let turn = self.turn;
        for is_after in [true, false] {
            for ((block, lanes), parted) in blocks.iter_mut().zip(&*lanes).zip(&*parted) {
                let after = block.after(turn);
                let here = parted.at & block.due & if is_after { after } else { !after };
                for lane in bits(here) {
                    match left.checked_sub(usize::from(lanes.bits[lane])) {
                        Some(rest) => left = rest,
                        None if any => return,
                        None => left = 0,
                    }
                    block.chosen |= 1 << lane;
                    self.turn = block.word * BLOCK as u16 + lane as u16;
                    any = true;
                }
            }
        }
    }

    /// Sets the threshold so that those above fit and those at it do not all; returns what room is
    /// left for them.
    fn aim(&mut self, candidates: &Candidates, room: usize) -> usize {
        let mut bins = [0u32; 256];
        for lanes in &candidates.lanes {
            for (hunger, bits) in lanes.hunger.iter().zip(&lanes.bits) {
                bins[usize::from(*hunger)] += u32::from(*bits);
            }
        }
        let mut left = room;
        self.threshold = 0;
        for hunger in (0..=u8::MAX).rev() {
            match left.checked_sub(bins[usize::from(hunger)] as usize) {
                Some(rest) => left = rest,
                None => {
                    self.threshold = hunger;
                    break;
                }
            }
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(hungers: &[u8], bits: u16) -> Candidates {
        let mut candidates = Candidates::new();
        hungers.iter().zip(0..).for_each(|(hunger, slot)| candidates.add(slot, *hunger, bits));
        candidates
    }

    fn chosen(choice: &mut Choice, candidates: &mut Candidates, room: usize) -> Vec<u16> {
        choice.choose(candidates, room);
        let slots = |(word, mask)| bits(mask).map(move |lane| word * BLOCK as u16 + lane as u16);
        candidates.chosen().flat_map(slots).collect()
    }

    #[test]
    fn the_hungriest_are_chosen() {
        let mut all = candidates(&[3, 9, 1, 200, 9, 4], 10);
        assert_eq!(chosen(&mut Choice::default(), &mut all, 30), [1, 3, 4]);
        assert_eq!(chosen(&mut Choice::default(), &mut all, 60), [0, 1, 2, 3, 4, 5]);
        assert_eq!(chosen(&mut Choice::default(), &mut all, 49), [1, 3, 4, 5]);
    }

    #[test]
    fn the_equally_hungry_take_turns() {
        let (mut choice, mut all) = (Choice::default(), candidates(&[255; 5], 10));
        let rounds: Vec<_> = (0..5).map(|_| chosen(&mut choice, &mut all, 20)).collect();
        assert_eq!(rounds, [[1, 2], [3, 4], [0, 1], [2, 3], [0, 4]]);
    }

    #[test]
    fn one_is_chosen_however_narrow_the_link() {
        let mut all = candidates(&[1, 2, 2], 500);
        assert_eq!(chosen(&mut Choice::default(), &mut all, 0).len(), 1);
        assert_eq!(chosen(&mut Choice::default(), &mut candidates(&[1], 500), 9), [0]);
        assert!(chosen(&mut Choice::default(), &mut candidates(&[], 1), 9).is_empty());
    }

    #[test]
    fn a_threshold_that_misses_is_set_anew() {
        let mut choice = Choice { threshold: 9, turn: 0 };
        let mut all = candidates(&[1, 2, 3, 4, 5, 6, 7, 8], 10);
        assert_eq!(chosen(&mut choice, &mut all, 40), [4, 5, 6, 7]);
        assert_eq!(choice.threshold, 4);
        let mut wide = candidates(&[200; 8], 10);
        assert_eq!(chosen(&mut choice, &mut wide, 40).len(), 4, "too many above it");
    }

    #[test]
    fn a_turn_goes_on_beyond_a_block() {
        let (mut choice, mut all) = (Choice::default(), candidates(&[9; 130], 10));
        let rounds: Vec<_> = (0..3).map(|_| chosen(&mut choice, &mut all, 630)).collect();
        assert!(rounds[0].iter().copied().eq(1..64), "{:?}", rounds[0]);
        assert!(rounds[1].iter().copied().eq(64..127), "{:?}", rounds[1]);
        assert!(rounds[2].iter().copied().eq((0..60).chain(127..130)), "{:?}", rounds[2]);
    }
}
