//! A world with clients that move in it and look at it, tick by tick, with nothing between.
//!
//! Only [`Scene::tick`] is the work to be measured; what clients do lies in [`Scene::prepare`] and
//! [`Scene::deliver`]. Clients are real: they keep tables and acknowledge what they applied, so
//! the world codes against the baselines that it would have in life.

use crate::client::Client;
use crate::motion::{Dice, Gait, Mover};
use starling_protocol::message::control::ControlUp;
use starling_protocol::message::interest::{Interest, Shape};
use starling_protocol::schema::Schema;
use starling_protocol::space::Space;
use starling_protocol::units::TickRate;
use starling_world::World;
use starling_world::config::{Profile, WorldConfig};
use starling_world::executor::{Executor, Serial};
use starling_world::input::{Command, ConnId, Link, TickInputs};
use starling_world::output::Output;

/// Radius of every area of interest, in metres.
pub const RADIUS_M: f64 = 50.0;

/// What a scene is made of.
#[derive(Clone, Copy, Debug)]
pub struct Cast {
    /// Things that move, shared out evenly among the sessions, who own them.
    pub entities: u32,
    /// Sessions, each with one client.
    pub sessions: u32,
    /// Others in sight of a session, on average over the square without its edges.
    pub visible: u32,
    /// How everything moves.
    pub gait: Gait,
    /// Ticks per second, of the world and of what moves in it.
    pub hz: u16,
    /// Share of the datagrams that are lost on the way down.
    pub loss: f64,
    /// What each link may carry down in a tick; as much as one datagram when not given.
    pub datagram_bytes: Option<u32>,
    /// What the world is for: a game's is coded by knots, within a band of 0.04 m; a fleet's by fixes,
    /// to the precision of the wire.
    pub profile: Profile,
}

impl Cast {
    /// Walkers under a clear sky, at 20 Hz.
    #[must_use]
    pub const fn walk(entities: u32, sessions: u32, visible: u32) -> Self {
        let (gait, hz, loss, datagram_bytes) = (Gait::Walk, 20, 0.0, None);
        let profile = Profile::Game;
        Self { entities, sessions, visible, gait, hz, loss, datagram_bytes, profile }
    }

    /// The side of the square in which that many are in sight, in metres.
    #[must_use]
    pub fn side_m(&self) -> f64 {
        let visible = f64::from(self.visible.max(1));
        (f64::from(self.entities) * std::f64::consts::PI / visible).sqrt() * RADIUS_M
    }
}

/// The world, its clients, and what is under way between them.
#[derive(Debug)]
pub struct Scene {
    world: World,
    schema: Schema,
    clients: Vec<Client>,
    movers: Vec<Mover>,
    loss: f64,
    tick_us: f64,
    datagram_bytes: Option<u32>,
    dice: Dice,
    inputs: TickInputs,
    out: Output,
    answers: Vec<Command>,
    answered: Output,
}

impl Scene {
    /// Everyone has joined, spawned, and looks; no tick was run.
    #[must_use]
    pub fn new(cast: Cast, seed: u64) -> Self {
        Self::looking(cast, seed, true)
    }

    /// The same world in which nobody looks at anything.
    #[must_use]
    pub fn blind(cast: Cast, seed: u64) -> Self {
        Self::looking(cast, seed, false)
    }

    fn looking(cast: Cast, seed: u64, looks: bool) -> Self {
        let side_m = cast.side_m();
        let mover = |n| Mover::new(seed, n, cast.gait, cast.hz, side_m);
        let movers = (0..cast.entities).map(mover).collect();
        let config = WorldConfig {
            tick_rate: TickRate::new(cast.hz).expect("a rate within the limits"),
            ..WorldConfig::new("bench", Space::Metric, cast.profile)
        };
        let mut scene = Self {
            schema: config.schema.clone(),
            world: World::new(config),
            clients: clients(cast),
            movers,
            loss: cast.loss,
            tick_us: 1_000_000.0 / f64::from(cast.hz),
            datagram_bytes: cast.datagram_bytes,
            dice: Dice::new(seed ^ 0x5eed),
            inputs: TickInputs::default(),
            out: Output::default(),
            answers: Vec::new(),
            answered: Output::default(),
        };
        scene.join();
        if looks {
            scene.look();
        }
        scene
    }

    fn join(&mut self) {
        self.answers.extend(self.clients.iter().map(Client::attach));
        self.answer();
        for client in &self.clients {
            let own = &self.movers[client.movers.clone()];
            self.answers.extend(own.iter().map(|mover| client.spawn(mover.sample())));
        }
        self.answer();
    }

    fn look(&mut self) {
        let shape = Shape::Around { entity: None, radius_m: RADIUS_M as f32 };
        for client in &self.clients {
            let interest = Some(Interest::new(shape.clone()));
            self.answers.push(client.say(ControlUp::SetInterest { id: 0, interest }));
        }
        self.answer();
    }

