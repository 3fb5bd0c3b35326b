//! The judge: puts the news in the order of the server's ticks and compares.

use super::area::Zone;
use super::cues::CueBook;
use super::events::EventBook;
use super::findings::Findings;
use super::news::{News, Taken};
use super::observer::{Minutes, Observer, Scene};
use super::past::Past;
use super::places::Places;
use super::room::Room;
use super::subject::Subject;
use crate::meter::Current;
use crate::target::{ClientPlan, EntityNo, Frame, Held, Link, Resumption, Terms, View};
use std::collections::VecDeque;

/// A tick is judged at the latest when this many newer ones have been heard of, plus a second.
const LAG_TICKS: u32 = 32;

/// Compares what clients hold with what the server took.
pub struct Judge {
    faulted: bool,
    measured_ns: std::ops::Range<u64>,
    terms: Option<Terms>,
    names: Vec<String>,
    subjects: Vec<Subject>,
    places: Places,
    past: Past,
    observers: Vec<Option<Observer>>,
    owners: Vec<Owner>,
    buckets: VecDeque<Bucket>,
    /// Empty ones, with their memory.
    spare: Vec<Bucket>,
    /// The tick of the first bucket.
    base: u32,
    newest: u32,
    views: VecDeque<View>,
    /// When the newest judged tick was first heard of.
    clock_ns: u64,
    book: EventBook,
    cues: CueBook,
    found: Findings,
    second: Current,
    /// Scratch of [`Minutes`].
    zones: Vec<Zone>,
    held: Vec<bool>,
}

/// What is known of the samples of one client's entities.
#[derive(Clone, Debug, Default)]
struct Owner {
    connected: bool,
    judged: bool,
    entities: Vec<EntityNo>,
    /// Nothing came since it connected.
    silent: bool,
    known_to: Option<u32>,
    /// Ticks of which its samples are not known.
    gaps: Vec<std::ops::RangeInclusive<u32>>,
    frame_to: Option<u32>,
}

/// The news of one tick, until it is complete.
#[derive(Debug, Default)]
struct Bucket {
    taken: Vec<Taken>,
    removed: Vec<EntityNo>,
    doubtful: Vec<EntityNo>,
    frames: Vec<Frame>,
    copies: Vec<Held>,
    first_ns: Option<u64>,
}

impl Judge {
    /// A judge of the clients of a run, numbered as in `plans`, which are in order. `faulted`
    /// grants the longer grace of a link with faults.
    #[must_use]
    pub fn new(plans: &[ClientPlan], faulted: bool) -> Self {
        Self::with_room(plans, faulted, Room::default())
    }

    /// A judge that follows no more than there is room for.
    #[must_use]
    pub fn with_room(plans: &[ClientPlan], faulted: bool, room: Room) -> Self {
        let entities = plans.iter().flat_map(|plan| &plan.entities);
        let mut names: Vec<_> = entities.map(|e| (e.entity, e.name.clone())).collect();
        names.sort_by_key(|(entity, _)| *entity);
        let subjects: Vec<Subject> = names.iter().map(|_| Subject::new()).collect();
        let mut book = EventBook::new(plans.len(), room);
        for plan in plans {
            plan.channels.iter().for_each(|channel| book.subscribe(plan.client, *channel));
        }
        let entities = subjects.len();
        Self {
            faulted,
            measured_ns: 0..0,
            terms: None,
            subjects,
            places: Places::default(),
            past: Past::new(plans),
            observers: plans.iter().map(|plan| observer(plan, entities)).collect(),
            owners: plans.iter().map(Owner::of).collect(),
            names: names.into_iter().map(|(_, name)| name).collect(),
            buckets: VecDeque::new(),
            spare: Vec::new(),
            base: 0,
            newest: 0,
            views: VecDeque::new(),
            clock_ns: 0,
            book,
            cues: CueBook::new(plans.len(), room),
            found: Findings::default(),
            second: Current::default(),
            zones: Vec::new(),
            held: Vec::new(),
        }
    }

    /// The server has stated its terms. Nothing is judged before.
    pub fn set_terms(&mut self, terms: Terms) {
        self.terms = Some(terms);
    }

