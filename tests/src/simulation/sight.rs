//! Who sees whom, worked out from accepted positions alone, with the memory that hysteresis needs.

use super::witness::{Accepted, ClientNo, HYSTERESIS, RADIUS_M, distance_m};
use starling_protocol::units::EntityId;
use std::collections::BTreeMap;

/// So near to a radius rounding decides.
const ROUNDING_M: f64 = 0.001;

/// What is said of one client and one entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    In,
    Out,
    /// The entity is between the radii, and whether it was visible before is not known.
    Either,
}

/// What every client sees after a tick.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sight(BTreeMap<(ClientNo, EntityId), Word>);

impl Sight {
    /// The next tick, by what was accepted up to it.
    pub(crate) fn tick(&mut self, all: &BTreeMap<EntityId, Accepted>) {
        let before = std::mem::take(&mut self.0);
        for me in all.values() {
            let Some(client) = me.owner else { continue };
            for (entity, other) in all.iter().filter(|(_, other)| other.owner != Some(client)) {
                let key = (client, *entity);
                let was = before.get(&key).copied().unwrap_or(Word::Out);
                self.0.insert(key, next(was, distance_m(me.position, other.position)));
            }
        }
    }

    /// The server begins anew with this client: what it saw before is of no account.
    pub(crate) fn forget(&mut self, client: ClientNo) {
        self.0.iter_mut().filter(|(key, _)| key.0 == client).for_each(|(_, w)| *w = Word::Either);
    }

    pub(crate) fn of(&self, client: ClientNo, entity: EntityId) -> Word {
        self.0.get(&(client, entity)).copied().unwrap_or(Word::Out)
    }
}

/// A farther leave radius than enter radius, so that nobody flickers.
fn next(was: Word, away_m: f64) -> Word {
    let leave_m = RADIUS_M * HYSTERESIS;
    match was {
        _ if away_m < RADIUS_M - ROUNDING_M => Word::In,
        _ if away_m > leave_m + ROUNDING_M => Word::Out,
        Word::Out if away_m < RADIUS_M + ROUNDING_M => Word::Either,
        Word::In if away_m > leave_m - ROUNDING_M => Word::Either,
        was => was,
    }
}

#[test]
fn what_is_between_the_radii_stays_as_it_was() {
    assert_eq!([39.0, 43.0, 46.0].map(|m| next(Word::Out, m)), [Word::In, Word::Out, Word::Out]);
    assert_eq!([39.0, 43.0, 46.0].map(|m| next(Word::In, m)), [Word::In, Word::In, Word::Out]);
    assert_eq!([40.0, 45.0].map(|m| next(Word::Out, m)), [Word::Either, Word::Out]);
    assert_eq!([40.0, 45.0].map(|m| next(Word::In, m)), [Word::In, Word::Either]);
    assert_eq!([39.0, 43.0].map(|m| next(Word::Either, m)), [Word::In, Word::Either]);
}
