//! Where rooms hand in what they want kept, and where the keeper takes it from.
//!
//! Nobody holds the lock while a disk works, so that a room never waits for one.

use super::health::Pulse;
use super::pen::Pen;
use super::{BYTES_MAX, CHANGES_MAX, Group, Grouping, QUERIES_MAX};
use crate::exchange::Mailbox;
use crate::room::gauge::Histogram;
use starling_protocol::units::Nanos;
use starling_world::journal::{Change, Health, News, Query, RowRange};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A full disk is tried again so often.
const RETRY_NS: u64 = 250 * Nanos::MILLISECOND;
/// Changes in one commit, but for one group that alone has more.
const COMMIT_CHANGES_MAX: usize = 16_384;
/// Bytes in one commit, likewise.
const COMMIT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Questions that are answered between two commits.
const QUERIES_AT_ONCE: usize = 64;

/// Names one life of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LifeId(u64);

/// Rings for a room that a command waits.
pub type Bell = Arc<dyn Fn() + Send + Sync>;

/// What waits for the store, between all rooms and the one keeper.
pub struct Desk {
    grouping: Grouping,
    queue: Mutex<Queue>,
    /// Something was handed in, or it is time to stop.
    changed: Condvar,
    /// The keeper has nothing in its hands.
    idle: Condvar,
}

#[derive(Default)]
struct Queue {
    lives: BTreeMap<LifeId, Life>,
    next_life: u64,
    groups: VecDeque<Waiting>,
    questions: VecDeque<Question>,
    /// Of the groups that wait and of those in the keeper's hands.
    changes: usize,
    bytes: usize,
    pulse: Pulse,
    /// Not before then, where the disk is full.
    retry_at: Nanos,
    /// Whose groups the keeper has in its hands.
    in_hand: Vec<Arc<str>>,
    /// The lives whose groups were taken and may come back: those that no other has followed.
    taken: BTreeSet<(LifeId, Arc<str>)>,
    stopping: bool,
    totals: Totals,
}

/// One life of a world.
struct Life {
    world: Arc<str>,
    mailbox: Arc<Mailbox>,
    bell: Option<Bell>,
    committed: u64,
}

struct Waiting {
    life: LifeId,
    at: Nanos,
    bytes: usize,
    group: Group,
}

/// A query and whose it is.
pub(super) struct Question {
    pub(super) life: LifeId,
    pub(super) world: Arc<str>,
    pub(super) ticket: u64,
    pub(super) rows: RowRange,
}

/// Groups on their way to the store.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) groups: Vec<Group>,
    slips: Vec<Slip>,
}

impl Batch {
    pub(super) fn changes(&self) -> usize {
        self.groups.iter().map(|group| group.changes.len()).sum()
    }
}

/// What is remembered of a group on its way.
#[derive(Clone, Copy)]
struct Slip {
    life: LifeId,
    at: Nanos,
    bytes: usize,
}

#[derive(Clone, Default)]
struct Totals {
    commits: u64,
    changes: u64,
    bytes: u64,
    queries: u64,
    lost: u64,
    times_full: u64,
    durations: Histogram,
}

/// What a desk counts, in total since its start, and what waits.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// How the store is.
    pub health: Health,
    /// Changes that wait, the ones being written among them.
    pub waiting_changes: usize,
    /// Bytes of those.
    pub waiting_bytes: usize,
    /// Questions that wait.
    pub waiting_queries: usize,
    /// Commits on stable storage.
    pub commits: u64,
    /// Changes in them.
    pub changes: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Questions answered.
    pub queries: u64,
    /// Changes that will not be written, because the store failed.
    pub lost: u64,
    /// Commits that found no room on the disk.
    pub times_full: u64,
    /// How long commits took.
    pub durations: Histogram,
}

impl Desk {
    /// An empty desk.
    #[must_use]
    pub fn new(grouping: Grouping) -> Self {
        Self { grouping, queue: Mutex::default(), changed: Condvar::new(), idle: Condvar::new() }
    }

