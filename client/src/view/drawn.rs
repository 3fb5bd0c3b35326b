//! What was drawn of each entity, so that a correction blends in instead of jumping.
//!
//! News may move the past: what was drawn a moment ago was a guess, and by what is known now the
//! entity was elsewhere. The difference is kept as an offset that fades within a tenth of a
//! second, so that what is drawn never jumps unless the entity did.

use super::ground::{self, Steps};
use super::motion::{Place, Rules};
use super::turn;
use crate::pose::Facing;
use starling_protocol::units::{EntityId, Nanos};

/// A change of less than so many metres of what was drawn is no correction.
const CORRECTION_M: f64 = 1e-4;

/// One entity as it was last drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drawn {
    pub(super) entity: EntityId,
    /// By all that was known, without the offset.
    place: Place,
    offset: Steps,
    turn: Facing,
    /// When the offset began to fade.
    since: Nanos,
    /// As it was shown.
    pub(super) shown: Place,
}

impl Drawn {
    pub(super) const fn new(entity: EntityId, now: Nanos, place: Place) -> Self {
        let (offset, turn) = ([0.0; 3], Facing::None);
        Self { entity, place, offset, turn, since: now, shown: place }
    }

    /// By what is known now it was at `then` when it was last drawn, at `last`.
    pub(super) fn correct(&mut self, rules: &Rules, last: Nanos, then: Place) {
        let change = ground::way(rules.space, then.at, self.place.at);
        let moved = ground::metres(rules.space, then.at, change) > CORRECTION_M;
        if !moved && then.facing == self.place.facing {
            return;
        }
        self.offset = ground::way(rules.space, then.at, self.shown.at);
        self.turn = turn::difference(self.shown.facing, then.facing);
        if ground::metres(rules.space, then.at, self.offset) > rules.teleport_m {
            (self.offset, self.turn) = ([0.0; 3], Facing::None);
        }
        self.since = last;
    }

    /// Draws it at a place, with what is left of the offset.
    pub(super) fn draw(&mut self, now: Nanos, blend_ns: u64, place: Place) {
        let left = fading(now.since(self.since), blend_ns);
        self.place = place;
        self.shown = Place {
            at: ground::along(place.at, self.offset, left),
            facing: turn::plus(place.facing, self.turn, left as f32),
        };
    }
}

/// From 1 to 0 within `whole_ns`, smoothly at both ends.
fn fading(gone_ns: u64, whole_ns: u64) -> f64 {
    if gone_ns >= whole_ns {
        return 0.0;
    }
    let x = gone_ns as f64 / whole_ns as f64;
    1.0 - x * x * (3.0 - 2.0 * x)
}
