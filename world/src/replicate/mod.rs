//! What each session is told, tick by tick: the newest state of what it sees, coded against what
//! it is known to hold.
//!
//! A session's entities have slots ([`slots`]). Each tick it is worked out which of them there is
//! news of ([`due`]): an enter, a leave, a knot or a field since the slot's acknowledged baseline.
//! News goes into datagrams ([`write`], and [`share`] where it is too much for one); what was not
//! acknowledged is news again in the next tick. Nothing is ever queued.

mod block;
mod bulk;
mod codes;
mod due;
mod fold;
mod lane;
pub mod priority;
mod rings;
mod sent;
mod share;
mod size;
mod slots;
mod trace;
mod view;
mod write;

pub(crate) use codes::newest_state;
pub(crate) use fold::Arrival;
pub use trace::{Matter, Outcome, Told};
pub(crate) use view::View;

use crate::World;
use crate::atlas::Atlas;
use crate::checksum::Checksum;
use crate::config::WorldConfig;
use crate::cue::CueBook;
use crate::entity::{Entities, EntityIdx};
use crate::executor::{Executor, run_parts, width};
use crate::input::TickInputs;
use crate::interest::{Area, Interests};
use crate::output::{Outgoing, Output};
use crate::session::{Session, SessionIdx, Sessions};
use crate::shed::{Shed, step};
use crate::simd;
use crate::space::Cartesian;
use crate::track::Tracks;
use codes::CodeBook;
use due::Stirred;
use lane::Lane;
use starling_protocol::limits::DATAGRAM_BYTES_MAX;
use starling_protocol::message::control::Ring;
use starling_protocol::snapshot::Code;
use starling_protocol::space::Space;
use starling_protocol::units::Tick;
use trace::Spoke;
use write::Reader;

/// How many sessions ahead what a session needs begins to come: its rows first, then what they
/// point to. A session's state is cold when its turn comes, and to wait for its lines one after
/// another would take longer than the work on them.
pub(crate) const AHEAD: [usize; 2] = [16, 8];

/// The views of all live sessions.
#[derive(Debug)]
pub(crate) struct Replication {
    space: Space,
    /// By session; those that nothing carries are closed.
    views: Vec<View>,
    lanes: Vec<Lane>,
    codes: CodeBook,
}

/// All that a session's datagrams are made of; the same for every session of a tick.
pub(super) struct Scene<'a> {
    now: Tick,
    now_us: u64,
    late_us: u64,
    heartbeat_ticks: u32,
    rings: &'a [Ring],
    shed: Shed,
    entities: &'a Entities,
    tracks: &'a Tracks,
    atlas: &'a Atlas,
    sessions: &'a Sessions,
    interests: &'a Interests,
    cues: &'a CueBook,
    codes: &'a CodeBook,
    stirred: Stirred<'a>,
}

impl Scene<'_> {
    /// What changed of an entity since `base`; `None` where only a record can say it.
    #[inline]
    fn code(&self, entity: EntityIdx, base: Tick) -> Option<Code> {
        self.codes.code(entity, base, self.now, self.tracks, self.entities)
    }
}

/// A share of the sessions, and what works on it.
struct Part<'a> {
    first: usize,
    views: &'a mut [View],
    lane: &'a mut Lane,
}

impl Replication {
    /// Nobody looks yet.
    #[must_use]
    pub(crate) fn new(config: &WorldConfig) -> Self {
        let codes = CodeBook::new(config.space);
        Self { space: config.space, views: Vec::new(), lanes: Vec::new(), codes }
    }

    /// A connection carries a session: its table is empty, and so is the client's.
    pub(crate) fn open(&mut self, session: SessionIdx, now: Tick) {
        if self.views.len() <= session.at() {
            self.views.resize_with(session.at() + 1, View::default);
        }
        self.views[session.at()] = View::new(now);
    }

    /// No connection carries the session any more.
    pub(crate) fn close(&mut self, session: SessionIdx) {
        if let Some(view) = self.views.get_mut(session.at()) {
            *view = View::default();
        }
    }

