//! Events that are numbered and not yet on stable storage.

use super::rows;
use super::seen::{self, Author, Fate, Stands};
use crate::World;
use crate::channel::ChannelIdx;
use crate::channel::log::Record;
use crate::channel::publish::{Accepted, Refusal};
use crate::checksum::Checksum;
use crate::journal::{Health, Table};
use crate::session::SessionIdx;
use starling_protocol::close::CloseCode;
use starling_protocol::message::events::{Action, EventDown, Receipt};
use starling_protocol::planted::{self, Bug};
use starling_protocol::units::{ChannelPosition, MessageId, Offset, SessionId};
use std::collections::VecDeque;
use std::sync::Arc;

/// Events of a world that wait for the disk.
const EVENTS_MAX: usize = 16_384;
/// Bytes of their rows.
const BYTES_MAX: usize = 32 * 1024 * 1024;

/// Who asked for an event, and as what.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) session: SessionId,
    pub(crate) author: Author,
    pub(crate) message: MessageId,
}

/// One event on its way to the disk.
#[derive(Debug)]
struct Waiting {
    /// The number of its last change.
    change: u64,
    channel: ChannelIdx,
    offset: Offset,
    bytes: usize,
    /// Whose message it is; `None` for the server's own.
    message: Option<(Author, MessageId)>,
    /// It brought nothing about, and is answered when what it rests on is on stable storage.
    empty: bool,
}

/// Events on their way to the disk, in order.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    queue: VecDeque<Waiting>,
    bytes: usize,
}

impl Pending {
    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    fn has_room(&self) -> bool {
        self.queue.len() < EVENTS_MAX && self.bytes < BYTES_MAX
    }

    fn push(&mut self, waiting: Waiting) {
        self.bytes += waiting.bytes;
        self.queue.push_back(waiting);
    }

    /// The oldest, if it is on stable storage.
    fn pop(&mut self, is_kept: impl Fn(u64) -> bool) -> Option<Waiting> {
        let oldest = self.queue.front()?;
        let waiting = is_kept(oldest.change).then(|| self.queue.pop_front())??;
        self.bytes -= waiting.bytes;
        Some(waiting)
    }

    pub(crate) fn add_to(&self, sum: &mut Checksum) {
        for waiting in &self.queue {
            sum.add(waiting.change).add(waiting.offset.0);
        }
    }
}

impl World {
    /// May a durable channel take an event now?
    ///
    /// # Errors
    /// `STORE_FULL`, `STORE_BUSY`, `OVERLOADED`: later; `STORE_DAMAGED`: never.
    pub(crate) fn may_keep(&self, channel: Option<ChannelIdx>) -> Result<(), CloseCode> {
        let kept = channel.and_then(|idx| self.channels[idx].kept.as_deref());
        if kept.is_some_and(|kept| kept.damaged) {
            return Err(CloseCode::STORE_DAMAGED);
        }
        match self.durable.health {
            Health::Well if self.durable.pending.has_room() => {}
            Health::Full => return Err(CloseCode::STORE_FULL),
            _ => return Err(CloseCode::STORE_BUSY),
        }
        Ok(())
    }

    /// May one more message id of a session be remembered?
    ///
    /// # Errors
    /// `RATE_LIMITED` where its publisher has as many as one may have; `OVERLOADED` where the world
    /// has, and the publisher its share.
    pub(crate) fn may_remember(&self, idx: SessionIdx) -> Result<(), CloseCode> {
        let session = &self.sessions[idx];
        let author = Author::of(session.id, &session.principal.subject);
        self.durable.seen.check_room(&author)
    }

    /// A message that brings nothing about is answered with this place, once everything that was
    /// accepted before it is on stable storage.
    pub(crate) fn answer_once_kept(
        &mut self,
        channel: ChannelIdx,
        at: ChannelPosition,
        idx: SessionIdx,
        message: MessageId,
    ) -> Result<Accepted, Refusal> {
        let asked = self.asked(idx, message).ok_or(CloseCode::STORE_BUSY)?;
        let (minute, stands) = (self.kept_minute(), Stands { at, content: 0 });
        let message = Some(self.journal_message(stands, minute, asked));
        let (change, offset) = (self.durable.journal.written(), at.offset);
        let (bytes, empty) = (0, true);
        self.durable.pending.push(Waiting { change, channel, offset, bytes, message, empty });
        Ok(Accepted::OnceKept)
    }

