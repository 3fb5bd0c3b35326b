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
    /// Of all marks.
    bytes: u64,
}

impl Kept {
    /// Nothing yet.
    pub(crate) const fn new(id: u64, keep: Keep) -> Self {
        let marks = VecDeque::new();
        Self { id, keep, damaged: false, written: false, marks, bytes: 0 }
    }

    /// What an earlier life left.
    pub(crate) fn restored(id: u64, keep: Keep, marks: Vec<Mark>) -> Self {
        let bytes = marks.iter().map(|mark| mark.bytes).sum();
        let marks = marks.into();
        Self { id, keep, damaged: false, written: true, marks, bytes }
    }

    /// Its marks in order.
    pub(crate) fn marks(&self) -> impl Iterator<Item = &Mark> + '_ {
        self.marks.iter()
    }

    /// The first event that is there, of a channel whose newest number this is; the next one where
    /// none is.
    pub(crate) fn first(&self, newest: Offset) -> Offset {
        self.marks.front().map_or(Offset(newest.0 + 1), |mark| mark.first)
    }

    /// After a restart: the newest run goes on to the newest event, each of which takes about so
    /// many bytes.
    pub(crate) fn estimate(&mut self, newest: Offset, bytes_of_one: u64) {
        if let Some(mark) = self.marks.back_mut() {
            self.bytes -= mark.bytes;
            mark.bytes = (newest.0 + 1).saturating_sub(mark.first.0) * bytes_of_one;
            self.bytes += mark.bytes;
        }
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
            self.marks.push_back(Mark { first: offset, newest_ms: at_ms, bytes });
        } else if let Some(mark) = self.marks.back_mut() {
            mark.newest_ms = mark.newest_ms.max(at_ms);
            mark.bytes += bytes;
        }
        begins
    }

    fn is_full(&self, mark: &Mark, next: Offset, at_ms: u64) -> bool {
        let Keep { age_ms, events, bytes } = self.keep;
        next.0 - mark.first.0 >= (events / PARTS).max(1)
            || mark.bytes >= bytes / PARTS
            || at_ms.saturating_sub(mark.newest_ms) > age_ms / PARTS
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
    fn marks_are_few_and_lose_no_event() {
        let mut kept = kept(1_000_000, 1_000_000, 1 << 30);
        let begun = (1..=100_000).filter(|o| kept.note(Offset(*o), 100, *o)).count();
        assert!(begun < 3 * PARTS as usize, "{begun}");
        assert_eq!((kept.first(Offset(100_000)), kept.bytes()), (Offset(1), 10_000_000));
    }
}
