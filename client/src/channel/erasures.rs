//! Requests to erase what a subject published.

use crate::error::RequestError;
use crate::session::outbox::Outbox;
use starling_protocol::close::CloseCode;
use starling_protocol::message::events::EventUp;
use starling_protocol::stream::StreamKind;
use std::collections::VecDeque;

/// The first number of a request to erase: those for pages lie below.
pub(crate) const FIRST_ERASURE: u32 = 7 << 29;
/// Requests that may wait for their answer, and answers that can still be asked for.
const IN_FLIGHT_MAX: usize = 16;
const ANSWERS_KEPT: usize = 64;
/// Bytes of a subject: more are in no token that a server would keep.
const SUBJECT_BYTES_MAX: usize = 506;

/// What became of a request to erase what a subject published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EraseStatus {
    /// Not answered yet.
    Pending,
    /// It is done, also on disk: so many events have lost their content.
    Erased(u64),
    /// Refused. With `STORE_DAMAGED` what could be erased is.
    Refused(CloseCode),
    /// No such request, or its answer was forgotten.
    Unknown,
}

#[derive(Debug)]
struct Asked {
    request: u32,
    subject: String,
    sent: bool,
}

/// Requests to erase, and the newest answers.
#[derive(Debug)]
pub(crate) struct Erasures {
    asked: VecDeque<Asked>,
    answers: VecDeque<(u32, EraseStatus)>,
    next: u32,
}

impl Default for Erasures {
    fn default() -> Self {
        Self { asked: VecDeque::new(), answers: VecDeque::new(), next: FIRST_ERASURE }
    }
}

impl Erasures {
    pub(crate) fn ask(&mut self, subject: &str) -> Result<u32, RequestError> {
        if subject.len() > SUBJECT_BYTES_MAX {
            return Err(RequestError::TooLarge);
        }
        if self.asked.len() == IN_FLIGHT_MAX {
            return Err(RequestError::Busy);
        }
        let request = self.next;
        self.next = self.next.wrapping_add(1).max(FIRST_ERASURE);
        self.asked.push_back(Asked { request, subject: subject.to_owned(), sent: false });
        Ok(request)
    }

    /// Writes what was not sent on this connection, as far as there is room.
    pub(crate) fn flush(&mut self, outbox: &mut Outbox) {
        for asked in self.asked.iter_mut().filter(|asked| !asked.sent) {
            if !outbox.has_room(StreamKind::Events) {
                return;
            }
            let (request, subject) = (asked.request, asked.subject.clone());
            asked.sent = outbox.event(&EventUp::Erase { request, subject }).is_ok();
        }
    }

    /// A new connection: whatever was asked is asked again. What is erased twice is erased.
    pub(crate) fn ask_again(&mut self) {
        self.asked.iter_mut().for_each(|asked| asked.sent = false);
    }

    /// The server's answer. False when nothing with this number waits for one.
    pub(crate) fn answer(&mut self, request: u32, status: EraseStatus) -> bool {
        let place = self.asked.iter().position(|asked| asked.request == request && asked.sent);
        let Some(place) = place else { return false };
        self.asked.remove(place);
        if self.answers.len() == ANSWERS_KEPT {
            self.answers.pop_front();
        }
        self.answers.push_back((request, status));
        true
    }

    pub(crate) fn status(&self, request: u32) -> EraseStatus {
        if self.asked.iter().any(|asked| asked.request == request) {
            return EraseStatus::Pending;
        }
        let answer = self.answers.iter().rev().find(|answer| answer.0 == request);
        answer.map_or(EraseStatus::Unknown, |answer| answer.1)
    }
}
