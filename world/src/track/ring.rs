//! The last few entries of every entity's track.
//!
//! The newest of all lie side by side: they are what is nearly always asked for, and what lies between
//! them is seldom read.

use crate::entity::EntityIdx;
use starling_protocol::limits::AGE_MAX;
use starling_protocol::motion::{FixState, Knot};
use starling_protocol::units::Tick;

/// Entries kept: the newest and as many before it as a code may refer across.
pub(crate) const RING: usize = AGE_MAX as usize + 1;
const OLDER: usize = RING - 1;

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

/// The last [`RING`] entries of all entities, by row.
#[derive(Debug, Default)]
pub(crate) struct Rings<E> {
    heads: Vec<Head<E>>,
    older: Vec<[E; OLDER]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Head<E> {
    newest: E,
    /// Where the next older one will be put.
    at: u8,
    /// All that are kept, the newest included.
    len: u8,
}

impl<E: Entry> Rings<E> {
    /// Room for so many entities.
    pub(crate) fn grow(&mut self, rows: usize) {
        self.heads.resize(rows, Head::default());
        self.older.resize(rows, [E::default(); OLDER]);
    }

    /// The entries of one.
    #[must_use]
    pub(crate) fn of(&self, entity: EntityIdx) -> Ring<'_, E> {
        Ring { head: &self.heads[entity.at()], older: &self.older[entity.at()] }
    }

    /// All of them, to be changed.
    pub(crate) fn all(&mut self) -> RingRows<'_, E> {
        RingRows { heads: &mut self.heads, older: &mut self.older }
    }

    /// The same in pieces of so many entities.
    pub(crate) fn pieces(&mut self, rows: usize) -> impl Iterator<Item = RingRows<'_, E>> {
        let pieces = self.heads.chunks_mut(rows).zip(self.older.chunks_mut(rows));
        pieces.map(|(heads, older)| RingRows { heads, older })
    }
}

/// Entries of some entities that lie side by side.
#[derive(Debug)]
pub(crate) struct RingRows<'a, E> {
    heads: &'a mut [Head<E>],
    older: &'a mut [[E; OLDER]],
}

impl<E: Entry> RingRows<'_, E> {
    /// The entries of one.
    #[must_use]
    pub(crate) fn of(&self, row: usize) -> Ring<'_, E> {
        Ring { head: &self.heads[row], older: &self.older[row] }
    }

    /// Forgets those of one.
    pub(crate) fn clear(&mut self, row: usize) {
        self.heads[row] = Head::default();
    }

    /// Appends an entry; one of the same tick is replaced.
    pub(crate) fn push(&mut self, row: usize, entry: E) {
        let head = &mut self.heads[row];
        let before = std::mem::replace(&mut head.newest, entry);
        if head.len == 0 {
            head.len = 1;
        } else if before.tick() != entry.tick() {
            self.older[row][usize::from(head.at)] = before;
            head.at = (head.at + 1) % OLDER as u8;
            head.len = (head.len + 1).min(RING as u8);
        }
    }
}

/// The last [`RING`] entries of one entity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ring<'a, E> {
    head: &'a Head<E>,
    older: &'a [E; OLDER],
}

impl<'a, E: Entry> Ring<'a, E> {
    /// The newest entry.
    #[must_use]
    pub(crate) fn newest(&self) -> Option<&'a E> {
        (self.head.len > 0).then_some(&self.head.newest)
    }

    /// The entry `steps` before the newest.
    #[must_use]
    pub(crate) fn before(&self, steps: usize) -> Option<&'a E> {
        if steps == 0 {
            return self.newest();
        }
        let at = (usize::from(self.head.at) + OLDER).checked_sub(steps)? % OLDER;
        (steps < usize::from(self.head.len)).then(|| &self.older[at])
    }

    /// How many entries before the newest the one lies that held at `tick`; `None` when it is
    /// forgotten.
    #[must_use]
    pub(crate) fn steps_to(&self, tick: Tick) -> Option<usize> {
        let len = usize::from(self.head.len);
        (0..len).find(|steps| self.before(*steps).is_some_and(|entry| entry.tick() <= tick))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knot(tick: u32) -> Knot {
        Knot { tick: Tick(tick), ..Knot::default() }
    }

    fn rings() -> Rings<Knot> {
        let mut rings = Rings::default();
        rings.grow(2);
        rings
    }

    const ONE: EntityIdx = EntityIdx(1);

    #[test]
    fn the_entry_that_held_at_a_tick_is_found_until_it_is_pushed_out() {
        let mut rings = rings();
        assert_eq!(rings.of(ONE).steps_to(Tick(9)), None);
        for tick in (10..=100).step_by(10) {
            rings.all().push(1, knot(tick));
        }
        assert_eq!(rings.of(ONE).steps_to(Tick(9)), None);
        assert_eq!(rings.of(ONE).steps_to(Tick(10)), Some(9));
        assert_eq!(rings.of(ONE).steps_to(Tick(99)), Some(1));
        assert_eq!(rings.of(ONE).steps_to(Tick(1000)), Some(0));
        assert_eq!(rings.of(ONE).before(1).map(|k| k.tick), Some(Tick(90)));
        (101..=131).for_each(|tick| rings.all().push(1, knot(tick)));
        assert_eq!(rings.of(ONE).steps_to(Tick(100)), Some(31));
        assert_eq!(rings.of(ONE).before(31).map(|k| k.tick), Some(Tick(100)));
        rings.all().push(1, knot(132));
        assert_eq!(rings.of(ONE).steps_to(Tick(100)), None);
        assert_eq!(rings.of(EntityIdx(0)).newest(), None);
    }

    #[test]
    fn two_entries_of_one_tick_are_one() {
        let mut rings = rings();
        rings.all().push(1, knot(5));
        rings.all().push(1, Knot { vel: [1; 3], ..knot(5) });
        assert_eq!(rings.of(ONE).newest().map(|k| k.vel), Some([1; 3]));
        assert_eq!(rings.of(ONE).before(1).map(|k| k.tick), None);
    }

    #[test]
    fn pieces_are_the_same_rows() {
        let mut rings = rings();
        for (piece, mut rows) in rings.pieces(1).enumerate() {
            rows.push(0, knot(piece as u32 + 7));
            assert_eq!(rows.of(0).newest().map(|k| k.tick.0), Some(piece as u32 + 7));
        }
        assert_eq!(rings.of(ONE).newest().map(|k| k.tick.0), Some(8));
        rings.all().clear(1);
        assert_eq!(rings.of(ONE).newest(), None);
    }
}