    /// Only frames and events of this time count.
    pub fn set_measured(&mut self, measured_ns: std::ops::Range<u64>) {
        self.measured_ns = measured_ns;
    }

    /// The measured time is over, and everything that was published has arrived where it is owed.
    #[must_use]
    pub fn events_settled(&self, now_ns: u64) -> bool {
        now_ns >= self.measured_ns.end && self.book.is_settled()
    }

    /// Takes in news and judges every tick that is complete.
    pub fn take(&mut self, news: &News, now_ns: u64) {
        self.take_links(news, now_ns);
        for (client, rtt_ns) in &news.received.rtt_ns {
            if let Some(observer) = self.observers[client.0 as usize].as_mut() {
                observer.measure_rtt(*rtt_ns);
            }
        }
        self.take_presence(news);
        self.take_known(news);
        for taken in &news.taken {
            if let Some(bucket) = self.bucket(taken.tick) {
                bucket.taken.push(*taken);
            }
        }
        self.take_frames(news);
        self.views.extend(&news.received.views);
        self.take_events(news);
        self.take_cues(news);
        self.judge_complete();
    }

    fn take_links(&mut self, news: &News, now_ns: u64) {
        for (client, link) in &news.received.links {
            let index = client.0 as usize;
            match link {
                Link::Connected | Link::Resumed(_) => {
                    self.owners[index].connect();
                    if *link != Link::Resumed(Resumption::Resumed) {
                        self.observers[index].iter_mut().for_each(Observer::begin_anew);
                    }
                    self.book.connect(*client, now_ns);
                    self.cues.connect(*client, now_ns);
                }
                Link::Lost(_) => {
                    self.owners[index].connected = false;
                    self.book.lose(*client, now_ns);
                    self.cues.lose(*client, now_ns);
                    self.observers[index].iter_mut().for_each(Observer::forget);
                    for entity in &self.owners[index].entities {
                        self.subjects[entity.0 as usize].lose_owner();
                    }
                }
                Link::Refused(_) => {}
            }
        }
    }

    fn take_presence(&mut self, news: &News) {
        news.appearing.iter().for_each(|e| self.subjects[e.0 as usize].appear());
        news.leaving.iter().for_each(|e| self.subjects[e.0 as usize].leave());
        let newest = self.newest;
        for entity in &news.received.removed {
            if let Some(bucket) = self.bucket(newest) {
                bucket.removed.push(*entity);
            }
        }
        for entity in &news.received.doubtful {
            if let Some(bucket) = self.bucket(newest) {
                bucket.doubtful.push(*entity);
            }
        }
    }

    fn take_known(&mut self, news: &News) {
        for known in &news.received.known {
            let owner = &mut self.owners[known.client.0 as usize];
            if let Some(to) = owner.known_to
                && known.from > to + 1
            {
                owner.gaps.push(to + 1..=known.from - 1);
            }
            owner.known_to = owner.known_to.max(Some(known.to));
            owner.silent = false;
            self.bucket(known.to);
        }
    }

    fn take_frames(&mut self, news: &News) {
        for frame in &news.received.frames {
            let owner = &mut self.owners[frame.client.0 as usize];
            owner.frame_to = owner.frame_to.max(Some(frame.tick));
            owner.silent &= !owner.entities.is_empty();
            let copies = &news.received.copies[frame.first..frame.first + frame.len];
            let judged = self.observers[frame.client.0 as usize].is_some();
            let Some(bucket) = self.bucket(frame.tick) else { continue };
            bucket.first_ns = Some(bucket.first_ns.map_or(frame.at_ns, |ns| ns.min(frame.at_ns)));
            if judged {
                let first = bucket.copies.len();
                bucket.copies.extend_from_slice(copies);
                bucket.frames.push(Frame { first, ..*frame });
            }
        }
    }

