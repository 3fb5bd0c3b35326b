//! Where everything is at one tick: worked out once, laid out for going through all of it.

use super::area::Zone;
use super::subject::{Place, Subject, Whereabouts};
use crate::space::Position;

/// For so long after its last sample an entity may be followed on its line.
const LINE_NS: u64 = 500_000_000;

/// All entities at one tick, by number.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Cartesian metres, axis by axis; of who has no place they mean nothing.
    pub axes: [Vec<f64>; 3],
    /// What who has no place is to any area; `None` for who has one.
    pub placeless: Vec<Option<Zone>>,
    pub spots: Vec<Spot>,
}

/// One entity at one tick.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    /// `None` where nothing is certain.
    pub place: Option<Place>,
    /// The tick of its newest sample.
    pub newest: Option<u32>,
    /// Is it beyond doubt where the server has it?
    pub is_settled: bool,
}

impl Places {
    /// Looks at every entity once.
    pub(super) fn lay_out(&mut self, subjects: &[Subject], tick: u32, tick_ns: u64) {
        self.axes.iter_mut().for_each(Vec::clear);
        self.placeless.clear();
        self.spots.clear();
        for subject in subjects {
            let (place, placeless) = match subject.whereabouts() {
                Whereabouts::At(place) => (Some(place), None),
                Whereabouts::Nowhere => (None, Some(Zone::Outside)),
                Whereabouts::Unknown => (None, Some(Zone::Between)),
            };
            let cartesian: Position = place.map_or([0.0; 3], |place| place.cartesian);
            self.axes.iter_mut().zip(cartesian).for_each(|(axis, metres)| axis.push(metres));
            self.placeless.push(placeless);
            let newest = subject.newest().map(|(newest, _)| newest);
            let is_settled = is_settled(subject, tick, tick_ns);
            self.spots.push(Spot { place, newest, is_settled });
        }
    }
}

/// Is it beyond doubt where the server has the entity at this tick? It is in the tick of a sample,
/// from then on if that sample says that it has stopped, and again when none has come for a while.
/// Else a server does well to follow the line that the entity was on: a sample may be missing
/// because it was lost.
fn is_settled(subject: &Subject, tick: u32, tick_ns: u64) -> bool {
    let silent = subject.newest().and_then(|(newest, _)| tick.checked_sub(newest));
    let for_long = |ticks| u64::from(ticks) * tick_ns > LINE_NS;
    let just_now = |ticks| ticks == 0 && subject.is_exact();
    silent.is_some_and(|ticks| just_now(ticks) || subject.stands() || for_long(ticks))
}
