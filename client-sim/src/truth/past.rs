//! Where clients' entities were in the last few seconds, and who was near whom all that while.

use super::subject::Subject;
use crate::space::{Position, Space};
use crate::target::{ClientNo, ClientPlan};
use std::collections::VecDeque;
use std::ops::RangeInclusive;

/// What was for somebody by place was clearly so if it would have been during this long before
/// and after.
pub(super) const CLEARLY_NS: u64 = 1_000_000_000;
/// The past reaches back so far.
const KEPT_NS: u64 = 4 * CLEARLY_NS;
/// Distances within this share of a radius are unclear.
const UNCLEAR_SHARE: f64 = 0.01;

/// On which side of a circle somebody was all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Inside,
    Outside,
    /// On both, too close to the edge, or not known.
    Unclear,
}

/// Positions of clients' entities, tick by tick.
#[derive(Debug)]
pub(super) struct Past {
    owners: Vec<Owned>,
    moments: VecDeque<Moment>,
    space: Space,
}

/// The entities of one client.
#[derive(Clone, Copy, Debug)]
enum Owned {
    None,
    One(usize),
    /// The first of several; of the others nothing is said.
    Several(usize),
}

/// Positions of the first entity of every client at one tick.
#[derive(Debug)]
struct Moment {
    tick: u32,
    at_ns: u64,
    places: Vec<Option<Position>>,
}

impl Past {
    pub(super) fn new(plans: &[ClientPlan]) -> Self {
        let owned = |plan: &ClientPlan| match &plan.entities[..] {
            [] => Owned::None,
            [one] => Owned::One(one.entity.0 as usize),
            [first, ..] => Owned::Several(first.entity.0 as usize),
        };
        let owners = plans.iter().map(owned).collect();
        Self { owners, moments: VecDeque::new(), space: Space::Metric }
    }

    pub(super) fn clients(&self) -> impl Iterator<Item = ClientNo> + use<> {
        (0..self.owners.len() as u32).map(ClientNo)
    }

    /// A tick of the server has passed.
    pub(super) fn turn(&mut self, space: Space, tick: u32, at_ns: u64, subjects: &[Subject]) {
        self.space = space;
        let place = |owned: &Owned| match *owned {
            Owned::None => None,
            Owned::One(first) | Owned::Several(first) => {
                subjects[first].place().map(|place| place.cartesian)
            }
        };
        let places = self.owners.iter().map(place).collect();
        self.moments.push_back(Moment { tick, at_ns, places });
        let keep_ns = at_ns.saturating_sub(KEPT_NS);
        while self.moments.front().is_some_and(|moment| moment.at_ns < keep_ns) {
            self.moments.pop_front();
        }
    }

    /// Is it known where everybody was at a moment?
    pub(super) fn reaches(&self, at_ns: u64) -> bool {
        self.moments.back().is_some_and(|moment| moment.at_ns >= at_ns)
    }

    /// When a tick was first heard of.
    pub(super) fn when(&self, tick: u32) -> Option<u64> {
        let at = self.moments.partition_point(|moment| moment.tick < tick);
        self.moments.get(at).filter(|moment| moment.tick == tick).map(|moment| moment.at_ns)
    }

    /// Where a client was to a circle about another client's first entity, all of a time long.
    pub(super) fn side(
        &self,
        client: ClientNo,
        about: ClientNo,
        radius_m: u32,
        during: &RangeInclusive<u64>,
    ) -> Side {
        let (client, about) = (client.0 as usize, about.0 as usize);
        let owned = self.owners[client];
        if matches!(owned, Owned::None) {
            return Side::Outside;
        }
        let begin = self.moments.partition_point(|moment| moment.at_ns < *during.start());
        let first = self.moments.get(begin);
        // Less than the whole time is known: nothing is clear.
        if first.is_none_or(|moment| moment.at_ns > during.start() + CLEARLY_NS / 4) {
            return Side::Unclear;
        }
        let within = self.moments.range(begin..).take_while(|m| m.at_ns <= *during.end());
        let side = self.steady_side(client, about, radius_m, within);
        let lonely = side == Side::Outside && matches!(owned, Owned::Several(_));
        if lonely { Side::Unclear } else { side }
    }

