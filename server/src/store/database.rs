//! The store on disk: one redb table of rows. redb is named in this file only.
//!
//! A commit is one write of pages that nobody reads yet and one of the page that names them, each
//! followed by a sync, so that after a crash whatever is named is whole. P5. It costs a sync more
//! than to write both at once and to go back by one commit where a checksum does not hold, but then
//! nobody could tell a commit that a crash tore from one that was acknowledged and damaged. P16.
//! An error ends a redb database, so it is opened anew afterwards: to write again where only room
//! was missing, or over writes that go nowhere where the disk failed.

use super::disk::{Disk, FileDisk, Overlay};
use super::row::{self, Gathering};
use super::{FORMAT, Group, Store, StoreError};
use redb::{
    CommitError, Database as Redb, DatabaseError, Durability, ReadableDatabase, StorageBackend,
    StorageError, TableDefinition, TableError, TransactionError, WriteTransaction,
};
use starling_protocol::planted::{self, Bug};
use starling_world::journal::{Change, RowRange, Rows};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const ROWS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("rows");
const ABOUT: TableDefinition<'static, &str, u32> = TableDefinition::new("about");
/// The row of [`ABOUT`] that says how rows are written.
const FORMAT_KEY: &str = "format";
/// Pages that redb keeps in memory.
const CACHE_BYTES: usize = 64 * 1024 * 1024;
/// A full disk is tried again only where there is so much room, or what the last try lacked.
const ROOM_BYTES_MIN: u64 = 1024 * 1024;

/// Rows on a disk.
pub struct Database {
    disk: Arc<dyn Disk>,
    state: Mutex<State>,
}

enum State {
    Open(Opened),
    /// Nothing is written for now. Opened for reading when somebody asks.
    Shut {
        reading: Option<Opened>,
        why: Shut,
    },
}

#[derive(Clone, Copy)]
enum Shut {
    /// Until there is so much room.
    Full { room: u64 },
    /// For good.
    Failed,
}

#[derive(Clone)]
struct Opened {
    redb: Arc<Redb>,
    trouble: Arc<Mutex<Option<Trouble>>>,
}

/// What went wrong first: redb's own words may be about what followed from it.
enum Trouble {
    Full { room: u64 },
    Failed(io::Error),
}

impl Database {
    /// Opens the file, made where there is none. With `check`, all that is stored is read and
    /// its checksums are compared.
    ///
    /// # Errors
    /// [`StoreError`] says what to do.
    pub fn open(path: &Path, check: bool) -> Result<Self, StoreError> {
        if !path.try_exists().map_err(StoreError::Io)? {
            // A store that is half made is none: it has its name once it is whole.
            let fresh = path.with_extension("new");
            drop(Self::on(Arc::new(FileDisk::anew(&fresh)?), false)?);
            std::fs::rename(&fresh, path).map_err(StoreError::Io)?;
        }
        Self::on(Arc::new(FileDisk::open(path)?), check)
    }

