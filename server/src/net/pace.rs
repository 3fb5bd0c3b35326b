//! How much a link really takes between two ticks, where it takes much.
//!
//! A transport holds one window of stream bytes for each connection, and a quick link takes many of
//! them in a tick. What it took in the last tick it is offered twice in the next, as far as there is
//! room for what waits; so that a long list does not take a tick for each window of it.

use starling_transport::ConnKey;
use std::collections::BTreeMap;

/// A connection that is written less at once is not looked at.
const MUCH_BYTES: usize = 16 * 1024;
/// What a transport holds for a connection that reads.
const WINDOW_BYTES: u32 = 64 * 1024;

/// What one link took.
#[derive(Clone, Copy, Debug)]
struct Taken {
    /// Bytes that the transport took since the last tick.
    bytes: u64,
    /// Room that it had at the last tick.
    space: u32,
}

/// The links that are written much.
#[derive(Debug, Default)]
pub(super) struct Paces {
    links: BTreeMap<ConnKey, Taken>,
}

impl Paces {
    /// The transport took so much for a connection.
    pub(super) fn taken(&mut self, conn: ConnKey, bytes: usize) {
        if bytes >= MUCH_BYTES {
            self.links.entry(conn).or_insert(Taken { bytes: 0, space: WINDOW_BYTES });
        }
        if let Some(taken) = self.links.get_mut(&conn) {
            taken.bytes += bytes as u64;
        }
    }

    /// A tick is over and the transport has room for `space`: what may be written in the next, when
    /// at most `bytes_max` may wait for it.
    pub(super) fn grant(&mut self, conn: ConnKey, space: u32, bytes_max: usize) -> u32 {
        let Some(taken) = self.links.get_mut(&conn) else { return space };
        let drained = (taken.bytes + u64::from(space)).saturating_sub(taken.space.into());
        if taken.bytes == 0 && space >= WINDOW_BYTES {
            self.links.remove(&conn);
            return space;
        }
        *taken = Taken { bytes: 0, space };
        let most = bytes_max as u64 / 4 * 3;
        space.max((2 * drained).min(most) as u32)
    }

    /// A connection is gone.
    pub(super) fn forget(&mut self, conn: ConnKey) {
        self.links.remove(&conn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONN: ConnKey = ConnKey(1);
    const MOST: usize = 256 * 1024;
    const WINDOW: usize = WINDOW_BYTES as usize;

    #[test]
    fn a_link_that_takes_all_is_offered_more_each_time() {
        let mut paces = Paces::default();
        let mut offered = WINDOW_BYTES;
        let mut offers = Vec::new();
        for _ in 0..4 {
            paces.taken(CONN, offered as usize);
            offered = paces.grant(CONN, WINDOW_BYTES, MOST);
            offers.push(offered / 1024);
        }
        assert_eq!(offers, [128, 192, 192, 192], "never all of what may wait");
        assert_eq!(paces.grant(CONN, WINDOW_BYTES, MOST), WINDOW_BYTES, "it wanted no more");
    }

    #[test]
    fn a_link_that_only_fills_its_window_is_offered_no_more_than_there_is_room() {
        let mut paces = Paces::default();
        paces.taken(CONN, WINDOW);
        assert_eq!(paces.grant(CONN, 0, MOST), 0, "nothing went out");
        assert_eq!(paces.grant(CONN, 1_000, MOST), 2_000);
        assert_eq!(paces.grant(CONN, WINDOW_BYTES, MOST), WINDOW_BYTES);
    }

    #[test]
    fn small_writes_are_not_looked_at() {
        let mut paces = Paces::default();
        paces.taken(CONN, MUCH_BYTES - 1);
        assert!(paces.links.is_empty());
        paces.taken(CONN, MUCH_BYTES);
        paces.forget(CONN);
        assert!(paces.links.is_empty());
    }
}
