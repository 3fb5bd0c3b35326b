//! Revocations that outlive the server: a line of JSON each, until the tokens that they bar have ended.

use super::files::{read, write};
use super::{DataError, Folder};
use crate::auth::barred::{BARRED_MAX, Bar, Barring};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A bar is kept for so long after its end, in seconds, as long as there is room: a clock that was
/// ahead for a while takes none away.
const SPARE_S: u64 = 24 * 3_600;

/// The file of them, and what it says.
#[derive(Debug)]
pub struct Bars {
    path: PathBuf,
    known: Mutex<BTreeMap<Barring, Bar>>,
    /// The last time they could not be written.
    behind: AtomicBool,
}

impl Folder {
    /// The revocations of earlier lives.
    ///
    /// # Errors
    /// [`DataError::Damaged`]: what was revoked is not let in because a file cannot be read.
    pub fn bars(&self) -> Result<Bars, DataError> {
        let path = self.keys.join("revoked");
        let text = read(&path)?.unwrap_or_default();
        let bars: Result<Vec<Bar>, _> = text.lines().map(serde_json::from_str).collect();
        let bars = bars.map_err(|_| DataError::Damaged {
            path: path.clone(),
            why: "it should hold a revocation a line; restore it, or remove it and revoke anew",
        })?;
        let known = bars.into_iter().map(|bar| (bar.what.clone(), bar)).collect();
        Ok(Bars { path, known: Mutex::new(known), behind: AtomicBool::new(false) })
    }
}

impl Bars {
    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<Bar> {
        self.known().values().cloned().collect()
    }

    /// Adds these: on stable storage when this returns, in whatever order they come. Those that bar
    /// nothing any more go.
    ///
    /// # Errors
    /// Where they cannot be written. They are tried again with the next, of which there may be none.
    pub fn keep(&self, bars: &[Bar]) -> Result<(), DataError> {
        let mut known = self.known();
        let now_s = bars.iter().map(|bar| bar.made_s).max().unwrap_or(0);
        bars.iter().for_each(|bar| bar.clone().put_into(&mut known));
        known.retain(|_, bar| bar.until_s.saturating_add(SPARE_S) > now_s);
        if known.len() > BARRED_MAX {
            known.retain(|_, bar| bar.until_s > now_s);
        }
        let lines = known.values().map(|bar| {
            let line = serde_json::to_string(bar).expect("text and numbers are always JSON");
            line + "\n"
        });
        let written = write(&self.path, &lines.collect::<String>());
        self.behind.store(written.is_err(), Relaxed); // the lock is held
        written
    }

    /// Is there anything that could not be written? Says so without waiting for a disk.
    pub(crate) fn is_behind(&self) -> bool {
        self.behind.load(Relaxed)
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<Barring, Bar>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
