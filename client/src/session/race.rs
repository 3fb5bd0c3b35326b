//! A second connection when the first falls silent.
//!
//! A path that died says nothing, and the idle timeout is long. But it is known what the server
//! owes: a report of samples, inputs and cues after a few ticks, an echo of any other uplink after
//! some more, and a heartbeat now and then. Silence beyond what is owed may be one lost datagram,
//! so where an echo or a heartbeat is overdue, or the device has changed its network, the session
//! *probes*: it sends uplinks that say nothing, of which each is reported at once. When a report is
//! overdue by half a second (or four round trips), a second connection is made. Whichever speaks
//! first wins: the old one ends the race, the new one resumes the session.

use super::{Phase, Session};
use crate::clock::ServerClock;
use crate::event::ClientEvent;
use crate::options::KeepAlive;
use starling_protocol::close::CloseCode;
use starling_protocol::units::Nanos;

/// Silence that is no reason yet.
const PATIENCE_NS_MIN: u64 = 500 * Nanos::MILLISECOND;
/// Ticks within which a server reports what it folded.
const REPORT_TICKS: u64 = 7;
/// Ticks within which it echoes any uplink, and the one that takes it in.
const ECHO_TICKS: u64 = 17;
/// Of several probes in this time some arrive where many datagrams are lost.
const PROBES_PER_PATIENCE: u64 = 4;
/// After a race that nobody won the next one waits so long, and twice as long after each more.
const PAUSE_NS: u64 = Nanos::SECOND / 2;
/// But no longer than this times as long.
const PAUSES_MAX: u64 = 16;

/// The race that is on, if one is, and what there is to doubt about the connection.
#[derive(Debug, Default)]
pub(super) struct Race {
    /// It is lost by the second connection at this moment.
    on: Option<Nanos>,
    not_before: Nanos,
    /// Of how many pauses the next one is made; none yet where this is 0.
    pauses: u64,
    /// A second connection could not be made since the first fell silent.
    lost: bool,
    /// Since when the path may be another.
    doubt: Option<Nanos>,
}

impl Session {
    /// The device has changed its network, or slept: asks at once whether the server is still
    /// there, and goes on over a second connection where no answer comes. It asks even with
    /// [`KeepAlive::Off`].
    ///
    /// Without [`Reconnect::race`](crate::Reconnect) an answer would change nothing, so nothing is
    /// asked: the old path has until a heartbeat is overdue or the link's idle timeout is over.
    ///
    /// ```
    /// # use starling_client::{ConnectOptions, Session};
    /// # use starling_protocol::units::Nanos;
    /// # let mut session = Session::new(Nanos(0), ConnectOptions::new("plaza"));
    /// session.network_changed(Nanos::from_millis(5_000)); // as the system's callback says
    /// ```
    pub fn network_changed(&mut self, now: Nanos) {
        self.race.doubt = Some(now);
    }

    /// When the session asks whether the server is there, if nothing is heard before.
    pub(super) fn probe_at(&self) -> Option<Nanos> {
        let clock = self.clock.as_ref().filter(|_| self.asks())?;
        let (awaited, patience_ns) = (self.uplink.awaited(), patience_ns(clock));
        if awaited.report.is_some() {
            return Some(self.uplink.last_sent()? + patience_ns / PROBES_PER_PATIENCE);
        }
        let echo = awaited.echo.map(|sent| sent + ECHO_TICKS * clock.rate().period_ns());
        let overdue = echo.into_iter().chain(self.heartbeat_at()).map(|due| due + patience_ns);
        overdue.chain(self.race.doubt).min()
    }

    /// Whoever keeps quiet asks only when there is a reason to doubt the path.
    fn asks(&self) -> bool {
        let quiet = self.options.keep_alive == KeepAlive::Off && self.race.doubt.is_none();
        self.options.reconnect.race && !quiet
    }

    /// When a race begins, or ends, if nothing is heard before.
    pub(super) fn race_at(&self) -> Option<Nanos> {
        if !self.options.reconnect.race {
            return None;
        }
        if self.race.on.is_some() {
            return self.race.on;
        }
        let (clock, asked) = (self.clock.as_ref()?, self.uplink.awaited().report?);
        let at = asked + patience_ns(clock) + REPORT_TICKS * clock.rate().period_ns();
        let at = self.lost_at().map_or(at, |lost| at.min(lost));
        Some(at.max(self.race.not_before))
    }

