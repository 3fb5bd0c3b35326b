//! One client and everything that it might see.

use super::area::{Area, Eye, Zone};
use super::findings::{Findings, OverBound, WRONG_NAMED_MAX, Wrong, WrongPair};
use super::subject::{Place, Subject, Whereabouts};
use crate::meter::Current;
use crate::space::Space;
use crate::target::{EntityNo, Frame, Held};

/// A client that is judged.
pub(super) struct Observer {
    areas: Vec<Area>,
    own: Vec<EntityNo>,
    pairs: Vec<Pair>,
    /// The tick of the last frame; a gap means that nothing is known of the time between.
    last_tick: Option<u32>,
    eyes: Vec<Eye>,
    rtt_ns: u64,
}

/// What is known of one client and one entity.
#[derive(Clone, Copy)]
struct Pair {
    zone: Zone,
    /// Since which tick it is in this zone.
    since: u32,
    /// The last tick at which the client held it.
    seen: u32,
    /// The tick up to which the client's copy reflects what the server took.
    settled: u32,
    /// The newest tick that a state of the client's copy was of.
    state_tick: u32,
    /// The client got it with the frame at hand.
    entered: bool,
    /// It was found wrong and has not been right since.
    wrong: bool,
    /// When the sample was taken that brought it together or parted it, until the client knows;
    /// 0 when nothing is awaited.
    awaited_ns: u64,
}

/// What is the same for all observers at one tick.
pub(super) struct Scene<'a> {
    pub space: Space,
    pub hysteresis: f64,
    /// The stated bound with the accepted position's own grid added.
    pub bound_m: f64,
    pub tick_ns: u64,
    pub faulted: bool,
    pub subjects: &'a [Subject],
    pub names: &'a [String],
    /// Is this frame in the measured time?
    pub measured: bool,
}

/// For so long after its last sample an entity may be followed on its line.
const LINE_NS: u64 = 500_000_000;

const NEVER: u32 = u32::MAX - 1;

impl Observer {
    pub(super) fn new(areas: Vec<Area>, own: Vec<EntityNo>, entities: usize) -> Self {
        let pair = Pair {
            zone: Zone::Between,
            since: 0,
            seen: NEVER,
            settled: 0,
            state_tick: 0,
            entered: false,
            wrong: false,
            awaited_ns: 0,
        };
        Self {
            areas,
            own,
            pairs: vec![pair; entities],
            last_tick: None,
            eyes: Vec::new(),
            rtt_ns: 0,
        }
    }

    pub(super) fn has_area(&self) -> bool {
        !self.areas.is_empty()
    }

    pub(super) fn first_entity(&self) -> Option<EntityNo> {
        self.own.first().copied()
    }

    pub(super) fn measure_rtt(&mut self, rtt_ns: u64) {
        self.rtt_ns = rtt_ns;
    }

    /// The connection broke: judging starts over when frames come again.
    pub(super) fn forget(&mut self) {
        self.last_tick = None;
    }

    /// It has a new session, perhaps with a server that counts its ticks anew.
    pub(super) fn begin_anew(&mut self) {
        self.pairs.iter_mut().for_each(|pair| pair.state_tick = 0);
    }

    pub(super) fn judge(
        &mut self,
        frame: &Frame,
        copies: &[Held],
        scene: &Scene<'_>,
        found: &mut Findings,
        second: &mut Current,
    ) {
        let goes_on = self.last_tick == Some(frame.tick.wrapping_sub(1));
        self.last_tick = Some(frame.tick);
        if !goes_on {
            self.start_over(frame.tick);
        }
        for copy in copies {
            self.compare(copy, frame, scene, found, second);
        }
        self.look_round(scene);
        for index in 0..self.pairs.len() {
            self.check(index, frame, goes_on, scene, found, second);
        }
        if scene.measured {
            found.frames += u64::from(self.has_area());
            found.held += copies.len() as u64;
        }
    }

    fn start_over(&mut self, tick: u32) {
        for pair in &mut self.pairs {
            (pair.since, pair.settled) = (tick, tick);
            (pair.wrong, pair.awaited_ns) = (false, 0);
        }
    }

