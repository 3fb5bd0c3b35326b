//! A table with one entity, and datagrams for it.

use starling_protocol::limits::DATAGRAM_BYTES_MAX;
use starling_protocol::motion::{Knot, TrackKind};
use starling_protocol::sample::Orientation;
use starling_protocol::schema::{Field, FieldType, Kind, OrientationKind, Schema, Visibility};
use starling_protocol::snapshot::{Enter, Fields, Page, SnapshotWriter, State, Table};
use starling_protocol::space::Space;
use starling_protocol::units::{EntityId, KindId, Tick};

pub(crate) const ANN: EntityId = EntityId { index: 5, generation: 2 };
pub(crate) const BOB: EntityId = EntityId { index: 9, generation: 0 };

pub(crate) fn schema() -> Schema {
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

pub(crate) fn knot(tick: u32, x: i32) -> Knot {
    Knot {
        tick: Tick(tick),
        run: 0,
        pos: [x * 16, 160, 0],
        vel: [3, 0, 0],
        orientation: Orientation::Heading(7),
        spin: [0; 3],
    }
}

pub(crate) fn table() -> Table {
    Table::new(TrackKind::Knots, Space::Metric, Tick(99), 0)
}

/// Writes one datagram of `tick` whose pages `fill` adds.
pub(crate) fn datagram(
    tick: u32,
    sequence: u32,
    fill: impl FnOnce(&mut SnapshotWriter<'_>),
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = SnapshotWriter::new(&mut bytes, Tick(tick), sequence, DATAGRAM_BYTES_MAX);
    fill(&mut writer);
    writer.finish(std::iter::empty());
    bytes
}

/// A datagram with page 0 alone.
pub(crate) fn one_page(tick: u32, base: Option<u32>, fill: impl FnOnce(&mut Page)) -> Vec<u8> {
    datagram(tick, tick, |writer| {
        let mut page = Page::new(Space::Metric);
        page.start(0, Tick(tick), base.map(Tick));
        fill(&mut page);
        assert!(writer.page(&page), "one page fits");
    })
}

pub(crate) fn enter_of(page: &mut Page, slot: u8, entity: EntityId, state: &State) {
    let schema = schema();
    let fields = Fields::set(&schema.kinds[0], &[100, 0], b"hat", u32::MAX);
    let enter = Enter { entity, kind: KindId(0), name: Some("Ann"), fields };
    page.enter(slot, &schema.kinds[0], &enter, state);
}

/// A table that holds Ann in slot 3 since tick 100.
pub(crate) fn with_ann() -> Table {
    let mut table = table();
    let enter = one_page(100, None, |page| enter_of(page, 3, ANN, &State::Knot(knot(100, 0))));
    table.apply(&schema(), &enter).expect("an enter");
    table
}
