//! The directory of worlds: which exist, and who may make more.

use super::gauge::Gauge;
use super::left::Left;
use super::schedule::Schedule;
use super::tape::{Studio, Tape};
use super::{Room, pool::RoomId};
use crate::config::Templates;
use crate::exchange::Mailbox;
use crate::store::{Bell, Books, Pen, StoreError};
use crate::tenant::{Scoped, WorldKey};
use crate::wall::UnixClock;
use starling_protocol::close::CloseCode;
use starling_protocol::limits::{AUTO_WORLDS_MAX, WORLD_NAME_BYTES_MAX};
use starling_protocol::space::Space;
use starling_protocol::units::{Epoch, Nanos, TickRate};
use starling_world::World;
use starling_world::authority::Game;
use starling_world::config::WorldConfig;
use starling_world::recording::{How, Reader};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How long a world that a Hello made stays when no connection is in it.
pub const EMPTY_NS: u64 = 60 * Nanos::SECOND;

/// Who lends rooms their time: the [`pool`](super::pool), or a simulation's own loop.
pub trait Lender {
    /// Takes a room in.
    fn add(&mut self, room: Room) -> RoomId;
    /// Ends a room.
    fn remove(&mut self, id: RoomId);
    /// A command waits in its inbox.
    fn ring(&mut self, id: RoomId);
    /// Did it break down? Asked for rooms that were added and not removed.
    fn is_broken(&self, id: RoomId) -> bool;
    /// Rings for a room whenever the store has news for it.
    fn bell(&self, id: RoomId) -> Bell;
}

/// One world as the Front knows it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Whose it is, and its name.
    pub key: WorldKey,
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
    /// Named in the configuration; else made by a Hello, and gone when empty.
    pub listed: bool,
    /// Connections that are in it.
    pub connections: usize,
    /// When the last of them left.
    empty_since: Nanos,
}

/// All worlds of a server, for whoever wants to look.
#[derive(Clone, Debug, Default)]
pub struct Worlds(Arc<Mutex<BTreeMap<WorldKey, Entry>>>);

impl Worlds {
    /// The world with this label, which only whoever runs the server names: `arena`, or `arena@acme`
    /// where a tenant has it.
    #[must_use]
    pub fn labelled(&self, label: &str) -> Option<Entry> {
        self.lock().iter().find(|(key, _)| key.to_string() == label).map(|(_, e)| e.clone())
    }