    /// The client's copy against the accepted position.
    fn compare(
        &mut self,
        copy: &Held,
        frame: &Frame,
        scene: &Scene<'_>,
        found: &mut Findings,
        second: &mut Current,
    ) {
        let Some(pair) = self.pairs.get_mut(copy.entity.0 as usize) else { return };
        pair.entered = pair.seen.wrapping_add(1) != frame.tick;
        pair.seen = frame.tick;
        found.went_back += u64::from(scene.measured && copy.state_tick < pair.state_tick);
        pair.state_tick = pair.state_tick.max(copy.state_tick);
        if pair.entered {
            // What was taken before it came is no concern of this client.
            pair.settled = pair.settled.max(frame.tick.saturating_sub(1));
        }
        let subject = &scene.subjects[copy.entity.0 as usize];
        let Some(place) = subject.place() else { return };
        let error_m = scene.space.distance_m(copy.position, place.position);
        let right = error_m <= scene.bound_m;
        let told = frame.decoded && copy.told && is_settled(subject, frame.tick, scene);
        if scene.measured {
            found.visible_updates += u64::from(right);
            found.changed += u64::from(right && copy.changed);
            if told {
                found.error_m.record(error_m);
                if !right {
                    note_over(copy, error_m, frame, scene, found);
                }
            }
        }
        if right {
            settle(pair, subject, copy, frame, scene.measured, found, second);
        }
    }

    /// Lays out the areas as they are at this tick.
    fn look_round(&mut self, scene: &Scene<'_>) {
        let own = self.first_entity().and_then(|e| scene.subjects[e.0 as usize].place());
        let mine = &self.own;
        self.eyes.clear();
        for area in &self.areas {
            let others = scene.subjects.iter().enumerate().filter_map(|(index, subject)| {
                let foreign = !mine.contains(&EntityNo(index as u32));
                subject.place().filter(|_| foreign).map(|place| place.cartesian)
            });
            self.eyes.push(Eye::new(area, scene.space, scene.hysteresis, own, others));
        }
    }

    /// Is one entity held or not held as it should be?
    fn check(
        &mut self,
        index: usize,
        frame: &Frame,
        goes_on: bool,
        scene: &Scene<'_>,
        found: &mut Findings,
        second: &mut Current,
    ) {
        let entity = EntityNo(index as u32);
        let zone = self.zone(entity, scene);
        let pair = &mut self.pairs[index];
        let held = pair.seen == frame.tick;
        let flipped = pair.zone != zone;
        if flipped {
            (pair.zone, pair.since) = (zone, frame.tick);
        }
        let grace = grace_ticks(scene, self.rtt_ns);
        let overdue = frame.tick.saturating_sub(pair.since) > grace;
        let wrong = overdue && held != (zone == Zone::Inside) && zone != Zone::Between;
        if scene.measured {
            found.pairs_checked += u64::from(zone != Zone::Between);
            if wrong && !pair.wrong {
                note_wrong(index, pair.since, held, frame, scene, found);
            }
        }
        pair.wrong = wrong;
        if flipped {
            self.pairs[index].awaited_ns = match goes_on {
                true => self.what_flipped(entity, frame, scene).unwrap_or(0),
                false => 0,
            };
        }
        self.pairs[index].end_waiting(held, frame, scene.measured, found, second);
    }

    fn zone(&self, entity: EntityNo, scene: &Scene<'_>) -> Zone {
        if self.own.contains(&entity) {
            return Zone::Outside;
        }
        match scene.subjects[entity.0 as usize].whereabouts() {
            Whereabouts::Nowhere => Zone::Outside,
            Whereabouts::Unknown => Zone::Between,
            Whereabouts::At(place) => self.zone_at(entity, place),
        }
    }

    fn zone_at(&self, entity: EntityNo, place: Place) -> Zone {
        let zones = self.eyes.iter().map(|eye| eye.zone(entity, place));
        zones.max().unwrap_or(Zone::Outside)
    }

