//! What is refused changes nothing.

use crate::stage::*;
use proptest::prelude::*;
use starling_protocol::limits::DATAGRAM_BYTES_MAX;
use starling_protocol::schema::OrientationKind;
use starling_protocol::snapshot::*;
use starling_protocol::space::{IPos, Space};
use starling_protocol::units::{Slot, Tick};

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
}