    /// The side on which a client was at all of these moments. A server may compare where one is
    /// in this tick with where the other was in the tick before: both must say the same.
    fn steady_side<'a>(
        &self,
        client: usize,
        about: usize,
        radius_m: u32,
        moments: impl Iterator<Item = &'a Moment>,
    ) -> Side {
        let (mut steady, mut before) = (None, None);
        for now in moments {
            let then = before.replace(now).unwrap_or(now);
            for (a, b) in [(now, now), (then, now), (now, then)] {
                let side = self.side_at(a.places[client], b.places[about], radius_m);
                if *steady.get_or_insert(side) != side {
                    return Side::Unclear;
                }
            }
        }
        steady.unwrap_or(Side::Unclear)
    }

    fn side_at(&self, client: Option<Position>, about: Option<Position>, radius_m: u32) -> Side {
        let Some((client, about)) = client.zip(about) else { return Side::Unclear };
        let (distance_m, radius_m) = (Space::Metric.distance_m(client, about), f64::from(radius_m));
        let edge_m = edge_m(self.space) + radius_m * UNCLEAR_SHARE;
        if distance_m <= radius_m - edge_m {
            Side::Inside
        } else if distance_m >= radius_m + edge_m {
            Side::Outside
        } else {
            Side::Unclear
        }
    }
}

/// Distances on the Earth are judged by chords over hundreds of metres; half a metre is unclear.
fn edge_m(space: Space) -> f64 {
    if space == Space::Geodetic { 0.5 } else { 0.05 }
}

/// From a second before to a second after.
pub(super) fn around(from_ns: u64, to_ns: u64) -> RangeInclusive<u64> {
    from_ns.saturating_sub(CLEARLY_NS)..=to_ns + CLEARLY_NS
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::news::Taken;
    use super::*;
    use crate::target::{EntityNo, EntityPlan};

    const TICK_NS: u64 = 50_000_000;

    /// Two clients, one so far ahead of the other, that go this fast for four seconds.
    pub(in super::super) fn past_of_a_pair(apart_m: f64, metres_a_tick: f64) -> Past {
        let plan = |client: u32| {
            let entity = EntityPlan { entity: EntityNo(client), name: client.to_string() };
            let (areas, channels) = (Vec::new(), Vec::new());
            let (client, entities) = (ClientNo(client), vec![entity]);
            ClientPlan { client, entities, areas, channels, judged: false }
        };
        let mut past = Past::new(&[plan(0), plan(1)]);
        let mut subjects = [Subject::new(), Subject::new()];
        for tick in 0..80 {
            let (x, sampled_ns) = (f64::from(tick) * metres_a_tick, u64::from(tick) * TICK_NS);
            for (entity, x) in [(EntityNo(0), x), (EntityNo(1), x + apart_m)] {
                let position = [x, 0.0, 0.0];
                let taken = Taken { entity, tick, position, sampled_ns, exact: true };
                subjects[entity.0 as usize].take(Space::Metric, taken);
            }
            past.turn(Space::Metric, tick, sampled_ns, &subjects);
        }
        past
    }

    fn side_of_a_pair(apart_m: f64, metres_a_tick: f64) -> Side {
        let past = past_of_a_pair(apart_m, metres_a_tick);
        past.side(ClientNo(1), ClientNo(0), 25, &around(40 * TICK_NS, 40 * TICK_NS))
    }

    #[test]
    fn who_is_near_the_edge_and_fast_is_on_neither_side_for_certain() {
        assert_eq!(side_of_a_pair(24.3, 0.1), Side::Inside);
        assert_eq!(side_of_a_pair(24.3, 0.8), Side::Unclear);
        assert_eq!(side_of_a_pair(25.7, 0.1), Side::Outside);
        assert_eq!(side_of_a_pair(25.7, 0.8), Side::Unclear);
        assert_eq!(side_of_a_pair(27.0, 0.8), Side::Outside);
    }
}
