//! From bytes to a list of operations, checked against the table but not yet applied.

use super::Table;
use super::row::Row;
use crate::bits::BitReader;
use crate::limits::DATAGRAM_BYTES_MAX;
use crate::motion::TrackKind;
use crate::schema::{Kind, OrientationKind, Schema};
use crate::snapshot::code::read_fixes;
use crate::snapshot::cue::{CueRead, read_cue};
use crate::snapshot::header::{
    CLOCK, CUES, Clock, Cover, FOLD, Fold, HEADER_BYTES, PARTIAL, RESERVED, SNAPSHOT_TYPE,
    TYPE_MASK, read_clock, read_cover, read_fold,
};
use crate::snapshot::knot_code::read_knot;
use crate::snapshot::presence::{SlotSet, read_gaps, read_presence};
use crate::snapshot::record::{FieldsRead, Text, read_entity, read_fields, read_name};
use crate::snapshot::state::{State, read_state};
use crate::snapshot::{PAGES_MAX, SnapshotError, slot_of};
use crate::units::{EntityId, KindId, Slot, Tick};

/// One step of what a datagram does to the table.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    Leave {
        slot: Slot,
    },
    /// The record is number `enter` of [`Scratch::enters`].
    Enter {
        slot: Slot,
        enter: u16,
        state: State,
    },
    State {
        slot: Slot,
        state: State,
    },
    /// Came as a code: states before `base` are of no further use to the server.
    Code {
        slot: Slot,
        base: Tick,
        state: State,
    },
    /// The fields are number `fields` of [`Scratch::fields`].
    Fields {
        slot: Slot,
        fields: u16,
    },
}

/// An enter record as it was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct EnterRead {
    pub(super) entity: EntityId,
    pub(super) kind: KindId,
    pub(super) orientation: OrientationKind,
    pub(super) name: Option<Text>,
    pub(super) fields: FieldsRead,
    /// The kind has a block: an enter record without one empties it.
    pub(super) block: bool,
}

/// What a datagram says, and the buffers for it. Reused from datagram to datagram.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) ops: Vec<Op>,
    pub(super) enters: Vec<EnterRead>,
    pub(super) fields: Vec<FieldsRead>,
    pub(super) cues: Vec<CueRead>,
    pub(super) text: Vec<u8>,
    pub(super) skipped: Vec<(u8, SlotSet)>,
}

impl Scratch {
    pub(super) fn clear(&mut self) {
        self.ops.clear();
        self.enters.clear();
        self.fields.clear();
        self.cues.clear();
        self.text.clear();
        self.skipped.clear();
    }
}

/// The front of a datagram, read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Front {
    pub(super) tick: Tick,
    pub(super) sequence: u8,
    pub(super) fold: Option<Fold>,
    pub(super) clock: Option<Clock>,
    pub(super) cover: Cover,
}

impl Table {
    /// Reads a datagram into the scratch.
    pub(super) fn read(&mut self, schema: &Schema, bytes: &[u8]) -> Result<Front, SnapshotError> {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let result = self.read_into(&mut scratch, schema, bytes);
        self.scratch = scratch;
        result
    }

    fn read_into(
        &self,
        scratch: &mut Scratch,
        schema: &Schema,
        bytes: &[u8],
    ) -> Result<Front, SnapshotError> {
        if bytes.len() > DATAGRAM_BYTES_MAX {
            return Err(SnapshotError::TooLarge);
        }
        let (&[flags, low, high, sequence], body) =
            bytes.split_first_chunk::<HEADER_BYTES>().ok_or(SnapshotError::Truncated)?;
        if flags & TYPE_MASK != SNAPSHOT_TYPE || flags & RESERVED != 0 {
            return Err(SnapshotError::Type);
        }
        let tick = self.complete(u16::from_le_bytes([low, high]))?;
        let mut bits = BitReader::new(body);
        let fold = if flags & FOLD != 0 { Some(read_fold(&mut bits)?) } else { None };
        let clock = if flags & CLOCK != 0 { Some(read_clock(&mut bits)?) } else { None };
        let cover = if flags & PARTIAL != 0 { read_cover(&mut bits)? } else { Cover::ALL };
        if self.is_stale(tick, sequence, cover) {
            return Err(SnapshotError::Stale(tick));
        }
        PagesReader { table: self, schema, tick, cover, bits: &mut bits, scratch }.pages()?;
        if flags & CUES != 0 {
            read_cues(&mut bits, tick, scratch)?;
        }
        if !bits.only_padding_left() {
            return Err(SnapshotError::Malformed("bits follow the end"));
        }
        Ok(Front { tick, sequence, fold, clock, cover })
    }

    /// The tick nearest to what is expected that has these low bits.
    fn complete(&self, low: u16) -> Result<Tick, SnapshotError> {
        let tick = self.reference.unwrap16(low);
        let near = tick.0.abs_diff(self.reference.0) <= 1 << 15;
        if near { Ok(tick) } else { Err(SnapshotError::Malformed("a tick before time")) }
    }

