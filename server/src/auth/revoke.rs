//! Grants taken back before their token ends: who asks for it, and which tokens are barred.
//!
//! P12: a revocation is in force when its call returns. The Front, which lets everyone in, takes
//! it in on its own thread: it bars the tokens, closes the connections and tells the worlds, so
//! that no Hello can slip in between.

use super::Verified;
use crate::data::Bars;
use crate::tenant::Scoped;
use serde::{Deserialize, Serialize};
use starling_protocol::units::SessionId;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot::{self, Receiver, Sender};

/// Revocations that are remembered at once; each until the tokens that it bars have ended.
pub const BARRED_MAX: usize = 65_536;
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

/// Tokens that are good for nothing any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bar {
    /// Which.
    pub what: Barring,
    /// Unix seconds at which it was made. Tokens of an owner that were made later are good.
    pub made_s: u64,
    /// Unix seconds at which the last of them has ended.
    pub until_s: u64,
}

/// Which tokens a bar is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Barring {
    /// The one of this name.
    Token(String),
    /// All of a tenant, or of one subject of it.
    Owner {
        /// Whose; empty for tokens without a tenant.
        tenant: String,
        /// All where there is none.
        subject: Option<String>,
    },
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

/// Tokens that are good for nothing any more, although they have not ended.
#[derive(Debug, Default)]
pub(crate) struct Barred {
    /// By their own name.
    tokens: BTreeMap<String, Until>,
    /// Of a tenant, and there of a subject or of all.
    owners: BTreeMap<Scoped<Option<String>>, Until>,
    /// Made since they were last taken.
    fresh: Vec<Bar>,
}

#[derive(Clone, Copy, Debug)]
struct Until {
    /// Tokens made until then.
    made_s: u64,
    /// When the last of them has ended.
    until_s: u64,
}

impl Barred {
    /// Bars a token by its name until `until_s`.
    pub(crate) fn token(&mut self, name: &str, now_s: u64, until_s: u64) -> Result<(), NotRevoked> {
        if name.is_empty() {
            return Ok(()); // open mode: there is no token
        }
        self.bar(Barring::Token(name.to_owned()), now_s, until_s)
    }

    /// Bars what a tenant's tokens, or those of one subject, were made until now.
    pub(crate) fn owner(
        &mut self,
        tenant: &str,
        subject: Option<&str>,
        now_s: u64,
        until_s: u64,
    ) -> Result<(), NotRevoked> {
        let (tenant, subject) = (tenant.to_owned(), subject.map(str::to_owned));
        self.bar(Barring::Owner { tenant, subject }, now_s, until_s)
    }

    /// Takes up what an earlier life of the server barred.
    pub(crate) fn restore(&mut self, bars: Vec<Bar>) {
        bars.into_iter().take(BARRED_MAX).for_each(|bar| self.insert(bar));
    }

    /// The bars made since the last call.
    pub(crate) fn take_fresh(&mut self) -> Vec<Bar> {
        std::mem::take(&mut self.fresh)
    }

    fn bar(&mut self, what: Barring, made_s: u64, until_s: u64) -> Result<(), NotRevoked> {
        self.make_room(made_s)?;
        let bar = Bar { what, made_s, until_s };
        self.fresh.push(bar.clone());
        self.insert(bar);
        Ok(())
    }

    fn insert(&mut self, Bar { what, made_s, until_s }: Bar) {
        let until = Until { made_s, until_s };
        match what {
            Barring::Token(name) => drop(self.tokens.insert(name, until)),
            Barring::Owner { tenant, subject } => {
                self.owners.insert(Scoped::of_operator(&tenant, subject), until);
            }
        }
    }

    /// Is this token barred?
    pub(crate) fn holds(&self, verified: &Verified) -> bool {
        let made = |bar: &Until| verified.issued_s.is_none_or(|issued| issued <= bar.made_s);
        let barred = |subject: Option<&str>| {
            let owner = verified.scope(subject.map(str::to_owned));
            self.owners.get(&owner).is_some_and(made)
        };
        self.tokens.contains_key(&verified.token) || barred(None) || barred(Some(&verified.subject))
    }

    fn make_room(&mut self, now_s: u64) -> Result<(), NotRevoked> {
        if self.tokens.len() + self.owners.len() >= BARRED_MAX {
            self.tokens.retain(|_, bar| bar.until_s > now_s);
            self.owners.retain(|_, bar| bar.until_s > now_s);
        }
        let room = self.tokens.len() + self.owners.len() < BARRED_MAX;
        room.then_some(()).ok_or(NotRevoked::ListFull)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Folder;

    fn verified(subject: &str, issued_s: u64) -> Verified {
        Verified {
            subject: subject.into(),
            token: format!("{subject}-{issued_s}"),
            issued_s: Some(issued_s),
            ..Verified::default()
        }
    }

    #[test]
    fn tokens_made_until_now_are_barred_and_later_ones_are_good() {
        let mut barred = Barred::default();
        assert_eq!(barred.owner("", Some("eve"), 100, 4_000), Ok(()));
        assert!(barred.holds(&verified("eve", 99)) && barred.holds(&verified("eve", 100)));
        assert!(!barred.holds(&verified("eve", 101)) && !barred.holds(&verified("bob", 99)));
        let elsewhere = Verified { tenant: "acme".into(), ..verified("eve", 99) };
        assert!(!barred.holds(&elsewhere), "of another tenant");
        assert_eq!(barred.owner("acme", None, 100, 4_000), Ok(()));
        assert!(barred.holds(&elsewhere));
        assert_eq!(barred.token("bob-99", 100, 4_000), Ok(()));
        assert!(barred.holds(&verified("bob", 99)) && !barred.holds(&verified("bob", 98)));
    }

    #[test]
    fn what_was_barred_in_an_earlier_life_is_barred() {
        let mut barred = Barred::default();
        assert_eq!(barred.owner("acme", Some("eve"), 100, 4_000), Ok(()));
        assert_eq!(barred.token("bob-99", 100, 4_000), Ok(()));
        let bars = barred.take_fresh();
        assert!(bars.len() == 2 && barred.take_fresh().is_empty());
        let mut next = Barred::default();
        next.restore(bars);
        assert!(next.take_fresh().is_empty(), "they are kept already");
        let eve = Verified { tenant: "acme".into(), ..verified("eve", 99) };
        assert!(next.holds(&eve) && next.holds(&verified("bob", 99)));
        assert!(!next.holds(&Verified { issued_s: Some(101), ..eve }));
    }

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

    #[test]
    fn the_list_is_bounded_and_forgets_what_has_ended() {
        let mut barred = Barred::default();
        for number in 0..BARRED_MAX {
            let until = if number == 0 { 50 } else { 4_000 };
            assert_eq!(barred.token(&number.to_string(), 10, until), Ok(()));
        }
        assert_eq!(barred.token("more", 10, 4_000), Err(NotRevoked::ListFull));
        assert_eq!(barred.token("more", 50, 4_000), Ok(()), "the first has ended");
        assert_eq!(barred.token("yet more", 50, 4_000), Err(NotRevoked::ListFull));
    }
}
