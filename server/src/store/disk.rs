//! What a store on disk is written to: one run of bytes that can fail.

use super::StoreError;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One run of bytes. What was written may be lost, in parts and in any order, until a
/// [`Disk::sync`] after it has returned well.
pub trait Disk: Send + Sync {
    /// How many bytes there are.
    ///
    /// # Errors
    /// Whatever the disk says; likewise below.
    fn len(&self) -> io::Result<u64>;
    /// Fills `out` from `offset` on.
    ///
    /// # Errors
    /// Also where the bytes end before it is full.
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;
    /// Cuts, or appends zeros, for which there is room then.
    ///
    /// # Errors
    /// `StorageFull` where there is none.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Writes within the length.
    ///
    /// # Errors
    /// As above.
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Returns once all that was written before is on stable storage.
    ///
    /// # Errors
    /// What was written since the last good one may be lost, and nobody can tell.
    fn sync(&self) -> io::Result<()>;
    /// How many bytes it could take more, as far as it knows.
    fn room(&self) -> u64 {
        u64::MAX
    }
    /// Is there nothing in it?
    ///
    /// # Errors
    /// As [`Disk::len`].
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// A file that no other process writes to.
#[derive(Debug)]
pub struct FileDisk {
    file: File,
}

impl FileDisk {
    /// Opens the file, made where there is none, and locks it until this is dropped.
    ///
    /// # Errors
    /// [`StoreError::Locked`], or [`StoreError::Io`] with what the system says.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let disk = Self::locked(path)?;
        // The name of a new file is safe once its folder is.
        #[cfg(unix)]
        if let Some(folder) = path.parent() {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(StoreError::Io)?;
        }
        Ok(disk)
    }

    /// An empty file, whatever was there.
    ///
    /// # Errors
    /// As [`FileDisk::open`].
    pub fn anew(path: &Path) -> Result<Self, StoreError> {
        let disk = Self::locked(path)?;
        disk.file.set_len(0).map_err(StoreError::Io)?;
        Ok(disk)
    }

    fn locked(path: &Path) -> Result<Self, StoreError> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(StoreError::Io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::Locked(path.into())),
            Err(TryLockError::Error(why)) => return Err(StoreError::Io(why)),
        }
        Ok(Self { file })
    }
}

impl Disk for FileDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    #[cfg(unix)]
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, out, offset)
    }

    #[cfg(windows)]
    fn read(&self, mut offset: u64, mut out: &mut [u8]) -> io::Result<()> {
        while !out.is_empty() {
            match std::os::windows::fs::FileExt::seek_read(&self.file, out, offset)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => (offset, out) = (offset + read as u64, &mut out[read..]),
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        {
            // Room is taken before anything is written into it, so that a full disk is met here,
            // where nothing is half done, and not by a write.
            let old = self.len()?;
            if len > old {
                use rustix::fs::{FallocateFlags, fallocate};
                use rustix::io::Errno;
                match fallocate(&self.file, FallocateFlags::empty(), old, len - old) {
                    Err(Errno::OPNOTSUPP) | Ok(()) => {}
                    Err(why) => {
                        self.file.set_len(old)?;
                        return Err(why.into());
                    }
                }
            }
        }
        self.file.set_len(len)
    }

    #[cfg(unix)]
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(&self.file, bytes, offset)
    }

    #[cfg(windows)]
    fn write(&self, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let wrote = std::os::windows::fs::FileExt::seek_write(&self.file, bytes, offset)?;
            (offset, bytes) = (offset + wrote as u64, &bytes[wrote..]);
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    #[cfg(unix)]
    fn room(&self) -> u64 {
        rustix::fs::fstatvfs(&self.file)
            .map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

const BLOCK_BYTES: u64 = 4_096;

/// A disk that is read only, under writes that go nowhere: a store that may not write any more
/// is read through it, though opening a store takes writes.
pub(super) struct Overlay {
    disk: Arc<dyn Disk>,
    state: Mutex<Over>,
}

struct Over {
    len: u64,
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl Overlay {
    pub(super) fn over(disk: Arc<dyn Disk>) -> io::Result<Self> {
        let state = Mutex::new(Over { len: disk.len()?, blocks: BTreeMap::new() });
        Ok(Self { disk, state })
    }

    fn state(&self) -> MutexGuard<'_, Over> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the disk has in a block, and zeros where it has nothing.
    fn below(&self, block: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; BLOCK_BYTES as usize];
        let start = block * BLOCK_BYTES;
        let there = self.disk.len()?.saturating_sub(start).min(BLOCK_BYTES) as usize;
        self.disk.read(start, &mut bytes[..there])?;
        Ok(bytes)
    }
}

/// Cuts a run of bytes into (block, first byte in it, bytes of the run).
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let place = offset + at as u64;
        let first = (place % BLOCK_BYTES) as usize;
        let some = (len - at).min(BLOCK_BYTES as usize - first);
        let run = at..at + some;
        at += some;
        (some > 0).then_some((place / BLOCK_BYTES, first, run))
    })
}

impl Disk for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        if offset.saturating_add(out.len() as u64) > state.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (block, first, run) in pieces(offset, out.len()) {
            let to = first + run.len();
            match state.blocks.get(&block) {
                Some(bytes) => out[run].copy_from_slice(&bytes[first..to]),
                None => out[run].copy_from_slice(&self.below(block)?[first..to]),
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.state().len = len;
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        for (block, first, run) in pieces(offset, bytes.len()) {
            let to = first + run.len();
            let kept = match state.blocks.entry(block) {
                Entry::Occupied(kept) => kept.into_mut(),
                Entry::Vacant(place) => place.insert(self.below(block)?),
            };
            kept[first..to].copy_from_slice(&bytes[run]);
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
