//! Whole sessions between a model server and the table, over a link that loses, repeats and
//! reorders: after every datagram each covered slot holds exactly what the server held (P1, P3).

mod dice;
mod server;
mod world;

use dice::Dice;
use server::{Output, Server};
use starling_protocol::message::bulk::BulkDown;
use starling_protocol::motion::TrackKind;
use starling_protocol::snapshot::{Applied, SnapshotError, State, Table};
use starling_protocol::space::Space;
use starling_protocol::units::Tick;
use starling_protocol::uplink::Ack;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use world::World;

/// What a link does to what it carries, in percent and ticks.
#[derive(Clone, Copy)]
struct Link {
    loss: u64,
    repeat: u64,
    delay: u64,
}

/// Sessions of each test.
const SEEDS: u64 = 100;

const CLEAN: Link = Link { loss: 0, repeat: 0, delay: 1 };
const BAD: Link = Link { loss: 20, repeat: 5, delay: 6 };

struct Session {
    seed: u64,
    dice: Dice,
    link: Link,
    world: World,
    server: Server,
    table: Table,
    /// Steps of the test, not ticks: a tick may jump.
    step: u64,
    down: Vec<(u64, Vec<u8>)>,
    up: Vec<(u64, Ack)>,
    bulk: VecDeque<(u64, BulkDown)>,
    bulk_acks: Vec<u32>,
    given: BTreeMap<Vec<u8>, Tick>,
    delivered: BTreeSet<Vec<u8>>,
    applied: usize,
    stale: usize,
}

impl Session {
    fn new(seed: u64, track: TrackKind, space: Space, link: Link) -> Self {
        let mut dice = Dice::new(seed);
        let start = Tick(dice.below(100_000) as u32);
        let entities = 5 + dice.below(60) as usize;
        let world = World::new(&mut dice, track, space, start, entities);
        let history = dice.below(3) as u32 * 4;
        let (server, table) = (Server::new(&mut dice), Table::new(track, space, start, history));
        Self {
            seed,
            dice,
            link,
            world,
            server,
            table,
            step: 0,
            down: Vec::new(),
            up: Vec::new(),
            bulk: VecDeque::new(),
            bulk_acks: Vec::new(),
            given: BTreeMap::new(),
            delivered: BTreeSet::new(),
            applied: 0,
            stale: 0,
        }
    }

    fn run(mut self, steps: u64) -> Self {
        for _ in 0..steps {
            let jump = match self.dice.below(100) {
                0 => 40_000,
                1..3 => 300,
                3..8 => 40,
                _ => 1,
            };
            if jump > 0x7fff {
                // Nothing stays on the way for so long that its tick could be mistaken.
                self.down.clear();
            }
            self.tick(jump, true);
        }
        self.link = CLEAN;
        let settled = (0..200).any(|_| {
            self.tick(1, false);
            self.server.is_settled() && self.bulk.is_empty() && self.is_fresh()
        });
        assert!(settled, "seed {}: the session does not settle", self.seed);
        self.check_set();
        self
    }

    fn tick(&mut self, jump: u32, shuffle: bool) {
        self.step += 1;
        self.world.step(&mut self.dice, jump);
        let mut out = Output::default();
        if shuffle {
            self.server.shuffle(&mut self.dice, &self.world, &mut out);
            self.give_cue();
        }
        self.server.write(&mut self.dice, &self.world, &mut out);
        self.send(out);
        self.table.expect_tick(self.world.tick);
        self.receive();
        self.acknowledge();
    }

    fn give_cue(&mut self) {
        if self.dice.chance(30) {
            let id = self.step as u8;
            let payload = self.step.to_le_bytes().to_vec();
            self.given.insert(payload.clone(), self.world.tick);
            self.server.cues.push((id, self.world.tick, payload));
        }
    }

    fn send(&mut self, out: Output) {
        for datagram in out.datagrams {
            if !self.dice.chance(self.link.loss) {
                let due = self.step + self.dice.below(self.link.delay);
                self.down.push((due, datagram.clone()));
                if self.dice.chance(self.link.repeat) {
                    self.down.push((due + self.dice.below(3), datagram));
                }
            }
        }
        let due = self.step + self.dice.below(2 * self.link.delay);
        self.bulk.extend(out.bulk.map(|message| (due, message)));
    }

