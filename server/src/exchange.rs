//! What passes between the Front and a Room: one bounded mailbox each way (P15).
//!
//! The Front fills the inbox while a tick runs; the Room swaps it whole. The Room publishes one
//! batch per tick or step; at most [`BATCHES_MAX`] wait. When the Front lags, the datagrams of the
//! older batch are dropped and counted, for newer ones replace them; stream writes and closes are
//! merged and never dropped, and beyond [`OUTBOX_BYTES_MAX`] the Room makes no more until the
//! Front has caught up.

use crate::store::QUERIES_MAX;
use starling_protocol::limits::SESSIONS_MAX;
use starling_world::input::{Command, ConnId, Link, TickInputs};
use starling_world::journal::News;
use starling_world::output::Output;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Commands that may wait for one room.
pub const COMMANDS_MAX: usize = 65_536;
/// Bytes of the messages behind those commands.
pub const COMMAND_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Commands that are told however many others wait: a clean end and a loss for every connection
/// that a room knows of, in its world or still in the inbox, the drains of an impatient owner, and
/// answers of the store.
pub const TOLD_MAX: usize = 2 * (SESSIONS_MAX + COMMANDS_MAX) + 16 + QUERIES_MAX;
/// Bytes of uplink datagrams that may wait for one room's tick.
pub const DATAGRAM_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Uplink datagrams that may wait for it, for empty ones take room too.
pub const DATAGRAMS_MAX: usize = 1024 * 1024;
/// Links that may wait for it: each one's own, and a newcomer's.
pub const LINKS_MAX: usize = 2 * SESSIONS_MAX;
/// Batches that may wait for the Front.
pub const BATCHES_MAX: usize = 2;
/// Bytes that may wait for the Front before the Room pauses.
pub const OUTBOX_BYTES_MAX: usize = 256 * 1024 * 1024;
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
    commands: Vec<Command>,
    command_bytes: usize,
    /// How many of the commands were told.
    told: usize,
    /// Which commands say how far the store has come, and how it is.
    committed: Option<usize>,
    health: Option<usize>,
    tick: TickInputs,
    refused: u64,
}

/// The inbox is full. The sender closes the connection, for a lost command would be a silent hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Inbox {
    /// Takes a command in whose message had so many bytes.
    ///
    /// # Errors
    /// [`Full`]; it is counted.
    pub fn command(&mut self, command: Command, bytes: usize) -> Result<(), Full> {
        let crowded = self.commands.len() - self.told >= COMMANDS_MAX;
        if crowded || self.command_bytes + bytes > COMMAND_BYTES_MAX {
            self.refused += 1;
            return Err(Full);
        }
        self.command_bytes += bytes;
        self.commands.push(command);
        Ok(())
    }

    /// Takes in what must be told however full the inbox is: that a connection whose Attach was
    /// taken in is gone, or that the server drains. More than [`TOLD_MAX`] there cannot be; should
    /// there be more, they are counted as refused.
    pub fn tell(&mut self, command: Command) {
        if self.told >= TOLD_MAX {
            self.refused += 1;
            return;
        }
        self.told += 1;
        self.commands.push(command);
    }

    /// Takes in what the store has to say. How far it has come and how it is are told once, in the
    /// newest words; answers are as many as the questions that wait.
    pub fn news(&mut self, news: News) {
        let slot = match news {
            News::Committed { .. } => &mut self.committed,
            News::Health(_) => &mut self.health,
            News::Found { .. } => return self.tell(Command::Store(news)),
        };
        if let Some(at) = *slot {
            self.commands[at] = Command::Store(news);
        } else {
            *slot = Some(self.commands.len());
            self.told += 1;
            self.commands.push(Command::Store(news));
        }
    }

    /// Takes a datagram in, or counts it as refused: a newer one will replace it.
    pub fn datagram(&mut self, conn: ConnId, at_us: u64, payload: &[u8]) {
        let crowded = self.tick.datagrams.len() >= DATAGRAMS_MAX;
        if crowded || self.tick.arena.len() + payload.len() > DATAGRAM_BYTES_MAX {
            self.refused += 1;
            return;
        }
        self.tick.push(conn, at_us, payload);
    }

    /// What a link may carry in the next tick. One that finds no room is counted as refused: the
    /// link keeps what it had.
    pub fn link(&mut self, link: Link) {
        if self.tick.links.len() >= LINKS_MAX {
            self.refused += 1;
            return;
        }
        self.tick.links.push(link);
    }
}

/// What one or several ticks and steps want done.
#[derive(Debug, Default)]
pub struct Batch {
    /// Writes, datagrams, closes and notes.
    pub output: Output,
    /// A tick made it, not a step alone: the Room wants to know what the links carry now.
    pub ticked: bool,
}

/// What the Room has for the Front.
#[derive(Debug, Default)]
struct Outbox {
    batches: VecDeque<Batch>,
    spares: Vec<Batch>,
    datagrams_dropped: u64,
}

