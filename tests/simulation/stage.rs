//! One run: a server, ten clients, faults for a while, then calm.

use crate::dice::Dice;
use crate::flock::Flock;
use crate::weather::Weather;
use crate::witness::{Accepted, Checks};
use starling_client::ConnectOptions;
use starling_client::net::{ClientIndex, Clients};
use starling_protocol::space::Space;
use starling_protocol::units::{EntityId, Nanos};
use starling_server::config::Config;
use starling_server::stepped::{Builder, Stepped};
use starling_transport::ConnKey;
use starling_transport::memory::{ClientSide, Network, ServerSide};
use starling_world::config::{Profile, WorldConfig};
use std::collections::{BTreeMap, BTreeSet};

const WORLD: &str = "sim";
const CLIENTS: usize = 10;
/// While faults last.
const FAULTS_NS: u64 = 4 * Nanos::SECOND;
/// Faults have stopped; nothing new is published from here on.
const SETTLE_NS: u64 = 2 * Nanos::SECOND;
/// Views must be whole throughout.
const WHOLE_NS: u64 = Nanos::SECOND;
/// What a tick sent has arrived after this time, on a link without faults.
const ARRIVAL_NS: u64 = 4 * Nanos::MILLISECOND;
/// Longest step of the clock.
const STEP_NS: u64 = 10 * Nanos::MILLISECOND;
/// Time between two actions of a client, on average.
const ACT_NS: u64 = 300 * Nanos::MILLISECOND;

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Equal for equal seeds, or the simulation is not deterministic.
    pub(crate) trace: u64,
    /// The world's own checksum at the end.
    pub(crate) checksum: u64,
    pub(crate) checks: Checks,
    /// Promises broken, in words.
    pub(crate) broken: Vec<String>,
}

struct Stage {
    now: Nanos,
    network: Network,
    server: Stepped<ServerSide>,
    clients: Clients<ClientSide>,
    flock: Flock,
    weather: Weather,
    dice: Dice,
    /// Cables that are cut, and when they are mended.
    cuts: BTreeMap<ClientIndex, Nanos>,
    next_act: Nanos,
    /// Connections whose faults have stopped.
    calmed: BTreeSet<ConnKey>,
    /// When the server ran its newest tick.
    ticked: Nanos,
    /// Faults are over long enough.
    settled: bool,
}

/// Runs one seed.
pub(crate) fn run(seed: u64) -> Outcome {
    let mut stage = Stage::new(seed);
    stage.run_until(Nanos(FAULTS_NS), true);
    stage.run_until(Nanos(FAULTS_NS + SETTLE_NS), false);
    stage.settled = true;
    stage.run_until(Nanos(FAULTS_NS + SETTLE_NS + WHOLE_NS), false);
    stage.finish()
}

