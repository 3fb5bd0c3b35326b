//! Durable channels: what they carry is on stable storage before anyone hears of it.
//!
//! A publish is checked and numbered at once, put in its channel's log *unseen*, and journaled. The
//! store says later how much is on stable storage; what that covers becomes visible, is delivered
//! and acknowledged (P5). The tick never waits for it. See [`crate::journal`] for what passes
//! between a world and a store, and ADR 0031 for why it is so.

pub(crate) mod aside;
mod beside;
mod half;
mod journaled;
pub(crate) mod kept;
pub(crate) mod open;
pub(crate) mod pending;
pub(crate) mod read;
pub(crate) mod recall;
pub(crate) mod row;
pub(crate) mod rows;
pub(crate) mod seen;

use crate::World;
use crate::checksum::Checksum;
use crate::input::{Attach, ConnId};
use crate::journal::{Health, News, Table};
use crate::output::Output;
use crate::session::hold::Held;
use journaled::Journaled;
use pending::Pending;
use read::Reads;
use recall::Recalls;
use seen::Seen;
use starling_protocol::planted::{self, Bug};
use starling_protocol::units::{Tick, TickRate};
use std::collections::VecDeque;

/// Connections that wait for the first commit of a life.
const EARLY_MAX: usize = 65_536;
const MINUTE_MS: u64 = 60_000;

/// What a world does to keep things, and what it waits for.
#[derive(Debug, Default)]
pub(crate) struct Durable {
    /// What goes to the store.
    pub(crate) journal: Journaled,
    /// Events on their way to the disk.
    pub(crate) pending: Pending,
    /// Message ids of the last ten minutes.
    pub(crate) seen: Seen,
    /// What is read from the disk.
    pub(crate) reads: Reads,
    /// Who waits for a message that is on disk only.
    pub(crate) recalls: Recalls,
    /// How the store is.
    pub(crate) health: Health,
    pub(crate) clock: Clock,
    /// Positions whose turn passed while the store did not take them.
    pub(crate) missed: Option<MissedTurns>,
    /// Who came before this life's epoch was on stable storage.
    early: VecDeque<Box<Attach>>,
    /// The number of the change that tells this life's epoch, until it is on stable storage.
    opening: Option<u64>,
    /// Whose Welcomes wait for a commit.
    pub(crate) held: Held,
}

/// The first and the last of some ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MissedTurns {
    pub(crate) first: Tick,
    pub(crate) last: Tick,
}

/// Milliseconds since 1970, as the server's clock said at the first tick, and by ticks from there:
/// a step of the clock makes nothing forgotten too early.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    base_ms: u64,
    base: Tick,
    /// The server's clock was told.
    set: bool,
    /// A tick of this life was run.
    ticks: bool,
}

impl Clock {
    /// Not before what an earlier life knew.
    pub(crate) const fn not_before(base_ms: u64) -> Self {
        Self { base_ms, base: Tick(0), set: false, ticks: false }
    }

    /// What the clock says in this tick.
    pub(crate) fn ms(&self, now: Tick, rate: TickRate) -> u64 {
        let ticks = u64::from(now.since(self.base).unwrap_or(0));
        self.base_ms + ticks * 1_000 / u64::from(rate.hz())
    }

    /// Did a tick of this life tell the time?
    pub(crate) const fn is_set(&self) -> bool {
        self.ticks
    }

    fn begin(&mut self, now: Tick, rate: TickRate, unix_ms: u64) {
        self.ticks = true;
        if !self.set && unix_ms > 0 {
            let base_ms = self.ms(now, rate).max(unix_ms);
            *self = Self { base_ms, base: now, set: true, ..*self };
        }
    }
}

impl World {
    /// What time it is for what is kept, in milliseconds since 1970.
    pub(crate) fn kept_ms(&self) -> u64 {
        self.durable.clock.ms(self.now, self.config.tick_rate)
    }

    /// The minute that a message id is accepted in.
    pub(crate) fn kept_minute(&self) -> u32 {
        u32::try_from(self.kept_ms() / MINUTE_MS).unwrap_or(u32::MAX)
    }

