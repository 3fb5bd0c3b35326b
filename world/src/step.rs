//! What does not wait for a tick: sessions, requests, events.

use crate::World;
use crate::channel::subscribe::Request;
use crate::input::{Command, ConnId};
use crate::output::Output;
use crate::session::SessionIdx;
use starling_protocol::close::CloseCode;
use starling_protocol::message::control::RequestKind;
use starling_protocol::message::events::EventUp;

impl World {
    /// Does what came since the last step, in order, and writes what it brings about.
    ///
    /// `now_us` is the time in microseconds since the world's epoch; it is told in Welcomes and
    /// decides nothing. Commands of connections without a session are counted and ignored: their
    /// session may have ended while they were under way.
    pub fn step(&mut self, now_us: u64, commands: &mut Vec<Command>, out: &mut Output) {
        for command in commands.drain(..) {
            self.command(command, now_us, out);
        }
        self.flush_mail(out);
        self.tell_settled(out);
        self.hand_out_journal(out);
    }

    fn command(&mut self, command: Command, now_us: u64, out: &mut Output) {
        match command {
            Command::Attach(attach) => self.knock(attach, now_us, out),
            Command::Detach { conn } => self.detach(conn, out),
            Command::Revoke(whom) => self.revoke(&whom, out),
            Command::Store(news) => self.store_news(news, now_us, out),
            Command::Strain { too_much } => self.strain(too_much),
            Command::Drain { deadline_ms, jitter_ms } => self.drain(deadline_ms, jitter_ms),
            Command::Settle => self.settle(),
            Command::Control { conn, message } => {
                self.with(conn, |world, idx| world.control(idx, message, out));
            }
            Command::Event { conn, message } => {
                self.with(conn, |world, idx| world.event(idx, message));
            }
            Command::Bulk { conn, message } => self.with(conn, |world, idx| {
                world.bulk(idx, message);
            }),
            Command::Host { conn, message } => {
                self.with(conn, |world, idx| world.host(idx, message, out));
            }
            Command::Regrant { conn, principal } => {
                self.with(conn, |world, idx| world.regrant(idx, principal, out));
            }
            Command::RegrantRefused { conn } => self.with(conn, |world, idx| {
                world.refuse_request(idx, RequestKind::Token, CloseCode::UNAUTHORIZED);
            }),
        }
    }

    /// A connection spoke: it has its Welcome, and its session is there.
    pub(crate) fn heard(&mut self, idx: SessionIdx) {
        if !self.sessions[idx].tokens.is_sure() {
            self.sessions[idx].tokens.confirm();
            self.keep_session(idx);
        }
        self.contact(idx);
    }

    fn with(&mut self, conn: ConnId, act: impl FnOnce(&mut Self, SessionIdx)) {
        match self.sessions.by_conn(conn) {
            Some(idx) => {
                self.heard(idx);
                act(self, idx);
            }
            None => self.counters.commands_unknown += 1,
        }
    }

    fn event(&mut self, idx: SessionIdx, message: EventUp) {
        match message {
            EventUp::Subscribe { key, channel, resume, presence } => {
                self.subscribe(idx, Request { key, channel, resume, presence });
            }
            EventUp::Unsubscribe { key } => self.unsubscribe(idx, key),
            EventUp::Publish(publish) => self.publish(idx, *publish),
            EventUp::Annotate(said) => self.annotate(idx, *said),
            EventUp::Read { key, offset } => self.read_up_to(idx, key, offset),
            EventUp::CountUnread { request, channels } => {
                self.count_unread(idx, request, &channels);
            }
            EventUp::History(query) => self.read_history(idx, *query),
            EventUp::Lease(lease) => self.lease(idx, *lease),
            EventUp::Presence { state, data } => self.set_presence(idx, state, data),
            EventUp::Erase { request, subject } => self.erase(idx, request, subject),
            other => self.refuse_event(idx, &other),
        }
    }

    /// What ends with the tick: rejections are told, silence is named, everything is written.
    pub(crate) fn end_of_tick_mail(&mut self, now_us: u64, out: &mut Output) {
        self.tell_rejections();
        self.tell_leases();
        self.tell_cursors();
        self.tell_presence();
        self.tell_tops();
        self.sweep_channels();
        self.tend_durable(now_us, out);
        self.go_on_erasing();
        self.age_restored(out);
        self.keep_positions();
        self.flush_mail(out);
        self.hand_out_journal(out);
    }
}
