//! The snapshot datagram: what a table takes, what it refuses, and that refusing changes nothing
//! (P1, P15, P17).

use proptest::prelude::*;
use starling_protocol::codec;
use starling_protocol::limits::{DATAGRAM_BYTES_MAX, MESSAGE_BYTES_MAX};
use starling_protocol::message::bulk::BulkDown;
use starling_protocol::motion::{FixState, Gain, Knot, Spin, Step, TrackKind};
use starling_protocol::sample::Orientation;
use starling_protocol::schema::{Field, FieldType, Kind, OrientationKind, Schema, Visibility};
use starling_protocol::snapshot::{
    BulkWriter, Clock, Cover, Cue, Enter, Fields, Fold, Left, Page, SnapshotError, SnapshotWriter,
    State, Table, cue_bits, fix_code, knot_code,
};
use starling_protocol::space::{IPos, Space};
use starling_protocol::units::{EntityId, KindId, Slot, Tick};

const ANN: EntityId = EntityId { index: 5, generation: 2 };
const BOB: EntityId = EntityId { index: 9, generation: 0 };

fn schema() -> Schema {
    let health = Field {
        name: "health".into(),
        ty: FieldType::Bits { bits: 7 },
        visibility: Visibility::All,
    };
    let arm = FieldType::Enum { variants: 5 };
    let arm = Field { name: "arm".into(), ty: arm, visibility: Visibility::All };
    let kind = Kind {
        name: "player".into(),
        orientation: OrientationKind::Heading,
        fields: vec![health, arm],
        block: true,
    };
    Schema { kinds: vec![kind] }
}

fn knot(tick: u32, x: i32) -> Knot {
    Knot {
        tick: Tick(tick),
        run: 0,
        pos: [x * 16, 160, 0],
        vel: [3, 0, 0],
        orientation: Orientation::Heading(7),
        spin: [0; 3],
    }
}

fn table() -> Table {
    Table::new(TrackKind::Knots, Space::Metric, Tick(99), 0)
}

