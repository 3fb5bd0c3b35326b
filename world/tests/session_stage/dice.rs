//! Random numbers of a test: all from its seed, which is told when the test fails.

/// Splitmix64: the same seed, the same run.
pub struct Dice {
    seed: u64,
    state: u64,
}

impl Dice {
    pub const fn new(seed: u64) -> Self {
        Self { seed, state: seed }
    }

    /// 0 to `sides` - 1.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

impl Drop for Dice {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {}", self.seed);
        }
    }
}
