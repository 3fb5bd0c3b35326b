//! A counter of epochs that never goes back, whatever the clock and whatever dies.

use super::files::{read, write};
use super::{DataError, Folder};
use crate::entropy::Entropy;
use crate::room::directory::Epochs;
use starling_protocol::units::Epoch;
use std::path::PathBuf;

/// Epochs taken at a time: so many worlds are made before the file is written again, and so many at
/// most are never used because a process died.
const BLOCK: u32 = 1_024;

/// Epochs by a file that names the first one which no world has had.
#[derive(Debug)]
pub struct Kept {
    path: PathBuf,
    next: u32,
    /// The file says this: what is below it is taken.
    taken_to: u32,
}

impl Folder {
    /// The counter of epochs. A fresh one begins anywhere in the lower half, so that a folder that
    /// was lost does not bring back the epochs of the one before.
    ///
    /// # Errors
    /// [`DataError::Damaged`] where the counter is gone or is no number: it is never guessed.
    pub fn epochs(&self, entropy: &mut impl Entropy) -> Result<Kept, DataError> {
        let path = self.keys.join("epoch");
        let next = match read(&path)? {
            Some(text) => parse(&text).ok_or_else(|| DataError::Damaged {
                path: path.clone(),
                why: "it should hold a number; restore it, or write one that is greater than any \
                      epoch that this server ever had",
            })?,
            None if self.keys.join("secret").exists() => {
                let why = "it is gone, and the secret beside it is not; restore it, or remove all \
                           of the folder";
                return Err(DataError::Damaged { path, why });
            }
            None => 1 + (entropy.number() >> 33) as u32,
        };
        let mut kept = Kept { path, next, taken_to: next };
        kept.take()?;
        Ok(kept)
    }
}

impl Kept {
    fn take(&mut self) -> Result<(), DataError> {
        let why = "there are no more epochs";
        let damaged = || DataError::Damaged { path: self.path.clone(), why };
        let taken_to = self.next.checked_add(BLOCK).ok_or_else(damaged)?;
        write(&self.path, &format!("{taken_to}\n"))?;
        self.taken_to = taken_to;
        Ok(())
    }
}

impl Epochs for Kept {
    fn next(&mut self) -> Option<Epoch> {
        if self.next == self.taken_to
            && let Err(error) = self.take()
        {
            tracing::error!(%error, "no world can be made: there is no epoch for it");
            return None;
        }
        let epoch = Epoch(self.next);
        self.next += 1;
        Some(epoch)
    }
}

fn parse(text: &str) -> Option<u32> {
    text.trim_end().parse().ok().filter(|&next| next > 0)
}