    fn is_stale(&self, tick: Tick, sequence: u8, cover: Cover) -> bool {
        let newer = match cover {
            // Whatever was applied covered some page.
            Cover::ALL => self.newest > Some(tick),
            _ => (cover.first..=cover.last).any(|number| self.page(number).newest > Some(tick)),
        };
        newer || self.ack.has(tick, sequence)
    }

    /// Reads the records of a bulk message into the scratch.
    pub(super) fn read_bulk(
        &mut self,
        schema: &Schema,
        tick: Tick,
        count: u16,
        records: &[u8],
    ) -> Result<(), SnapshotError> {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let mut bits = BitReader::new(records);
        let reader = EnterReader { track: self.track, space: self.space, schema, tick };
        let mut result = (0..count).try_for_each(|_| {
            let slot = Slot(bits.take(16)? as u16);
            if usize::from(slot.0) >= crate::limits::SLOTS_MAX {
                return Err(SnapshotError::Malformed("a slot beyond the table"));
            }
            reader.read(&mut bits, slot, &mut scratch)
        });
        if result.is_ok() && !bits.only_padding_left() {
            result = Err(SnapshotError::Malformed("bits follow the end"));
        }
        self.scratch = scratch;
        result
    }
}

fn read_cues(
    bits: &mut BitReader<'_>,
    tick: Tick,
    scratch: &mut Scratch,
) -> Result<(), SnapshotError> {
    let count = bits.take(4)?;
    if count == 0 {
        return Err(SnapshotError::Malformed("an empty list of cues"));
    }
    for _ in 0..count {
        let cue = read_cue(bits, tick, &mut scratch.text)?;
        scratch.cues.push(cue);
    }
    Ok(())
}

/// Reads enter records.
struct EnterReader<'a> {
    track: TrackKind,
    space: crate::space::Space,
    schema: &'a Schema,
    tick: Tick,
}

impl EnterReader<'_> {
    fn read(
        &self,
        bits: &mut BitReader<'_>,
        slot: Slot,
        scratch: &mut Scratch,
    ) -> Result<(), SnapshotError> {
        let entity = read_entity(bits)?;
        let id = KindId(bits.take(6)? as u8);
        let kind = self.schema.kind(id).ok_or(SnapshotError::Malformed("an unknown kind"))?;
        let name = read_name(bits, &mut scratch.text)?;
        let fields = read_fields(bits, kind, &mut scratch.text)?;
        let state = read_state(bits, self.track, self.space, kind.orientation, self.tick)?;
        let (orientation, block) = (kind.orientation, kind.block);
        let enter = EnterRead { entity, kind: id, orientation, name, fields, block };
        // A slot enters once, and there are fewer than 65,536 slots.
        scratch.ops.push(Op::Enter { slot, enter: scratch.enters.len() as u16, state });
        scratch.enters.push(enter);
        Ok(())
    }
}

/// Reads the pages of one datagram.
struct PagesReader<'a, 'b, 'c> {
    table: &'a Table,
    schema: &'a Schema,
    tick: Tick,
    cover: Cover,
    bits: &'c mut BitReader<'b>,
    scratch: &'c mut Scratch,
}

const TOLD_TWICE: SnapshotError = SnapshotError::Malformed("a slot that is told twice");

/// The page that is being read.
struct Current {
    number: u8,
    base: Option<Base>,
    /// Slots that were skipped, left or recorded: no second word on their state.
    told: SlotSet,
    /// Slots that were skipped, left or entered: no word on their fields.
    closed: SlotSet,
}

/// A baseline: its tick, and how many ticks ago that was.
#[derive(Clone, Copy)]
struct Base {
    tick: Tick,
    age: u32,
}

impl<'a> PagesReader<'a, '_, '_> {
    fn pages(&mut self) -> Result<(), SnapshotError> {
        let mut next = 0;
        while self.bits.flag()? {
            let number = if self.bits.flag()? { self.bits.take(6)? as u8 } else { next };
            if number < next || !self.cover.has(number) {
                return Err(SnapshotError::Malformed("a page out of order or out of the cover"));
            }
            self.page(number)?;
            next = number + 1;
        }
        Ok(())
    }

    fn page(&mut self, number: u8) -> Result<(), SnapshotError> {
        const { assert!(PAGES_MAX <= 64) }
        let base = self.base()?;
        let mixed = self.bits.flag()?;
        let mut told = SlotSet::EMPTY;
        if self.bits.flag()? {
            told = read_gaps(self.bits)?;
            self.scratch.skipped.push((number, told));
        }
        let mut page = Current { number, base, told, closed: told };
        self.leaves(&mut page)?;
        self.records(&mut page)?;
        self.codes(&page, mixed)?;
        self.fields(&page)
    }

