//! Where the events of a durable channel lie on disk, and which of them are to go.

use crate::namespace::Keep;
use starling_protocol::units::Offset;
use std::collections::VecDeque;
use std::ops::Range;

/// Marks for each bound of what is kept: what goes at once is at most this part of it.
const PARTS: u64 = 256;

/// A run of events up to the next mark: what goes, goes by runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Its first event.
    pub(crate) first: Offset,
    /// When its newest event was accepted.
    pub(crate) newest_ms: u64,
    /// Bytes of its rows. Of the newest run an estimate after a restart.
    pub(crate) bytes: u64,
}

/// What a durable channel has on disk.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// The channel's name in keys of events.
    pub(crate) id: u64,
    /// What is to be kept.
    pub(crate) keep: Keep,
    /// What is there cannot be read: the channel stands still.
    pub(crate) damaged: bool,
    /// Its row was written.
    pub(crate) written: bool,
    marks: VecDeque<Mark>,
    /// When the first event of the newest mark was accepted.
    since_ms: u64,
    /// Of all marks.
    bytes: u64,
}

impl Kept {
    /// Nothing yet.
    pub(crate) const fn new(id: u64, keep: Keep) -> Self {
        let marks = VecDeque::new();
        Self { id, keep, damaged: false, written: false, marks, since_ms: 0, bytes: 0 }
    }

    /// What an earlier life left.
    pub(crate) fn restored(id: u64, keep: Keep, marks: Vec<Mark>) -> Self {
        let bytes = marks.iter().map(|mark| mark.bytes).sum();
        let since_ms = marks.last().map_or(0, |mark| mark.newest_ms);
        let marks = marks.into();
        Self { id, keep, damaged: false, written: true, marks, since_ms, bytes }
    }