    /// When the sample was taken that brought a pair together or parted it, if the client has
    /// something to learn from it.
    fn what_flipped(&self, entity: EntityNo, frame: &Frame, scene: &Scene<'_>) -> Option<u64> {
        let pair = &self.pairs[entity.0 as usize];
        let was_held = match pair.seen == frame.tick {
            true => !pair.entered,
            false => pair.seen.wrapping_add(1) == frame.tick,
        };
        let learns = match pair.zone {
            Zone::Inside => !was_held,
            Zone::Outside => was_held,
            Zone::Between => false,
        };
        let own = self.first_entity().into_iter();
        let taken = own.chain([entity]).filter_map(|e| scene.subjects[e.0 as usize].newest());
        // A pair may also change because the area did, or a third entity; that is not timed.
        let now = taken.filter(|(tick, _)| *tick == frame.tick).map(|(_, ns)| ns);
        now.max().filter(|_| learns)
    }
}

impl Pair {
    fn end_waiting(
        &mut self,
        held: bool,
        frame: &Frame,
        measured: bool,
        found: &mut Findings,
        second: &mut Current,
    ) {
        if self.awaited_ns == 0 || held != (self.zone == Zone::Inside) {
            return;
        }
        let ms = frame.at_ns.saturating_sub(std::mem::take(&mut self.awaited_ns)) as f64 / 1e6;
        match held {
            _ if !measured => {}
            true => {
                found.enter_ms.record(ms);
                second.enter_ms.record(ms);
            }
            false => found.leave_ms.record(ms),
        }
    }
}

/// The copy is right: what the server took since it last was is reflected now.
fn settle(
    pair: &mut Pair,
    subject: &Subject,
    copy: &Held,
    frame: &Frame,
    measured: bool,
    found: &mut Findings,
    second: &mut Current,
) {
    if subject.newest().is_none_or(|(tick, _)| tick <= pair.settled) {
        pair.settled = frame.tick;
        return;
    }
    if measured {
        for taken in subject.taken_between(pair.settled, frame.tick) {
            // Late by a frame that was lost, or brought by this one; else it was foreseen.
            let late = copy.told && taken.tick < frame.tick;
            if frame.decoded && (copy.changed || late) {
                let ms = frame.at_ns.saturating_sub(taken.sampled_ns) as f64 / 1e6;
                found.staleness_ms.record(ms);
                second.staleness_ms.record(ms);
            } else {
                found.covered += 1;
            }
        }
    }
    pair.settled = frame.tick;
}

/// Is it beyond doubt where the server has the entity at this tick? It is in the tick of a sample,
/// from then on if that sample says that it has stopped, and again when none has come for a while.
/// Else a server does well to follow the line that the entity was on: a sample may be missing
/// because it was lost.
fn is_settled(subject: &Subject, tick: u32, scene: &Scene<'_>) -> bool {
    let silent = subject.newest().and_then(|(newest, _)| tick.checked_sub(newest));
    let for_long = |ticks| u64::from(ticks) * scene.tick_ns > LINE_NS;
    let just_now = |ticks| ticks == 0 && subject.is_exact();
    silent.is_some_and(|ticks| just_now(ticks) || subject.stands() || for_long(ticks))
}

/// Two ticks and a round trip; on a link with faults a second and two round trips.
fn grace_ticks(scene: &Scene<'_>, rtt_ns: u64) -> u32 {
    let ticks = |ns: u64| ns.div_ceil(scene.tick_ns.max(1)) as u32;
    match scene.faulted {
        false => 2 + ticks(rtt_ns),
        true => ticks(1_000_000_000 + 2 * rtt_ns),
    }
}

fn note_over(copy: &Held, error_m: f64, frame: &Frame, scene: &Scene<'_>, found: &mut Findings) {
    found.over_bound += 1;
    if found.over.len() < WRONG_NAMED_MAX {
        let entity = scene.names[copy.entity.0 as usize].clone();
        found.over.push(OverBound { client: frame.client.0, entity, tick: frame.tick, error_m });
    }
}

fn note_wrong(
    index: usize,
    since_tick: u32,
    held: bool,
    frame: &Frame,
    scene: &Scene<'_>,
    found: &mut Findings,
) {
    found.wrong_set += 1;
    if found.wrong.len() < WRONG_NAMED_MAX {
        found.wrong.push(WrongPair {
            client: frame.client.0,
            entity: scene.names[index].clone(),
            what: if held { Wrong::StillPresent } else { Wrong::Missing },
            since_tick,
            found_tick: frame.tick,
        });
    }
}
