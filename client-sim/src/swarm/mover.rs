//! One entity of the swarm: its motion, and what was said of it.

use crate::motion::{Motion, Pose};
use crate::space::Position;
use crate::target::{EntityNo, Sample};

/// Samples whose fate may still be reported. The server folds within a second or two.
const REMEMBERED: usize = 512;

/// An entity that a client of this thread owns.
pub(super) struct Mover {
    pub entity: EntityNo,
    motion: Box<dyn Motion>,
    state: State,
    number: u32,
    /// The number that its first sample will have, or had, since it appeared last.
    first: u32,
    /// The newest that the server is known to have taken.
    taken: u32,
    last_at_s: f64,
    /// Motion never runs backwards: the latest moment that it was asked of.
    asked_s: f64,
    /// Its next fix is in the calendar.
    is_booked: bool,
    /// By number modulo the length.
    sent: Vec<Sent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It has not appeared, or not yet again.
    Away,
    Here,
    Over,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    number: u32,
    position: Position,
    sampled_ns: u64,
}

/// What an entity has to say at a moment.
pub(super) enum Say {
    Nothing,
    /// It appears here.
    Appear(Sample),
    Move(Sample),
    Vanish,
}

impl Mover {
    pub(super) fn new(entity: EntityNo, motion: Box<dyn Motion>) -> Self {
        let sent = Vec::new();
        Self {
            entity,
            motion,
            state: State::Away,
            number: 0,
            first: 1,
            taken: 0,
            last_at_s: f64::NAN,
            asked_s: 0.0,
            is_booked: false,
            sent,
        }
    }

    pub(super) fn is_here(&self) -> bool {
        self.state == State::Here
    }

    /// Does the server know that it is here?
    pub(super) fn is_known(&self) -> bool {
        self.is_here() && self.taken >= self.first
    }

    /// The server took this sample.
    pub(super) fn note_taken(&mut self, number: u32) {
        self.taken = self.taken.max(number);
    }

    pub(super) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// What it says when sampled at `t_s`, which is `at_ns` by the run's clock.
    pub(super) fn say(&mut self, t_s: f64, at_ns: u64) -> Say {
        if self.state == State::Over {
            return Say::Nothing;
        }
        let ahead_s = (self.asked_s - t_s).max(0.0);
        let (t_s, at_ns) = (t_s + ahead_s, at_ns + (ahead_s * 1e9) as u64);
        self.asked_s = t_s;
        match (self.motion.pose(t_s), self.state) {
            (Some(pose), State::Away) => {
                self.state = State::Here;
                self.first = self.number + 1;
                Say::Appear(self.sample(pose, at_ns))
            }
            // A fix that was sent is not sent again.
            (Some(pose), _) if pose.at_s == self.last_at_s => Say::Nothing,
            (Some(pose), _) => {
                let age_ns = ((t_s - pose.at_s).max(0.0) * 1e9) as u64;
                Say::Move(self.sample(pose, at_ns.saturating_sub(age_ns)))
            }
            (None, State::Here) => {
                self.state = if self.motion.is_over(t_s) { State::Over } else { State::Away };
                Say::Vanish
            }
            (None, _) => {
                if self.motion.is_over(t_s) {
                    self.state = State::Over;
                }
                Say::Nothing
            }
        }
    }

    /// When its next fix falls due, if it is here, is known in fixes only, and the fix was not
    /// asked for yet.
    pub(super) fn book(&mut self) -> Option<f64> {
        let is_free = self.is_here() && !self.is_booked;
        let next_s = self.motion.next_fix_s().filter(|at_s| is_free && *at_s > self.asked_s)?;
        self.is_booked = true;
        Some(next_s)
    }

    /// The fix that was booked has fallen due.
    pub(super) fn unbook(&mut self) {
        self.is_booked = false;
    }

    /// Its session was set up anew: it must appear again.
    pub(super) fn forget(&mut self) {
        if self.state == State::Here {
            self.state = State::Away;
            self.last_at_s = f64::NAN;
        }
    }

    fn sample(&mut self, pose: Pose, sampled_ns: u64) -> Sample {
        self.number += 1;
        self.last_at_s = pose.at_s;
        let sent = Sent { number: self.number, position: pose.position, sampled_ns };
        let slot = self.number as usize % REMEMBERED;
        if self.sent.len() <= slot {
            self.sent.resize(slot + 1, Sent::default());
        }
        self.sent[slot] = sent;
        Sample { entity: self.entity, number: self.number, pose }
    }

    /// Where sample `number` was, and when it was taken; `None` if that is long ago.
    pub(super) fn sent(&self, number: u32) -> Option<(Position, u64)> {
        let sent = self.sent.get(number as usize % REMEMBERED)?;
        (sent.number == number).then_some((sent.position, sent.sampled_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::motion::Facing;

    /// Exists from second 1 to 4, with a fix every second.
    struct Visitor;

    impl Motion for Visitor {
        fn pose(&mut self, t_s: f64) -> Option<Pose> {
            let at_s = t_s.floor();
            let pose = Pose { at_s, position: [at_s; 3], velocity: None, facing: Facing::None };
            (1.0..4.0).contains(&t_s).then_some(pose)
        }

        fn is_over(&self, t_s: f64) -> bool {
            t_s >= 4.0
        }
    }

    #[test]
    fn a_fix_is_sent_once_with_the_moment_it_was_taken() {
        let mut mover = Mover::new(EntityNo(0), Box::new(Visitor));
        let ns = |t_s: f64| (t_s * 1e9) as u64;
        assert!(matches!(mover.say(0.5, ns(0.5)), Say::Nothing));
        assert!(matches!(mover.say(1.2, ns(1.2)), Say::Appear(s) if s.number == 1));
        assert!(mover.is_here() && !mover.is_known(), "nothing says that the server has it");
        mover.note_taken(1);
        assert!(mover.is_known());
        assert!(matches!(mover.say(1.9, ns(1.9)), Say::Nothing));
        assert!(matches!(mover.say(2.25, ns(2.25)), Say::Move(s) if s.number == 2));
        assert_eq!(mover.sent(2), Some(([2.0; 3], ns(2.0))));
        assert!(matches!(mover.say(4.5, ns(4.5)), Say::Vanish));
        assert!(mover.is_over());
        assert!(matches!(mover.say(4.6, ns(4.6)), Say::Nothing));
    }
}
