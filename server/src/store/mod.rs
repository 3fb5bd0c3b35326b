//! What outlives the server: rows of bytes, kept for worlds that never wait for it.
//!
//! ```text
//! room --Pen--> Desk (what waits, bounded) --> Keeper (commits, reads) --> Store
//! room <--mailbox-- Desk <---- news -------------+
//! ```
//!
//! A [`Store`] knows rows of worlds and no meaning; [`starling_world::journal`] is all that both
//! sides share. The [`Keeper`] is a stepped object: a thread polls it in a server, virtual time
//! in a simulation. P5: a commit is told only once the store says that it is on stable storage.
//! P16: a row whose checksum does not fit is told, and never delivered.

mod books;
mod database;
mod desk;
pub mod disk;
mod health;
mod keeper;
pub mod memory;
mod pen;
mod row;
mod thread;

pub use books::Books;
pub use database::Database;
pub use desk::{Bell, Desk, Figures, LifeId};
pub use disk::{Disk, FileDisk};
pub use keeper::{Grouping, Keeper};
pub use memory::Memory;
pub use pen::Pen;
pub use thread::Clerk;

use starling_world::journal::{Change, KEY_BYTES_MAX, RowRange, Rows, Shelf, ShelfError};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use thiserror::Error;

/// The form in which rows are written. A store of a later one is not opened.
pub const FORMAT: u32 = 1;
/// Changes that may wait to be written.
pub const CHANGES_MAX: usize = 65_536;
/// Bytes of those changes.
pub const BYTES_MAX: usize = 64 * 1024 * 1024;
/// Questions that may wait for their answer.
pub const QUERIES_MAX: usize = 4_096;
/// Bytes of rows in one answer, however many were asked for.
pub const READ_BYTES_MAX: usize = 1024 * 1024;

/// Rows of worlds on stable storage.
///
/// One keeper commits, anyone reads. A read sees whole commits only.
pub trait Store: Send + Sync {
    /// Writes every group, or none at all: what it returns from is on stable storage.
    ///
    /// # Errors
    /// [`StoreError::Full`]: nothing was written, and the same groups may be tried again. After
    /// any other error nothing is known of what the groups left behind, and nobody may write on.
    fn commit(&self, groups: &[Group]) -> Result<(), StoreError>;

    /// Rows of one world, with their checksums looked at.
    ///
    /// # Errors
    /// Where nothing can be read; single damaged rows are told in [`Rows::damaged`].
    fn read(&self, world: &str, rows: &RowRange) -> Result<Rows, StoreError>;

    /// The first world after this name, in the order of the store, of which there is any row.
    ///
    /// # Errors
    /// Where nothing can be read.
    fn world_after(&self, name: Option<&str>) -> Result<Option<String>, StoreError>;
}

/// Changes of one world that belong together: all of them are written, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Whose.
    pub world: Arc<str>,
    /// In order.
    pub changes: Vec<Change>,
}

/// What is wrong with a store, and what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No room is left.
    #[error("the disk is full: make room; what waits is written as soon as there is some")]
    Full,
    /// The disk failed.
    #[error(
        "the disk failed ({0}): nothing more is written, for what was written may be lost; look \
         at the disk, then start the server again"
    )]
    Io(io::Error),
    /// What is stored is not what was written.
    #[error("the store is damaged ({0}): put a backup of the data directory in its place")]
    Damaged(String),
    /// Another process has it.
    #[error(
        "{0} is in use by another process: stop that one, or give this one a directory of its own"
    )]
    Locked(PathBuf),
    /// A later version wrote it.
    #[error(
        "the store has format {found}, and this version reads up to {FORMAT}: run the version that \
         wrote it, or a later one"
    )]
    NewerVersion {
        /// What it says of itself.
        found: u32,
    },
    /// A row that is larger than rows may be: a bug of the world that wrote it.
    #[error("a row of world `{world}` is too large: a key of {key} bytes, a value of {value}")]
    TooLarge {
        /// Whose.
        world: String,
        /// Bytes of its key, at most [`KEY_BYTES_MAX`].
        key: usize,
        /// Bytes of its value.
        value: usize,
    },
}

/// What one world kept, to be read while it begins.
#[derive(Clone)]
pub struct WorldShelf {
    world: Arc<str>,
    store: Arc<dyn Store>,
}

impl WorldShelf {
    /// What is kept of this world.
    #[must_use]
    pub fn new(world: &str, store: Arc<dyn Store>) -> Self {
        Self { world: world.into(), store }
    }
}

impl Shelf for WorldShelf {
    fn read(&self, rows: &RowRange) -> Result<Rows, ShelfError> {
        self.store.read(&self.world, rows).map_err(|why| ShelfError(why.to_string()))
    }
}

impl std::fmt::Debug for WorldShelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorldShelf").field("world", &self.world).finish_non_exhaustive()
    }
}

const _: () = assert!(KEY_BYTES_MAX < u16::MAX as usize, "lengths of keys take two bytes");
