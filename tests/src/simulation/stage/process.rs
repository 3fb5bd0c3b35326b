//! The server's process: how its lives begin and end, and what becomes of its disk.

use super::super::dice::Dice;
use super::super::disk::{Ending, Kept};
use super::super::flock::{BRIEF, DURABLE};
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
use starling_world::namespace::{Keep, Namespace, Namespaces};

/// Events that the brief channel keeps.
const BRIEF_EVENTS: u64 = 4;
/// Unix time at the beginning of every run, in milliseconds.
const BORN_MS: u64 = 1_700_000_000_000;
/// The wall clock may go ahead by so much, too.
const STEP_MS: u64 = 300_000;
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
        world.namespaces = Namespaces::of(namespaces(self.stable.is_some()));
        if let Some(stable) = &mut self.stable {
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
        let stepped = builder
            .began_at(self.wall_ms(&mut dice))
            .world(world)
            .build(socket, self.clock.local(self.now));
        let Some(room) = stepped.room(WORLD) else {
            return self.flock.witness.broken.push("P5 the world could not be opened".into());
        };
        self.flock.witness.begin(room.world().config().epoch);
        self.server = Process::Runs(Box::new(stepped));
        self.medium.note(AT_SERVER, self.lives.into(), Verdict::Process);
        self.ticked = self.now;
    }

    /// What the wall clock shows at the beginning of the server's own, in this life: it goes back
    /// from life to life. A step forward of ten minutes would be as long an absence, after which
    /// message ids are forgotten.
    fn wall_ms(&self, dice: &mut Dice) -> u64 {
        let back_ms = u64::from(self.options.get(Knob::WallMinutes)) * 60_000;
        BORN_MS - u64::from(self.lives) * back_ms + dice.below(STEP_MS)
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

/// One channel keeps so little that who is slow finds a gap; some are kept where there is a disk.
fn namespaces(store: bool) -> Vec<Namespace> {
    let brief = Namespace::new(BRIEF);
    let brief = Namespace { keep: Keep { events: BRIEF_EVENTS, ..brief.keep }, ..brief };
    let durable = DURABLE.into_iter().filter(|_| store).map(|name| Namespace::new(name).durable());
    durable.chain([brief, Namespace::new("")]).collect()
}

fn ending(deed: Deed) -> Ending {
    if deed == Deed::PowerLoss { Ending::PowerLost } else { Ending::Killed }
}
