//! Stream bytes that the network did not take yet.

use starling_protocol::planted::{self, Bug};
use starling_protocol::stream::StreamKind;
use starling_protocol::units::Nanos;
use std::collections::VecDeque;

/// What waits for one client, stream by stream.
#[derive(Debug, Default)]
pub(super) struct Unsent {
    queues: [VecDeque<u8>; StreamKind::ALL.len()],
    bytes: usize,
    /// Since when something has been waiting without a break.
    since: Option<Nanos>,
}

impl Unsent {
    /// Bytes of all streams.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// For how long something has been waiting.
    pub(super) fn age_ns(&self, now: Nanos) -> u64 {
        self.since.map_or(0, |since| now.since(since))
    }

    /// Does anything of this stream wait? Then later bytes must wait behind it.
    pub(super) fn holds(&self, stream: StreamKind) -> bool {
        !self.queues[stream as usize].is_empty()
    }

    /// Keeps bytes behind those that wait.
    pub(super) fn push(&mut self, stream: StreamKind, bytes: &[u8], now: Nanos) {
        let lost = if planted::is(Bug::BytesLost) { bytes.len() / 2 } else { 0 };
        let bytes = &bytes[..bytes.len() - lost];
        self.queues[stream as usize].extend(bytes);
        self.bytes += bytes.len();
        if self.bytes > 0 {
            self.since.get_or_insert(now);
        }
    }

    /// Offers what waits to `write`, which says how much it took, until it takes no more.
    pub(super) fn offer(&mut self, mut write: impl FnMut(StreamKind, &[u8]) -> usize) {
        for stream in StreamKind::ALL {
            let queue = &mut self.queues[stream as usize];
            while !queue.is_empty() {
                let (front, _) = queue.as_slices();
                let offered = front.len();
                let taken = write(stream, front).min(offered);
                queue.drain(..taken);
                self.bytes -= taken;
                if taken < offered {
                    break;
                }
            }
        }
        if self.bytes == 0 {
            self.since = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_order_however_few_are_taken() {
        let mut unsent = Unsent::default();
        unsent.push(StreamKind::Control, &[1, 2, 3], Nanos(5));
        unsent.push(StreamKind::Events, &[9], Nanos(6));
        unsent.push(StreamKind::Control, &[4], Nanos(7));
        let mut sent = Vec::new();
        for _ in 0..4 {
            unsent.offer(|stream, bytes| {
                if stream == StreamKind::Control {
                    sent.push(bytes[0]);
                    return 1;
                }
                0
            });
        }
        assert_eq!(sent, [1, 2, 3, 4]);
        assert!(unsent.holds(StreamKind::Events) && !unsent.holds(StreamKind::Control));
        assert_eq!((unsent.bytes(), unsent.age_ns(Nanos(15))), (1, 10));
        unsent.offer(|_, bytes| bytes.len());
        assert_eq!((unsent.bytes(), unsent.age_ns(Nanos(20))), (0, 0));
    }
}
