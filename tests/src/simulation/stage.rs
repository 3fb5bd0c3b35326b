//! One run: a server and its clients, faults for a while, then calm, in which all must be well.

mod audit;
mod process;

use super::clock::Clock;
use super::dice::Dice;
use super::disk::Stable;
use super::flock::{DURABLE, Flock, Seated};
use super::medium::{Fault, Medium};
use super::options::{Knob, Options};
use super::plan::{self, Deed};
use super::trace::{Trace, Verdict};
use super::witness::{Accepted, Checks};
use starling_client::net::{ClientIndex, Clients};
use starling_client::{ConnectOptions, Session, SessionState};
use starling_protocol::units::{EntityId, Nanos, SessionId};
use starling_server::stepped::Stepped;
use std::collections::{BTreeMap, VecDeque};

const WORLD: &str = "sim";
/// Everyone's only session.
const ONLY: ClientIndex = ClientIndex(0);
/// P3: faults have stopped, or the client has come in, for so long.
const SETTLE_NS: u64 = 2 * Nanos::SECOND;
/// Views must be whole throughout.
const WHOLE_NS: u64 = Nanos::SECOND / 2;
/// Everyone is back by then: an attempt that began before the faults stopped lasts five seconds, the
/// next one meets no fault, and views take their time: 9.3 s at worst in 2,000 seeds, and 2.5 s in
/// which everything must stay so.
const BACK_NS: u64 = 13 * Nanos::SECOND;
/// What a tick sent has arrived after this time, on a link without faults.
const ARRIVAL_NS: u64 = 4 * Nanos::MILLISECOND;
/// Ten looks at each tick.
const LOOK_NS: u64 = 5 * Nanos::MILLISECOND;
/// Longest step of the clock.
const STEP_NS: u64 = 10 * Nanos::MILLISECOND;
/// Time between two actions of a client, on average.
const ACT_NS: u64 = 300 * Nanos::MILLISECOND;
/// A tick at 20 Hz.
const TICK_NS: u64 = 50 * Nanos::MILLISECOND;
/// Who has been in for so long hears what is for everyone.
const LISTENS_NS: u64 = 500 * Nanos::MILLISECOND;
/// Bytes that one connection may have waiting, in either direction.
const WAITING_MAX: u64 = 1024 * 1024;
/// The trace's name for the server.
const AT_SERVER: usize = 0x7fff;

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// All that happened.
    pub trace: Trace,
    /// The world's own checksum at the end.
    pub checksum: u64,
    /// How much was checked.
    pub checks: Checks,
    /// Promises broken, in words.
    pub broken: Vec<String>,
}

/// A client and its process.
struct Seat<M: Medium> {
    clients: Clients<M::Client>,
    clock: Clock,
    paused_until: Nanos,
    /// Since when both sides say that it is in.
    in_since: Option<Nanos>,
    whole_for: u64,
    rogue: bool,
}

impl<M: Medium> Seat<M> {
    fn new(options: &Options, client: usize, now: Nanos, medium: &mut M, rogue: bool) -> Self {
        let mut dice = Dice::lane(options.seed, 100 + client as u64);
        let clock = Clock::draw(&mut dice, options.get(Knob::Drift));
        let transport = medium.client(client, dice.fork(1), rogue);
        let mut clients = Clients::new(transport);
        let mut connect = ConnectOptions::new(WORLD);
        connect.seed = dice.next();
        connect.reconnect.before_first = true;
        clients.add(clock.local(now), medium.target(), connect);
        Self { clients, clock, paused_until: Nanos(0), in_since: None, whole_for: 0, rogue }
    }
}

/// The server's process.
enum Process<M: Medium> {
    Runs(Box<Stepped<M::Server>>),
    /// It is back then.
    Gone(Nanos),
}

