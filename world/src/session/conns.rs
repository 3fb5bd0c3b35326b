//! Which session a connection carries: asked once for every datagram.
//!
//! A table with open addressing, because a tree of ten thousand is four cold lines deep. Its order
//! is never seen, and names of connections are the server's own, so that nobody can choose them to
//! collide.

use super::SessionIdx;
use crate::input::ConnId;

/// 2^64 over the golden ratio: spreads names that follow one another.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
const SLOTS_MIN: usize = 16;

/// Sessions by connection.
#[derive(Debug, Default)]
pub(super) struct Conns {
    /// A power of two of them, at most half full.
    slots: Vec<Option<(ConnId, SessionIdx)>>,
    len: usize,
}

impl Conns {
    /// How many.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The session that this connection carries.
    pub(super) fn get(&self, conn: ConnId) -> Option<SessionIdx> {
        if self.len == 0 {
            return None;
        }
        self.slots[self.find(conn)].map(|(_, idx)| idx)
    }

    /// The slot of a connection, or the free one where it would be.
    fn find(&self, conn: ConnId) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = self.home(conn);
        while self.slots[at].is_some_and(|(other, _)| other != conn) {
            at = (at + 1) & mask;
        }
        at
    }

    fn home(&self, conn: ConnId) -> usize {
        let bits = self.slots.len().trailing_zeros();
        (conn.0.wrapping_mul(SPREAD) >> (64 - bits)) as usize
    }

    /// Puts a session on a connection.
    pub(super) fn insert(&mut self, conn: ConnId, idx: SessionIdx) {
        if (self.len + 1) * 2 > self.slots.len() {
            self.grow();
        }
        let at = self.find(conn);
        self.len += usize::from(self.slots[at].is_none());
        self.slots[at] = Some((conn, idx));
    }

    fn grow(&mut self) {
        let slots = (self.slots.len() * 2).max(SLOTS_MIN);
        let old = std::mem::replace(&mut self.slots, vec![None; slots]);
        for (conn, idx) in old.into_iter().flatten() {
            let at = self.find(conn);
            self.slots[at] = Some((conn, idx));
        }
    }

    /// Forgets a connection.
    pub(super) fn remove(&mut self, conn: ConnId) {
        if self.len == 0 {
            return;
        }
        let mut hole = self.find(conn);
        if self.slots[hole].take().is_none() {
            return;
        }
        self.len -= 1;
        // Whoever was pushed on by the one that went moves back, so that no search ends too early.
        let mask = self.slots.len() - 1;
        let mut at = (hole + 1) & mask;
        while let Some((other, _)) = self.slots[at] {
            let pushed = at.wrapping_sub(self.home(other)) & mask;
            if pushed >= (at.wrapping_sub(hole) & mask) {
                self.slots[hole] = self.slots[at].take();
                hole = at;
            }
            at = (at + 1) & mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn it_holds_what_a_map_would(steps in prop::collection::vec((any::<bool>(), 0u64..60), 0..400)) {
            let (mut conns, mut map) = (Conns::default(), BTreeMap::new());
            for (n, (comes, conn)) in steps.into_iter().enumerate() {
                // Spread over the whole range, some of them with the same home.
                let (conn, idx) = (ConnId(conn.wrapping_mul(conn << 40 | 1)), SessionIdx(n as u32));
                if comes {
                    conns.insert(conn, idx);
                    map.insert(conn, idx);
                } else {
                    conns.remove(conn);
                    map.remove(&conn);
                }
                prop_assert_eq!(conns.len(), map.len());
                let all = (0u64..60).map(|c| ConnId(c.wrapping_mul(c << 40 | 1)));
                for conn in all {
                    prop_assert_eq!(conns.get(conn), map.get(&conn).copied());
                }
            }
        }
    }
}
