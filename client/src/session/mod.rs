//! A session: a pure state machine between an application and a connection.
//!
//! Bytes and time come in, bytes and wishes come out. There is no clock, no socket and no thread,
//! so the same code runs in a browser, in a game loop, on a simulated network and in a swarm of
//! thousands. `net` drives it over a real transport.

mod avatar;
mod awaited;
mod beside;
pub(crate) mod cue;
mod hear;
pub(crate) mod input;
mod interest;
mod join;
pub(crate) mod outbox;
pub(crate) mod own;
mod pace;
mod queue;
mod race;
mod receive;
mod request;
mod send;
mod stats;
pub(crate) mod uplink;

pub use stats::Stats;

use crate::backoff::Backoff;
use crate::channel::{Erasures, OwnPresence, Pages, Publishes, Receipts, Subscriptions};
use crate::clock::ServerClock;
use crate::error::ConnectError;
use crate::event::{ClientEvent, Cue};
use crate::options::ConnectOptions;
use crate::view::View;
use cue::CuesUp;
use input::Inputs;
use interest::Interests;
use outbox::Outbox;
use own::Owned;
use queue::Queue;
use race::Race;
use receive::Inlets;
use starling_protocol::close::CloseCode;
use starling_protocol::message::control::Welcome;
use starling_protocol::units::{EntityId, Nanos};
use uplink::Uplink;

/// The connection did not come about within this time, or the Welcome not within as much again.
const DIAL_NS_MAX: u64 = 10 * Nanos::SECOND;
/// The first of several attempts, and a second connection, have so long or a few round trips: what
/// began while the path was cut asks ever more seldom, and another attempt begins with asking at once. Not
/// less: in a storm a handshake takes seconds, and one that is given up has cost the server as much.
const DIAL_NS_MIN: u64 = 5 * Nanos::SECOND;
/// Round trips that a handshake may take where some of it is lost.
const DIAL_ROUND_TRIPS: u64 = 8;
/// A session that stood for less is lost again too soon for its back-off to begin anew.
const STEADY_NS: u64 = 2 * Nanos::SECOND;
/// A goodbye is given this long to leave.
const GOODBYE_NS_MAX: u64 = Nanos::SECOND;

/// How far a session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// A connection is being made for the first time.
    Connecting,
    /// Hello was said; the Welcome has not come.
    Joining,
    /// The session stands.
    Live,
    /// The connection was lost; the session is parked on the server and is taken up again.
    Reconnecting,
    /// It ended for good.
    Closed,
}

/// What a session wants of whoever owns its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkWish {
    /// Make a new connection and tell [`Session::handle_connected`] when it stands, or
    /// [`Session::handle_closed`] when it could not be made.
    Connect,
    /// Close the connection, if there is one, with this code. Nothing is to be told about it.
    Close(CloseCode),
    /// The connection has fallen silent: make a second one beside it. When it stands,
    /// [`Session::handle_connected`] makes it *the* connection and the old one is to be closed.
    /// When it cannot be made, [`Session::handle_rival_closed`] is to be told; whoever has no
    /// second connection to offer tells it at once.
    Race,
    /// The connection has spoken again: close the second one.
    Calm,
}

#[derive(Debug)]
enum Phase {
    /// A connection is being made.
    Dialling {
        until: Nanos,
    },
    Joining {
        until: Nanos,
    },
    Live,
    /// Goodbye was said and is on its way.
    Leaving {
        until: Nanos,
    },
    /// Waits before the next attempt.
    Waiting {
        until: Nanos,
    },
    Closed,
}

/// A session as the application sees it. See the [module](crate) for how its parts are used.
///
/// ```
/// use starling_client::{ConnectOptions, LinkWish, Session, SessionState};
/// use starling_protocol::units::Nanos;
///
/// let mut session = Session::new(Nanos(0), ConnectOptions::new("plaza"));
/// assert_eq!(session.poll_link(), Some(LinkWish::Connect));
/// session.handle_connected(Nanos::from_millis(3));
/// assert_eq!(session.state(), SessionState::Joining);
/// ```
#[derive(Debug)]
pub struct Session {
    options: ConnectOptions,
    phase: Phase,
    wishes: Wishes,
    /// Of the newest session, also while it is parked.
    welcome: Option<Box<Welcome>>,
    clock: Option<ServerClock>,
    inlets: Inlets,
    outbox: Outbox,
    uplink: Uplink,
    owned: Owned,
    avatar: Option<EntityId>,
    inputs: Inputs,
    cues_up: CuesUp,
    interests: Interests,
    subscriptions: Subscriptions,
    publishes: Publishes,
    receipts: Receipts,
    presence: OwnPresence,
    pages: Pages,
    erasures: Erasures,
    view: View,
    queue: Queue,
    backoff: Backoff,
    /// Since when the connection stands, or the last one stood.
    live_since: Option<Nanos>,
    /// When the session was last without a connection, for giving up.
    adrift_since: Option<Nanos>,
    /// The server drains: it closes the connection by this moment, or is left.
    leave_at: Option<Nanos>,
    /// The next attempt is spread over so many milliseconds, as a draining server asked for.
    spread_ms: u32,
    last_heard: Nanos,
    race: Race,
    counts: stats::Counts,
}

