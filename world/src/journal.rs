//! What a durable world wants kept, and how it hears that it is.
//!
//! A world never waits for a disk. What it wants kept goes out with its output as [`Change`]s; the
//! shell hands them to a store, in order, and tells the world by [`News`] how many of them are on
//! stable storage. Only then is a durable publish acknowledged and delivered. What is not in memory
//! any more is asked for by a [`Query`] and comes back as [`News`] too. A world that begins again
//! reads what it needs from a [`Shelf`].
//!
//! The store knows rows and no meaning: every row's form is decided here. Values are checksummed
//! by the store, so that damage is told and never taken for content.

use serde::{Deserialize, Serialize};
use std::ops::Range;

/// A table of rows, in order of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Table {
    /// The world itself: its life, its clock.
    World,
    /// Channels by name.
    Channel,
    /// Events by channel and offset.
    Event,
    /// Values of keys by channel and key.
    State,
    /// Message ids by the minute of their acceptance.
    Seen,
    /// Receipts by channel and reader.
    Cursor,
    /// What later events made of messages, by channel and message: changes, answers, notes.
    Note,
    /// Sessions that can be resumed.
    Session,
}

impl Table {
    /// Every table, in order.
    pub const ALL: [Self; 8] = [
        Self::World,
        Self::Channel,
        Self::Event,
        Self::State,
        Self::Seen,
        Self::Cursor,
        Self::Note,
        Self::Session,
    ];

    /// Its name in a store.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::World => "world",
            Self::Channel => "channel",
            Self::Event => "event",
            Self::State => "state",
            Self::Seen => "seen",
            Self::Cursor => "cursor",
            Self::Note => "note",
            Self::Session => "session",
        }
    }
}

/// One change of what is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Sets a row.
    Put {
        /// Where.
        table: Table,
        /// Its key, at most [`KEY_BYTES_MAX`].
        key: Vec<u8>,
        /// Its value, at most [`VALUE_BYTES_MAX`].
        value: Vec<u8>,
    },
    /// Removes a row, if there is one.
    Remove {
        /// Where.
        table: Table,
        /// Its key.
        key: Vec<u8>,
    },
    /// Removes every row of a range.
    RemoveRange {
        /// Where.
        table: Table,
        /// From the first key up to, and without, the second.
        keys: Range<Vec<u8>>,
    },
}

/// Bytes of a key.
pub const KEY_BYTES_MAX: usize = 512;
/// Bytes of a value.
pub const VALUE_BYTES_MAX: usize = 256 * 1024;

impl Change {
    /// What it costs to hold until it is written.
    #[must_use]
    pub fn bytes(&self) -> usize {
        32 + match self {
            Self::Put { key, value, .. } => key.len() + value.len(),
            Self::Remove { key, .. } => key.len(),
            Self::RemoveRange { keys, .. } => keys.start.len() + keys.end.len(),
        }
    }
}

/// A question to the store about rows that the world holds no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// Echoed by the answer.
    pub ticket: u64,
    /// What is asked for.
    pub rows: RowRange,
}

/// A range of rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowRange {
    /// Where.
    pub table: Table,
    /// From the first key up to, and without, the second.
    pub keys: Range<Vec<u8>>,
    /// At most so many rows.
    pub rows_max: usize,
    /// Not beyond so many bytes of keys and values, but one row at least.
    pub bytes_max: usize,
    /// From the end of the range backwards.
    pub backwards: bool,
}

/// Rows of a range, in the order asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// Keys and values.
    pub rows: Vec<(Vec<u8>, Vec<u8>)>,
    /// There are more in the range.
    pub more: bool,
    /// The first key whose row is damaged: nothing of it or beyond it is in `rows`.
    pub damaged: Option<Vec<u8>>,
}

/// What the store has to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum News {
    /// So many changes of this life of the world, counted from its beginning, are on stable storage.
    Committed {
        /// How many in all.
        changes: u64,
    },
    /// How the store is.
    Health(Health),
    /// The answer to a query.
    Found {
        /// Of the query.
        ticket: u64,
        /// What there is.
        rows: Rows,
    },
}

/// How a store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Health {
    /// It takes what comes.
    #[default]
    Well,
    /// More than four fifths of what may wait for it waits: new publishes are refused meanwhile.
    Behind,
    /// There is no room on the disk. What waits is written as soon as there is some.
    Full,
    /// A write or a sync failed: nothing is written any more, and what waits may or may not be on
    /// the disk. Ended by a restart only.
    Failed,
}

/// What was kept in an earlier life, read while a world begins.
pub trait Shelf {
    /// Rows of a range.
    ///
    /// # Errors
    /// [`ShelfError`] where the store cannot be read at all; single damaged rows are told in
    /// [`Rows::damaged`].
    fn read(&self, rows: &RowRange) -> Result<Rows, ShelfError>;
}

/// A store that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShelfError(pub String);

impl std::fmt::Display for ShelfError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the store cannot be read: {}", self.0)
    }
}

impl std::error::Error for ShelfError {}
