//! A server of one session: slots, baselines, datagrams, acknowledgements. Written for clearness,
//! and with random choices wherever the protocol leaves one.

use crate::dice::Dice;
use crate::world::{Entity, World};
use starling_protocol::limits::AGE_MAX;
use starling_protocol::message::bulk::BulkDown;
use starling_protocol::snapshot::{
    BulkWriter, Code, Cover, Cue, Enter, FIX_STEPS_MAX, Fields, KNOT_STEPS_MAX, Page,
    SnapshotWriter, State, fix_code, knot_code, page_of,
};
use starling_protocol::units::{Slot, Tick};
use starling_protocol::uplink::Ack;
use std::collections::{BTreeMap, BTreeSet};

/// States after a baseline across which a server codes: a client remembers as many.
const MEMORY: usize = AGE_MAX as usize;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// The enter is repeated in datagrams.
    Entering,
    /// The enter is in this bulk message.
    InBulk(u32),
    /// The client has the state as of this tick.
    Live(Tick),
    /// The leave is repeated until acknowledged.
    Leaving,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    entity: usize,
    /// The entity got the slot in this tick: older datagrams speak of someone else.
    since: Tick,
    phase: Phase,
}

/// What a datagram told of a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    State,
    Leave,
}

struct Sent {
    tick: Tick,
    told: Vec<(Slot, usize, Told)>,
}

pub(crate) struct Server {
    slots: BTreeMap<Slot, Held>,
    slots_max: u64,
    limit_bytes: usize,
    sequence: u32,
    sent: BTreeMap<u32, Sent>,
    bulk_sequence: u32,
    bulk_sent: BTreeMap<u32, (Tick, Vec<(Slot, usize)>)>,
    /// Cues that may still be told, with the id each has in this session.
    pub(crate) cues: Vec<(u8, Tick, Vec<u8>)>,
}

/// What a server sends in a tick.
#[derive(Default)]
pub(crate) struct Output {
    pub(crate) datagrams: Vec<Vec<u8>>,
    pub(crate) bulk: Option<BulkDown>,
}

