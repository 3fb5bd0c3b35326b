//! Who gets in: a limit at each step of a handshake, counted.

use super::counters::Counters;
use super::inbox::Inbox;
use super::reader;
use crate::ConnKey;
use crate::quic::handshakes::{HANDSHAKE_DEADLINE, Handshakes};
use quinn::{Connecting, Connection, Endpoint, Incoming};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::time::timeout;

/// What every task of the server shares.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) inbox: Inbox,
    pub(super) counters: Counters,
    pub(super) connections_max: usize,
    keys: AtomicU64,
}

impl Shared {
    pub(super) fn new(connections_max: usize) -> Arc<Self> {
        Arc::new(Self { connections_max, ..Self::default() })
    }

    fn next_key(&self) -> ConnKey {
        ConnKey(self.keys.fetch_add(1, Relaxed) + 1)
    }
}

/// Takes in connections until the endpoint is closed.
pub(super) async fn run(endpoint: Endpoint, shared: Arc<Shared>) {
    while let Some(incoming) = endpoint.accept().await {
        admit(incoming, &shared);
    }
}

fn admit(incoming: Incoming, shared: &Arc<Shared>) {
    let (counters, limits) = (&shared.counters, Handshakes::SERVER);
    let handshaking = counters.handshaking.load(Relaxed);
    if handshaking >= limits.max {
        counters.ignored.fetch_add(1, Relaxed);
        incoming.ignore();
    } else if counters.open.load(Relaxed) + handshaking >= shared.connections_max {
        counters.refused.fetch_add(1, Relaxed);
        incoming.refuse();
    } else if handshaking >= limits.unproven_max && !incoming.remote_address_validated() {
        counters.retried.fetch_add(1, Relaxed);
        // It cannot fail: an address that is not validated may always be asked to.
        if let Err(error) = incoming.retry() {
            error.into_incoming().ignore();
        }
    } else if let Ok(connecting) = incoming.accept() {
        counters.handshaking.fetch_add(1, Relaxed);
        tokio::spawn(serve(connecting, shared.clone()));
    } else {
        counters.handshakes_failed.fetch_add(1, Relaxed);
    }
}

/// One connection, from its handshake to its end.
async fn serve(connecting: Connecting, shared: Arc<Shared>) {
    let connection = handshake(connecting).await;
    shared.counters.handshaking.fetch_sub(1, Relaxed);
    let Some(connection) = connection else {
        shared.counters.handshakes_failed.fetch_add(1, Relaxed);
        return;
    };
    shared.counters.accepted.fetch_add(1, Relaxed);
    shared.counters.open.fetch_add(1, Relaxed);
    let key = shared.next_key();
    // It counts as open until its end has been polled: that bounds the queue.
    reader::run(key, connection, &shared).await;
}

async fn handshake(connecting: Connecting) -> Option<Connection> {
    match timeout(HANDSHAKE_DEADLINE, connecting).await {
        Ok(Ok(connection)) => Some(connection),
        Ok(Err(error)) => {
            tracing::debug!(%error, "handshake failed");
            None
        }
        Err(_) => None,
    }
}
