//! Wires the parts of a server together and runs them on threads.
//!
//! ```text
//! socket   <->  front thread                      (where there is one shard)
//! sockets  <->  shard threads  <->  front thread  (where there are several)
//!
//! front thread  ->  room threads  <->  tick threads
//! front thread  <-  room threads
//!
//! room threads   one per core, each room on one at a time
//! tick threads   one per core, for parts of long ticks
//! http thread    looks at the board
//! ```
//!
//! ```no_run
//! use starling_server::config::Config;
//! use starling_server::run::Server;
//!
//! let mut config = Config::default();
//! config.server.listen = "127.0.0.1:0".parse()?;
//! config.http.enabled = false;
//! let running = Server::new(config)?.start()?;
//! println!("listening on {}", running.local_addr());
//! running.shutdown();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod driver;
mod running;
mod signals;

pub use running::Running;
pub use signals::Ended;

use crate::auth::jwt::Tokens;
use crate::auth::keys::KeyError;
use crate::auth::revoke::Revoker;
use crate::auth::{Open, Verifier};
use crate::config::{
    AuthSettings, Certificate, Config, ConfigError, HttpSettings, Keeping, Settings, WorldPolicy,
};
use crate::counters::NetCounters;
use crate::data::{CERTIFICATE_LIFE, DataError, Folder};
use crate::entropy::{Entropy, System};
use crate::http::{Board, Facts, Listener};
use crate::net::{Front, Parts};
use crate::room::cores::Cores;
use crate::room::directory::{Counting, Directory, Epochs, Lives};
use crate::room::pool::{Clock, Pool};
use crate::room::tape::Files;
use crate::store::{Books, Clerk, Database, StoreError};
use crate::wall::{UnixClock, Wall};
use aws_lc_rs::digest::{SHA256, digest};
use driver::{Bell, Driver};
use starling_protocol::message::control::Authority;
use starling_protocol::units::{Epoch, Nanos};
use starling_transport::quic::{
    Io, PORTS_CAN_BE_SHARED, QuicServer, RuntimeChoice, ServerError, ServerOptions, ServerSecret,
};
use starling_transport::tls::{Identity, TlsError, development_certificate};
use starling_world::authority::Game;
use starling_world::config::WorldConfig;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{SystemTime, UNIX_EPOCH};
use thiserror::Error;

/// Why a server did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// A value of the configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A key of tokens.
    #[error("auth.keys: {0}")]
    Key(#[from] KeyError),
    /// The certificate.
    #[error("tls: {0}")]
    Tls(#[from] TlsError),
    /// The folder of what outlives the server.
    #[error("data.dir: {0}")]
    Data(#[from] DataError),
    /// The folder of recordings.
    #[error("data.record: cannot make the folder: {0}")]
    Record(io::Error),
    /// What is kept there.
    #[error("data.dir: {}: {why}", path.display())]
    Store {
        /// Where.
        path: PathBuf,
        /// What is wrong with it.
        why: StoreError,
    },
    /// The UDP address.
    #[error("server.listen: {0}")]
    Network(#[from] ServerError),
    /// The internal listener's address.
    #[error("http.listen: cannot listen on {address}: {why}")]
    Http {
        /// Which.
        address: SocketAddr,
        /// What the system says.
        why: io::Error,
    },
    /// A game was given for a world that is not listed.
    #[error("a game is given for world `{0}`, which is not listed")]
    NoSuchWorld(String),
    /// A world's server is to decide, and nothing says how.
    #[error(
        "world `{0}` has authority `server`, which needs a game: build it into a server of your own \
         with `Server::game`, or let clients or a host decide"
    )]
    NoGame(String),
    /// Something is to be kept, and nowhere to keep it.
    #[error(
        "channels `{namespace}` of {world} are durable, and there is nowhere to keep them: give a \
         folder with --data DIR (data.dir), or make them `memory`, which a restart forgets"
    )]
    NoStore {
        /// The namespace.
        namespace: String,
        /// Whose.
        world: String,
    },
    /// A thread cannot be had.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// A server that is not running yet.
pub struct Server {
    settings: Settings,
    config_hash: String,
    verifier: Option<Arc<dyn Verifier>>,
    games: BTreeMap<String, Box<dyn Game>>,
}

impl Server {
    /// A server of this configuration.
    ///
    /// # Errors
    /// [`StartError::Config`].
    pub fn new(config: Config) -> Result<Self, StartError> {
        let settings = config.settings()?;
        let config_hash = hash(&config);
        Ok(Self { settings, config_hash, verifier: None, games: BTreeMap::new() })
    }

    /// One more world that exists from the start.
    #[must_use]
    pub fn world(mut self, world: WorldConfig) -> Self {
        self.settings.listed.retain(|listed| listed.name != world.name);
        self.settings.listed.push(world);
        self
    }

    /// The game of a listed world under authority `server`.
    #[must_use]
    pub fn game(mut self, world: &str, game: Box<dyn Game>) -> Self {
        self.games.insert(world.into(), game);
        self
    }

