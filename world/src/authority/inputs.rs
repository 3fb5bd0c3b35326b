//! Numbered inputs of one player: each once, in order, a bounded number of them.

use starling_protocol::units::newer16;
use std::collections::VecDeque;

/// Inputs that may wait for one tick; what comes beyond is dropped and counted.
const INPUTS_WAITING_MAX: usize = 32;

/// One input that waits for the next tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NumberedInput {
    pub(crate) number: u16,
    pub(crate) payload: Vec<u8>,
}

/// What became of an input that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It waits for the next tick.
    Taken,
    /// It was taken before, or came after a newer one.
    Old,
    /// Too many wait.
    Dropped,
}

/// The inputs of one player between the datagram and the game.
#[derive(Debug, Default)]
pub(crate) struct InputQueue {
    newest: Option<u16>,
    waiting: VecDeque<NumberedInput>,
    /// The newest number that the game or the host has applied.
    pub(crate) applied: Option<u16>,
}

impl InputQueue {
    /// Takes in one input; clients repeat theirs until they are acknowledged.
    pub(crate) fn push(&mut self, number: u16, payload: &[u8]) -> Arrival {
        if self.newest.is_some_and(|newest| !newer16(number, newest)) {
            return Arrival::Old;
        }
        if self.waiting.len() >= INPUTS_WAITING_MAX {
            return Arrival::Dropped;
        }
        self.newest = Some(number);
        self.waiting.push_back(NumberedInput { number, payload: payload.into() });
        Arrival::Taken
    }

    /// Takes out the oldest that waits.
    pub(crate) fn pop(&mut self) -> Option<NumberedInput> {
        self.waiting.pop_front()
    }

    /// Notes that everything up to this number was applied.
    pub(crate) fn apply(&mut self, number: u16) {
        if self.applied.is_none_or(|applied| newer16(number, applied)) {
            self.applied = Some(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_input_is_taken_once_and_in_order() {
        let mut queue = InputQueue::default();
        let arrivals: Vec<_> = [65_534, 65_535, 65_534, 65_535, 0, 2, 1]
            .into_iter()
            .map(|number| queue.push(number, &[number as u8]))
            .collect();
        use Arrival::{Old, Taken};
        assert_eq!(arrivals, [Taken, Taken, Old, Old, Taken, Taken, Old]);
        let numbers: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|i| i.number).collect();
        assert_eq!(numbers, [65_534, 65_535, 0, 2]);
    }

    #[test]
    fn too_many_inputs_are_dropped() {
        let mut queue = InputQueue::default();
        let dropped = (0..100).filter(|n| queue.push(*n, &[]) == Arrival::Dropped).count();
        assert_eq!(dropped, 100 - INPUTS_WAITING_MAX);
    }

    #[test]
    fn the_newest_applied_number_never_goes_back() {
        let mut queue = InputQueue::default();
        queue.apply(7);
        queue.apply(5);
        assert_eq!(queue.applied, Some(7));
    }
}
