//! What a datagram does to the slots of a table.

use crate::stage::*;
use starling_protocol::motion::Knot;
use starling_protocol::schema::OrientationKind;
use starling_protocol::snapshot::{Cover, Fields, Left, SnapshotError, State, knot_code};
use starling_protocol::space::IPos;
use starling_protocol::units::{KindId, Slot, Tick};

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