    /// Judges tokens in a way of its own, instead of as configured.
    #[must_use]
    pub fn verifier(mut self, verifier: Arc<dyn Verifier>) -> Self {
        self.verifier = Some(verifier);
        self
    }

    /// Binds the addresses and starts the threads.
    ///
    /// # Errors
    /// [`StartError`] says which part could not be had and why. Nothing is left running.
    pub fn start(mut self) -> Result<Running, StartError> {
        let listed = |name: &String| self.settings.listed.iter().any(|w| w.name == *name);
        if let Some(stray) = self.games.keys().find(|name| !listed(name)) {
            return Err(StartError::NoSuchWorld(stray.clone()));
        }
        let idle = |world: &&WorldConfig| {
            world.authority == Authority::Server && !self.games.contains_key(&world.name)
        };
        if let Some(world) = self.settings.listed.iter().find(idle) {
            return Err(StartError::NoGame(world.name.clone()));
        }
        self.check_store()?;
        let verifier = self.judge()?;
        let folder = self.settings.data.as_deref().map(Folder::open).transpose()?;
        let kept = Kept::of(folder.as_ref())?;
        let identity = identity(&self.settings.certificate, folder.as_ref())?;
        let threads = Threads::of(&self.settings);
        let transport = self.bind(&identity, kept.secret, threads)?;
        let (address, fingerprint) = (transport.local_addr(), identity.fingerprint());

        let clock = Clock::start();
        let bell = Arc::new(Bell::new(transport.waker()));
        let rung = Arc::clone(&bell);
        let cores =
            Cores::start(threads.rooms).map_err(|why| StartError::Thread(io::Error::other(why)))?;
        let studio = self.settings.record.as_deref().map(Files::in_folder).transpose();
        let studio = studio.map_err(StartError::Record)?;
        let mut pool = Pool::start(threads.rooms, cores, clock, move || rung.ring());
        let wall = Wall { origin_ms: unix_ms().saturating_sub(clock.now().0 / Nanos::MILLISECOND) };
        let clerk = self.clerk(folder.as_ref(), clock)?;
        let books = clerk.as_ref().map(Clerk::books).cloned();
        let desk = books.as_ref().map(Books::desk).cloned();
        let directory = self.directory((kept.epochs, wall), books, studio, &mut pool, clock.now());
        let counters = Arc::new(NetCounters::default());
        let facts = self.facts(threads, verifier.is_open());
        let rung = Arc::clone(&bell);
        let bars = folder.as_ref().map(Folder::bars).transpose()?;
        let revoker = Arc::new(Revoker::new(move || rung.ring()).keeping(bars));
        let mut board =
            Board::new(facts, Arc::clone(&counters), directory.worlds()).with_store(desk);
        board.revoker = Some(Arc::clone(&revoker));
        let board = Arc::new(board);
        let http = self.settings.http.map(|http| listen(http, &board)).transpose()?;
        let open = verifier.is_open();
        let limits = self.settings.limits;
        let entropy = Box::new(System);
        let rooms = pool;
        let front = Front::new(Parts {
            transport,
            rooms,
            directory,
            verifier,
            entropy,
            wall,
            limits,
            counters,
        })
        .revoker(revoker);
        let shown = Arc::clone(&board);
        let driver = Driver::new(front, (clock, wall), bell, shown, &self.settings);
        let driving = driver.start().map_err(StartError::Thread)?;
        let running = Running {
            address,
            fingerprint,
            open,
            http,
            board,
            driving,
            _clerk: clerk,
            _folder: folder,
        };
        running.announce();
        Ok(running)
    }

    /// P5: nothing that is called durable is kept in memory only.
    fn check_store(&self) -> Result<(), StartError> {
        let Settings { data, worlds, listed, templates, .. } = &self.settings;
        let made = (*worlds == WorldPolicy::Auto)
            .then(|| ("worlds that a Hello makes".to_owned(), &templates.namespaces));
        let listed = listed.iter().map(|w| (format!("world `{}`", w.name), &w.namespaces));
        let mut all = listed.chain(made).filter(|_| data.is_none());
        match all.find_map(|(world, all)| Some((world, all.wants_store()?.name.clone()))) {
            Some((world, namespace)) => Err(StartError::NoStore { namespace, world }),
            None => Ok(()),
        }
    }

    fn judge(&mut self) -> Result<Arc<dyn Verifier>, StartError> {
        if let Some(verifier) = self.verifier.take() {
            return Ok(verifier);
        }
        match &self.settings.auth {
            AuthSettings::Open => Ok(Arc::new(Open)),
            AuthSettings::Token(settings) => Ok(Arc::new(Tokens::from_settings(settings)?)),
        }
    }

