//! A whole network in one thread, for tests and simulation.
//!
//! One server side and any number of client sides share a virtual clock and step each other:
//! whoever polls moves every link to the time it names. Each direction of each link passes through
//! a [`Conditioner`](crate::conditioner::Conditioner). The same seed and the same calls give the
//! same events.
//!
//! It is harsher than QUIC in one thing: a datagram that the link doubles arrives twice.
//!
//! ```
//! use starling_protocol::units::Nanos;
//! use starling_transport::conditioner::LinkProfile;
//! use starling_transport::{Event, Transport, memory::Network};
//!
//! let network = Network::new(7);
//! let (mut server, mut client) = (network.server(), network.client());
//! let conn = client.connect(Nanos(0), &LinkProfile::parse("delay=10ms")?);
//!
//! let mut events = Vec::new();
//! server.poll(Nanos::from_millis(10), 100, &mut events);
//! assert!(matches!(events[0], Event::Connected { .. }));
//! client.poll(Nanos::from_millis(20), 100, &mut events);
//! assert!(matches!(events[1], Event::Connected { conn: same, .. } if same == conn));
//! # Ok::<(), starling_transport::conditioner::LinkError>(())
//! ```

mod inbox;
mod lane;
mod link;
mod side;

pub use side::{ClientRole, ClientSide, ServerRole, ServerSide, Side};

use crate::conditioner::{ConditionerStats, LinkProfile};
use crate::{ConnKey, Event};
use inbox::Inbox;
use link::{End, Inboxes, Link};
use starling_protocol::units::Nanos;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

/// Payload of a datagram, as at QUIC's smallest MTU of 1200.
pub const DATAGRAM_BYTES_MAX: usize = 1_162;
/// Silence after which a link is lost, unless [`Network::set_idle_timeout`] says otherwise.
const IDLE_NS_DEFAULT: u64 = 15 * Nanos::SECOND;

/// The network; a handle that can be cloned.
#[derive(Clone, Debug)]
pub struct Network {
    state: Arc<Mutex<State>>,
}

/// What one link did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// From client to server.
    pub up: ConditionerStats,
    /// From server to client.
    pub down: ConditionerStats,
    /// Changes of the client's port.
    pub rebinds: u64,
}

impl Network {
    /// An empty network whose faults all follow from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: Arc::new(Mutex::new(State::new(seed))) }
    }

    /// The server side. There is one: every handle drains the same events.
    #[must_use]
    pub fn server(&self) -> ServerSide {
        Side::new(self.clone(), Owner::Server)
    }

    /// A new client side, which may hold any number of connections.
    #[must_use]
    pub fn client(&self) -> ClientSide {
        let mut state = self.lock();
        state.clients.push(Inbox::default());
        Side::new(self.clone(), Owner::Client(state.clients.len() - 1))
    }

    /// Silence after which links made from now on are lost, in nanoseconds.
    pub fn set_idle_timeout(&self, idle_ns: u64) {
        self.lock().idle_ns = idle_ns;
    }

    /// Cuts the cable of a link: nothing arrives until [`Network::restore`].
    pub fn cut(&self, conn: ConnKey) {
        self.lock().change(conn, |link| link.cut = true);
    }

    /// Mends the cable of a link.
    pub fn restore(&self, conn: ConnKey) {
        self.lock().change(conn, |link| link.cut = false);
    }

    /// Gives the client of a link another port. The connection stays.
    pub fn rebind(&self, conn: ConnKey) {
        self.lock().change(conn, |link| link.rebinds += 1);
    }

    /// Changes what both directions of a link do to packets sent from now on.
    pub fn set_profile(&self, conn: ConnKey, profile: &LinkProfile) {
        self.lock().change(conn, |link| {
            link.lane(End::Client).set_profile(profile.clone());
            link.lane(End::Server).set_profile(profile.clone());
        });
    }

    /// What a link did so far; `None` once both sides have closed it.
    #[must_use]
    pub fn stats(&self, conn: ConnKey) -> Option<LinkStats> {
        let state = self.lock();
        let link = state.links.get(&conn)?;
        let [up, down] = link.lanes().each_ref().map(lane::Lane::stats);
        Some(LinkStats { up, down, rebinds: link.rebinds })
    }

    /// Datagrams that gave way to newer ones because nobody polled, on all sides.
    #[must_use]
    pub fn datagrams_dropped(&self) -> u64 {
        let state = self.lock();
        state.clients.iter().chain([&state.server]).map(Inbox::dropped).sum()
    }

    /// When something is due on any link.
    #[must_use]
    pub fn next_due(&self) -> Option<Nanos> {
        self.lock().agenda.first().map(|(at, _)| *at)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding the network")
    }
}

