//! A disk that loses what was not synced: some of it, in pieces and in any order. The simulation of
//! the whole system has it under its store, too.

use starling_server::store::Disk;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

/// Writes are torn at these borders.
const SECTOR_BYTES: usize = 512;

/// Clones are the same disk.
#[derive(Clone, Default)]
pub(crate) struct SimDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// What a read sees.
    seen: Vec<u8>,
    /// What is there after a crash for sure.
    durable: Vec<u8>,
    /// What may be there, too.
    pending: Vec<Op>,
    /// Writes, changes of length and syncs so far.
    ops: u64,
    full: bool,
    /// It says that it synced and did not.
    lies: bool,
    /// The operation that fails, counted from now.
    fails_in: Option<u64>,
    /// Looks at the disk before each operation.
    watcher: Option<Watcher>,
}

/// Sees the disk as it is before each operation.
pub(crate) type Watcher = Box<dyn FnMut(&Moment<'_>) + Send>;

enum Op {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

/// The moment before an operation: the power may go now.
pub(crate) struct Moment<'a> {
    seen: &'a [u8],
    durable: &'a [u8],
    pending: &'a [Op],
}

/// Chance from a seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides as u64) as usize
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.roll(at + 1));
        }
    }
}

impl Moment<'_> {
    /// What the disk holds when the process dies and the machine lives on: all that was written.
    pub(crate) fn orphaned(&self) -> SimDisk {
        SimDisk::holding(self.seen.to_vec())
    }

    /// What the disk may hold when the power comes back. What is lost differs from crash to
    /// crash: everything, nothing, or any part of what was pending.
    pub(crate) fn crashed(&self, dice: &mut Dice) -> SimDisk {
        let mut image = self.durable.to_vec();
        let kept_of_ten = [0, 10, 2, 5, 8][dice.roll(5)];
        let keeps = |dice: &mut Dice| dice.roll(10) < kept_of_ten;
        let len = self.pending.iter().rev().find_map(|op| match op {
            Op::SetLen(len) => Some(*len),
            Op::Write(..) => None,
        });
        if let Some(len) = len.filter(|_| keeps(dice)) {
            image.resize(len, 0);
        }
        let mut writes: Vec<_> = self.pending.iter().filter_map(Op::write).collect();
        if dice.roll(2) == 0 {
            dice.shuffle(&mut writes);
        }
        for (offset, bytes) in writes {
            if dice.roll(3) == 0 {
                // Torn: each sector for itself, the first and the last perhaps within.
                for (at, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
                    let some =
                        if dice.roll(8) == 0 { dice.roll(sector.len()) } else { sector.len() };
                    if keeps(dice) {
                        lay(&mut image, offset + at * SECTOR_BYTES, &sector[..some]);
                    }
                }
            } else if keeps(dice) {
                lay(&mut image, offset, bytes);
            }
        }
        SimDisk::holding(image)
    }
}

impl Op {
    fn write(&self) -> Option<(usize, &[u8])> {
        match self {
            Self::Write(offset, bytes) => Some((*offset, bytes)),
            Self::SetLen(_) => None,
        }
    }
}

/// What lies beyond the length is lost with it.
fn lay(image: &mut [u8], offset: usize, bytes: &[u8]) {
    let room = image.len().saturating_sub(offset).min(bytes.len());
    if room > 0 {
        image[offset..offset + room].copy_from_slice(&bytes[..room]);
    }
}

impl SimDisk {
    pub(crate) fn holding(image: Vec<u8>) -> Self {
        let state = State { seen: image.clone(), durable: image, ..State::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    pub(crate) fn watch(&self, watcher: Watcher) {
        self.state().watcher = Some(watcher);
    }

    /// Looks at this moment.
    pub(crate) fn now<T>(&self, look: impl FnOnce(&Moment<'_>) -> T) -> T {
        look(&self.state().moment())
    }

    pub(crate) fn ops(&self) -> u64 {
        self.state().ops
    }

    /// From now on it syncs nothing and says that it did.
    pub(crate) fn lie(&self) {
        self.state().lies = true;
    }

    /// From now on it does not grow.
    pub(crate) fn set_full(&self, full: bool) {
        self.state().full = full;
    }

    /// The operation after so many others fails, once.
    pub(crate) fn fail_in(&self, ops: u64) {
        self.state().fails_in = Some(ops);
    }

    /// What is on stable storage.
    pub(crate) fn durable(&self) -> Vec<u8> {
        self.state().durable.clone()
    }

    /// Flips a bit wherever these bytes are. Says how often they were found.
    pub(crate) fn flip(&self, pattern: &[u8]) -> usize {
        let mut state = self.state();
        let found: Vec<_> =
            state.seen.windows(pattern.len()).enumerate().filter(|(_, w)| *w == pattern).collect();
        let found: Vec<_> = found.into_iter().map(|(at, _)| at + pattern.len() - 1).collect();
        for at in &found {
            state.seen[*at] ^= 4;
            state.durable[*at] = state.seen[*at];
        }
        found.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics within the disk")
    }

    /// One more operation: the watcher looks, and it may fail.
    fn begin(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        state.ops += 1;
        if let Some(mut watcher) = state.watcher.take() {
            watcher(&state.moment());
            state.watcher = Some(watcher);
        }
        match state.fails_in {
            Some(0) => {
                state.fails_in = None;
                return Err(io::Error::other("a fault made on demand"));
            }
            Some(left) => state.fails_in = Some(left - 1),
            None => {}
        }
        Ok(state)
    }
}

impl State {
    fn moment(&self) -> Moment<'_> {
        let Self { seen, durable, pending, .. } = self;
        Moment { seen, durable, pending }
    }
}

impl Disk for SimDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        let offset = usize::try_from(offset).expect("a small disk");
        let from = state.seen.get(offset..offset + out.len());
        out.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.begin()?;
        let len = usize::try_from(len).expect("a small disk");
        if state.full && len > state.seen.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.seen.resize(len, 0);
        state.pending.push(Op::SetLen(len));
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.begin()?;
        let offset = usize::try_from(offset).expect("a small disk");
        state.seen[offset..offset + bytes.len()].copy_from_slice(bytes);
        state.pending.push(Op::Write(offset, bytes.to_vec()));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.begin()?;
        if state.lies {
            return Ok(());
        }
        let State { seen, durable, pending, .. } = &mut *state;
        durable.resize(seen.len(), 0);
        for op in pending.drain(..) {
            if let Some((offset, bytes)) = op.write() {
                let end = durable.len().min(offset + bytes.len());
                if offset < end {
                    durable[offset..end].copy_from_slice(&seen[offset..end]);
                }
            }
        }
        Ok(())
    }

    fn room(&self) -> u64 {
        if self.state().full { 0 } else { u64::MAX }
    }
}
