//! What publishers were promised, and what followers heard, held against each other. Knows nothing of how
//! either came about.

use starling_protocol::message::events::{Answer, Event, Receipt};
use starling_protocol::units::{ChannelPosition, Epoch, Offset};
use std::collections::{BTreeMap, BTreeSet};

/// One channel, as its publishers and one follower have it.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Everything that anybody tried to publish, by its number.
    sent: BTreeSet<u64>,
    /// What was acknowledged, and where it stands.
    acked: BTreeMap<u64, ChannelPosition>,
    /// What may be there or not: refused, or never answered.
    pub(crate) refused: u64,
    pub(crate) uncertain: u64,
}

/// What one follower heard.
#[derive(Debug, Default)]
pub(crate) struct Hearing {
    at: Option<(Epoch, Offset)>,
    /// Where each number was heard first.
    heard: BTreeMap<u64, (Epoch, Offset)>,
    pub(crate) resets: u64,
    pub(crate) gaps: u64,
    /// What must never be.
    pub(crate) breaches: Vec<String>,
}

impl Ledger {
    pub(crate) fn publishes(&mut self, number: u64) {
        assert!(self.sent.insert(number), "a publisher counts");
    }

    pub(crate) fn is_acked(&mut self, number: u64, receipt: Receipt) {
        let Receipt::Channel(position) = receipt else { panic!("it was for a channel") };
        if let Some(before) = self.acked.insert(number, position) {
            assert_eq!(before, position, "{number} is acknowledged twice, at different places");
        }
    }

    pub(crate) fn acked(&self) -> usize {
        self.acked.len()
    }

    /// Every acknowledged event was heard, where it was said to stand; P5, P6 and P7.
    pub(crate) fn breaches(&self, hearing: &Hearing) -> Vec<String> {
        let mut breaches = hearing.breaches.clone();
        for (number, position) in &self.acked {
            let heard = hearing.heard.get(number);
            let right = heard.is_some_and(|at| *at == (position.epoch, position.offset));
            if !right {
                breaches
                    .push(format!("{number} was acknowledged at {position:?}, heard {heard:?}"));
            }
        }
        let strays = hearing.heard.keys().filter(|number| !self.sent.contains(number));
        breaches.extend(strays.map(|number| format!("{number} was never published")));
        breaches
    }
}

impl Hearing {
    pub(crate) fn begins(&mut self, answer: Answer) {
        if let Answer::Reset(position) = answer {
            self.resets += 1;
            self.at = Some((position.epoch, position.offset));
        }
    }

    pub(crate) fn misses(&mut self, from: Offset, to: Offset) {
        self.gaps += to.0 - from.0 + 1;
        match &mut self.at {
            Some((_, at)) if at.0 + 1 == from.0 => *at = to,
            at => self.breaches.push(format!("a gap {from:?} to {to:?} after {at:?}")),
        }
    }

    /// Every event is the next one, and none comes twice; P4 and P6.
    pub(crate) fn hears(&mut self, event: &Event) {
        let next = self.at.map(|(epoch, at)| (epoch, Offset(at.0 + 1)));
        match next {
            Some((epoch, next)) if next == event.offset => {
                self.at = Some((epoch, next));
                let number = number_of(&event.payload);
                if let Some(before) = self.heard.insert(number, (epoch, next)) {
                    let again = format!("{number} is heard at {before:?} and {next:?}");
                    self.breaches.push(again);
                }
            }
            _ => self.breaches.push(format!("{:?} is heard after {:?}", event.offset, self.at)),
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.heard.len()
    }

    pub(crate) const fn place(&self) -> Option<(Epoch, Offset)> {
        self.at
    }
}

/// An event's number in its payload.
pub(crate) fn payload_of(number: u64) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}

fn number_of(payload: &[u8]) -> u64 {
    u64::from_le_bytes(payload.try_into().expect("payloads here are numbers"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use starling_protocol::message::events::Action;
    use starling_protocol::units::{ChannelKey, MessageId, Tick};

    fn event(offset: u64, number: u64) -> Event {
        Event {
            key: ChannelKey(1),
            offset: Offset(offset),
            tick: Tick(0),
            unix_ms: 0,
            publisher: None,
            message: MessageId(number),
            action: Action::Message,
            state_key: None,
            parent: None,
            payload: payload_of(number),
        }
    }

    fn at(offset: u64) -> ChannelPosition {
        ChannelPosition { epoch: Epoch(1), offset: Offset(offset) }
    }

    /// Two that were published, acknowledged and are heard as told.
    fn judged(heard: &[(u64, u64)]) -> Vec<String> {
        let (mut ledger, mut hearing) = (Ledger::default(), Hearing::default());
        hearing.begins(Answer::Reset(at(0)));
        for number in [10, 20] {
            ledger.publishes(number);
            ledger.is_acked(number, Receipt::Channel(at(number / 10)));
        }
        heard.iter().for_each(|(offset, number)| hearing.hears(&event(*offset, *number)));
        ledger.breaches(&hearing)
    }

    #[test]
    fn the_ledger_sees_what_must_not_be() {
        assert!(judged(&[(1, 10), (2, 20)]).is_empty());
        assert_eq!(judged(&[(1, 10)]).len(), 1, "one is lost");
        assert!(!judged(&[(1, 10), (2, 20), (3, 20)]).is_empty(), "one is heard twice");
        assert!(!judged(&[(1, 20), (2, 10)]).is_empty(), "they stand elsewhere");
        assert!(!judged(&[(1, 10), (3, 20)]).is_empty(), "a hole");
        assert!(!judged(&[(1, 10), (2, 20), (3, 30)]).is_empty(), "nobody published it");
    }
}
