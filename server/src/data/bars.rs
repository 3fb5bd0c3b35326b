//! Revocations that outlive the server: a line of JSON each, until the tokens that they bar have ended.

use super::files::{read, write};
use super::{DataError, Folder};
use crate::auth::barred::{BARRED_MAX, Bar, Barring};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A bar is kept for so long after its end, in seconds, as long as there is room: a clock that was
/// ahead for a while takes none away.
const SPARE_S: u64 = 24 * 3_600;

/// The file of them, and what it says.
#[derive(Debug)]
pub struct Bars {
    path: PathBuf,
    known: Mutex<BTreeMap<Barring, Bar>>,
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
        Ok(Bars { path, known: Mutex::new(known) })
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
    /// Where they cannot be written. They are tried again with the next.
    pub fn keep(&self, bars: &[Bar]) -> Result<(), DataError> {
        let mut known = self.known();
        let now_s = bars.iter().map(|bar| bar.made_s).max().unwrap_or(0);
        for bar in bars {
            let entry = known.entry(bar.what.clone());
            entry.and_modify(|old| old.merge(bar)).or_insert_with(|| bar.clone());
        }
        known.retain(|_, bar| bar.until_s.saturating_add(SPARE_S) > now_s);
        if known.len() > BARRED_MAX {
            known.retain(|_, bar| bar.until_s > now_s);
        }
        let lines = known.values().map(|bar| {
            let line = serde_json::to_string(bar).expect("text and numbers are always JSON");
            line + "\n"
        });
        write(&self.path, &lines.collect::<String>())
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<Barring, Bar>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
