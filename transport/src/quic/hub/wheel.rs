//! A hierarchical timer wheel: one deadline for each connection, no scan over all of them.
//!
//! ```text
//! level 0    64 slots of about a millisecond
//! level 1    64 slots of 67 ms
//! level 2    64 slots of 4.3 s      ...and so on; seven levels are a hundred years
//! ```
//!
//! A deadline lies in the slot of the highest level on which it differs from the present, and comes
//! down a level each time the present reaches its slot (Varghese and Lauck, 1987). A deadline is
//! met at most one slot of level 0 late and never early. Most deadlines of QUIC are put off before
//! they are met: one that is put off keeps its place until the present gets there.

use starling_protocol::units::Nanos;

/// Nanoseconds of a slot on level 0, as a power of two: 1.05 ms.
const GRAIN_BITS: u32 = 20;
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
const LEVELS: usize = 7;
/// The furthest present and deadline that the wheel can tell, in grains.
const GRAINS_MAX: u64 = (1 << (SLOT_BITS * LEVELS as u32)) - 1;
/// No connection, no slot.
const NONE: u32 = u32::MAX;
/// The slot of deadlines that are past already.
const PAST: u32 = (LEVELS * SLOTS) as u32;

/// What the wheel knows of one connection.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// When it is due, in grains; [`u64::MAX`] for never.
    wanted: u64,
    /// The grain for which it lies in its slot: `wanted`, or earlier.
    armed: u64,
    slot: u32,
    next: u32,
    previous: u32,
}

impl Node {
    const IDLE: Self =
        Self { wanted: u64::MAX, armed: u64::MAX, slot: NONE, next: NONE, previous: NONE };
}

#[derive(Debug)]
struct Level {
    /// Bit n is set when slot n holds something.
    occupied: u64,
    heads: [u32; SLOTS],
}

impl Default for Level {
    fn default() -> Self {
        Self { occupied: 0, heads: [NONE; SLOTS] }
    }
}

/// Deadlines by the place of their connections.
#[derive(Debug)]
pub(in crate::quic) struct Wheel {
    /// The present, in grains: every deadline up to it has been met.
    now: u64,
    nodes: Vec<Node>,
    past: u32,
    /// Levels are made when they are first used: a client of one connection uses two.
    levels: [Option<Box<Level>>; LEVELS],
}

impl Default for Wheel {
    fn default() -> Self {
        Self { now: 0, nodes: Vec::new(), past: NONE, levels: [const { None }; LEVELS] }
    }
}

impl Wheel {
    /// Sets or moves the deadline of a place; `None` takes it away.
    pub(in crate::quic) fn set(&mut self, place: usize, deadline: Option<Nanos>) {
        if self.nodes.len() <= place {
            self.nodes.resize(place + 1, Node::IDLE);
        }
        let wanted = deadline.map_or(u64::MAX, grain_from);
        let node = &mut self.nodes[place];
        node.wanted = wanted;
        if wanted < node.armed {
            self.unlink(place);
            self.link(place, wanted);
        }
    }

    /// Forgets a place.
    pub(in crate::quic) fn remove(&mut self, place: usize) {
        if place < self.nodes.len() {
            self.unlink(place);
            self.nodes[place] = Node::IDLE;
        }
    }

    /// Moves the present on and appends the places whose deadlines were met, which are theirs to
    /// set anew.
    pub(in crate::quic) fn advance(&mut self, now: Nanos, met: &mut Vec<usize>) {
        let target = (now.0 >> GRAIN_BITS).min(GRAINS_MAX);
        self.meet_past(met);
        while let Some((level, slot, start)) = self.first_slot() {
            if start > target {
                break;
            }
            self.now = start;
            self.empty(level, slot);
            self.meet_past(met);
        }
        self.now = self.now.max(target);
    }

    /// When [`Wheel::advance`] has something to do, at the latest.
    pub(in crate::quic) fn next_due(&self) -> Option<Nanos> {
        if self.past != NONE {
            return Some(Nanos(0));
        }
        self.first_slot().map(|(_, _, start)| Nanos(start << GRAIN_BITS))
    }

