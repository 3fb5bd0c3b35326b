//! Numbered inputs on their way to a game that decides elsewhere.
//!
//! An input is repeated in every uplink until one that carried it was folded, and kept until the
//! game says that it was applied, so that a client can step its own prediction again from there.

use crate::error::RequestError;
use starling_protocol::limits::{INPUT_BYTES_MAX, INPUTS_PER_DATAGRAM_MAX};
use starling_protocol::units::newer16;
use std::collections::VecDeque;

/// Inputs that may wait to be applied.
pub(crate) const INPUTS_PENDING_MAX: usize = 256;

/// An input that the game has not applied yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingInput<'a> {
    /// Counts up by one with every input.
    pub number: u16,
    /// The game's bytes.
    pub payload: &'a [u8],
}

#[derive(Debug)]
struct Input {
    len: u8,
    bytes: [u8; INPUT_BYTES_MAX],
}

impl Input {
    fn payload(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// The inputs of one session.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    /// Neither applied nor given up, oldest first.
    pending: VecDeque<Input>,
    /// Number of the newest that was ever made; the first is 1.
    newest: u16,
    /// Newest of which it is known that the server has it.
    received: u16,
    applied: Option<u16>,
}

impl Inputs {
    pub(crate) fn push(&mut self, payload: &[u8]) -> Result<u16, RequestError> {
        if payload.len() > INPUT_BYTES_MAX {
            return Err(RequestError::TooLarge);
        }
        if self.pending.len() == INPUTS_PENDING_MAX {
            self.forget_received()?;
        }
        let mut bytes = [0; INPUT_BYTES_MAX];
        bytes[..payload.len()].copy_from_slice(payload);
        self.pending.push_back(Input { len: payload.len() as u8, bytes });
        self.newest = self.newest.wrapping_add(1);
        Ok(self.newest)
    }

    /// A game that never says what it applied must not fill the queue: what it has is let go.
    fn forget_received(&mut self) -> Result<(), RequestError> {
        if newer16(self.oldest(), self.received) {
            return Err(RequestError::Busy);
        }
        self.pending.pop_front();
        Ok(())
    }

    fn oldest(&self) -> u16 {
        self.newest.wrapping_sub(self.pending.len() as u16).wrapping_add(1)
    }

    /// The inputs of the next uplink, and the number of the last of them.
    pub(crate) fn to_send(&self) -> (u16, impl ExactSizeIterator<Item = &[u8]>) {
        let done = self.received.wrapping_sub(self.oldest()).wrapping_add(1);
        let skip = if newer16(self.oldest(), self.received) { 0 } else { usize::from(done) };
        let count = self.pending.len().saturating_sub(skip).min(INPUTS_PER_DATAGRAM_MAX);
        let last = self.oldest().wrapping_add((skip + count) as u16).wrapping_sub(1);
        let range = skip.min(self.pending.len())..skip.min(self.pending.len()) + count;
        (last, self.pending.range(range).map(Input::payload))
    }

    pub(crate) fn anything_to_send(&self) -> bool {
        self.to_send().1.len() > 0
    }

    /// An uplink whose last input had this number was folded.
    pub(crate) fn received(&mut self, number: u16) {
        if newer16(number, self.received) && !newer16(number, self.newest) {
            self.received = number;
        }
    }

    /// The game has applied everything up to this number.
    pub(crate) fn applied(&mut self, number: u16) {
        if newer16(number, self.newest) || self.applied.is_some_and(|a| !newer16(number, a)) {
            return;
        }
        self.applied = Some(number);
        self.received(number);
        while !self.pending.is_empty() && !newer16(self.oldest(), number) {
            self.pending.pop_front();
        }
    }

    pub(crate) const fn newest_applied(&self) -> Option<u16> {
        self.applied
    }

    pub(crate) fn pending(&self) -> impl ExactSizeIterator<Item = PendingInput<'_>> {
        let oldest = self.oldest();
        self.pending.iter().enumerate().map(move |(i, input)| PendingInput {
            number: oldest.wrapping_add(i as u16),
            payload: input.payload(),
        })
    }

    /// A new session counts anew and knows nothing of what was sent to the old one.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(inputs: &Inputs) -> (u16, Vec<u8>) {
        let (last, each) = inputs.to_send();
        (last, each.map(|payload| payload[0]).collect())
    }

    #[test]
    fn inputs_are_repeated_until_received_and_kept_until_applied() {
        let mut inputs = Inputs::default();
        for n in 1..=3 {
            assert_eq!(inputs.push(&[n]), Ok(u16::from(n)));
        }
        assert_eq!(sent(&inputs), (3, vec![1, 2, 3]));
        inputs.received(2);
        assert_eq!(sent(&inputs), (3, vec![3]));
        assert_eq!(inputs.pending().len(), 3);
        inputs.applied(1);
        let numbers: Vec<u16> = inputs.pending().map(|input| input.number).collect();
        assert_eq!(numbers, [2, 3]);
        inputs.applied(3);
        assert_eq!((inputs.pending().len(), inputs.newest_applied()), (0, Some(3)));
        assert!(!inputs.anything_to_send());
    }

    #[test]
    fn a_long_queue_is_sent_from_its_oldest() {
        let mut inputs = Inputs::default();
        for n in 1..=20 {
            inputs.push(&[n]).expect("room");
        }
        assert_eq!(sent(&inputs), (8, (1..=8).collect()));
        inputs.received(8);
        assert_eq!(sent(&inputs), (16, (9..=16).collect()));
    }

    #[test]
    fn numbers_wrap_without_a_break() {
        let mut inputs = Inputs::default();
        for n in 0..=70_000u32 {
            let number = inputs.push(&[n as u8]).expect("room");
            assert_eq!(sent(&inputs), (number, vec![n as u8]), "input {n}");
            inputs.applied(number);
        }
    }

    #[test]
    fn a_full_queue_is_told_and_a_silent_game_does_not_fill_it() {
        let mut inputs = Inputs::default();
        for _ in 0..INPUTS_PENDING_MAX {
            inputs.push(&[0]).expect("room");
        }
        assert_eq!(inputs.push(&[0]), Err(RequestError::Busy));
        inputs.received(100);
        assert_eq!(inputs.push(&[0]), Ok(257));
        assert_eq!(inputs.push(&[0; 65]), Err(RequestError::TooLarge));
    }

    #[test]
    fn news_of_inputs_never_made_changes_nothing() {
        let mut inputs = Inputs::default();
        inputs.push(&[1]).expect("room");
        inputs.applied(9);
        inputs.received(9);
        assert_eq!(sent(&inputs), (1, vec![1]));
        assert_eq!(inputs.newest_applied(), None);
    }
}
