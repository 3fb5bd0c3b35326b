//! The server's process: how its lives begin and end, and what becomes of its disk.

use super::super::dice::Dice;
use super::super::disk::{Ending, Kept};
use super::super::flock::DURABLE;
use super::super::options::Knob;
use super::super::plan::Deed;
use super::super::trace::Verdict;
use super::{AT_SERVER, Medium, Process, Stage, WORLD};
use starling_protocol::space::Space;
use starling_protocol::units::{Epoch, Nanos};
use starling_server::config::Config;
use starling_server::stepped::Builder;
use starling_server::store::{Grouping, Store};
use starling_world::config::{Profile, WorldConfig};
use starling_world::namespace::{Namespace, Namespaces};

const DRAIN_MS: u32 = 1_500;
const DRAIN_JITTER_MS: u32 = 400;
/// As the server's directory of worlds names what it keeps of this one.
const KEPT_AS: &str = "0:sim";

impl<M: Medium> Stage<M> {
    /// A life of the server's process begins, in the same place.
    pub(super) fn start(&mut self) {
        self.lives += 1;
        let mut dice = Dice::lane(self.options.seed, 50 + u64::from(self.lives));
        let socket = self.medium.server(dice.next(), self.clock);
        let builder = Builder::from_config(&Config::default(), dice.next());
        let mut builder = builder.expect("the defaults are sound");
        let mut world = WorldConfig::new(WORLD, Space::Metric, Profile::Game);
        if let Some(stable) = &mut self.stable {
            let durable = DURABLE.map(|name| Namespace::new(name).durable());
            let others = [Namespace::new("")];
            world.namespaces = Namespaces::of(durable.into_iter().chain(others).collect());
            match stable.store() {
                Ok(store) => {
                    let takes = stable.takes();
                    self.inspect(&*store);
                    builder = builder.store(store, Grouping::default(), takes);
                }
                Err(why) => return self.flock.witness.broken.push(format!("P5 no store: {why}")),
            }
        } else {
            // Whatever numbers lives where nothing is kept: no two are equal.
            builder = builder.epoch(Epoch(self.lives));
        }
        let stepped = builder.world(world).build(socket, self.clock.local(self.now));
        let Some(room) = stepped.room(WORLD) else {
            return self.flock.witness.broken.push("P5 the world could not be opened".into());
        };
        self.flock.witness.begin(room.world().config().epoch);
        self.server = Process::Runs(Box::new(stepped));
        self.medium.note(AT_SERVER, self.lives.into(), Verdict::Process);
        self.ticked = self.now;
    }

    /// I5, I6: what was acknowledged or delivered before is on the disk, once.
    fn inspect(&mut self, store: &dyn Store) {
        let witness = &mut self.flock.witness;
        match Kept::of(KEPT_AS, store) {
            Ok(kept) => witness.is_kept(&|payload| kept.count(payload)),
            Err(why) => witness.broken.push(format!("P5 the store: {why}")),
        }
    }

    /// The process is gone, with all that was in it, and is back after a while.
    fn die(&mut self, back_in_ns: u64, ending: Ending) {
        let local = self.clock.local(self.now);
        let life = std::mem::replace(&mut self.server, Process::Gone(self.now + back_in_ns));
        if let Some(stable) = &mut self.stable {
            if let (Process::Runs(mut server), Ending::Drained) = (life, ending) {
                server.finish(local);
            }
            stable.end(local, ending);
        }
        self.draining = None;
        self.medium.server_died();
        self.medium.note(AT_SERVER, 0, Verdict::Process);
    }

    /// P14: a drain is over in time, and the next process takes its place.
    pub(super) fn drained(&mut self) {
        let (Process::Runs(server), Some(until)) = (&self.server, self.draining) else { return };
        if server.front().is_drained() {
            self.die(Nanos::SECOND / 10, Ending::Drained);
        } else if self.now > until {
            let left = server.front().connections();
            self.flock.witness.broken.push(format!("P14 {left} connections after the drain"));
            self.draining = None;
        }
    }

    pub(super) fn befall(&mut self) {
        self.foresee();
        while let Some((_, deed)) = self.plan.front().filter(|(at, _)| *at <= self.now).copied() {
            self.plan.pop_front();
            let now = self.now;
            match deed {
                Deed::Kill | Deed::PowerLoss => {
                    let back_in_ns = self.dice.below(Nanos::SECOND);
                    if matches!(self.server, Process::Runs(_)) {
                        self.die(back_in_ns, ending(deed));
                    }
                }
                Deed::Drain => {
                    let Process::Runs(server) = &mut self.server else { continue };
                    let local = self.clock.local(now);
                    server.front_mut().drain(local, DRAIN_MS, DRAIN_JITTER_MS);
                    self.draining = Some(now + u64::from(DRAIN_MS) * 2 * Nanos::MILLISECOND);
                }
                Deed::PauseServer(ns) => self.paused_until = now + ns,
                Deed::PauseClient(client, ns) => self.seats[client].paused_until = now + ns,
            }
        }
    }

    /// A process that dies soon may do so amid a commit.
    fn foresee(&mut self) {
        let Some(stable) = &mut self.stable else { return };
        let slowest_ns = u64::from(self.options.get(Knob::SyncMs)) * Nanos::MILLISECOND;
        let soon = self.now + slowest_ns + Nanos::SECOND / 10;
        let dies = |(_, deed): &&(Nanos, Deed)| matches!(deed, Deed::Kill | Deed::PowerLoss);
        if let Some((_, deed)) = self.plan.iter().find(dies).filter(|(at, _)| *at <= soon) {
            stable.expect(ending(*deed));
        }
    }
}

fn ending(deed: Deed) -> Ending {
    if deed == Deed::PowerLoss { Ending::PowerLost } else { Ending::Killed }
}