/// What a mailbox refused or dropped, and what waits in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Commands and datagrams that found the inbox full.
    pub refused: u64,
    /// Datagrams dropped because the Front lagged.
    pub datagrams_dropped: u64,
    /// Commands that wait.
    pub commands: usize,
    /// Bytes that wait in both directions.
    pub bytes: usize,
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

    /// Swaps the waiting commands for `commands`, which must be empty.
    pub fn take_commands(&self, commands: &mut Vec<Command>) {
        let mut inbox = self.inbox();
        inbox.command_bytes = 0;
        inbox.told = 0;
        (inbox.committed, inbox.health) = (None, None);
        std::mem::swap(&mut inbox.commands, commands);
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
    pub(crate) fn publish(&self, batch: &mut Batch) -> bool {
        if !batch.ticked && is_empty(&batch.output) {
            return false;
        }
        let mut outbox = self.outbox();
        let spare = outbox.spares.pop().unwrap_or_default();
        let full = std::mem::replace(batch, spare);
        outbox.push(full);
        true
    }

    /// Does more wait for the Front than may?
    pub(crate) fn is_congested(&self) -> bool {
        self.outbox().bytes() > OUTBOX_BYTES_MAX
    }

    /// The oldest batch, for the Front to carry out and [`Mailbox::recycle`].
    pub fn collect(&self) -> Option<Batch> {
        self.outbox().batches.pop_front()
    }

    /// Gives a batch back whose work is done, so that its memory serves again.
    pub fn recycle(&self, mut batch: Batch) {
        batch.output.clear();
        batch.ticked = false;
        let mut outbox = self.outbox();
        if outbox.spares.len() < SPARES_MAX {
            outbox.spares.push(batch);
        }
    }

    /// What was refused, and what waits.
    pub fn backlog(&self) -> Backlog {
        let (refused, commands, up) = {
            let inbox = self.inbox();
            (inbox.refused, inbox.commands.len(), inbox.command_bytes + inbox.tick.arena.len())
        };
        let outbox = self.outbox();
        let bytes = up + outbox.bytes();
        Backlog { refused, datagrams_dropped: outbox.datagrams_dropped, commands, bytes }
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outbox {
    fn push(&mut self, batch: Batch) {
        if self.batches.len() < BATCHES_MAX {
            self.batches.push_back(batch);
            return;
        }
        let newest = self.batches.back_mut().expect("BATCHES_MAX is above zero");
        self.datagrams_dropped += merge(newest, &batch);
        if self.spares.len() < SPARES_MAX {
            let mut spare = batch;
            spare.output.clear();
            self.spares.push(spare);
        }
    }

    fn bytes(&self) -> usize {
        self.batches.iter().map(|batch| batch.output.arena.len()).sum()
    }
}

fn is_empty(output: &Output) -> bool {
    output.writes.is_empty()
        && output.datagrams.is_empty()
        && output.closes.is_empty()
        && output.notes.is_empty()
}

/// Appends `newer` to `older`, whose datagrams give way to newer ones. Returns how many did.
fn merge(older: &mut Batch, newer: &Batch) -> u64 {
    older.ticked |= newer.ticked;
    let (older, newer) = (&mut older.output, &newer.output);
    let dropped = if newer.datagrams.is_empty() { 0 } else { older.datagrams.len() };
    older.datagrams.drain(..dropped);
    let shift = older.arena.len();
    let moved = |bytes: &std::ops::Range<usize>| bytes.start + shift..bytes.end + shift;
    older.arena.extend_from_slice(&newer.arena);
    older.writes.extend(newer.writes.iter().cloned().map(|mut write| {
        write.bytes = moved(&write.bytes);
        write
    }));
    older.datagrams.extend(newer.datagrams.iter().cloned().map(|mut datagram| {
        datagram.bytes = moved(&datagram.bytes);
        datagram
    }));
    older.closes.extend(newer.closes.iter().cloned());
    older.notes.extend(newer.notes.iter().cloned());
    dropped as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use starling_protocol::stream::StreamKind;
    use starling_world::journal::Health;
    use starling_world::output::{Outgoing, Write};

    fn batch(byte: u8, datagram: bool) -> Batch {
        let conn = ConnId(1);
        let mut output = Output { arena: vec![byte; 4], ..Output::default() };
        output.writes.push(Write { conn, stream: StreamKind::Control, bytes: 0..2 });
        if datagram {
            output.datagrams.push(Outgoing { conn, bytes: 2..4 });
        }
        Batch { output, ticked: datagram }
    }

    /// Stream bytes and datagram bytes in the order in which the Front would send them.
    fn collected(mailbox: &Mailbox) -> (Vec<u8>, Vec<u8>) {
        let (mut streams, mut datagrams) = (Vec::new(), Vec::new());
        while let Some(batch) = mailbox.collect() {
            let output = &batch.output;
            let bytes = |range: &std::ops::Range<usize>| output.arena[range.clone()].to_vec();
            streams.extend(output.writes.iter().flat_map(|write| bytes(&write.bytes)));
            datagrams.extend(output.datagrams.iter().flat_map(|sent| bytes(&sent.bytes)));
            mailbox.recycle(batch);
        }
        (streams, datagrams)
    }

    #[test]
    fn a_front_that_lags_loses_datagrams_but_no_stream_bytes() {
        let mailbox = Mailbox::new();
        for byte in 1..=4 {
            assert!(mailbox.publish(&mut batch(byte, true)));
        }
        assert_eq!(mailbox.backlog().datagrams_dropped, 2);
        assert_eq!(collected(&mailbox), (vec![1, 1, 2, 2, 3, 3, 4, 4], vec![1, 1, 4, 4]));
    }

    #[test]
    fn a_step_drives_no_datagram_out() {
        let mailbox = Mailbox::new();
        for (byte, datagram) in [(1, true), (2, false), (3, true), (4, false)] {
            mailbox.publish(&mut batch(byte, datagram));
        }
        assert_eq!(mailbox.backlog().datagrams_dropped, 0);
        assert_eq!(collected(&mailbox).1, [1, 1, 3, 3]);
    }

    #[test]
    fn a_step_with_nothing_to_say_is_not_published_and_a_tick_is() {
        let mailbox = Mailbox::new();
        assert!(!mailbox.publish(&mut Batch::default()));
        assert!(mailbox.collect().is_none());
        assert!(mailbox.publish(&mut Batch { ticked: true, ..Batch::default() }));
        assert!(mailbox.collect().is_some_and(|batch| batch.ticked));
    }

    #[test]
    fn a_full_inbox_says_so_but_still_hears_that_a_connection_is_gone() {
        let mut inbox = Inbox::default();
        let command = || Command::RegrantRefused { conn: ConnId(1) };
        for _ in 0..COMMANDS_MAX {
            assert_eq!(inbox.command(command(), 10), Ok(()));
        }
        assert_eq!(inbox.command(command(), 10), Err(Full));
        assert_eq!(inbox.refused, 1);
        inbox.tell(Command::Detach { conn: ConnId(1) });
        assert_eq!(inbox.commands.len(), COMMANDS_MAX + 1);
    }

    #[test]
    fn what_is_told_takes_no_place_of_other_commands_and_has_a_bound_of_its_own() {
        let mut inbox = Inbox::default();
        let gone = || Command::Detach { conn: ConnId(1) };
        for _ in 0..TOLD_MAX {
            inbox.tell(gone());
        }
        assert_eq!(inbox.refused, 0);
        inbox.tell(gone());
        assert_eq!((inbox.commands.len(), inbox.refused), (TOLD_MAX, 1));
        assert_eq!(inbox.command(Command::RegrantRefused { conn: ConnId(1) }, 10), Ok(()));
        let mailbox = Mailbox { inbox: Mutex::new(inbox), ..Mailbox::default() };
        mailbox.take_commands(&mut Vec::new());
        mailbox.inbox().tell(gone());
        assert_eq!(mailbox.backlog().refused, 1, "a room that takes what waits makes room");
    }

    #[test]
    fn what_the_store_says_again_takes_the_place_of_what_it_said() {
        let mailbox = Mailbox::new();
        for changes in 1..=3 {
            mailbox.inbox().news(News::Committed { changes });
            mailbox.inbox().news(News::Health(Health::Full));
            mailbox.inbox().tell(Command::Detach { conn: ConnId(changes) });
        }
        let mut commands = Vec::new();
        mailbox.take_commands(&mut commands);
        assert_eq!(commands.len(), 5);
        let Command::Store(News::Committed { changes: 3 }) = commands[0] else {
            panic!("{:?}", commands[0]);
        };
        mailbox.inbox().news(News::Committed { changes: 4 });
        assert!(mailbox.has_commands(), "the slot was emptied with the inbox");
    }

    #[test]
    fn empty_datagrams_and_links_are_bounded_too() {
        let mut inbox = Inbox::default();
        for _ in 0..=DATAGRAMS_MAX {
            inbox.datagram(ConnId(1), 0, &[]);
        }
        assert_eq!((inbox.tick.datagrams.len(), inbox.refused), (DATAGRAMS_MAX, 1));
        let link = Link { conn: ConnId(1), datagram_bytes: 0, stream_bytes: 0, rtt_us: 0 };
        for _ in 0..=LINKS_MAX {
            inbox.link(link);
        }
        assert_eq!((inbox.tick.links.len(), inbox.refused), (LINKS_MAX, 2));
    }

    #[test]
    fn the_inbox_is_bounded_in_bytes_too() {
        let mut inbox = Inbox::default();
        let command = || Command::RegrantRefused { conn: ConnId(1) };
        assert_eq!(inbox.command(command(), COMMAND_BYTES_MAX), Ok(()));
        assert_eq!(inbox.command(command(), 1), Err(Full));
        let part = vec![0; DATAGRAM_BYTES_MAX / 2 + 1];
        inbox.datagram(ConnId(1), 0, &part);
        inbox.datagram(ConnId(1), 0, &part);
        assert_eq!((inbox.tick.datagrams.len(), inbox.refused), (1, 2));
    }
}
