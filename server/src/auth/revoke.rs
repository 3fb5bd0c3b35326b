//! Grants taken back before their token ends: who asks for it, and which tokens are barred.
//!
//! P12: a revocation is in force when its call returns. The Front, which lets everyone in, takes
//! it in on its own thread: it bars the tokens, closes the connections and tells the worlds, so
//! that no Hello can slip in between.

use super::barred::{Bar, Barring};
use crate::data::Bars;
use starling_protocol::units::SessionId;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot::{self, Receiver, Sender};

/// Requests that may wait at once.
const WAITING_MAX: usize = 64;

/// What could not be written is tried again after so long.
const AGAIN: Duration = Duration::from_secs(2);

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

/// An answer that is waited for.
#[derive(Debug)]
pub struct Waiting {
    receiver: Receiver<Outcome>,
    revoker: Arc<Revoker>,
}

impl Waiting {
    /// The answer; `None` when the server ends first.
    pub async fn answer(&mut self) -> Option<Outcome> {
        (&mut self.receiver).await.ok()
    }
}

/// Bars of an answer that came when nobody waited any more are kept all the same.
impl Drop for Waiting {
    fn drop(&mut self) {
        self.receiver.close();
        if let Ok(Outcome { bars, .. }) = self.receiver.try_recv() {
            self.revoker.keep_soon(bars);
        }
    }
}

/// Requests on their way to the Front.
pub struct Revoker {
    waiting: Mutex<Vec<(Revocation, Sender<Outcome>)>>,
    late: Mutex<Late>,
    bars: Option<Bars>,
    ring: Box<dyn Fn() + Send + Sync>,
    again: Duration,
}

/// Bars that came to be when nobody waited to keep them: at most as many as can be barred at all.
#[derive(Debug, Default)]
struct Late {
    bars: BTreeMap<Barring, Bar>,
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
        Self { waiting, late, bars: None, ring: Box::new(ring), again: AGAIN }
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
        if bars.is_empty() { Ok(()) } else { self.write(bars) }
    }

    fn write(&self, bars: &[Bar]) -> Result<(), NotRevoked> {
        let Some(book) = &self.bars else { return Ok(()) };
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
        bars.into_iter().for_each(|bar| bar.put_into(&mut late.bars));
        drop(late);
        self.keep_late();
    }

    /// P12: what could not be written is tried again, until it is or the server ends.
    pub(crate) fn keep_late(self: &Arc<Self>) {
        if std::mem::replace(&mut self.late().running, true) {
            return;
        }
        let (own, again) = (Arc::downgrade(self), self.again);
        let write = move || {
            while let Some(kept) = own.upgrade().and_then(|revoker| revoker.write_late()) {
                if kept.is_err() {
                    std::thread::sleep(again);
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("bars".into()).spawn(write) {
            self.late().running = false;
            tracing::error!(%error, "revocations cannot be written");
        }
    }

    /// Writes what waits; `None` when nothing does.
    fn write_late(&self) -> Option<Result<(), NotRevoked>> {
        let mut late = self.late();
        let bars: Vec<_> = std::mem::take(&mut late.bars).into_values().collect();
        late.running = !bars.is_empty() || self.bars.as_ref().is_some_and(Bars::is_behind);
        let more = late.running;
        drop(late);
        more.then(|| self.write(&bars))
    }

    fn late(&self) -> MutexGuard<'_, Late> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a revocation; `None` when too many wait. It is in force once the answer says so.
    pub fn ask(self: &Arc<Self>, revocation: Revocation) -> Option<Waiting> {
        let (answer, receiver) = oneshot::channel();
        let mut waiting = self.lock();
        if waiting.len() >= WAITING_MAX {
            return None;
        }
        waiting.push((revocation, answer));
        drop(waiting);
        (self.ring)();
        Some(Waiting { receiver, revoker: Arc::clone(self) })
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
        let (_place, folder, revoker) = kept();
        let mut barred = Barred::default();
        for name in ["eve-1", "eve-2"] {
            assert_eq!(barred.token(name, 100, 4_000), Ok(()));
            revoker.keep_soon(barred.take_fresh());
        }
        while folder.bars().expect("readable").all().len() < 2 {
            std::thread::yield_now();
        }
    }

    /// A folder and a revoker that keeps what it bars in it.
    fn kept() -> (tempfile::TempDir, Folder, Arc<Revoker>) {
        let place = tempfile::tempdir().expect("a folder can be made");
        let folder = Folder::open(place.path()).expect("a folder can be had");
        let bars = folder.bars().expect("none yet");
        let mut revoker = Revoker::new(|| {}).keeping(Some(bars));
        revoker.again = Duration::from_millis(5);
        (place, folder, Arc::new(revoker))
    }

    fn bar(name: &str) -> Bar {
        Bar { what: Barring::Token(name.into()), made_s: 100, until_s: 4_000 }
    }

    fn until_kept(folder: &Folder, bars: &[Bar]) {
        while folder.bars().expect("readable").all() != bars {
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_could_not_be_written_is_written_once_it_can_be_although_nothing_follows() {
        let (place, folder, revoker) = kept();
        let in_the_way = place.path().join("keys/revoked.new");
        std::fs::create_dir(&in_the_way).expect("it can be made");
        revoker.keep_soon(vec![bar("parked")]);
        assert_eq!(revoker.keep(&[bar("asked")]), Err(NotRevoked::NotKept));
        revoker.keep_late();
        std::fs::remove_dir(&in_the_way).expect("it is empty");
        until_kept(&folder, &[bar("asked"), bar("parked")]);
    }

    #[test]
    fn an_answer_that_nobody_reads_is_kept_all_the_same() {
        let (_place, folder, revoker) = kept();
        let waiting = revoker.ask(Revocation::Tenant("acme".into())).expect("room");
        for (_, answer) in revoker.take() {
            let outcome = Outcome { done: Ok(0), bars: vec![bar("late")] };
            answer.send(outcome).expect("somebody waits");
        }
        drop(waiting);
        until_kept(&folder, &[bar("late")]);
    }
}