struct Stage<M: Medium> {
    options: Options,
    now: Nanos,
    medium: M,
    server: Process<M>,
    /// The server's disk, where its world has a store.
    stable: Option<Stable>,
    clock: Clock,
    paused_until: Nanos,
    lives: u32,
    /// By when a drain has to be over.
    draining: Option<Nanos>,
    plan: VecDeque<(Nanos, Deed)>,
    seats: Vec<Seat<M>>,
    flock: Flock,
    dice: Dice,
    next_act: Nanos,
    next_fault: Nanos,
    /// For connections that are lost.
    drops: Dice,
    /// When the server ran its newest tick.
    ticked: Nanos,
    /// When views are judged next.
    next_look: Nanos,
}

/// Runs what the options say.
pub(crate) fn run<M: Medium>(options: &Options) -> Outcome {
    let mut stage = Stage::<M>::new(options);
    let faults = Nanos(u64::from(options.get(Knob::FaultsMs)) * Nanos::MILLISECOND);
    while stage.now < faults {
        stage.step(true);
        stage.now = stage.next_moment().min(faults);
    }
    stage.settle();
    let end = stage.now + BACK_NS;
    while stage.now < end && !stage.is_whole() {
        stage.step(false);
        stage.judge(faults);
        stage.now = stage.next_moment();
    }
    let whole = stage.is_whole();
    if whole {
        stage.judge_lobby();
    }
    stage.audit();
    stage.finish(whole)
}

impl<M: Medium> Stage<M> {
    fn new(options: &Options) -> Self {
        let honest = options.get(Knob::Clients) as usize;
        let rogues = options.get(Knob::Rogues) as usize;
        // One more for who comes when all is over.
        let mut medium = M::open(options, honest + rogues + 1);
        let mut dice = Dice::lane(options.seed, 4);
        let mut flock = Flock::new(honest, rogues, options.seed);
        flock.weight = u64::from(options.get(Knob::Weight));
        let mut seats = Vec::new();
        for client in 0..honest + rogues {
            let mut seat = Seat::new(options, client, Nanos(0), &mut medium, client >= honest);
            flock.outfit(client, seat.clients.get_mut(ONLY).expect("it was just added"));
            seats.push(seat);
        }
        let clock = Clock::draw(&mut dice, options.get(Knob::Drift));
        let now = Nanos(0);
        let mut stage = Self {
            options: options.clone(),
            now,
            medium,
            server: Process::Gone(now),
            stable: Stable::of(options),
            clock,
            paused_until: now,
            lives: 0,
            draining: None,
            plan: plan::draw(options).into(),
            seats,
            flock,
            dice,
            next_act: now,
            next_fault: now,
            drops: Dice::lane(options.seed, 9),
            ticked: now,
            next_look: now,
        };
        if stage.stable.is_some() {
            DURABLE.iter().for_each(|channel| stage.flock.witness.keeps(channel));
        }
        stage.start();
        stage
    }

    fn step(&mut self, faults: bool) {
        self.medium.at(self.now);
        if faults {
            self.befall();
            self.act();
            self.fault();
        }
        self.run_server();
        self.flock.begin_step();
        for client in 0..self.seats.len() {
            self.run_client(client);
            if !faults {
                self.medium.calm(client, self.seats[client].clients.conn(ONLY));
            }
        }
        for (client, number) in std::mem::take(&mut self.flock.told) {
            self.medium.note(client, number, Verdict::Told);
        }
    }

    fn run_server(&mut self) {
        if let Process::Gone(until) = self.server
            && until <= self.now
        {
            self.start();
        }
        let Process::Runs(server) = &mut self.server else { return };
        if self.now < self.paused_until {
            return;
        }
        let local = self.clock.local(self.now);
        if let Some(stable) = &mut self.stable {
            stable.before_poll();
        }
        server.poll(local);
        if let Some(stable) = &mut self.stable {
            stable.after_poll(local);
        }
        self.look_at_server();
        self.take_down();
        self.drained();
    }