#[derive(Debug, Default)]
struct Wishes {
    close: Option<CloseCode>,
    connect: bool,
    race: bool,
    calm: bool,
}

impl Session {
    /// A session that wants to be connected.
    #[must_use]
    pub fn new(now: Nanos, options: ConnectOptions) -> Self {
        let patient = options.reconnect.before_first;
        let dial_ns = if patient { DIAL_NS_MIN } else { DIAL_NS_MAX };
        Self {
            phase: Phase::Dialling { until: now + dial_ns },
            wishes: Wishes { connect: true, ..Wishes::default() },
            welcome: None,
            clock: None,
            inlets: Inlets::new(),
            outbox: Outbox::default(),
            uplink: Uplink::new(options.seed as u16),
            owned: Owned::default(),
            avatar: None,
            inputs: Inputs::default(),
            cues_up: CuesUp::default(),
            interests: Interests::default(),
            subscriptions: Subscriptions::new(),
            publishes: Publishes::new(options.seed),
            receipts: Receipts::default(),
            presence: OwnPresence::default(),
            pages: Pages::default(),
            erasures: Erasures::default(),
            view: View::new(options.view),
            queue: Queue::default(),
            backoff: Backoff::new(options.seed),
            live_since: None,
            adrift_since: Some(now),
            leave_at: None,
            spread_ms: 0,
            last_heard: now,
            race: Race::default(),
            counts: stats::Counts::default(),
            options,
        }
    }

    /// How far the session has come.
    #[must_use]
    pub fn state(&self) -> SessionState {
        match self.phase {
            Phase::Live | Phase::Leaving { .. } => SessionState::Live,
            Phase::Closed => SessionState::Closed,
            _ if self.welcome.is_some() => SessionState::Reconnecting,
            Phase::Joining { .. } => SessionState::Joining,
            Phase::Dialling { .. } | Phase::Waiting { .. } => SessionState::Connecting,
        }
    }

    /// Has the session ended for good?
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// What the server said when the session began: world, space, schema, bounds.
    #[must_use]
    pub fn welcome(&self) -> Option<&Welcome> {
        self.welcome.as_deref()
    }

    /// The server's clock; `None` before the first Welcome.
    #[must_use]
    pub const fn clock(&self) -> Option<&ServerClock> {
        self.clock.as_ref()
    }

    /// What this session sees.
    #[must_use]
    pub const fn view(&self) -> &View {
        &self.view
    }

    /// What this session sees, to take changes out of it.
    #[must_use]
    pub const fn view_mut(&mut self) -> &mut View {
        &mut self.view
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.queue.pop()
    }

    /// The next cue that arrived in time, each once.
    pub fn poll_cue(&mut self) -> Option<Cue> {
        self.queue.pop_cue()
    }

    /// What the session wants of its connection, one thing at a time. To be asked after every
    /// call that takes the time.
    pub fn poll_link(&mut self) -> Option<LinkWish> {
        if let Some(code) = self.wishes.close.take() {
            return Some(LinkWish::Close(code));
        }
        let Wishes { connect, race, calm, .. } = &mut self.wishes;
        let flags = [(calm, LinkWish::Calm), (race, LinkWish::Race), (connect, LinkWish::Connect)];
        let wished = flags.into_iter().find(|(flag, _)| **flag);
        wished.map(|(flag, wish)| {
            *flag = false;
            wish
        })
    }

    /// Does what is due, and draws the view at this moment.
    pub fn advance(&mut self, now: Nanos) {
        self.receive(now);
        self.expire(now);
        self.flush();
        if let Some(clock) = &self.clock {
            self.view.draw(now, clock);
        }
    }

    /// As [`Session::advance`], without drawing: for programs that do not look.
    pub fn advance_blind(&mut self, now: Nanos) {
        self.receive(now);
        self.expire(now);
        self.flush();
    }

