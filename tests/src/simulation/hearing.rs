//! Which ticks a client has heard of, and when.
//!
//! A step takes in all that arrived and hands out cues only then, so that a cue may be handed out
//! after a datagram that came later. It is judged by what was known when it came at the earliest.

use starling_protocol::units::Tick;

/// The ticks that one client has heard of.
#[derive(Debug, Default)]
pub(crate) struct Hearing {
    /// The newest before this step.
    before: Tick,
    /// The oldest and the newest of this step.
    step: Option<(Tick, Tick)>,
}

impl Hearing {
    pub(crate) fn begin_step(&mut self) {
        self.before = self.newest();
        self.step = None;
    }

    pub(crate) fn hear(&mut self, tick: Tick) {
        let (oldest, newest) = self.step.unwrap_or((tick, tick));
        self.step = Some((oldest.min(tick), newest.max(tick)));
    }

    /// The newest tick that was certainly known when something of this step came.
    pub(crate) fn on_arrival(&self) -> Tick {
        self.step.map_or(self.before, |(oldest, _)| oldest.max(self.before))
    }

    fn newest(&self) -> Tick {
        self.step.map_or(self.before, |(_, newest)| newest.max(self.before))
    }
}

#[test]
fn what_came_in_one_step_is_judged_by_its_oldest_and_by_the_steps_before() {
    let mut hearing = Hearing::default();
    hearing.hear(Tick(7));
    hearing.hear(Tick(5));
    assert_eq!(hearing.on_arrival(), Tick(5));
    hearing.begin_step();
    assert_eq!(hearing.on_arrival(), Tick(7));
    hearing.hear(Tick(6));
    assert_eq!(hearing.on_arrival(), Tick(7));
}