    fn take_events(&mut self, news: &News) {
        for (event, scope, at_ns) in &news.published {
            self.book.publish(*event, *scope, *at_ns);
        }
        news.received.acked.iter().for_each(|(event, _)| self.book.ack(*event));
        news.received.refused_events.iter().for_each(|event| self.book.refuse(*event));
        for delivery in &news.received.deliveries {
            self.book.deliver(delivery);
            let second = self.second_of(delivery.at_ns);
            if let Some(row) = second.and_then(|s| self.found.timeline.second(s)) {
                row.events += 1;
            }
        }
    }

    fn take_cues(&mut self, news: &News) {
        for (given, at_ns) in &news.given {
            self.cues.give(*given, *at_ns);
        }
        news.received.refused_cues.iter().for_each(|cue| self.cues.refuse(*cue));
        news.received.heard.iter().for_each(|heard| self.cues.hear(heard));
    }

    /// The second of the measured time that a moment is in.
    fn second_of(&self, at_ns: u64) -> Option<usize> {
        let inside = self.measured_ns.contains(&at_ns);
        inside.then(|| ((at_ns - self.measured_ns.start) / 1_000_000_000) as usize)
    }

    /// The bucket of a tick, made if need be; `None` for ticks that were judged already.
    fn bucket(&mut self, tick: u32) -> Option<&mut Bucket> {
        if self.newest == 0 && self.buckets.is_empty() {
            // Clients that join at the same time may still bring slightly older ticks.
            self.base = tick.saturating_sub(LAG_TICKS);
        }
        let index = tick.checked_sub(self.base)? as usize;
        self.newest = self.newest.max(tick);
        let lag = self.lag_ticks() as usize;
        if index > 4 * lag {
            // A leap in time: what lies between will never be complete.
            self.base = tick - lag as u32;
            self.buckets.clear();
            return self.bucket(tick);
        }
        if self.buckets.len() <= index {
            let spare = &mut self.spare;
            self.buckets.resize_with(index + 1, || spare.pop().unwrap_or_default());
        }
        self.buckets.get_mut(index)
    }

    fn lag_ticks(&self) -> u32 {
        LAG_TICKS + self.terms.map_or(32, |terms| terms.tick_hz.ceil() as u32)
    }

    fn judge_complete(&mut self) {
        let Some(terms) = self.terms else { return };
        let complete = self.complete_to();
        let overdue = self.newest.saturating_sub(self.lag_ticks());
        while !self.buckets.is_empty() && self.base <= complete.max(overdue) {
            self.judge_first(terms);
        }
    }

    /// The newest tick of which every connected client has told all.
    fn complete_to(&self) -> u32 {
        let told = self.owners.iter().filter(|o| o.connected).filter_map(Owner::told);
        told.min().unwrap_or(0)
    }

    fn judge_first(&mut self, terms: Terms) {
        let Some(mut bucket) = self.buckets.pop_front() else { return };
        let tick = self.base;
        self.base += 1;
        for taken in &bucket.taken {
            self.subjects[taken.entity.0 as usize].take(terms.space, *taken);
        }
        bucket.removed.iter().for_each(|e| self.subjects[e.0 as usize].is_gone());
        bucket.doubtful.iter().for_each(|e| self.subjects[e.0 as usize].go_blind());
        self.blind_unknown(tick);
        self.places.lay_out(&self.subjects, tick, tick_ns(terms));
        for frame in &bucket.frames {
            let copies = &bucket.copies[frame.first..frame.first + frame.len];
            self.judge_frame(frame, copies, terms);
        }
        self.clock_ns = self.clock_ns.max(bucket.first_ns.unwrap_or(0));
        self.draw(terms);
        if let Some(at_ns) = bucket.first_ns {
            self.past.turn(terms.space, tick, at_ns, &self.subjects);
            self.book.turn(&self.past, at_ns);
            self.cues.turn(&self.past, tick, at_ns);
        }
        bucket.clear();
        self.spare.push(bucket);
    }

    fn blind_unknown(&mut self, tick: u32) {
        for owner in &mut self.owners {
            owner.gaps.retain(|gap| *gap.end() >= tick);
            let untold = owner.known_to.is_none_or(|to| to < tick);
            if untold || owner.gaps.iter().any(|gap| gap.contains(&tick)) {
                for entity in &owner.entities {
                    self.subjects[entity.0 as usize].go_blind();
                }
            }
        }
    }

