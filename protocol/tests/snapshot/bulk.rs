//! Enters on the bulk stream.

use crate::stage::*;
use starling_protocol::codec;
use starling_protocol::limits::MESSAGE_BYTES_MAX;
use starling_protocol::message::bulk::BulkDown;
use starling_protocol::snapshot::*;
use starling_protocol::space::Space;
use starling_protocol::units::{EntityId, KindId, Slot, Tick};

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
