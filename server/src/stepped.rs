//! The whole server in one thread, moved by whoever calls it: for simulation and tests.
//!
//! It is made of the objects that ship, in a fixed order, so that the same calls on the same
//! network give the same bytes.

use crate::auth::{Open, Verifier};
use crate::config::{Config, ConfigError, Settings, WorldPolicy};
use crate::counters::NetCounters;
use crate::entropy::{Entropy, Seeded};
use crate::net::{Front, Parts};
use crate::room::Room;
use crate::room::cores::Cores;
use crate::room::directory::{Counting, Directory, Lender, Lives};
use crate::room::pool::RoomId;
use crate::store::{Bell, Books, Grouping, Keeper, Store};
use crate::wall::Wall;
use starling_protocol::units::{Epoch, Nanos};
use starling_transport::Transport;
use starling_world::authority::Game;
use starling_world::config::WorldConfig;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rooms that are polled by their owner, in the order in which they were made.
#[derive(Default)]
pub struct Rooms {
    rooms: BTreeMap<RoomId, Room>,
    next_id: u64,
}

impl Rooms {
    /// The room with this name.
    #[must_use]
    pub fn get(&self, id: RoomId) -> Option<&Room> {
        self.rooms.get(&id)
    }

    /// Every room, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Room> {
        self.rooms.values()
    }

    /// Runs what is due.
    pub fn poll(&mut self, now: Nanos) {
        for room in self.rooms.values_mut() {
            room.poll(now, &|| now, &Cores::none());
        }
    }

    fn next_due(&self) -> Option<Nanos> {
        self.rooms.values().map(Room::next_due).min()
    }
}

impl Lender for Rooms {
    fn add(&mut self, room: Room) -> RoomId {
        let id = RoomId(self.next_id);
        self.next_id += 1;
        self.rooms.insert(id, room);
        id
    }

    fn remove(&mut self, id: RoomId) {
        self.rooms.remove(&id);
    }

    fn ring(&mut self, _: RoomId) {}

    fn is_broken(&self, _: RoomId) -> bool {
        false
    }

    fn bell(&self, _: RoomId) -> Bell {
        // Every room is polled at every poll.
        Arc::new(|| {})
    }
}

/// A server that stands still until it is polled.
pub struct Stepped<T> {
    front: Front<T, Rooms>,
    keeping: Option<Keeping>,
}

/// The store's keeper, and how long its work takes.
struct Keeping {
    keeper: Keeper,
    takes: Takes,
}

/// How many nanoseconds of made-up time the store's work took since it was last asked.
pub type Takes = Box<dyn Fn() -> u64 + Send>;

/// How to make a [`Stepped`] server.
pub struct Builder {
    settings: Settings,
    verifier: Arc<dyn Verifier>,
    seed: u64,
    /// `None` where time is made up: tokens are judged as in 1970, and fixes by no clock at all.
    wall: Option<Wall>,
    epoch: Epoch,
    games: BTreeMap<String, Box<dyn Game>>,
    keeping: Option<Keeping>,
}

impl Builder {
    /// A server of these settings, open to everyone. Resume tokens and whatever else is drawn
    /// follow from `seed`.
    #[must_use]
    pub fn new(settings: Settings, seed: u64) -> Self {
        let verifier = Arc::new(Open);
        let (games, keeping) = (BTreeMap::new(), None);
        Self { settings, verifier, seed, wall: None, epoch: Epoch(1), games, keeping }
    }

    /// Worlds are kept in this store by the keeper that ships. `takes` says how long a piece of its
    /// work took: its news come that much later.
    #[must_use]
    pub fn store(mut self, store: Arc<dyn Store>, grouping: Grouping, takes: Takes) -> Self {
        self.keeping = Some(Keeping { keeper: Keeper::new(store, grouping), takes });
        self
    }

    /// A server of the default configuration.
    ///
    /// # Errors
    /// Never for the defaults; kept so that a caller may pass any configuration.
    pub fn from_config(config: &Config, seed: u64) -> Result<Self, ConfigError> {
        Ok(Self::new(config.settings()?, seed))
    }

