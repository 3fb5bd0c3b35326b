//! A Room: one world, its clock and its mailbox.
//!
//! A stepped object: [`Room::poll`] does what is due and says when to call again. Threads are
//! lent by the [`pool`]; a simulation calls `poll` itself.

pub mod cores;
pub mod directory;
pub mod gauge;
pub mod left;
pub mod pool;
pub mod questions;
pub mod schedule;
mod strain;
pub mod tape;

use crate::exchange::{Batch, Mailbox};
use crate::store::Pen;
use crate::wall::UnixClock;
use cores::{Cores, Tally, Weight};
use gauge::Gauge;
use schedule::Schedule;
use starling_protocol::units::Nanos;
use starling_world::World;
use starling_world::executor::Serial;
use starling_world::input::{Command, TickInputs};
use starling_world::output::Output;
use std::sync::Arc;
use strain::Strain;
use tape::Tape;

/// Steps between ticks are at least this far apart: an event waits no longer.
const STEP_EVERY_NS: u64 = Nanos::MILLISECOND;

/// One world with its clock.
pub struct Room {
    world: World,
    mailbox: Arc<Mailbox>,
    gauge: Arc<Gauge>,
    schedule: Schedule,
    unix: Option<UnixClock>,
    /// Where the world has what it wants kept written; `None` where nothing is kept.
    pen: Option<Pen>,
    last_step: Nanos,
    weight: Weight,
    strain: Strain,
    /// What the last second was like, not told to the world yet.
    verdict: Option<bool>,
    /// Writes down all that goes in, where that is wanted.
    tape: Option<Tape>,
    // Reused from tick to tick; empty between polls.
    commands: Vec<Command>,
    inputs: TickInputs,
    batch: Batch,
}

/// What a poll did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Polled {
    /// A batch waits for the Front.
    pub published: bool,
    /// When to call again, at the latest.
    pub next: Nanos,
}

impl Room {
    /// A room whose world's epoch starts at `start`, and that knows Unix time where there is a
    /// clock for it.
    #[must_use]
    pub fn new(world: World, mailbox: Arc<Mailbox>, start: Nanos, unix: Option<UnixClock>) -> Self {
        let tick_rate = world.config().tick_rate;
        let schedule = Schedule::new(start, tick_rate);
        Self {
            world,
            mailbox,
            gauge: Arc::default(),
            schedule,
            unix,
            pen: None,
            last_step: start,
            weight: Weight::new(tick_rate.period_ns()),
            strain: Strain::new(tick_rate.hz()),
            verdict: None,
            tape: None,
            commands: Vec::new(),
            inputs: TickInputs::default(),
            batch: Batch::default(),
        }
    }

    /// What its world wants kept is handed in with this pen.
    #[must_use]
    pub fn keeping(mut self, pen: Option<Pen>) -> Self {
        self.pen = pen;
        self
    }

    /// The same room, recorded from its first step on.
    #[must_use]
    pub fn recorded(mut self, tape: Option<Tape>) -> Self {
        self.tape = tape;
        self
    }

    /// Where the room shows what it does.
    #[must_use]
    pub fn gauge(&self) -> Arc<Gauge> {
        Arc::clone(&self.gauge)
    }