    /// Opens what is on a disk, made where there is nothing.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub fn on(disk: Arc<dyn Disk>, check: bool) -> Result<Self, StoreError> {
        let opened = guarded(|| Opened::on(Arc::clone(&disk), check))?;
        guarded(|| opened.settle_format())?;
        Ok(Self { disk, state: Mutex::new(State::Open(opened)) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To write with; opened anew where there was no room and may be some now.
    fn to_write(&self) -> Result<Opened, StoreError> {
        let mut state = self.state();
        match &*state {
            State::Open(opened) => return Ok(opened.clone()),
            State::Shut { why: Shut::Failed, .. } => {
                return Err(StoreError::Io(io::Error::other("it failed before")));
            }
            State::Shut { why: Shut::Full { room }, .. } if self.disk.room() < *room => {
                return Err(StoreError::Full);
            }
            State::Shut { .. } => {}
        }
        let opened = guarded(|| Opened::on(Arc::clone(&self.disk), false))?;
        *state = State::Open(opened.clone());
        Ok(opened)
    }

    fn to_read(&self) -> Result<Opened, StoreError> {
        match &mut *self.state() {
            State::Open(opened) | State::Shut { reading: Some(opened), .. } => Ok(opened.clone()),
            State::Shut { reading, .. } => {
                let over = Overlay::over(Arc::clone(&self.disk)).map_err(StoreError::Io)?;
                let opened = guarded(|| Opened::on(Arc::new(over), false))?;
                Ok(reading.insert(opened).clone())
            }
        }
    }

    /// Nothing more is written with what met an error.
    fn shut(&self, error: StoreError) -> StoreError {
        let mut state = self.state();
        let trouble = match &*state {
            State::Open(opened) => opened.trouble().take(),
            State::Shut { .. } => None,
        };
        let (why, error) = match (trouble, error) {
            (Some(Trouble::Full { room }), _) => (Shut::Full { room }, StoreError::Full),
            (None, StoreError::Full) => (Shut::Full { room: ROOM_BYTES_MIN }, StoreError::Full),
            (Some(Trouble::Failed(why)), _) => (Shut::Failed, StoreError::Io(why)),
            (None, error) => (Shut::Failed, error),
        };
        // While there was no room already, what is open for reading still is.
        if let State::Shut { why: kept, .. } = &mut *state {
            if !matches!(why, Shut::Full { .. }) {
                *kept = why;
            }
        } else {
            *state = State::Shut { reading: None, why };
        }
        error
    }
}

impl Store for Database {
    fn commit(&self, groups: &[Group]) -> Result<(), StoreError> {
        row::check(groups)?;
        let write = || self.to_write()?.write(groups);
        guarded(write).map_err(|error| self.shut(error))
    }

    fn read(&self, world: &str, asked: &RowRange) -> Result<Rows, StoreError> {
        let opened = self.to_read()?;
        guarded(|| opened.read(world, asked))
    }

    fn world_after(&self, name: Option<&str>) -> Result<Option<String>, StoreError> {
        let opened = self.to_read()?;
        guarded(|| opened.world_after(name))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let shut = State::Shut { reading: None, why: Shut::Failed };
        let state = std::mem::replace(&mut *self.state(), shut);
        if catch_unwind(AssertUnwindSafe(|| drop(state))).is_err() {
            tracing::error!("the store is damaged: it could not be closed");
        }
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").finish_non_exhaustive()
    }
}

impl Opened {
    fn on(disk: Arc<dyn Disk>, check: bool) -> Result<Self, StoreError> {
        let trouble = Arc::new(Mutex::new(None));
        let backend = Backend { disk, trouble: Arc::clone(&trouble) };
        let mut builder = Redb::builder();
        builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(check);
        match builder.create_with_backend(backend) {
            Ok(redb) => Ok(Self { redb: Arc::new(redb), trouble }),
            Err(why) => Err(match trouble.lock().unwrap_or_else(PoisonError::into_inner).take() {
                Some(Trouble::Full { .. }) => StoreError::Full,
                Some(Trouble::Failed(why)) => StoreError::Io(why),
                None => why.into(),
            }),
        }
    }

    fn trouble(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the format of rows where there are none yet, and refuses one that is not known.
    fn settle_format(&self) -> Result<(), StoreError> {
        let read = self.redb.begin_read()?;
        match read.open_table(ABOUT) {
            Ok(about) => match about.get(FORMAT_KEY)?.map(|row| row.value()) {
                Some(found) if found > FORMAT => Err(StoreError::NewerVersion { found }),
                Some(_) => Ok(()),
                None => Err(StoreError::Damaged("its format is not told".into())),
            },
            Err(TableError::TableDoesNotExist(_)) => {
                let write = self.begin()?;
                write.open_table(ABOUT)?.insert(FORMAT_KEY, FORMAT)?;
                write.open_table(ROWS)?;
                Ok(write.commit()?)
            }
            Err(why) => Err(why.into()),
        }
    }

    fn begin(&self) -> Result<WriteTransaction, StoreError> {
        let mut write = self.redb.begin_write()?;
        write.set_durability(Durability::Immediate).map_err(|why| damaged(&why))?;
        write.set_two_phase_commit(true);
        Ok(write)
    }

    fn write(&self, groups: &[Group]) -> Result<(), StoreError> {
        let write = self.begin()?;
        {
            let mut rows = write.open_table(ROWS)?;
            for group in groups {
                let cut = usize::from(planted::is(Bug::CommitCut) && group.changes.len() > 3);
                for change in &group.changes[..group.changes.len() - cut] {
                    match change {
                        Change::Put { table, key, value } => {
                            let place = row::place(&group.world, *table, key);
                            let stored = row::sealed(&place, value);
                            rows.insert(&place[..], &stored[..])?;
                        }
                        Change::Remove { table, key } => {
                            rows.remove(&row::place(&group.world, *table, key)[..])?;
                        }
                        Change::RemoveRange { table, keys } => {
                            let Some(range) = row::places(&group.world, *table, keys) else {
                                continue;
                            };
                            let range = &range.start[..]..&range.end[..];
                            rows.retain_in(range, |_, _| false)?;
                        }
                    }
                }
            }
        }
        Ok(write.commit()?)
    }

    fn world_after(&self, name: Option<&str>) -> Result<Option<String>, StoreError> {
        let start = name.map(row::beyond).unwrap_or_default();
        let read = self.redb.begin_read()?;
        let table = read.open_table(ROWS)?;
        let first = table.range(&start[..]..)?.next().transpose()?;
        Ok(first.and_then(|(place, _)| row::world_of(place.value())))
    }

    fn read(&self, world: &str, asked: &RowRange) -> Result<Rows, StoreError> {
        let mut rows = Gathering::new(world, asked);
        let Some(range) = row::places(world, asked.table, &asked.keys) else {
            return Ok(rows.finish());
        };
        let read = self.redb.begin_read()?;
        let table = read.open_table(ROWS)?;
        let mut found = table.range(&range.start[..]..&range.end[..])?;
        while let Some(row) = if asked.backwards { found.next_back() } else { found.next() } {
            let (place, stored) = row?;
            if !rows.take(place.value(), stored.value()) {
                break;
            }
        }
        Ok(rows.finish())
    }
}

/// redb panics over pages that make no sense: damage like any other.
fn guarded<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(StoreError::Damaged("its pages make no sense".into())))
}

fn damaged(why: &dyn std::fmt::Display) -> StoreError {
    StoreError::Damaged(why.to_string())
}

impl From<StorageError> for StoreError {
    fn from(why: StorageError) -> Self {
        match why {
            // No disk ends before it says so.
            StorageError::Io(why)
                if [io::ErrorKind::UnexpectedEof, io::ErrorKind::InvalidData]
                    .contains(&why.kind()) =>
            {
                damaged(&why)
            }
            StorageError::Io(why) if is_full(&why) => Self::Full,
            StorageError::Io(why) => Self::Io(why),
            why => damaged(&why),
        }
    }
}

impl From<DatabaseError> for StoreError {
    fn from(why: DatabaseError) -> Self {
        match why {
            DatabaseError::Storage(why) => why.into(),
            why => damaged(&why),
        }
    }
}

impl From<TransactionError> for StoreError {
    fn from(why: TransactionError) -> Self {
        match why {
            TransactionError::Storage(why) => why.into(),
            why => damaged(&why),
        }
    }
}

impl From<CommitError> for StoreError {
    fn from(why: CommitError) -> Self {
        match why {
            CommitError::Storage(why) => why.into(),
            why => damaged(&why),
        }
    }
}

impl From<TableError> for StoreError {
    fn from(why: TableError) -> Self {
        match why {
            TableError::Storage(why) => why.into(),
            why => damaged(&why),
        }
    }
}

fn is_full(why: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    [StorageFull, QuotaExceeded, FileTooLarge].contains(&why.kind())
}

/// A disk as redb sees it, which remembers what went wrong first.
struct Backend {
    disk: Arc<dyn Disk>,
    trouble: Arc<Mutex<Option<Trouble>>>,
}

impl Backend {
    fn note<T>(&self, result: io::Result<T>, lacking: Option<u64>) -> io::Result<T> {
        result.inspect_err(|why| {
            let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
            trouble.get_or_insert_with(|| match lacking {
                Some(bytes) if is_full(why) => Trouble::Full { room: bytes.max(ROOM_BYTES_MIN) },
                _ => Trouble::Failed(io::Error::new(why.kind(), why.to_string())),
            });
        })
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.disk.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.disk.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let more = len.saturating_sub(self.disk.len()?);
        self.note(self.disk.set_len(len), Some(more))
    }

