//! The directory of worlds: which exist, and who may make more.

use super::pool::{Pool, RoomId};
use super::schedule::Schedule;
use super::{Gauge, Room};
use crate::exchange::Mailbox;
use starling_protocol::close::CloseCode;
use starling_protocol::limits::{AUTO_WORLDS_MAX, WORLD_NAME_BYTES_MAX};
use starling_protocol::space::Space;
use starling_protocol::units::{Nanos, TickRate};
use starling_world::World;
use starling_world::authority::Game;
use starling_world::config::{Profile, WorldConfig};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How long a world that a Hello made stays when nobody is in it.
const EMPTY_NS: u64 = 60 * Nanos::SECOND;

/// Who lends rooms their time: the [`Pool`], or a simulation's own loop.
pub trait Lender {
    /// Takes a room in.
    fn add(&mut self, room: Room) -> RoomId;
    /// Ends a room.
    fn remove(&mut self, id: RoomId);
    /// A command waits in its inbox.
    fn ring(&mut self, id: RoomId);
}

impl Lender for Pool {
    fn add(&mut self, room: Room) -> RoomId {
        Self::add(self, room)
    }
    fn remove(&mut self, id: RoomId) {
        Self::remove(self, id);
    }
    fn ring(&mut self, id: RoomId) {
        Self::ring(self, id);
    }
}

/// One world as the Front knows it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The room that runs it.
    pub id: RoomId,
    /// Where its commands go and its batches come from.
    pub mailbox: Arc<Mailbox>,
    /// What it shows of itself.
    pub gauge: Arc<Gauge>,
    /// Its clock.
    pub schedule: Schedule,
    /// Its space.
    pub space: Space,
    /// Ticks per second.
    pub tick_rate: TickRate,
    /// Made by a Hello; goes when empty.
    auto: bool,
    /// Connections of the Front that are in it.
    connections: usize,
    empty_since: Nanos,
}

/// All worlds of a server.
#[derive(Debug)]
pub struct Directory {
    worlds: BTreeMap<String, Entry>,
    /// May a Hello make a world?
    open: bool,
    /// Ticks per second of worlds made by a Hello, where the configuration names a rate.
    tick_rate: Option<TickRate>,
}

impl Directory {
    /// An empty directory; `open` lets a Hello make worlds.
    #[must_use]
    pub const fn new(open: bool, tick_rate: Option<TickRate>) -> Self {
        Self { worlds: BTreeMap::new(), open, tick_rate }
    }

    /// Makes a world that stays for the life of the server.
    pub fn list(
        &mut self,
        config: WorldConfig,
        game: Option<Box<dyn Game>>,
        now: Nanos,
        rooms: &mut impl Lender,
    ) {
        self.make(config, game, false, now, rooms);
    }

    /// The world of a Hello, made where that is allowed.
    ///
    /// # Errors
    /// `BAD_NAME`, `UNKNOWN_WORLD`, `SPACE_MISMATCH` or `TOO_MANY_WORLDS`.
    pub fn enter(
        &mut self,
        name: &str,
        create: Option<Space>,
        now: Nanos,
        rooms: &mut impl Lender,
    ) -> Result<&Entry, CloseCode> {
        if !self.worlds.contains_key(name) {
            self.make_auto(name, create, now, rooms)?;
        }
        let entry = self.worlds.get_mut(name).ok_or(CloseCode::UNKNOWN_WORLD)?;
        if create.is_some_and(|space| space != entry.space) {
            return Err(CloseCode::SPACE_MISMATCH);
        }
        entry.connections += 1;
        Ok(entry)
    }

    /// A connection that [`Directory::enter`]ed is gone.
    pub fn leave(&mut self, name: &str, now: Nanos) {
        if let Some(entry) = self.worlds.get_mut(name) {
            entry.connections = entry.connections.saturating_sub(1);
            entry.empty_since = now;
        }
    }

    /// Ends worlds made by a Hello that nobody was in for a minute.
    pub fn sweep(&mut self, now: Nanos, rooms: &mut impl Lender) {
        self.worlds.retain(|_, entry| {
            let idle = entry.auto && entry.connections == 0;
            let stays = !idle || now.since(entry.empty_since) < EMPTY_NS;
            if !stays {
                rooms.remove(entry.id);
            }
            stays
        });
    }

    /// The world with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.worlds.get(name)
    }

    /// Every world in order of its name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.worlds.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    fn make_auto(
        &mut self,
        name: &str,
        create: Option<Space>,
        now: Nanos,
        rooms: &mut impl Lender,
    ) -> Result<(), CloseCode> {
        if !is_name(name) {
            return Err(CloseCode::BAD_NAME);
        }
        let space = create.filter(|_| self.open).ok_or(CloseCode::UNKNOWN_WORLD)?;
        if self.worlds.values().filter(|e| e.auto).count() >= AUTO_WORLDS_MAX {
            return Err(CloseCode::TOO_MANY_WORLDS);
        }
        let profile = match space {
            Space::Metric => Profile::Game,
            Space::Geodetic => Profile::Fleet,
        };
        let mut config = WorldConfig::new(name, space, profile);
        config.tick_rate = self.tick_rate.unwrap_or(config.tick_rate);
        self.make(config, None, true, now, rooms);
        Ok(())
    }

    fn make(
        &mut self,
        config: WorldConfig,
        game: Option<Box<dyn Game>>,
        auto: bool,
        now: Nanos,
        rooms: &mut impl Lender,
    ) {
        let (name, space, tick_rate) = (config.name.clone(), config.space, config.tick_rate);
        let world = match game {
            Some(game) => World::with_game(config, game),
            None => World::new(config),
        };
        let mailbox = Arc::new(Mailbox::new());
        let room = Room::new(world, Arc::clone(&mailbox), now);
        let (gauge, schedule) = (room.gauge(), *room.schedule());
        let id = rooms.add(room);
        let entry = Entry {
            id,
            mailbox,
            gauge,
            schedule,
            space,
            tick_rate,
            auto,
            connections: 0,
            empty_since: now,
        };
        self.worlds.insert(name, entry);
    }
}

/// Letters, digits and `-_.:/`, so that a name is safe in a log and in a path of a URL.
fn is_name(name: &str) -> bool {
    (1..=WORLD_NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:/".contains(&b))
}