    /// Where its commands come from and its batches go.
    #[must_use]
    pub fn mailbox(&self) -> &Mailbox {
        &self.mailbox
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

    /// Runs what is due. `clock` is read round each tick, so that its cost is known; a simulation
    /// passes a clock that stands still. Long ticks are cut and run on `cores`.
    pub fn poll(&mut self, now: Nanos, clock: &dyn Fn() -> Nanos, cores: &Cores) -> Polled {
        if self.mailbox.is_congested() {
            // The Front is behind by more than it could ever send in time: making more for it
            // would only cost memory. Ticks that pass meanwhile are skipped and counted.
            self.gauge.held();
            let next = now + self.world.config().tick_rate.period_ns();
            return Polled { published: false, next };
        }
        self.step_if_due(now);
        self.skip_late(now);
        let mut published = false;
        while self.next_tick() <= now {
            self.tick(now, clock, cores);
            published |= self.mailbox.publish(&mut self.batch);
        }
        published |= self.mailbox.publish(&mut self.batch);
        Polled { published, next: self.next_due() }
    }

    /// When there is work next, as far as the room knows now.
    #[must_use]
    pub fn next_due(&self) -> Nanos {
        let tick = self.next_tick();
        if self.mailbox.has_commands() { tick.min(self.last_step + STEP_EVERY_NS) } else { tick }
    }

    fn next_tick(&self) -> Nanos {
        self.schedule.deadline(self.world.now() + 1)
    }

    /// Commands are stepped at most once a millisecond, and always before a tick.
    fn step_if_due(&mut self, now: Nanos) {
        let spaced = now.since(self.last_step) >= STEP_EVERY_NS;
        if !(spaced || self.next_tick() <= now) || !self.mailbox.has_commands() {
            return;
        }
        if self.pen.as_ref().is_some_and(Pen::is_crowded) {
            // Whatever a command would have kept finds no place for now. Ticks go on.
            self.last_step = now;
            return;
        }
        self.last_step = now;
        self.mailbox.take_commands(&mut self.commands);
        let now_us = self.schedule.now_us(now);
        if let Some(tape) = &mut self.tape {
            tape.step(now_us, &self.commands);
        }
        self.world.step(now_us, &mut self.commands, &mut self.batch.output);
        self.commands.clear();
        self.hand_in(now);
    }

    /// What is kept never goes to the Front: the store has it before anyone else.
    fn hand_in(&mut self, now: Nanos) {
        let Output { journal, queries, .. } = &mut self.batch.output;
        match &self.pen {
            Some(pen) => pen.submit(now, journal, queries),
            None => {
                journal.clear();
                queries.clear();
            }
        }
    }

    fn skip_late(&mut self, now: Nanos) {
        let skipped = self.schedule.skip(self.world.now(), now);
        if skipped > 0 {
            self.judge(skipped, true);
            self.world.skip(skipped);
            if let Some(tape) = &mut self.tape {
                tape.skip(skipped);
            }
            self.gauge.skipped(skipped);
        }
    }

    fn judge(&mut self, ticks: u32, late: bool) {
        self.verdict = self.strain.note(ticks, late).or(self.verdict);
    }

    /// The world hears whether there is too little time, if that changes what it does.
    fn tell_strain(&mut self, now: Nanos) {
        let Some(too_much) = self.verdict.take() else { return };
        if !too_much && self.world.shed_step() == 0 {
            return;
        }
        let now_us = self.schedule.now_us(now);
        let mut commands = vec![Command::Strain { too_much }];
        if let Some(tape) = &mut self.tape {
            tape.step(now_us, &commands);
        }
        self.world.step(now_us, &mut commands, &mut self.batch.output);
        self.hand_in(now);
    }

    fn tick(&mut self, now: Nanos, clock: &dyn Fn() -> Nanos, cores: &Cores) {
        self.tell_strain(now);
        self.mailbox.take_tick(&mut self.inputs);
        self.inputs.now_us = self.schedule.now_us(now);
        self.inputs.unix_ms = self.unix.as_ref().map(|unix| unix.unix_ms(now));
        let late_ns = now.since(self.next_tick());
        let before = clock();
        let tally = Tally::new(cores);
        if self.weight.is_heavy() {
            self.world.tick(&self.inputs, &mut self.batch.output, &tally);
        } else {
            self.world.tick(&self.inputs, &mut self.batch.output, &Serial);
        }
        let took_ns = clock().since(before);
        self.weight.note(tally.work_ns(took_ns));
        if let Some(tape) = &mut self.tape {
            tape.tick(&self.inputs, &self.world, &self.batch.output);
        }
        self.inputs.clear();
        self.hand_in(now);
        self.batch.ticked = true;
        let overrun = now >= self.next_tick();
        self.judge(1, overrun);
        self.gauge.ticked(&self.world, gauge::Timing { took_ns, late_ns, overrun });
        self.gauge.questions.answer(&mut self.world);
    }
}
