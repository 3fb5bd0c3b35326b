//! What one session was told, kept for a while when somebody asks why.

use super::Scene;
use super::due::WordNews;
use super::slots::{BLOCK, Slots, bits};
use crate::entity::EntityIdx;
use crate::space::{Cartesian, distance2};
use starling_protocol::units::{EntityId, Tick};
use std::collections::VecDeque;

/// News that are kept: some twenty ticks of a crowd, hours of a quiet place.
const TOLD_MAX: usize = 8_192;

/// What was to be told of an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Matter {
    /// It entered.
    Enter,
    /// It changed since the baseline.
    Change,
    /// It left.
    Leave,
    /// Its enter is on the bulk stream.
    Bulk,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It went out in a datagram of this tick.
    Sent,
    /// The link could not carry all, and others were hungrier.
    Skipped,
    /// No datagram may speak of it until the bulk stream brought its enter.
    Withheld,
    /// It is far away, and its ring has its turn in a later tick.
    Deferred,
    /// The link took no datagram at all in this tick.
    Silent,
}

/// One piece of news of one tick.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Told {
    /// When.
    pub tick: Tick,
    /// Of whom.
    pub entity: EntityId,
    /// In which slot.
    pub slot: u16,
    /// What there was to tell.
    pub matter: Matter,
    /// What became of it.
    pub outcome: Outcome,
    /// The baseline against which it was told; tick 0 is none.
    pub base: Tick,
    /// Bits of the code; `None` where only a record can say it.
    pub code_bits: Option<u32>,
    /// How hungry the slot is after this tick, 0 to 255.
    pub hunger: u8,
    /// How far the entity was from where the session looks, in metres.
    pub distance_m: Option<f64>,
}

/// What one session was told since somebody asked.
#[derive(Debug)]
pub(crate) struct Trace {
    /// The first tick that is kept whole.
    pub(crate) from: Tick,
    /// The last tick for which it goes on.
    pub(crate) until: Tick,
    pub(crate) told: VecDeque<Told>,
}

/// What went out of an agenda.
#[derive(Clone, Copy, Debug)]
pub(super) enum Spoke<'a> {
    /// Nothing: the link takes no datagram.
    Silent,
    /// Everything.
    All,
    /// These, by block of the agenda.
    Some(&'a [u64]),
}

impl Trace {
    pub(crate) fn new(from: Tick, until: Tick) -> Self {
        Self { from, until, told: VecDeque::new() }
    }

    /// Notes the news of a tick.
    pub(super) fn note(
        &mut self,
        news: &[WordNews],
        spoke: Spoke<'_>,
        slots: &Slots,
        scene: &Scene<'_>,
        focus: Option<Cartesian>,
    ) {
        for (at, news) in news.iter().enumerate() {
            let sent = match spoke {
                Spoke::Silent => 0,
                Spoke::All => news.due(),
                Spoke::Some(sent) => sent.get(at).copied().unwrap_or(0),
            };
            for bit in bits(news.due() | news.withheld) {
                let outcome = match 1u64 << bit {
                    bit if news.deferred & bit != 0 => Outcome::Deferred,
                    bit if news.withheld & bit != 0 => Outcome::Withheld,
                    bit if sent & bit != 0 => Outcome::Sent,
                    _ if matches!(spoke, Spoke::Silent) => Outcome::Silent,
                    _ => Outcome::Skipped,
                };
                let slot = usize::from(news.word) * BLOCK + bit;
                self.push(told(news, slot, outcome, slots, scene, focus));
            }
        }
    }

    fn push(&mut self, told: Told) {
        if self.told.len() == TOLD_MAX
            && let Some(lost) = self.told.pop_front()
        {
            self.from = self.from.max(lost.tick + 1);
        }
        self.told.push_back(told);
    }
}

fn told(
    news: &WordNews,
    slot: usize,
    outcome: Outcome,
    slots: &Slots,
    scene: &Scene<'_>,
    focus: Option<Cartesian>,
) -> Told {
    let (entity, base) = (slots.entity(slot), slots.base(slot));
    let matter = match 1u64 << (slot % BLOCK) {
        bit if news.withheld & !news.deferred & bit != 0 => Matter::Bulk,
        bit if news.enters & bit != 0 => Matter::Enter,
        bit if news.leaves & bit != 0 => Matter::Leave,
        _ => Matter::Change,
    };
    let code = if matter == Matter::Change { scene.code(entity, base) } else { None };
    Told {
        tick: scene.now,
        entity: scene.entities.id(entity),
        slot: slot as u16,
        matter,
        outcome,
        base,
        code_bits: code.map(starling_protocol::snapshot::Code::len),
        hunger: slots.hunger(slot),
        distance_m: distance(scene, entity, focus),
    }
}

fn distance(scene: &Scene<'_>, entity: EntityIdx, focus: Option<Cartesian>) -> Option<f64> {
    let focus = focus.filter(|_| scene.entities.is_live(entity))?;
    Some(distance2(focus, scene.atlas.place(entity).point).sqrt())
}