impl Server {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        Self {
            slots: BTreeMap::new(),
            slots_max: [40, 300, 700, 16_384][dice.below(4) as usize],
            limit_bytes: [150, 300, 1_100][dice.below(3) as usize],
            sequence: dice.below(1 << 20) as u32,
            sent: BTreeMap::new(),
            bulk_sequence: 0,
            bulk_sent: BTreeMap::new(),
            cues: Vec::new(),
        }
    }

    /// The entities that this session should see, by slot.
    pub(crate) fn visible(&self) -> BTreeMap<Slot, usize> {
        let stays = self.slots.iter().filter(|(_, held)| held.phase != Phase::Leaving);
        stays.map(|(slot, held)| (*slot, held.entity)).collect()
    }

    /// Is everything told and acknowledged?
    pub(crate) fn is_settled(&self) -> bool {
        self.slots.values().all(|held| matches!(held.phase, Phase::Live(_)))
    }

    /// Lets entities enter and leave.
    pub(crate) fn shuffle(&mut self, dice: &mut Dice, world: &World, out: &mut Output) {
        let mut bulk = Vec::new();
        for entity in 0..world.entities.len() {
            let held = self.slots.iter_mut().find(|(_, held)| held.entity == entity);
            match held {
                Some((_, held)) if dice.chance(4) => held.phase = Phase::Leaving,
                None if dice.chance(20) => bulk.extend(self.admit(dice, world.tick, entity)),
                _ => {}
            }
        }
        if !bulk.is_empty() {
            out.bulk = Some(self.bulk(world, bulk));
        }
    }

    /// Gives an entity a slot; returns it when its enter goes over the bulk stream.
    fn admit(&mut self, dice: &mut Dice, since: Tick, entity: usize) -> Option<(Slot, usize)> {
        let slot = Slot(dice.below(self.slots_max) as u16);
        if self.slots.contains_key(&slot) {
            return None;
        }
        let in_bulk = dice.chance(20);
        let phase = if in_bulk { Phase::InBulk(self.bulk_sequence + 1) } else { Phase::Entering };
        self.slots.insert(slot, Held { entity, since, phase });
        in_bulk.then_some((slot, entity))
    }

    fn bulk(&mut self, world: &World, entered: Vec<(Slot, usize)>) -> BulkDown {
        let mut writer = BulkWriter::new(world.space);
        writer.start(world.tick);
        for (slot, entity) in &entered {
            let entity = &world.entities[*entity];
            let (values, kind) = (entity.values(), world.kind(entity));
            let enter = enter(world, entity, &values);
            assert!(writer.enter(*slot, kind, &enter, entity.newest()), "a few enters fit");
        }
        self.bulk_sequence += 1;
        self.bulk_sent.insert(self.bulk_sequence, (world.tick, entered));
        writer.message(self.bulk_sequence)
    }

    /// Writes the datagrams of this tick, at most eight.
    pub(crate) fn write(&mut self, dice: &mut Dice, world: &World, out: &mut Output) {
        let mut from = 0;
        while out.datagrams.len() < 8 && from < 64 {
            self.sequence += 1;
            let partial = from > 0 || dice.chance(20);
            let written = self.datagram(dice, world, from, partial);
            let (bytes, told, next) = written
                .or_else(|| self.datagram(dice, world, from, true))
                .expect("an otherwise empty datagram has room for a page that skips all");
            assert!(bytes.len() <= self.limit_bytes, "{} bytes", bytes.len());
            self.sent.insert(self.sequence, Sent { tick: world.tick, told });
            out.datagrams.push(bytes);
            from = next;
        }
    }

    /// One datagram from page `from` on, and the page after its last. `None` when it would have to
    /// be partial and may not.
    fn datagram(
        &self,
        dice: &mut Dice,
        world: &World,
        from: u8,
        partial: bool,
    ) -> Option<(Vec<u8>, Vec<(Slot, usize, Told)>, u8)> {
        let mut bytes = Vec::new();
        let mut writer =
            SnapshotWriter::new(&mut bytes, world.tick, self.sequence, self.limit_bytes);
        if partial {
            writer.cover(Cover { first: from, last: 63 });
        }
        let pages: BTreeSet<u8> = self.slots.keys().map(|slot| page_of(*slot).0).collect();
        let (mut told, mut next) = (Vec::new(), 64);
        for number in pages.range(from..).copied() {
            let first = told.is_empty();
            match self.fit(dice, world, number, !partial || first, &mut writer) {
                Some(said) => told.extend(said),
                None if partial => {
                    writer.set_last(number - 1);
                    next = number;
                    break;
                }
                None => return None,
            }
        }
        let cues = self.cues.iter().filter(|(_, tick, _)| *tick + 3 >= world.tick);
        writer.finish(cues.map(|(id, tick, payload)| cue(*id, *tick, payload)));
        Some((bytes, told, next))
    }

    /// Writes one page, whole or (where `cut` allows) with as many slots as there is room for.
    fn fit(
        &self,
        dice: &mut Dice,
        world: &World,
        number: u8,
        cut: bool,
        writer: &mut SnapshotWriter<'_>,
    ) -> Option<Vec<(Slot, usize, Told)>> {
        let mut page = Page::new(world.space);
        let shares: &[u64] = if cut { &[100, 50, 20, 0] } else { &[100] };
        for share in shares {
            let told = self.page(dice, world, number, *share, &mut page);
            if (page.is_quiet() && dice.chance(50)) || writer.page(&page) {
                return Some(told);
            }
        }
        None
    }

    fn page(
        &self,
        dice: &mut Dice,
        world: &World,
        number: u8,
        share: u64,
        page: &mut Page,
    ) -> Vec<(Slot, usize, Told)> {
        let held = self.slots.range(Slot(u16::from(number) << 8)..);
        let held: Vec<_> = held.take_while(|(slot, _)| page_of(**slot).0 == number).collect();
        page.start(number, world.tick, self.page_base(dice, world.tick, &held));
        let mut told = Vec::new();
        for (slot, held) in held {
            let within = page_of(*slot).1;
            let chosen = share == 100 || dice.chance(share);
            let said = self.tell(dice, world, within, held, chosen, page);
            match said {
                Some(said) => told.push((*slot, held.entity, said)),
                None => page.skip(within),
            }
        }
        told
    }

    /// Any baseline of the page's slots, or none.
    fn page_base(&self, dice: &mut Dice, now: Tick, held: &[(&Slot, &Held)]) -> Option<Tick> {
        let bases: Vec<Tick> = held
            .iter()
            .filter_map(|(_, held)| match held.phase {
                Phase::Live(base) if base < now && now.0 - base.0 <= 0xffff => Some(base),
                _ => None,
            })
            .collect();
        if bases.is_empty() || dice.chance(5) {
            return None;
        }
        Some(bases[dice.below(bases.len() as u64) as usize])
    }

    /// Says what is to be said of a slot, if it is chosen where something is.
    fn tell(
        &self,
        dice: &mut Dice,
        world: &World,
        within: u8,
        held: &Held,
        chosen: bool,
        page: &mut Page,
    ) -> Option<Told> {
        let entity = &world.entities[held.entity];
        match held.phase {
            Phase::Entering if chosen => {
                let values = entity.values();
                let enter = enter(world, entity, &values);
                page.enter(within, world.kind(entity), &enter, entity.newest());
                Some(Told::State)
            }
            Phase::Leaving if chosen => {
                page.leave(within);
                Some(Told::Leave)
            }
            Phase::Live(base) => {
                let moved = entity.newest().tick() > base;
                let changed = entity.changed_since(base);
                if (moved || changed != 0) && !chosen {
                    return None;
                }
                if moved {
                    tell_state(dice, world, within, entity, base, page);
                }
                if changed != 0 {
                    let values = entity.values();
                    let fields = Fields { mask: changed, values: &values, block: entity.block() };
                    page.fields(within, world.kind(entity), &fields);
                }
                Some(Told::State)
            }
            _ => None,
        }
    }

    /// Takes in an acknowledgement, as an uplink datagram carries it.
    pub(crate) fn ack(&mut self, ack: Ack) {
        let newest = self.sent.iter().rev().map(|(sequence, sent)| (*sequence, sent.tick));
        let newest = newest
            .filter(|(sequence, _)| *sequence as u8 == ack.sequence)
            .find(|(_, tick)| tick.low16() == ack.tick);
        let Some((newest, _)) = newest else { return };
        let before = (0..32).filter(|i| ack.bits >> i & 1 == 1).map(|i| newest.checked_sub(1 + i));
        for sequence in before.flatten().chain([newest]) {
            if let Some(sent) = self.sent.remove(&sequence) {
                sent.told.iter().for_each(|told| self.confirm(sent.tick, *told));
            }
        }
    }

    fn confirm(&mut self, tick: Tick, (slot, entity, told): (Slot, usize, Told)) {
        let same = |held: &&mut Held| held.entity == entity && held.since <= tick;
        let Some(held) = self.slots.get_mut(&slot).filter(same) else { return };
        match (held.phase, told) {
            (Phase::Entering, Told::State) => held.phase = Phase::Live(tick),
            (Phase::Live(base), Told::State) => held.phase = Phase::Live(base.max(tick)),
            (Phase::Leaving, Told::Leave) => drop(self.slots.remove(&slot)),
            _ => {}
        }
    }

    pub(crate) fn ack_bulk(&mut self, sequence: u32) {
        let Some((tick, entered)) = self.bulk_sent.remove(&sequence) else { return };
        for (slot, _) in entered {
            if let Some(held) = self.slots.get_mut(&slot)
                && held.phase == Phase::InBulk(sequence)
            {
                held.phase = Phase::Live(tick);
            }
        }
    }
}

