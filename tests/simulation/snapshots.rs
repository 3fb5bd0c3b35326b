//! P6, P11: who subscribed to a channel with values and had not got all of them when the server's
//! process died has all of them from the next, over the store that ships.

use starling_client::conditioner::LinkProfile;
use starling_client::net::{ClientIndex, Clients, Pilot};
use starling_client::{ClientEvent, CloseCode, ConnectOptions, OwnKey, Publication, Session};
use starling_client::{Pose, SpawnSpec, SubscribeOptions};
use starling_protocol::space::Space;
use starling_protocol::units::{ChannelKey, Epoch, Nanos};
use starling_server::config::Config;
use starling_server::stepped::{Builder, Stepped};
use starling_server::store::{Database, Grouping};
use starling_transport::Transport;
use starling_transport::memory::{ClientSide, Network, ServerSide};
use starling_world::config::{Profile, WorldConfig};
use starling_world::namespace::{Namespace, Namespaces};
use std::sync::Arc;

use sim_disk::SimDisk;

#[expect(dead_code, reason = "the tests of the store use all of it")]
#[path = "../../server/tests/store/sim_disk.rs"]
mod sim_disk;

const DOORS: &str = "kept/doors";
const VALUES: usize = 48;

/// Nothing to do for what clients are told: they keep the values themselves.
struct Nobody;

impl Pilot for Nobody {
    fn event(&mut self, _: ClientIndex, _: &mut Session, _: ClientEvent) {}
}

struct Stage {
    now: Nanos,
    network: Network,
    disk: SimDisk,
    server: Option<Stepped<ServerSide>>,
    clients: Clients<ClientSide>,
    lives: u32,
}

impl Stage {
    /// One client has set all values.
    fn new(seed: u64) -> Self {
        let network = Network::new(seed);
        let clients = Clients::new(network.client());
        let disk = SimDisk::default();
        let mut stage = Self { now: Nanos(0), network, disk, server: None, clients, lives: 0 };
        stage.begin_life();
        let writer = stage.client(seed, "writer", "delay=2ms");
        stage.run_ms(1_000);
        for value in 0..VALUES {
            let publication = Publication::to_channel(DOORS, vec![7; 1_500]);
            let session = stage.clients.get_mut(writer).expect("it was added");
            session.publish(publication.key(format!("door {value}"))).expect("room");
            stage.run_ms(40);
        }
        stage
    }

    /// A server on what the one before left.
    fn begin_life(&mut self) {
        self.server = None;
        self.lives += 1;
        let mut world = WorldConfig::new("yard", Space::Metric, Profile::Game);
        let kept = Namespace::new("kept").durable();
        world.namespaces = Namespaces::of(vec![kept, Namespace::new("")]);
        let config = Config::default();
        let builder = Builder::from_config(&config, self.lives.into()).expect("sound defaults");
        let store = Database::on(Arc::new(self.disk.clone()), false).expect("the store is well");
        let takes = Box::new(|| Nanos::MILLISECOND);
        let builder = builder.store(Arc::new(store), Grouping::default(), takes);
        let builder = builder.world(world).epoch(Epoch(self.lives));
        self.server = Some(builder.build(self.network.server(), self.now));
    }

    fn client(&mut self, seed: u64, name: &str, link: &str) -> ClientIndex {
        let link = LinkProfile::parse(link).expect("a profile");
        let mut options = ConnectOptions::new("yard").seed(seed * 100 + name.len() as u64);
        options.reconnect.before_first = true;
        let client = self.clients.add(self.now, link, options);
        let _: OwnKey = self
            .clients
            .get_mut(client)
            .expect("it was just added")
            .spawn(SpawnSpec::at(Pose::at([0.0; 3])).named(name))
            .expect("room");
        client
    }

    fn run_ms(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now = self.now + Nanos::MILLISECOND;
            self.server.as_mut().expect("it runs").poll(self.now);
            self.clients.advance(self.now, &mut Nobody);
        }
    }

    fn kill_and_restart(&mut self, clients: &[ClientIndex]) {
        self.begin_life();
        let mut side = self.network.server();
        for conn in clients.iter().filter_map(|client| self.clients.conn(*client)) {
            side.close(self.now, conn, CloseCode::LOST, "reset");
        }
    }

    /// How many values a client has, and whether it stands in the channel.
    fn known(&self, client: ClientIndex, key: ChannelKey) -> (usize, bool) {
        let session = self.clients.get(client).expect("it was added");
        let stands = session.subscription(key).is_some_and(|s| s.position().is_some());
        (session.state_of(key).map_or(0, |state| state.len()), stands)
    }
}

#[test]
fn who_had_not_got_all_values_when_the_process_died_has_them_from_the_next() {
    let (mut amid, mut before) = (0, 0);
    for seed in 0..24 {
        let mut stage = Stage::new(seed);
        let reader = stage.client(seed, "a reader", "delay=5ms,rate=400kbit");
        stage.run_ms(1_500);
        let session = stage.clients.get_mut(reader).expect("it was added");
        let key = session.subscribe(DOORS, SubscribeOptions::default()).expect("the first");
        for _ in 0..3_000 {
            if stage.known(reader, key).1 {
                break;
            }
            stage.run_ms(1);
        }
        stage.run_ms(seed * 37 % 600);
        let (values, stands) = stage.known(reader, key);
        before += u32::from(stands && values == 0);
        amid += u32::from(stands && (1..VALUES).contains(&values));
        stage.kill_and_restart(&[reader]);
        stage.run_ms(12_000);
        assert_eq!(stage.known(reader, key), (VALUES, true), "seed {seed}, had {values}");
    }
    assert!(amid >= 4 && before >= 4, "killed amid the pages {amid} times, before them {before}");
}