    fn receive(&mut self) {
        while self.bulk.front().is_some_and(|(due, _)| *due <= self.step) {
            let (_, message) = self.bulk.pop_front().expect("just seen");
            let result = self.table.apply_bulk(&self.world.schema, &message);
            let applied = result.unwrap_or_else(|e| panic!("seed {}: bulk: {e}", self.seed));
            assert!(applied.left().is_empty(), "seed {}", self.seed);
            let BulkDown::Enters { sequence, .. } = message else { continue };
            self.bulk_acks.push(sequence);
            self.check_states();
        }
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.down).into_iter().partition(|(due, _)| *due <= self.step);
        self.down = later;
        for (_, datagram) in due {
            self.apply(&datagram);
        }
    }

    fn apply(&mut self, datagram: &[u8]) {
        match self.table.apply(&self.world.schema, datagram) {
            Ok(applied) => {
                let newest = applied.tick;
                for payload in cues(&applied) {
                    let tick = self.given[&payload];
                    assert!(
                        tick + 3 >= newest,
                        "seed {}: a cue of {tick} came in {newest}",
                        self.seed
                    );
                    let first = self.delivered.insert(payload);
                    assert!(first, "seed {}: a cue came twice", self.seed);
                }
                self.applied += 1;
                self.check_states();
            }
            Err(SnapshotError::Stale(_)) => self.stale += 1,
            Err(error) => panic!("seed {}: step {}: {error}", self.seed, self.step),
        }
    }

    fn acknowledge(&mut self) {
        let lost = self.dice.chance(self.link.loss);
        let due = self.step + self.dice.below(self.link.delay);
        self.up.extend(self.table.ack().filter(|_| !lost).map(|ack| (due, ack)));
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.up).into_iter().partition(|(due, _)| *due <= self.step);
        self.up = later;
        due.into_iter().for_each(|(_, ack)| self.server.ack(ack));
        if self.dice.chance(50) {
            let acks = std::mem::take(&mut self.bulk_acks);
            acks.into_iter().for_each(|sequence| self.server.ack_bulk(sequence));
        }
    }

    /// Every slot is right as of the tick that covered it.
    fn check_states(&self) {
        for slot in self.table.slots() {
            let view = self.table.entity(slot).expect("the slot holds an entity");
            let covered = self.table.covered(slot).expect("what is held was told");
            let entity = self.world.entities.iter().find(|entity| entity.id == view.entity);
            let entity = entity.expect("only entities of the world are told");
            let context = || format!("seed {} slot {} tick {covered}", self.seed, slot.0);
            let mine = self.table.state_at(slot, covered).expect("a state is held");
            let theirs = entity.state_at(covered).expect("it was born before");
            assert_same(mine, theirs, covered, context);
            assert_same(view.state, theirs, covered, context);
            let facts = entity.facts_at(covered).expect("it was born before");
            assert_eq!(view.fields[..facts.values.len()], facts.values, "{}", context());
            assert_eq!(view.block, facts.block, "{}", context());
            assert!(view.name.is_none_or(|name| name == entity.name), "{}", context());
            assert_eq!(view.kind, entity.kind, "{}", context());
        }
    }

    /// The table holds exactly what it should, and as of now.
    fn check_set(&self) {
        let mine: BTreeMap<_, _> = self
            .table
            .slots()
            .filter_map(|slot| Some((slot, self.table.entity(slot)?.entity)))
            .collect();
        let theirs: BTreeMap<_, _> = self
            .server
            .visible()
            .into_iter()
            .map(|(slot, entity)| (slot, self.world.entities[entity].id))
            .collect();
        assert_eq!(mine, theirs, "seed {}", self.seed);
    }

    /// Is every slot right as of this tick?
    fn is_fresh(&self) -> bool {
        self.table.slots().all(|slot| self.table.covered(slot) == Some(self.world.tick))
    }
}

fn cues(applied: &Applied<'_>) -> Vec<Vec<u8>> {
    applied.cues().map(|cue| cue.payload.to_vec()).collect()
}

/// The same word for this tick and for later ones. A knot that stands still may have been told
/// with another tick.
fn assert_same(mine: &State, theirs: &State, tick: Tick, context: impl Fn() -> String) {
    match (mine, theirs) {
        (State::Knot(a), State::Knot(b)) => {
            assert_eq!((a.vel, a.spin), (b.vel, b.spin), "{}", context());
            for ahead in [0, 1, 9] {
                assert_eq!(a.predict(tick + ahead), b.predict(tick + ahead), "{}", context());
                assert_eq!(a.faces(tick + ahead), b.faces(tick + ahead), "{}", context());
            }
        }
        _ => assert_eq!(mine, theirs, "{}", context()),
    }
}

fn sessions(track: TrackKind, space: Space, link: Link) {
    let (mut applied, mut stale) = (0, 0);
    for seed in 0..SEEDS {
        let session = Session::new(seed, track, space, link).run(120);
        applied += session.applied;
        stale += session.stale;
    }
    assert!(applied > SEEDS as usize * 60, "only {applied} datagrams were applied");
    assert_eq!(stale > 0, link.delay > 1, "{stale} datagrams came late");
}

#[test]
fn a_game_is_the_same_on_both_sides_of_a_clean_link() {
    sessions(TrackKind::Knots, Space::Metric, CLEAN);
}

#[test]
fn a_game_is_the_same_on_both_sides_of_a_bad_link() {
    sessions(TrackKind::Knots, Space::Metric, BAD);
}

#[test]
fn a_fleet_on_the_globe_is_the_same_on_both_sides_of_a_clean_link() {
    sessions(TrackKind::Fixes, Space::Geodetic, CLEAN);
}

#[test]
fn a_fleet_on_the_globe_is_the_same_on_both_sides_of_a_bad_link() {
    sessions(TrackKind::Fixes, Space::Geodetic, BAD);
}

#[test]
fn a_fleet_on_the_plane_is_the_same_on_both_sides_of_a_bad_link() {
    sessions(TrackKind::Fixes, Space::Metric, BAD);
}
