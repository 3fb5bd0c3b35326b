//! How far I have read, and how much I have not.

use crate::error::RequestError;
use crate::session::outbox::Outbox;
use starling_protocol::close::CloseCode;
use starling_protocol::limits::{CHANNEL_NAME_BYTES_MAX, SUBSCRIPTIONS_MAX};
use starling_protocol::message::events::{EventUp, Unread};
use starling_protocol::stream::StreamKind;
use starling_protocol::units::{ChannelKey, Offset};
use std::collections::{BTreeMap, VecDeque};

/// The first number of a request: keys of channels, which stand for some, lie below.
pub(crate) const FIRST_REQUEST: u32 = 1 << 31;
/// Questions that may wait for their answer, and answers that can still be asked for.
const IN_FLIGHT_MAX: usize = 16;
const ANSWERS_KEPT: usize = 64;

/// What became of a question for unread counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnreadStatus {
    /// Not answered yet.
    Pending,
    /// One for each channel, in the order asked for.
    Counted(Vec<Unread>),
    /// Refused.
    Refused(CloseCode),
    /// No such question, or its answer was forgotten.
    Unknown,
}

#[derive(Debug)]
struct Question {
    request: u32,
    channels: Vec<String>,
    sent: bool,
}

/// Receipts on their way up, and questions.
#[derive(Debug)]
pub(crate) struct Receipts {
    /// The newest of each channel that is not known to have arrived, and whether it was sent.
    read: BTreeMap<ChannelKey, (Offset, bool)>,
    questions: VecDeque<Question>,
    answers: VecDeque<(u32, UnreadStatus)>,
    next: u32,
}

impl Default for Receipts {
    fn default() -> Self {
        let (questions, answers) = (VecDeque::new(), VecDeque::new());
        Self { read: BTreeMap::new(), questions, answers, next: FIRST_REQUEST }
    }
}

impl Receipts {
    /// Everything up to here was read; only forward.
    pub(crate) fn read(&mut self, key: ChannelKey, offset: Offset) {
        let newest = self.read.entry(key).or_insert((Offset(0), true));
        if offset > newest.0 {
            *newest = (offset, false);
        }
    }

    pub(crate) fn ask(&mut self, channels: &[&str]) -> Result<u32, RequestError> {
        let long = channels.iter().any(|name| name.len() > CHANNEL_NAME_BYTES_MAX);
        if long || channels.len() > SUBSCRIPTIONS_MAX {
            return Err(RequestError::TooLarge);
        }
        if self.questions.len() == IN_FLIGHT_MAX {
            return Err(RequestError::Busy);
        }
        let request = self.next;
        self.next = self.next.wrapping_add(1).max(FIRST_REQUEST);
        let channels = channels.iter().map(|name| (*name).to_owned()).collect();
        self.questions.push_back(Question { request, channels, sent: false });
        Ok(request)
    }

    /// Writes what was not sent on this connection, as far as there is room.
    pub(crate) fn flush(&mut self, outbox: &mut Outbox) {
        for (key, (offset, sent)) in self.read.iter_mut().filter(|(_, (_, sent))| !sent) {
            if !outbox.has_room(StreamKind::Events) {
                return;
            }
            *sent = outbox.event(&EventUp::Read { key: *key, offset: *offset }).is_ok();
        }
        for question in self.questions.iter_mut().filter(|question| !question.sent) {
            if !outbox.has_room(StreamKind::Events) {
                return;
            }
            let (request, channels) = (question.request, question.channels.clone());
            question.sent = outbox.event(&EventUp::CountUnread { request, channels }).is_ok();
        }
    }

    /// The same session goes on: the last connection may have lost the newest receipts.
    pub(crate) fn resume(&mut self) {
        self.read.values_mut().for_each(|(_, sent)| *sent = false);
        self.questions.iter_mut().for_each(|question| question.sent = false);
    }

    /// Another session begins, whose channels may count anew.
    pub(crate) fn restart(&mut self) {
        self.read.clear();
        self.questions.iter_mut().for_each(|question| question.sent = false);
    }

    /// A subscription ended, and its key means nothing any more.
    pub(crate) fn forget(&mut self, key: ChannelKey) {
        self.read.remove(&key);
    }

    /// The server's answer. False when nothing with this number waits for one.
    pub(crate) fn answer(&mut self, request: u32, status: UnreadStatus) -> bool {
        let place = self.questions.iter().position(|q| q.request == request && q.sent);
        let Some(place) = place else { return false };
        self.questions.remove(place);
        if self.answers.len() == ANSWERS_KEPT {
            self.answers.pop_front();
        }
        self.answers.push_back((request, status));
        true
    }

    pub(crate) fn status(&self, request: u32) -> UnreadStatus {
        if self.questions.iter().any(|question| question.request == request) {
            return UnreadStatus::Pending;
        }
        let answer = self.answers.iter().rev().find(|answer| answer.0 == request);
        answer.map_or(UnreadStatus::Unknown, |answer| answer.1.clone())
    }
}
