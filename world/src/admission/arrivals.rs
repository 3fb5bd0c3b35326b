//! Datagrams as they arrive: which of them count, what they acknowledge, and what they say of whom.
//!
//! This much concerns a session and its view alone, so these are shared out among the executor's parts.
//! What is said of entities is filed, and judged afterwards (`claims`). Datagrams with inputs or cues,
//! and those of a session that just arrived, change more than that: they wait in line, and so does what
//! their session says after them.

use super::claims::{self, Filed, Files, Findings, Refused};
use super::judge::Claim;
use super::{label, may_move};
use crate::World;
use crate::config::WorldConfig;
use crate::executor::{Executor, run_parts, width};
use crate::input::{Datagram, TickInputs};
use crate::replicate::{AHEAD, Arrival, View};
use crate::session::{Session, SessionIdx, Speaker};
use starling_protocol::limits::UPLINK_DATAGRAMS_PER_TICK_MAX;
use starling_protocol::message::control::RejectReason;
use starling_protocol::units::Tick;
use starling_protocol::uplink::{SampleUp, Uplink};
use std::sync::atomic::{AtomicU8, Ordering};

/// Samples of different entities that fit one datagram, about: who owns more may send more.
const SAMPLES_PER_DATAGRAM: usize = 40;
/// Datagrams of one tick that are worth a second part.
const PART_DATAGRAMS: usize = 256;

/// What became of a datagram; the low bits of its mark.
const UNKNOWN: u8 = 0;
const EXCESS: u8 = 1;
const MALFORMED: u8 = 2;
const REPEATED: u8 = 3;
const TAKEN: u8 = 4;
const FATES: u8 = 7;
/// Its acknowledgement named what was sent, or what never was.
const ACK_KNOWN: u8 = 8;
const ACK_UNKNOWN: u8 = 16;
/// What it says is folded when its turn comes, by itself.
const IN_LINE: u8 = 32;

/// The datagrams of a tick: who sent each, what became of it, and what it claims. Reused from tick to
/// tick.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    senders: Vec<Option<SessionIdx>>,
    /// Each is written by the one part that its sender belongs to.
    marks: Vec<AtomicU8>,
    /// By part.
    files: Vec<Files>,
    findings: Vec<Findings>,
    /// Of what is judged in line.
    pub(super) alone: Findings,
    /// Samples that were not accepted.
    pub(super) refused: Vec<Refused>,
}

/// Some sessions that lie side by side, with their views, and what is filed of what they say.
struct Part<'a> {
    first: usize,
    views: &'a mut [View],
    speakers: &'a mut [Speaker],
    files: &'a mut Files,
}

struct Context<'a> {
    senders: &'a [Option<SessionIdx>],
    marks: &'a [AtomicU8],
    sessions: &'a [Option<Box<Session>>],
    inputs: &'a TickInputs,
    config: &'a WorldConfig,
    host: Option<SessionIdx>,
    now: Tick,
}

impl World {
    /// Notes the datagrams that arrived since the last tick, takes in what they acknowledge, and files
    /// what they say of entities; returns in how many parts.
    pub(super) fn note_datagrams(&mut self, inputs: &TickInputs, exec: &impl Executor) -> usize {
        let Self { arrivals, sessions, replication, entities, config, .. } = self;
        arrivals.begin(inputs.datagrams.iter().map(|datagram| sessions.by_conn(datagram.conn)));
        let parts = inputs.datagrams.len().div_ceil(PART_DATAGRAMS).clamp(1, width(exec));
        arrivals.make_room(parts, claims::stretch(entities.rows(), parts));
        let Arrivals { senders, marks, files, .. } = arrivals;
        let (host, now) = (sessions.host, self.now);
        let (sessions, mut rest) = sessions.speakers();
        let context = Context { senders, marks, sessions, inputs, config, host, now };
        let pieces = replication.pieces(parts).zip(files);
        let each = pieces.map(|((first, views), files)| {
            let (speakers, after) = std::mem::take(&mut rest).split_at_mut(views.len());
            rest = after;
            Part { first, views, speakers, files }
        });
        run_parts(exec, each, |part| part.note_all(&context));
        parts
    }

    /// What [`World::note_datagrams`] found of datagram number `at`, counted: its sender, if it waits
    /// in line.
    pub(super) fn count_arrival(&mut self, at: usize) -> Option<SessionIdx> {
        let sender = self.arrivals.senders[at];
        let mark = self.arrivals.marks[at].load(Ordering::Relaxed);
        let counters = &mut self.counters;
        counters.acks += u64::from(mark & ACK_KNOWN != 0);
        counters.acks_unknown += u64::from(mark & ACK_UNKNOWN != 0);
        match mark & FATES {
            TAKEN => counters.uplinks += 1,
            UNKNOWN => counters.uplinks_unknown += 1,
            EXCESS => counters.uplinks_excess += 1,
            MALFORMED => counters.uplinks_malformed += 1,
            _ => counters.uplinks_repeated += 1,
        }
        sender.filter(|_| mark & IN_LINE != 0)
    }
}

