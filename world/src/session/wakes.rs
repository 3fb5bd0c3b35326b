//! When each session is looked at next, at most once each.
//!
//! A heap whose entries are not taken out when they are of no use any more: whoever takes one looks
//! whether it still holds. So that planning anew costs no memory, and none for long when it does.

use super::SessionIdx;
use starling_protocol::units::Tick;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Entries beyond two for each session before the heap is cleared of those of no use.
const SPENT_MAX: usize = 64;

/// The next look at each session.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    heap: BinaryHeap<Reverse<(Tick, SessionIdx)>>,
    /// By session: the entry that holds.
    of: Vec<Option<Tick>>,
}

impl Wakes {
    /// Looks at a session in this tick instead, or no more.
    pub(super) fn set(&mut self, idx: SessionIdx, at: Option<Tick>) {
        if self.of.len() <= idx.at() {
            self.of.resize(idx.at() + 1, None);
        }
        let old = std::mem::replace(&mut self.of[idx.at()], at);
        if old == at {
            return;
        }
        if self.heap.len() >= 2 * self.of.len() + SPENT_MAX {
            self.heap.clear();
            let rows = self.of.iter().enumerate();
            let holding = rows.filter_map(|(row, at)| Some(((*at)?, SessionIdx(row as u32))));
            self.heap.extend(holding.map(Reverse));
        } else if let Some(at) = at {
            self.heap.push(Reverse((at, idx)));
        }
    }

    /// The next session whose time has come, once.
    pub(super) fn pop(&mut self, now: Tick) -> Option<SessionIdx> {
        while let Some(Reverse((at, idx))) = self.heap.peek().copied().filter(|w| w.0.0 <= now) {
            self.heap.pop();
            if self.of[idx.at()] == Some(at) {
                self.set(idx, None);
                return Some(idx);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn each_session_wakes_once_in_its_tick(
            steps in prop::collection::vec((0u32..20, prop::option::of(0u32..9)), 1..400),
        ) {
            let (mut wakes, mut plan) = (Wakes::default(), BTreeMap::new());
            for (now, (session, after)) in steps.into_iter().enumerate() {
                let (now, idx) = (Tick(now as u32), SessionIdx(session));
                let at = after.map(|ticks| now + ticks);
                wakes.set(idx, at);
                plan.remove(&idx);
                plan.extend(at.map(|at| (idx, at)));
                let mut due: Vec<_> = plan.iter().filter(|(_, at)| **at <= now).collect();
                due.sort_by_key(|(idx, at)| (**at, **idx));
                let due: Vec<_> = due.into_iter().map(|(idx, _)| *idx).collect();
                let woken: Vec<_> = std::iter::from_fn(|| wakes.pop(now)).collect();
                prop_assert_eq!(&woken, &due);
                plan.retain(|idx, _| !due.contains(idx));
                prop_assert!(wakes.heap.len() <= 2 * 20 + SPENT_MAX);
            }
        }
    }
}