    /// When the connection is given up for its silence. A race comes first, where there can be one; and
    /// while the server counts this session as present, the old path may come back sooner than another
    /// connection is made: what is sent there is heard at once (P8).
    pub(super) fn silent_at(&self) -> Option<Nanos> {
        let race = self.race_at().filter(|_| !self.race.lost);
        let present = self.present_until().filter(|_| self.options.reconnect.race);
        self.lost_at().max(race).max(present).filter(|_| self.heartbeat_at().is_some())
    }

    /// Who is silent for longer has left.
    fn present_until(&self) -> Option<Nanos> {
        let presence_ms = self.welcome.as_ref()?.presence_ms;
        Some(self.last_heard + u64::from(presence_ms) * Nanos::MILLISECOND)
    }

    /// When the silence is too long for a server that owes heartbeats.
    fn lost_at(&self) -> Option<Nanos> {
        let (clock, heartbeat) = (self.clock.as_ref()?, self.heartbeat_at()?);
        Some(heartbeat + heartbeat.since(self.last_heard) / 4 + patience_ns(clock))
    }

    /// When the next heartbeat is due; in a world without, the idle timeout of the link decides.
    fn heartbeat_at(&self) -> Option<Nanos> {
        let (welcome, clock) = (self.welcome.as_ref()?, self.clock.as_ref()?);
        let heartbeat_ns = u64::from(welcome.heartbeat_ticks) * clock.rate().period_ns();
        (heartbeat_ns > 0).then(|| self.last_heard + heartbeat_ns)
    }

    /// Begins a race, or ends one that has gone on for too long.
    pub(super) fn begin_race(&mut self, now: Nanos) {
        if self.race.on.take().is_some() {
            self.wishes.calm = !std::mem::take(&mut self.wishes.race);
            return self.lose_race(now);
        }
        self.race.on = Some(now + self.dial_ns());
        self.wishes.race = true;
        self.counts.races += 1;
    }

    /// The connection spoke, or is gone: there is no race, and nothing to doubt.
    pub(super) fn call_off_race(&mut self) {
        if self.race.on.take().is_some() {
            self.wishes.calm = !std::mem::take(&mut self.wishes.race);
        }
        (self.race.lost, self.race.doubt, self.race.pauses) = (false, None, 0);
    }

    /// Would the session go on over a second connection that stands now? No more once the first has
    /// spoken again, though it is yet to be told to [close](super::LinkWish::Calm) the second.
    #[must_use]
    pub fn is_racing(&self) -> bool {
        self.race.on.is_some() && self.is_live()
    }

    /// The second connection stands first: the session goes on there.
    pub(super) fn win_race(&mut self) -> bool {
        let won = self.is_racing();
        self.race.on = None;
        if won {
            self.leave_at = None;
            self.queue.push(ClientEvent::Reconnecting { code: CloseCode::LOST, wait_ms: 0 });
        }
        won
    }

    /// The first connection is gone while the second is being made: that one is all there is.
    pub(super) fn race_alone(&mut self, now: Nanos, code: CloseCode) -> bool {
        let told = code == CloseCode::REPLACED || self.leave_at.is_some();
        let alone = self.is_live() && self.race.on.is_some() && !told;
        if alone {
            self.race.on = None;
            self.inlets = super::Inlets::new();
            self.outbox.clear();
            self.leave_at = None;
            self.adrift_since.get_or_insert(now);
            self.phase = Phase::Dialling { until: now + self.dial_ns() };
            self.queue.push(ClientEvent::Reconnecting { code, wait_ms: 0 });
        }
        alone
    }

    /// The second connection of a [`LinkWish::Race`](super::LinkWish::Race) could not be made.
    pub fn handle_rival_closed(&mut self, now: Nanos) {
        if self.race.on.take().is_some() {
            self.lose_race(now);
        }
    }

    fn lose_race(&mut self, now: Nanos) {
        self.race.lost = true;
        self.race.pauses = (2 * self.race.pauses).clamp(1, PAUSES_MAX);
        self.race.not_before = now + self.race.pauses * PAUSE_NS;
    }
}

fn patience_ns(clock: &ServerClock) -> u64 {
    PATIENCE_NS_MIN.max(4 * clock.rtt_ns().unwrap_or(0))
}