/// Whose side a handle is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    Server,
    Client(usize),
}

impl Owner {
    const fn end(self) -> End {
        match self {
            Self::Server => End::Server,
            Self::Client(_) => End::Client,
        }
    }
}

#[derive(Debug)]
struct State {
    seed: u64,
    idle_ns: u64,
    /// The latest time that anyone named: the clock never runs back.
    now: Nanos,
    keys: u64,
    links: BTreeMap<ConnKey, Link>,
    /// When each link has something to do.
    agenda: BTreeSet<(Nanos, ConnKey)>,
    /// Links with written bytes that were not flushed.
    dirty: BTreeSet<(Owner, ConnKey)>,
    server: Inbox,
    clients: Vec<Inbox>,
}

impl State {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            idle_ns: IDLE_NS_DEFAULT,
            now: Nanos(0),
            keys: 0,
            links: BTreeMap::new(),
            agenda: BTreeSet::new(),
            dirty: BTreeSet::new(),
            server: Inbox::default(),
            clients: Vec::new(),
        }
    }

    fn connect(&mut self, now: Nanos, client: usize, profile: &LinkProfile) -> ConnKey {
        let now = self.clock(now);
        self.keys += 1;
        let conn = ConnKey(self.keys);
        let link = Link::open(conn, client, profile, self.seed, self.idle_ns, now);
        self.links.insert(conn, link);
        self.reschedule(conn);
        conn
    }

    fn clock(&mut self, now: Nanos) -> Nanos {
        self.now = self.now.max(now);
        self.now
    }

    /// The link of `conn`, if it belongs to `owner` and this end has not closed it.
    fn link(&self, owner: Owner, conn: ConnKey) -> Option<&Link> {
        let link = self.links.get(&conn)?;
        let mine = match owner {
            Owner::Server => link.phase(End::Server) != link::Phase::Opening,
            Owner::Client(client) => link.client == client,
        };
        (mine && link.phase(owner.end()) != link::Phase::Closed).then_some(link)
    }

    fn change(&mut self, conn: ConnKey, change: impl FnOnce(&mut Link)) {
        if let Some(link) = self.links.get_mut(&conn) {
            change(link);
            self.reschedule(conn);
        }
    }

    /// Files a link under the time of its next work, or drops it when it is over.
    fn reschedule(&mut self, conn: ConnKey) {
        let Some(link) = self.links.get_mut(&conn) else { return };
        if let Some(at) = link.scheduled.take() {
            self.agenda.remove(&(at, conn));
        }
        if link.is_over() {
            self.links.remove(&conn);
            return;
        }
        link.scheduled = link.next_due();
        if let Some(at) = link.scheduled {
            self.agenda.insert((at, conn));
        }
    }

    /// Moves every link to `now`, in order of time.
    fn advance(&mut self, now: Nanos) {
        while let Some(&(at, conn)) = self.agenda.first().filter(|(at, _)| *at <= now) {
            let link = self.links.get_mut(&conn).expect("the agenda names links that exist");
            let client = &mut self.clients[link.client];
            link.step(at, &mut Inboxes { client, server: &mut self.server });
            self.reschedule(conn);
        }
    }

    fn flush(&mut self, now: Nanos, owner: Owner) {
        let mine: Vec<_> = self.dirty.iter().filter(|(of, _)| *of == owner).copied().collect();
        for (_, conn) in mine {
            self.dirty.remove(&(owner, conn));
            self.change(conn, |link| link.lane(owner.end()).flush(now));
        }
    }

    fn inbox(&mut self, owner: Owner) -> &mut Inbox {
        match owner {
            Owner::Server => &mut self.server,
            Owner::Client(client) => &mut self.clients[client],
        }
    }

    /// The next event of a side; reading a stream gives its sender room again.
    fn next_event(&mut self, owner: Owner) -> Option<Event> {
        let event = self.inbox(owner).pop()?;
        if let Event::Stream { conn, bytes, .. } = &event {
            let sender = owner.end().other();
            if let Some(link) = self.links.get_mut(conn) {
                link.lane(sender).release(bytes.len());
            }
        }
        Some(event)
    }
}

#[cfg(test)]
mod tests;
