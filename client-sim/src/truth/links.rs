//! Who was connected, and since when.

use super::past::CLEARLY_NS;
use crate::target::ClientNo;

/// The connections of all clients.
#[derive(Debug)]
pub(super) struct Links(Vec<Connected>);

#[derive(Clone, Copy, Debug, Default)]
struct Connected {
    since_ns: Option<u64>,
    lost_ns: Option<u64>,
}

impl Links {
    pub(super) fn new(clients: usize) -> Self {
        Self(vec![Connected::default(); clients])
    }

    pub(super) fn connect(&mut self, client: ClientNo, at_ns: u64) {
        self.0[client.0 as usize] = Connected { since_ns: Some(at_ns), lost_ns: None };
    }

    pub(super) fn lose(&mut self, client: ClientNo, at_ns: u64) {
        self.0[client.0 as usize].lost_ns = Some(at_ns);
    }

    /// Is a client connected, and was for so long before a moment that it had settled in?
    pub(super) fn stood(&self, client: ClientNo, at_ns: u64) -> bool {
        let link = self.0[client.0 as usize];
        link.lost_ns.is_none() && link.since_ns.is_some_and(|s| s + CLEARLY_NS <= at_ns)
    }

    /// When a client lost its connection, if it has not got it back.
    pub(super) fn lost_ns(&self, client: ClientNo) -> Option<u64> {
        self.0[client.0 as usize].lost_ns
    }
}
