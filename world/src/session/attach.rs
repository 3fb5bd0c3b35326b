//! Coming and going: attach, resume, detach, goodbye. A resume succeeds whole or not at all, and the
//! newest connection of a session is its only one (P11).

use super::{NewSession, Session, SessionIdx};
use crate::World;
use crate::channel::log::Log;
use crate::channel::policy::ChannelPolicy;
use crate::counters::count;
use crate::grants::Principal;
use crate::input::{Attach, ConnId, ResumeRequest};
use crate::output::{Close, Note, Output, Write};
use crate::shed::step;
use starling_protocol::close::CloseCode;
use starling_protocol::codec;
use starling_protocol::frame;
use starling_protocol::message::control::{
    Authority, Capabilities, ControlDown, Refused, RequestKind, ResumeAnswer,
};
use starling_protocol::stream::StreamKind;
use starling_protocol::units::Tick;

/// How long a refused client waits when the world is full.
const RETRY_WHEN_FULL_MS: u32 = 5_000;

/// What a connection gets.
enum Entry {
    /// A session of its own, and what became of its wish to resume.
    New(ResumeAnswer),
    /// The session that it had.
    Resumed(SessionIdx),
}

impl World {
    /// An admitted connection comes, perhaps before this life of the world may be known.
    pub(crate) fn knock(&mut self, attach: Box<Attach>, now_us: u64, out: &mut Output) {
        if !self.durable.is_opening() {
            return self.attach(*attach, now_us, out);
        }
        if let Err(attach) = self.durable.wait_at_door(attach) {
            let reason = "too many wait for the store";
            self.refuse(attach.conn, CloseCode::OVERLOADED, reason, out);
        }
    }

    /// An admitted connection gets its session, its old one if it can, or is refused.
    pub(crate) fn attach(&mut self, attach: Attach, now_us: u64, out: &mut Output) {
        let conn = attach.conn;
        if self.sessions.by_conn(conn).is_some() {
            return out.closes.push(Close { conn, code: CloseCode::PROTOCOL_ERROR });
        }
        match self.admit(&attach, out) {
            Ok(Entry::New(answer)) => self.begin_session(attach, answer, now_us, out),
            Ok(Entry::Resumed(idx)) => self.resume_session(idx, attach, now_us, out),
            Err((code, reason)) => self.refuse(conn, code, reason, out),
        }
    }

    /// A connection is gone: its session waits to be taken up again.
    pub(crate) fn detach(&mut self, conn: ConnId, out: &mut Output) {
        self.forget_early(conn);
        if let Some(idx) = self.sessions.by_conn(conn) {
            self.park(idx, out);
        }
    }

    /// A clean end: what was answered is written, entities leave at once, nothing waits.
    pub(crate) fn goodbye(&mut self, idx: SessionIdx, out: &mut Output) {
        self.write_out(idx, out);
        if let Some(conn) = self.sessions[idx].conn {
            out.closes.push(Close { conn, code: CloseCode::GOODBYE });
        }
        self.end_session(idx, CloseCode::GOODBYE, out);
    }

    /// Closes a session's connection with a code; the session waits to be taken up again.
    pub(crate) fn close(&mut self, idx: SessionIdx, code: CloseCode, out: &mut Output) {
        self.write_out(idx, out);
        if let Some(conn) = self.sessions[idx].conn {
            count(&mut self.counters.closes, code);
            out.closes.push(Close { conn, code });
            self.park(idx, out);
        }
    }

    /// The session is gone for good, and everything of it.
    pub(crate) fn end_session(&mut self, idx: SessionIdx, code: CloseCode, out: &mut Output) {
        let entities: Vec<_> = self.sessions[idx].owned.iter().map(|(_, e)| e).collect();
        entities.into_iter().for_each(|entity| self.remove_entity(entity, out));
        if let Some(avatar) = self.sessions[idx].avatar.take() {
            self.entities.set_avatar_of(avatar, None);
        }
        self.depart(idx);
        self.unfollow_all(idx);
        self.close_view(idx);
        if self.sessions.host == Some(idx) {
            self.sessions.host = None;
        }
        self.drop_asleep(idx);
        if let Some(session) = self.sessions.remove(idx) {
            self.forget_session(session.id);
            self.counters.sessions_gone += 1;
            out.notes.push(Note::Gone { session: session.id, code });
        }
    }