    fn sync_data(&self) -> io::Result<()> {
        if planted::is(Bug::SyncSkipped) {
            return Ok(());
        }
        // A sync that finds no room has lost something: that is no full disk, but a failed one.
        self.note(self.disk.sync(), None)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.note(self.disk.write(offset, bytes), Some(bytes.len() as u64))
    }
}

impl std::fmt::Debug for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backend").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk that shares its bytes with its clones.
    #[derive(Clone, Default)]
    struct Bytes(Arc<Mutex<Vec<u8>>>);

    impl Disk for Bytes {
        fn len(&self) -> io::Result<u64> {
            Ok(self.0.lock().expect("nobody panics").len() as u64)
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            let bytes = self.0.lock().expect("nobody panics");
            let from = bytes.get(offset as usize..offset as usize + out.len());
            out.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.0.lock().expect("nobody panics").resize(len as usize, 0);
            Ok(())
        }

        fn write(&self, offset: u64, written: &[u8]) -> io::Result<()> {
            let mut bytes = self.0.lock().expect("nobody panics");
            bytes[offset as usize..][..written.len()].copy_from_slice(written);
            Ok(())
        }

        fn sync(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_store_of_a_later_format_is_refused_and_left_as_it_is() {
        let bytes = Bytes::default();
        let disk: Arc<dyn Disk> = Arc::new(bytes.clone());
        let database = Database::on(Arc::clone(&disk), true).expect("a new store");
        let opened = database.to_write().expect("it is well");
        let write = opened.begin().expect("a transaction");
        write.open_table(ABOUT).expect("a table").insert(FORMAT_KEY, FORMAT + 1).expect("a row");
        write.commit().expect("written");
        drop((opened, database));
        let refused = Database::on(disk, true).expect_err("of a later format");
        assert!(matches!(refused, StoreError::NewerVersion { found } if found == FORMAT + 1));
        assert!(refused.to_string().contains("run the version that wrote it"), "{refused}");
    }
}