    /// The first slot that holds something, and the grain at which it begins.
    fn first_slot(&self) -> Option<(usize, usize, u64)> {
        let levels = self.levels.iter().enumerate();
        let (number, level) = levels
            .filter_map(|(number, level)| Some((number, level.as_deref()?)))
            .find(|(_, level)| level.occupied != 0)?;
        let slot = u64::from(level.occupied.trailing_zeros());
        let shift = SLOT_BITS * number as u32;
        let round = self.now >> (shift + SLOT_BITS) << (shift + SLOT_BITS);
        Some((number, slot as usize, round | slot << shift))
    }

    /// Brings what lies in a slot, to which the present has come, down to the levels below.
    fn empty(&mut self, number: usize, slot: usize) {
        let Some(level) = self.levels[number].as_deref_mut() else { return };
        level.occupied &= !(1 << slot);
        let mut place = std::mem::replace(&mut level.heads[slot], NONE);
        while place != NONE {
            let node = &mut self.nodes[place as usize];
            let (next, wanted) = (node.next, node.wanted);
            (node.slot, node.armed) = (NONE, u64::MAX);
            if wanted != u64::MAX {
                self.link(place as usize, wanted);
            }
            place = next;
        }
    }

    fn meet_past(&mut self, met: &mut Vec<usize>) {
        let mut place = std::mem::replace(&mut self.past, NONE);
        while place != NONE {
            let node = &mut self.nodes[place as usize];
            let (next, wanted) = (node.next, node.wanted);
            (node.slot, node.armed) = (NONE, u64::MAX);
            if wanted <= self.now {
                node.wanted = u64::MAX;
                met.push(place as usize);
            } else if wanted != u64::MAX {
                self.link(place as usize, wanted);
            }
            place = next;
        }
    }

    fn link(&mut self, place: usize, grain: u64) {
        let slot = self.slot_of(grain);
        let head = self.head_mut(slot);
        let next = std::mem::replace(head, place as u32);
        if next != NONE {
            self.nodes[next as usize].previous = place as u32;
        }
        let node = &mut self.nodes[place];
        (node.armed, node.slot, node.next, node.previous) = (grain, slot, next, NONE);
    }

    fn unlink(&mut self, place: usize) {
        let Node { slot, next, previous, .. } = self.nodes[place];
        if slot == NONE {
            return;
        }
        if next != NONE {
            self.nodes[next as usize].previous = previous;
        }
        if previous != NONE {
            self.nodes[previous as usize].next = next;
        } else {
            *self.head_mut(slot) = next;
            if next == NONE && slot != PAST {
                self.level_mut(slot).occupied &= !(1 << (slot as usize % SLOTS));
            }
        }
        let node = &mut self.nodes[place];
        (node.slot, node.armed) = (NONE, u64::MAX);
    }

    /// The slot of the highest level on which a grain differs from the present.
    fn slot_of(&self, grain: u64) -> u32 {
        let grain = grain.min(GRAINS_MAX);
        if grain <= self.now {
            return PAST;
        }
        let level = (u64::BITS - 1 - (grain ^ self.now).leading_zeros()) / SLOT_BITS;
        let slot = (grain >> (SLOT_BITS * level)) as usize % SLOTS;
        level * SLOTS as u32 + slot as u32
    }

    /// The head of a slot's list, where something is about to be put, or was.
    fn head_mut(&mut self, slot: u32) -> &mut u32 {
        if slot == PAST {
            return &mut self.past;
        }
        let level = self.level_mut(slot);
        level.occupied |= 1 << (slot as usize % SLOTS);
        &mut level.heads[slot as usize % SLOTS]
    }

    fn level_mut(&mut self, slot: u32) -> &mut Level {
        self.levels[slot as usize / SLOTS].get_or_insert_default()
    }
}