    /// Who judges tokens, and Unix milliseconds at the clock's origin.
    #[must_use]
    pub fn verifier(mut self, verifier: Arc<dyn Verifier>, origin_ms: u64) -> Self {
        self.verifier = verifier;
        self.began_at(origin_ms)
    }

    /// Unix milliseconds at the clock's origin, by which fixes of the future are told.
    #[must_use]
    pub fn began_at(mut self, origin_ms: u64) -> Self {
        self.wall = Some(Wall { origin_ms });
        self
    }

    /// The epoch of the first world, where this is not the server's first life; 1 unless told.
    #[must_use]
    pub fn epoch(mut self, epoch: Epoch) -> Self {
        self.epoch = epoch;
        self
    }

    /// One more world that exists from the start.
    #[must_use]
    pub fn world(mut self, world: WorldConfig) -> Self {
        self.settings.listed.push(world);
        self
    }

    /// The game of a listed world under authority `server`.
    #[must_use]
    pub fn game(mut self, world: &str, game: Box<dyn Game>) -> Self {
        self.games.insert(world.into(), game);
        self
    }

    /// The server on this network, its worlds' epochs starting at `now`.
    #[must_use]
    pub fn build<T: Transport>(mut self, transport: T, now: Nanos) -> Stepped<T> {
        let mut entropy = Seeded::new(self.seed);
        let lives = Lives { epochs: Box::new(Counting(self.epoch)), seed: entropy.number() };
        let open = self.settings.worlds == WorldPolicy::Auto;
        let mut directory =
            Directory::new(open, self.settings.templates, lives, self.wall.map(Into::into))
                .keeping(self.keeping.as_ref().map(|keeping| Books::of(&keeping.keeper)));
        let mut rooms = Rooms::default();
        for world in self.settings.listed.drain(..) {
            let game = self.games.remove(&world.name);
            directory.list(world, game, now, &mut rooms);
        }
        let front = Front::new(Parts {
            transport,
            rooms,
            directory,
            verifier: self.verifier,
            entropy: Box::new(entropy),
            wall: self.wall.unwrap_or_default(),
            limits: self.settings.limits,
            counters: Arc::new(NetCounters::default()),
        });
        Stepped { front, keeping: self.keeping }
    }
}

impl<T: Transport> Stepped<T> {
    /// Takes in what arrived, runs what is due, sends what came of it.
    pub fn poll(&mut self, now: Nanos) {
        while self.front.receive(now) {}
        self.front.rooms_mut().poll(now);
        if let Some(Keeping { keeper, takes }) = &mut self.keeping {
            keeper.poll(now, &|| now + takes());
        }
        self.front.deliver(now);
    }

    /// When to poll next, at the latest, unless something arrives.
    #[must_use]
    pub fn next_timeout(&self, now: Nanos) -> Nanos {
        let front = self.front.next_timeout(now);
        let keeper = self.keeping.as_ref().and_then(|keeping| keeping.keeper.next_due());
        let rooms = self.front.rooms().next_due();
        [rooms, keeper].into_iter().flatten().fold(front, Nanos::min)
    }

    /// The end, where the server is not killed: what waits for the store is written.
    pub fn finish(&mut self, now: Nanos) {
        if let Some(Keeping { keeper, takes }) = &mut self.keeping {
            keeper.finish(now, &|| now + takes());
        }
    }

    /// The store's keeper, where there is a store.
    #[must_use]
    pub fn keeper(&self) -> Option<&Keeper> {
        self.keeping.as_ref().map(|keeping| &keeping.keeper)
    }

    /// The connections.
    pub const fn front(&self) -> &Front<T, Rooms> {
        &self.front
    }

    /// The connections, to drain them.
    pub const fn front_mut(&mut self) -> &mut Front<T, Rooms> {
        &mut self.front
    }

    /// What is counted.
    pub const fn counters(&self) -> &Arc<NetCounters> {
        self.front.counters()
    }

    /// The room of a world.
    #[must_use]
    pub fn room(&self, world: &str) -> Option<&Room> {
        let entry = self.front.directory().worlds().labelled(world)?;
        self.front.rooms().get(entry.id)
    }
}
