//! The last few states of every row, newest first, in one pool.

use crate::snapshot::state::State;
use crate::units::Tick;

/// States of one row: a server codes against none that has more than 31 newer ones.
pub const HISTORY_MAX: usize = crate::limits::AGE_MAX as usize + 1;

const NONE: u32 = u32::MAX;

/// The states of one row.
#[derive(Clone, Copy, Debug)]
pub(super) struct States {
    newest: u32,
    count: u32,
}

impl Default for States {
    fn default() -> Self {
        Self { newest: NONE, count: 0 }
    }
}

#[derive(Debug)]
struct Node {
    state: State,
    older: u32,
}

/// The pool.
#[derive(Debug)]
pub(super) struct History {
    nodes: Vec<Node>,
    free: u32,
}

impl Default for History {
    fn default() -> Self {
        Self { nodes: Vec::new(), free: NONE }
    }
}

impl History {
    /// The newest state of a row.
    pub(super) fn newest(&self, states: States) -> Option<&State> {
        self.nodes.get(states.newest as usize).map(|node| &node.state)
    }

    /// The newest state of a row that is not after `tick`.
    pub(super) fn at(&self, states: States, tick: Tick) -> Option<&State> {
        self.walk(states).find(|node| node.state.tick() <= tick).map(|node| &node.state)
    }

    /// The oldest state of a row.
    pub(super) fn oldest(&self, states: States) -> Option<&State> {
        self.walk(states).last().map(|node| &node.state)
    }

    /// Adds a state to a row; false when the row has one that is as new, or that says the same:
    /// a record that is repeated must not push out the baselines that are still in use.
    pub(super) fn add(&mut self, states: &mut States, state: State) -> bool {
        let known = |newest: &State| newest.tick() >= state.tick() || newest.stands_as(&state);
        if self.newest(*states).is_some_and(known) {
            return false;
        }
        if states.count as usize == HISTORY_MAX {
            self.keep(states, HISTORY_MAX as u32 - 1);
        }
        let node = Node { state, older: states.newest };
        states.newest = self.put(node);
        states.count += 1;
        true
    }

    /// Drops the states of a row that are older than its newest one not after `tick`.
    pub(super) fn prune(&mut self, states: &mut States, tick: Tick) {
        let newer = self.walk(*states).take_while(|node| node.state.tick() > tick).count() as u32;
        self.keep(states, newer + 1);
    }

    /// Drops every state of a row.
    pub(super) fn clear(&mut self, states: &mut States) {
        self.keep(states, 0);
    }

    fn walk(&self, states: States) -> impl Iterator<Item = &Node> {
        let mut next = states.newest;
        std::iter::from_fn(move || {
            let node = self.nodes.get(next as usize)?;
            next = node.older;
            Some(node)
        })
    }

    /// Keeps the newest `count` states of a row and frees the others.
    fn keep(&mut self, states: &mut States, count: u32) {
        if states.count <= count {
            return;
        }
        let first = match count.checked_sub(1) {
            None => std::mem::replace(&mut states.newest, NONE),
            Some(back) => {
                let mut last = states.newest;
                for _ in 0..back {
                    last = self.nodes[last as usize].older;
                }
                std::mem::replace(&mut self.nodes[last as usize].older, NONE)
            }
        };
        states.count = count;
        self.release(first);
    }

    fn put(&mut self, node: Node) -> u32 {
        match self.nodes.get_mut(self.free as usize) {
            Some(place) => {
                let index = self.free;
                self.free = place.older;
                *place = node;
                index
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() as u32 - 1
            }
        }
    }

    /// Puts a chain of nodes into the free list.
    fn release(&mut self, mut first: u32) {
        while let Some(node) = self.nodes.get_mut(first as usize) {
            let next = node.older;
            node.older = self.free;
            self.free = first;
            first = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::motion::Knot;

    fn knot(tick: u32) -> State {
        State::Knot(Knot { tick: Tick(tick), vel: [1, 0, 0], ..Knot::default() })
    }

    #[test]
    fn a_state_that_is_repeated_pushes_nothing_out() {
        let (mut history, mut row) = (History::default(), States::default());
        history.add(&mut row, knot(1));
        let stands = |tick| State::Knot(Knot { tick: Tick(tick), ..Knot::default() });
        assert!(history.add(&mut row, stands(2)));
        assert!((3..100).all(|tick| !history.add(&mut row, stands(tick))));
        assert_eq!(ticks(&history, row), [2, 1]);
    }

    fn ticks(history: &History, states: States) -> Vec<u32> {
        history.walk(states).map(|node| node.state.tick().0).collect()
    }

    #[test]
    fn a_row_keeps_its_newest_32_states() {
        let (mut history, mut row) = (History::default(), States::default());
        assert!((1..=40).all(|t| history.add(&mut row, knot(t))));
        assert_eq!(ticks(&history, row), (9..=40).rev().collect::<Vec<_>>());
        assert_eq!(history.nodes.len(), HISTORY_MAX);
        assert_eq!(history.oldest(row), Some(&knot(9)));
    }

    #[test]
    fn an_older_state_is_not_added() {
        let (mut history, mut row) = (History::default(), States::default());
        assert!(history.add(&mut row, knot(5)));
        assert!(!history.add(&mut row, knot(5)) && !history.add(&mut row, knot(4)));
        assert_eq!(ticks(&history, row), [5]);
    }

    #[test]
    fn pruning_keeps_the_state_that_holds_at_the_tick() {
        let (mut history, mut row) = (History::default(), States::default());
        for t in [1, 4, 7, 9] {
            history.add(&mut row, knot(t));
        }
        history.prune(&mut row, Tick(8));
        assert_eq!(ticks(&history, row), [9, 7]);
        assert_eq!(history.at(row, Tick(8)), Some(&knot(7)));
        assert_eq!(history.at(row, Tick(6)), None);
    }

    #[test]
    fn what_is_dropped_is_used_again() {
        let (mut history, mut a, mut b) =
            (History::default(), States::default(), States::default());
        for t in 0..10 {
            history.add(&mut a, knot(t));
        }
        history.clear(&mut a);
        for t in 0..10 {
            history.add(&mut b, knot(t));
        }
        assert_eq!(history.nodes.len(), 10);
        assert_eq!(ticks(&history, a), [] as [u32; 0]);
        assert_eq!(ticks(&history, b).len(), 10);
    }
}