    /// Every world with its label, in order.
    #[must_use]
    pub fn all(&self) -> Vec<(String, Entry)> {
        self.lock().iter().map(|(key, entry)| (key.to_string(), entry.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<WorldKey, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where epochs come from: none comes twice.
pub trait Epochs: fmt::Debug + Send {
    /// The epoch of the next world; `None` where none can be had.
    fn next(&mut self) -> Option<Epoch>;
}

/// Epochs of a server that keeps nothing: one after another from here on. A server begins anywhere,
/// so that none of its worlds is mistaken for one of an earlier life.
#[derive(Clone, Copy, Debug)]
pub struct Counting(pub Epoch);

impl Epochs for Counting {
    fn next(&mut self) -> Option<Epoch> {
        let epoch = self.0;
        self.0 = Epoch(epoch.0.wrapping_add(1));
        Some(epoch)
    }
}

/// What tells one life of a world from another.
#[derive(Debug)]
pub struct Lives {
    /// Each world takes the next.
    pub epochs: Box<dyn Epochs>,
    /// What worlds draw from; each its own part.
    pub seed: u64,
}

impl Lives {
    fn next(&mut self) -> Option<(Epoch, u64)> {
        let epoch = self.epochs.next()?;
        Some((epoch, self.seed ^ u64::from(epoch.0).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }
}

/// A world that the configuration names.
#[derive(Clone, Debug)]
struct Listed {
    config: WorldConfig,
    /// It was given a game, of which there is only one: without it the world is not itself.
    game: bool,
}

/// Makes worlds and ends them.
#[derive(Debug)]
pub struct Directory {
    worlds: Worlds,
    /// May a Hello make a world?
    open: bool,
    templates: Templates,
    lives: Lives,
    unix: Option<UnixClock>,
    /// Where worlds are kept, if anywhere.
    books: Option<Books>,
    /// Gives worlds what they are recorded on, where that is wanted.
    studio: Option<Box<dyn Studio>>,
    /// Listed worlds, to be made anew should one break down.
    listed: BTreeMap<WorldKey, Listed>,
    /// Worlds that a Hello made and that stand no more, where there is a store.
    left: Left,
}

impl Directory {
    /// An empty directory; `open` lets a Hello make worlds, and by `unix` their rooms tell
    /// fixes of the future.
    #[must_use]
    pub fn new(open: bool, templates: Templates, lives: Lives, unix: Option<UnixClock>) -> Self {
        let (worlds, listed) = (Worlds::default(), BTreeMap::new());
        Self {
            worlds,
            open,
            templates,
            lives,
            unix,
            books: None,
            studio: None,
            listed,
            left: Left::default(),
        }
    }

    /// Keeps what its worlds want kept.
    #[must_use]
    pub fn keeping(mut self, books: Option<Books>) -> Self {
        self.books = books;
        self
    }

    /// Worlds of an earlier life of the server that a Hello made can be come back to for a while.
    /// To be called when all worlds are listed.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn take_over(&mut self, now: Nanos) -> Result<(), StoreError> {
        let Some(books) = &self.books else { return Ok(()) };
        self.left.take_over(books, self.listed.keys(), now)
    }

    /// Records every world that is made from now on.
    pub fn record(&mut self, studio: Box<dyn Studio>) {
        self.studio = Some(studio);
    }

    /// All worlds, for metrics and debugging.
    #[must_use]
    pub fn worlds(&self) -> Worlds {
        self.worlds.clone()
    }

    /// Makes a world that stays for the life of the server.
    pub fn list(
        &mut self,
        config: WorldConfig,
        game: Option<Box<dyn Game>>,
        now: Nanos,
        rooms: &mut impl Lender,
    ) {
        let listed = Listed { config: config.clone(), game: game.is_some() };
        self.listed.insert(WorldKey::listed(&config.owner, &config.name), listed);
        // Without an epoch, which the log tells, it is made by the first Hello instead.
        let _ = self.make(config, game, now, rooms);
    }

    /// The world of a Hello, made where that is allowed, with one more connection in it.
    ///
    /// # Errors
    /// `BAD_NAME`, `UNKNOWN_WORLD`, `SPACE_MISMATCH` or `TOO_MANY_WORLDS`; `INTERNAL` where a game
    /// broke down or no epoch can be had.
    pub fn enter(
        &mut self,
        name: &Scoped<&str>,
        create: Option<Space>,
        now: Nanos,
        rooms: &mut impl Lender,
    ) -> Result<Entry, CloseCode> {
        let key = match self.find(name) {
            Some(key) => key,
            None => {
                let (key, config) = self.wanted(name, create)?;
                self.make(config, None, now, rooms).ok_or(CloseCode::INTERNAL)?;
                key
            }
        };
        let mut worlds = self.worlds.lock();
        let entry = worlds.get_mut(&key).ok_or(CloseCode::UNKNOWN_WORLD)?;
        if create.is_some_and(|space| space != entry.space) {
            return Err(CloseCode::SPACE_MISMATCH);
        }
        entry.connections += 1;
        Ok(entry.clone())
    }

    /// The world that stands and that a tenant means by this name: its own, or a shared one.
    #[must_use]
    pub fn find(&self, name: &Scoped<&str>) -> Option<WorldKey> {
        let worlds = self.worlds.lock();
        WorldKey::meant(name).into_iter().find(|key| worlds.contains_key(key))
    }

    /// A connection that entered is gone. `id` tells a world from a later one of the same name.
    pub fn leave(&mut self, world: &WorldKey, id: RoomId, now: Nanos) {
        if let Some(entry) = self.worlds.lock().get_mut(world).filter(|entry| entry.id == id) {
            entry.connections = entry.connections.saturating_sub(1);
            entry.empty_since = now;
        }
    }

    /// Ends worlds made by a Hello that no connection was in for [`EMPTY_NS`]. Their parked
    /// sessions end with them or, where there is a store, after [`LEFT_NS`](super::left::LEFT_NS).
    pub fn sweep(&mut self, now: Nanos, rooms: &mut impl Lender) {
        self.worlds.lock().retain(|key, entry| {
            let idle = !entry.listed && entry.connections == 0;
            let stays = !idle || now.since(entry.empty_since) < EMPTY_NS;
            if !stays {
                rooms.remove(entry.id);
                if self.books.is_some() {
                    self.left.insert(key, now);
                }
            }
            stays
        });
        if let Some(books) = &self.books
            && let Some(name) = self.left.pop_due(now)
        {
            books.clear(&name, now);
        }
    }

    /// Takes out the worlds that broke down and names them.
    pub fn broken(&mut self, rooms: &mut impl Lender) -> Vec<(String, RoomId)> {
        let mut found = Vec::new();
        self.worlds.lock().retain(|key, entry| {
            let broken = rooms.is_broken(entry.id);
            if broken {
                rooms.remove(entry.id);
                found.push((key.to_string(), entry.id));
            }
            !broken
        });
        found
    }

    /// What a world would be like that does not exist yet, and its key.
    fn wanted(
        &self,
        name: &Scoped<&str>,
        create: Option<Space>,
    ) -> Result<(WorldKey, WorldConfig), CloseCode> {
        let keys = WorldKey::meant(name);
        for key in &keys {
            match self.listed.get(key) {
                Some(listed) if listed.game => return Err(CloseCode::INTERNAL),
                Some(listed) => return Ok((key.clone(), listed.config.clone())),
                None => {}
            }
        }
        let space = create.filter(|_| self.open).ok_or(CloseCode::UNKNOWN_WORLD)?;
        if !is_name(name.value()) {
            return Err(CloseCode::BAD_NAME);
        }
        if self.worlds.lock().values().filter(|entry| !entry.listed).count() >= AUTO_WORLDS_MAX {
            return Err(CloseCode::TOO_MANY_WORLDS);
        }
        let [own, _] = keys;
        let mut config = self.templates.created(name.value(), space);
        config.owner = own.owner().clone();
        Ok((own, config))
    }

    fn make(
        &mut self,
        mut config: WorldConfig,
        game: Option<Box<dyn Game>>,
        now: Nanos,
        rooms: &mut impl Lender,
    ) -> Option<()> {
        (config.epoch, config.seed) = self.lives.next()?;
        let key = WorldKey::listed(&config.owner, &config.name);
        self.left.remove(&key);
        let (space, tick_rate) = (config.space, config.tick_rate);
        let mailbox = Arc::new(Mailbox::new());
        let pen = self.books.as_ref().map(|books| books.begin(&key.kept_as(), &mailbox));
        let life = pen.as_ref().map(Pen::life);
        let shelf = self.books.as_ref().map(|books| books.shelf(&key.kept_as()));
        let sink = self.studio.as_mut().and_then(|studio| studio.sink(&config));
        let how = How { game: game.is_some(), kept: shelf.is_some() };
        let mut tape = sink.map(|sink| Tape::begin(&config, how, sink));
        let reader =
            shelf.as_ref().map(|shelf| Reader::new(shelf, tape.as_ref().map(Tape::recorder)));
        let world = match (reader, game) {
            (None, None) => Ok(World::new(config)),
            (None, Some(game)) => Ok(World::with_game(config, game)),
            (Some(reader), None) => World::open(config, &reader),
            (Some(reader), Some(game)) => World::open_with_game(config, game, &reader),
        };
        if let Some(tape) = &mut tape {
            tape.opened();
        }
        let world =
            world.inspect_err(|why| tracing::error!(world = %key, %why, "not made")).ok()?;
        let room = Room::new(world, Arc::clone(&mailbox), now, self.unix.clone());
        let room = room.keeping(pen).recorded(tape);
        let (gauge, schedule) = (room.gauge(), *room.schedule());
        let id = rooms.add(room);
        if let (Some(books), Some(life)) = (&self.books, life) {
            books.hang(life, rooms.bell(id));
        }
        let entry = Entry {
            key: key.clone(),
            id,
            mailbox,
            gauge,
            schedule,
            space,
            tick_rate,
            listed: self.listed.contains_key(&key),
            connections: 0,
            empty_since: now,
        };
        self.worlds.lock().insert(key, entry);
        Some(())
    }
}

/// Letters, digits and `-_.:/`: what a stranger may call a world, safe in a log and in a URL.
fn is_name(name: &str) -> bool {
    (1..=WORLD_NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:/".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Verified;
    use crate::stepped::Rooms;
    use starling_world::config::Owner;

    /// A name as tokens without a tenant mean it.
    fn plain(name: &str) -> Scoped<&str> {
        Verified::default().scope(name)
    }

    const START: Nanos = Nanos(5 * Nanos::SECOND);

    fn directory(open: bool) -> (Directory, Rooms) {
        let lives = Lives { epochs: Box::new(Counting(Epoch(7))), seed: 1 };
        (Directory::new(open, Templates::default(), lives, None), Rooms::default())
    }

    #[test]
    fn a_hello_makes_a_world_where_that_is_allowed() {
        let (mut directory, mut rooms) = directory(true);
        let made = directory.enter(&plain("a"), Some(Space::Metric), START, &mut rooms);
        assert_eq!(made.map(|entry| entry.tick_rate.hz()).ok(), Some(20));
        let again =
            directory.enter(&plain("a"), None, START, &mut rooms).map(|entry| entry.connections);
        assert_eq!(again, Ok(2));
    }

    #[test]
    fn each_refusal_has_its_code() {
        let (mut directory, mut rooms) = directory(true);
        let mut enter = |name: &str, create| {
            directory.enter(&plain(name), create, START, &mut rooms).map(drop).expect_err("refused")
        };
        assert_eq!(enter("a", None), CloseCode::UNKNOWN_WORLD);
        let long = "a".repeat(65);
        for bad in ["", "a b", "a\u{1b}[31m", "\u{202e}a", &long] {
            assert_eq!(enter(bad, Some(Space::Metric)), CloseCode::BAD_NAME, "{bad:?}");
        }
        directory.enter(&plain("a"), Some(Space::Metric), START, &mut rooms).expect("a new world");
        let other = directory.enter(&plain("a"), Some(Space::Geodetic), START, &mut rooms);
        assert_eq!(other.map(drop), Err(CloseCode::SPACE_MISMATCH));
    }

    #[test]
    fn a_closed_directory_knows_only_listed_worlds() {
        let (mut directory, mut rooms) = directory(false);
        let listed = Templates::default().created("listed", Space::Metric);
        directory.list(listed, None, START, &mut rooms);
        assert!(directory.enter(&plain("listed"), None, START, &mut rooms).is_ok());
        let other = directory.enter(&plain("other"), Some(Space::Metric), START, &mut rooms);
        assert_eq!(other.map(drop), Err(CloseCode::UNKNOWN_WORLD));
    }

    #[test]
    fn there_are_at_most_so_many_worlds() {
        let (mut directory, mut rooms) = directory(true);
        let mut enter = |name: &str| {
            directory.enter(&plain(name), Some(Space::Metric), START, &mut rooms).map(drop)
        };
        for number in 0..AUTO_WORLDS_MAX {
            assert_eq!(enter(&number.to_string()), Ok(()));
        }
        assert_eq!(enter("more"), Err(CloseCode::TOO_MANY_WORLDS));
        assert_eq!(enter("0"), Ok(()));
    }

    #[test]
    fn a_made_world_goes_a_minute_after_its_last_connection_and_comes_back_in_a_new_epoch() {
        let (mut directory, mut rooms) = directory(true);
        let space = Some(Space::Metric);
        let first = directory.enter(&plain("a"), space, START, &mut rooms).expect("a new world");
        directory.sweep(START + 10 * EMPTY_NS, &mut rooms);
        assert!(directory.worlds().labelled("a").is_some(), "someone is in it");
        let left = START + 10 * EMPTY_NS;
        directory.leave(&first.key, first.id, left);
        directory.sweep(left + (EMPTY_NS - 1), &mut rooms);
        assert!(directory.worlds().labelled("a").is_some());
        let epoch = |rooms: &Rooms, id| rooms.get(id).map(|room| room.world().config().epoch);
        assert_eq!(epoch(&rooms, first.id), Some(Epoch(7)));
        directory.sweep(left + EMPTY_NS, &mut rooms);
        assert!(directory.worlds().labelled("a").is_none());
        let second = directory.enter(&plain("a"), space, left, &mut rooms).expect("a new world");
        assert_eq!(epoch(&rooms, second.id), Some(Epoch(8)));
    }

    #[test]
    fn a_listed_world_stays() {
        let (mut directory, mut rooms) = directory(true);
        let listed = Templates::default().created("listed", Space::Metric);
        directory.list(listed, None, START, &mut rooms);
        directory.sweep(START + 10 * EMPTY_NS, &mut rooms);
        assert!(directory.worlds().labelled("listed").is_some());
    }

    #[test]
    fn a_tenant_finds_its_own_worlds_and_shared_ones_and_no_others() {
        let (mut directory, mut rooms) = directory(false);
        let tenant = |name: &str| Verified { tenant: name.into(), ..Verified::default() };
        let (acme, umbra) = (tenant("acme"), tenant("umbra"));
        for (name, owner) in [
            ("arena", Owner::Tenant("acme".into())),
            ("arena", Owner::Tenant("umbra".into())),
            ("lab", Owner::Tenant("umbra".into())),
            ("plaza", Owner::Shared),
        ] {
            let config = Templates::default().created(name, Space::Metric);
            directory.list(WorldConfig { owner, ..config }, None, START, &mut rooms);
        }
        let mut enter = |who: &Verified, name: &str| {
            directory.enter(&who.scope(name), None, START, &mut rooms).map(|entry| entry.id)
        };
        assert_ne!(enter(&acme, "arena"), enter(&umbra, "arena"), "two worlds of one name");
        assert_eq!(enter(&acme, "plaza"), enter(&umbra, "plaza"), "where they meet");
        assert!(enter(&umbra, "lab").is_ok());
        let there_is_none = enter(&acme, "nothing");
        assert_eq!(enter(&acme, "lab"), there_is_none, "as if there were none");
        assert_eq!(enter(&Verified::default(), "arena"), there_is_none);
    }
}
