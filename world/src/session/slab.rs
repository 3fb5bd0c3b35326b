//! All sessions of a world: a dense slab and the ways to find one.

use super::conns::Conns;
use super::speaker::Speaker;
use super::wakes::Wakes;
use super::{Session, SessionIdx};
use crate::authority::inputs::InputQueue;
use crate::entity::Owner;
use crate::input::{ConnId, Link};
use crate::mail::Letter;
use starling_protocol::message::control::{ControlDown, Rejection};
use starling_protocol::message::events::EventDown;
use starling_protocol::message::host::HostDown;
use starling_protocol::units::{ChannelKey, Epoch, SessionId, Tick};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Index, IndexMut};

/// All sessions of a world.
#[derive(Debug, Default)]
pub struct Sessions {
    // Boxed: a row is large, and rows come and go.
    pub(super) rows: Vec<Option<Box<Session>>>,
    pub(super) speakers: Vec<Speaker>,
    free: Vec<SessionIdx>,
    by_conn: Conns,
    by_id: BTreeMap<SessionId, SessionIdx>,
    /// Sessions with something to write.
    dirty: BTreeSet<SessionIdx>,
    /// When each session is looked at next for what silence ends.
    wakes: Wakes,
    /// Sessions made so far.
    issued: u32,
    /// The session that hosts the world.
    pub(crate) host: Option<SessionIdx>,
    /// The server drains: nobody is let in any more.
    pub(crate) draining: bool,
    /// The server ends once this many changes are on stable storage.
    pub(crate) settling: Option<u64>,
    /// Names of entities that wait for their sessions.
    pub(crate) sleepers: BTreeMap<String, Owner>,
    /// Sessions of an earlier life that may have been parked too long by now.
    pub(crate) unaged: Vec<SessionId>,
}

impl Sessions {
    /// The session with this row, if there is one.
    #[must_use]
    pub fn get(&self, idx: SessionIdx) -> Option<&Session> {
        self.rows.get(idx.at())?.as_deref()
    }

    /// The session with this row, if there is one.
    pub(crate) fn get_mut(&mut self, idx: SessionIdx) -> Option<&mut Session> {
        self.speakers.get_mut(idx.at())?.forget();
        self.rows[idx.at()].as_deref_mut()
    }

    /// The session that this connection carries.
    #[must_use]
    pub fn by_conn(&self, conn: ConnId) -> Option<SessionIdx> {
        self.by_conn.get(conn)
    }

    /// The session with this name.
    #[must_use]
    pub fn by_id(&self, id: SessionId) -> Option<SessionIdx> {
        self.by_id.get(&id).copied()
    }

