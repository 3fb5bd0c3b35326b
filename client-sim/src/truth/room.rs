//! How much the judge follows. What is beyond is counted, and makes a run invalid.

/// Bounds of what is remembered in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Events followed in all.
    pub events: usize,
    /// Deliveries by place, and as many hearings of cues, that wait until it is known whether they
    /// were for their recipient: at most about a second's.
    pub suspects: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { events: 4_000_000, suspects: 262_144 }
    }
}
