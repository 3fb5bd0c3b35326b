//! What one session saw and sees, noted per entity, for one session after another.

use crate::entity::EntityIdx;

/// What is known of an entity while one session's view is worked out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Not visible before, not found yet.
    New,
    /// Visible before, not found yet.
    Old,
    /// Found: visible now.
    Seen,
}

/// Marks of all entities. To begin with the next session takes no time: its marks have other
/// numbers.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    stamps: Vec<u32>,
    serial: u32,
}

impl Marks {
    /// Begins with the next session; every entity is [`Mark::New`].
    pub(crate) fn begin(&mut self, rows: usize) {
        if self.stamps.len() < rows {
            self.stamps.resize(rows, 0);
        }
        if self.serial >= u32::MAX - 3 {
            self.stamps.fill(0);
            self.serial = 0;
        }
        self.serial += 2;
    }

    /// Notes that an entity was visible before.
    #[inline]
    pub(crate) fn was_visible(&mut self, entity: EntityIdx) {
        self.stamps[entity.at()] = self.serial;
    }

    /// Notes that an entity is visible.
    #[inline]
    pub(crate) fn see(&mut self, entity: EntityIdx) {
        self.stamps[entity.at()] = self.serial + 1;
    }

    /// What is known of an entity.
    #[inline]
    #[must_use]
    pub(crate) fn of(&self, entity: EntityIdx) -> Mark {
        match self.stamps[entity.at()].wrapping_sub(self.serial) {
            0 => Mark::Old,
            1 => Mark::Seen,
            _ => Mark::New,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_session_begins_without_marks() {
        let mut marks = Marks { serial: u32::MAX - 7, ..Marks::default() };
        for _ in 0..4 {
            marks.begin(2);
            assert_eq!([marks.of(EntityIdx(0)), marks.of(EntityIdx(1))], [Mark::New; 2]);
            marks.was_visible(EntityIdx(0));
            marks.see(EntityIdx(1));
            assert_eq!([marks.of(EntityIdx(0)), marks.of(EntityIdx(1))], [Mark::Old, Mark::Seen]);
            marks.see(EntityIdx(0));
            assert_eq!(marks.of(EntityIdx(0)), Mark::Seen);
        }
    }
}
