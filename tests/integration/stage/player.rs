//! Somebody who plays by the rules: the SDK on a socket of its own.

use starling_client::net::{Client, MonotonicClock, Server as Place};
use starling_client::protocol::message::events::Event;
use starling_client::{
    ClientEvent, ConnectError, ConnectOptions, Cue, Nanos, OwnKey, OwnState, Pose, ResumeAnswer,
    SpawnSpec,
};

/// How far one looks.
const SIGHT_M: f32 = 50.0;
/// Events that are shown of a player where something is still not as it should be.
const EVENTS_SHOWN: usize = 12;
/// Half a step of the grid that positions are on, in any direction.
const GRID_M: f64 = 0.001;

/// A client, what happened to it, and where its entity is.
pub(crate) struct Player {
    pub(crate) client: Client,
    pub(crate) clock: MonotonicClock,
    pub(crate) name: String,
    pub(crate) me: Option<OwnKey>,
    pub(crate) events: Vec<ClientEvent>,
    pub(crate) cues: Vec<Cue>,
    at: [f64; 3],
    way: Option<fn(Nanos) -> [f64; 3]>,
    /// It does nothing, as if its machine had stopped.
    pub(crate) frozen: bool,
}

impl Player {
    pub(super) fn connect(clock: MonotonicClock, place: &Place, options: ConnectOptions) -> Self {
        let client = Client::connect(clock.now(), place, options).expect("it can be tried");
        let (events, cues) = (Vec::new(), Vec::new());
        let (name, at) = (String::new(), [0.0; 3]);
        Self { client, clock, name, me: None, events, cues, at, way: None, frozen: false }
    }

    pub(super) fn turn(&mut self) {
        if self.frozen {
            return;
        }
        let (me, way) = (self.me, self.way);
        self.client.advance_sampled(self.clock.now(), |session, sampling| {
            if let (Some(me), Some(way)) = (me, way) {
                session.set_pose(me, Pose::at(way(sampling.at))).expect("a place of this world");
            }
        });
        self.events.extend(std::iter::from_fn(|| self.client.poll_event()));
        self.cues.extend(std::iter::from_fn(|| self.client.poll_cue()));
    }

    pub(super) fn leaves(&mut self) {
        self.client.goodbye(self.clock.now());
    }

    pub(super) fn is_here(&self) -> bool {
        !self.frozen && !self.client.is_closed()
    }

    pub(super) fn appear(&mut self, name: &str, at: [f64; 3]) {
        let spec = SpawnSpec::at(Pose::at(at)).named(name);
        let me = self.client.spawn(spec).expect("one entity is few enough");
        self.client.set_interest_around(0, me, SIGHT_M).expect("the first of eight");
        (self.name, self.me, self.at) = (name.into(), Some(me), at);
    }

    pub(crate) fn me(&self) -> OwnKey {
        self.me.expect("it has appeared")
    }

    pub(super) fn stands(&self) -> bool {
        let area = |event: &ClientEvent| matches!(event, ClientEvent::InterestSet { .. });
        let me = self.client.own(self.me());
        matches!(me, Some(OwnState::Stands { .. })) && self.has_heard(area)
    }

    pub(crate) fn position(&self) -> [f64; 3] {
        self.at
    }

    pub(crate) fn goes_to(&mut self, at: [f64; 3]) {
        self.at = at;
        let me = self.me();
        self.client.set_pose(me, Pose::at(at)).expect("a place of this world");
    }

    /// From now on it is where this says for each moment.
    pub(crate) fn walks(&mut self, way: fn(Nanos) -> [f64; 3]) {
        self.way = Some(way);
    }

    /// It walks no further than here.
    pub(crate) fn stops(&mut self, at: [f64; 3]) {
        self.way = None;
        self.goes_to(at);
    }

    /// Is this one in sight?
    pub(crate) fn sees(&self, name: &str) -> bool {
        self.client.view().find(name).is_some()
    }

    /// Where this one is drawn.
    pub(crate) fn place_of(&self, name: &str) -> Option<[f64; 3]> {
        self.client.view().find(name).map(|seen| seen.pose().position)
    }

    /// Is the other drawn where it is, within the bound that the server states?
    pub(crate) fn has_in_place(&self, other: &Self) -> bool {
        let drawn = self.place_of(&other.name);
        drawn.is_some_and(|at| distance(at, other.at) <= self.bound_m())
    }

    /// The greatest error that the server allows itself, in metres, with that of the grid.
    pub(crate) fn bound_m(&self) -> f64 {
        let welcome = self.client.welcome().expect("it was welcomed");
        f64::from(welcome.error_bound_mm) / 1_000.0 + GRID_M
    }

    pub(crate) fn has_heard(&self, is_it: impl FnMut(&ClientEvent) -> bool) -> bool {
        self.events.iter().any(is_it)
    }

    /// What was delivered on channels, in order.
    pub(crate) fn delivered(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().filter_map(|event| match event {
            ClientEvent::Delivered(event) => Some(&**event),
            _ => None,
        })
    }

    /// The texts that were delivered on channels, in order.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.delivered().map(|event| String::from_utf8_lossy(&event.payload).into()).collect()
    }

    /// The answers to its reconnects, in order.
    pub(crate) fn answers(&self) -> Vec<ResumeAnswer> {
        let answers = self.events.iter().filter_map(|event| match event {
            ClientEvent::Reconnected { answer, .. } => Some(*answer),
            _ => None,
        });
        answers.collect()
    }

    /// Why its session ended for good.
    pub(crate) fn end(&self) -> Option<&ConnectError> {
        self.events.iter().find_map(|event| match event {
            ClientEvent::Closed { error } => Some(error),
            _ => None,
        })
    }

    /// Its first connection stands and nothing was ever refused to it.
    pub(super) fn is_undisturbed(&self) -> bool {
        !self.has_heard(|event| {
            matches!(
                event,
                ClientEvent::Reconnecting { .. }
                    | ClientEvent::Closed { .. }
                    | ClientEvent::Rejected { .. }
                    | ClientEvent::Despawned { .. }
                    | ClientEvent::RequestRefused { .. }
            )
        })
    }
}

/// Shows the newest of what happened to it.
impl std::fmt::Debug for Player {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let newest = self.events.len().saturating_sub(EVENTS_SHOWN);
        f.debug_struct("Player")
            .field("name", &self.name)
            .field("state", &self.client.state())
            .field("delivered", &self.delivered().count())
            .field("stats", &self.client.stats())
            .field("quic", &self.client.quic_stats())
            .field("sees", &self.client.view().iter().map(|s| s.id()).collect::<Vec<_>>())
            .field("events", &&self.events[newest..])
            .finish_non_exhaustive()
    }
}

/// Metres between two points of a metric world.
pub(crate) fn distance(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
}
