//! The disk under the server's store, and what is left of it when a process dies or the power goes.

use super::dice::Dice;
use super::options::{Knob, Options};
use sim_disk::{Dice as DiskDice, Moment, SimDisk};
use starling_protocol::units::Nanos;
use starling_server::stepped::Takes;
use starling_server::store::{Database, Store, StoreError};
use starling_world::journal::{KEY_BYTES_MAX, RowRange, Table};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[expect(dead_code, reason = "the tests of the store use all of it")]
#[path = "../../../server/tests/store/sim_disk.rs"]
mod sim_disk;

/// A commit that is quick takes so long.
const QUICK_NS: u64 = Nanos::MILLISECOND;
/// Bytes of a payload of the simulation.
const PAYLOAD_BYTES: usize = 8;

/// How a life of the server's process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The process dies: what it wrote is there.
    Killed,
    /// The power goes: what was not synced is lost, torn or reordered.
    PowerLost,
    /// It has written all that waited.
    Drained,
}

/// The server's disk.
pub(crate) struct Stable {
    disk: SimDisk,
    dice: Dice,
    slowest_ns: Arc<AtomicU64>,
    /// A moment within the commit that was made last, as it would be found afterwards.
    within: Arc<Mutex<Within>>,
    /// The commit that was made last is at work until then, by the server's clock.
    busy_until: Nanos,
    /// How long the store's work took since the server was polled.
    took_ns: Arc<AtomicU64>,
    ops: u64,
}

#[derive(Default)]
struct Within {
    ending: Option<Ending>,
    ops: u64,
    found: Option<SimDisk>,
}

impl Stable {
    /// An empty one, where the options have a store.
    pub(crate) fn of(options: &Options) -> Option<Self> {
        (options.get(Knob::Store) > 0).then(|| Self {
            disk: SimDisk::default(),
            dice: Dice::lane(options.seed, 6),
            slowest_ns: Arc::new(AtomicU64::new(
                u64::from(options.get(Knob::SyncMs)) * Nanos::MILLISECOND,
            )),
            within: Arc::default(),
            busy_until: Nanos(0),
            took_ns: Arc::default(),
            ops: 0,
        })
    }

    /// The store that ships, on what the disk holds.
    pub(crate) fn store(&self) -> Result<Arc<dyn Store>, StoreError> {
        Ok(Arc::new(Database::on(Arc::new(self.disk.clone()), false)?))
    }

    /// How long the store's work takes.
    pub(crate) fn takes(&mut self) -> Takes {
        let (dice, slowest_ns) = (Mutex::new(self.dice.fork(1)), Arc::clone(&self.slowest_ns));
        let took_ns = Arc::clone(&self.took_ns);
        Box::new(move || {
            let mut dice = dice.lock().unwrap_or_else(PoisonError::into_inner);
            let (slow, slowest_ns) = (dice.chance(0.2), slowest_ns.load(Ordering::Relaxed));
            let takes_ns = QUICK_NS + if slow { dice.below(slowest_ns + 1) } else { 0 };
            took_ns.store(takes_ns, Ordering::Relaxed);
            takes_ns
        })
    }

    /// From now on commits are quick.
    pub(crate) fn settle(&self) {
        self.slowest_ns.store(0, Ordering::Relaxed);
    }

    /// This life ends in this way, and soon: from now on a moment of each commit is kept.
    pub(crate) fn expect(&mut self, ending: Ending) {
        if lock(&self.within).ending.replace(ending).is_some() {
            return;
        }
        let (within, mut dice) = (Arc::clone(&self.within), self.dice.fork(2));
        self.disk.watch(Box::new(move |moment| {
            let mut within = lock(&within);
            within.ops += 1;
            // Each moment of a commit is as likely as any other.
            if dice.below(within.ops) == 0 {
                let ending = within.ending.unwrap_or(Ending::Killed);
                within.found = Some(left(moment, ending, &mut dice));
            }
        }));
    }

    /// The server is about to be polled.
    pub(crate) fn before_poll(&mut self) {
        lock(&self.within).ops = 0;
        self.ops = self.disk.ops();
    }

    /// It was polled at this time of its clock: if it wrote, the disk is busy for as long as that
    /// took, whatever the server says meanwhile.
    pub(crate) fn after_poll(&mut self, now: Nanos) {
        if self.disk.ops() > self.ops {
            self.busy_until = now + self.took_ns.load(Ordering::Relaxed);
        }
    }

    /// A life ends at this time of the server's clock, and the disk is what it left.
    pub(crate) fn end(&mut self, now: Nanos, ending: Ending) {
        let within = std::mem::take(&mut *lock(&self.within)).found;
        let amid = within.filter(|_| now < self.busy_until && ending != Ending::Drained);
        let dice = &mut self.dice;
        let left = amid.unwrap_or_else(|| self.disk.now(|moment| left(moment, ending, dice)));
        self.disk = left;
        self.within = Arc::default();
        (self.busy_until, self.ops) = (Nanos(0), 0);
    }
}

fn left(moment: &Moment<'_>, ending: Ending, dice: &mut Dice) -> SimDisk {
    match ending {
        Ending::PowerLost => moment.crashed(&mut DiskDice(dice.next())),
        Ending::Killed | Ending::Drained => moment.orphaned(),
    }
}

fn lock(within: &Mutex<Within>) -> MutexGuard<'_, Within> {
    within.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What stands in the rows of events, to look for payloads. It knows nothing of how rows are made.
#[derive(Debug)]
pub(crate) struct Kept(Vec<[u8; PAYLOAD_BYTES]>);

impl Kept {
    /// All events of the world that a store has under this name.
    pub(crate) fn of(world: &str, store: &dyn Store) -> Result<Self, String> {
        let asked = RowRange {
            table: Table::Event,
            keys: Vec::new()..vec![0xff; KEY_BYTES_MAX],
            rows_max: usize::MAX,
            bytes_max: usize::MAX,
            backwards: false,
        };
        let found = store.read(world, &asked).map_err(|why| why.to_string())?;
        if found.more || found.damaged.is_some() {
            return Err(format!("rows after {:?} cannot be read", found.damaged));
        }
        let windows = |(_, value): &(_, Vec<u8>)| value.windows(PAYLOAD_BYTES).map(whole).collect();
        let mut all: Vec<_> =
            found.rows.iter().flat_map(|row| -> Vec<_> { windows(row) }).collect();
        all.sort_unstable();
        Ok(Self(all))
    }

    /// How often this payload is there.
    pub(crate) fn count(&self, payload: [u8; PAYLOAD_BYTES]) -> usize {
        let from = self.0.partition_point(|other| *other < payload);
        self.0[from..].iter().take_while(|other| **other == payload).count()
    }
}

fn whole(window: &[u8]) -> [u8; PAYLOAD_BYTES] {
    window.try_into().expect("windows are of this length")
}