    /// Replaces what a session may do. What it may no longer do ends at once.
    pub(crate) fn regrant(&mut self, idx: SessionIdx, principal: Principal, out: &mut Output) {
        if principal.subject != self.sessions[idx].principal.subject {
            return self.refuse_request(idx, RequestKind::Token, CloseCode::FORBIDDEN);
        }
        let expires = self.expiry_tick(&principal);
        let session = &mut self.sessions[idx];
        session.principal = principal;
        session.expires = expires;
        self.keep_session(idx);
        let session = &self.sessions[idx];
        let hosts_still = !session.is_host() || session.principal.grants.host;
        self.sessions.control(idx, &ControlDown::TokenAccepted, self.now);
        self.recheck_subscriptions(idx);
        self.recheck_interests(idx);
        self.judge_token(idx);
        self.plan_wake(idx);
        if !hosts_still {
            self.close(idx, CloseCode::FORBIDDEN, out);
        }
    }

    /// The tick in which a token ends.
    pub(super) fn expiry_tick(&self, principal: &Principal) -> Option<Tick> {
        let us = u128::from(principal.expires_us?);
        let ticks = us * u128::from(self.config.tick_rate.hz()) / 1_000_000;
        Some(Tick(u32::try_from(ticks).unwrap_or(u32::MAX)))
    }

    fn admit(
        &mut self,
        attach: &Attach,
        out: &mut Output,
    ) -> Result<Entry, (CloseCode, &'static str)> {
        if self.sessions.draining {
            return Err((CloseCode::GOING_AWAY, "the server is draining"));
        }
        if attach.schema_hash.is_some_and(|hash| hash != self.config.schema.hash()) {
            return Err((CloseCode::SCHEMA_MISMATCH, "built for another schema"));
        }
        if self.expiry_tick(&attach.principal).is_some_and(|end| end < self.now) {
            return Err((CloseCode::EXPIRED, "the token has expired"));
        }
        self.check_host(attach)?;
        match self.resumable(attach) {
            Ok(idx) => Ok(Entry::Resumed(idx)),
            Err(answer) => {
                if attach.resume.is_none() {
                    let spare = self.spare(step::NEWCOMERS);
                    spare.map_err(|code| (code, "there is too little time for newcomers"))?;
                }
                self.make_room(attach, out)?;
                Ok(Entry::New(answer))
            }
        }
    }

    /// One session hosts the world, and only where the world has a host.
    fn check_host(&self, attach: &Attach) -> Result<(), (CloseCode, &'static str)> {
        if attach.capabilities & Capabilities::HOST == 0 {
            return Ok(());
        }
        if self.config.authority != Authority::Host {
            return Err((CloseCode::WRONG_AUTHORITY, "this world has no host"));
        }
        if !attach.principal.grants.host {
            return Err((CloseCode::FORBIDDEN, "the token does not grant hosting"));
        }
        let other = self.sessions.host.map(|idx| &self.sessions[idx]);
        if other.is_some_and(|host| host.principal.subject != attach.principal.subject) {
            return Err((CloseCode::LIMIT, "the world has a host"));
        }
        Ok(())
    }

    /// The session that a connection may take up, or why it gets a new one.
    fn resumable(&self, attach: &Attach) -> Result<SessionIdx, ResumeAnswer> {
        let Some(ResumeRequest { session, token_digest, .. }) = &attach.resume else {
            return Err(ResumeAnswer::New);
        };
        let idx = self.sessions.by_id(*session).ok_or(ResumeAnswer::Reset)?;
        let known = &self.sessions[idx];
        let right = known.tokens.open_to(token_digest);
        let same_one = known.principal.subject == attach.principal.subject
            && known.is_host() == (attach.capabilities & Capabilities::HOST != 0);
        if right && same_one { Ok(idx) } else { Err(ResumeAnswer::Denied) }
    }

    /// A world that is full gives up the session that was parked longest, if it has left already.
    fn make_room(
        &mut self,
        attach: &Attach,
        out: &mut Output,
    ) -> Result<(), (CloseCode, &'static str)> {
        if attach.capabilities & Capabilities::HOST != 0
            && let Some(old) = self.sessions.host
        {
            self.replace_host(old, out);
        }
        if self.sessions.len() < self.config.sessions_max {
            return Ok(());
        }
        let away = self.sessions.iter().filter(|(_, s)| !s.here);
        let longest = away.filter_map(|(idx, s)| Some((s.parked?, idx))).min();
        let (_, idx) = longest.ok_or((CloseCode::WORLD_FULL, "the world is full"))?;
        self.end_session(idx, CloseCode::LOST, out);
        Ok(())
    }

    /// A host that comes back without its token takes the place of the one it was.
    fn replace_host(&mut self, old: SessionIdx, out: &mut Output) {
        if let Some(conn) = self.sessions[old].conn {
            count(&mut self.counters.closes, CloseCode::REPLACED);
            out.closes.push(Close { conn, code: CloseCode::REPLACED });
        }
        self.end_session(old, CloseCode::REPLACED, out);
    }

