//! When the fixes of entities fall due that are known in fixes only.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// Fixes to come, at most one of each entity.
#[derive(Debug, Default)]
pub(super) struct Calendar {
    due: BinaryHeap<Reverse<Entry>>,
}

/// One entity's next fix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Entry {
    /// Seconds of scenario time.
    pub at_s: f64,
    /// Whose: places of its client and of the entity among the client's.
    pub member: usize,
    pub mover: usize,
}

impl Calendar {
    pub(super) fn enter(&mut self, entry: Entry) {
        self.due.push(Reverse(entry));
    }

    /// Takes out the next one that has fallen due by `now_s`.
    pub(super) fn next_due(&mut self, now_s: f64) -> Option<Entry> {
        let Reverse(first) = self.due.peek()?;
        if first.at_s > now_s {
            return None;
        }
        self.due.pop().map(|Reverse(entry)| entry)
    }
}

impl Eq for Entry {}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_place = || (self.member, self.mover).cmp(&(other.member, other.mover));
        self.at_s.total_cmp(&other.at_s).then_with(by_place)
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixes_come_out_in_order_once_they_are_due() {
        let mut calendar = Calendar::default();
        for (mover, at_s) in [(0, 2.0), (1, 0.5), (2, 1.0)] {
            calendar.enter(Entry { at_s, member: 0, mover });
        }
        let mut due = |now_s| calendar.next_due(now_s).map(|entry| entry.mover);
        assert_eq!([due(0.4), due(1.0), due(1.0), due(1.0)], [None, Some(1), Some(2), None]);
        assert_eq!(due(9.0), Some(0));
    }
}
