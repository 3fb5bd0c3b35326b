//! The index against a plain grid and a follower of its shifts.

use super::*;
use crate::executor::Backwards;
use crate::grid::CellGrid;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Everything in its lane, as someone knows it who only follows the shifts.
#[derive(Default)]
struct Follower(BTreeMap<(LeafIdx, usize), EntityIdx>);

impl Follower {
    fn follow(&mut self, index: &Index) {
        for shift in &index.shifts.all {
            match *shift {
                Shift::One { entity, from, to } => {
                    let old = self.0.remove(&(from.leaf(), from.lane()));
                    assert!(old.is_none_or(|old| old == entity));
                    if old.is_some() {
                        self.0.insert((to.leaf(), to.lane()), entity);
                    }
                }
                Shift::Many { from, to, lanes, who } => {
                    for lane in bits(lanes) {
                        let Some(old) = self.0.remove(&(from, lane)) else { continue };
                        assert_eq!(old, index.moved_out(who, lane));
                        self.0.insert((to, lane), old);
                    }
                }
                Shift::Gone { entity, from } => {
                    let old = self.0.remove(&(from.leaf(), from.lane()));
                    assert!(old.is_none_or(|old| old == entity));
                }
            }
        }
    }

    /// Nobody of whom it knows is elsewhere; from now on it knows everyone.
    fn check(&mut self, index: &Index, now: &BTreeMap<u32, Grid>) {
        for (&(leaf, lane), &entity) in &self.0 {
            assert_eq!(index.lane(entity), Some(Lane::new(leaf, lane)), "{entity:?}");
        }
        let lanes = now.keys().map(|e| (index.lane(EntityIdx(*e)).expect("held"), *e));
        self.0 = lanes.map(|(at, e)| ((at.leaf(), at.lane()), EntityIdx(e))).collect();
        assert_eq!(self.0.len(), now.len(), "each has a lane of its own");
    }
}

fn found(index: &Index, probe: &Probe) -> Vec<EntityIdx> {
    let mut all = Vec::new();
    index.probe(probe, u64::MAX, |e, _| all.push(e));
    all.sort_unstable();
    assert!(all.windows(2).all(|w| w[0] < w[1]), "nothing is found twice");
    all
}

/// The probe may hit a little more than the sphere holds.
fn assert_like_the_grid(index: &Index, now: &BTreeMap<u32, Grid>, probes: &[(Grid, u32)]) {
    let places: Vec<_> = now.iter().map(|(e, p)| (EntityIdx(*e), *p)).collect();
    let oracle = CellGrid::new(20_000, &places);
    for &(center, radius) in probes {
        for flat in [false, true] {
            let all = found(index, &Probe::Sphere { center, radius, flat });
            let exact = oracle.within(center, radius, flat);
            let missed: Vec<_> = exact.iter().filter(|e| !all.contains(e)).collect();
            assert!(missed.is_empty(), "missed {missed:?} round {center:?} within {radius}");
            let wider = oracle.within(center, radius + radius / 1000 + 8, flat);
            assert!(all.iter().all(|e| wider.contains(e)), "found what is far away");
        }
    }
    assert_eq!(found(index, &Probe::Box(GridBox::ALL)).len(), now.len());
}

fn assert_in_order(index: &Index) {
    let mut next = 0;
    for number in &index.zones.order {
        let zone = &index.zones.rows[*number as usize];
        let mut len = 0;
        for (leaf, first) in zone.order.iter().zip(&zone.firsts) {
            let (bounds, leaf) = (index.bounds[*leaf as usize], &index.leaves[*leaf as usize]);
            assert_eq!([leaf.first, *first], [next; 2], "one leaf begins where another ends");
            assert_eq!(leaf.zone, *number);
            assert!(leaf.fat.holds(&leaf.round(leaf.used)), "the fat box holds all");
            assert!(bounds.holds(&leaf.round(leaf.used)));
            assert!(leaf.after >= leaf.first);
            next = leaf.after;
            len += leaf.used.count_ones() as usize;
        }
        assert_eq!(len, zone.len);
        assert!(len <= index.zones.limit, "{len} in a zone");
    }
    assert_eq!(next, u64::MAX, "the zones cover the curve");
}

fn coordinate() -> impl Strategy<Value = i32> {
    prop_oneof![
        4 => -60_000..60_000i32,
        1 => -200..200i32,
        1 => -1_024_000_000..=1_024_000_000i32
    ]
}

fn place() -> impl Strategy<Value = Grid> {
    (coordinate(), coordinate(), -5_000..5_000i32).prop_map(|(x, y, z)| [x, y, z])
}

/// What happens to an entity: it comes, jumps, steps or goes.
fn event() -> impl Strategy<Value = (u32, u8, Grid)> {
    (0..300u32, 0..10u8, place())
}

