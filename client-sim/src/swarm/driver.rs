//! One thread's share of the swarm, stepped: the caller owns the clock, the waiting and the truth.

use super::calendar::{Calendar, Entry};
use super::lateness::Lateness;
use super::member::Member;
use super::mover::{Mover, Say};
use super::phase::{Phase, Schedule};
use super::plan::Crew;
use crate::meter::{Current, GeneratorMeter};
use crate::target::{
    Accepted, ClientNo, Clock, EntityNo, GivenCue, Link, Publish, Received, Sample, Target, Terms,
    Traffic,
};
use crate::truth::{News, Taken};
use anyhow::Result;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Clients whose drawing is compared with the truth each time that there are news.
const DRAWN_AT_ONCE: usize = 4;

/// In a tick's burst so many passes may go by before what they brought is measured.
const PASSES_UNSETTLED_MAX: u32 = 64;
/// Traffic is summed over all connections, so it is not asked for in every pass.
const COUNT_NS: u64 = 20_000_000;

/// Moves, samples and publishes for some clients of a target, and measures on the way.
pub struct Driver<T> {
    target: T,
    schedule: Arc<Schedule>,
    crew: Crew,
    members: Vec<Member>,
    /// Where each client and each entity of this thread is.
    client_at: FxHashMap<ClientNo, usize>,
    mover_at: FxHashMap<EntityNo, (usize, usize)>,
    lateness: Lateness,
    meter: GeneratorMeter,
    second: Current,
    calendar: Calendar,
    samples: Vec<Sample>,
    vanished: Vec<EntityNo>,
    events: Vec<Publish>,
    cues: Vec<GivenCue>,
    before: Traffic,
    before_second: Traffic,
    /// When traffic is asked for next.
    count_ns: u64,
    /// Passes since the last one that was settled.
    unsettled: u32,
    phase: Phase,
    drawn: usize,
    totals: Totals,
    cpu_before_ns: Option<u64>,
}

/// Totals since the start, for a progress line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// UDP payload received.
    pub bytes_down: u64,
    /// UDP payload sent.
    pub bytes_up: u64,
    /// Frames of clients with an area.
    pub frames: u64,
    /// Entities held in these.
    pub visible: u64,
}

impl<T: Target> Driver<T> {
    /// Begins to connect the clients of a crew.
    ///
    /// # Errors
    /// What the target cannot even begin with.
    pub fn new(
        mut target: T,
        clock: &dyn Clock,
        crew: Crew,
        schedule: Arc<Schedule>,
        lateness: Lateness,
    ) -> Result<Self> {
        target.connect(clock, &crew.plans)?;
        let members: Vec<Member> = (0..crew.plans.len()).map(|at| crew.member(at)).collect();
        let mut mover_at = FxHashMap::default();
        for (at, member) in members.iter().enumerate() {
            let numbered = member.movers.iter().enumerate();
            mover_at.extend(numbered.map(|(m, mover)| (mover.entity, (at, m))));
        }
        Ok(Self {
            client_at: members.iter().enumerate().map(|(at, m)| (m.client, at)).collect(),
            target,
            schedule,
            crew,
            members,
            mover_at,
            lateness,
            meter: GeneratorMeter::default(),
            second: Current::default(),
            calendar: Calendar::default(),
            samples: Vec::new(),
            vanished: Vec::new(),
            events: Vec::new(),
            cues: Vec::new(),
            before: Traffic::default(),
            before_second: Traffic::default(),
            count_ns: 0,
            unsettled: 0,
            phase: Phase::Connect,
            drawn: 0,
            totals: Totals::default(),
            cpu_before_ns: None,
        })
    }

    /// What the server states, once somebody is in.
    pub fn terms(&self) -> Option<Terms> {
        self.target.terms()
    }

    /// Has every client been let in or refused?
    #[must_use]
    pub fn all_answered(&self) -> bool {
        self.meter.connected + self.meter.refused >= self.members.len() as u64
    }

