//! Whether a room has too little time: what it is judged by, and how soon.

/// Ticks that began after the next one was due, of all in a window, beyond which there is too little
/// time: a half.
const TOO_MANY: u32 = 2;
/// At most so many of them, and there is enough again: a tenth.
const FEW: u32 = 10;
/// Seconds in a row that are neither, after which a step is tried without: as many late ticks shed
/// nothing where nothing is shed yet, so they are no reason to go on with it.
const HELD: u32 = 5;

/// The verdict on each second of ticks (P13).
///
/// One step up the ladder of [`starling_world::shed`] for a second in which every other tick came
/// after the next one was due or was skipped, and one down for each in which nearly none did, or for
/// five in a row that lie between: a short hitch sheds nothing, six seconds after the end of the
/// longest everything is as it was, and what is shed goes by the load that there is, whatever there was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strain {
    window: u32,
    ticks: u32,
    late: u32,
    /// Seconds in a row that were neither too full nor calm.
    undecided: u32,
}

impl Strain {
    /// Of a room with so many ticks in a second.
    pub(super) fn new(hz: u16) -> Self {
        Self { window: u32::from(hz).max(2), ticks: 0, late: 0, undecided: 0 }
    }

    /// These ticks were run, or skipped, in time or late. At the end of a second: is there too little
    /// time, or enough? However many were skipped at once, they are one hitch of a quarter second: a
    /// server that stood still is not one that has too much to do.
    pub(super) fn note(&mut self, ticks: u32, late: bool) -> Option<bool> {
        let ticks = ticks.min((self.window / 4).max(1));
        self.ticks += ticks;
        self.late += if late { ticks } else { 0 };
        if self.ticks < self.window {
            return None;
        }
        let Self { ticks, late, undecided, .. } = *self;
        (self.ticks, self.late) = (0, 0);
        let verdict = match () {
            () if late * TOO_MANY > ticks => Some(true),
            () if late * FEW <= ticks || undecided + 1 >= HELD => Some(false),
            () => None,
        };
        self.undecided = if verdict.is_none() { undecided + 1 } else { 0 };
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(strain: &mut Strain, late: u32) -> Option<bool> {
        let verdicts: Vec<_> = (0..20).filter_map(|at| strain.note(1, at < late)).collect();
        assert!(verdicts.len() <= 1);
        verdicts.first().copied()
    }

    #[test]
    fn a_second_is_too_full_well_filled_or_calm() {
        let mut strain = Strain::new(20);
        assert_eq!(second(&mut strain, 11), Some(true));
        assert_eq!(second(&mut strain, 10), None);
        assert_eq!(second(&mut strain, 3), None);
        assert_eq!(second(&mut strain, 2), Some(false));
    }

    /// What clients get is of the load that there is, not of the load that there was.
    #[test]
    fn a_load_that_would_shed_nothing_does_not_hold_what_is_shed() {
        for late in 0..=10 {
            let (mut strain, mut step) = (Strain::new(20), 6_i32);
            for _ in 0..60 {
                step += match second(&mut strain, late) {
                    Some(true) => 1,
                    Some(false) if step > 0 => -1,
                    _ => 0,
                };
            }
            assert_eq!(step, 0, "{late} of 20 ticks late for a minute: still at step {step}");
        }
    }

    #[test]
    fn a_step_is_held_for_a_few_seconds_and_each_that_is_too_full_begins_them_anew() {
        let mut strain = Strain::new(20);
        let mut verdicts = |seconds: &[u32]| {
            seconds.iter().map(|late| second(&mut strain, *late)).collect::<Vec<_>>()
        };
        assert_eq!(verdicts(&[5; 6]), [None, None, None, None, Some(false), None]);
        assert_eq!(verdicts(&[5, 5, 5, 20]), [None, None, None, Some(true)]);
        assert_eq!(verdicts(&[5; 5]), [None, None, None, None, Some(false)]);
    }

    #[test]
    fn ticks_that_were_skipped_are_late() {
        let mut strain = Strain::new(20);
        let mut verdicts = (0..4).map(|_| strain.note(1_000, true));
        assert!(verdicts.by_ref().take(3).all(|verdict| verdict.is_none()), "one hitch is no load");
        assert_eq!(verdicts.next(), Some(Some(true)), "one after the other is");
        assert_eq!(second(&mut strain, 0), Some(false));
    }
}
