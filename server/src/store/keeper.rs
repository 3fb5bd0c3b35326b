//! Writes what waits and answers what is asked, one thing after another.

use super::desk::{Batch, Desk, LifeId, Question};
use super::{Store, StoreError};
use starling_protocol::planted::{self, Bug};
use starling_protocol::units::Nanos;
use starling_world::journal::{News, Rows};
use std::sync::Arc;

/// How many changes share a commit, and for how long they wait for each other.
///
/// While a commit is under way the next one gathers by itself; the wait counts when there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grouping {
    /// A change waits so long for others, in nanoseconds.
    pub wait_ns: u64,
    /// With so many nobody waits any longer.
    pub changes: usize,
}

impl Default for Grouping {
    fn default() -> Self {
        Self { wait_ns: 2 * Nanos::MILLISECOND, changes: 256 }
    }
}

/// The one who writes. A stepped object: whoever owns it calls [`Keeper::poll`].
pub struct Keeper {
    store: Arc<dyn Store>,
    desk: Arc<Desk>,
    /// What is known, but told no sooner than `told_at`.
    done: Option<Done>,
    answers: Vec<(LifeId, News)>,
    told_at: Nanos,
}

/// How a commit ended.
enum Done {
    Written { batch: Batch, took_ns: u64 },
    NoRoom(Batch),
    Failed,
}

impl Keeper {
    /// A keeper of this store, with an empty desk.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, grouping: Grouping) -> Self {
        let desk = Arc::new(Desk::new(grouping));
        Self { store, desk, done: None, answers: Vec::new(), told_at: Nanos(0) }
    }

    /// Where rooms hand in.
    #[must_use]
    pub const fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    /// What it keeps.
    #[must_use]
    pub const fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Does what is due and says when to call again, at the latest, unless something is handed in.
    /// `clock` is read when a piece of work is done: its news are told by a later call, not before
    /// that time. A simulation gives one that says how long its disk would have taken.
    pub fn poll(&mut self, now: Nanos, clock: &dyn Fn() -> Nanos) -> Option<Nanos> {
        if now < self.told_at {
            return Some(self.told_at);
        }
        self.tell(now);
        for question in self.desk.take_questions() {
            self.answer(question);
        }
        if let Some(batch) = self.desk.take_groups(now) {
            self.commit(batch, now, clock);
        }
        let done = if self.has_news() { clock() } else { now };
        self.told_at = if planted::is(Bug::NewsEarly) { now } else { done };
        self.next_due()
    }

    /// When there is work next.
    #[must_use]
    pub fn next_due(&self) -> Option<Nanos> {
        let told = self.has_news().then_some(self.told_at);
        told.or_else(|| self.desk.next_due().map(|due| due.max(self.told_at)))
    }

    /// Has it something to tell?
    pub(super) const fn has_news(&self) -> bool {
        self.done.is_some() || !self.answers.is_empty()
    }

    /// The end: writes all that waits, whatever is due. Says how many changes found no room.
    pub fn finish(&mut self, now: Nanos, clock: &dyn Fn() -> Nanos) -> usize {
        self.desk.stop();
        loop {
            self.poll(now.max(self.told_at), clock);
            let stuck = matches!(self.done, Some(Done::NoRoom(_)));
            if stuck || self.desk.waiting() == 0 {
                self.tell(now);
                return self.desk.waiting();
            }
        }
    }

    fn tell(&mut self, now: Nanos) {
        let committed = match self.done.take() {
            Some(Done::Written { batch, took_ns }) => self.desk.written(&batch, took_ns),
            Some(Done::NoRoom(batch)) => {
                self.desk.put_back(batch, now);
                Vec::new()
            }
            Some(Done::Failed) => {
                self.desk.fail();
                Vec::new()
            }
            None => Vec::new(),
        };
        self.desk.tell(committed.into_iter().chain(self.answers.drain(..)));
    }

    fn commit(&mut self, batch: Batch, now: Nanos, clock: &dyn Fn() -> Nanos) {
        let result = self.store.commit(&batch.groups);
        self.desk.settled();
        let changes = batch.changes();
        self.done = Some(match result {
            Ok(()) => Done::Written { batch, took_ns: clock().since(now) },
            Err(why @ StoreError::Full) => {
                tracing::error!(%why, changes, "store");
                Done::NoRoom(batch)
            }
            // Whatever it was, trying again could at best hide it: what a failed sync left behind
            // nobody knows, and a second one that succeeds says nothing about the first.
            Err(why) => {
                tracing::error!(%why, changes, "store");
                Done::Failed
            }
        });
    }

    fn answer(&mut self, question: Question) {
        let Question { life, world, ticket, rows } = question;
        let rows = self.store.read(&world, &rows).unwrap_or_else(|why| {
            tracing::error!(%why, %world, "store");
            let first = if rows.backwards { rows.keys.end } else { rows.keys.start };
            Rows { damaged: Some(first), ..Rows::default() }
        });
        self.answers.push((life, News::Found { ticket, rows }));
    }
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("desk", &self.desk).finish_non_exhaustive()
    }
}
