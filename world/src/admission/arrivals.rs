//! Datagrams as they arrive: which of them count, and what they acknowledge.
//!
//! This much concerns a session's view alone, so the views are shared out among the executor's parts.
//! What datagrams say of entities is folded afterwards, one by one.

use crate::World;
use crate::executor::{Executor, run_parts, width};
use crate::input::{Datagram, TickInputs};
use crate::replicate::{AHEAD, Arrival, View};
use crate::session::{SessionIdx, Sessions};
use starling_protocol::limits::UPLINK_DATAGRAMS_PER_TICK_MAX;
use starling_protocol::space::Space;
use starling_protocol::units::Tick;
use starling_protocol::uplink::Uplink;
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

/// The datagrams of a tick: who sent each, and what became of it. Reused from tick to tick.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    senders: Vec<Option<SessionIdx>>,
    /// Each is written by the one part that its sender belongs to.
    marks: Vec<AtomicU8>,
}

/// Some views that lie side by side, and what it takes to note datagrams in them.
struct Part<'a> {
    first: usize,
    views: &'a mut [View],
}

struct Context<'a> {
    arrivals: &'a Arrivals,
    sessions: &'a Sessions,
    inputs: &'a TickInputs,
    space: Space,
    now: Tick,
}

impl World {
    /// Notes the datagrams that arrived since the last tick, and takes in what they acknowledge.
    pub(super) fn note_datagrams(&mut self, inputs: &TickInputs, exec: &impl Executor) {
        let (arrivals, sessions) = (&mut self.arrivals, &self.sessions);
        arrivals.begin(inputs.datagrams.iter().map(|datagram| sessions.by_conn(datagram.conn)));
        let parts = inputs.datagrams.len().div_ceil(PART_DATAGRAMS).clamp(1, width(exec));
        let (space, now) = (self.config.space, self.now);
        let context = Context { arrivals, sessions, inputs, space, now };
        let pieces = self.replication.pieces(parts);
        let each = pieces.map(|(first, views)| Part { first, views });
        run_parts(exec, each, |part| part.note_all(&context));
    }

    /// What [`World::note_datagrams`] found of datagram number `at`, counted: its sender, if what it
    /// says is to be folded.
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
        sender.filter(|_| mark & FATES == TAKEN)
    }
}

impl Arrivals {
    fn begin(&mut self, senders: impl Iterator<Item = Option<SessionIdx>>) {
        self.senders.clear();
        self.senders.extend(senders);
        self.marks.clear();
        self.marks.resize_with(self.senders.len(), || AtomicU8::new(UNKNOWN));
    }

    /// Who sent datagram number `at`.
    pub(super) fn sender(&self, at: usize) -> Option<SessionIdx> {
        self.senders.get(at).copied().flatten()
    }
}

impl Part<'_> {
    fn note_all(&mut self, context: &Context<'_>) {
        for at in 0..context.inputs.datagrams.len() {
            let [far, near] = AHEAD.map(|ahead| self.view_of(at + ahead, context.arrivals));
            far.inspect(|view| self.views[*view].fetch_row());
            near.inspect(|view| self.views[*view].fetch_acked());
            if let Some(view) = self.view_of(at, context.arrivals) {
                let sender = SessionIdx((self.first + view) as u32);
                let datagram = &context.inputs.datagrams[at];
                let mark = context.note(&mut self.views[view], sender, datagram);
                context.arrivals.marks[at].store(mark, Ordering::Relaxed);
            }
        }
    }

    /// Which of these views the sender of a datagram has, if it is among them.
    #[inline]
    fn view_of(&self, at: usize, arrivals: &Arrivals) -> Option<usize> {
        let view = arrivals.sender(at)?.at().wrapping_sub(self.first);
        (view < self.views.len()).then_some(view)
    }
}

impl Context<'_> {
    fn note(&self, view: &mut View, sender: SessionIdx, datagram: &Datagram) -> u8 {
        if !view.is_open() {
            return UNKNOWN;
        }
        view.uplinks.advance(self.now);
        let most = || {
            let owned = self.sessions.get(sender).map_or(0, |session| session.owned().len());
            UPLINK_DATAGRAMS_PER_TICK_MAX + owned.div_ceil(SAMPLES_PER_DATAGRAM)
        };
        // Who is within what everyone may send need not be asked what it owns.
        let taken = view.uplinks.take() as usize;
        if taken > UPLINK_DATAGRAMS_PER_TICK_MAX && taken > most() {
            return EXCESS;
        }
        let bytes = self.inputs.arena.get(datagram.bytes.clone()).unwrap_or_default();
        match Uplink::decode(self.space, bytes) {
            Ok(uplink) => note_uplink(view, datagram, &uplink),
            Err(_) => MALFORMED,
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
