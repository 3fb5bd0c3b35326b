//! A server that runs.

use super::driver::Driving;
use crate::counters::NetCounters;
use crate::data::Folder;
use crate::http::{Board, Listener};
use crate::store::Clerk;
use starling_transport::tls::Fingerprint;
use std::net::SocketAddr;
use std::sync::Arc;

/// A server that runs on threads of its own until it is dropped or shut down.
pub struct Running {
    pub(super) address: SocketAddr,
    pub(super) fingerprint: Fingerprint,
    pub(super) open: bool,
    pub(super) board: Arc<Board>,
    // In the order in which they end: first the listener, then the server.
    pub(super) http: Option<Listener>,
    pub(super) driving: Driving,
    // What the worlds left is written once they are gone.
    pub(super) _clerk: Option<Clerk>,
    // Last: the next server may have it once this one is gone.
    pub(super) _folder: Option<Folder>,
}

impl Running {
    /// The UDP address that clients connect to.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// By which clients can pin the certificate.
    #[must_use]
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The address of the internal listener, where there is one.
    #[must_use]
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(Listener::address)
    }

    /// May everyone come in?
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.open
    }

    /// What can be seen of it.
    #[must_use]
    pub const fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// What its network side counts.
    #[must_use]
    pub fn counters(&self) -> &NetCounters {
        &self.board.fronts[0].1
    }

    /// What a person who just started it wants to know, a line each.
    #[must_use]
    pub fn greeting(&self) -> Vec<String> {
        let mut lines = vec![
            format!("listening on       udp {}", self.address),
            format!("certificate        sha256 {}", self.fingerprint),
        ];
        if let Some(http) = self.http_addr() {
            lines.push(format!("health and metrics http://{http}/metrics"));
        }
        if self.open {
            lines.push("OPEN: anyone who reaches the address may come in. For development.".into());
        }
        lines
    }

    pub(super) fn announce(&self) {
        let (address, fingerprint) = (self.address, self.fingerprint);
        tracing::info!(%address, %fingerprint, "listening");
        if self.open && !address.ip().is_loopback() {
            tracing::warn!(%address, "OPEN to anyone on the network: set auth.mode = \"token\"");
        } else if self.open {
            tracing::warn!("open: anyone who reaches the address may come in");
        }
    }

    /// Begins to drain: new sessions are refused, clients are told to go, and what is still
    /// there at the deadline is closed. Returns at once.
    pub fn drain(&self) {
        self.board.set_draining();
        self.driving.orders.drain();
    }

    /// Drains, waits until every connection is gone or the deadline has passed, and stops. Says
    /// whether all were gone.
    pub fn shutdown(self) -> bool {
        self.drain();
        let gone = self.driving.orders.wait_drained(self.driving.drain_limit);
        tracing::info!(gone, "stopped");
        gone
    }

    /// Stops at once: connections are closed with `going_away`.
    pub fn stop(self) {
        drop(self);
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("address", &self.address).finish_non_exhaustive()
    }
}
