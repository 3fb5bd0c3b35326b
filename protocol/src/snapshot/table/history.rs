//! The last few states of a row, newest first.
//!
//! The newest lies in the row itself, because it is what is nearly always asked for, and who follows
//! thousands of rows pays for every line of memory that is touched.

use crate::planted::{self, Bug};
use crate::snapshot::state::State;
use crate::units::Tick;
use std::collections::VecDeque;

/// States of one row: a server codes against none that has more than 31 newer ones.
pub const HISTORY_MAX: usize = crate::limits::AGE_MAX as usize + 1;

/// The states of one row.
#[derive(Debug, Default)]
pub(super) struct States {
    newest: Option<State>,
    older: VecDeque<State>,
}

impl States {
    /// The newest.
    pub(super) const fn newest(&self) -> Option<&State> {
        self.newest.as_ref()
    }

    /// The newest that is not after `tick`.
    pub(super) fn at(&self, tick: Tick) -> Option<&State> {
        self.iter().find(|state| state.tick() <= tick)
    }

    /// The oldest.
    pub(super) fn oldest(&self) -> Option<&State> {
        self.older.back().or_else(|| self.newest())
    }

    fn iter(&self) -> impl Iterator<Item = &State> {
        self.newest.iter().chain(&self.older)
    }

    /// Adds a state; false when there is one that is as new, or that says the same: a record that
    /// is repeated must not push out the baselines that are still in use.
    pub(super) fn add(&mut self, state: State) -> bool {
        let known = |newest: &State| newest.tick() >= state.tick() || newest.stands_as(&state);
        if !planted::is(Bug::StateOld) && self.newest().is_some_and(known) {
            return false;
        }
        if self.older.len() == HISTORY_MAX - 1 {
            self.older.pop_back();
        }
        if let Some(before) = self.newest.replace(state) {
            self.older.push_front(before);
        }
        true
    }

    /// Drops those that are older than the newest one not after `tick`.
    pub(super) fn prune(&mut self, tick: Tick) {
        while !self.older.is_empty() {
            let newer = self.older.len().checked_sub(2).map(|at| &self.older[at]);
            if newer.or(self.newest.as_ref()).is_none_or(|state| state.tick() > tick) {
                return;
            }
            self.older.pop_back();
        }
    }

    /// Drops every state; the room is kept.
    pub(super) fn clear(&mut self) {
        self.newest = None;
        self.older.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::motion::Knot;

    fn knot(tick: u32) -> State {
        State::Knot(Knot { tick: Tick(tick), vel: [1, 0, 0], ..Knot::default() })
    }

    fn ticks(states: &States) -> Vec<u32> {
        states.iter().map(|state| state.tick().0).collect()
    }

    #[test]
    fn a_state_that_is_repeated_pushes_nothing_out() {
        let mut row = States::default();
        row.add(knot(1));
        let stands = |tick| State::Knot(Knot { tick: Tick(tick), ..Knot::default() });
        assert!(row.add(stands(2)));
        assert!((3..100).all(|tick| !row.add(stands(tick))));
        assert_eq!(ticks(&row), [2, 1]);
    }

    #[test]
    fn a_row_keeps_its_newest_32_states() {
        let mut row = States::default();
        assert!((1..=40).all(|t| row.add(knot(t))));
        assert_eq!(ticks(&row), (9..=40).rev().collect::<Vec<_>>());
        assert_eq!(row.oldest(), Some(&knot(9)));
        assert_eq!(row.older.capacity(), HISTORY_MAX, "it takes no room for more");
    }

    #[test]
    fn an_older_state_is_not_added() {
        let mut row = States::default();
        assert!(row.add(knot(5)));
        assert!(!row.add(knot(5)) && !row.add(knot(4)));
        assert_eq!(ticks(&row), [5]);
    }

    #[test]
    fn pruning_keeps_the_state_that_holds_at_the_tick() {
        let mut row = States::default();
        for t in [1, 4, 7, 9] {
            row.add(knot(t));
        }
        row.prune(Tick(8));
        assert_eq!(ticks(&row), [9, 7]);
        assert_eq!(row.at(Tick(8)), Some(&knot(7)));
        assert_eq!(row.at(Tick(6)), None);
        row.prune(Tick(100));
        assert_eq!(ticks(&row), [9]);
        row.clear();
        row.prune(Tick(100));
        assert_eq!(ticks(&row), [] as [u32; 0]);
    }
}
