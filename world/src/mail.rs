//! What waits to be written to one session's streams.
//!
//! Answers wait here as whole frames, in order, within a bound. Events do not: a session holds a
//! place in each channel's log ([`crate::channel::deliver`]), and reads on as its link allows.

use crate::World;
use crate::channel::subscription::Source;
use crate::session::SessionIdx;
use starling_protocol::codec;
use starling_protocol::frame;
use starling_protocol::message::bulk::BulkDown;
use starling_protocol::message::control::{ControlDown, Rejection};
use starling_protocol::message::events::EventDown;
use starling_protocol::message::host::HostDown;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::{ChannelKey, Tick};
use std::collections::VecDeque;

/// Bytes that may wait for a session that owns nothing.
pub(crate) const MAIL_BYTES_MAX: usize = 64 * 1024;
/// More for each entity of its own: the answer to a Spawn with the longest name.
pub(crate) const MAIL_BYTES_PER_ENTITY: usize = 96;
/// More for a host, which gets the inputs of every player.
pub(crate) const MAIL_BYTES_HOST: usize = 1024 * 1024;
/// Milliseconds between two messages about quiet channels.
const TOPS_MS: u64 = 5_000;
/// Rejections told of one tick; the rest is counted only.
const REJECTIONS_PER_TICK_MAX: usize = 4_096;

/// Which subscriptions a message tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// None of them.
    Nothing,
    /// One.
    Channel(ChannelKey),
    /// Several, in words that are said again in time.
    Channels,
}

impl About {
    const fn of(event: &EventDown) -> Self {
        match event {
            EventDown::Subscribed { key, .. }
            | EventDown::Members { key, .. }
            | EventDown::MembersChanged { key, .. }
            | EventDown::Gap { key, .. }
            | EventDown::State { key, .. }
            | EventDown::Count { key, .. }
            | EventDown::Cursors { key, .. }
            | EventDown::Leases { key, .. } => Self::Channel(*key),
            EventDown::Tops { .. } => Self::Channels,
            _ => Self::Nothing,
        }
    }
}

/// One framed message.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(crate) stream: StreamKind,
    pub(crate) about: About,
    pub(crate) since: Tick,
    pub(crate) frame: Vec<u8>,
}

impl Letter {
    pub(crate) fn control(message: &ControlDown, now: Tick) -> Self {
        Self::new(StreamKind::Control, &codec::encode(message), now)
    }

    pub(crate) fn event(message: &EventDown, now: Tick) -> Self {
        let about = About::of(message);
        Self { about, ..Self::new(StreamKind::Events, &codec::encode(message), now) }
    }

    pub(crate) fn bulk(message: &BulkDown, now: Tick) -> Self {
        Self::new(StreamKind::Bulk, &codec::encode(message), now)
    }

    pub(crate) fn host(message: &HostDown, now: Tick) -> Self {
        Self::new(StreamKind::Host, &codec::encode(message), now)
    }

    fn new(stream: StreamKind, body: &[u8], since: Tick) -> Self {
        let mut framed = Vec::with_capacity(body.len() + 4);
        frame::write(body, &mut framed);
        Self { stream, about: About::Nothing, since, frame: framed }
    }
}

/// Letters in order, rejections of this tick, and whether the session still keeps up.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    letters: VecDeque<Letter>,
    bytes: usize,
    rejections: Vec<Rejection>,
    /// Rejections that were not told because too many waited.
    untold: u64,
    overflowed: bool,
    /// Since when events wait and none could be written.
    pub(crate) stalled: Option<Tick>,
}

impl Mail {
    pub(crate) fn post(&mut self, letter: Letter, bytes_max: usize) {
        if self.bytes + letter.frame.len() > bytes_max {
            self.overflowed = true;
            return;
        }
        self.bytes += letter.frame.len();
        self.letters.push_back(letter);
    }

    /// Notes a rejection; `false` if too many were noted in this tick.
    pub(crate) fn reject(&mut self, rejection: Rejection) -> bool {
        let room = self.rejections.len() < REJECTIONS_PER_TICK_MAX;
        if room {
            self.rejections.push(rejection);
        } else {
            self.untold += 1;
        }
        room
    }

    /// Turns the rejections of this tick into a letter, unless the session is behind already: they
    /// are advice, and must not be what closes it. Returns how many were not told.
    pub(crate) fn seal_rejections(&mut self, now: Tick, bytes_max: usize) -> u64 {
        let untold = std::mem::take(&mut self.untold);
        if self.rejections.is_empty() {
            return untold;
        }
        let samples = std::mem::take(&mut self.rejections);
        if self.bytes > bytes_max / 2 {
            return untold + samples.len() as u64;
        }
        self.post(Letter::control(&ControlDown::Rejected { tick: now, samples }, now), bytes_max);
        untold
    }

    pub(crate) fn pop(&mut self) -> Option<Letter> {
        let letter = self.letters.pop_front()?;
        self.bytes -= letter.frame.len();
        Some(letter)
    }

    /// The next letter of the control stream, before all others.
    pub(crate) fn pop_control(&mut self) -> Option<Letter> {
        let control = |letter: &Letter| letter.stream == StreamKind::Control;
        let letter =
            self.letters.iter().position(control).and_then(|at| self.letters.remove(at))?;
        self.bytes -= letter.frame.len();
        Some(letter)
    }