    /// Runs so many ticks.
    pub fn run(&mut self, ticks: u32) {
        for _ in 0..ticks {
            self.prepare();
            self.tick();
            self.deliver();
        }
    }

    /// Everything moves and every client sends.
    pub fn prepare(&mut self) {
        let next = self.world.now() + 1;
        self.movers.iter_mut().for_each(Mover::step);
        self.inputs.clear();
        self.inputs.now_us = (f64::from(next.0) * self.tick_us) as u64;
        for client in &mut self.clients {
            client.send(&self.movers, next, &mut self.inputs);
            if let Some(datagram_bytes) = self.datagram_bytes {
                let (conn, rtt_us) = (client.conn, 50_000);
                let link = Link { conn, datagram_bytes, stream_bytes: 64 * 1024, rtt_us };
                self.inputs.links.push(link);
            }
        }
        self.out.clear();
    }

    /// One tick of the world: what is measured.
    pub fn tick(&mut self) {
        self.tick_on(&Serial);
    }

    /// The same on threads.
    pub fn tick_on(&mut self, exec: &impl Executor) {
        self.world.tick(&self.inputs, &mut self.out, exec);
    }

    /// Every client takes in what reaches it, and answers on streams.
    pub fn deliver(&mut self) {
        for datagram in &self.out.datagrams {
            if self.loss > 0.0 && self.dice.chance(self.loss) {
                continue;
            }
            let client = &mut self.clients[at(datagram.conn)];
            let payload = &self.out.arena[datagram.bytes.clone()];
            client.table.apply(&self.schema, payload).expect("the world writes what tables take");
        }
        let out = std::mem::take(&mut self.out);
        self.hear(&out);
        self.out = out;
        self.answer();
    }

    /// Hands over commands until there is nothing to answer.
    fn answer(&mut self) {
        while !self.answers.is_empty() {
            let mut answered = std::mem::take(&mut self.answered);
            answered.clear();
            self.world.step(0, &mut self.answers, &mut answered);
            self.hear(&answered);
            self.answered = answered;
        }
    }

    fn hear(&mut self, out: &Output) {
        assert!(out.closes.is_empty(), "the world closed a bench's client: {:?}", out.closes);
        for write in &out.writes {
            let bytes = &out.arena[write.bytes.clone()];
            let client = &mut self.clients[at(write.conn)];
            client.hear(write.stream, bytes, &self.schema, &mut self.answers);
        }
    }

    /// The world.
    #[must_use]
    pub const fn world(&self) -> &World {
        &self.world
    }

    /// What goes into the tick that was prepared.
    #[must_use]
    pub const fn inputs(&self) -> &TickInputs {
        &self.inputs
    }

    /// What came out of the newest tick.
    #[must_use]
    pub const fn out(&self) -> &Output {
        &self.out
    }

    /// Pairs of a client and an entity that it holds.
    #[must_use]
    pub fn seen(&self) -> usize {
        self.clients.iter().map(|client| client.table.slots().count()).sum()
    }

    /// The greatest number of ticks for which some client was told nothing of something that it
    /// holds, not even that it stands as it is.
    #[must_use]
    pub fn oldest(&self) -> u32 {
        let now = self.world.now();
        let tables = self.clients.iter().map(|client| &client.table);
        let covered = tables.flat_map(|t| t.slots().filter_map(|slot| t.covered(slot)));
        covered.map(|tick| now.since(tick).unwrap_or(0)).max().unwrap_or(0)
    }

    /// The connection of client number `n`.
    #[must_use]
    pub fn conn(&self, n: usize) -> ConnId {
        self.clients[n].conn
    }
}

fn clients(cast: Cast) -> Vec<Client> {
    let bound =
        |n: u32| (u64::from(n) * u64::from(cast.entities) / u64::from(cast.sessions)) as usize;
    let one = |n| Client::new(ConnId(u64::from(n) + 1), bound(n)..bound(n + 1));
    (0..cast.sessions).map(one).collect()
}

/// Connections are numbered from 1 in the order of the clients.
fn at(conn: ConnId) -> usize {
    conn.0 as usize - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_see_about_as_many_as_asked_and_tables_hold_them() {
        let mut scene = Scene::new(Cast { loss: 0.05, ..Cast::walk(2_000, 50, 30) }, 1);
        scene.run(40);
        let seen = scene.seen() as f64 / 50.0;
        assert!((18.0..45.0).contains(&seen), "{seen}");
        let counters = scene.world().counters();
        assert_eq!(counters.samples_accepted, 40 * 2_000);
        assert_eq!((counters.uplinks_malformed, counters.acks_unknown), (0, 0));
    }

    #[test]
    fn nobody_sees_anything_in_a_blind_scene() {
        let mut scene = Scene::blind(Cast::walk(200, 20, 30), 1);
        scene.run(20);
        assert_eq!(scene.seen(), 0);
        assert_eq!(scene.world().counters().samples_accepted, 20 * 200);
    }
}