    fn run_client(&mut self, client: usize) {
        let seat = &mut self.seats[client];
        if self.now < seat.paused_until {
            return;
        }
        let mut pilot = Seated { flock: &mut self.flock, client: ClientIndex(client) };
        seat.clients.advance(seat.clock.local(self.now), &mut pilot);
        let (is_in, now) = (self.is_in(client) && self.flock.birds[client].hears, self.now);
        let seat = &mut self.seats[client];
        seat.in_since = is_in.then(|| seat.in_since.unwrap_or(now));
        let listens = seat.in_since.is_some_and(|since| now.since(since) > LISTENS_NS);
        self.flock.birds[client].listens = listens && !seat.rogue;
    }

    /// Both sides say that it has a session, and it is the same one.
    fn is_in(&self, client: usize) -> bool {
        let Process::Runs(server) = &self.server else { return false };
        let Some(session) = self.session(client) else { return false };
        let live = session.state() == SessionState::Live;
        let name = session.welcome().filter(|_| live).map(|welcome| welcome.session);
        let known = |name: SessionId| {
            let sessions = server.room(WORLD)?.world().sessions();
            sessions.get(sessions.by_id(name)?).filter(|session| session.is_live())
        };
        name.and_then(known).is_some()
    }

    fn session(&self, client: usize) -> Option<&Session> {
        self.seats[client].clients.get(ONLY)
    }

    fn next_moment(&self) -> Nanos {
        let mut earliest = self.now + STEP_NS;
        if let Process::Runs(server) = &self.server {
            let local = self.clock.local(self.now);
            earliest = earliest.min(self.clock.truth(server.next_timeout(local)));
        }
        for seat in &self.seats {
            let due = seat.clients.next_timeout(seat.clock.local(self.now));
            earliest = due.map_or(earliest, |due| earliest.min(seat.clock.truth(due)));
        }
        earliest = self.medium.next_due().map_or(earliest, |due| earliest.min(due));
        // Time moves on even when something is due at this very moment.
        earliest.max(self.now + Nanos::MILLISECOND / 4)
    }

    /// I10: no more waits than may. I11: ticks come in time.
    fn look_at_server(&mut self) {
        let Process::Runs(server) = &self.server else { return };
        let gauges = &server.counters().gauges;
        let most = server.front().connections() as u64 * WAITING_MAX;
        let waiting = gauges.unsent_bytes.get() + gauges.held_bytes.get();
        if waiting > most + WAITING_MAX {
            self.flock.witness.broken.push(format!("I10 {waiting} bytes wait, {most} may"));
        }
        let since = self.now.since(self.ticked.max(self.paused_until));
        if since > 3 * TICK_NS + STEP_NS {
            let words = format!("I11 no tick for {} ms at {:?}", since / 1_000_000, self.now);
            self.flock.witness.broken.push(words);
        }
    }