impl Stage {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let weather = Weather::draw(&mut dice);
        let network = Network::new(dice.next());
        let server = Builder::from_config(&Config::default(), dice.next())
            .expect("the defaults are sound")
            .world(WorldConfig::new(WORLD, Space::Metric, Profile::Game))
            .build(network.server(), Nanos(0));
        let mut flock = Flock::new(CLIENTS, &mut dice);
        let mut clients = Clients::new(network.client());
        for i in 0..CLIENTS {
            let mut options = ConnectOptions::new(WORLD);
            options.seed = dice.next();
            options.reconnect.before_first = true;
            let index = clients.add(Nanos(0), weather.profile.clone(), options);
            flock.outfit(i, clients.get_mut(index).expect("it was just added"));
        }
        let (now, next_act) = (Nanos(0), Nanos(0));
        Self {
            now,
            network,
            server,
            clients,
            flock,
            weather,
            dice,
            cuts: BTreeMap::new(),
            next_act,
            calmed: BTreeSet::new(),
            ticked: now,
            settled: false,
        }
    }

    fn run_until(&mut self, end: Nanos, faults: bool) {
        while self.now < end {
            self.server.poll(self.now);
            self.take_down();
            self.flock.begin_step();
            self.clients.advance(self.now, &mut self.flock);
            if faults {
                self.act();
                self.fault();
            } else {
                self.calm();
            }
            if self.settled {
                self.judge();
            }
            self.now = self.next_moment().min(end);
        }
    }

    fn judge(&mut self) {
        let arrived = self.now.since(self.ticked) >= ARRIVAL_NS;
        for (client, session) in self.clients.iter() {
            self.flock.judge(client.0, session, arrived);
        }
    }

    fn next_moment(&self) -> Nanos {
        let due = [
            Some(self.server.next_timeout(self.now)),
            self.clients.next_timeout(self.now),
            self.network.next_due(),
        ];
        let earliest = due.into_iter().flatten().min().unwrap_or(self.now + STEP_NS);
        // Time moves on even when something is due at this very moment.
        earliest.clamp(self.now + Nanos::MILLISECOND / 4, self.now + STEP_NS)
    }

    /// Tells the witness what the server accepted in a tick that is new.
    fn take_down(&mut self) {
        let Some(room) = self.server.room(WORLD) else { return };
        let world = room.world();
        if world.now() <= self.flock.witness.newest_tick() {
            return;
        }
        let entities = world.entities();
        let accepted: BTreeMap<EntityId, Accepted> = entities
            .iter()
            .map(|idx| {
                let state = entities.accepted(idx);
                let owner = entities.name(idx).strip_prefix("bird/").and_then(|n| n.parse().ok());
                let (position, tick) = (state.position, state.tick);
                (entities.id(idx), Accepted { position, tick, owner })
            })
            .collect();
        self.ticked = self.now;
        self.flock.witness.tick(world.now(), accepted);
    }

    fn act(&mut self) {
        while self.next_act <= self.now {
            let client = self.dice.below(CLIENTS as u64) as usize;
            if let Some(session) = self.clients.get_mut(ClientIndex(client)) {
                self.flock.act(client, session);
            }
            let wait = (self.dice.unit() * 2.0 * ACT_NS as f64) as u64 / CLIENTS as u64;
            self.next_act = self.next_act + wait;
        }
    }

    /// Cuts cables, mends them, and moves clients to other addresses.
    fn fault(&mut self) {
        let seconds = STEP_NS as f64 / 1e9 / 4.0;
        for client in (0..CLIENTS).map(ClientIndex) {
            let Some(conn) = self.clients.conn(client) else { continue };
            if self.dice.chance(self.weather.rebinds_per_s * seconds) {
                self.network.rebind(conn);
            }
            let cut = self.dice.chance(self.weather.cuts_per_s * seconds);
            if cut && !self.cuts.contains_key(&client) {
                self.network.cut(conn);
                self.cuts.insert(client, self.now + self.dice.below(2 * Nanos::SECOND));
            }
        }
        let now = self.now;
        let mended: Vec<_> =
            self.cuts.iter().filter(|(_, at)| **at <= now).map(|(c, _)| *c).collect();
        mended.into_iter().for_each(|client| self.mend(client));
    }

    fn mend(&mut self, client: ClientIndex) {
        self.cuts.remove(&client);
        if let Some(conn) = self.clients.conn(client) {
            self.network.restore(conn);
        }
    }

    /// Links are made as bad as the weather was, also those that are made now.
    fn calm(&mut self) {
        for client in (0..CLIENTS).map(ClientIndex) {
            self.mend(client);
            if let Some(conn) = self.clients.conn(client).filter(|c| !self.calmed.contains(c)) {
                self.network.set_profile(conn, &Weather::calm());
                self.calmed.insert(conn);
            }
        }
    }

    fn finish(mut self) -> Outcome {
        for client in (0..CLIENTS).map(ClientIndex) {
            let session = self.clients.get(client).expect("nobody was removed");
            let stats = session.stats();
            if stats.breaches + stats.decode_errors > 0 {
                self.flock.witness.broken.push(format!("client {} counted {stats:?}", client.0));
            }
        }
        self.flock.end();
        if self.weather.is_fair() {
            self.flock.witness.all_heard(CLIENTS);
        }
        let checksum = self.server.room(WORLD).map_or(0, |room| room.world().checksum());
        let Flock { witness, trace, .. } = self.flock;
        Outcome { trace, checksum, checks: witness.checks, broken: witness.broken }
    }
}
