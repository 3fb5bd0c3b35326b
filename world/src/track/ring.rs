//! The last few entries of one entity's track.

use starling_protocol::limits::AGE_MAX;
use starling_protocol::motion::{FixState, Knot};
use starling_protocol::units::Tick;

/// Entries kept: the newest and as many before it as a code may refer across.
pub(crate) const RING: usize = AGE_MAX as usize + 1;

/// What a track is made of.
pub(crate) trait Entry: Copy + Default {
    /// From which tick on it holds.
    fn tick(&self) -> Tick;
}

impl Entry for Knot {
    fn tick(&self) -> Tick {
        self.tick
    }
}

impl Entry for FixState {
    fn tick(&self) -> Tick {
        self.tick
    }
}

/// The last [`RING`] entries, newest first found.
#[derive(Clone, Debug)]
pub(crate) struct Ring<E> {
    entries: [E; RING],
    newest: u8,
    len: u8,
}

impl<E: Entry> Default for Ring<E> {
    fn default() -> Self {
        Self { entries: [E::default(); RING], newest: 0, len: 0 }
    }
}

impl<E: Entry> Ring<E> {
    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    /// Appends an entry; one of the same tick is replaced.
    pub(crate) fn push(&mut self, entry: E) {
        if self.newest().is_none_or(|newest| newest.tick() != entry.tick()) {
            self.newest = (self.newest + 1) % RING as u8;
            self.len = (self.len + 1).min(RING as u8);
        }
        self.entries[usize::from(self.newest)] = entry;
    }

    /// The newest entry.
    #[must_use]
    pub(crate) fn newest(&self) -> Option<&E> {
        (self.len > 0).then(|| &self.entries[usize::from(self.newest)])
    }

    /// The entry `steps` before the newest.
    #[must_use]
    pub(crate) fn before(&self, steps: usize) -> Option<&E> {
        let at = (usize::from(self.newest) + RING).checked_sub(steps)? % RING;
        (steps < usize::from(self.len)).then(|| &self.entries[at])
    }

    /// How many entries before the newest the one lies that held at `tick`; `None` when it is
    /// forgotten.
    #[must_use]
    pub(crate) fn steps_to(&self, tick: Tick) -> Option<usize> {
        (0..usize::from(self.len)).find(|steps| {
            let at = (usize::from(self.newest) + RING - steps) % RING;
            self.entries[at].tick() <= tick
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knot(tick: u32) -> Knot {
        Knot { tick: Tick(tick), ..Knot::default() }
    }

    #[test]
    fn the_entry_that_held_at_a_tick_is_found_until_it_is_pushed_out() {
        let mut ring = Ring::default();
        assert_eq!(ring.steps_to(Tick(9)), None);
        for tick in (10..=100).step_by(10) {
            ring.push(knot(tick));
        }
        assert_eq!(ring.steps_to(Tick(9)), None);
        assert_eq!(ring.steps_to(Tick(10)), Some(9));
        assert_eq!(ring.steps_to(Tick(99)), Some(1));
        assert_eq!(ring.steps_to(Tick(1000)), Some(0));
        assert_eq!(ring.before(1).map(|k| k.tick), Some(Tick(90)));
        (101..=131).for_each(|tick| ring.push(knot(tick)));
        assert_eq!(ring.steps_to(Tick(100)), Some(31));
        ring.push(knot(132));
        assert_eq!(ring.steps_to(Tick(100)), None);
    }

    #[test]
    fn two_entries_of_one_tick_are_one() {
        let mut ring = Ring::default();
        ring.push(knot(5));
        ring.push(Knot { vel: [1; 3], ..knot(5) });
        assert_eq!(ring.newest().map(|k| k.vel), Some([1; 3]));
        assert_eq!(ring.before(1).map(|k| k.tick), None);
    }
}