    /// Does a letter of the control stream wait?
    pub(crate) fn has_control(&self) -> bool {
        self.letters.iter().any(|letter| letter.stream == StreamKind::Control)
    }

    /// Keeps only these letters.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(StreamKind, About) -> bool) {
        self.letters.retain(|letter| keep(letter.stream, letter.about));
        self.bytes = self.letters.iter().map(|letter| letter.frame.len()).sum();
    }

    /// Counts the time that everything waits from now on.
    pub(crate) fn renew(&mut self, now: Tick) {
        self.letters.iter_mut().for_each(|letter| letter.since = now);
        self.stalled = None;
    }

    /// So many ticks were nobody's slowness: nothing was written in them.
    pub(crate) fn forgive(&mut self, ticks: u32) {
        self.letters.iter_mut().for_each(|letter| letter.since = letter.since + ticks);
        self.stalled = self.stalled.map(|since| since + ticks);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Has it been too slow: beyond its bound, or the oldest thing that waits is older than
    /// `patience_ticks`?
    pub(crate) fn is_too_slow(&self, now: Tick, patience_ticks: u32) -> bool {
        let waits = self.letters.front().map(|l| l.since).into_iter().chain(self.stalled).min();
        let late = waits.and_then(|since| now.since(since)).is_some_and(|age| age > patience_ticks);
        self.overflowed || late
    }

    /// Forgets everything, as when the connection is gone.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl World {
    /// Tells every session which of its samples were not accepted in this tick.
    pub(crate) fn tell_rejections(&mut self) {
        let now = self.now;
        let mut untold = 0;
        self.sessions.each_dirty(|session| {
            let bytes_max = session.mail_bytes_max();
            untold += session.mail.seal_rejections(now, bytes_max);
        });
        self.counters.rejections_untold += untold;
    }

    /// Every few seconds tells each session the newest offsets of channels that were quiet, so that
    /// silence is told from loss.
    pub(crate) fn tell_tops(&mut self) {
        let period = self.config.tick_rate.ticks_in_ms(TOPS_MS).max(1);
        let rows = self.sessions.rows() as u32;
        // Staggered: each tick has its own share of the sessions.
        for row in (self.now.0 % period..rows).step_by(period as usize) {
            self.tell_tops_of(SessionIdx(row), period);
        }
    }

    fn tell_tops_of(&mut self, idx: SessionIdx, period: u32) {
        let Some(session) = self.sessions.get(idx).filter(|s| s.is_live()) else { return };
        if session.subscriptions.len() == 0 || !session.mail.is_empty() {
            return;
        }
        let quiet = session
            .subscriptions
            .iter()
            .filter(|(_, s)| self.now.since(s.told).is_some_and(|ticks| ticks >= period));
        let top = |source| match source {
            Source::Inbox => session.inbox.top().offset,
            Source::Channel(channel) => self.channels[channel].log.top().offset,
        };
        let tops: Vec<_> = quiet.map(|(key, s)| (key, top(s.source))).collect();
        if !tops.is_empty() {
            self.sessions.event(idx, &EventDown::Tops { tops }, self.now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use starling_protocol::message::control::RejectReason;
    use starling_protocol::units::Handle;

    fn letter(tick: u32) -> Letter {
        Letter::control(&ControlDown::TokenAccepted, Tick(tick))
    }

    #[test]
    fn mail_beyond_its_bound_marks_a_slow_consumer() {
        let mut mail = Mail::default();
        let size = letter(0).frame.len();
        (0..10).for_each(|_| mail.post(letter(0), size * 10));
        assert!(!mail.is_too_slow(Tick(0), 5));
        mail.post(letter(0), size * 10);
        assert!(mail.is_too_slow(Tick(0), 5));
        assert_eq!(mail.bytes(), size * 10, "what does not fit is not kept");
    }

    #[test]
    fn mail_that_waits_too_long_marks_a_slow_consumer() {
        let mut mail = Mail::default();
        mail.post(letter(10), 1000);
        assert!(!mail.is_too_slow(Tick(15), 5));
        assert!(mail.is_too_slow(Tick(16), 5));
        assert!(mail.pop().is_some());
        assert!(!mail.is_too_slow(Tick(16), 5));
    }

    #[test]
    fn what_was_forgiven_is_no_waiting() {
        let mut mail = Mail::default();
        mail.post(letter(10), 1000);
        mail.post(letter(12), 1000);
        mail.forgive(100);
        assert!(!mail.is_too_slow(Tick(115), 5) && mail.is_too_slow(Tick(116), 5));
        assert!(mail.pop().is_some());
        assert!(!mail.is_too_slow(Tick(117), 5) && mail.is_too_slow(Tick(118), 5));
    }

    #[test]
    fn rejections_are_told_together_and_never_close_a_session_that_is_behind() {
        let rejection = Rejection { handle: Handle(1), sequence: 2, reason: RejectReason::TooFast };
        let mut mail = Mail::default();
        assert!(mail.reject(rejection) && mail.reject(rejection));
        assert_eq!(mail.seal_rejections(Tick(3), 1000), 0);
        assert_eq!(mail.letters.len(), 1);
        let behind = mail.bytes();
        assert!(mail.reject(rejection));
        assert_eq!(mail.seal_rejections(Tick(4), behind), 1);
        assert!(!mail.is_too_slow(Tick(4), 5));
    }
}
