//! Grants taken back before their token ends: who asks for it, and which tokens are barred.
//!
//! P12: a revocation is in force when its call returns. The Front, which lets everyone in, takes
//! it in on its own thread: it bars the tokens, closes the connections and tells the worlds, so
//! that no Hello can slip in between.

use super::barred::Bar;
use crate::data::Bars;
use starling_protocol::units::SessionId;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot::{self, Receiver, Sender};

/// Requests that may wait at once.
const WAITING_MAX: usize = 64;

/// Whose grants are taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// One session, and the token that it came with.
    Session(SessionId),
    /// Everyone with this subject, and tokens of it that were made until now.
    Subject {
        /// Tenant of the tokens; empty for those without one.
        tenant: String,
        /// Their subject.
        subject: String,
    },
    /// Everyone of a tenant, and its tokens that were made until now.
    Tenant(String),
}

/// Why a revocation is not in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotRevoked {
    /// Sessions were ended, but no more tokens can be barred.
    ListFull,
    /// A world's inbox is full: it may go on with sessions that are parked.
    Busy,
    /// It is in force, and may end with this life of the server.
    NotKept,
}

impl fmt::Display for NotRevoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ListFull => "as many revocations as can be remembered: tokens are not barred",
            Self::Busy => "a world is too busy to hear of it: try again",
            Self::NotKept => {
                "in force until a restart: it cannot be written, see the log: try again"
            }
        })
    }
}

/// Connections that a revocation closed, or why it is not in force.
pub type Revoked = Result<usize, NotRevoked>;

/// What a revocation came to, and the bars that it made.
#[derive(Debug)]
pub struct Outcome {
    /// Connections, or why it is not in force.
    pub done: Revoked,
    /// To be kept until they end.
    pub bars: Vec<Bar>,
}

/// Requests on their way to the Front.
pub struct Revoker {
    waiting: Mutex<Vec<(Revocation, Sender<Outcome>)>>,
    late: Mutex<Late>,
    bars: Option<Bars>,
    ring: Box<dyn Fn() + Send + Sync>,
}

/// Bars that came to be when nobody waited to keep them: at most as many as can be barred at all.
#[derive(Debug, Default)]
struct Late {
    bars: Vec<Bar>,
    /// A thread writes them down.
    running: bool,
}

impl fmt::Debug for Revoker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revoker").field("waiting", &self.lock().len()).finish_non_exhaustive()
    }
}

impl Revoker {
    /// `ring` wakes the Front.
    pub fn new(ring: impl Fn() + Send + Sync + 'static) -> Self {
        let (waiting, late) = Default::default();
        Self { waiting, late, bars: None, ring: Box::new(ring) }
    }

    /// Keeps bars here until they end.
    #[must_use]
    pub fn keeping(mut self, bars: Option<Bars>) -> Self {
        self.bars = bars;
        self
    }

    /// The bars of earlier lives.
    #[must_use]
    pub fn earlier(&self) -> Vec<Bar> {
        self.bars.as_ref().map(Bars::all).unwrap_or_default()
    }

    /// P12: a restart lifts no bar. They are on stable storage when this returns, where there is a
    /// folder for them. Takes as long as the disk does.
    ///
    /// # Errors
    /// [`NotRevoked::NotKept`].
    pub fn keep(&self, bars: &[Bar]) -> Result<(), NotRevoked> {
        let Some(book) = self.bars.as_ref().filter(|_| !bars.is_empty()) else { return Ok(()) };
        book.keep(bars).map_err(|error| {
            tracing::error!(%error, "revocations cannot be written");
            NotRevoked::NotKept
        })
    }

    /// Keeps bars that nobody waits for, such as that of a session that was parked, which its world
    /// tells of later: on a thread of their own, for the Front does not wait for a disk.
    pub(crate) fn keep_soon(self: &Arc<Self>, bars: Vec<Bar>) {
        if bars.is_empty() || self.bars.is_none() {
            return;
        }
        let mut late = self.late();
        late.bars.extend(bars);
        if std::mem::replace(&mut late.running, true) {
            return;
        }
        drop(late);
        let own = Arc::clone(self);
        let spawned =
            std::thread::Builder::new().name("bars".into()).spawn(move || own.keep_late());
        if let Err(error) = spawned {
            self.late().running = false;
            tracing::error!(%error, "revocations cannot be written");
        }
    }

    fn keep_late(&self) {
        loop {
            let mut late = self.late();
            let bars = std::mem::take(&mut late.bars);
            late.running = !bars.is_empty();
            if !late.running {
                return;
            }
            drop(late);
            // What cannot be written is in the log, and is tried again with the next.
            let _told = self.keep(&bars);
        }
    }

    fn late(&self) -> MutexGuard<'_, Late> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a revocation; `None` when too many wait. It is in force once the answer says so.
    pub fn ask(&self, revocation: Revocation) -> Option<Receiver<Outcome>> {
        let (answer, receiver) = oneshot::channel();
        let mut waiting = self.lock();
        if waiting.len() >= WAITING_MAX {
            return None;
        }
        waiting.push((revocation, answer));
        drop(waiting);
        (self.ring)();
        Some(receiver)
    }

    /// What waits, in order.
    pub(crate) fn take(&self) -> Vec<(Revocation, Sender<Outcome>)> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Revocation, Sender<Outcome>)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::barred::Barred;
    use crate::data::Folder;

    #[test]
    fn bars_that_nobody_waits_for_are_kept_soon() {
        let place = tempfile::tempdir().expect("a folder can be made");
        let folder = Folder::open(place.path()).expect("a folder can be had");
        let bars = folder.bars().expect("none yet");
        let revoker = Arc::new(Revoker::new(|| {}).keeping(Some(bars)));
        let mut barred = Barred::default();
        for name in ["eve-1", "eve-2"] {
            assert_eq!(barred.token(name, 100, 4_000), Ok(()));
            revoker.keep_soon(barred.take_fresh());
        }
        while folder.bars().expect("readable").all().len() < 2 {
            std::thread::yield_now();
        }
    }
}
