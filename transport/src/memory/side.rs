//! The two kinds of handle on a memory network.

use super::link::Phase;
use super::{DATAGRAM_BYTES_MAX, Network, Owner};
use crate::conditioner::LinkProfile;
use crate::{Allowance, ConnKey, Event, SendError, Transport};
use starling_protocol::close::CloseCode;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::Nanos;
use std::marker::PhantomData;

/// Marks the side that accepts.
#[derive(Clone, Copy, Debug)]
pub struct ServerRole;
/// Marks a side that connects.
#[derive(Clone, Copy, Debug)]
pub struct ClientRole;

/// The server's transport.
pub type ServerSide = Side<ServerRole>;
/// A client's transport.
pub type ClientSide = Side<ClientRole>;

/// One side of a memory network. The key of a connection is the same on both.
#[derive(Debug)]
pub struct Side<Role> {
    network: Network,
    owner: Owner,
    role: PhantomData<Role>,
}

impl<Role> Side<Role> {
    pub(super) const fn new(network: Network, owner: Owner) -> Self {
        Self { network, owner, role: PhantomData }
    }

    /// The network that this is a side of.
    #[must_use]
    pub const fn network(&self) -> &Network {
        &self.network
    }
}

impl ClientSide {
    /// Begins a connection over a new link, whose two directions both follow `profile`.
    pub fn connect(&mut self, now: Nanos, profile: &LinkProfile) -> ConnKey {
        let Owner::Client(client) = self.owner else {
            unreachable!("client sides are made for clients only")
        };
        self.network.lock().connect(now, client, profile)
    }
}

impl<Role> Transport for Side<Role> {
    fn poll(&mut self, now: Nanos, limit: usize, events: &mut Vec<Event>) -> usize {
        let mut state = self.network.lock();
        let now = state.clock(now);
        state.flush(now, self.owner);
        state.advance(now);
        let before = events.len();
        events.extend(std::iter::from_fn(|| state.next_event(self.owner)).take(limit));
        events.len() - before
    }

    fn send_datagram(
        &mut self,
        now: Nanos,
        conn: ConnKey,
        payload: &[u8],
    ) -> Result<(), SendError> {
        let mut state = self.network.lock();
        let now = state.clock(now);
        let end = self.owner.end();
        let link = state.link(self.owner, conn).ok_or(SendError::Closed)?;
        if payload.len() > DATAGRAM_BYTES_MAX {
            return Err(SendError::TooLarge(DATAGRAM_BYTES_MAX));
        }
        let space = link.allowance(end, now).map_or(0, |allowance| allowance.datagram_bytes);
        if payload.len() > space as usize || link.phase(end) == Phase::Opening {
            return Err(SendError::Full);
        }
        state.change(conn, |link| link.lane(end).send_datagram(now, payload));
        Ok(())
    }

    fn write(
        &mut self,
        now: Nanos,
        conn: ConnKey,
        stream: StreamKind,
        bytes: &[u8],
    ) -> Result<usize, SendError> {
        let mut state = self.network.lock();
        state.clock(now);
        let end = self.owner.end();
        let link = state.link(self.owner, conn).ok_or(SendError::Closed)?;
        if link.phase(end) == Phase::Opening {
            return Ok(0);
        }
        let mut taken = 0;
        state.change(conn, |link| taken = link.lane(end).write(stream, bytes));
        state.dirty.insert((self.owner, conn));
        Ok(taken)
    }

    fn flush(&mut self, now: Nanos) {
        let mut state = self.network.lock();
        let now = state.clock(now);
        state.flush(now, self.owner);
    }

    fn allowance(&self, conn: ConnKey) -> Option<Allowance> {
        let state = self.network.lock();
        state.link(self.owner, conn)?.allowance(self.owner.end(), state.now)
    }

    fn close(&mut self, now: Nanos, conn: ConnKey, code: CloseCode, reason: &str) {
        let mut state = self.network.lock();
        let now = state.clock(now);
        state.inbox(self.owner).forget(conn);
        if state.link(self.owner, conn).is_some() {
            let reason = reason.to_owned();
            state.change(conn, |link| link.close(now, self.owner.end(), code, reason));
        }
    }

    fn next_timeout(&self) -> Option<Nanos> {
        let mut state = self.network.lock();
        if !state.inbox(self.owner).is_empty() {
            return Some(state.now);
        }
        state.agenda.first().map(|(at, _)| *at)
    }
}
