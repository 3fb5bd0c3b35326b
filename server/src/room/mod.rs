//! A Room: one world, its clock and its mailbox.
//!
//! A stepped object: [`Room::poll`] does what is due and says when to call again. Threads are
//! lent by the [`pool`]; a simulation calls `poll` itself.

pub mod directory;
pub mod pool;
pub mod schedule;

use crate::exchange::Mailbox;
use schedule::Schedule;
use starling_protocol::units::{Nanos, Tick};
use starling_world::World;
use starling_world::executor::Serial;
use starling_world::input::{Command, TickInputs};
use starling_world::output::Output;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Steps between ticks are at least this far apart: an event waits no longer.
const STEP_EVERY_NS: u64 = Nanos::MILLISECOND;
/// Durations of the newest ticks that are kept for the metrics until they are collected.
const DURATIONS_MAX: usize = 4_096;

/// One world with its clock.
pub struct Room {
    world: World,
    mailbox: Arc<Mailbox>,
    gauge: Arc<Gauge>,
    schedule: Schedule,
    last_step: Nanos,
    // Reused from tick to tick; empty between polls.
    commands: Vec<Command>,
    inputs: TickInputs,
    output: Output,
}

/// What a room shows of itself to metrics and debugging.
#[derive(Debug, Default)]
pub struct Gauge {
    reading: Mutex<Reading>,
}

/// One look at a room.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The newest tick.
    pub tick: Tick,
    /// Ticks that began after the next one was due.
    pub overruns: u64,
    /// Ticks that were skipped.
    pub skipped: u64,
    /// How long each tick took in nanoseconds, since the last collection.
    pub durations_ns: Vec<u64>,
    /// What the world counted.
    pub counters: starling_world::counters::Counters,
    /// What the world holds.
    pub stats: starling_world::world::Stats,
}

impl Gauge {
    /// A copy of the newest reading; the durations are handed over.
    pub fn collect(&self) -> Reading {
        let mut reading = self.lock();
        let durations_ns = std::mem::take(&mut reading.durations_ns);
        Reading { durations_ns, ..reading.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, Reading> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    /// A room whose world's epoch starts at `start`.
    #[must_use]
    pub fn new(world: World, mailbox: Arc<Mailbox>, start: Nanos) -> Self {
        let schedule = Schedule::new(start, world.config().tick_rate);
        Self {
            world,
            mailbox,
            gauge: Arc::default(),
            schedule,
            last_step: start,
            commands: Vec::new(),
            inputs: TickInputs::default(),
            output: Output::default(),
        }
    }

    /// Where the room shows what it does.
    #[must_use]
    pub fn gauge(&self) -> Arc<Gauge> {
        Arc::clone(&self.gauge)
    }

    /// The world, to look at.
    #[must_use]
    pub const fn world(&self) -> &World {
        &self.world
    }

    /// Its clock.
    #[must_use]
    pub const fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Runs what is due. `clock` is read again after each tick, so that the cost of a tick is
    /// known; a simulation passes a clock that stands still.
    pub fn poll(&mut self, now: Nanos, clock: &dyn Fn() -> Nanos) -> Polled {
        let mut published = self.step_if_due(now);
        let skipped = self.schedule.skip(self.world.now(), now);
        if skipped > 0 {
            self.world.skip(skipped);
            self.gauge.lock().skipped += u64::from(skipped);
        }
        while self.schedule.deadline(self.world.now() + 1) <= now {
            published |= self.tick(now, clock);
        }
        Polled { published, next: self.next_due() }
    }

    /// When there is work next, as far as the room knows now.
    #[must_use]
    pub fn next_due(&self) -> Nanos {
        let tick = self.schedule.deadline(self.world.now() + 1);
        if self.mailbox.has_commands() { tick.min(self.last_step + STEP_EVERY_NS) } else { tick }
    }

    fn step_if_due(&mut self, now: Nanos) -> bool {
        let spaced = now.since(self.last_step) >= STEP_EVERY_NS;
        let before_tick = self.schedule.deadline(self.world.now() + 1) <= now;
        if !(spaced || before_tick) || !self.mailbox.has_commands() {
            return false;
        }
        self.last_step = now;
        self.mailbox.take_commands(&mut self.commands);
        self.world.step(self.schedule.now_us(now), &mut self.commands, &mut self.output);
        self.commands.clear();
        self.mailbox.publish(&mut self.output)
    }

    fn tick(&mut self, started: Nanos, clock: &dyn Fn() -> Nanos) -> bool {
        self.mailbox.take_tick(&mut self.inputs);
        let before = clock();
        self.world.tick(&self.inputs, &mut self.output, &Serial);
        let after = clock();
        self.inputs.clear();
        let published = self.mailbox.publish(&mut self.output);
        self.record(started, after.since(before));
        published
    }

    fn record(&self, started: Nanos, duration_ns: u64) {
        let mut reading = self.gauge.lock();
        reading.tick = self.world.now();
        if started >= self.schedule.deadline(self.world.now() + 1) {
            reading.overruns += 1;
        }
        if reading.durations_ns.len() < DURATIONS_MAX {
            reading.durations_ns.push(duration_ns);
        }
        reading.counters = self.world.counters().clone();
        reading.stats = self.world.stats();
    }
}

/// What a poll did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Polled {
    /// A batch waits for the Front.
    pub published: bool,
    /// When to call again, at the latest.
    pub next: Nanos,
}
