//! Who is told of when not all can be: the hungriest.
//!
//! Every candidate has waited for so long, in 256 steps and weighted by how near it is. A threshold
//! parts who is told from who waits. It changes little from tick to tick, so that of the last tick is
//! tried first; when it misses by more than a fifth, a histogram finds the exact one.

/// One slot with news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub slot: u16,
    /// How long it has waited, weighted by nearness.
    pub hunger: u8,
    /// What its news takes, about.
    pub bits: u16,
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

    /// Chooses among candidates, which are in order of slot, as many as take `room` bits; one at
    /// least, or a record larger than a narrow link would wait for ever.
    pub fn choose(&mut self, candidates: &[Candidate], room: usize, mut chosen: impl FnMut(u16)) {
        let (above, at) = self.weigh(candidates);
        let mut left = match room.checked_sub(above) {
            Some(left) if at > left || (above + at) * 5 >= room * 4 => left,
            _ => self.aim(candidates, room),
        };
        let threshold = self.threshold;
        let above = candidates.iter().filter(|candidate| candidate.hunger > threshold);
        let mut any = false;
        above.for_each(|candidate| {
            chosen(candidate.slot);
            any = true;
        });
        let turn = candidates.partition_point(|candidate| candidate.slot <= self.turn);
        for candidate in candidates[turn..].iter().chain(&candidates[..turn]) {
            if candidate.hunger != threshold {
                continue;
            }
            match left.checked_sub(usize::from(candidate.bits)) {
                Some(rest) => left = rest,
                None if any => break,
                None => left = 0,
            }
            chosen(candidate.slot);
            self.turn = candidate.slot;
            any = true;
        }
    }

    /// Bits of those above the threshold, and of those at it.
    fn weigh(&self, candidates: &[Candidate]) -> (usize, usize) {
        let (mut above, mut at) = (0, 0);
        for candidate in candidates {
            let bits = u32::from(candidate.bits);
            above += if candidate.hunger > self.threshold { bits } else { 0 };
            at += if candidate.hunger == self.threshold { bits } else { 0 };
        }
        (above as usize, at as usize)
    }

    /// Sets the threshold so that those above fit and those at it do not all; returns what room is
    /// left for them.
    fn aim(&mut self, candidates: &[Candidate], room: usize) -> usize {
        let mut bins = [0u32; 256];
        for candidate in candidates {
            bins[usize::from(candidate.hunger)] += u32::from(candidate.bits);
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

    fn candidates(hungers: &[u8], bits: u16) -> Vec<Candidate> {
        let one =
            |(slot, hunger): (usize, &u8)| Candidate { slot: slot as u16, hunger: *hunger, bits };
        hungers.iter().enumerate().map(one).collect()
    }

    fn chosen(choice: &mut Choice, candidates: &[Candidate], room: usize) -> Vec<u16> {
        let mut slots = Vec::new();
        choice.choose(candidates, room, |slot| slots.push(slot));
        slots.sort_unstable();
        slots
    }

    #[test]
    fn the_hungriest_are_chosen() {
        let all = candidates(&[3, 9, 1, 200, 9, 4], 10);
        assert_eq!(chosen(&mut Choice::default(), &all, 30), [1, 3, 4]);
        assert_eq!(chosen(&mut Choice::default(), &all, 60), [0, 1, 2, 3, 4, 5]);
        assert_eq!(chosen(&mut Choice::default(), &all, 49), [1, 3, 4, 5]);
    }

    #[test]
    fn the_equally_hungry_take_turns() {
        let (mut choice, all) = (Choice::default(), candidates(&[255; 5], 10));
        let rounds: Vec<_> = (0..5).map(|_| chosen(&mut choice, &all, 20)).collect();
        assert_eq!(rounds, [[1, 2], [3, 4], [0, 1], [2, 3], [0, 4]]);
    }

    #[test]
    fn one_is_chosen_however_narrow_the_link() {
        let all = candidates(&[1, 2, 2], 500);
        assert_eq!(chosen(&mut Choice::default(), &all, 0).len(), 1);
        assert_eq!(chosen(&mut Choice::default(), &all[..1], 9), [0]);
        assert!(chosen(&mut Choice::default(), &[], 9).is_empty());
    }

    #[test]
    fn a_threshold_that_misses_is_set_anew() {
        let mut choice = Choice { threshold: 9, turn: 0 };
        let all = candidates(&[1, 2, 3, 4, 5, 6, 7, 8], 10);
        assert_eq!(chosen(&mut choice, &all, 40), [4, 5, 6, 7]);
        assert_eq!(choice.threshold, 4);
        let wide = candidates(&[200; 8], 10);
        assert_eq!(chosen(&mut choice, &wide, 40).len(), 4, "too many above it");
    }
}