    /// Gives an event of a durable channel its number and sends it to the disk.
    pub(crate) fn append_unseen(
        &mut self,
        idx: ChannelIdx,
        record: Record,
        asked: Option<Asked>,
    ) -> ChannelPosition {
        let (at_ms, minute) = (self.kept_ms(), self.kept_minute());
        let content = self.content_of(idx, &record);
        let row = rows::event(&record);
        let bytes = row.len();
        let record = Arc::new(record);
        let at = self.channels.append_unseen(idx, Arc::clone(&record));
        let channel = &mut self.channels[idx];
        let kept = channel.kept.as_deref_mut().expect("a durable channel knows what it keeps");
        let begins = kept.note(at.offset, bytes as u64, at_ms);
        let id = kept.id;
        self.durable.journal.put(Table::Event, rows::event_key(id, at.offset), row);
        self.journal_value(id, at.offset, &record);
        self.journal_aside(idx, id, at.offset, &record);
        if begins {
            self.journal_channel(idx);
            self.retain(idx);
        }
        let message =
            asked.map(|asked| self.journal_message(Stands { at, content }, minute, asked));
        let change = self.durable.journal.written();
        let (channel, offset, empty) = (idx, at.offset, false);
        self.durable.pending.push(Waiting { change, channel, offset, bytes, message, empty });
        if planted::is(Bug::ShownEarly) {
            self.channels.show_through(idx, at.offset);
            self.wake_subscribers(idx);
        }
        at
    }

    /// What a publish says. A note's event says more than its request did.
    fn content_of(&self, idx: ChannelIdx, record: &Record) -> u64 {
        let Record { action, state_key, parent, payload, .. } = record;
        match action {
            Action::Annotate(_) => 0,
            _ => {
                let name = &self.channels[idx].name;
                seen::content(name, *action, state_key.as_deref(), *parent, payload)
            }
        }
    }

    /// What the channel's row says has changed.
    pub(crate) fn journal_channel(&mut self, idx: ChannelIdx) {
        let channel = &mut self.channels[idx];
        let Some(kept) = channel.kept.as_deref_mut() else { return };
        kept.written = true;
        let (top, offset) = (channel.log.top(), channel.log.newest());
        let row = rows::channel(kept.id, ChannelPosition { offset, ..top }, kept.marks());
        self.durable.journal.put(Table::Channel, channel.name.clone().into_bytes(), row);
    }

    fn journal_message(
        &mut self,
        stands: Stands,
        minute: u32,
        asked: Asked,
    ) -> (Author, MessageId) {
        let Asked { session, author, message } = asked;
        let key = rows::seen_key(minute, &author, message);
        if !planted::is(Bug::SeenUnkept) {
            self.durable.journal.put(Table::Seen, key, rows::seen(stands));
        }
        let fate = Fate::Pending(stands, vec![session]);
        self.durable.seen.insert(minute, author.clone(), message, fate);
        (author, message)
    }

    /// P5: what is on stable storage now may be seen: it is delivered, and whoever waits for it is
    /// answered, on whatever connection that session has by now.
    pub(crate) fn show_committed(&mut self) {
        while let Some(waiting) = {
            let durable = &mut self.durable;
            durable.pending.pop(|change| durable.journal.has(change))
        } {
            let Waiting { channel, offset, message, empty, .. } = waiting;
            if let Some((author, message)) = message.as_ref().filter(|_| empty) {
                self.acknowledge(author, *message);
                continue;
            }
            self.counters.events_committed += 1;
            let record = self.channels[channel].log.share(offset);
            self.channels.show_through(channel, offset);
            if let Some(record) = record {
                self.take_in(channel, offset, &record);
            }
            self.wake_subscribers(channel);
            if let Some((author, message)) = message {
                self.acknowledge(&author, message);
            }
        }
    }

    fn acknowledge(&mut self, author: &Author, message: MessageId) {
        let Some((at, waiting)) = self.durable.seen.kept(author, message) else { return };
        let told = EventDown::Published { message, receipt: Receipt::Channel(at) };
        for idx in waiting.into_iter().filter_map(|id| self.sessions.by_id(id)).collect::<Vec<_>>()
        {
            self.sessions.event(idx, &told, self.now);
        }
    }
}