    fn base(&mut self) -> Result<Option<Base>, SnapshotError> {
        let age = if self.bits.flag()? {
            match self.tick.low16().wrapping_sub(self.bits.take(16)? as u16) {
                0 => return Err(SnapshotError::Malformed("a base that is not older")),
                age => u32::from(age),
            }
        } else {
            self.bits.take(5)? as u32
        };
        if age == 0 { Ok(None) } else { self.back(age).map(Some) }
    }

    fn back(&self, age: u32) -> Result<Base, SnapshotError> {
        match self.tick.0.checked_sub(age) {
            Some(tick) if age > 0 => Ok(Base { tick: Tick(tick), age }),
            _ => Err(SnapshotError::Malformed("a base before time or not older")),
        }
    }

    /// Counts of a list that may be absent.
    fn count(&mut self) -> Result<usize, SnapshotError> {
        if self.bits.flag()? { Ok(self.bits.take(8)? as usize + 1) } else { Ok(0) }
    }

    /// A slot whose place in a list nobody else has.
    fn slot(&mut self, told: &mut SlotSet) -> Result<u8, SnapshotError> {
        let slot = self.bits.take(8)? as u8;
        let fresh = told.add(slot);
        if fresh { Ok(slot) } else { Err(TOLD_TWICE) }
    }

    fn leaves(&mut self, page: &mut Current) -> Result<(), SnapshotError> {
        for _ in 0..self.count()? {
            let slot = self.slot(&mut page.told)?;
            page.closed.add(slot);
            self.scratch.ops.push(Op::Leave { slot: slot_of(page.number, slot) });
        }
        Ok(())
    }

    fn records(&mut self, page: &mut Current) -> Result<(), SnapshotError> {
        let (track, space) = (self.table.track, self.table.space);
        for _ in 0..self.count()? {
            let within = self.slot(&mut page.told)?;
            let slot = slot_of(page.number, within);
            if self.bits.flag()? {
                page.closed.add(within);
                let reader = EnterReader { track, space, schema: self.schema, tick: self.tick };
                reader.read(self.bits, slot, self.scratch)?;
            } else {
                let kind = self.row(slot)?.orientation;
                let state = read_state(self.bits, track, space, kind, self.tick)?;
                self.scratch.ops.push(Op::State { slot, state });
            }
        }
        Ok(())
    }

    fn codes(&mut self, page: &Current, mixed: bool) -> Result<(), SnapshotError> {
        let present = read_presence(self.bits)?;
        for within in present.iter() {
            let own = mixed && self.bits.flag()?;
            let base = if own {
                let age = self.bits.take(5)? as u32;
                self.back(age)?
            } else {
                page.base.ok_or(SnapshotError::Malformed("a code without a base"))?
            };
            if page.told.has(within) {
                return Err(TOLD_TWICE);
            }
            self.code(slot_of(page.number, within), base)?;
        }
        Ok(())
    }

    fn code(&mut self, slot: Slot, base: Base) -> Result<(), SnapshotError> {
        let row = self.row(slot)?;
        let (orientation, space) = (row.orientation, self.table.space);
        let held = row.states.at(base.tick);
        match held.ok_or(SnapshotError::NoBaseline { slot, tick: base.tick })? {
            State::Knot(knot) => {
                self.push_code(slot, base, State::Knot(*knot));
                let Some(Op::Code { state: State::Knot(now), .. }) = self.scratch.ops.last_mut()
                else {
                    unreachable!("it was pushed just now");
                };
                read_knot(self.bits, orientation, knot, self.tick, base.age, now)?;
            }
            State::Fix(fix) => {
                let (steps, count) = read_fixes(self.bits, orientation, space, fix, self.tick)?;
                steps[..count].iter().for_each(|s| self.push_code(slot, base, State::Fix(*s)));
            }
        }
        Ok(())
    }

    fn push_code(&mut self, slot: Slot, base: Base, state: State) {
        self.scratch.ops.push(Op::Code { slot, base: base.tick, state });
    }

    fn fields(&mut self, page: &Current) -> Result<(), SnapshotError> {
        let mut told = page.closed;
        for _ in 0..self.count()? {
            let slot = slot_of(page.number, self.slot(&mut told)?);
            let kind = self.kind_of(slot)?;
            let fields = read_fields(self.bits, kind, &mut self.scratch.text)?;
            let index = self.scratch.fields.len() as u16;
            self.scratch.ops.push(Op::Fields { slot, fields: index });
            self.scratch.fields.push(fields);
        }
        Ok(())
    }

    fn row(&self, slot: Slot) -> Result<&'a Row, SnapshotError> {
        let row = self.table.rows.get(usize::from(slot.0));
        row.filter(|row| row.entity.is_some()).ok_or(SnapshotError::UnknownSlot(slot))
    }

    fn kind_of(&self, slot: Slot) -> Result<&'a Kind, SnapshotError> {
        let id = self.row(slot)?.kind;
        self.schema.kind(id).ok_or(SnapshotError::Malformed("an unknown kind"))
    }
}