    /// Clients that are connected now, and those that were ever let in or refused.
    #[must_use]
    pub fn census(&self) -> (usize, u64) {
        let connected = self.members.iter().filter(|m| m.connected).count();
        (connected, self.meter.connected + self.meter.refused)
    }

    /// Why the first clients were refused or lost.
    #[must_use]
    pub fn reasons(&self) -> &[String] {
        &self.meter.reasons
    }

    /// Is every entity gone for good? Then a replay is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let mut movers = self.members.iter().flat_map(|m| &m.movers).peekable();
        movers.peek().is_some() && movers.all(Mover::is_over)
    }

    /// One pass: take in what has come, answer it, and append the news for the truth. True if more
    /// has come meanwhile, which another pass should answer before anything else is done.
    pub fn pass(&mut self, clock: &dyn Clock, news: &mut News) -> bool {
        let now_ns = clock.now_ns();
        self.turn(now_ns);
        let received = &news.received;
        let (links, rtts) = (received.links.len(), received.rtt_ns.len());
        self.target.receive(clock, &mut news.received);
        self.note_links(&news.received.links[links..], now_ns);
        self.note_rtts(&news.received.rtt_ns[rtts..]);
        self.samples.clear();
        self.vanished.clear();
        self.meet_wishes(news);
        self.take_fixes(now_ns, news);
        self.submit(clock);
        self.publish(clock, now_ns, news);
        self.give(clock, now_ns, news);
        self.unsettled += 1;
        self.unsettled < PASSES_UNSETTLED_MAX && self.target.is_pressed()
    }

    /// Measures what the last passes brought. News are complete only then.
    pub fn settle(&mut self, clock: &dyn Clock, news: &mut News) {
        self.unsettled = 0;
        self.target.observe(clock, &mut news.received);
        self.take(news);
        self.draw(clock, &mut news.received);
        self.count(&news.received, clock.now_ns());
    }

    /// Waits for news, for at most so long. A burst that goes on is no wait.
    pub fn wait(&mut self, clock: &dyn Clock, until_ns: u64) {
        if self.target.is_pressed() {
            return;
        }
        self.lateness.before_wait();
        self.target.wait(clock, until_ns);
        self.lateness.after_wait(clock.now_ns());
    }

    /// Says goodbye and hands over what was counted.
    #[must_use]
    pub fn leave(mut self, clock: &dyn Clock) -> GeneratorMeter {
        self.turn(clock.now_ns());
        if self.phase <= Phase::Measure {
            self.end_measuring();
        }
        self.target.leave(clock);
        self.second.finish(&mut self.meter.timeline);
        self.meter
    }

    /// Notices that a phase or a second has begun.
    fn turn(&mut self, now_ns: u64) {
        let phase = self.schedule.phase(now_ns);
        if phase != self.phase {
            self.enter(phase, now_ns);
        }
        if let Some(second) = self.second_at(now_ns) {
            self.second.turn(second, &mut self.meter.timeline);
        }
    }

    fn enter(&mut self, phase: Phase, now_ns: u64) {
        let before = std::mem::replace(&mut self.phase, phase);
        if before == Phase::Connect {
            let publishers = self.members.iter_mut().filter_map(|m| m.publisher.as_mut());
            publishers.for_each(|publisher| publisher.start(now_ns));
            let givers = self.members.iter_mut().filter_map(|m| m.giver.as_mut());
            givers.for_each(|giver| giver.start(now_ns));
            if let Some(terms) = self.target.terms() {
                self.lateness.set_tick((1e9 / terms.tick_hz) as u64);
            }
        }
        if before < Phase::Measure && phase >= Phase::Measure {
            self.before = self.target.traffic();
            self.before_second = self.before;
            self.cpu_before_ns = self.lateness.cpu_ns();
        }
        if before == Phase::Measure {
            self.end_measuring();
        }
    }

    fn end_measuring(&mut self) {
        self.meter.traffic = self.target.traffic().since(self.before);
        let cpu = self.lateness.cpu_ns().zip(self.cpu_before_ns);
        self.meter.cpu_ns = cpu.map(|(now, then)| now.saturating_sub(then));
    }

    fn second_at(&self, now_ns: u64) -> Option<usize> {
        let measured = self.schedule.measured_ns()?;
        measured.contains(&now_ns).then(|| ((now_ns - measured.start) / 1_000_000_000) as usize)
    }

    fn note_links(&mut self, links: &[(ClientNo, Link)], now_ns: u64) {
        for (client, link) in links {
            let Some(&at) = self.client_at.get(client) else { continue };
            self.members[at].note(link, now_ns, &mut self.meter);
        }
    }

    fn note_rtts(&mut self, rtts: &[(ClientNo, u64)]) {
        if self.phase == Phase::Measure {
            for (_, rtt_ns) in rtts {
                self.meter.rtt_ms.record_ns(*rtt_ns);
                self.second.rtt_ms.record_ns(*rtt_ns);
            }
        }
    }

    /// Samples for the clients that want some. What is sent late is measured as late.
    fn meet_wishes(&mut self, news: &mut News) {
        let start_ns = self.schedule.motion_start_ns();
        let mut wanted = std::mem::take(&mut news.received.wanted);
        for (client, at_ns) in wanted.drain(..) {
            let Some(&at) = self.client_at.get(&client) else { continue };
            let member = &mut self.members[at];
            // Motion never runs backwards, whatever a clock that was corrected says.
            member.sampled_ns = member.sampled_ns.max(at_ns);
            let at_ns = member.sampled_ns;
            let since_ns = start_ns.map_or(0, |start| at_ns.saturating_sub(start));
            let t_s = since_ns as f64 / 1e9;
            for mover in 0..self.members[at].movers.len() {
                let said = self.members[at].movers[mover].say(t_s, at_ns);
                self.hear(at, mover, said, news);
            }
        }
        news.received.wanted = wanted;
    }

    /// Fixes that have fallen due: nobody has to ask for them.
    fn take_fixes(&mut self, now_ns: u64, news: &mut News) {
        let Some(start_ns) = self.schedule.motion_start_ns() else { return };
        let now_s = now_ns.saturating_sub(start_ns) as f64 / 1e9;
        while let Some(Entry { at_s, member, mover }) = self.calendar.next_due(now_s) {
            let connected = self.members[member].connected;
            let entity = &mut self.members[member].movers[mover];
            entity.unbook();
            if connected && entity.is_here() {
                let said = entity.say(at_s, start_ns + (at_s * 1e9) as u64);
                self.hear(member, mover, said, news);
            }
        }
    }

    fn hear(&mut self, at: usize, mover: usize, said: Say, news: &mut News) {
        let entity = self.members[at].movers[mover].entity;
        match said {
            Say::Nothing => {}
            Say::Move(sample) => self.samples.push(sample),
            Say::Appear(sample) => {
                news.appearing.push(entity);
                self.samples.push(sample);
            }
            Say::Vanish => {
                news.leaving.push(entity);
                self.vanished.push(entity);
            }
        }
        if let Some(at_s) = self.members[at].movers[mover].book() {
            self.calendar.enter(Entry { at_s, member: at, mover });
        }
    }

    fn submit(&mut self, clock: &dyn Clock) {
        if !self.vanished.is_empty() {
            self.target.remove(clock, &self.vanished);
        }
        if !self.samples.is_empty() && self.phase == Phase::Measure {
            let late_ns = self.lateness.now_ns(clock.now_ns());
            self.meter.late_ms.record_many(late_ns as f64 / 1e6, self.samples.len() as u64);
            self.meter.samples += self.samples.len() as u64;
        }
        self.target.submit(clock, &self.samples);
    }

    fn publish(&mut self, clock: &dyn Clock, now_ns: u64, news: &mut News) {
        if !matches!(self.phase, Phase::WarmUp | Phase::Measure) {
            return;
        }
        self.events.clear();
        for member in self.members.iter_mut().filter(|member| member.may_publish()) {
            let due = member.publisher.as_mut().and_then(|publisher| publisher.next(now_ns));
            self.events.extend(due);
        }
        if self.events.is_empty() {
            return;
        }
        self.target.publish(clock, &self.events);
        let published = self.events.iter().map(|e| (e.event, e.scope, now_ns));
        news.published.extend(published);
    }

    fn give(&mut self, clock: &dyn Clock, now_ns: u64, news: &mut News) {
        if !matches!(self.phase, Phase::WarmUp | Phase::Measure) {
            return;
        }
        self.cues.clear();
        for member in self.members.iter_mut().filter(|member| member.may_publish()) {
            self.cues.extend(member.giver.as_mut().and_then(|giver| giver.next(now_ns)));
        }
        if !self.cues.is_empty() {
            self.target.give(clock, &self.cues);
            news.given.extend(self.cues.iter().map(|cue| (*cue, now_ns)));
        }
    }

    /// Gives accepted samples their positions.
    fn take(&mut self, news: &mut News) {
        for accepted in &news.received.accepted {
            let Some(&(at, mover)) = self.mover_at.get(&accepted.entity) else { continue };
            let mover = &mut self.members[at].movers[mover];
            mover.note_taken(accepted.number);
            let sent = mover.sent(accepted.number);
            if let Some((position, sampled_ns)) = sent {
                let Accepted { entity, tick, exact, .. } = *accepted;
                news.taken.push(Taken { entity, tick, exact, position, sampled_ns });
            }
        }
    }

    /// Asks a few clients in turn what they would draw.
    fn draw(&mut self, clock: &dyn Clock, received: &mut Received) {
        if received.frames.is_empty() || self.phase != Phase::Measure {
            return;
        }
        for _ in 0..DRAWN_AT_ONCE.min(self.members.len()) {
            self.drawn = (self.drawn + 1) % self.members.len();
            let member = &self.members[self.drawn];
            if member.looks && member.connected {
                self.target.draw(clock, member.client, received);
            }
        }
    }

    fn count(&mut self, received: &Received, now_ns: u64) {
        let (mut frames, mut visible) = (0, 0);
        for frame in &received.frames {
            let at = self.client_at.get(&frame.client);
            if at.is_some_and(|at| self.members[*at].looks) {
                frames += 1;
                visible += u64::from(frame.visible);
            }
        }
        self.totals.frames += frames;
        self.totals.visible += visible;
        let second = self.second_at(now_ns);
        if second.is_some() {
            self.meter.frames += frames;
            self.meter.visible += visible;
        }
        if let Some(row) = second.and_then(|second| self.meter.timeline.second(second)) {
            row.frames += frames;
            row.visible += visible;
        }
        if now_ns >= self.count_ns {
            self.count_ns = now_ns + COUNT_NS;
            self.count_traffic(second);
        }
    }

    /// What has come and gone since this was last asked is of this second.
    fn count_traffic(&mut self, second: Option<usize>) {
        let traffic = self.target.traffic();
        let fresh = traffic.since(self.before_second);
        self.before_second = traffic;
        self.totals.bytes_down += fresh.bytes_down;
        self.totals.bytes_up += fresh.bytes_up;
        if let Some(row) = second.and_then(|second| self.meter.timeline.second(second)) {
            row.bytes_down += fresh.bytes_down;
            row.bytes_up += fresh.bytes_up;
        }
    }

    /// Totals since the start.
    #[must_use]
    pub const fn totals(&self) -> Totals {
        self.totals
    }

    /// The crew, as it was planned.
    #[must_use]
    pub fn crew(&self) -> &Crew {
        &self.crew
    }
}
