//! One entity of a simulated client, and the numbers of its samples.

use crate::target::EntityNo;
use starling_client::{OwnKey, OwnState, Session};
use starling_protocol::units::Handle;

/// Sequences whose number in the swarm is remembered.
const SEQUENCES: usize = 512;

/// An entity that a client owns.
pub(super) struct Own {
    pub entity: EntityNo,
    pub name: String,
    pub key: Option<OwnKey>,
    /// (sequence, number) by sequence modulo the length.
    numbers: Vec<(u16, u32)>,
    /// The newest sequence that left.
    pub last_sent: Option<u16>,
}

impl Own {
    pub(super) fn new(entity: EntityNo, name: String) -> Self {
        Self { entity, name, key: None, numbers: Vec::new(), last_sent: None }
    }

    /// It is gone, and may appear again.
    pub(super) fn forget(&mut self) {
        self.key = None;
        self.numbers.clear();
        self.last_sent = None;
    }

    /// The pose that was just set goes under this sequence. A sample that was not sent yet is
    /// replaced under its own; one that was sent stands for every pose that is equal to it.
    pub(super) fn note(&mut self, sequence: u16, number: u32) {
        if self.last_sent == Some(sequence) {
            return;
        }
        let slot = usize::from(sequence) % SEQUENCES;
        if self.numbers.len() <= slot {
            self.numbers.resize(slot + 1, (0, 0));
        }
        self.numbers[slot] = (sequence, number);
    }

    pub(super) fn number(&self, sequence: u16) -> Option<u32> {
        let (known, number) = *self.numbers.get(usize::from(sequence) % SEQUENCES)?;
        (known == sequence && number > 0).then_some(number)
    }

    pub(super) fn handle(&self, session: &Session) -> Option<Handle> {
        match session.own(self.key?)? {
            OwnState::Stands { handle, .. } => Some(handle),
            _ => None,
        }
    }
}
