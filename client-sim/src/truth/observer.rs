//! One client and everything that it might see.

use super::area::{Area, Eye, Zone};
use super::findings::{Findings, OverBound, WRONG_NAMED_MAX, Wrong, WrongPair};
use super::places::{Places, Spot};
use super::subject::Subject;
use crate::meter::Current;
use crate::space::Space;
use crate::target::{EntityNo, Frame, Held};

/// A client that is judged.
pub(super) struct Observer {
    areas: Vec<Area>,
    own: Vec<EntityNo>,
    pairs: Vec<Pair>,
    /// By entity: the zone that it is in, apart from the rest because every tick goes through all.
    zones: Vec<Zone>,
    /// By entity: it was found wrong, or something is awaited of it.
    on_watch: Vec<bool>,
    /// The tick of the last frame; a gap means that nothing is known of the time between.
    last_tick: Option<u32>,
    eyes: Vec<Eye>,
    rtt_ns: u64,
}

/// What is known of one client and one entity.
#[derive(Clone, Copy)]
struct Pair {
    /// Since which tick it is in its zone.
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
    pub places: &'a Places,
    pub names: &'a [String],
    /// Is this frame in the measured time?
    pub measured: bool,
}

/// Where an observer's judge writes.
pub(super) struct Minutes<'a> {
    pub found: &'a mut Findings,
    pub second: &'a mut Current,
    /// Scratch: by entity, the zone at this tick, and whether the client holds it.
    pub zones: &'a mut Vec<Zone>,
    pub held: &'a mut Vec<bool>,
}

const NEVER: u32 = u32::MAX - 1;
/// Pairs that are looked at together, to find out whether any of them is worth a look of its own.
const BLOCK: usize = 32;

impl Observer {
    pub(super) fn new(areas: Vec<Area>, own: Vec<EntityNo>, entities: usize) -> Self {
        let pair = Pair {
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
            zones: vec![Zone::Between; entities],
            on_watch: vec![false; entities],
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
        minutes: &mut Minutes<'_>,
    ) {
        let goes_on = self.last_tick == Some(frame.tick.wrapping_sub(1));
        self.last_tick = Some(frame.tick);
        if !goes_on {
            self.start_over(frame.tick);
        }
        minutes.held.clear();
        minutes.held.resize(self.pairs.len(), false);
        for copy in copies {
            self.compare(copy, frame, scene, minutes);
        }
        self.look_round(scene, minutes.zones);
        self.check_all(frame, goes_on, scene, minutes);
        if scene.measured {
            minutes.found.frames += u64::from(self.has_area());
            minutes.found.held += copies.len() as u64;
        }
    }

    fn start_over(&mut self, tick: u32) {
        for pair in &mut self.pairs {
            (pair.since, pair.settled) = (tick, tick);
            (pair.wrong, pair.awaited_ns) = (false, 0);
        }
        self.on_watch.fill(false);
    }

    /// The client's copy against the accepted position.
    fn compare(
        &mut self,
        copy: &Held,
        frame: &Frame,
        scene: &Scene<'_>,
        minutes: &mut Minutes<'_>,
    ) {
        let index = copy.entity.0 as usize;
        let Some(pair) = self.pairs.get_mut(index) else { return };
        let found = &mut *minutes.found;
        minutes.held[index] = true;
        pair.entered = pair.seen.wrapping_add(1) != frame.tick;
        pair.seen = frame.tick;
        found.went_back += u64::from(scene.measured && copy.state_tick < pair.state_tick);
        pair.state_tick = pair.state_tick.max(copy.state_tick);
        if pair.entered {
            // What was taken before it came is no concern of this client.
            pair.settled = pair.settled.max(frame.tick.saturating_sub(1));
        }
        let spot = &scene.places.spots[index];
        let Some(place) = spot.place else { return };
        let error_m = scene.space.distance_m(copy.position, place.position);
        let right = error_m <= scene.bound_m;
        let told = frame.decoded && copy.told && spot.is_settled;
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
            settle(pair, spot, copy, frame, scene, minutes);
        }
    }

    /// Where every entity is to the areas as they lie at this tick: its zone, of all areas the
    /// innermost.
    fn look_round(&mut self, scene: &Scene<'_>, zones: &mut Vec<Zone>) {
        let spots = &scene.places.spots;
        let own = self.first_entity().and_then(|e| spots[e.0 as usize].place);
        let mine = &self.own;
        self.eyes.clear();
        for area in &self.areas {
            let others = spots.iter().enumerate().filter_map(|(index, spot)| {
                let foreign = !mine.contains(&EntityNo(index as u32));
                spot.place.filter(|_| foreign).map(|place| place.cartesian)
            });
            self.eyes.push(Eye::new(area, scene.space, scene.hysteresis, own, others));
        }
        zones.clear();
        zones.extend(scene.places.placeless.iter().map(|zone| zone.unwrap_or(Zone::Outside)));
        self.eyes.iter().for_each(|eye| eye.survey(scene.places, zones));
        for entity in &self.own {
            zones[entity.0 as usize] = Zone::Outside;
        }
    }