/// The first grain that begins at a moment or after it.
const fn grain_from(moment: Nanos) -> u64 {
    let grain = moment.0.div_ceil(1 << GRAIN_BITS);
    if grain < GRAINS_MAX { grain } else { GRAINS_MAX }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// The same in a sorted map, with a wheel's grain.
    #[derive(Default)]
    struct Map {
        deadlines: BTreeMap<usize, u64>,
    }

    impl Map {
        fn set(&mut self, place: usize, deadline: Option<Nanos>) {
            match deadline {
                Some(at) => self.deadlines.insert(place, grain_from(at)),
                None => self.deadlines.remove(&place),
            };
        }

        fn advance(&mut self, now: Nanos) -> Vec<usize> {
            let now = now.0 >> GRAIN_BITS;
            let due = |at: u64| at <= now;
            let met = self.deadlines.iter().filter(|(_, at)| due(**at)).map(|(place, _)| *place);
            let met: Vec<_> = met.collect();
            self.deadlines.retain(|_, at| !due(*at));
            met
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Set(usize, u64),
        Clear(usize),
        Remove(usize),
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let ms = Nanos::MILLISECOND;
        let far = prop_oneof![0..3 * ms, 0..300 * ms, 0..20_000 * ms, 0..2_000_000 * ms];
        prop_oneof![
            4 => (0..40_usize, far.clone()).prop_map(|(place, ns)| Step::Set(place, ns)),
            1 => (0..40_usize).prop_map(Step::Clear),
            1 => (0..40_usize).prop_map(Step::Remove),
            4 => far.prop_map(Step::Pass),
        ]
    }

    proptest! {
        #[test]
        fn a_wheel_meets_the_deadlines_that_a_sorted_map_meets(
            start in prop_oneof![Just(0_u64), 0..1_u64 << 60],
            steps in prop::collection::vec(step(), 1..200),
        ) {
            let (mut wheel, mut map, mut now) = (Wheel::default(), Map::default(), Nanos(start));
            wheel.advance(now, &mut Vec::new());
            for step in steps {
                match step {
                    Step::Set(place, ns) => {
                        wheel.set(place, Some(now + ns));
                        map.set(place, Some(now + ns));
                    }
                    Step::Clear(place) => {
                        wheel.set(place, None);
                        map.set(place, None);
                    }
                    Step::Remove(place) => {
                        wheel.remove(place);
                        map.set(place, None);
                    }
                    Step::Pass(ns) => now = now + ns,
                }
                let mut met = Vec::new();
                wheel.advance(now, &mut met);
                met.sort_unstable();
                prop_assert_eq!(met, map.advance(now));
                let first = map.deadlines.values().min().map(|at| at << GRAIN_BITS);
                let due = wheel.next_due().map(|at| at.0);
                prop_assert!(first.is_none() || due <= first, "{:?} after {:?}", due, first);
                prop_assert!(due.is_none_or(|at| at > now.0 >> GRAIN_BITS << GRAIN_BITS));
            }
        }
    }

    #[test]
    fn a_deadline_is_met_once_not_early_and_at_most_a_grain_late() {
        let mut wheel = Wheel::default();
        let deadline = Nanos(12_345_678_901);
        wheel.set(3, Some(deadline));
        let mut met = Vec::new();
        wheel.advance(Nanos(deadline.0 - 1), &mut met);
        assert!(met.is_empty());
        wheel.advance(deadline + (1 << GRAIN_BITS), &mut met);
        wheel.advance(deadline + Nanos::SECOND, &mut met);
        assert_eq!(met, [3]);
        assert_eq!(wheel.next_due(), None);
    }

    #[test]
    fn deadlines_beyond_all_time_are_kept() {
        let mut wheel = Wheel::default();
        wheel.set(0, Some(Nanos(u64::MAX)));
        let mut met = Vec::new();
        wheel.advance(Nanos(1 << 60), &mut met);
        assert!(met.is_empty() && wheel.next_due().is_some());
    }
}