    fn begin_session(
        &mut self,
        attach: Attach,
        answer: ResumeAnswer,
        now_us: u64,
        out: &mut Output,
    ) {
        let expires = self.expiry_tick(&attach.principal);
        let new = NewSession {
            id: self.sessions.issue(self.config.epoch),
            conn: Some(attach.conn),
            principal: attach.principal,
            expires,
            token_digest: attach.token_digest,
            capabilities: attach.capabilities,
            inbox: Log::new(self.config.epoch, ChannelPolicy::INBOX),
        };
        let idx = self.sessions.insert(Session::new(new, &self.config, self.now), self.now);
        self.count_entry(answer);
        self.open_view(idx);
        self.welcome(idx, answer, &attach.token, now_us);
        self.arrive(idx);
        self.hold(idx, attach.conn);
        if self.sessions[idx].is_host() {
            self.sessions.host = Some(idx);
            self.introduce_players(idx);
        }
        out.notes.push(Note::Joined {
            session: self.sessions[idx].id,
            conn: attach.conn,
            resumed: false,
        });
    }

    fn resume_session(&mut self, idx: SessionIdx, attach: Attach, now_us: u64, out: &mut Output) {
        let Some(ResumeRequest { token_digest: presented, channels: seen, .. }) = attach.resume
        else {
            return;
        };
        let expires = self.expiry_tick(&attach.principal);
        if let Some(older) = self.sessions.carry(idx, Some(attach.conn)) {
            count(&mut self.counters.closes, CloseCode::REPLACED);
            out.closes.push(Close { conn: older, code: CloseCode::REPLACED });
        }
        let session = &mut self.sessions[idx];
        (session.parked, session.parked_ms, session.parked_before) = (None, 0, 0);
        session.principal = attach.principal;
        session.expires = expires;
        session.tokens.replace(presented, attach.token_digest);
        session.capabilities = attach.capabilities;
        session.link = super::Allowance::default();
        session.mail.clear();
        session.reads.clear();
        (session.muted, session.held) = (false, false);
        self.count_entry(ResumeAnswer::Resumed);
        self.keep_session(idx);
        self.wake_entities(idx, out);
        self.open_view(idx);
        self.welcome(idx, ResumeAnswer::Resumed, &attach.token, now_us);
        self.tell_avatar(idx);
        self.recheck_subscriptions(idx);
        self.resume_subscriptions(idx, &seen);
        self.recheck_interests(idx);
        self.contact(idx);
        self.hold(idx, attach.conn);
        self.plan_wake(idx);
        if self.sessions.host == Some(idx) {
            self.introduce_players(idx);
        }
        out.notes.push(Note::Joined {
            session: self.sessions[idx].id,
            conn: attach.conn,
            resumed: true,
        });
    }

    fn count_entry(&mut self, answer: ResumeAnswer) {
        match answer {
            ResumeAnswer::New => self.counters.sessions_opened += 1,
            ResumeAnswer::Resumed => self.counters.resumes_resumed += 1,
            ResumeAnswer::Reset => self.counters.resumes_reset += 1,
            ResumeAnswer::Denied => self.counters.resumes_denied += 1,
        }
    }

    fn park(&mut self, idx: SessionIdx, out: &mut Output) {
        self.sessions.carry(idx, None);
        let kept_ms = self.kept_ms().max(1);
        let session = &mut self.sessions[idx];
        session.parked = Some(self.now);
        session.parked_ms = kept_ms;
        session.mail.clear();
        self.counters.sessions_parked += 1;
        out.notes.push(Note::Parked { session: session.id });
        self.park_view(idx);
        self.keep_session(idx);
        self.plan_wake(idx);
    }

    fn refuse(&mut self, conn: ConnId, code: CloseCode, reason: &str, out: &mut Output) {
        count(&mut self.counters.attaches_refused, code);
        let retry_after_ms = match code {
            CloseCode::WORLD_FULL => Some(RETRY_WHEN_FULL_MS),
            CloseCode::OVERLOADED => Some(self.newcomer_waits_ms()),
            _ => None,
        };
        let refused = Refused { code, reason: reason.into(), retry_after_ms };
        let start = out.arena.len();
        frame::write(&codec::encode(&ControlDown::Refused(refused)), &mut out.arena);
        let bytes = start..out.arena.len();
        out.writes.push(Write { conn, stream: StreamKind::Control, bytes });
        out.closes.push(Close { conn, code });
        out.notes.push(Note::Refused { conn, code });
    }
}
