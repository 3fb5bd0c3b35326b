//! The keeper on a thread of its own.

use super::desk::Desk;
use super::keeper::{Grouping, Keeper};
use super::{Books, Store};
use crate::room::pool::Clock;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

/// A keeper at work. What waits is written before it goes.
pub struct Clerk {
    books: Books,
    thread: Option<JoinHandle<()>>,
}

impl Clerk {
    /// Sets a keeper to work.
    ///
    /// # Errors
    /// What the system says when it grants no thread.
    pub fn start(store: Arc<dyn Store>, grouping: Grouping, clock: Clock) -> io::Result<Self> {
        let keeper = Keeper::new(store, grouping);
        let books = Books::of(&keeper);
        let work = move || work(keeper, clock);
        let thread = std::thread::Builder::new().name("store".into()).spawn(work)?;
        Ok(Self { books, thread: Some(thread) })
    }

    /// Where rooms hand in.
    #[must_use]
    pub const fn desk(&self) -> &Arc<Desk> {
        self.books.desk()
    }

    /// What whoever makes worlds needs of it.
    #[must_use]
    pub const fn books(&self) -> &Books {
        &self.books
    }
}

impl Drop for Clerk {
    fn drop(&mut self) {
        self.desk().stop();
        if let Some(thread) = self.thread.take() {
            // A keeper that panicked has said so already.
            drop(thread.join());
        }
    }
}

impl std::fmt::Debug for Clerk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clerk").field("desk", self.desk()).finish_non_exhaustive()
    }
}

fn work(mut keeper: Keeper, clock: Clock) {
    let desk = Arc::clone(keeper.desk());
    let end = FailsWith(Arc::clone(&desk));
    while !desk.is_stopping() {
        keeper.poll(clock.now(), &|| clock.now());
        if !keeper.has_news() {
            desk.wait(|| clock.now());
        }
    }
    let left = keeper.finish(clock.now(), &|| clock.now());
    if left > 0 {
        tracing::error!(changes = left, "stopped with a full disk: what waited is not written");
    }
    drop(end);
}

/// Tells every world that nothing is written any more, should the keeper break down.
struct FailsWith(Arc<Desk>);

impl Drop for FailsWith {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail();
        }
    }
}
