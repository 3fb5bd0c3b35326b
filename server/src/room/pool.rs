//! The worker pool: threads that give each room its time, at its deadline.

use super::cores::Cores;
use super::directory::Lender;
use super::{Polled, Room};
use crate::store::Bell;
use starling_protocol::units::Nanos;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Names a room within its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomId(pub u64);

/// Monotonic time since the process chose its origin.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since its start.
    #[must_use]
    pub fn now(&self) -> Nanos {
        Nanos(self.0.elapsed().as_nanos() as u64)
    }
}

/// Threads that run rooms, earliest deadline first.
pub struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    clock: Clock,
    cores: Cores,
    state: Mutex<State>,
    changed: Condvar,
    /// Tells the Front that a batch waits.
    published: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct State {
    rooms: BTreeMap<RoomId, Slot>,
    due: BinaryHeap<Reverse<(Nanos, RoomId)>>,
    next_id: u64,
    stopping: bool,
}

struct Slot {
    /// `None` while a worker has it.
    room: Option<Box<Room>>,
    /// The entry of the heap that counts; older ones are skipped.
    due: Nanos,
    /// Someone rang while a worker had it.
    rung: bool,
    /// Taken out of the pool once the worker gives it back.
    retired: bool,
    /// Its world broke down: a bug of ours that must not take the other worlds with it.
    broken: bool,
}

impl Pool {
    /// `threads` workers on `clock`, which lend `cores` to long ticks; `published` is called after
    /// a room published a batch.
    #[must_use]
    pub fn start(
        threads: usize,
        cores: Cores,
        clock: Clock,
        published: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            clock,
            cores,
            state: Mutex::default(),
            changed: Condvar::new(),
            published: Box::new(published),
        });
        let threads = (0..threads.max(1))
            .map(|i| {
                let shared = Arc::clone(&shared);
                std::thread::Builder::new()
                    .name(format!("room-{i}"))
                    .spawn(move || shared.work())
                    .expect("the operating system grants a thread at start")
            })
            .collect();
        Self { shared, threads }
    }

    /// How many threads there are.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads.len()
    }
}

impl Lender for Pool {
    fn add(&mut self, room: Room) -> RoomId {
        let mut state = self.shared.lock();
        let id = RoomId(state.next_id);
        state.next_id += 1;
        let due = room.next_due();
        let room = Some(Box::new(room));
        state.rooms.insert(id, Slot { room, due, rung: false, retired: false, broken: false });
        state.due.push(Reverse((due, id)));
        self.shared.changed.notify_one();
        id
    }

    fn remove(&mut self, id: RoomId) {
        let mut state = self.shared.lock();
        match state.rooms.get_mut(&id) {
            Some(slot) if slot.room.is_none() && !slot.broken => slot.retired = true,
            Some(_) => drop(state.rooms.remove(&id)),
            None => {}
        }
    }

    fn ring(&mut self, id: RoomId) {
        self.shared.ring(id);
    }

    fn is_broken(&self, id: RoomId) -> bool {
        self.shared.lock().rooms.get(&id).is_some_and(|slot| slot.broken)
    }

    fn bell(&self, id: RoomId) -> Bell {
        // A room holds a pen, its desk holds the bell: the circle ends here.
        let shared = Arc::downgrade(&self.shared);
        Arc::new(move || {
            if let Some(shared) = shared.upgrade() {
                shared.ring(id);
            }
        })
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().stopping = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A worker that panicked has said so already; the others still end.
            drop(thread.join());
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self, id: RoomId) {
        let mut state = self.lock();
        let Some(slot) = state.rooms.get_mut(&id) else { return };
        let Some(room) = &slot.room else {
            slot.rung = true;
            return;
        };
        let due = room.next_due();
        if due < slot.due {
            slot.due = due;
            state.due.push(Reverse((due, id)));
            self.changed.notify_one();
        }
    }

    fn work(&self) {
        while let Some((id, mut room)) = self.next_room() {
            let clock = self.clock;
            let poll = || room.poll(clock.now(), &move || clock.now(), &self.cores);
            // The room is not used again after a panic, so what it left half-done is not seen.
            match catch_unwind(AssertUnwindSafe(poll)) {
                Ok(Polled { published, next }) => {
                    self.give_back(id, room, next);
                    if published {
                        (self.published)();
                    }
                }
                Err(_) => {
                    tracing::error!(room = id.0, "a world broke down");
                    self.break_down(id);
                    (self.published)();
                }
            }
        }
    }

    fn break_down(&self, id: RoomId) {
        let mut state = self.lock();
        match state.rooms.get_mut(&id) {
            Some(slot) if slot.retired => drop(state.rooms.remove(&id)),
            Some(slot) => slot.broken = true,
            None => {}
        }
    }

    /// Waits for the earliest deadline and takes its room; `None` when the pool ends.
    fn next_room(&self) -> Option<(RoomId, Box<Room>)> {
        let mut state = self.lock();
        loop {
            if state.stopping {
                return None;
            }
            let now = self.clock.now();
            let wait = match state.due.peek() {
                Some(Reverse((due, _))) if *due <= now => {
                    if let Some(found) = state.take_due() {
                        return Some(found);
                    }
                    continue;
                }
                Some(Reverse((due, _))) => Duration::from_nanos(due.since(now)),
                None => Duration::from_secs(1),
            };
            state =
                self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn give_back(&self, id: RoomId, room: Box<Room>, next: Nanos) {
        let mut state = self.lock();
        let Some(slot) = state.rooms.get_mut(&id) else { return };
        if slot.retired {
            state.rooms.remove(&id);
            return;
        }
        let due = if std::mem::take(&mut slot.rung) { room.next_due() } else { next };
        slot.room = Some(room);
        slot.due = due;
        state.due.push(Reverse((due, id)));
        self.changed.notify_one();
    }
}

impl State {
    /// Takes the room of the heap's first entry, unless the entry is out of date.
    fn take_due(&mut self) -> Option<(RoomId, Box<Room>)> {
        let Reverse((due, id)) = self.due.pop()?;
        let slot = self.rooms.get_mut(&id)?;
        if slot.due != due {
            return None;
        }
        Some((id, slot.room.take()?))
    }
}
