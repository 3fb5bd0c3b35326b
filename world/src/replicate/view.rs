//! One live session's view: its slots, what was sent, what waits.

use super::Scene;
use super::bulk::BulkSent;
use super::fold::Uplinks;
use super::lane::{Lane, Tally};
use super::priority::Choice;
use super::sent::Sent;
use super::slots::{SlotState, Slots};
use super::trace::{Told, Trace};
use crate::checksum::Checksum;
use crate::cue::CueQueue;
use crate::entity::EntityIdx;
use crate::interest::Changes;
use crate::session::{Session, SessionIdx};
use crate::simd;
use crate::why::WhySlot;
use starling_protocol::snapshot::{Clock, Fold, SnapshotWriter};
use starling_protocol::units::{EntityId, Tick};
use starling_protocol::uplink::Ack;

/// Cues that one session may give in one tick.
const CUES_PER_TICK_MAX: u32 = 15;

/// One live session's view of the world; a closed one is the default.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// A connection carries the session.
    open: bool,
    pub(super) slots: Slots,
    pub(super) sent: Sent,
    /// Its own datagrams.
    pub(crate) uplinks: Uplinks,
    /// How many cues of its own in which tick.
    given: (Tick, u32),
    /// When it was told last that one was refused.
    refusal_told: Option<Tick>,
    pub(super) cues: CueQueue,
    pub(super) bulks: Vec<BulkSent>,
    pub(super) bulk_sequence: u32,
    pub(super) last_sent: Tick,
    /// The team that its slots were filled for.
    pub(super) team: u8,
    /// Some slot waited for a place in a datagram.
    pub(super) hungry: bool,
    /// Who is told of when not all can be.
    pub(super) choice: Choice,
    /// What it is told, while somebody asks.
    pub(super) trace: Option<Box<Trace>>,
}

/// The reports that the first datagram of a tick carries.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reports {
    fold: Option<Fold>,
    clock: Option<Clock>,
}

impl Reports {
    pub(super) fn write(&self, writer: &mut SnapshotWriter<'_>) {
        if let Some(fold) = &self.fold {
            writer.fold(fold);
        }
        if let Some(clock) = &self.clock {
            writer.clock(clock);
        }
    }
}

impl View {
    /// A view that begins in the tick after `now`.
    #[must_use]
    pub(crate) fn new(now: Tick) -> Self {
        Self { open: true, last_sent: now, ..Self::default() }
    }

    /// Does a connection carry the session?
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// Begins to bring the view itself.
    #[inline]
    pub(crate) fn fetch_row(&self) {
        simd::fetch_row(std::slice::from_ref(self), size_of::<Self>());
    }

    /// Begins to bring what a tick needs and the view itself does not hold.
    #[inline]
    pub(super) fn fetch(&self) {
        self.slots.fetch();
        self.sent.fetch();
    }

    /// Begins to bring what an acknowledgement needs and the view itself does not hold.
    #[inline]
    pub(crate) fn fetch_acked(&self) {
        self.slots.fetch_heads();
        self.sent.fetch();
    }

    /// Does the session see this entity?
    #[must_use]
    pub(crate) fn sees(&self, entity: EntityIdx) -> bool {
        self.slots.visible_slot(entity).is_some()
    }

    /// Slots in use.
    #[must_use]
    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Keeps what the session is told, from one tick to another.
    pub(crate) fn trace_until(&mut self, from: Tick, until: Tick) {
        self.trace.get_or_insert_with(|| Box::new(Trace::new(from, until))).until = until;
    }

    /// What it was told of an entity, oldest first, and since when that is kept.
    pub(crate) fn told_of(&self, entity: EntityId) -> (Tick, Vec<Told>) {
        let Some(trace) = &self.trace else { return (Tick(u32::MAX), Vec::new()) };
        let told = trace.told.iter().filter(|told| told.entity == entity);
        (trace.from, told.copied().collect())
    }

    /// Whether the link could not carry all, from which hunger on it did, and when it last did.
    pub(crate) fn link_state(&self) -> (bool, u8, Tick) {
        (self.hungry, self.choice.threshold(), self.last_sent)
    }

    /// What its table says of an entity.
    pub(crate) fn row_of(&self, entity: EntityIdx) -> Option<WhySlot> {
        let slot = self.slots.slot_of(entity)?;
        Some(WhySlot {
            slot: slot as u16,
            state: match self.slots.state(slot) {
                SlotState::Free => "free",
                SlotState::Entering => "entering",
                SlotState::Held => "held",
                SlotState::Bulk => "bulk",
                SlotState::Leaving | SlotState::BulkLeaving => "leaving",
            },
            since: self.slots.since(slot),
            base: self.slots.base(slot),
            hunger: self.slots.hunger(slot),
            code_bits: None,
        })
    }