    /// The view of a live session.
    pub(crate) fn view_mut(&mut self, session: SessionIdx) -> Option<&mut View> {
        self.views.get_mut(session.at()).filter(|view| view.is_open())
    }

    /// The view of a live session.
    pub(crate) fn view(&self, session: SessionIdx) -> Option<&View> {
        self.views.get(session.at()).filter(|view| view.is_open())
    }

    /// The code of what changed of an entity since `base`, should there be one.
    pub(crate) fn code(
        &self,
        entity: EntityIdx,
        base: Tick,
        now: Tick,
        tracks: &Tracks,
        entities: &Entities,
    ) -> Option<Code> {
        self.codes.code(entity, base, now, tracks, entities)
    }

    /// All views in so many pieces, each with the number of its first.
    pub(crate) fn pieces(&mut self, parts: usize) -> impl Iterator<Item = (usize, &mut [View])> {
        let size = self.views.len().div_ceil(parts).max(1);
        self.views.chunks_mut(size).enumerate().map(move |(piece, views)| (piece * size, views))
    }

    /// The sessions that see an entity, in order.
    #[must_use]
    pub(crate) fn watchers(&self, entity: EntityIdx) -> Vec<SessionIdx> {
        let views = self.views.iter().enumerate();
        let watching = views.filter(|(_, view)| view.sees(entity));
        watching.map(|(at, _)| SessionIdx(at as u32)).collect()
    }

    /// Adds what every session was told.
    pub(crate) fn add_to(&self, sum: &mut Checksum) {
        for (at, view) in self.views.iter().enumerate() {
            if view.is_open() {
                sum.add(at as u64);
                view.add_to(sum);
            }
        }
    }

    /// Slots in use by all sessions.
    #[must_use]
    pub(crate) fn slots(&self) -> usize {
        self.views.iter().map(View::slots).sum()
    }
}

impl World {
    /// Tells every live session what it is to know of this tick.
    pub(crate) fn replicate(
        &mut self,
        inputs: &TickInputs,
        out: &mut Output,
        exec: &impl Executor,
    ) {
        let deadline_us = self.config.tick_rate.deadline_ns(self.now) / 1000;
        let heartbeat_ms = u64::from(self.config.heartbeat_ms);
        self.interests.look(&self.sessions, &self.atlas, &self.entities, exec);
        let Replication { space, views, lanes, codes } = &mut self.replication;
        self.counters.codes_made += codes.begin(self.entities.rows());
        let scene = Scene {
            now: self.now,
            now_us: inputs.now_us,
            late_us: inputs.now_us.saturating_sub(deadline_us),
            heartbeat_ticks: self.config.tick_rate.ticks_in_ms(heartbeat_ms),
            rings: &self.config.rings,
            shed: self.shed,
            entities: &self.entities,
            tracks: &self.tracks,
            atlas: &self.atlas,
            sessions: &self.sessions,
            interests: &self.interests,
            cues: &self.cues,
            codes,
            stirred: Stirred {
                at: self.entities.stirred(),
                newest: self.entities.newest_stir(),
                level: self.atlas.index().simd(),
            },
        };
        if lanes.len() < width(exec) {
            lanes.resize_with(width(exec), || Lane::new(*space));
        }
        let share = views.len().div_ceil(lanes.len()).max(1);
        let parts = views.chunks_mut(share).zip(lanes).enumerate();
        let part = |(at, (views, lane))| Part { first: at * share, views, lane };
        run_parts(exec, parts.map(part), |part| part.run(&scene));
        self.collect(out);
    }

    /// Merges what the lanes wrote, in order.
    fn collect(&mut self, out: &mut Output) {
        for lane in &mut self.replication.lanes {
            let offset = out.arena.len();
            out.arena.append(&mut lane.arena);
            out.datagrams.extend(lane.datagrams.drain(..).map(|(conn, bytes)| Outgoing {
                conn,
                bytes: bytes.start + offset..bytes.end + offset,
            }));
            lane.report(&mut self.counters);
            for (session, entity) in lane.turned_away.drain(..) {
                self.interests.turn_away(session, self.atlas.index(), entity);
            }
            for (session, message) in lane.bulks.drain(..) {
                let letter = crate::mail::Letter::bulk(&message, self.now);
                self.sessions.post(session, letter);
            }
        }
    }
}

