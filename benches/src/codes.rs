//! What codes take of motion that is known tick by tick, against baselines of a given age.

use crate::record::Change;
use starling_client_sim::motion::Motion;
use starling_protocol::motion::{FixState, Knot, snap_fix};
use starling_protocol::sample::Orientation;
use starling_protocol::schema::OrientationKind;
use starling_protocol::snapshot::{Code, KNOT_STEPS_MAX, fix_code, knot_code};
use starling_protocol::space::Space;
use starling_protocol::units::Tick;

/// Codes and their bits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told {
    /// How many changes had a code.
    pub codes: u32,
    /// How many had none, and were told by a record.
    pub records: u32,
    bits: u64,
}

impl Told {
    fn add(&mut self, code: Option<Code>) {
        match code {
            Some(code) => {
                self.codes += 1;
                self.bits += u64::from(code.len());
            }
            None => self.records += 1,
        }
    }

    /// Bits of a code on average.
    #[must_use]
    pub fn mean_bits(&self) -> f64 {
        self.bits as f64 / f64::from(self.codes)
    }
}

/// What a client is told whose baseline is always `age` ticks old: once in every tick for each entity
/// that got a knot after it.
#[must_use]
pub fn knots_told(changes: &[Change], kind: OrientationKind, age: u32) -> Told {
    let mut told = Told::default();
    for track in tracks(changes) {
        for (at, knot) in track.iter().enumerate().skip(1) {
            let next = track.get(at + 1).map_or(knot.tick + age, |next| next.tick);
            for tick in (knot.tick.0..next.0.min(knot.tick.0 + age)).map(Tick) {
                let Some(base) = track[..at].iter().rposition(|knot| knot.tick.0 + age <= tick.0)
                else {
                    continue;
                };
                let since = &track[base + 1..=at];
                let since = if since.len() > KNOT_STEPS_MAX { &track[at..=at] } else { since };
                told.add(knot_code(kind, &track[base], since, tick, age));
            }
        }
    }
    told
}

/// The knots of each entity for as long as it was followed.
fn tracks(changes: &[Change]) -> Vec<Vec<Knot>> {
    let mut sorted = changes.to_vec();
    sorted.sort_by_key(|change| (change.entity.index, change.entity.generation, change.now.tick));
    let mut tracks: Vec<Vec<Knot>> = Vec::new();
    for Change { base, now, .. } in sorted {
        match tracks.last_mut() {
            Some(track) if track.last() == Some(&base) => track.push(now),
            _ => tracks.push(vec![base, now]),
        }
    }
    tracks
}

/// What a client is told of vehicles that report once a second, each fix against the one before, in
/// the tick that accepted it.
#[must_use]
pub fn fixes_told(vehicles: impl Iterator<Item = Box<dyn Motion>>, seconds: u32) -> Told {
    let mut told = Told::default();
    for mut vehicle in vehicles {
        let (mut newest, mut last_s) = (None::<FixState>, f64::NEG_INFINITY);
        for tick in 0..seconds {
            let pose = vehicle.pose(f64::from(tick)).filter(|pose| pose.at_s > last_s);
            let Some((pose, at)) =
                pose.and_then(|pose| Some((pose, Space::Geodetic.snap(pose.position).ok()?)))
            else {
                continue;
            };
            last_s = pose.at_s;
            let (now, at) = (Tick(tick), snap_fix(Space::Geodetic, at));
            let Some(base) = newest else {
                newest = Some(FixState::first(now, at, Orientation::None));
                continue;
            };
            // Who stands where it stood twice is not told again.
            if base.pos == at && base.prev_pos == at {
                continue;
            }
            let next = base.then(now, at, Orientation::None);
            told.add(fix_code(OrientationKind::None, Space::Geodetic, &base, &[next], now));
            newest = Some(next);
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::motion::Gait;
    use crate::record::Recording;
    use crate::scene::Cast;

    #[test]
    fn an_older_baseline_has_more_to_tell() {
        let cast = Cast { gait: Gait::Cars, ..Cast::walk(200, 10, 60) };
        let recording = Recording::take(cast, 80);
        let [one, two] =
            [1, 2].map(|age| knots_told(recording.changes(), OrientationKind::Heading, age));
        assert!(one.codes > 500 && two.codes > one.codes, "{one:?} {two:?}");
        assert!(two.mean_bits() > one.mean_bits(), "{one:?} {two:?}");
    }
}