    /// Is every entity held or not held as it should be?
    fn check_all(
        &mut self,
        frame: &Frame,
        goes_on: bool,
        scene: &Scene<'_>,
        minutes: &mut Minutes<'_>,
    ) {
        if scene.measured {
            let clear = minutes.zones.iter().map(|zone| u64::from(*zone != Zone::Between));
            minutes.found.pairs_checked += clear.sum::<u64>();
        }
        for first in (0..self.pairs.len()).step_by(BLOCK) {
            let block = first..self.pairs.len().min(first + BLOCK);
            if self.is_calm(block.clone(), minutes) {
                continue;
            }
            for index in block {
                self.check(index, frame, goes_on, scene, minutes);
            }
        }
    }

    /// Has nothing of a block changed its zone, is all of it as it should be, and nothing
    /// awaited? That is nearly always so, and found without a branch.
    fn is_calm(&self, block: std::ops::Range<usize>, minutes: &Minutes<'_>) -> bool {
        let zones = self.zones[block.clone()].iter().zip(&minutes.zones[block.clone()]);
        let flags = self.on_watch[block.clone()].iter().zip(&minutes.held[block]);
        let stirs = zones.zip(flags).map(|((before, zone), (on_watch, held))| {
            let misses = *zone == Zone::Inside && !*held;
            let exceeds = *zone == Zone::Outside && *held;
            (before != zone) | misses | exceeds | *on_watch
        });
        !stirs.fold(false, |any, stirs| any | stirs)
    }

    /// Is one entity held or not held as it should be?
    fn check(
        &mut self,
        index: usize,
        frame: &Frame,
        goes_on: bool,
        scene: &Scene<'_>,
        minutes: &mut Minutes<'_>,
    ) {
        let (zone, held) = (minutes.zones[index], minutes.held[index]);
        let flipped = std::mem::replace(&mut self.zones[index], zone) != zone;
        let pair = &mut self.pairs[index];
        if flipped {
            pair.since = frame.tick;
        }
        let grace = grace_ticks(scene, self.rtt_ns);
        let overdue = frame.tick.saturating_sub(pair.since) > grace;
        let wrong = overdue && held != (zone == Zone::Inside) && zone != Zone::Between;
        if scene.measured && wrong && !pair.wrong {
            note_wrong(index, pair.since, held, frame, scene, minutes.found);
        }
        pair.wrong = wrong;
        if flipped {
            self.pairs[index].awaited_ns = match goes_on {
                true => self.what_flipped(index, frame, scene).unwrap_or(0),
                false => 0,
            };
        }
        let pair = &mut self.pairs[index];
        pair.end_waiting(zone, held, frame, scene.measured, minutes);
        self.on_watch[index] = pair.wrong || pair.awaited_ns > 0;
    }

    /// When the sample was taken that brought a pair together or parted it, if the client has
    /// something to learn from it.
    fn what_flipped(&self, index: usize, frame: &Frame, scene: &Scene<'_>) -> Option<u64> {
        let pair = &self.pairs[index];
        let was_held = match pair.seen == frame.tick {
            true => !pair.entered,
            false => pair.seen.wrapping_add(1) == frame.tick,
        };
        let learns = match self.zones[index] {
            Zone::Inside => !was_held,
            Zone::Outside => was_held,
            Zone::Between => false,
        };
        let own = self.first_entity().into_iter().map(|e| e.0 as usize);
        let taken = own.chain([index]).filter_map(|e| scene.subjects[e].newest());
        // A pair may also change because the area did, or a third entity; that is not timed.
        let now = taken.filter(|(tick, _)| *tick == frame.tick).map(|(_, ns)| ns);
        now.max().filter(|_| learns)
    }
}

impl Pair {
    fn end_waiting(
        &mut self,
        zone: Zone,
        held: bool,
        frame: &Frame,
        measured: bool,
        minutes: &mut Minutes<'_>,
    ) {
        if self.awaited_ns == 0 || held != (zone == Zone::Inside) {
            return;
        }
        let ms = frame.at_ns.saturating_sub(std::mem::take(&mut self.awaited_ns)) as f64 / 1e6;
        match held {
            _ if !measured => {}
            true => {
                minutes.found.enter_ms.record(ms);
                minutes.second.enter_ms.record(ms);
            }
            false => minutes.found.leave_ms.record(ms),
        }
    }
}

/// The copy is right: what the server took since it last was is reflected now.
fn settle(
    pair: &mut Pair,
    spot: &Spot,
    copy: &Held,
    frame: &Frame,
    scene: &Scene<'_>,
    minutes: &mut Minutes<'_>,
) {
    let before = std::mem::replace(&mut pair.settled, frame.tick);
    if !scene.measured || spot.newest.is_none_or(|newest| newest <= before) {
        return;
    }
    let subject = &scene.subjects[copy.entity.0 as usize];
    for taken in subject.taken_between(before, frame.tick) {
        // Late by a frame that was lost, or brought by this one; else it was foreseen.
        let late = copy.told && taken.tick < frame.tick;
        if frame.decoded && (copy.changed || late) {
            let ms = frame.at_ns.saturating_sub(taken.sampled_ns) as f64 / 1e6;
            minutes.found.staleness_ms.record(ms);
            minutes.second.staleness_ms.record(ms);
        } else {
            minutes.found.covered += 1;
        }
    }
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