impl Arrivals {
    fn begin(&mut self, senders: impl Iterator<Item = Option<SessionIdx>>) {
        self.senders.clear();
        self.senders.extend(senders);
        self.marks.clear();
        self.marks.resize_with(self.senders.len(), || AtomicU8::new(UNKNOWN));
    }

    fn make_room(&mut self, parts: usize, stretch: usize) {
        // Never fewer: a tick that runs on one thread keeps the room of those that run on all.
        if self.files.len() < parts {
            self.files.resize_with(parts, Files::default);
            self.findings.resize_with(parts, Findings::default);
        }
        self.files[..parts].iter_mut().for_each(|files| files.begin(parts, stretch));
    }

    /// What so many parts filed, and what is found of it.
    pub(super) fn files(&mut self, parts: usize) -> (&[Files], &mut [Findings]) {
        (&self.files[..parts], &mut self.findings[..parts])
    }

    /// Who sent datagram number `at`, if it waits in line.
    pub(super) fn in_line(&self, at: usize) -> Option<SessionIdx> {
        let waits = self.marks.get(at)?.load(Ordering::Relaxed) & IN_LINE != 0;
        self.senders[at].filter(|_| waits)
    }
}

impl Part<'_> {
    fn note_all(&mut self, context: &Context<'_>) {
        for (at, datagram) in context.inputs.datagrams.iter().enumerate() {
            let [far, near] = AHEAD.map(|ahead| self.row_of(at + ahead, context));
            far.inspect(|row| self.views[*row].fetch_row());
            near.inspect(|row| self.views[*row].fetch_acked());
            if let Some(row) = self.row_of(at, context) {
                let mark = self.note(row, at as u32, datagram, context);
                context.marks[at].store(mark, Ordering::Relaxed);
            }
        }
    }

    /// Which of these sessions sent a datagram, if it is among them.
    #[inline]
    fn row_of(&self, at: usize, context: &Context<'_>) -> Option<usize> {
        let row = context.senders.get(at).copied()??.at().wrapping_sub(self.first);
        (row < self.views.len()).then_some(row)
    }

    fn note(&mut self, row: usize, at: u32, datagram: &Datagram, context: &Context<'_>) -> u8 {
        let (view, speaker) = (&mut self.views[row], &mut self.speakers[row]);
        let session = context.sessions[self.first + row].as_deref();
        if !view.is_open() {
            return UNKNOWN;
        }
        view.uplinks.advance(context.now);
        let most = || {
            let owned = session.map_or(0, |session| session.owned().len());
            UPLINK_DATAGRAMS_PER_TICK_MAX + owned.div_ceil(SAMPLES_PER_DATAGRAM)
        };
        // Who is within what everyone may send need not be asked what it owns.
        let taken = view.uplinks.take() as usize;
        if taken > UPLINK_DATAGRAMS_PER_TICK_MAX && taken > most() {
            return EXCESS;
        }
        let bytes = context.inputs.arena.get(datagram.bytes.clone()).unwrap_or_default();
        let Ok(uplink) = Uplink::decode(context.config.space, bytes) else { return MALFORMED };
        let mark = note_uplink(view, datagram, &uplink);
        if mark & FATES != TAKEN {
            return mark;
        }
        speaker.learn(session);
        let alone = uplink.samples_alone() && !view.uplinks.is_in_line();
        if !alone || !speaker.hear(context.now) {
            view.uplinks.get_in_line();
            return mark | IN_LINE;
        }
        self.file(row, &uplink, at, context);
        mark
    }

    /// Files what a session says of its entities.
    fn file(&mut self, row: usize, uplink: &Uplink<'_>, at: u32, context: &Context<'_>) {
        let (speaker, session) = (&self.speakers[row], SessionIdx((self.first + row) as u32));
        let may = may_move(context.config, context.host == Some(session), speaker.may_move());
        let label = label(context.now, uplink.tick);
        for (nth, SampleUp { handle, sequence, sample }) in (0..).zip(uplink.samples()) {
            let place = (at, nth);
            let owned = || speaker.owned(handle, context.sessions[session.at()].as_deref());
            match may.and_then(|()| owned().ok_or(RejectReason::NotYours)) {
                Ok(entity) => {
                    let claim = Claim { sample, label };
                    self.files.file(Filed { entity, place, session, handle, sequence, claim });
                }
                Err(reason) => {
                    let refused = Refused::new(place, session, (handle, sequence), reason);
                    self.files.refused.push(refused);
                }
            }
        }
    }
}

fn note_uplink(view: &mut View, datagram: &Datagram, uplink: &Uplink<'_>) -> u8 {
    let arrival = view.uplinks.note(uplink.sequence);
    if arrival == Arrival::Repeated {
        return REPEATED;
    }
    if arrival == Arrival::Newest {
        view.uplinks.note_time(uplink.sequence, datagram.at_us);
    }
    if uplink.says_anything() || uplink.is_probe() {
        view.uplinks.matters();
    }
    match &uplink.ack {
        Some(ack) if view.uplinks.is_newest_ack(uplink.sequence) => {
            TAKEN | if view.ack(ack) { ACK_KNOWN } else { ACK_UNKNOWN }
        }
        _ => TAKEN,
    }
}