/// Writes one datagram of `tick` whose pages `fill` adds.
fn datagram(tick: u32, sequence: u32, fill: impl FnOnce(&mut SnapshotWriter<'_>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = SnapshotWriter::new(&mut bytes, Tick(tick), sequence, DATAGRAM_BYTES_MAX);
    fill(&mut writer);
    writer.finish(std::iter::empty());
    bytes
}

/// A datagram with page 0 alone.
fn one_page(tick: u32, base: Option<u32>, fill: impl FnOnce(&mut Page)) -> Vec<u8> {
    datagram(tick, tick, |writer| {
        let mut page = Page::new(Space::Metric);
        page.start(0, Tick(tick), base.map(Tick));
        fill(&mut page);
        assert!(writer.page(&page), "one page fits");
    })
}

fn enter_of(page: &mut Page, slot: u8, entity: EntityId, state: &State) {
    let schema = schema();
    let fields = Fields::set(&schema.kinds[0], &[100, 0], b"hat", u32::MAX);
    let enter = Enter { entity, kind: KindId(0), name: Some("Ann"), fields };
    page.enter(slot, &schema.kinds[0], &enter, state);
}

/// A table that holds Ann in slot 3 since tick 100.
fn with_ann() -> Table {
    let mut table = table();
    let enter = one_page(100, None, |page| enter_of(page, 3, ANN, &State::Knot(knot(100, 0))));
    table.apply(&schema(), &enter).expect("an enter");
    table
}

#[test]
fn an_enter_fills_its_slot() {
    let table = with_ann();
    let ann = table.entity(Slot(3)).expect("Ann is in");
    assert_eq!((ann.entity, ann.kind, ann.name), (ANN, KindId(0), Some("Ann")));
    assert_eq!((ann.fields[..2].to_vec(), ann.block), (vec![100, 0], &b"hat"[..]));
    assert_eq!(ann.state, &State::Knot(knot(100, 0)));
    assert_eq!(table.slots().collect::<Vec<_>>(), [Slot(3)]);
    assert_eq!(table.position(Slot(3), Tick(102)), Some(IPos([12, 160, 0])));
    assert_eq!(table.covered(Slot(3)), Some(Tick(100)));
}

#[test]
fn a_repeated_enter_is_no_second_enter() {
    let mut table = with_ann();
    let again = one_page(101, None, |page| enter_of(page, 3, ANN, &State::Knot(knot(100, 0))));
    let schema = schema();
    let applied = table.apply(&schema, &again).expect("a repetition");
    assert!(applied.entered().is_empty() && applied.left().is_empty());
    assert!(applied.updated().is_empty());
}

#[test]
fn another_entity_in_the_slot_makes_the_first_leave() {
    let mut table = with_ann();
    let other = one_page(101, None, |page| enter_of(page, 3, BOB, &State::Knot(knot(101, 0))));
    let schema = schema();
    let applied = table.apply(&schema, &other).expect("an enter");
    assert_eq!(applied.left(), [Left { slot: Slot(3), entity: ANN }]);
    assert_eq!(applied.entered(), [Slot(3)]);
}

#[test]
fn a_code_moves_an_entity_and_its_absence_lets_it_stand() {
    let mut table = with_ann();
    let now = Knot { vel: [0, 5, 0], ..knot(103, 40) };
    let code = knot_code(OrientationKind::Heading, &knot(100, 0), &[now], Tick(104), 4);
    let code = code.expect("a small change has a code");
    let moved = one_page(104, Some(100), |page| page.code(3, code));
    let schema = schema();
    let applied = table.apply(&schema, &moved).expect("a code");
    assert_eq!(applied.updated(), [Slot(3)]);
    assert_eq!(table.entity(Slot(3)).map(|ann| *ann.state), Some(State::Knot(now)));
    let quiet = datagram(105, 105, |_| {});
    assert_eq!(quiet.len(), 5);
    table.apply(&schema, &quiet).expect("a heartbeat");
    assert_eq!(table.covered(Slot(3)), Some(Tick(105)));
    assert_eq!(table.position(Slot(3), Tick(105)), Some(now.predict(Tick(105))));
}

#[test]
fn a_leave_empties_its_slot_and_may_be_repeated() {
    let mut table = with_ann();
    let schema = schema();
    let applied = one_page(101, None, |page| page.leave(3));
    let applied = table.apply(&schema, &applied).expect("a leave");
    assert_eq!(applied.left(), [Left { slot: Slot(3), entity: ANN }]);
    let again = one_page(102, None, |page| page.leave(3));
    assert!(table.apply(&schema, &again).expect("a repetition").left().is_empty());
    assert!(table.entity(Slot(3)).is_none() && table.position(Slot(3), Tick(102)).is_none());
}

#[test]
fn a_skipped_slot_is_not_covered() {
    let mut table = with_ann();
    let skip = one_page(101, None, |page| page.skip(3));
    table.apply(&schema(), &skip).expect("a page that skips");
    assert_eq!(table.covered(Slot(3)), Some(Tick(100)));
    let elsewhere = datagram(102, 102, |writer| {
        writer.cover(Cover { first: 1, last: 9 });
    });
    table.apply(&schema(), &elsewhere).expect("other pages");
    assert_eq!(table.covered(Slot(3)), Some(Tick(100)));
}

#[test]
fn fields_change_where_the_mask_says_so() {
    let mut table = with_ann();
    let schema = schema();
    let change = one_page(101, None, |page| {
        let fields = Fields { mask: 0b110, values: &[1, 4], block: b"" };
        page.fields(3, &schema.kinds[0], &fields);
    });
    let applied = table.apply(&schema, &change).expect("fields");
    assert_eq!(applied.fields(), [Slot(3)]);
    let ann = table.entity(Slot(3)).expect("Ann is in");
    assert_eq!((ann.fields[..2].to_vec(), ann.block), (vec![100, 4], &b""[..]));
}

#[test]
fn an_older_datagram_never_replaces_a_newer_one() {
    let mut table = with_ann();
    let older = one_page(101, None, |page| page.leave(3));
    table.apply(&schema(), &datagram(102, 102, |_| {})).expect("newer");
    let before = table.ack();
    let late = table.apply(&schema(), &older).expect_err("older");
    assert_eq!(late, SnapshotError::Stale(Tick(101)));
    assert!(table.entity(Slot(3)).is_some());
    assert_eq!(table.ack(), before);
}

#[test]
fn pages_grow_old_by_themselves() {
    let mut table = with_ann();
    let other_pages = datagram(105, 105, |writer| {
        writer.cover(Cover { first: 1, last: 63 });
    });
    table.apply(&schema(), &other_pages).expect("newer, of other pages");
    let page_zero = datagram(104, 104, |writer| {
        writer.cover(Cover { first: 0, last: 0 });
    });
    table.apply(&schema(), &page_zero).expect("older, but the newest of its page");
    let ack = table.ack().expect("three datagrams");
    assert_eq!((ack.tick, ack.sequence, ack.bits), (105, 105, 0b1_0001));
}

#[test]
fn what_builds_on_nothing_is_refused() {
    let mut table = with_ann();
    let code = knot_code(OrientationKind::Heading, &knot(90, 0), &[knot(101, 2)], Tick(101), 11);
    let code = code.expect("a small change has a code");
    let unknown = one_page(101, Some(90), |page| page.code(9, code));
    let refused = table.apply(&schema(), &unknown).expect_err("nobody is in slot 9");
    assert_eq!(refused, SnapshotError::UnknownSlot(Slot(9)));
    let too_old = one_page(101, Some(90), |page| page.code(3, code));
    let refused = table.apply(&schema(), &too_old).expect_err("Ann came in tick 100");
    assert_eq!(refused, SnapshotError::NoBaseline { slot: Slot(3), tick: Tick(90) });
}

#[test]
fn a_slot_is_told_once() {
    let cases: [fn(&mut Page); 3] = [
        |page| {
            page.leave(3);
            page.absolute(3, &State::Knot(knot(101, 0)));
        },
        |page| {
            page.skip(3);
            page.leave(3);
        },
        |page| {
            page.leave(3);
            page.fields(3, &schema().kinds[0], &Fields { mask: 1, values: &[1, 1], block: b"" });
        },
    ];
    for case in cases {
        let mut table = with_ann();
        let refused = table.apply(&schema(), &one_page(101, None, case));
        assert!(matches!(refused, Err(SnapshotError::Malformed(_))), "{refused:?}");
        assert_eq!(table.newest_tick(), Some(Tick(100)));
    }
}

#[test]
fn a_bulk_enter_that_was_overtaken_by_its_leave_is_passed_over() {
    let mut table = table();
    let schema = schema();
    let mut writer = BulkWriter::new(Space::Metric);
    writer.start(Tick(100));
    for (slot, entity) in [(3, ANN), (300, BOB)] {
        let enter = Enter { entity, kind: KindId(0), name: None, fields: Fields::default() };
        let state = State::Knot(knot(100, 0));
        assert!(writer.enter(Slot(slot), &schema.kinds[0], &enter, &state));
    }
    let message = writer.message(1);
    let leave = one_page(101, None, |page| page.leave(3));
    table.apply(&schema, &leave).expect("a leave");
    let skip = datagram(102, 102, |writer| {
        let mut page = Page::new(Space::Metric);
        page.start(1, Tick(102), None);
        page.skip(44);
        assert!(writer.page(&page), "one page fits");
    });
    table.apply(&schema, &skip).expect("a page that skips what is on its way");
    let applied = table.apply_bulk(&schema, &message).expect("a bulk message");
    assert_eq!((applied.entered(), applied.tick), (&[Slot(300)][..], Tick(100)));
    assert!(table.entity(Slot(3)).is_none());
    assert_eq!(table.covered(Slot(300)), Some(Tick(100)));
}

#[test]
fn a_bulk_message_with_fewer_or_more_records_than_it_says_is_refused() {
    let schema = schema();
    let mut writer = BulkWriter::new(Space::Metric);
    writer.start(Tick(100));
    let enter = Enter { entity: ANN, kind: KindId(0), name: None, fields: Fields::default() };
    writer.enter(Slot(3), &schema.kinds[0], &enter, &State::Knot(knot(100, 0)));
    let BulkDown::Enters { records, .. } = writer.message(1) else { panic!("enters") };
    for count in [0, 2] {
        let records = records.clone();
        let lie = BulkDown::Enters { sequence: 1, tick: Tick(100), count, records };
        let mut table = table();
        assert!(table.apply_bulk(&schema, &lie).is_err(), "{count} records");
        assert_eq!(table.slots().count(), 0);
    }
}

#[test]
fn a_full_bulk_message_survives_its_stream() {
    let (mut table, schema) = (table(), schema());
    let mut writer = BulkWriter::new(Space::Metric);
    writer.start(Tick(100));
    let mut count = 0;
    loop {
        let entity = EntityId { index: u32::from(count), generation: 0 };
        let fields = Fields::set(&schema.kinds[0], &[1, 1], &[7; 200], u32::MAX);
        let enter = Enter { entity, kind: KindId(0), name: None, fields };
        let state = State::Knot(knot(100, i32::from(count)));
        if !writer.enter(Slot(count), &schema.kinds[0], &enter, &state) {
            break;
        }
        count += 1;
    }
    assert_eq!(writer.count(), count);
    let bytes = codec::encode(&writer.message(u32::MAX));
    assert!(bytes.len() > MESSAGE_BYTES_MAX - 300 && bytes.len() <= MESSAGE_BYTES_MAX);
    let message: BulkDown = codec::decode(&bytes).expect("within the limit");
    let applied = table.apply_bulk(&schema, &message).expect("a bulk message");
    assert_eq!(applied.entered().len(), usize::from(count));
}

#[test]
fn reports_and_cues_arrive() {
    let fold = Fold { newest: 7, received: 5, steps: [2; 15], applied: Some(3) };
    let clock = Clock { echo: 7, hold: 160, late: 3 };
    let cue = |id, tick| Cue {
        id,
        tick: Tick(tick),
        life: 3,
        kind: 4,
        source: Some(ANN),
        position: Some(IPos([1, -2, 3])),
        payload: b"bang",
    };
    let tell = |tick, cues: &[Cue<'_>]| {
        let mut bytes = Vec::new();
        let mut writer = SnapshotWriter::new(&mut bytes, Tick(tick), tick, DATAGRAM_BYTES_MAX);
        writer.fold(&fold).clock(&clock);
        let before = writer.bytes_len();
        let (len, taken) = writer.finish(cues.iter().copied());
        let bits: usize = cues.iter().map(cue_bits).sum();
        assert!(len - before <= (bits + 4).div_ceil(8) && taken == cues.len());
        bytes
    };
    let (mut table, schema) = (table(), schema());
    let first = tell(100, &[cue(1, 98), cue(2, 100)]);
    let applied = table.apply(&schema, &first).expect("two cues");
    assert_eq!((applied.fold, applied.clock), (Some(fold), Some(clock)));
    assert!(applied.cues().eq([cue(1, 98), cue(2, 100)]));
    let second = tell(101, &[cue(1, 98), cue(2, 100), cue(3, 101)]);
    let applied = table.apply(&schema, &second).expect("a repetition and a new one");
    assert!(applied.cues().eq([cue(3, 101)]));
}

#[test]
fn a_cue_is_never_late() {
    let (mut table, schema) = (table(), schema());
    let cue = Cue {
        id: 1,
        tick: Tick(100),
        life: 3,
        kind: 0,
        source: None,
        position: None,
        payload: b"",
    };
    let mut bytes = Vec::new();
    let mut writer = SnapshotWriter::new(&mut bytes, Tick(102), 102, DATAGRAM_BYTES_MAX);
    writer.cover(Cover { first: 0, last: 0 });
    writer.finish([cue].into_iter());
    let other = datagram(104, 104, |writer| {
        writer.cover(Cover { first: 1, last: 1 });
    });
    table.apply(&schema, &other).expect("a newer one, of another page");
    let applied = table.apply(&schema, &bytes).expect("the newest of its page");
    assert_eq!(applied.cues().count(), 0);
}

#[test]
fn a_writer_keeps_to_its_limit() {
    let mut bytes = Vec::new();
    let mut writer = SnapshotWriter::new(&mut bytes, Tick(100), 1, 60);
    let mut page = Page::new(Space::Metric);
    page.start(0, Tick(100), None);
    (0..20).for_each(|slot| page.absolute(slot, &State::Knot(knot(100, i32::from(slot)))));
    assert!(page.bits() > 60 * 8 && !writer.page(&page));
    page.start(0, Tick(100), None);
    (0..4).for_each(|slot| page.absolute(slot, &State::Knot(knot(100, i32::from(slot)))));
    let room = writer.room_bits();
    assert!(writer.page(&page));
    assert_eq!(writer.room_bits(), room - page.bits() - 2);
    writer.finish(std::iter::empty());
    assert!(bytes.len() <= 60);
}

#[test]
fn datagrams_of_another_kind_or_size_are_refused() {
    let schema = schema();
    for (first, error) in [(1, SnapshotError::Type), (64, SnapshotError::Type)] {
        let mut bytes = datagram(100, 1, |_| {});
        bytes[0] = first;
        assert_eq!(table().apply(&schema, &bytes).expect_err("refused"), error);
    }
    let large = vec![0; DATAGRAM_BYTES_MAX + 1];
    assert_eq!(table().apply(&schema, &large).expect_err("refused"), SnapshotError::TooLarge);
    let mut trailing = datagram(100, 1, |_| {});
    trailing.push(0);
    let refused = table().apply(&schema, &trailing).expect_err("refused");
    assert!(matches!(refused, SnapshotError::Malformed(_)));
}

/// A datagram with a bit of everything, for [`with_ann`].
fn rich() -> Vec<u8> {
    let schema = schema();
    let mut bytes = Vec::new();
    let mut writer = SnapshotWriter::new(&mut bytes, Tick(104), 104, DATAGRAM_BYTES_MAX);
    writer.fold(&Fold { newest: 7, received: 5, steps: [3; 15], applied: Some(3) });
    writer.clock(&Clock { echo: 7, hold: 160, late: 3 });
    writer.cover(Cover { first: 0, last: 40 });
    let mut page = Page::new(Space::Metric);
    page.start(0, Tick(104), Some(Tick(102)));
    page.skip(200);
    page.leave(7);
    enter_of(&mut page, 8, BOB, &State::Knot(knot(90, -40)));
    let code = knot_code(OrientationKind::Heading, &knot(100, 0), &[knot(103, 77)], Tick(104), 4);
    page.code_since(3, 4, code.expect("a small change has a code"));
    page.fields(3, &schema.kinds[0], &Fields { mask: 0b111, values: &[1, 2], block: b"cap" });
    assert!(writer.page(&page));
    page.start(40, Tick(104), None);
    enter_of(&mut page, 0, ANN, &State::Knot(knot(104, 5)));
    assert!(writer.page(&page));
    let cue = Cue {
        id: 1,
        tick: Tick(103),
        life: 3,
        kind: 4,
        source: Some(ANN),
        position: Some(IPos([1, -2, 3])),
        payload: b"bang",
    };
    writer.finish([cue].into_iter());
    bytes
}

#[test]
fn a_datagram_cut_anywhere_is_refused_and_changes_nothing() {
    let (schema, bytes) = (schema(), rich());
    for cut in 0..bytes.len() {
        let mut table = with_ann();
        let before = (table.ack(), format!("{:?}", table.entity(Slot(3))));
        assert!(table.apply(&schema, &bytes[..cut]).is_err(), "cut at {cut} of {}", bytes.len());
        assert_eq!(before, (table.ack(), format!("{:?}", table.entity(Slot(3)))));
        assert_eq!(table.slots().count(), 1);
    }
    let mut table = with_ann();
    table.apply(&schema, &bytes).expect("the whole of it");
    assert_eq!(table.slots().collect::<Vec<_>>(), [Slot(3), Slot(8), Slot(40 * 256)]);
}

proptest! {
    #[test]
    fn noise_never_panics_and_never_half_applies(
        noise in prop::collection::vec((0usize..1200, any::<u8>()), 0..6),
        tail in prop::collection::vec(any::<u8>(), 0..200),
        keep in 4usize..100,
    ) {
        let schema = schema();
        let mut bytes = rich();
        bytes.truncate(keep);
        bytes.extend(tail);
        for (at, byte) in noise {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        bytes[0] &= !3;
        let mut table = with_ann();
        if table.apply(&schema, &bytes).is_err() {
            prop_assert_eq!(table.slots().collect::<Vec<_>>(), [Slot(3)]);
            prop_assert_eq!(table.newest_tick(), Some(Tick(100)));
        }
    }

    #[test]
    fn a_knot_survives_its_code(
        base in knots(),
        now in knots(),
        turns in any::<[u32; 2]>(),
        kind in 0usize..4,
        age in 1u32..300,
        lag in 0u32..300,
    ) {
        let kind = KINDS[kind];
        let tick = Tick(1000);
        let base = Knot { tick: tick - age - 3, orientation: orientation(kind, turns[0]), ..base };
        let now = Knot { tick: tick - lag, orientation: orientation(kind, turns[1]), ..now };
        coded(kind, base, &[now], tick, age)?;
    }

    #[test]
    fn knots_that_follow_from_each_other_survive_their_code(
        base in knots(),
        changes in prop::collection::vec(changes(), 1..=6),
        kind in 0usize..4,
        age in 1u32..12,
    ) {
        let kind = KINDS[kind];
        let tick = Tick(1000);
        let base = Knot { tick: tick - age, orientation: orientation(kind, 77), ..base };
        let (mut since, mut from) = (Vec::new(), base);
        for (after, what, residual, turn) in changes {
            let then = from.tick + after;
            let step = Step { gain: Gain::ALL[what % 3], residual };
            let line = if what < 3 { from.step(then, &step) } else { Some(from.turned(then, from.orientation)) };
            let Some(line) = line.filter(|line| line.tick <= tick) else { break };
            let faces = from.faces(then);
            let mut next = Knot { orientation: faces, ..line };
            if what % 2 == 1 {
                next.orientation = orientation(kind, turn);
                let spins = kind == OrientationKind::Quaternion;
                let spin = Spin::ALL[turn as usize % 3];
                next.spin = if spins { from.spin_after(&next, spin) } else { [0; 3] };
            }
            from = next;
            since.push(from);
        }
        coded(kind, base, &since, tick, age)?;
    }

    #[test]
    fn fixes_survive_their_code(
        base in fixes(),
        steps in prop::collection::vec((any::<[i16; 3]>(), 1u32..40, any::<u32>()), 1..=3),
        kind in 0usize..4,
        lag in 0u32..40,
        metric: bool,
    ) {
        let kind = KINDS[kind];
        let space = if metric { Space::Metric } else { Space::Geodetic };
        let base = FixState {
            pos: starling_protocol::motion::snap_fix(space, base.pos),
            prev_pos: starling_protocol::motion::snap_fix(space, base.prev_pos),
            orientation: orientation(kind, base.pos.0[0] as u32),
            ..base
        };
        let (mut fixes, mut from) = (Vec::new(), base);
        for (by, apart, turn) in steps {
            let at = from.predict(space, from.tick + apart).0;
            let at = IPos([0, 1, 2].map(|a: usize| at[a] / 2 + i32::from(by[a])));
            let at = starling_protocol::motion::snap_fix(space, at);
            from = from.then(from.tick + apart, at, orientation(kind, turn));
            fixes.push(from);
        }
        let tick = from.tick + lag;
        let Some(code) = fix_code(kind, space, &base, &fixes, tick) else { return Ok(()) };
        let age = tick.0 - base.tick.0;
        let got = through_a_table(TrackKind::Fixes, space, kind, State::Fix(base), |page| {
            page.code(3, code);
        }, tick, age)?;
        prop_assert_eq!(got, State::Fix(from));
    }
}

/// Ticks to the next knot; 0 to 2 a step of this gain, 3 and 4 the line goes on; its residual; an
/// orientation.
fn changes() -> impl Strategy<Value = (u32, usize, [i32; 3], u32)> {
    let residual = prop_oneof![
        4 => prop::array::uniform3(-6i32..6),
        1 => prop::array::uniform3(-500i32..500),
    ];
    (1u32..4, 0usize..5, residual, any::<u32>())
}

/// What a table holds after a code for the last of these knots, if there is one, is that knot.
fn coded(
    kind: OrientationKind,
    base: Knot,
    since: &[Knot],
    tick: Tick,
    age: u32,
) -> Result<(), TestCaseError> {
    let Some(code) = knot_code(kind, &base, since, tick, age) else { return Ok(()) };
    let Some(now) = since.last() else { return Err(TestCaseError::fail("a code of nothing")) };
    prop_assert!(code.len() <= 56 && tick.0 - now.tick.0 < age && !code.is_empty());
    let fill = |page: &mut Page| match age {
        2..=31 if age.is_multiple_of(2) => page.code_since(3, age as u8, code),
        _ => page.code(3, code),
    };
    let told = State::Knot(base);
    let got = through_a_table(TrackKind::Knots, Space::Metric, kind, told, fill, tick, age)?;
    let State::Knot(got) = got else { return Err(TestCaseError::fail("a fix")) };
    // What stands as before is not kept twice.
    let then = if now.rests() && base.rests() { got.tick } else { now.tick };
    prop_assert_eq!(got, Knot { tick: then, ..*now });
    Ok(())
}

const KINDS: [OrientationKind; 4] = [
    OrientationKind::None,
    OrientationKind::Heading,
    OrientationKind::Look,
    OrientationKind::Quaternion,
];

fn orientation(kind: OrientationKind, raw: u32) -> Orientation {
    match kind {
        OrientationKind::None => Orientation::None,
        OrientationKind::Heading => Orientation::Heading(raw as u8),
        OrientationKind::Look => {
            Orientation::Look { yaw: raw as u16 & 0xfff, pitch: (raw >> 16) as u16 & 0x7ff }
        }
        OrientationKind::Quaternion => Orientation::Quaternion(raw & 0xc00f_03ff),
    }
}

fn knots() -> impl Strategy<Value = Knot> {
    let near = prop::array::uniform3(-2000i32..2000);
    let far = prop::array::uniform3(-64_000_000i32..=64_000_000);
    let slow = prop::array::uniform3(-40i16..40);
    let vel = prop_oneof![4 => slow, 1 => any::<[i16; 3]>(), 1 => Just([0; 3])];
    (prop_oneof![4 => near, 1 => far], vel, 0u32..9).prop_map(|(pos, vel, run)| Knot {
        tick: Tick(0),
        run: if vel == [0; 3] { 0 } else { run },
        pos: pos.map(|v| v * 16),
        vel,
        ..Knot::default()
    })
}

fn fixes() -> impl Strategy<Value = FixState> {
    let at =
        || (-900_000_000i32..=900_000_000, -1_024_000_000i32..=1_024_000_000, -100_000i32..100_000);
    (at(), prop::array::uniform3(-9_000i32..9_000), 0u32..50).prop_map(|((a, b, c), by, apart)| {
        let prev_pos = if apart == 0 { [a, b, c] } else { [a / 2, b + by[1] / 2, c + by[2]] };
        FixState {
            tick: Tick(100),
            pos: IPos([a, b, c]),
            prev_tick: Tick(100 - apart),
            prev_pos: IPos(prev_pos),
            orientation: Orientation::None,
        }
    })
}

/// What a table holds in slot 3 after an enter with `base` and a page with one code.
fn through_a_table(
    track: TrackKind,
    space: Space,
    kind: OrientationKind,
    base: State,
    fill: impl FnOnce(&mut Page),
    tick: Tick,
    age: u32,
) -> Result<State, SnapshotError> {
    let plain = Kind { name: "k".into(), orientation: kind, fields: vec![], block: false };
    let schema = Schema { kinds: vec![plain] };
    let mut table = Table::new(track, space, tick, 0);
    let mut write = |tick: Tick, base: Option<Tick>, fill: &mut dyn FnMut(&mut Page)| {
        let mut bytes = Vec::new();
        let mut writer = SnapshotWriter::new(&mut bytes, tick, tick.0, DATAGRAM_BYTES_MAX);
        let mut page = Page::new(space);
        page.start(0, tick, base);
        fill(&mut page);
        assert!(writer.page(&page), "one entity fits");
        writer.finish(std::iter::empty());
        table.apply(&schema, &bytes).map(drop)
    };
    let enter = Enter { entity: ANN, kind: KindId(0), name: None, fields: Fields::default() };
    let then = tick - age;
    write(then, None, &mut |page| page.enter(3, &schema.kinds[0], &enter, &base))?;
    let mut fill = Some(fill);
    write(tick, Some(then), &mut |page| fill.take().expect("called once")(page))?;
    Ok(*table.entity(Slot(3)).expect("it entered").state)
}
