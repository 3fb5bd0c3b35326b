//! How a session begins, is taken up again and ends.

use super::{GOODBYE_NS_MAX, Phase, Session};
use crate::clock::ServerClock;
use crate::error::ConnectError;
use crate::event::ClientEvent;
use crate::session::receive::Inlets;
use starling_protocol::close::CloseCode;
use starling_protocol::message::control::{
    Capabilities, ControlUp, Hello, Refused, Resume, ResumeAnswer, Welcome,
};
use starling_protocol::units::Nanos;
use starling_protocol::version::{TABLES, VERSION};

impl Session {
    /// The connection that was wished for stands, or the second one of a race, to which the session
    /// moves if it [still races](Self::is_racing).
    pub fn handle_connected(&mut self, now: Nanos) {
        if !matches!(self.phase, Phase::Dialling { .. }) && !self.win_race() {
            return; // it was given up in the meantime, and the wish to close it stands
        }
        self.inlets = Inlets::new();
        self.outbox.clear();
        self.phase = Phase::Joining { until: now + self.dial_ns() };
        self.last_heard = now;
        let hello = ControlUp::Hello(Box::new(self.hello()));
        let written = self.outbox.control(&hello);
        debug_assert!(written.is_ok(), "an empty outbox has room for a Hello");
    }

    /// The connection ended, or could not be made.
    pub fn handle_closed(&mut self, now: Nanos, code: CloseCode) {
        if matches!(self.phase, Phase::Waiting { .. }) {
            return; // the session has given this connection up already
        }
        if self.race_alone(now, code) {
            return;
        }
        self.lost(now, ConnectError::from_code(code), None);
    }

    fn hello(&self) -> Hello {
        let resume = self.welcome.as_ref().map(|welcome| Resume {
            session: welcome.session,
            token: welcome.resume_token,
            channels: self.subscriptions.positions(),
        });
        Hello {
            versions: vec![VERSION],
            world: self.options.world.clone(),
            create: self.options.create,
            token: self.options.token.clone(),
            resume,
            schema_hash: self.options.schema_hash,
            capabilities: self.options.capabilities | Capabilities::AVATAR | Capabilities::DELTAS,
        }
    }

    pub(super) fn refused(&mut self, now: Nanos, refused: Refused) {
        let least_ms = refused.retry_after_ms;
        self.wishes.close = Some(CloseCode::GOODBYE);
        self.lost(now, ConnectError::from_refused(refused), least_ms);
    }

    pub(super) fn welcomed(&mut self, now: Nanos, welcome: Welcome) {
        if welcome.tables != TABLES || welcome.version != VERSION {
            self.wishes.close = Some(CloseCode::VERSION);
            return self.end(ConnectError::Version);
        }
        if welcome.schema.validate().is_err() {
            return self.breach_of_protocol();
        }
        let first = self.welcome.is_none();
        let (answer, session) = (welcome.resumed, welcome.session);
        let same_world = self.set_clock(now, &welcome);
        self.view.begin(now, &welcome, same_world);
        self.uplink.restart();
        self.take_up(&welcome, same_world);
        self.welcome = Some(Box::new(welcome));
        self.phase = Phase::Live;
        self.adrift_since = None;
        self.live_since.get_or_insert(now);
        self.spread_ms = 0;
        self.queue.push(if first {
            ClientEvent::Connected { session }
        } else {
            ClientEvent::Reconnected { answer, session }
        });
        if answer != ResumeAnswer::Resumed {
            self.set_avatar(None); // one that still stands is told next
        }
        self.flush();
    }

    /// The clock goes on when the world's time does; says whether it does.
    fn set_clock(&mut self, now: Nanos, welcome: &Welcome) -> bool {
        let before = self.welcome.as_ref();
        let same =
            before.is_some_and(|w| w.epoch == welcome.epoch && w.tick_rate == welcome.tick_rate);
        if !same || self.clock.is_none() {
            self.clock = Some(ServerClock::new(now, welcome.tick_rate, welcome.server_time_us));
        }
        same
    }

    /// Everything that this side wants is brought to the new connection.
    fn take_up(&mut self, welcome: &Welcome, same_life: bool) {
        // A session that is new knows no handles of the one before.
        let by_ids = same_life || welcome.resumed != ResumeAnswer::Resumed;
        let unknown = self.owned.rejoin(&welcome.entities, by_ids);
        for handle in unknown {
            // More than the outbox holds cannot be unknown: a handle is unknown only where its
            // despawn was under way when the connection was lost.
            if self.outbox.control(&ControlUp::Despawn { handle }).is_err() {
                self.counts.breaches += 1;
            }
        }
        self.interests.forget_told();
        self.presence.forget_told();
        if welcome.resumed == ResumeAnswer::Resumed {
            self.subscriptions.resume();
            self.publishes.resume();
            self.receipts.resume();
            self.pages.ask_again();
            self.erasures.ask_again();
            if !same_life {
                self.cues_up.clear(); // their ticks are of the life before
            }
        } else {
            self.subscriptions.restart(welcome.epoch);
            self.receipts.restart();
            self.pages.ask_again();
            self.erasures.ask_again();
            self.inputs.reset();
            self.cues_up.clear();
            for message in self.publishes.restart() {
                self.queue.push(ClientEvent::PublishUncertain { message });
            }
        }
    }

    /// Ends the session cleanly: own entities leave at once and nothing is parked.
    pub fn goodbye(&mut self, now: Nanos) {
        match self.phase {
            Phase::Closed | Phase::Leaving { .. } => {}
            Phase::Live if self.outbox.control(&ControlUp::Goodbye).is_ok() => {
                self.phase = Phase::Leaving { until: now + GOODBYE_NS_MAX };
            }
            _ => self.part(),
        }
    }

    /// The server said what it must not say: there is no sense in going on with it.
    pub(super) fn breach_of_protocol(&mut self) {
        self.counts.breaches += 1;
        self.wishes.close = Some(CloseCode::PROTOCOL_ERROR);
        self.end(ConnectError::from_code(CloseCode::PROTOCOL_ERROR));
    }
}