    /// Adds what the session was told and is known to hold.
    pub(crate) fn add_to(&self, sum: &mut Checksum) {
        sum.add(self.sent.next()).add(self.last_sent.0).add(self.bulk_sequence);
        for slot in self.slots.iter() {
            sum.add(slot as u64).add(self.slots.entity(slot).0);
            sum.add(self.slots.base(slot).0).add(self.slots.state(slot) as u8);
        }
    }

    /// Takes in an acknowledgement; `false` when it names what was never sent or is forgotten.
    pub(crate) fn ack(&mut self, ack: &Ack) -> bool {
        let cues = &mut self.cues;
        self.sent.ack(ack, &mut self.slots, |sequence, mask| cues.arrived(sequence, mask))
    }

    /// Brings the slots up to what the session sees.
    pub(super) fn refresh(
        &mut self,
        idx: SessionIdx,
        session: &Session,
        lane: &mut Lane,
        scene: &Scene<'_>,
    ) {
        let changes = scene.interests.changes(idx);
        self.depart(&changes, &mut lane.tally, scene.now);
        self.arrive(idx, &changes, lane, scene);
        if self.team != session.team {
            self.change_team(session.team, scene.now);
        }
        self.hear_watched(idx, scene);
        lane.tally.cues_expired += self.cues.expire(scene.now);
    }

    fn depart(&mut self, changes: &Changes<'_>, tally: &mut Tally, now: Tick) {
        for &entity in changes.leaves {
            tally.leaves += u64::from(self.slots.depart(entity, now));
        }
    }

    fn arrive(
        &mut self,
        idx: SessionIdx,
        changes: &Changes<'_>,
        lane: &mut Lane,
        scene: &Scene<'_>,
    ) {
        let now = scene.now;
        for &entity in changes.enters {
            let slot = self.slots.revive(entity, scene.entities.born(entity), now);
            let slot = slot.or_else(|| self.slots.take(entity, now));
            match slot {
                Some(_) => lane.tally.enters += 1,
                None => {
                    lane.tally.exhausted += 1;
                    lane.turned_away.push((idx, entity));
                }
            }
        }
    }

    /// Other fields are visible now: everything is told anew.
    fn change_team(&mut self, team: u8, now: Tick) {
        self.team = team;
        let held: Vec<_> = self.slots.held().collect();
        held.into_iter().for_each(|slot| self.slots.set(slot, SlotState::Entering, now));
    }

    fn hear_watched(&mut self, idx: SessionIdx, scene: &Scene<'_>) {
        for &(cue, entity) in &scene.cues.watched {
            if scene.interests.sees(idx, scene.atlas.index(), entity) {
                self.cues.push(scene.cues, cue, self.sent.next());
            }
        }
    }

    /// May the session give one more cue in this tick?
    pub(crate) fn may_give(&mut self, now: Tick) -> bool {
        if self.given.0 != now {
            self.given = (now, 0);
        }
        self.given.1 += 1;
        self.given.1 <= CUES_PER_TICK_MAX
    }

    /// May the session be told once more that a cue of its was refused?
    pub(crate) fn may_tell_refusal(&mut self, now: Tick, second: u32) -> bool {
        let waited = |told: Tick| now.since(told).is_some_and(|ticks| ticks >= second);
        let due = self.refusal_told.is_none_or(waited);
        if due {
            self.refusal_told = Some(now);
        }
        due
    }

    /// Queues a cue for this session.
    pub(crate) fn hear(&mut self, book: &crate::cue::CueBook, cue: crate::cue::CueRef) -> bool {
        self.cues.push(book, cue, self.sent.next())
    }

    /// What the first datagram of this tick reports.
    pub(super) fn reports(&self, session: &Session, scene: &Scene<'_>) -> Reports {
        Reports {
            fold: self.uplinks.report(scene.now, session.inputs.applied),
            clock: self.uplinks.clock(scene.now, scene.now_us, scene.late_us),
        }
    }

    /// A datagram went out.
    pub(super) fn reported(&mut self, reports: &Reports, now: Tick) {
        self.last_sent = now;
        self.uplinks.reported(reports.fold.is_some(), reports.clock.is_some(), now);
    }

    /// Is there a reason to send although nothing of any slot is due?
    pub(super) fn must_speak(&self, scene: &Scene<'_>) -> bool {
        !self.cues.is_empty()
            || self.uplinks.report_due(scene.now)
            || self.uplinks.clock_due(scene.now)
    }

    /// Has it been silent for so long that the client would wonder?
    pub(super) fn heartbeat_due(&self, scene: &Scene<'_>) -> bool {
        scene.now.since(self.last_sent).is_some_and(|ticks| ticks >= scene.heartbeat_ticks)
    }
}
