//! Rings: what is far away is told of its changes less often, where a world's policy says so, and in
//! every world that has too little time (P13).
//!
//! A ring has its turn in every n-th tick; in between, the changes of its slots are withheld, and
//! with them the acknowledgement. Whoever enters or leaves is told at once, whatever its ring. The
//! turns of sessions are spread over the ticks, so that no tick carries everyone's far away.

use super::Scene;
use super::lane::Lane;
use super::slots::Slots;
use crate::entity::EntityIdx;
use crate::interest::Area;
use crate::session::{Session, SessionIdx};
use crate::space::{Cartesian, distance2};
use starling_protocol::limits::RINGS_MAX;
use starling_protocol::message::control::Ring;
use starling_protocol::units::Tick;

/// Which rings wait in a tick.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Turns {
    /// Squared distances at which the rings begin, in order; infinite where there are no more.
    beyond2: [f64; RINGS_MAX],
    /// By number of rings that begin nearer; the innermost never waits.
    waits: [bool; RINGS_MAX + 1],
}

impl Turns {
    fn new(rings: &[Ring], session: SessionIdx, now: Tick) -> Self {
        let mut turns = Self { beyond2: [f64::INFINITY; RINGS_MAX], waits: [false; RINGS_MAX + 1] };
        for (at, ring) in rings.iter().take(RINGS_MAX).enumerate() {
            turns.beyond2[at] = f64::from(ring.beyond_m) * f64::from(ring.beyond_m);
            let turn = now.0.wrapping_add(session.0) % u32::from(ring.every_ticks.max(1));
            turns.waits[at + 1] = turn != 0;
        }
        turns
    }

    fn any(&self) -> bool {
        self.waits.contains(&true)
    }

    fn waits(&self, away2: f64) -> bool {
        self.waits[self.beyond2.iter().filter(|beyond2| away2 > **beyond2).count()]
    }
}

/// Puts off what is far away and has not its turn.
pub(super) fn defer(
    lane: &mut Lane,
    slots: &Slots,
    idx: SessionIdx,
    session: &Session,
    scene: &Scene<'_>,
) {
    let turns = Turns::new(scene.rings, idx, scene.now);
    let shed = scene.shed.waits_beyond2(idx.0, scene.now);
    if (!turns.any() && shed.is_none()) || lane.agenda.words.is_empty() {
        return;
    }
    let Lane { agenda, centres, tally, .. } = lane;
    centres.clear();
    let areas = scene.interests.areas(idx).iter();
    centres.extend(
        areas.filter_map(|(_, area)| Some((centre(area, session, scene)?, area.reach_m()))),
    );
    if centres.is_empty() {
        return;
    }
    let waits = |entity: EntityIdx| {
        let place = scene.atlas.place(entity).point;
        let (mut away2, mut part2) = (f64::INFINITY, f64::INFINITY);
        for (centre, reach_m) in &*centres {
            let apart2 = distance2(*centre, place);
            away2 = away2.min(apart2);
            part2 = part2.min(apart2 / (reach_m * reach_m));
        }
        turns.waits(away2) || shed.is_some_and(|beyond2| part2 > beyond2)
    };
    tally.deferred += u64::from(agenda.defer(slots, waits));
}

/// Where a session looks from with one of its areas.
fn centre(area: &Area, session: &Session, scene: &Scene<'_>) -> Option<Cartesian> {
    let place = |entity: EntityIdx| scene.atlas.place(entity).point;
    if let Some(middle) = area.middle(scene.atlas.space()) {
        return Some(middle);
    }
    if let Some(target) = area.followed() {
        return scene.entities.target(target).map(place);
    }
    let named = area.entity().map(|handle| session.owned().get(handle));
    named.unwrap_or_else(|| session.avatar.or_else(|| session.owned().first())).map(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(beyond_m: f32, every_ticks: u8) -> Ring {
        Ring { beyond_m, every_ticks }
    }

    fn told(session: u32, away_m: f64) -> Vec<u32> {
        let rings = [ring(10.0, 2), ring(20.0, 4)];
        let waits =
            |tick| Turns::new(&rings, SessionIdx(session), Tick(tick)).waits(away_m * away_m);
        (0..8).filter(|tick| !waits(*tick)).collect()
    }

    #[test]
    fn a_ring_has_its_turn_in_every_nth_tick() {
        assert_eq!(told(0, 10.0), [0, 1, 2, 3, 4, 5, 6, 7], "the innermost never waits");
        assert_eq!(told(0, 10.1), [0, 2, 4, 6]);
        assert_eq!(told(0, 1e9), [0, 4]);
    }

    #[test]
    fn sessions_take_turns() {
        assert_eq!(told(1, 30.0), [3, 7]);
        assert_eq!(told(2, 30.0), [2, 6]);
    }

    #[test]
    fn without_rings_nobody_waits() {
        assert!(!Turns::new(&[], SessionIdx(3), Tick(7)).any());
    }
}
