//! Large values as differences to what a subscriber got last under the same key.

use super::log::Record;
use starling_protocol::delta;
use starling_protocol::message::events::{Action, Event, EventDown};
use starling_protocol::units::Offset;
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes of payloads that one subscription remembers; one, whatever it takes.
const BASES_BYTES_MAX: usize = 32 * 1024;
/// Keys whose payloads one subscription remembers.
const BASES_MAX: usize = 16;

/// What one subscriber got last, for the keys that it heard of most recently.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bases {
    /// The one heard of last at the end.
    recent: VecDeque<(Offset, Arc<Record>)>,
    bytes: usize,
}

/// The difference that was made last in a channel: followers mostly stand at the same place.
#[derive(Debug, Default)]
pub(crate) struct MadeLast {
    /// From which event to which.
    of: Option<(Offset, Offset)>,
    block: Option<Vec<u8>>,
}

impl MadeLast {
    fn block(
        &mut self,
        from: &(Offset, Arc<Record>),
        to: Offset,
        payload: &[u8],
    ) -> Option<Vec<u8>> {
        let of = Some((from.0, to));
        if self.of != of {
            self.of = of;
            self.block = delta::encode(payload, &from.1.payload);
        }
        self.block.clone()
    }
}

impl Bases {
    /// The subscriber begins anew, and has nothing to refer to.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// What a subject set is not referred to any more.
    pub(crate) fn forget(&mut self, subject: &str) {
        self.recent.retain(|(_, record)| !record.is_of(subject));
        self.bytes = self.recent.iter().map(|(_, record)| record.payload.len()).sum();
    }

    /// The event on its way to the subscriber: as a difference where that is shorter.
    pub(crate) fn deliver(
        &mut self,
        mut event: Event,
        record: Arc<Record>,
        made: &mut MadeLast,
    ) -> EventDown {
        let Some(key) = &record.state_key else { return EventDown::Deliver(Box::new(event)) };
        let base = self.take(key);
        if event.action != Action::Message {
            return EventDown::Deliver(Box::new(event));
        }
        let block = base.and_then(|base| made.block(&base, event.offset, &event.payload));
        let bytes = event.payload.len() as u32;
        self.put(event.offset, record);
        match block {
            None => EventDown::Deliver(Box::new(event)),
            Some(block) => {
                event.payload = block;
                EventDown::DeliverDelta { event: Box::new(event), bytes }
            }
        }
    }

    fn take(&mut self, key: &str) -> Option<(Offset, Arc<Record>)> {
        let at = self.recent.iter().position(|(_, r)| r.state_key.as_deref() == Some(key))?;
        let base = self.recent.remove(at)?;
        self.bytes -= base.1.payload.len();
        Some(base)
    }

    fn put(&mut self, offset: Offset, record: Arc<Record>) {
        self.bytes += record.payload.len();
        self.recent.push_back((offset, record));
        while self.recent.len() > BASES_MAX || self.recent.len() > 1 && self.bytes > BASES_BYTES_MAX
        {
            if let Some((_, old)) = self.recent.pop_front() {
                self.bytes -= old.payload.len();
            }
        }
    }
}
