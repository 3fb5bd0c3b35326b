//! Events on their way up: kept until answered, repeated after a resume under the same id.

use crate::error::RequestError;
use crate::session::outbox::Outbox;
use starling_protocol::close::CloseCode;
use starling_protocol::limits::{
    CHANNEL_NAME_BYTES_MAX, EVENT_BYTES_MAX, NOTE_NAME_BYTES_MAX, PUBLISHES_IN_FLIGHT_MAX,
};
use starling_protocol::message::events::{
    Action, Annotate, EventUp, NoteRule, Publish, Receipt, Scope,
};
use starling_protocol::planted::{self, Bug};
use starling_protocol::stream::StreamKind;
use starling_protocol::units::{MessageId, Offset};
use std::collections::VecDeque;

/// Answers that can still be asked for.
const ANSWERS_KEPT: usize = 512;

/// An event to publish.
///
/// ```
/// use starling_client::Publication;
/// let hello = Publication::to_channel("lobby", b"hello");
/// let whisper = Publication::near_mine(10.0, b"psst").key("mood");
/// assert!(hello.key.is_none() && whisper.key.is_some());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Publication {
    /// To whom.
    pub scope: Scope,
    /// Refuse unless this is the channel's top or, with a `key`, the event that set its value (0
    /// where there is none).
    pub expected: Option<Offset>,
    /// What the event does.
    pub action: Action,
    /// Key of keyed state; absent for plain events.
    pub key: Option<String>,
    /// Milliseconds after which the value of `key` is removed, unless it is set anew.
    pub ttl_ms: Option<u32>,
    /// The message that this one answers.
    pub parent: Option<Offset>,
    /// At most [`EVENT_BYTES_MAX`].
    pub payload: Vec<u8>,
    /// Repeat it in another session too: see [`Publication::across_sessions`].
    pub across_sessions: bool,
}

impl Publication {
    /// A plain event.
    #[must_use]
    pub fn new(scope: Scope, payload: impl Into<Vec<u8>>) -> Self {
        let payload = payload.into();
        let (expected, action, key) = (None, Action::Message, None);
        let (ttl_ms, parent, across_sessions) = (None, None, false);
        Self { scope, expected, action, key, ttl_ms, parent, payload, across_sessions }
    }

    /// A message to the subscribers of a channel.
    #[must_use]
    pub fn to_channel(channel: impl Into<String>, payload: impl Into<Vec<u8>>) -> Self {
        Self::new(Scope::Channel(channel.into()), payload)
    }

    /// A message to sessions that have an entity within so many metres of my first one.
    #[must_use]
    pub fn near_mine(radius_m: f32, payload: impl Into<Vec<u8>>) -> Self {
        Self::new(Scope::NearMine { entity: None, radius_m }, payload)
    }

    /// Removes the value of a key.
    #[must_use]
    pub fn clear(channel: impl Into<String>, key: impl Into<String>) -> Self {
        Self { action: Action::Clear, ..Self::to_channel(channel, []).key(key) }
    }

    /// A new version of a message.
    #[must_use]
    pub fn update(channel: impl Into<String>, target: Offset, payload: impl Into<Vec<u8>>) -> Self {
        Self { action: Action::Update(target), ..Self::to_channel(channel, payload) }
    }

    /// More for a message.
    #[must_use]
    pub fn append(channel: impl Into<String>, target: Offset, payload: impl Into<Vec<u8>>) -> Self {
        Self { action: Action::Append(target), ..Self::to_channel(channel, payload) }
    }

    /// The end of a message.
    #[must_use]
    pub fn delete(channel: impl Into<String>, target: Offset) -> Self {
        Self { action: Action::Delete(target), ..Self::to_channel(channel, []) }
    }

    /// As an answer to a message.
    #[must_use]
    pub const fn answering(mut self, parent: Offset) -> Self {
        self.parent = Some(parent);
        self
    }

    /// The value of the key is removed after so many milliseconds, unless it is set anew.
    #[must_use]
    pub const fn lasting_ms(mut self, ttl_ms: u32) -> Self {
        self.ttl_ms = Some(ttl_ms);
        self
    }

    /// Only if this is the channel's top or, with a key, the event that set its value.
    #[must_use]
    pub const fn expecting(mut self, top: Offset) -> Self {
        self.expected = Some(top);
        self
    }

    /// P7: repeat it under its id until it is answered, also where the session is lost for good. Only
    /// for durable channels and with a token that has a subject: by that the server knows the
    /// publisher again, whatever its session. Elsewhere the event could be there twice.
    #[must_use]
    pub const fn across_sessions(mut self) -> Self {
        self.across_sessions = true;
        self
    }

    /// As the newest value of a key.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }
}