    /// Does what the store's word brings about.
    pub(crate) fn store_news(&mut self, news: News, now_us: u64, out: &mut Output) {
        match news {
            News::Committed { changes } => {
                self.counters.store_commits += 1;
                self.durable.journal.committed(changes);
                self.show_committed();
                self.let_go();
                self.open_doors(now_us, out);
            }
            News::Health(health) => {
                self.durable.health = health;
                self.let_go();
            }
            News::Found { ticket, rows } => self.found(ticket, rows),
        }
    }

    /// A tick begins: what is accepted from here on is accepted at its time.
    pub(crate) fn tell_the_time(&mut self) {
        self.durable.clock.begin(self.now, self.config.tick_rate, self.unix_ms);
    }

    /// Once a tick: message ids that are too old are forgotten, and whoever waits to read, or at the
    /// door for the time, may.
    pub(crate) fn tend_durable(&mut self, now_us: u64, out: &mut Output) {
        if !self.durable.journal.is_on() {
            return;
        }
        self.open_doors(now_us, out);
        self.let_go();
        self.let_ask();
        let minute = self.kept_minute();
        if let Some(keys) = self.durable.seen.prune(minute) {
            self.durable.journal.remove_range(Table::Seen, keys);
        }
    }

    /// Hands out what is to be kept, in order. At the end of each step and of each tick.
    pub(crate) fn hand_out_journal(&mut self, out: &mut Output) {
        self.counters.store_changes += self.durable.journal.hand_out(out) as u64;
    }

    /// A connection that waits at the door is gone.
    pub(crate) fn forget_early(&mut self, conn: ConnId) {
        self.durable.early.retain(|attach| attach.conn != conn);
    }

    fn open_doors(&mut self, now_us: u64, out: &mut Output) {
        if self.durable.opening.is_some_and(|change| self.durable.journal.has(change)) {
            self.durable.opening = None;
        }
        if !self.durable.is_opening() {
            for attach in std::mem::take(&mut self.durable.early) {
                self.attach(*attach, now_us, out);
            }
        }
    }
}

impl Durable {
    /// Is this life's epoch not on stable storage yet, or the time not known? Who were let in before
    /// could have the name of a session that is given again after a crash; and what they published
    /// would look decades old, and be the first to go (P5, P7).
    pub(crate) fn is_opening(&self) -> bool {
        self.opening.is_some()
            || (self.journal.is_on() && !self.clock.is_set() && !planted::is(Bug::TimeUnknown))
    }

    /// Lets a connection wait at the door; gives it back if too many do.
    pub(crate) fn wait_at_door(&mut self, attach: Box<Attach>) -> Result<(), Box<Attach>> {
        if self.early.len() >= EARLY_MAX {
            return Err(attach);
        }
        self.early.push_back(attach);
        Ok(())
    }

    pub(crate) fn add_to(&self, sum: &mut Checksum) {
        self.journal.add_to(sum);
        self.pending.add_to(sum);
        self.seen.add_to(sum);
        self.reads.add_to(sum);
        self.recalls.add_to(sum);
        sum.add(self.health as u8).add(self.clock.base_ms).add(self.clock.base.0);
        if let Some(missed) = self.missed {
            sum.add(missed.first.0).add(missed.last.0);
        }
        for attach in &self.early {
            sum.add(attach.conn.0);
        }
        sum.add(self.opening.unwrap_or(0));
        self.held.add_to(sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_goes_by_ticks_and_never_behind_an_earlier_life() {
        let rate = TickRate::new(20).expect("within limits");
        let mut clock = Clock::not_before(5_000);
        assert_eq!(clock.ms(Tick(0), rate), 5_000);
        clock.begin(Tick(1), rate, 9_000);
        clock.begin(Tick(2), rate, 1_000_000);
        assert_eq!(clock.ms(Tick(21), rate), 10_000);
        let mut back = Clock::not_before(5_000);
        back.begin(Tick(1), rate, 10);
        assert_eq!(back.ms(Tick(3), rate), 5_150);
    }
}