    /// When the session wants to be advanced again at the latest, if nothing arrives before.
    #[must_use]
    pub fn next_timeout(&mut self, now: Nanos) -> Option<Nanos> {
        match self.phase {
            Phase::Closed => None,
            Phase::Dialling { until }
            | Phase::Joining { until }
            | Phase::Leaving { until }
            | Phase::Waiting { until } => Some(until),
            Phase::Live => {
                let due = [
                    self.leave_at,
                    self.silent_at(),
                    self.race_at(),
                    self.subscriptions.again_at(),
                    self.view.next_timeout(),
                    self.uplink_due(now),
                ];
                due.into_iter().flatten().min()
            }
        }
    }

    fn expire(&mut self, now: Nanos) {
        self.subscriptions.again(now);
        self.view.expire(now);
        match self.phase {
            Phase::Dialling { until } | Phase::Joining { until } if now >= until => {
                self.hang_up(now, CloseCode::LOST);
            }
            Phase::Waiting { until } if now >= until && self.queue.has_drained() => self.dial(now),
            Phase::Leaving { until } if now >= until || self.outbox.is_empty() => self.part(),
            Phase::Live if self.leave_at.is_some_and(|at| now >= at) => {
                self.hang_up(now, CloseCode::GOING_AWAY);
            }
            Phase::Live if self.race_at().is_some_and(|at| now >= at) => self.begin_race(now),
            Phase::Live if self.silent_at().is_some_and(|at| now >= at) => {
                self.hang_up(now, CloseCode::LOST);
            }
            _ => {}
        }
    }

    /// Closes the connection from this side and goes on as after a loss.
    fn hang_up(&mut self, now: Nanos, code: CloseCode) {
        self.wishes.close = Some(code);
        self.lost(now, ConnectError::from_code(code), None);
    }

    /// There is no connection any more: wait and try again, or end.
    fn lost(&mut self, now: Nanos, error: ConnectError, least_ms: Option<u32>) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        if matches!(self.phase, Phase::Leaving { .. }) {
            return self.part();
        }
        self.inlets = Inlets::new();
        self.outbox.clear();
        self.leave_at = None;
        self.call_off_race();
        let spread_ms = std::mem::take(&mut self.spread_ms);
        if self.live_since.take().is_some_and(|since| now.since(since) >= STEADY_NS) {
            self.backoff.succeeded();
        }
        let since = *self.adrift_since.get_or_insert(now);
        let wait_ns = match self.may_try_again(now, since) {
            true => self.backoff.wait_ns(error.code(), least_ms, spread_ms),
            false => None,
        };
        let Some(wait_ns) = wait_ns else { return self.end(error) };
        let wait_ms = wait_ns / Nanos::MILLISECOND;
        self.queue.push(ClientEvent::Reconnecting { code: error.code(), wait_ms });
        self.phase = Phase::Waiting { until: now + wait_ns };
    }

    fn may_try_again(&self, now: Nanos, since: Nanos) -> bool {
        let policy = self.options.reconnect;
        let wanted = if self.welcome.is_some() { policy.after_loss } else { policy.before_first };
        let given_up = policy.give_up_ms.is_some_and(|ms| now.since(since) / 1_000_000 >= ms);
        wanted && !given_up
    }

    /// Goodbye was said.
    fn part(&mut self) {
        self.close_down();
        self.queue.push(ClientEvent::Goodbye);
    }

    fn end(&mut self, error: ConnectError) {
        if self.is_closed() {
            return;
        }
        self.close_down();
        self.queue.push(ClientEvent::Closed { error });
    }

    /// Nothing is read, written or wished for from here on but the end of the connection.
    fn close_down(&mut self) {
        self.phase = Phase::Closed;
        self.inlets = Inlets::new();
        self.outbox.clear();
        let code = self.wishes.close.unwrap_or(CloseCode::GOODBYE);
        self.wishes = Wishes { close: Some(code), ..Wishes::default() };
    }

    fn dial(&mut self, now: Nanos) {
        self.wishes.connect = true;
        self.phase = Phase::Dialling { until: now + self.dial_ns() };
        self.counts.reconnects += u64::from(self.welcome.is_some());
    }

    /// How long an attempt to connect may take, and the Welcome after it: longer each time. Whose address
    /// changes between the two is not heard by the server, and would wait for ever.
    fn dial_ns(&self) -> u64 {
        if self.welcome.is_none() && !self.options.reconnect.before_first {
            return DIAL_NS_MAX; // it is the only one
        }
        let rtt_ns = self.clock.as_ref().and_then(ServerClock::rtt_ns).unwrap_or(0);
        let first = DIAL_NS_MIN.max(DIAL_ROUND_TRIPS * rtt_ns);
        (first << self.backoff.failures().min(8)).min(DIAL_NS_MAX)
    }
}