/// A note to set on a message or to take back: a reaction, a flag, a vote.
///
/// ```
/// use starling_client::Note;
/// use starling_protocol::message::events::NoteRule;
/// use starling_protocol::units::Offset;
///
/// let heart = Note::new("lobby", Offset(7), NoteRule::Distinct, "reaction", "heart");
/// let no_more = heart.clone().taken_back();
/// assert!(no_more.remove && !heart.remove);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The channel's name.
    pub channel: String,
    /// The message.
    pub target: Offset,
    /// How it counts.
    pub rule: NoteRule,
    /// The kind: `reaction`.
    pub kind: String,
    /// The name within the kind: `heart`.
    pub name: String,
    /// How many times, with [`NoteRule::Total`] and [`NoteRule::Multiple`].
    pub count: u32,
    /// Takes it back.
    pub remove: bool,
}

impl Note {
    /// One note.
    #[must_use]
    pub fn new(
        channel: impl Into<String>,
        target: Offset,
        rule: NoteRule,
        kind: impl Into<String>,
        name: impl Into<String>,
    ) -> Self {
        let (channel, kind, name) = (channel.into(), kind.into(), name.into());
        Self { channel, target, rule, kind, name, count: 1, remove: false }
    }

    /// Takes it back instead.
    #[must_use]
    pub const fn taken_back(mut self) -> Self {
        self.remove = true;
        self
    }

    /// So many times.
    #[must_use]
    pub const fn times(mut self, count: u32) -> Self {
        self.count = count;
        self
    }
}

/// What became of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishStatus {
    /// Not answered yet.
    Pending,
    /// Accepted; where it stands.
    Accepted(Receipt),
    /// Refused.
    Refused {
        /// Why.
        code: CloseCode,
        /// Milliseconds to wait before the next attempt.
        retry_after_ms: Option<u32>,
    },
    /// Sent, and then the session was lost for good: it appeared once, or not at all.
    OutcomeUnknown,
    /// No such publish, or its answer was forgotten.
    Unknown,
}

#[derive(Debug)]
struct Pending {
    message: MessageId,
    /// The publish or the note.
    request: EventUp,
    sent: bool,
    /// It may be repeated in another session.
    across_sessions: bool,
}

/// The publishes of one session.
#[derive(Debug)]
pub(crate) struct Publishes {
    pending: VecDeque<Pending>,
    answers: VecDeque<(MessageId, PublishStatus)>,
    next: u64,
}

