//! The folder in which a server keeps what outlives it.
//!
//! ```text
//! DIR/lock              held while a server uses the folder
//! DIR/keys/epoch        the first epoch that no world has had
//! DIR/keys/secret       what connection ids, resets and retry tokens are made with
//! DIR/keys/revoked      revocations whose tokens have not ended
//! DIR/keys/development  certificate and key, where none are configured
//! ```
//!
//! Whoever can read `keys` can pass for this server: the folder is for its owner alone. Files are
//! written whole under another name, synced and renamed, so that there is the old one or the new.

mod bars;
mod epochs;
mod files;
mod keys;

pub use bars::Bars;
pub use epochs::Kept;
pub(crate) use keys::CERTIFICATE_LIFE;

use files::{make_folder, path_error};
use starling_transport::tls::TlsError;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use thiserror::Error;

/// How long a server that starts waits for the one before it to be gone.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
/// How often it looks.
const LOCK_LOOK_EVERY: Duration = Duration::from_millis(20);

/// Why the folder cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// The system says no.
    #[error("cannot {deed} {}: {why}", path.display())]
    Io {
        /// What was tried.
        deed: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system says.
        why: io::Error,
    },
    /// Another server runs on it.
    #[error("{} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// A file is not what was written.
    #[error("{} is damaged: {why}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A secret is none any more.
    #[error("{} can be read by others: make it yours alone (chmod 600)", .0.display())]
    Open(PathBuf),
    /// The certificate kept there.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A folder that is this process's own until it is dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    keys: PathBuf,
    _lock: File,
}

impl Folder {
    /// Opens the folder, made where there is none. Waits a few seconds for a server that is about
    /// to end.
    ///
    /// # Errors
    /// [`DataError`] names the file.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        make_folder(path)?;
        let lock = lock(path, LOCK_PATIENCE)?;
        let keys = path.join("keys");
        make_folder(&keys)?;
        Ok(Self { path: path.into(), keys, _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn lock(folder: &Path, patience: Duration) -> Result<File, DataError> {
    let path = folder.join("lock");
    let open = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = open.map_err(path_error("open", &path))?;
    let deadline = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                std::thread::sleep(LOCK_LOOK_EVERY);
            }
            Err(TryLockError::WouldBlock) => return Err(DataError::Locked(folder.into())),
            Err(TryLockError::Error(why)) => {
                return Err(DataError::Io { deed: "lock", path, why });
            }
        }
    }
}

#[cfg(test)]
mod tests;