    fn bind(
        &self,
        identity: &Identity,
        secret: Option<ServerSecret>,
        threads: Threads,
    ) -> Result<QuicServer, StartError> {
        let mut options = ServerOptions::new(self.settings.listen, identity.clone());
        options.secret = secret;
        options.connections_max = self.settings.limits.connections_max;
        options.congestion = self.settings.congestion;
        options.segmentation_offload = self.settings.segmentation_offload;
        options.shards = u8::try_from(threads.network).unwrap_or(u8::MAX);
        options.runtime = RuntimeChoice::Own { threads: threads.network };
        Ok(QuicServer::bind(self.settings.io, &options)?)
    }

    /// Opens the store and sets its keeper to work.
    fn clerk(&self, folder: Option<&Folder>, clock: Clock) -> Result<Option<Clerk>, StartError> {
        let Some(folder) = folder else { return Ok(None) };
        let path = folder.path().join("starling.redb");
        let Keeping { check, grouping } = self.settings.keeping;
        let store = Database::open(&path, check).map_err(|why| StartError::Store { path, why })?;
        let clerk = Clerk::start(Arc::new(store), grouping, clock);
        Ok(Some(clerk.map_err(StartError::Thread)?))
    }

    fn directory(
        &mut self,
        (epochs, wall): (Box<dyn Epochs>, Wall),
        books: Option<Books>,
        studio: Option<Files>,
        pool: &mut Pool,
        now: Nanos,
    ) -> Directory {
        let lives = Lives { epochs, seed: System.number() };
        let open = self.settings.worlds == WorldPolicy::Auto;
        let unix = Some(UnixClock::clamped(wall, |_| unix_ms()));
        let mut directory =
            Directory::new(open, self.settings.templates.clone(), lives, unix).keeping(books);
        if let Some(studio) = studio {
            directory.record(Box::new(studio));
        }
        for world in self.settings.listed.drain(..) {
            let game = self.games.remove(&world.name);
            directory.list(world, game, now, pool);
        }
        if let Err(why) = directory.take_over(now) {
            tracing::error!(%why, "worlds of earlier lives stay in the store");
        }
        directory
    }

    fn facts(&self, threads: Threads, open: bool) -> Facts {
        Facts {
            version: env!("CARGO_PKG_VERSION"),
            cores: threads.cores,
            room_threads: threads.rooms,
            network_threads: threads.network,
            config_hash: self.config_hash.clone(),
            open,
        }
    }
}

/// What a server has from its earlier lives.
struct Kept {
    secret: Option<ServerSecret>,
    epochs: Box<dyn Epochs>,
}

impl Kept {
    /// The counter comes before the secret: the secret alone tells of a counter that was lost.
    fn of(folder: Option<&Folder>) -> Result<Self, DataError> {
        let Some(folder) = folder else {
            let first = Epoch(System.number() as u32);
            return Ok(Self { secret: None, epochs: Box::new(Counting(first)) });
        };
        let epochs = Box::new(folder.epochs(&mut System)?);
        Ok(Self { secret: Some(folder.secret(&mut System)?), epochs })
    }
}

/// How many threads do what; decided once.
#[derive(Clone, Copy, Debug)]
struct Threads {
    cores: usize,
    rooms: usize,
    network: usize,
}

impl Threads {
    fn of(settings: &Settings) -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        let network = match settings.io {
            // One is run by the front's own thread, more by threads of theirs.
            Io::Loop => settings
                .shards
                .map_or_else(|| usual_shards(cores, PORTS_CAN_BE_SHARED), usize::from),
            Io::Quinn => (cores / 2).max(1),
        };
        Self { cores, rooms: settings.threads.unwrap_or(cores), network }
    }
}

/// Threads of the network where nobody says how many: with two cores the rooms and the front have
/// work for both, and where sockets cannot share a port there is one.
fn usual_shards(cores: usize, shared: bool) -> usize {
    if cores > 2 && shared { cores.min(u8::MAX.into()) } else { 1 }
}

fn identity(certificate: &Certificate, folder: Option<&Folder>) -> Result<Identity, StartError> {
    match (certificate, folder) {
        (Certificate::Files { cert, key }, _) => Ok(Identity::from_files(cert, key)?),
        (Certificate::Development(names), Some(folder)) => Ok(folder.development(names)?),
        (Certificate::Development(names), None) => {
            let made = development_certificate(names, CERTIFICATE_LIFE)?;
            Ok(Identity::from_pem(&made.certificate, &made.key)?)
        }
    }
}

fn listen(http: HttpSettings, board: &Arc<Board>) -> Result<Listener, StartError> {
    let address = http.listen;
    Listener::start(address, Arc::clone(board)).map_err(|why| StartError::Http { address, why })
}

/// Twelve hexadecimal digits by which two configurations can be told apart.
fn hash(config: &Config) -> String {
    let text = toml::to_string(config).expect("a configuration can be written");
    let hash = digest(&SHA256, text.as_bytes());
    hash.as_ref()[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_go_by_the_machine() {
        assert_eq!([1, 2, 3, 16, 999].map(|cores| usual_shards(cores, true)), [1, 1, 3, 16, 255]);
        assert_eq!(usual_shards(16, false), 1);
    }
}