    fn judge_frame(&mut self, frame: &Frame, copies: &[Held], terms: Terms) {
        let index = frame.client.0 as usize;
        let second = self.second_of(frame.at_ns);
        if let Some(second) = second {
            self.second.turn(second, &mut self.found.timeline);
        }
        let before = self.found.visible_updates;
        let scene = Scene {
            space: terms.space,
            hysteresis: terms.hysteresis,
            bound_m: terms.error_bound_m + terms.grid_m,
            tick_ns: tick_ns(terms),
            faulted: self.faulted,
            subjects: &self.subjects,
            places: &self.places,
            names: &self.names,
            measured: second.is_some(),
        };
        let mut minutes = Minutes {
            found: &mut self.found,
            second: &mut self.second,
            zones: &mut self.zones,
            held: &mut self.held,
        };
        if let Some(observer) = self.observers[index].as_mut() {
            observer.judge(frame, copies, &scene, &mut minutes);
        }
        let updates = self.found.visible_updates - before;
        if let Some(row) = second.and_then(|s| self.found.timeline.second(s)) {
            row.visible_updates += updates;
        }
    }

    /// Compares what would be drawn as soon as it is known where the owner was.
    fn draw(&mut self, terms: Terms) {
        while let Some(view) = self.views.front().copied() {
            let subject = &self.subjects[view.entity.0 as usize];
            let newer = subject.newest().is_some_and(|(_, ns)| ns >= view.at_ns);
            if !newer && self.clock_ns < view.at_ns + VIEW_WAIT_NS {
                break;
            }
            self.views.pop_front();
            // Who has reported nothing since is where it was.
            let still = || subject.place().map(|place| place.position);
            let truth = if newer { subject.position_at(terms.space, view.at_ns) } else { still() };
            if let Some(truth) = truth.filter(|_| self.measured_ns.contains(&view.at_ns)) {
                self.found.view_error_m.record(terms.space.distance_m(truth, view.position));
                self.found.view_age_ms.record_ns(view.age_ns);
            }
        }
    }

    /// Frames that had to be dropped because the judge was behind.
    pub fn count_shed(&mut self, frames: u64) {
        self.found.frames_shed += frames;
    }

    /// Judges what is left and sums up.
    #[must_use]
    pub fn finish(mut self) -> Findings {
        if let Some(terms) = self.terms {
            while !self.buckets.is_empty() {
                self.judge_first(terms);
            }
        }
        self.second.finish(&mut self.found.timeline);
        self.found.events = self.book.finish(&self.past);
        self.found.cues = self.cues.finish(&self.past);
        self.found
    }
}

/// A view waits this long for its subject's next sample.
const VIEW_WAIT_NS: u64 = 1_000_000_000;

fn tick_ns(terms: Terms) -> u64 {
    (1e9 / terms.tick_hz) as u64
}

impl Bucket {
    /// Forgets everything and keeps the memory.
    fn clear(&mut self) {
        self.taken.clear();
        self.removed.clear();
        self.doubtful.clear();
        self.frames.clear();
        self.copies.clear();
        self.first_ns = None;
    }
}

fn observer(plan: &ClientPlan, entities: usize) -> Option<Observer> {
    let own = plan.entities.iter().map(|e| e.entity).collect();
    plan.judged.then(|| Observer::new(plan.areas.clone(), own, entities))
}

impl Owner {
    fn of(plan: &ClientPlan) -> Self {
        Self {
            judged: plan.judged,
            entities: plan.entities.iter().map(|e| e.entity).collect(),
            ..Self::default()
        }
    }

    fn connect(&mut self) {
        self.connected = true;
        // It may take up again at any later tick, and must not be waited for until it does.
        self.silent = true;
    }

    /// The newest tick of which this client has told all that is asked of it; `None` while it
    /// has told nothing.
    fn told(&self) -> Option<u32> {
        let frames = self.frame_to.filter(|_| self.judged);
        let known = self.known_to.filter(|_| !self.entities.is_empty());
        match (frames, known) {
            _ if self.silent => None,
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, other) => one.or(other),
        }
    }
}