impl Publishes {
    pub(crate) const fn new(seed: u64) -> Self {
        // The upper bits tell the runs of one publisher apart, the lower 24 count within a run.
        let first = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) << 24;
        Self { pending: VecDeque::new(), answers: VecDeque::new(), next: first }
    }

    pub(crate) fn push(&mut self, publication: Publication) -> Result<MessageId, RequestError> {
        let Publication { scope, expected, action, key, ttl_ms, parent, payload, across_sessions } =
            publication;
        let name = match &scope {
            Scope::Channel(name) => name.len(),
            _ => 0,
        };
        let key_len = key.as_ref().map_or(0, String::len);
        if payload.len() > EVENT_BYTES_MAX || name.max(key_len) > CHANNEL_NAME_BYTES_MAX {
            return Err(RequestError::TooLarge);
        }
        self.ask(across_sessions, |message| {
            EventUp::Publish(Box::new(Publish {
                message,
                scope,
                expected,
                action,
                key,
                ttl_ms,
                parent,
                payload,
            }))
        })
    }

    pub(crate) fn push_note(&mut self, note: Note) -> Result<MessageId, RequestError> {
        let Note { channel, target, rule, kind, name, count, remove } = note;
        let long = channel.len() > CHANNEL_NAME_BYTES_MAX;
        if long || kind.len().max(name.len()) > NOTE_NAME_BYTES_MAX {
            return Err(RequestError::TooLarge);
        }
        self.ask(false, |message| {
            EventUp::Annotate(Box::new(Annotate {
                message,
                channel,
                target,
                rule,
                kind,
                name,
                count,
                remove,
            }))
        })
    }

    fn ask(
        &mut self,
        across_sessions: bool,
        request: impl FnOnce(MessageId) -> EventUp,
    ) -> Result<MessageId, RequestError> {
        if self.pending.len() == PUBLISHES_IN_FLIGHT_MAX {
            return Err(RequestError::Busy);
        }
        let message = MessageId(self.next);
        self.next = self.next.wrapping_add(1);
        let request = request(message);
        self.pending.push_back(Pending { message, request, sent: false, across_sessions });
        Ok(message)
    }

    /// Writes what was not sent on this connection, in order, as far as there is room.
    pub(crate) fn flush(&mut self, outbox: &mut Outbox) {
        for pending in self.pending.iter_mut().filter(|p| !p.sent) {
            if !outbox.has_room(StreamKind::Events) {
                return;
            }
            pending.sent = outbox.event(&pending.request).is_ok();
        }
    }

    /// The same session goes on: everything without an answer is sent again.
    pub(crate) fn resume(&mut self) {
        self.pending.iter_mut().for_each(|p| p.sent = false);
        if planted::is(Bug::NewMessageId) {
            for pending in &mut self.pending {
                if let EventUp::Publish(publish) = &mut pending.request {
                    publish.message.0 ^= 1 << 63;
                    pending.message = publish.message;
                }
            }
        }
    }

    /// Another session begins: what was sent in the old one cannot be repeated safely, because
    /// the server may not know the two as one publisher, unless it was said that it does. Returns
    /// what is now uncertain.
    pub(crate) fn restart(&mut self) -> Vec<MessageId> {
        self.pending.iter_mut().filter(|p| p.across_sessions).for_each(|p| p.sent = false);
        let sent = self.pending.iter().filter(|p| p.sent);
        let lost: Vec<MessageId> = sent.map(|p| p.message).collect();
        self.pending.retain(|p| !p.sent);
        lost.iter().for_each(|message| self.keep(*message, PublishStatus::OutcomeUnknown));
        lost
    }

    /// The server's answer. False when nothing with this id waits for one.
    pub(crate) fn answer(&mut self, message: MessageId, status: PublishStatus) -> bool {
        let place = self.pending.iter().position(|p| p.message == message);
        let Some(place) = place.filter(|place| self.pending[*place].sent) else { return false };
        self.pending.remove(place);
        self.keep(message, status);
        true
    }

    fn keep(&mut self, message: MessageId, status: PublishStatus) {
        if self.answers.len() == ANSWERS_KEPT {
            self.answers.pop_front();
        }
        self.answers.push_back((message, status));
    }

    pub(crate) fn status(&self, message: MessageId) -> PublishStatus {
        if self.pending.iter().any(|p| p.message == message) {
            return PublishStatus::Pending;
        }
        let answer = self.answers.iter().rev().find(|answer| answer.0 == message);
        answer.map_or(PublishStatus::Unknown, |answer| answer.1)
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.pending.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use starling_protocol::frame::Frames;

    fn sent(outbox: &mut Outbox) -> Vec<MessageId> {
        let mut frames = Frames::new(65_536);
        frames.push(outbox.unsent(StreamKind::Events));
        outbox.clear();
        let mut ids = Vec::new();
        while let Some(body) = frames.next_frame().expect("whole frames") {
            match starling_protocol::codec::decode(body) {
                Ok(EventUp::Publish(publish)) => ids.push(publish.message),
                other => panic!("not a publish: {other:?}"),
            }
        }
        ids
    }

    fn hello() -> Publication {
        Publication::to_channel("lobby", b"hello")
    }

    #[test]
    fn what_was_not_answered_is_repeated_in_order_under_its_own_id() {
        let (mut publishes, mut outbox) = (Publishes::new(1), Outbox::default());
        let ids: Vec<_> = (0..3).map(|_| publishes.push(hello()).expect("room")).collect();
        publishes.flush(&mut outbox);
        assert_eq!(sent(&mut outbox), ids);
        let receipt = PublishStatus::Accepted(Receipt::Inboxes(2));
        assert!(publishes.answer(ids[1], receipt));
        assert!(!publishes.answer(ids[1], receipt), "answered once");
        publishes.resume();
        publishes.flush(&mut outbox);
        assert_eq!(sent(&mut outbox), [ids[0], ids[2]]);
        assert_eq!(publishes.status(ids[1]), receipt);
        assert_eq!(publishes.status(ids[0]), PublishStatus::Pending);
    }

    #[test]
    fn a_lost_session_makes_what_was_sent_uncertain_and_keeps_the_rest() {
        let (mut publishes, mut outbox) = (Publishes::new(1), Outbox::default());
        let first = publishes.push(hello()).expect("room");
        publishes.flush(&mut outbox);
        outbox.clear();
        let second = publishes.push(hello()).expect("room");
        assert_eq!(publishes.restart(), [first]);
        publishes.flush(&mut outbox);
        assert_eq!(sent(&mut outbox), [second]);
        assert_eq!(publishes.status(first), PublishStatus::OutcomeUnknown);
    }

    #[test]
    fn what_goes_across_sessions_is_repeated_in_the_next_one_under_its_own_id() {
        let (mut publishes, mut outbox) = (Publishes::new(1), Outbox::default());
        let plain = publishes.push(hello()).expect("room");
        let lasting = publishes.push(hello().across_sessions()).expect("room");
        publishes.flush(&mut outbox);
        outbox.clear();
        assert_eq!(publishes.restart(), [plain]);
        publishes.flush(&mut outbox);
        assert_eq!(sent(&mut outbox), [lasting]);
        assert_eq!(publishes.status(lasting), PublishStatus::Pending);
        assert!(publishes.answer(lasting, PublishStatus::Accepted(Receipt::Inboxes(1))));
    }

    #[test]
    fn in_flight_publishes_and_payloads_are_bounded() {
        let mut publishes = Publishes::new(1);
        for _ in 0..PUBLISHES_IN_FLIGHT_MAX {
            publishes.push(hello()).expect("room");
        }
        assert_eq!(publishes.push(hello()), Err(RequestError::Busy));
        let large = Publication::to_channel("lobby", vec![0; EVENT_BYTES_MAX + 1]);
        assert_eq!(publishes.push(large), Err(RequestError::TooLarge));
    }

    #[test]
    fn runs_with_different_seeds_have_different_ids() {
        let a = Publishes::new(1).push(hello()).expect("room");
        let b = Publishes::new(2).push(hello()).expect("room");
        assert!(a.0.abs_diff(b.0) > 1 << 24);
    }
}
