//! What passes between the Front and a Room: one bounded mailbox each way.
//!
//! The Front fills the inbox while a tick runs; the Room swaps it whole. The Room publishes one
//! batch per tick or step; at most [`BATCHES_MAX`] wait. When the Front lags, the datagrams of the
//! older batch are dropped and counted, for newer ones replace them; stream writes and closes are
//! merged and never dropped.

use starling_world::input::{Command, TickInputs};
use starling_world::output::Output;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Commands that may wait for one room.
pub const COMMANDS_MAX: usize = 65_536;
/// Bytes of uplink datagrams that may wait for one room's tick.
pub const DATAGRAM_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Batches that may wait for the Front.
pub const BATCHES_MAX: usize = 2;
/// Emptied buffers kept for reuse.
const SPARES_MAX: usize = BATCHES_MAX + 1;

/// Both directions between the Front and one Room.
#[derive(Debug, Default)]
pub struct Mailbox {
    inbox: Mutex<Inbox>,
    outbox: Mutex<Outbox>,
}

/// What the Front has for the Room.
#[derive(Debug, Default)]
pub struct Inbox {
    /// What must not wait for a tick.
    pub commands: Vec<Command>,
    /// What the next tick takes in.
    pub tick: TickInputs,
    /// Datagrams that found the inbox full.
    pub datagrams_refused: u64,
    /// Commands that found the inbox full.
    pub commands_refused: u64,
}

impl Inbox {
    /// Takes a command in, or counts it as refused and gives it back.
    ///
    /// # Errors
    /// The command, when [`COMMANDS_MAX`] wait already; its sender must close the connection, for
    /// a lost command would be a silent hole.
    pub fn command(&mut self, command: Command) -> Result<(), Command> {
        if self.commands.len() >= COMMANDS_MAX {
            self.commands_refused += 1;
            return Err(command);
        }
        self.commands.push(command);
        Ok(())
    }

    /// Takes a datagram in, or counts it as refused: a newer one will replace it.
    pub fn datagram(&mut self, conn: starling_world::input::ConnId, at_us: u64, payload: &[u8]) {
        if self.tick.arena.len() + payload.len() > DATAGRAM_BYTES_MAX {
            self.datagrams_refused += 1;
            return;
        }
        self.tick.push(conn, at_us, payload);
    }
}

/// What the Room has for the Front.
#[derive(Debug, Default)]
struct Outbox {
    batches: VecDeque<Output>,
    spares: Vec<Output>,
    datagrams_dropped: u64,
}

impl Mailbox {
    /// An empty mailbox.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The inbox, for as long as the guard lives.
    pub fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves waiting commands into `commands`, which must be empty.
    pub(crate) fn take_commands(&self, commands: &mut Vec<Command>) {
        std::mem::swap(&mut self.inbox().commands, commands);
    }

    /// Swaps the datagrams that wait for `tick`, which must be empty.
    pub(crate) fn take_tick(&self, tick: &mut TickInputs) {
        std::mem::swap(&mut self.inbox().tick, tick);
    }

    /// Does a command wait?
    pub(crate) fn has_commands(&self) -> bool {
        !self.inbox().commands.is_empty()
    }

    /// Publishes a batch and leaves an empty one in its place. Says whether there was anything.
    pub(crate) fn publish(&self, batch: &mut Output) -> bool {
        if is_empty(batch) {
            return false;
        }
        let mut outbox = self.outbox();
        let spare = outbox.spares.pop().unwrap_or_default();
        let full = std::mem::replace(batch, spare);
        if outbox.batches.len() < BATCHES_MAX {
            outbox.batches.push_back(full);
            return true;
        }
        let newest = outbox.batches.back_mut().expect("BATCHES_MAX is above zero");
        let dropped = merge(newest, full);
        outbox.datagrams_dropped += dropped;
        true
    }

    /// The oldest batch, for the Front to carry out and [`Mailbox::recycle`].
    pub fn collect(&self) -> Option<Output> {
        self.outbox().batches.pop_front()
    }

    /// Gives a batch back whose work is done, so that its memory serves again.
    pub fn recycle(&self, mut batch: Output) {
        batch.clear();
        let mut outbox = self.outbox();
        if outbox.spares.len() < SPARES_MAX {
            outbox.spares.push(batch);
        }
    }

    /// Datagrams dropped because the Front lagged.
    pub fn datagrams_dropped(&self) -> u64 {
        self.outbox().datagrams_dropped
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_empty(batch: &Output) -> bool {
    batch.writes.is_empty()
        && batch.datagrams.is_empty()
        && batch.closes.is_empty()
        && batch.notes.is_empty()
}

/// Appends `newer` to `older`, whose datagrams give way. Returns how many did.
fn merge(older: &mut Output, newer: Output) -> u64 {
    let dropped = if newer.datagrams.is_empty() { 0 } else { older.datagrams.len() as u64 };
    if dropped > 0 {
        older.datagrams.clear();
    }
    let shift = older.arena.len();
    older.arena.extend_from_slice(&newer.arena);
    let moved = |bytes: std::ops::Range<usize>| bytes.start + shift..bytes.end + shift;
    older.writes.extend(newer.writes.into_iter().map(|mut write| {
        write.bytes = moved(write.bytes);
        write
    }));
    older.datagrams.extend(newer.datagrams.into_iter().map(|mut datagram| {
        datagram.bytes = moved(datagram.bytes);
        datagram
    }));
    older.closes.extend(newer.closes);
    older.notes.extend(newer.notes);
    dropped
}

#[cfg(test)]
mod tests {
    use super::*;
    use starling_protocol::stream::StreamKind;
    use starling_world::input::ConnId;
    use starling_world::output::{Outgoing, Write};

    fn batch(conn: u64, byte: u8) -> Output {
        let conn = ConnId(conn);
        let mut batch = Output { arena: vec![byte; 4], ..Output::default() };
        batch.writes.push(Write { conn, stream: StreamKind::Control, bytes: 0..2 });
        batch.datagrams.push(Outgoing { conn, bytes: 2..4 });
        batch
    }

    #[test]
    fn a_front_that_lags_loses_datagrams_but_no_stream_bytes() {
        let mailbox = Mailbox::new();
        for byte in 1..=3 {
            assert!(mailbox.publish(&mut batch(1, byte)));
        }
        assert_eq!(mailbox.datagrams_dropped(), 1);
        let mut streams = Vec::new();
        let mut datagrams = Vec::new();
        while let Some(batch) = mailbox.collect() {
            for write in &batch.writes {
                streams.extend_from_slice(&batch.arena[write.bytes.clone()]);
            }
            for datagram in &batch.datagrams {
                datagrams.extend_from_slice(&batch.arena[datagram.bytes.clone()]);
            }
            mailbox.recycle(batch);
        }
        assert_eq!(streams, [1, 1, 2, 2, 3, 3]);
        assert_eq!(datagrams, [1, 1, 3, 3]);
    }

    #[test]
    fn an_empty_batch_is_not_published() {
        let mailbox = Mailbox::new();
        assert!(!mailbox.publish(&mut Output::default()));
        assert!(mailbox.collect().is_none());
    }

    #[test]
    fn a_full_inbox_gives_the_command_back() {
        let mut inbox = Inbox::default();
        for _ in 0..COMMANDS_MAX {
            assert!(inbox.command(Command::Detach { conn: ConnId(1) }).is_ok());
        }
        assert!(inbox.command(Command::Detach { conn: ConnId(2) }).is_err());
        assert_eq!(inbox.commands_refused, 1);
    }
}
