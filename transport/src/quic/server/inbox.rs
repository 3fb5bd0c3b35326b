//! The bounded queue between the connection tasks and whoever polls the server.
//!
//! A task pushes what it read under one lock; the poller swaps the whole queue out under one lock.
//! The poller is woken only when it waits. Each connection's share is bounded by its [`Flow`].

use super::flow::Flow;
use crate::ConnKey;
use bytes::Bytes;
use quinn::Connection;
use starling_protocol::close::CloseCode;
use starling_protocol::stream::StreamKind;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// What a task has to say.
pub(super) enum Note {
    /// A connection stands.
    Up {
        key: ConnKey,
        connection: Connection,
        flow: Arc<Flow>,
    },
    /// The client opened a stream; the way back is with the [`Flow`].
    Opened {
        key: ConnKey,
        stream: StreamKind,
    },
    Datagram {
        key: ConnKey,
        payload: Bytes,
        at: Instant,
    },
    Stream {
        key: ConnKey,
        stream: StreamKind,
        bytes: Bytes,
        at: Instant,
    },
    /// A stream that was full has room again.
    Writable {
        key: ConnKey,
    },
    /// Nothing follows.
    Closed {
        key: ConnKey,
        code: CloseCode,
        reason: String,
    },
}

#[derive(Default)]
struct Queue {
    notes: VecDeque<Note>,
    /// The poller sleeps on the condition.
    waiting: bool,
    /// Somebody asked the poller to come.
    woken: bool,
}

#[derive(Default)]
pub(super) struct Inbox {
    queue: Mutex<Queue>,
    arrived: Condvar,
}

impl Inbox {
    pub(super) fn push(&self, note: Note) {
        self.extend([note]);
    }

    /// Pushes all at once, and wakes the poller if it waits.
    pub(super) fn extend(&self, notes: impl IntoIterator<Item = Note>) {
        let mut queue = self.lock();
        queue.notes.extend(notes);
        self.rouse(queue);
    }

    /// Swaps the queue for `emptied`.
    pub(super) fn take(&self, emptied: &mut VecDeque<Note>) {
        std::mem::swap(&mut self.lock().notes, emptied);
    }

    pub(super) fn wake(&self) {
        let mut queue = self.lock();
        queue.woken = true;
        self.rouse(queue);
    }

    /// Sleeps until there is a note, somebody wakes, or the time is over.
    pub(super) fn wait(&self, timeout: Duration) {
        let mut queue = self.lock();
        queue.waiting = true;
        let idle = |queue: &mut Queue| queue.notes.is_empty() && !queue.woken;
        let slept = self.arrived.wait_timeout_while(queue, timeout, idle);
        let (mut queue, _) = slept.expect("nobody panics while holding the queue");
        queue.waiting = false;
        queue.woken = false;
    }

    fn rouse(&self, queue: MutexGuard<'_, Queue>) {
        let waiting = queue.waiting;
        drop(queue);
        if waiting {
            self.arrived.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("nobody panics while holding the queue")
    }
}
