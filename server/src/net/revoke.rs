//! Taking grants back: tokens barred, connections closed, worlds told (P12).

use super::connection::{Connection, Seat};
use super::{Entered, Front};
use crate::auth::revoke::{NotRevoked, Outcome, Revocation, Revoked};
use crate::room::directory::{Entry, Lender};
use crate::tenant::{Scoped, beginning, subject_in};
use starling_protocol::close::CloseCode;
use starling_protocol::units::{Nanos, SessionId};
use starling_transport::Transport;
use starling_world::config::Owner;
use starling_world::input::{Command, Whom};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What the order costs in a room's inbox, beside its text.
const ORDER_BYTES: usize = 64;

impl<T: Transport, L: Lender> Front<T, L> {
    /// Takes in the revocations that were asked for, before anyone is let in.
    pub(super) fn take_revocations(&mut self, now: Nanos) {
        let Some(revoker) = self.revoker.clone() else { return };
        for (revocation, answer) in revoker.take() {
            let done = self.revoke(now, &revocation);
            let bars = self.gate.barred.take_fresh();
            if let Err(Outcome { bars, .. }) = answer.send(Outcome { done, bars }) {
                tracing::debug!("nobody waits for a revocation any more");
                revoker.keep_soon(bars);
            }
        }
    }

    /// Takes grants back: in force when this returns. Says how many connections it closed.
    ///
    /// # Errors
    /// [`NotRevoked`]: connections are closed all the same.
    pub fn revoke(&mut self, now: Nanos, revocation: &Revocation) -> Revoked {
        let mut gone: Vec<_> = self
            .connections
            .iter()
            .filter(|(_, connection)| {
                connection.seat.as_ref().is_some_and(|s| is_of(s, revocation))
            })
            .map(|(conn, connection)| (*conn, connection.seat.as_ref().map(|s| s.token.clone())))
            .collect();
        gone.sort_unstable();
        let mut barred = self.bar(now, revocation);
        for (conn, token) in &gone {
            if let (Revocation::Session(_), Some(token)) = (revocation, token) {
                let done = self.gate.bar_token(token, now);
                barred = barred.and(done);
            }
            self.close(now, *conn, CloseCode::REVOKED, "revoked");
        }
        let told = self.tell_worlds(revocation);
        let connections = gone.len();
        tracing::info!(?revocation, connections, "revoked");
        barred.and(told).map(|()| connections)
    }

    /// A room that this Front has to do with, from now on.
    ///
    /// P12: it is told first which sessions were revoked. Its store may know them from an earlier life
    /// of its world or of the server, and they were revoked when nobody could tell it.
    pub(super) fn open(&mut self, entry: &Entry) -> &mut Entered {
        self.entered.entry(entry.id).or_insert_with(|| {
            let sessions = self.gate.barred.sessions();
            if !sessions.is_empty() {
                entry.mailbox.inbox().tell(Command::Revoke(Whom::Sessions(sessions)));
                self.rung.insert(entry.id);
            }
            let mailbox = Arc::clone(&entry.mailbox);
            Entered { mailbox, connections: BTreeSet::new() }
        })
    }

    /// A world ended a session that was revoked, and says which token it had. Whoever came with it
    /// meanwhile goes too.
    pub(super) fn has_revoked(&mut self, now: Nanos, session: SessionId, token: &str) {
        if token.is_empty() {
            return;
        }
        if let Err(why) = self.gate.bar_token(token, now) {
            tracing::error!(session = session.0, %why, "its token is good still");
        }
        let bars = self.gate.barred.take_fresh();
        if let Some(revoker) = &self.revoker {
            revoker.keep_soon(bars);
        }
        let has_it = |connection: &Connection| {
            connection.seat.as_ref().is_some_and(|seat| seat.token == token)
        };
        let with_it = self.connections.iter().filter(|(_, connection)| has_it(connection));
        let mut with_it: Vec<_> = with_it.map(|(conn, _)| *conn).collect();
        with_it.sort_unstable();
        for conn in with_it {
            self.close(now, conn, CloseCode::REVOKED, "its token was revoked");
        }
    }

    fn bar(&mut self, now: Nanos, revocation: &Revocation) -> Result<(), NotRevoked> {
        match revocation {
            // And by the token that it has, when that is known.
            Revocation::Session(session) => self.gate.bar_session(*session, now),
            Revocation::Subject { tenant, subject } => {
                self.gate.bar_owner(tenant, Some(subject), now)
            }
            Revocation::Tenant(tenant) => self.gate.bar_owner(tenant, None, now),
        }
    }

    fn tell_worlds(&mut self, revocation: &Revocation) -> Result<(), NotRevoked> {
        let mut told = Ok(());
        for (_, entry) in self.directory.worlds().all() {
            let Some(whom) = whom(entry.key.owner(), revocation) else { continue };
            // What it says of it is heard, whoever is in it.
            self.open(&entry);
            let taken = entry.mailbox.inbox().command(Command::Revoke(whom), ORDER_BYTES);
            let taken = taken.map_err(|_| NotRevoked::Busy);
            told = told.and(taken);
            self.rooms.ring(entry.id);
        }
        told
    }
}

fn is_of(seat: &Seat, revocation: &Revocation) -> bool {
    match revocation {
        Revocation::Session(session) => seat.session == Some(*session),
        Revocation::Subject { tenant, subject } => {
            seat.subject == Scoped::of_operator(tenant, subject.clone())
        }
        Revocation::Tenant(tenant) => seat.subject.is_of(tenant),
    }
}

/// Who that is in a world of this owner, if it can be anyone.
fn whom(owner: &Owner, revocation: &Revocation) -> Option<Whom> {
    let is_theirs = |tenant: &str| matches!(owner, Owner::Tenant(own) if own == tenant);
    match revocation {
        Revocation::Session(session) => Some(Whom::Session(*session)),
        Revocation::Subject { tenant, subject } if is_theirs(tenant) => {
            Some(Whom::Subject(subject.clone()))
        }
        Revocation::Subject { tenant, subject } if *owner == Owner::Shared => {
            Some(Whom::Subject(subject_in(owner, tenant, subject)))
        }
        Revocation::Tenant(tenant) if is_theirs(tenant) => Some(Whom::Everyone),
        Revocation::Tenant(tenant) if *owner == Owner::Shared => {
            Some(Whom::Under(beginning(tenant)))
        }
        _ => None,
    }
}