impl Part<'_> {
    fn run(&mut self, scene: &Scene<'_>) {
        let Self { first, views, lane } = self;
        let idx = |at: usize| SessionIdx((*first + at) as u32);
        for at in 0..views.len() {
            let [far, near] = AHEAD.map(|ahead| at + ahead);
            if let Some(view) = views.get(far) {
                simd::fetch_row(std::slice::from_ref(view), size_of::<View>());
                scene.sessions.get(idx(far)).inspect(|session| session.fetch_link());
            }
            views.get(near).inspect(|view| view.fetch());
            if let (view, Some(session)) = (&mut views[at], scene.sessions.get(idx(at)))
                && view.is_open()
            {
                view.tick(idx(at), session, lane, scene);
            }
        }
    }
}

impl View {
    fn tick(&mut self, idx: SessionIdx, session: &Session, lane: &mut Lane, scene: &Scene<'_>) {
        self.uplinks.advance(scene.now);
        self.refresh(idx, session, lane, scene);
        lane.agenda.collect(&mut self.slots, &scene.stirred, scene.now);
        if !scene.rings.is_empty() || scene.shed.sheds(step::FAR) {
            rings::defer(lane, &self.slots, idx, session, scene);
        }
        let enters = lane.agenda.has_enters();
        let names = enters && scene.interests.wants_names(idx);
        let reader = Reader { session: idx, team: session.team, names };
        if lane.agenda.is_crowd() {
            self.send_crowd(idx, lane, scene, reader);
        }
        let quiet = !lane.agenda.is_due && !self.must_speak(scene);
        if !quiet || self.heartbeat_due(scene) {
            lane.tally.heartbeats += u64::from(quiet);
            self.speak(session, lane, scene, reader);
        }
        if self.trace.is_some() {
            self.note_told(session, lane, scene, reader);
        }
    }

    /// Keeps what the session was told in this tick, while somebody asks.
    #[cold]
    fn note_told(&mut self, session: &Session, lane: &Lane, scene: &Scene<'_>, reader: Reader) {
        let Some(mut trace) = self.trace.take_if(|trace| trace.until >= scene.now) else {
            self.trace = None;
            return;
        };
        let spoke = match self.last_sent == scene.now {
            false => Spoke::Silent,
            true if self.hungry => Spoke::Some(lane.share.sent()),
            true => Spoke::All,
        };
        let focus = focus(session, scene.interests.areas(reader.session), scene);
        trace.note(&lane.agenda.words, spoke, &self.slots, scene, focus);
        self.trace = Some(trace);
    }

    fn speak(&mut self, session: &Session, lane: &mut Lane, scene: &Scene<'_>, reader: Reader) {
        let allowance = session.link.datagram_bytes as usize;
        if session.muted || allowance < share::DATAGRAM_BYTES_MIN {
            return;
        }
        let limit = allowance.min(DATAGRAM_BYTES_MAX);
        let reports = self.reports(session, scene);
        if write::write_single(self, lane, scene, reader, &reports, limit) {
            if std::mem::take(&mut self.hungry) {
                self.slots.sate();
            }
            return;
        }
        self.hungry = true;
        let focus = focus(session, scene.interests.areas(reader.session), scene);
        share::write_many(self, lane, scene, reader, &reports, allowance, focus);
    }
}

/// Where a session looks: its own entity, else the middle of its first area.
fn focus(session: &Session, areas: &[(u8, Area)], scene: &Scene<'_>) -> Option<Cartesian> {
    let own = session.avatar.or_else(|| session.owned().first());
    let own = own.map(|entity| scene.atlas.place(entity).point);
    own.or_else(|| areas.first().and_then(|(_, area)| area.middle(scene.atlas.space())))
}
