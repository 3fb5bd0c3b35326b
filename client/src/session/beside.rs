//! What channels carry beside their events: values, notes, receipts, leases.

use super::Session;
use crate::channel::{
    EraseStatus, FIRST_ERASURE, FIRST_PAGE, FIRST_REQUEST, Heard, History, KeyedState, Note,
    PageStatus, UnreadStatus,
};
use crate::error::RequestError;
use crate::event::ClientEvent;
use starling_protocol::close::CloseCode;
use starling_protocol::limits::{LEASE_DATA_BYTES_MAX, LEASE_NAME_BYTES_MAX};
use starling_protocol::message::events::{EventDown, EventUp, Lease, LeaseTold};
use starling_protocol::units::{ChannelKey, MessageId, Nanos, Offset};

impl Session {
    /// The values of a channel's keys; `None` for no subscription.
    #[must_use]
    pub fn state_of(&self, key: ChannelKey) -> Option<&KeyedState> {
        self.subscriptions.get(key).map(|subscription| subscription.values())
    }

    /// What others do in a channel at this moment, such as typing.
    pub fn leases(&self, key: ChannelKey, now: Nanos) -> impl Iterator<Item = &LeaseTold> {
        self.subscriptions.get(key).into_iter().flat_map(move |s| s.leases(now))
    }

    /// Says that I do something in a channel (`typing`) for so many milliseconds from now, unless I
    /// say so again; 0 ends it.
    ///
    /// # Errors
    /// [`RequestError::TooLarge`]; [`RequestError::Unknown`] for no subscription;
    /// [`RequestError::NotLive`]; [`RequestError::Busy`].
    pub fn lease(
        &mut self,
        key: ChannelKey,
        name: &str,
        ttl_ms: u32,
        data: &[u8],
    ) -> Result<(), RequestError> {
        if name.len() > LEASE_NAME_BYTES_MAX || data.len() > LEASE_DATA_BYTES_MAX {
            return Err(RequestError::TooLarge);
        }
        self.subscriptions.get(key).ok_or(RequestError::Unknown)?;
        if !self.is_live() {
            return Err(RequestError::NotLive);
        }
        let (name, data) = (name.to_owned(), data.to_owned());
        let lease = Box::new(Lease { key, name, ttl_ms, data });
        Ok(self.outbox.event(&EventUp::Lease(lease))?)
    }

    /// Sets a note on a message or takes it back; it is repeated under the same id until it is
    /// answered, as a publish is: see [`Session::publish_status`].
    ///
    /// # Errors
    /// [`RequestError::TooLarge`]; [`RequestError::Busy`] when 256 wait for their answer.
    pub fn annotate(&mut self, note: Note) -> Result<MessageId, RequestError> {
        self.open()?;
        let message = self.publishes.push_note(note)?;
        self.flush();
        Ok(message)
    }

    /// Says that I have read everything in a channel up to an event. Only the newest is told, and
    /// it never goes back.
    ///
    /// # Errors
    /// [`RequestError::Unknown`] for no subscription; [`RequestError::Closed`].
    pub fn mark_read(&mut self, key: ChannelKey, offset: Offset) -> Result<(), RequestError> {
        self.open()?;
        self.subscriptions.get(key).ok_or(RequestError::Unknown)?;
        self.receipts.read(key, offset);
        self.flush();
        Ok(())
    }

    /// Asks how much of these channels I have not read, followed or not. The answer is
    /// [`ClientEvent::Unread`], and [`Session::unread`] under the number returned.
    ///
    /// # Errors
    /// [`RequestError::TooLarge`]; [`RequestError::Busy`] when 16 questions wait.
    pub fn count_unread(&mut self, channels: &[&str]) -> Result<u32, RequestError> {
        self.open()?;
        let request = self.receipts.ask(channels)?;
        self.flush();
        Ok(request)
    }

    /// What became of a question for unread counts. The last 64 answers are remembered.
    #[must_use]
    pub fn unread(&self, request: u32) -> UnreadStatus {
        self.receipts.status(request)
    }

    /// Reads earlier events of a channel, followed or not. The answer is [`ClientEvent::History`], and
    /// [`Session::page`] under the number returned; a refusal is [`ClientEvent::AskRefused`].
    ///
    /// A page ends at 256 events or 48 KiB: `next` of it says where to ask on. `expired` names the
    /// part of what was asked for that is kept no longer.
    ///
    /// # Errors
    /// [`RequestError::TooLarge`]; [`RequestError::Busy`] when four wait; [`RequestError::Closed`].
    pub fn history(&mut self, channel: &str, what: History) -> Result<u32, RequestError> {
        self.open()?;
        let request = self.pages.ask(channel, what)?;
        self.flush();
        Ok(request)
    }

    /// What became of a request for a page. The last 16 answers are remembered.
    #[must_use]
    pub fn page(&self, request: u32) -> PageStatus {
        self.pages.status(request)
    }

    /// Erases everything that a subject ever published in this world; needs the right to administer. The
    /// numbers of the events stay, as tombstones. The answer is [`ClientEvent::Erased`], when it is done,
    /// also on the server's disk, and [`Session::erasure`] under the number returned; a refusal is
    /// [`ClientEvent::AskRefused`].
    ///
    /// # Errors
    /// [`RequestError::TooLarge`]; [`RequestError::Busy`] when 16 wait; [`RequestError::Closed`].
    pub fn erase(&mut self, subject: &str) -> Result<u32, RequestError> {
        self.open()?;
        let request = self.erasures.ask(subject)?;
        self.flush();
        Ok(request)
    }

    /// What became of a request to erase. The last 64 answers are remembered.
    #[must_use]
    pub fn erasure(&self, request: u32) -> EraseStatus {
        self.erasures.status(request)
    }

    /// What the server says of such things.
    pub(super) fn hear_beside(&mut self, message: EventDown) -> Heard {
        match message {
            EventDown::Cursors { key, cursors } => {
                self.queue.push(ClientEvent::Cursors { key, cursors });
            }
            EventDown::Unread { request, channels } => {
                let counted = UnreadStatus::Counted(channels.clone());
                if !self.receipts.answer(request, counted) {
                    return Heard::Breach;
                }
                self.queue.push(ClientEvent::Unread { request, channels });
            }
            EventDown::History(page) => {
                let request = page.request;
                if !self.pages.answer(request, PageStatus::Read(page)) {
                    return Heard::Breach;
                }
                self.queue.push(ClientEvent::History { request });
            }
            EventDown::Erased { request, events } => {
                if !self.erasures.answer(request, EraseStatus::Erased(events)) {
                    return Heard::Breach;
                }
                self.queue.push(ClientEvent::Erased { request, events });
            }
            EventDown::RequestRefused { request, code, retry_after_ms } => {
                self.ask_refused(request, code, retry_after_ms);
            }
            _ => {} // of a later minor version: not for us
        }
        Heard::Nothing
    }

    fn ask_refused(&mut self, request: u32, code: CloseCode, retry_after_ms: Option<u32>) {
        self.queue.push(if request < FIRST_REQUEST {
            ClientEvent::ChannelRefused { key: ChannelKey(request), code, retry_after_ms }
        } else {
            if request < FIRST_PAGE {
                self.receipts.answer(request, UnreadStatus::Refused(code));
            } else if request < FIRST_ERASURE {
                self.pages.answer(request, PageStatus::Refused(code));
            } else {
                self.erasures.answer(request, EraseStatus::Refused(code));
            }
            ClientEvent::AskRefused { request, code, retry_after_ms }
        });
    }
}