    /// Tells the witness what the server accepted in a tick that is new.
    fn take_down(&mut self) {
        let Process::Runs(server) = &self.server else { return };
        let Some(room) = server.room(WORLD) else { return };
        let world = room.world();
        if self.flock.witness.newest_tick().is_some_and(|newest| world.now() <= newest) {
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
        let digest = world.checksum();
        self.flock.witness.tick(world.now(), accepted);
        self.medium.note(AT_SERVER, digest, Verdict::Told);
    }

    fn act(&mut self) {
        while self.next_act <= self.now {
            let client = self.dice.below(self.seats.len() as u64) as usize;
            if let Some(session) = self.seats[client].clients.get_mut(ONLY) {
                self.flock.act(client, session);
            }
            let wait = (self.dice.unit() * 2.0 * ACT_NS as f64) as u64 / self.seats.len() as u64;
            self.next_act = self.next_act + wait;
        }
    }

    /// Cuts cables, clogs them, and moves clients to other addresses.
    fn fault(&mut self) {
        if self.now < self.next_fault {
            return;
        }
        self.next_fault = self.now + STEP_NS;
        let rate = |knob| f64::from(self.options.get(knob)) / 100.0 * STEP_NS as f64 / 1e9;
        let [cuts, one_ways, clogs, moves, drops] =
            [Knob::Cuts, Knob::OneWays, Knob::Clogs, Knob::Moves, Knob::Drops].map(rate);
        let longest_ns = u64::from(self.options.get(Knob::CutMs)) * Nanos::MILLISECOND;
        for link in 0..self.seats.len() {
            let until = self.now + self.dice.below(longest_ns);
            let up = self.dice.chance(0.5);
            let all = Fault::Cut { up: true, down: true, until };
            let faults = [
                (cuts, all),
                (one_ways, Fault::Cut { up, down: !up, until }),
                (clogs, Fault::Clog { until }),
                (moves, Fault::Move),
            ];
            for (chance, fault) in faults {
                if self.dice.chance(chance) {
                    self.medium.strike(link, self.seats[link].clients.conn(ONLY), fault);
                }
            }
            if drops > 0.0 && self.drops.chance(drops) {
                self.medium.strike(link, self.seats[link].clients.conn(ONLY), Fault::Drop);
            }
        }
    }

    /// Nothing befalls anyone from here on, and whoever is away comes back.
    fn settle(&mut self) {
        self.plan.clear();
        if let Some(stable) = &mut self.stable {
            stable.settle();
        }
        self.paused_until = self.paused_until.min(self.now);
        for (seat, bird) in self.seats.iter_mut().zip(&mut self.flock.birds) {
            seat.paused_until = seat.paused_until.min(self.now);
            // A path may have died, and neither side knows yet: from its first word on it is back.
            bird.hears = false;
            seat.in_since = None;
        }
    }

    /// P3, of everyone who has been in for long enough since the faults stopped.
    fn judge(&mut self, calm: Nanos) {
        if self.now < self.next_look {
            return;
        }
        self.next_look = self.now + LOOK_NS;
        let arrived = self.now.since(self.ticked) >= ARRIVAL_NS;
        for (client, seat) in self.seats.iter_mut().enumerate().filter(|(_, seat)| !seat.rogue) {
            let Some(since) = seat.in_since else {
                seat.whole_for = 0;
                continue;
            };
            let from = since.max(calm) + SETTLE_NS;
            if self.now >= from {
                seat.whole_for = self.now.since(from);
                let back_ms = since.since(calm) / Nanos::MILLISECOND;
                let slowest = &mut self.flock.witness.checks.slowest_ms;
                *slowest = back_ms.max(*slowest);
                let session = seat.clients.get(ONLY).expect("nobody was removed");
                self.flock.judge(client, session, arrived);
            }
        }
    }

    fn is_whole(&self) -> bool {
        self.seats.iter().filter(|seat| !seat.rogue).all(|seat| seat.whole_for >= WHOLE_NS)
    }

    fn judge_lobby(&mut self) {
        let honest = (0..self.seats.len()).filter(|client| !self.seats[*client].rogue);
        let welcome = honest.filter_map(|client| self.session(client)?.welcome());
        let sessions: Vec<_> = welcome.map(|welcome| welcome.session).collect();
        self.flock.judge_lobby(&sessions);
    }

    fn finish(mut self, whole: bool) -> Outcome {
        for (client, seat) in self.seats.iter().enumerate().filter(|(_, seat)| !seat.rogue) {
            let session = seat.clients.get(ONLY).expect("nobody was removed");
            let (stats, state) = (session.stats(), session.state());
            let broken = &mut self.flock.witness.broken;
            if stats.breaches + stats.decode_errors > 0 {
                broken.push(format!("client {client} counted {stats:?}"));
            }
            if !whole && seat.whole_for < WHOLE_NS {
                broken.push(format!("P3 client {client} never came back: it is {state:?}"));
            }
        }
        self.flock.end();
        if self.options.is_fair() {
            self.flock.witness.all_heard();
        }
        let checksum = match &self.server {
            Process::Runs(server) => server.room(WORLD).map_or(0, |room| room.world().checksum()),
            Process::Gone(_) => 0,
        };
        let (trace, wrong) = self.medium.finish();
        let Flock { witness, .. } = self.flock;
        let broken = witness.broken.into_iter().chain(wrong).collect();
        Outcome { trace, checksum, checks: witness.checks, broken }
    }
}
