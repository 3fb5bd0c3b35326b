//! How a store is, from what waits and what happened.

use super::{BYTES_MAX, CHANGES_MAX};
use starling_world::journal::Health;

/// Follows what waits and what happened, and says when there is something new to tell.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    told: Health,
    behind: bool,
    full: bool,
    failed: bool,
}

impl Pulse {
    pub(super) const fn told(&self) -> Health {
        self.told
    }

    pub(super) const fn has_failed(&self) -> bool {
        self.failed
    }

    pub(super) const fn is_full(&self) -> bool {
        self.full
    }

    pub(super) const fn set_full(&mut self, full: bool) {
        self.full = full;
    }

    /// For good.
    pub(super) const fn fail(&mut self) {
        self.failed = true;
    }

    /// So much waits. Says how the store is, where that is not what was told last.
    pub(super) fn look(&mut self, changes: usize, bytes: usize) -> Option<Health> {
        if changes > CHANGES_MAX / 5 * 4 || bytes > BYTES_MAX / 5 * 4 {
            self.behind = true;
        } else if changes < CHANGES_MAX / 2 && bytes < BYTES_MAX / 2 {
            self.behind = false;
        }
        let health = match self {
            Self { failed: true, .. } => Health::Failed,
            Self { full: true, .. } => Health::Full,
            Self { behind: true, .. } => Health::Behind,
            _ => Health::Well,
        };
        (std::mem::replace(&mut self.told, health) != health).then_some(health)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_falls_behind_above_four_fifths_and_is_well_again_below_half() {
        let mut pulse = Pulse::default();
        let fifth = CHANGES_MAX / 5;
        assert_eq!(pulse.look(fifth * 4, 0), None);
        assert_eq!(pulse.look(fifth * 4 + 1, 0), Some(Health::Behind));
        assert_eq!(pulse.look(fifth * 3, 0), None);
        assert_eq!(pulse.look(fifth * 2, 0), Some(Health::Well));
        assert_eq!(pulse.look(0, BYTES_MAX), Some(Health::Behind));
    }

    #[test]
    fn a_failure_is_worse_than_a_full_disk_and_for_good() {
        let mut pulse = Pulse::default();
        pulse.set_full(true);
        assert_eq!(pulse.look(CHANGES_MAX, 0), Some(Health::Full));
        pulse.fail();
        assert_eq!(pulse.look(0, 0), Some(Health::Failed));
        pulse.set_full(false);
        assert_eq!(pulse.look(0, 0), None);
    }
}
