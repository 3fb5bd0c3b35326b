//! Recent publishes of one session, so that a repeated one creates nothing new.

use starling_protocol::limits::IDEMPOTENCE_SECONDS;
use starling_protocol::message::events::Receipt;
use starling_protocol::units::{MessageId, Tick, TickRate};
use std::collections::{BTreeMap, VecDeque};

/// What became of each message id within the last ten minutes.
///
/// Lives in the session, so that it survives a resume. The publish rate bounds it: no more ids can
/// be accepted in the window than the rate allows.
#[derive(Debug)]
pub(crate) struct Repeats {
    window_ticks: u32,
    receipts: BTreeMap<MessageId, Receipt>,
    in_order: VecDeque<(Tick, MessageId)>,
}

impl Repeats {
    pub(crate) fn new(rate: TickRate) -> Self {
        let window_ticks = rate.ticks_in_ms(u64::from(IDEMPOTENCE_SECONDS) * 1000);
        Self { window_ticks, receipts: BTreeMap::new(), in_order: VecDeque::new() }
    }

    /// Where the message with this id stands, if it was accepted within the window.
    pub(crate) fn find(&mut self, message: MessageId, now: Tick) -> Option<Receipt> {
        self.forget_old(now);
        self.receipts.get(&message).copied()
    }

    /// Remembers an accepted message.
    pub(crate) fn remember(&mut self, message: MessageId, receipt: Receipt, now: Tick) {
        self.receipts.insert(message, receipt);
        self.in_order.push_back((now, message));
    }

    fn forget_old(&mut self, now: Tick) {
        while let Some(&(at, message)) = self.in_order.front() {
            if now.since(at).is_none_or(|age| age <= self.window_ticks) {
                return;
            }
            self.in_order.pop_front();
            self.receipts.remove(&message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_recognised_for_ten_minutes() {
        let rate = TickRate::new(20).expect("within limits");
        let mut repeats = Repeats::new(rate);
        repeats.remember(MessageId(5), Receipt::Inboxes(3), Tick(100));
        assert_eq!(repeats.find(MessageId(5), Tick(100 + 12_000)), Some(Receipt::Inboxes(3)));
        assert_eq!(repeats.find(MessageId(5), Tick(101 + 12_000)), None);
        assert_eq!(repeats.find(MessageId(6), Tick(100)), None);
    }
}
