//! Bytes on their way to the four streams.

use starling_protocol::codec::encode;
use starling_protocol::frame;
use starling_protocol::limits::MESSAGE_BYTES_MAX;
use starling_protocol::message::bulk::BulkUp;
use starling_protocol::message::control::ControlUp;
use starling_protocol::message::events::EventUp;
use starling_protocol::message::host::HostUp;
use starling_protocol::stream::StreamKind;

/// Bytes of one stream beyond which no further message is begun.
const QUEUED_BYTES_MAX: usize = 2 * MESSAGE_BYTES_MAX;

/// What waits to be written, stream by stream.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queues: [Queue; StreamKind::ALL.len()],
}

#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    /// Bytes that the network has already taken.
    taken: usize,
}

/// The queue of a stream is full.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Full;

impl Outbox {
    /// Has this stream room for one more message?
    pub(crate) fn has_room(&self, stream: StreamKind) -> bool {
        self.unsent(stream).len() < QUEUED_BYTES_MAX
    }

    pub(crate) fn control(&mut self, message: &ControlUp) -> Result<(), Full> {
        self.push(StreamKind::Control, || encode(message))
    }

    pub(crate) fn event(&mut self, message: &EventUp) -> Result<(), Full> {
        self.push(StreamKind::Events, || encode(message))
    }

    pub(crate) fn bulk(&mut self, message: &BulkUp) -> Result<(), Full> {
        self.push(StreamKind::Bulk, || encode(message))
    }

    pub(crate) fn host(&mut self, message: &HostUp) -> Result<(), Full> {
        self.push(StreamKind::Host, || encode(message))
    }

    fn push(&mut self, stream: StreamKind, body: impl FnOnce() -> Vec<u8>) -> Result<(), Full> {
        if !self.has_room(stream) {
            return Err(Full);
        }
        let queue = &mut self.queues[stream as usize];
        queue.bytes.drain(..queue.taken);
        queue.taken = 0;
        frame::write(&body(), &mut queue.bytes);
        Ok(())
    }

    /// What the network has not taken yet.
    pub(crate) fn unsent(&self, stream: StreamKind) -> &[u8] {
        let queue = &self.queues[stream as usize];
        &queue.bytes[queue.taken..]
    }

    /// The network took so many bytes.
    pub(crate) fn sent(&mut self, stream: StreamKind, bytes: usize) {
        let queue = &mut self.queues[stream as usize];
        queue.taken = (queue.taken + bytes).min(queue.bytes.len());
        if queue.taken == queue.bytes.len() {
            queue.bytes.clear();
            queue.taken = 0;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        StreamKind::ALL.iter().all(|stream| self.unsent(*stream).is_empty())
    }

    /// Forgets everything: a new connection has new streams.
    pub(crate) fn clear(&mut self) {
        for queue in &mut self.queues {
            queue.bytes.clear();
            queue.taken = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_partly_taken_continues_where_it_stopped() {
        let mut outbox = Outbox::default();
        outbox.control(&ControlUp::Goodbye).expect("room");
        outbox.control(&ControlUp::Goodbye).expect("room");
        let whole = outbox.unsent(StreamKind::Control).to_vec();
        outbox.sent(StreamKind::Control, 1);
        assert_eq!(outbox.unsent(StreamKind::Control), &whole[1..]);
        outbox.control(&ControlUp::Goodbye).expect("room");
        assert_eq!(outbox.unsent(StreamKind::Control).len(), whole.len() - 1 + whole.len() / 2);
        outbox.sent(StreamKind::Control, usize::MAX - 8);
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_stream_that_takes_nothing_is_full_at_its_bound() {
        let mut outbox = Outbox::default();
        let token = "x".repeat(4_000);
        let message = ControlUp::RefreshToken { token };
        let taken = (0..1_000).take_while(|_| outbox.control(&message).is_ok()).count();
        assert!((30..40).contains(&taken), "{taken}");
        assert!(outbox.has_room(StreamKind::Events));
    }
}