    /// Every session, live or parked, in order of row.
    pub fn iter(&self) -> impl Iterator<Item = (SessionIdx, &Session)> + '_ {
        let rows = self.rows.iter().enumerate();
        rows.filter_map(|(at, row)| Some((SessionIdx(at as u32), row.as_deref()?)))
    }

    /// Every session that a connection carries, in order of row.
    pub fn iter_live(&self) -> impl Iterator<Item = (SessionIdx, &Session)> + '_ {
        self.iter().filter(|(_, session)| session.is_live())
    }

    /// How many, live or parked.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// None?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// How many are live.
    #[must_use]
    pub fn live(&self) -> usize {
        self.by_conn.len()
    }

    /// Rows, with a session or not: an upper bound of every index.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// A name for the next session.
    ///
    /// The world's epoch is its upper half, so that a session of an earlier life is known to be
    /// gone and is not mistaken for another.
    pub(super) fn issue(&mut self, epoch: Epoch) -> SessionId {
        self.issued += 1;
        SessionId(u64::from(epoch.0) << 32 | u64::from(self.issued))
    }

    pub(super) fn insert(&mut self, session: Session, now: Tick) -> SessionIdx {
        let idx = self.free.pop().unwrap_or_else(|| {
            self.rows.push(None);
            self.speakers.push(Speaker::default());
            SessionIdx(self.rows.len() as u32 - 1)
        });
        self.by_id.insert(session.id, idx);
        if let Some(conn) = session.conn {
            self.by_conn.insert(conn, idx);
        }
        self.rows[idx.at()] = Some(Box::new(session));
        self.speakers[idx.at()] = Speaker::new(now);
        idx
    }

    /// Takes a session out for good.
    pub(super) fn remove(&mut self, idx: SessionIdx) -> Option<Box<Session>> {
        let session = self.rows.get_mut(idx.at())?.take()?;
        self.by_id.remove(&session.id);
        if let Some(conn) = session.conn {
            self.by_conn.remove(conn);
        }
        self.wake_at(idx, None);
        self.dirty.remove(&idx);
        self.free.push(idx);
        Some(session)
    }

    /// Puts a session on a connection, or on none; returns the connection that it was on.
    pub(super) fn carry(&mut self, idx: SessionIdx, conn: Option<ConnId>) -> Option<ConnId> {
        let old = std::mem::replace(&mut self[idx].conn, conn);
        if let Some(old) = old {
            self.by_conn.remove(old);
        }
        if let Some(new) = conn {
            self.by_conn.insert(new, idx);
        }
        old
    }

    /// Starts a tick: what each link may carry now.
    pub(crate) fn begin_tick(&mut self, links: &[Link]) {
        for link in links {
            let row = self.by_conn(link.conn).map(|idx| &mut self.rows[idx.at()]);
            if let Some(session) = row.and_then(Option::as_deref_mut) {
                session.link.grant(link);
            }
        }
    }

    /// Looks at a session in this tick, or no more.
    pub(super) fn wake_at(&mut self, idx: SessionIdx, at: Option<Tick>) {
        self.wakes.set(idx, at);
    }

    /// The next session whose time has come.
    pub(super) fn next_due(&mut self, now: Tick) -> Option<SessionIdx> {
        self.wakes.pop(now)
    }

    /// The inputs of every session, in order of row.
    pub(crate) fn queues(&mut self) -> impl Iterator<Item = (SessionId, &mut InputQueue)> + '_ {
        self.rows.iter_mut().flatten().map(|session| (session.id, &mut session.inputs))
    }

    /// Sends a control message once the link allows.
    pub(crate) fn control(&mut self, idx: SessionIdx, message: &ControlDown, now: Tick) {
        self.post(idx, Letter::control(message, now));
    }

    /// Sends an answer on the events stream once the link allows.
    pub(crate) fn event(&mut self, idx: SessionIdx, message: &EventDown, now: Tick) {
        self.post(idx, Letter::event(message, now));
    }

    /// Sends a message to a host once the link allows.
    pub(crate) fn host_message(&mut self, idx: SessionIdx, message: &HostDown, now: Tick) {
        self.post(idx, Letter::host(message, now));
    }

    /// Queues a framed message. A parked session is told nothing: it is told anew when it resumes.
    pub(crate) fn post(&mut self, idx: SessionIdx, letter: Letter) {
        let Some(session) = self.get_mut(idx).filter(|s| s.is_live()) else { return };
        let bound = session.mail_bytes_max();
        session.mail.post(letter, bound);
        self.dirty.insert(idx);
    }

    /// The sessions with something to write, in order, and none of them from now on.
    pub(crate) fn take_dirty(&mut self) -> BTreeSet<SessionIdx> {
        std::mem::take(&mut self.dirty)
    }

    /// Visits the sessions with something to write, in order of row.
    pub(crate) fn each_dirty(&mut self, mut visit: impl FnMut(&mut Session)) {
        for idx in &self.dirty {
            if let Some(session) = self.rows[idx.at()].as_deref_mut() {
                self.speakers[idx.at()].forget();
                visit(session);
            }
        }
    }

    /// This session has something left to write.
    pub(crate) fn mark_dirty(&mut self, idx: SessionIdx) {
        self.dirty.insert(idx);
    }

    /// Notes a sample that was not accepted; all of a tick are told in one message.
    pub(crate) fn reject(&mut self, idx: SessionIdx, rejection: Rejection) {
        if self[idx].mail.reject(rejection) {
            self.dirty.insert(idx);
        }
    }

    /// A channel of this session has something new.
    pub(crate) fn ready(&mut self, idx: SessionIdx, key: ChannelKey) {
        if let Some(session) = self.get_mut(idx) {
            session.subscriptions.ready.insert(key);
            if session.is_live() {
                self.dirty.insert(idx);
            }
        }
    }
}

impl Index<SessionIdx> for Sessions {
    type Output = Session;
    fn index(&self, idx: SessionIdx) -> &Session {
        self.get(idx).expect("whoever holds a session's index is told when it goes")
    }
}

impl IndexMut<SessionIdx> for Sessions {
    fn index_mut(&mut self, idx: SessionIdx) -> &mut Session {
        self.get_mut(idx).expect("whoever holds a session's index is told when it goes")
    }
}
