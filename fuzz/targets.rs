//! What each fuzz target does with its bytes. Included by the targets and by the test that replays
//! the corpus, so that both do the same.
//!
//! No target may panic, whatever the bytes. Beyond that, what was decoded must survive being
//! encoded and decoded once more.

use serde::Serialize;
use serde::de::DeserializeOwned;
use starling_protocol::codec;
use starling_protocol::delta;
use starling_protocol::frame::{self, Frames};
use starling_protocol::limits::{EVENT_BYTES_MAX, MESSAGE_BYTES_MAX};
use starling_protocol::message::bulk::{BulkDown, BulkUp};
use starling_protocol::message::control::{ControlDown, ControlUp};
use starling_protocol::message::events::{EventDown, EventUp};
use starling_protocol::message::host::{HostDown, HostUp};
use starling_protocol::motion::TrackKind;
use starling_protocol::schema::{Field, FieldType, Kind, OrientationKind, Schema, Visibility};
use starling_protocol::snapshot::Table;
use starling_protocol::space::Space;
use starling_protocol::units::Tick;
use starling_protocol::uplink::{Uplink, UplinkWriter};

/// Name and body of every target.
pub(crate) const ALL: [(&str, fn(&[u8])); 9] = [
    ("control", control),
    ("events", events),
    ("bulk", bulk),
    ("host", host),
    ("frame", frame),
    ("uplink", uplink),
    ("snapshot", snapshot),
    ("bulk_records", bulk_records),
    ("delta", delta),
];

/// Messages of the control stream, either way.
pub(crate) fn control(data: &[u8]) {
    message::<ControlUp>(data);
    message::<ControlDown>(data);
}

/// Messages of the events stream, either way.
pub(crate) fn events(data: &[u8]) {
    message::<EventUp>(data);
    message::<EventDown>(data);
}

/// Messages of the bulk stream, either way.
pub(crate) fn bulk(data: &[u8]) {
    message::<BulkUp>(data);
    message::<BulkDown>(data);
}

/// Messages of the host stream, either way.
pub(crate) fn host(data: &[u8]) {
    message::<HostUp>(data);
    message::<HostDown>(data);
}

fn message<T: Serialize + DeserializeOwned>(data: &[u8]) {
    if let Ok(message) = codec::decode::<T>(data) {
        let bytes = codec::encode(&message);
        let again = codec::decode::<T>(&bytes).expect("what we encoded is a message");
        assert_eq!(codec::encode(&again), bytes);
    }
}

/// A value as a difference: how long it says that it is, how long the dictionary is, both, the block.
/// What comes out is as long as it says, and is the same when it was made into a block again.
pub(crate) fn delta(data: &[u8]) {
    let Some((&[low, high, length], rest)) = data.split_first_chunk() else { return };
    let bytes = u32::from(u16::from_le_bytes([low, high]));
    let (dictionary, block) = rest.split_at(usize::from(length).min(rest.len()));
    let Ok(payload) = delta::decode(block, dictionary, bytes) else { return };
    assert!(payload.len() == bytes as usize && payload.len() <= EVENT_BYTES_MAX);
    if let Some(block) = delta::encode(&payload, dictionary) {
        assert_eq!(delta::decode(&block, dictionary, bytes), Ok(payload));
    }
}

/// A stream of frames that arrives in pieces; the first byte says how long they are.
pub(crate) fn frame(data: &[u8]) {
    let Some((&piece, stream)) = data.split_first() else { return };
    let mut frames = Frames::new(MESSAGE_BYTES_MAX);
    let mut written = Vec::new();
    for part in stream.chunks(usize::from(piece) + 1) {
        frames.push(part);
        loop {
            match frames.next_frame() {
                Ok(Some(body)) => frame::write(body, &mut written),
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
    assert!(written.len() <= stream.len());
}

/// An uplink datagram: what is decoded has one form only.
pub(crate) fn uplink(data: &[u8]) {
    for space in [Space::Metric, Space::Geodetic] {
        let Ok(uplink) = Uplink::decode(space, data) else { continue };
        let mut bytes = Vec::new();
        let tick = Tick(u32::from(uplink.tick));
        let mut writer = UplinkWriter::new(&mut bytes, space, uplink.sequence, tick);
        if let Some(ack) = uplink.ack {
            writer.ack(ack);
        }
        let newest = uplink.inputs().last().map_or(0, |input| input.number);
        let inputs: Vec<_> = uplink.inputs().map(|input| input.payload).collect();
        writer.inputs(newest, inputs.into_iter());
        assert_eq!(writer.cues(uplink.cues()), uplink.cues().len());
        assert!(uplink.samples().all(|sample| writer.sample(&sample)));
        writer.finish();
        assert_eq!(bytes, data);
    }
}

/// A session: the first byte chooses the world; then datagrams, each after its length.
pub(crate) fn snapshot(data: &[u8]) {
    session(data);
}

/// Returns how many datagrams were taken in.
pub(crate) fn session(data: &[u8]) -> usize {
    let mut taken = 0;
    let Some((&world, mut rest)) = data.split_first() else { return taken };
    let (mut table, schema) = table(world);
    while let Some((length, body)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_le_bytes(*length));
        let Some((datagram, next)) = body.split_at_checked(length) else { return taken };
        rest = next;
        let before = (table.newest_tick(), table.ack(), table.slots().count());
        if table.apply(&schema, datagram).is_err() {
            let after = (table.newest_tick(), table.ack(), table.slots().count());
            assert_eq!(before, after, "what is refused changes nothing");
        } else {
            taken += 1;
        }
        look(&table);
    }
    taken
}

/// The records of a bulk message: world, count, tick, records.
pub(crate) fn bulk_records(data: &[u8]) {
    let Some((&[world, count, tick], records)) = data.split_first_chunk() else { return };
    let (mut table, schema) = table(world);
    let message = BulkDown::Enters {
        sequence: 1,
        tick: Tick(70_000 + u32::from(tick)),
        count: u16::from(count),
        records: records.to_vec(),
    };
    let applied = table.apply_bulk(&schema, &message).is_ok();
    assert!(applied || table.slots().count() == 0);
    look(&table);
}

/// An empty table of one of four worlds.
fn table(world: u8) -> (Table, Schema) {
    let (track, space, orientation) = match world % 4 {
        0 => (TrackKind::Knots, Space::Metric, OrientationKind::Look),
        1 => (TrackKind::Fixes, Space::Geodetic, OrientationKind::Heading),
        2 => (TrackKind::Fixes, Space::Metric, OrientationKind::Quaternion),
        _ => (TrackKind::Knots, Space::Metric, OrientationKind::Quaternion),
    };
    let field = |name: &str, ty| Field { name: name.into(), ty, visibility: Visibility::All };
    let kind = Kind {
        name: "thing".into(),
        orientation,
        fields: vec![field("health", FieldType::Bits { bits: 7 }), field("open", FieldType::Bool)],
        block: true,
    };
    (Table::new(track, space, Tick(70_000), 4), Schema { kinds: vec![kind] })
}

/// Everything that a table can be asked.
fn look(table: &Table) {
    let newest = table.newest_tick().unwrap_or_default();
    for slot in table.slots() {
        let view = table.entity(slot).expect("a slot that is listed holds an entity");
        assert!(table.state_at(slot, newest).is_some() && table.covered(slot).is_some());
        for tick in [Tick(0), view.state.tick(), newest, Tick(u32::MAX)] {
            assert!(table.position(slot, tick).is_some());
            let _ = view.state.orientation(tick);
        }
    }
}