fn cue(id: u8, tick: Tick, payload: &[u8]) -> Cue<'_> {
    Cue { id, tick, life: 3, kind: 7, source: None, position: None, payload }
}

fn enter<'a>(world: &World, entity: &'a Entity, values: &'a [u32]) -> Enter<'a> {
    let named = entity.id.index.is_multiple_of(2);
    let fields = Fields::set(world.kind(entity), values, entity.block(), u32::MAX);
    let name = named.then_some(entity.name.as_str());
    Enter { entity: entity.id, kind: entity.kind, name, fields }
}

/// Says how an entity moved since its baseline: by a code where one can, else in full.
fn tell_state(
    dice: &mut Dice,
    world: &World,
    within: u8,
    entity: &Entity,
    base: Tick,
    page: &mut Page,
) {
    let age = world.tick.0 - base.0;
    let code = if dice.chance(95) { code(world, entity, base, age) } else { None };
    match code {
        Some(code) if page.base() == Some(base) && dice.chance(90) => page.code(within, code),
        Some(code) if age <= u32::from(AGE_MAX) => page.code_since(within, age as u8, code),
        Some(code) if page.base() == Some(base) => page.code(within, code),
        _ => page.absolute(within, entity.newest()),
    }
}

fn code(world: &World, entity: &Entity, base: Tick, age: u32) -> Option<Code> {
    let kind = world.kind(entity).orientation;
    let known = entity.states.iter().take_while(|state| state.tick() <= base).count();
    let (known, since) = entity.states.split_at(known);
    if since.len() > MEMORY {
        return None;
    }
    match (known.last()?, since.last()?) {
        (State::Knot(base), State::Knot(now)) => {
            let knots = since.iter().filter_map(|state| match state {
                State::Knot(knot) => Some(*knot),
                State::Fix(_) => None,
            });
            let all = knots.collect::<Vec<_>>();
            let told = if all.len() > KNOT_STEPS_MAX { &[*now][..] } else { &all };
            knot_code(kind, base, told, world.tick, age)
        }
        (State::Fix(base), State::Fix(_)) if since.len() <= FIX_STEPS_MAX => {
            let steps = since.iter().filter_map(|state| match state {
                State::Fix(fix) => Some(*fix),
                State::Knot(_) => None,
            });
            fix_code(kind, world.space, base, &steps.collect::<Vec<_>>(), world.tick)
        }
        _ => None,
    }
}
