//! What one side has not yet polled.

use crate::{ConnKey, Event};
use bytes::Bytes;
use starling_protocol::units::Nanos;
use std::collections::{BTreeMap, VecDeque};

/// Bytes of datagrams of one connection that wait for a poll; beyond them the oldest goes.
const DATAGRAM_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug, Default)]
struct Datagrams {
    waiting: VecDeque<(Bytes, Nanos)>,
    bytes: usize,
}

#[derive(Debug)]
enum Ready {
    /// The oldest datagram that still waits for this connection.
    Datagram(ConnKey),
    Other(Event),
}

/// Events in order of arrival; each connection's datagrams are bounded, the rest is by its window.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    ready: VecDeque<Ready>,
    datagrams: BTreeMap<ConnKey, Datagrams>,
    dropped: u64,
}

impl Inbox {
    pub(super) fn push(&mut self, event: Event) {
        self.ready.push_back(Ready::Other(event));
    }

    pub(super) fn push_datagram(&mut self, conn: ConnKey, payload: Bytes, at: Nanos) {
        let queue = self.datagrams.entry(conn).or_default();
        queue.bytes += payload.len();
        queue.waiting.push_back((payload, at));
        if queue.bytes <= DATAGRAM_BYTES_MAX {
            self.ready.push_back(Ready::Datagram(conn));
        } else if let Some((oldest, _)) = queue.waiting.pop_front() {
            queue.bytes -= oldest.len();
            self.dropped += 1;
        }
    }

    pub(super) fn pop(&mut self) -> Option<Event> {
        match self.ready.pop_front()? {
            Ready::Other(event) => Some(event),
            Ready::Datagram(conn) => {
                let queue = self.datagrams.get_mut(&conn);
                let queue = queue.expect("a connection's mark and its datagrams go together");
                let (payload, at) =
                    queue.waiting.pop_front().expect("there is one datagram for each mark");
                queue.bytes -= payload.len();
                if queue.waiting.is_empty() {
                    self.datagrams.remove(&conn);
                }
                Some(Event::Datagram { conn, payload, at })
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Datagrams that gave way to newer ones.
    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Forgets a connection that this side closed.
    pub(super) fn forget(&mut self, conn: ConnKey) {
        self.datagrams.remove(&conn);
        self.ready.retain(|ready| match ready {
            Ready::Datagram(of) => *of != conn,
            Ready::Other(event) => event.conn() != conn,
        });
    }
}
