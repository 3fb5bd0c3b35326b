//! Pages of what was said earlier.

use crate::error::RequestError;
use crate::session::outbox::Outbox;
use starling_protocol::close::CloseCode;
use starling_protocol::limits::{
    CHANNEL_NAME_BYTES_MAX, HISTORY_EVENTS_MAX, HISTORY_IN_FLIGHT_MAX,
};
use starling_protocol::message::events::{EventUp, HistoryPage, HistoryQuery, HistoryRange};
use starling_protocol::stream::StreamKind;
use starling_protocol::units::Offset;
use std::collections::VecDeque;

/// The first number of a request for a page: those of other questions lie below.
pub(crate) const FIRST_PAGE: u32 = 3 << 30;
/// Answers that can still be asked for.
const ANSWERS_KEPT: usize = 16;

/// What to read of a channel's history.
///
/// ```
/// use starling_client::History;
/// let newest = History::newest(50);
/// let run = History::between(1, 500).limit(100);
/// let answers = History::newest(20).thread(17);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    range: HistoryRange,
    thread: Option<Offset>,
    limit: u16,
}

impl History {
    /// The newest events, at most so many.
    #[must_use]
    pub const fn newest(limit: u16) -> Self {
        Self { range: HistoryRange::Newest, thread: None, limit }
    }

    /// Events by number, both included, the oldest first.
    #[must_use]
    pub const fn between(from: u64, to: u64) -> Self {
        Self::of(HistoryRange::Offsets { from: Offset(from), to: Offset(to) })
    }

    /// Events by the server's clock in milliseconds since 1970, both included, the oldest first.
    #[must_use]
    pub const fn at(from_ms: u64, to_ms: u64) -> Self {
        Self::of(HistoryRange::Times { from_ms, to_ms })
    }

    const fn of(range: HistoryRange) -> Self {
        Self { range, thread: None, limit: HISTORY_EVENTS_MAX }
    }

    /// At most so many in one page, up to 256.
    #[must_use]
    pub const fn limit(mut self, limit: u16) -> Self {
        self.limit = limit;
        self
    }

    /// Only the answers to this event.
    #[must_use]
    pub const fn thread(mut self, parent: u64) -> Self {
        self.thread = Some(Offset(parent));
        self
    }
}

/// What became of a request for a page.
#[derive(Clone, Debug, PartialEq)]
pub enum PageStatus {
    /// Not answered yet.
    Pending,
    /// Here it is.
    Read(Box<HistoryPage>),
    /// Refused.
    Refused(CloseCode),
    /// No such request, or its answer was forgotten.
    Unknown,
}

/// Requests for pages, and the newest answers.
#[derive(Debug)]
pub(crate) struct Pages {
    asked: VecDeque<(HistoryQuery, bool)>,
    answers: VecDeque<(u32, PageStatus)>,
    next: u32,
}

impl Default for Pages {
    fn default() -> Self {
        Self { asked: VecDeque::new(), answers: VecDeque::new(), next: FIRST_PAGE }
    }
}

impl Pages {
    pub(crate) fn ask(&mut self, channel: &str, what: History) -> Result<u32, RequestError> {
        if channel.len() > CHANNEL_NAME_BYTES_MAX {
            return Err(RequestError::TooLarge);
        }
        if self.asked.len() == HISTORY_IN_FLIGHT_MAX {
            return Err(RequestError::Busy);
        }
        let request = self.next;
        self.next = self.next.wrapping_add(1).max(FIRST_PAGE);
        let History { range, thread, limit } = what;
        let query = HistoryQuery { request, channel: channel.to_owned(), range, thread, limit };
        self.asked.push_back((query, false));
        Ok(request)
    }

    /// Writes what was not sent on this connection, as far as there is room.
    pub(crate) fn flush(&mut self, outbox: &mut Outbox) {
        for (query, sent) in self.asked.iter_mut().filter(|(_, sent)| !sent) {
            if !outbox.has_room(StreamKind::Events) {
                return;
            }
            *sent = outbox.event(&EventUp::History(Box::new(query.clone()))).is_ok();
        }
    }

    /// A new connection: whatever was asked is asked again, which changes nothing.
    pub(crate) fn ask_again(&mut self) {
        self.asked.iter_mut().for_each(|(_, sent)| *sent = false);
    }

    /// The server's answer. False when nothing with this number waits for one.
    pub(crate) fn answer(&mut self, request: u32, status: PageStatus) -> bool {
        let place = self.asked.iter().position(|(query, sent)| query.request == request && *sent);
        let Some(place) = place else { return false };
        self.asked.remove(place);
        if self.answers.len() == ANSWERS_KEPT {
            self.answers.pop_front();
        }
        self.answers.push_back((request, status));
        true
    }

    pub(crate) fn status(&self, request: u32) -> PageStatus {
        if self.asked.iter().any(|(query, _)| query.request == request) {
            return PageStatus::Pending;
        }
        let answer = self.answers.iter().rev().find(|answer| answer.0 == request);
        answer.map_or(PageStatus::Unknown, |answer| answer.1.clone())
    }
}