fn apply(index: &mut Index, now: &mut BTreeMap<u32, Grid>, (e, what, to): (u32, u8, Grid)) {
    let entity = EntityIdx(e);
    match (now.get(&e).copied(), what) {
        (None, _) => {
            index.insert(entity, KindId(e as u8 % 5), to);
            now.insert(e, to);
        }
        (Some(_), 0) => {
            index.remove(entity);
            now.remove(&e);
        }
        (Some(_), 1..3) => {
            index.moved(entity, to);
            now.insert(e, to);
        }
        (Some(at), _) => {
            let to = [0, 1, 2].map(|axis| at[axis] + to[axis] % 4_000);
            index.moved(entity, to);
            now.insert(e, to);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_index_finds_what_the_grid_finds_and_tells_who_changed_lanes(
        rounds in prop::collection::vec(prop::collection::vec(event(), 0..200), 1..24),
        probes in prop::collection::vec((place(), 0..200_000u32), 1..6),
        globe: bool,
        zone_entities_max in prop_oneof![Just(ZONE_ENTITIES_MAX), 2..40usize],
        threads in 1..9usize,
    ) {
        let space = if globe { Space::Geodetic } else { Space::Metric };
        let mut now = BTreeMap::new();
        let mut index = Index::with_zones(space, zone_entities_max);
        let mut follower = Follower::default();
        for events in rounds {
            events.into_iter().for_each(|event| apply(&mut index, &mut now, event));
            index.settle_on(&Backwards(threads));
            prop_assert_eq!(index.len(), now.len());
            assert_in_order(&index);
            assert_like_the_grid(&index, &now, &probes);
            follower.follow(&index);
            follower.check(&index, &now);
        }
    }
}

#[test]
fn a_crowd_in_one_point_has_leaves_enough() {
    let mut index = Index::new(Space::Metric);
    for e in 0..5_000 {
        index.insert(EntityIdx(e), KindId(0), [7, 7, 7]);
    }
    index.settle();
    assert_eq!(found(&index, &Probe::sphere([7; 3], 1.0, false)).len(), 5_000);
    assert!(index.leaves() < 200, "{}", index.leaves());
}

#[test]
fn leaves_that_empty_become_few() {
    let mut index = Index::new(Space::Metric);
    for e in 0..5_000i32 {
        index.insert(EntityIdx(e as u32), KindId(0), [e % 70 * 2_000, e / 70 * 2_000, 0]);
    }
    index.settle();
    let before = index.leaves();
    (0..5_000).filter(|e| e % 50 != 0).for_each(|e| index.remove(EntityIdx(e)));
    for i in 0..1_000 {
        index.moved(EntityIdx(0), [i, 0, 0]);
        index.settle();
    }
    assert!(index.leaves() * 10 < before, "{} of {before}", index.leaves());
    assert_eq!(found(&index, &Probe::Box(GridBox::ALL)).len(), 100);
}

#[test]
fn only_kinds_that_are_asked_for_are_found() {
    let mut index = Index::new(Space::Metric);
    for e in 0..100 {
        index.insert(EntityIdx(e), KindId(e as u8 % 2 * 3), [e as i32, 0, 0]);
    }
    index.settle();
    let mut hits = [0; 3];
    for (hit, kinds) in hits.iter_mut().zip([1 << 4, 1 << 3, u64::MAX]) {
        index.probe(&Probe::Box(GridBox::ALL), kinds, |_, _| *hit += 1);
    }
    assert_eq!(hits, [0, 50, 100]);
}

/// Everyone in a square of sides 60, as many to a zone as a leaf holds at most.
fn square(zone_entities_max: usize) -> Index {
    let mut index = Index::with_zones(Space::Metric, zone_entities_max);
    for e in 0..3_600i32 {
        index.insert(EntityIdx(e as u32), KindId(0), [e % 60 * 2_000, e / 60 * 2_000, 0]);
    }
    index.settle();
    index
}

#[test]
fn zones_that_are_full_are_cut_and_sparse_ones_become_one() {
    let mut index = square(100);
    assert!((36..=72).contains(&index.zones()), "{}", index.zones());
    (0..3_600).filter(|e| e % 60 != 0).for_each(|e| index.remove(EntityIdx(e)));
    for i in 0..500 {
        index.moved(EntityIdx(0), [i, 0, 0]);
        index.settle();
        assert_in_order(&index);
    }
    assert!(index.zones() <= 3, "{}", index.zones());
    assert_eq!(found(&index, &Probe::Box(GridBox::ALL)).len(), 60);
}

#[test]
fn who_crosses_from_zone_to_zone_is_handed_over() {
    let mut index = square(100);
    assert_eq!(index.handovers(), 0);
    for step in 0..600 {
        index.moved(EntityIdx(0), [step * 200, step * 200, 0]);
        index.settle();
        let near = found(&index, &Probe::sphere([step * 200, step * 200, 0], 1.0, false));
        assert!(near.contains(&EntityIdx(0)), "found at once on either side of a border");
    }
    assert!((3..200).contains(&index.handovers()), "{}", index.handovers());
}