    /// Its marks in order, as its row tells them: the newest, to which more events come before the
    /// row is written again, with the time of its first event.
    pub(crate) fn marks(&self) -> impl Iterator<Item = Mark> + '_ {
        let newest = self.marks.len().saturating_sub(1);
        self.marks.iter().enumerate().map(move |(at, mark)| match at == newest {
            true => Mark { newest_ms: self.since_ms, ..*mark },
            false => *mark,
        })
    }

    /// The first event that is there, of a channel whose newest number this is; the next one where
    /// none is.
    pub(crate) fn first(&self, newest: Offset) -> Offset {
        self.marks.front().map_or(Offset(newest.0 + 1), |mark| mark.first)
    }

    /// After a restart: the newest run goes on to the newest event, which was accepted about then,
    /// and each of which takes about so many bytes. P6: its row tells when it began, and none of it
    /// is to go before its time.
    pub(crate) fn estimate(&mut self, newest: Offset, newest_ms: u64, bytes_of_one: u64) {
        let span_ms = self.span_ms();
        if let Some(mark) = self.marks.back_mut() {
            mark.newest_ms = newest_ms.max(self.since_ms.saturating_add(span_ms));
            self.bytes -= mark.bytes;
            mark.bytes = (newest.0 + 1).saturating_sub(mark.first.0) * bytes_of_one;
            self.bytes += mark.bytes;
        }
    }

    /// When its newest event was accepted.
    pub(crate) fn newest_ms(&self) -> u64 {
        self.marks.back().map_or(0, |mark| mark.newest_ms)
    }

    /// Bytes of its rows.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// An event is written. Returns whether a mark began, so that the channel's row is due.
    pub(crate) fn note(&mut self, offset: Offset, bytes: u64, at_ms: u64) -> bool {
        self.bytes += bytes;
        let begins = self.marks.back().is_none_or(|mark| self.is_full(mark, offset, at_ms));
        if begins {
            self.since_ms = at_ms;
            self.marks.push_back(Mark { first: offset, newest_ms: at_ms, bytes });
        } else if let Some(mark) = self.marks.back_mut() {
            mark.newest_ms = mark.newest_ms.max(at_ms);
            mark.bytes += bytes;
        }
        begins
    }

    fn is_full(&self, mark: &Mark, next: Offset, at_ms: u64) -> bool {
        let Keep { events, bytes, .. } = self.keep;
        next.0 - mark.first.0 >= (events / PARTS).max(1)
            || mark.bytes >= bytes / PARTS
            || at_ms.saturating_sub(self.since_ms) > self.span_ms()
    }

    /// How long a mark lasts.
    fn span_ms(&self) -> u64 {
        self.keep.age_ms / PARTS
    }

    /// The events that are to go now, of a channel that is seen up to `top`.
    pub(crate) fn expire(
        &mut self,
        top: Offset,
        newest: Offset,
        now_ms: u64,
    ) -> Option<Range<Offset>> {
        let first = self.first(newest);
        let mut next = first;
        let seen = |end: &Offset| end.0 <= top.0 + 1;
        while let Some(end) = self.oldest_end(newest).filter(seen)
            && self.is_due(end, top, now_ms)
        {
            let mark = self.marks.pop_front().expect("it was just looked at");
            self.bytes -= mark.bytes;
            next = end;
        }
        (next > first).then_some(first..next)
    }

    /// Where the oldest run ends.
    fn oldest_end(&self, newest: Offset) -> Option<Offset> {
        self.marks.front()?;
        Some(self.marks.get(1).map_or(Offset(newest.0 + 1), |mark| mark.first))
    }

    fn is_due(&self, end: Offset, top: Offset, now_ms: u64) -> bool {
        let Keep { age_ms, events, bytes } = self.keep;
        let oldest = self.marks[0];
        oldest.newest_ms.saturating_add(age_ms) < now_ms
            || (top.0 + 1 - end.0) >= events
            || self.bytes - oldest.bytes >= bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    fn kept(age_ms: u64, events: u64, bytes: u64) -> Kept {
        Kept::new(1, Keep { age_ms, events, bytes })
    }

    fn expired(kept: &mut Kept, top: u64, now_ms: u64) -> Option<(u64, u64)> {
        let newest = kept.marks.back().map_or(top, |mark| mark.first.0.max(top));
        let gone = kept.expire(Offset(top), Offset(newest), now_ms);
        gone.map(|gone| (gone.start.0, gone.end.0 - 1))
    }

    #[test]
    fn the_oldest_beyond_a_count_go() {
        let mut kept = kept(u64::MAX, 10, u64::MAX);
        (1..=15).for_each(|o| assert!(kept.note(Offset(o), 5, 0)));
        assert_eq!(expired(&mut kept, 15, 0), Some((1, 5)));
        assert_eq!(expired(&mut kept, 15, 0), None);
        assert_eq!((kept.first(Offset(15)), kept.bytes()), (Offset(6), 50));
    }

    #[test]
    fn the_oldest_beyond_a_number_of_bytes_go() {
        let mut kept = kept(u64::MAX, u64::MAX, 1_000);
        for o in 1..=30 {
            kept.note(Offset(o), 100, 0);
        }
        assert_eq!(expired(&mut kept, 30, 0), Some((1, 20)));
    }

    #[test]
    fn what_is_too_old_goes_down_to_the_last_one() {
        let mut kept = kept(1_000, u64::MAX, u64::MAX);
        for o in 1..=5 {
            kept.note(Offset(o), 1, o * 100);
        }
        assert_eq!(expired(&mut kept, 5, 1_200), Some((1, 1)));
        assert_eq!(expired(&mut kept, 5, 9_000), Some((2, 5)));
        assert_eq!(kept.first(Offset(5)), Offset(6));
        assert_eq!((kept.bytes(), expired(&mut kept, 5, 99_000)), (0, None));
    }

    #[test]
    fn what_is_not_seen_yet_does_not_go() {
        let mut kept = kept(1, 1, u64::MAX);
        for o in 1..=4 {
            kept.note(Offset(o), 1, 0);
        }
        assert_eq!(expired(&mut kept, 2, 0), Some((1, 1)), "one is kept of those seen");
        assert_eq!(expired(&mut kept, 2, 99), Some((2, 2)));
        assert_eq!(expired(&mut kept, 2, 99), None);
    }

    #[test]
    fn a_channel_that_never_falls_silent_loses_what_is_too_old_and_no_more() {
        let mut kept = kept(25_600, u64::MAX, u64::MAX);
        for o in 1..=1_000 {
            kept.note(Offset(o), 1, o * 90);
            kept.expire(Offset(o), Offset(o), o * 90);
        }
        let oldest_ms = kept.first(Offset(1_000)).0 * 90;
        assert!((90_000 - 25_600 - 200..=90_000 - 25_600).contains(&oldest_ms), "{oldest_ms}");
    }

    #[test]
    fn after_a_restart_the_newest_run_is_as_old_as_its_newest_event() {
        let keep = Keep { age_ms: 25_600, events: u64::MAX, bytes: u64::MAX };
        let mut kept = Kept::new(1, keep);
        for o in 1..=20 {
            kept.note(Offset(o), 1, 1_000 + o * 4);
        }
        let mut again = Kept::restored(1, keep, kept.marks().collect());
        assert_eq!(again.marks().last().map(|mark| mark.newest_ms), Some(1_004));
        again.estimate(Offset(20), 1_004, 1);
        assert!(!again.note(Offset(21), 1, 1_100), "the run goes on");
        assert_eq!(expired(&mut again.clone(), 21, 1_100 + 25_600), None);
        assert_eq!(expired(&mut again.clone(), 21, 1_105 + 25_600), Some((1, 21)));
        again.estimate(Offset(21), 2_000, 1);
        assert_eq!(expired(&mut again.clone(), 21, 2_000 + 25_600), None);
        assert!(again.note(Offset(22), 1, 1_105), "and ends as it would have");
    }

    #[test]
    fn marks_are_few_and_lose_no_event() {
        let mut kept = kept(1_000_000, 1_000_000, 1 << 30);
        let begun = (1..=100_000).filter(|o| kept.note(Offset(*o), 100, *o)).count();
        assert!(begun < 3 * PARTS as usize, "{begun}");
        assert_eq!((kept.first(Offset(100_000)), kept.bytes()), (Offset(1), 10_000_000));
    }
}