    /// A world begins. What an earlier life of it handed in is on stable storage when this
    /// returns, or will never be: none of it was told as committed.
    #[must_use]
    pub fn begin(self: &Arc<Self>, world: &str, mailbox: &Arc<Mailbox>) -> Pen {
        let mut queue = self.lock();
        while queue.in_hand.iter().any(|name| **name == *world) {
            queue = self.idle.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.forget(world);
        let life = LifeId(queue.next_life);
        queue.next_life += 1;
        let health = queue.pulse.told();
        let (world, mailbox) = (Arc::from(world), Arc::clone(mailbox));
        if health != Health::Well {
            mailbox.inbox().news(News::Health(health));
        }
        queue.lives.insert(life, Life { world, mailbox, bell: None, committed: 0 });
        let bells = queue.look();
        drop(queue);
        bells.iter().for_each(|bell| bell());
        Pen::new(Arc::clone(self), life)
    }

    /// Rings this bell whenever there is news for that life.
    pub(crate) fn hang(&self, life: LifeId, bell: Bell) {
        if let Some(life) = self.lock().lives.get_mut(&life) {
            life.bell = Some(bell);
        }
    }

    /// A life is over: what it handed in is written still.
    pub(super) fn end(&self, life: LifeId) {
        self.lock().lives.remove(&life);
    }

    pub(super) fn submit(
        &self,
        life: LifeId,
        now: Nanos,
        changes: Vec<Change>,
        queries: &mut Vec<Query>,
    ) {
        let mut queue = self.lock();
        let due = queue.next_due(self.grouping);
        // A life that another has followed has nothing to say any more.
        let Some(world) = queue.lives.get(&life).map(|life| Arc::clone(&life.world)) else {
            queries.clear();
            return;
        };
        queue.questions.extend(queries.drain(..).map(|query| Question {
            life,
            world: Arc::clone(&world),
            ticket: query.ticket,
            rows: query.rows,
        }));
        if queue.pulse.has_failed() {
            queue.totals.lost += changes.len() as u64;
        } else if !changes.is_empty() {
            let bytes = changes.iter().map(Change::bytes).sum();
            queue.changes += changes.len();
            queue.bytes += bytes;
            let group = Group { world, changes };
            queue.groups.push_back(Waiting { life, at: now, bytes, group });
        }
        let bells = queue.look();
        let sooner = queue.next_due(self.grouping).is_some_and(|at| due.is_none_or(|due| at < due));
        drop(queue);
        if sooner {
            self.changed.notify_one();
        }
        bells.iter().for_each(|bell| bell());
    }

    pub(super) fn is_crowded(&self) -> bool {
        let queue = self.lock();
        queue.changes > CHANGES_MAX
            || queue.bytes > BYTES_MAX
            || queue.questions.len() > QUERIES_MAX
    }

    /// Takes some questions, the oldest first.
    pub(super) fn take_questions(&self) -> Vec<Question> {
        let mut queue = self.lock();
        let some = queue.questions.len().min(QUERIES_AT_ONCE);
        queue.totals.queries += some as u64;
        queue.questions.drain(..some).collect()
    }

    /// Takes what a commit is due for.
    pub(super) fn take_groups(&self, now: Nanos) -> Option<Batch> {
        let mut queue = self.lock();
        queue.commit_at(self.grouping).filter(|at| *at <= now)?;
        Some(queue.take())
    }

    /// The keeper has nothing in its hands any more, however it went.
    pub(super) fn settled(&self) {
        self.lock().in_hand.clear();
        self.idle.notify_all();
    }

    /// A batch is on stable storage. Says whose news that is.
    pub(super) fn written(&self, batch: &Batch, took_ns: u64) -> Vec<(LifeId, News)> {
        let mut queue = self.lock();
        let news = queue.written(batch, took_ns);
        let bells = queue.look();
        drop(queue);
        bells.iter().for_each(|bell| bell());
        news
    }

    /// There was no room: the batch waits on, in front, but for lives that another has followed,
    /// which began without what is in it.
    pub(super) fn put_back(&self, batch: Batch, now: Nanos) {
        let mut queue = self.lock();
        let taken = std::mem::take(&mut queue.taken);
        for (group, slip) in batch.groups.into_iter().zip(batch.slips).rev() {
            let Slip { life, at, bytes } = slip;
            if taken.contains(&(life, Arc::clone(&group.world))) {
                queue.groups.push_front(Waiting { life, at, bytes, group });
            } else {
                queue.changes -= group.changes.len();
                queue.bytes -= bytes;
            }
        }
        queue.totals.times_full += 1;
        queue.retry_at = now + RETRY_NS;
        let full = queue.changes > 0; // else nobody would try again
        queue.pulse.set_full(full);
        let bells = queue.look();
        drop(queue);
        bells.iter().for_each(|bell| bell());
    }

    /// Nothing is written any more: what waits is given up, and every world told.
    pub(super) fn fail(&self) {
        let mut queue = self.lock();
        queue.pulse.fail();
        queue.totals.lost += queue.changes as u64;
        queue.groups.clear();
        queue.in_hand.clear();
        queue.taken.clear();
        (queue.changes, queue.bytes) = (0, 0);
        let bells = queue.look();
        drop(queue);
        self.idle.notify_all();
        bells.iter().for_each(|bell| bell());
    }

    /// News for some lives.
    pub(super) fn tell(&self, news: impl Iterator<Item = (LifeId, News)>) {
        let queue = self.lock();
        let mut bells = Vec::new();
        for (life, news) in news {
            if let Some(life) = queue.lives.get(&life) {
                life.mailbox.inbox().news(news);
                bells.extend(life.bell.clone());
            }
        }
        drop(queue);
        bells.iter().for_each(|bell| bell());
    }

    /// When there is something to do next.
    pub(super) fn next_due(&self) -> Option<Nanos> {
        self.lock().next_due(self.grouping)
    }

    /// Waits until something is due, or it is time to stop.
    pub(super) fn wait(&self, now: impl Fn() -> Nanos) {
        let mut queue = self.lock();
        while !queue.stopping {
            let due = queue.next_due(self.grouping);
            let left = due.map_or(Nanos::SECOND, |due| due.since(now()));
            if left == 0 {
                return;
            }
            let waited = self.changed.wait_timeout(queue, Duration::from_nanos(left));
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Everything that waits is due now, and then it is over.
    pub(super) fn stop(&self) {
        self.lock().stopping = true;
        self.changed.notify_all();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.lock().stopping
    }

    /// Changes that wait or are being written.
    pub(super) fn waiting(&self) -> usize {
        self.lock().changes
    }

    /// What it counted, and what waits.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let queue = self.lock();
        let Totals { commits, changes, bytes, queries, lost, times_full, durations } =
            queue.totals.clone();
        Figures {
            health: queue.pulse.told(),
            waiting_changes: queue.changes,
            waiting_bytes: queue.bytes,
            waiting_queries: queue.questions.len(),
            commits,
            changes,
            bytes,
            queries,
            lost,
            times_full,
            durations,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("figures", &self.figures()).finish_non_exhaustive()
    }
}

impl Queue {
    /// Takes out what earlier lives of a world left behind.
    fn forget(&mut self, world: &str) {
        self.lives.retain(|_, life| *life.world != *world);
        self.taken.retain(|(_, taken)| **taken != *world);
        self.questions.retain(|question| *question.world != *world);
        let (changes, bytes) = (&mut self.changes, &mut self.bytes);
        self.groups.retain(|waiting| {
            let stays = *waiting.group.world != *world;
            if !stays {
                *changes -= waiting.group.changes.len();
                *bytes -= waiting.bytes;
            }
            stays
        });
        if self.changes == 0 {
            // Nobody would try again: the next one to write finds out.
            self.pulse.set_full(false);
        }
    }

    /// Tells every life how the store is, where that is new; returns whom to wake.
    fn look(&mut self) -> Vec<Bell> {
        let Some(health) = self.pulse.look(self.changes, self.bytes) else { return Vec::new() };
        let lives = self.lives.values();
        lives
            .filter_map(|life| {
                life.mailbox.inbox().news(News::Health(health));
                life.bell.clone()
            })
            .collect()
    }

    fn next_due(&self, grouping: Grouping) -> Option<Nanos> {
        if self.questions.is_empty() { self.commit_at(grouping) } else { Some(Nanos(0)) }
    }

    /// When what waits is to be written.
    fn commit_at(&self, grouping: Grouping) -> Option<Nanos> {
        let oldest = self.groups.front()?;
        Some(match self {
            Self { stopping: true, .. } => Nanos(0),
            _ if self.pulse.is_full() => self.retry_at,
            _ if self.changes >= grouping.changes => Nanos(0),
            _ => oldest.at + grouping.wait_ns,
        })
    }

    /// Whole groups, as many as one commit may have.
    fn take(&mut self) -> Batch {
        let mut batch = Batch::default();
        let (mut changes, mut bytes) = (0, 0);
        while let Some(next) = self.groups.front() {
            changes += next.group.changes.len();
            bytes += next.bytes;
            let fits = changes <= COMMIT_CHANGES_MAX && bytes <= COMMIT_BYTES_MAX;
            if !fits && !batch.groups.is_empty() {
                break;
            }
            let Waiting { life, at, bytes, group } =
                self.groups.pop_front().expect("one was seen in front");
            batch.slips.push(Slip { life, at, bytes });
            self.in_hand.push(Arc::clone(&group.world));
            self.taken.insert((life, Arc::clone(&group.world)));
            batch.groups.push(group);
        }
        batch
    }

    fn written(&mut self, batch: &Batch, took_ns: u64) -> Vec<(LifeId, News)> {
        self.pulse.set_full(false);
        self.taken.clear();
        self.totals.commits += 1;
        self.totals.durations.record(took_ns);
        let mut news = BTreeMap::new();
        for (group, slip) in batch.groups.iter().zip(&batch.slips) {
            let changes = group.changes.len();
            self.changes -= changes;
            self.bytes -= slip.bytes;
            self.totals.changes += changes as u64;
            self.totals.bytes += slip.bytes as u64;
            if let Some(life) = self.lives.get_mut(&slip.life) {
                life.committed += changes as u64;
                news.insert(slip.life, News::Committed { changes: life.committed });
            }
        }
        news.into_iter().collect()
    }
}
