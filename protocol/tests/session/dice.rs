//! A small seeded generator (splitmix64): the same seed, the same session.

pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// 0 to `n` - 1.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.roll() % n
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Around zero: mostly small, now and then as large as `max`.
    pub(crate) fn spread(&mut self, max: i64) -> i64 {
        let bits = self.below(u64::from(max.ilog2()) + 1) as u32;
        let size = (self.roll() & ((1 << bits) - 1)) as i64;
        if self.chance(50) { -size } else { size }
    }
}
