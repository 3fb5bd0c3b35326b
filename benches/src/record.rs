//! What one client of a scene hears, kept so that it can be heard again.

use crate::scene::{Cast, Scene};
use starling_protocol::codec;
use starling_protocol::frame::Frames;
use starling_protocol::limits::MESSAGE_BYTES_MAX;
use starling_protocol::message::bulk::BulkDown;
use starling_protocol::motion::{Knot, TrackKind};
use starling_protocol::schema::Schema;
use starling_protocol::snapshot::{State, Table};
use starling_protocol::space::Space;
use starling_protocol::stream::StreamKind;
use starling_protocol::units::{EntityId, Slot, Tick};

/// Ticks before those that are replayed: until everyone in sight has entered.
const PREFIX_TICKS: u32 = 20;

/// One entity's newest state, and the one that its client held before.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// Whose.
    pub entity: EntityId,
    /// What the client held.
    pub base: Knot,
    /// What is told.
    pub now: Knot,
    /// Ticks from the baseline to the datagram.
    pub age: u32,
}

/// Something that reached the client.
#[derive(Clone, Debug)]
enum Heard {
    Datagram(Vec<u8>),
    Bulk(BulkDown),
}

/// Everything that reached one client.
#[derive(Debug)]
pub struct Recording {
    schema: Schema,
    prefix: Vec<Heard>,
    rest: Vec<Heard>,
    changes: Vec<Change>,
    updates: u64,
    bytes: usize,
}

impl Recording {
    /// Runs a scene for so many ticks, more than twenty, and keeps what its first client hears.
    #[must_use]
    pub fn take(cast: Cast, ticks: u32) -> Self {
        let mut scene = Scene::new(cast, 1);
        let schema = scene.world().config().schema.clone();
        let (prefix, rest, changes) = (Vec::new(), Vec::new(), Vec::new());
        let mut recording = Self { schema, prefix, rest, changes, updates: 0, bytes: 0 };
        let mut table = recording.table();
        for tick in 0..ticks {
            scene.prepare();
            scene.tick();
            let heard = heard_by_first(&scene);
            for heard in &heard {
                recording.hear(&mut table, heard, tick >= PREFIX_TICKS);
            }
            let part =
                if tick < PREFIX_TICKS { &mut recording.prefix } else { &mut recording.rest };
            part.extend(heard);
            scene.deliver();
        }
        recording
    }

    /// Applies it and notes what changes.
    fn hear(&mut self, table: &mut Table, heard: &Heard, counts: bool) {
        let before: Vec<_> = table.slots().map(|slot| (slot, state(table, slot))).collect();
        let updates = apply(table, &self.schema, heard);
        if !counts {
            return;
        }
        self.updates += updates as u64;
        self.bytes += if let Heard::Datagram(bytes) = heard { bytes.len() } else { 0 };
        for (slot, before) in before {
            if let (Some((was, base)), Some((is, now))) = (before, state(table, slot))
                && (was == is && now.tick > base.tick)
            {
                self.changes.push(Change { entity: is, base, now, age: 1 });
            }
        }
    }

    /// A table that has heard the first second, in which everyone enters.
    #[must_use]
    pub fn table(&self) -> Table {
        let mut table = Table::new(TrackKind::Knots, Space::Metric, Tick(0), 0);
        for heard in &self.prefix {
            apply(&mut table, &self.schema, heard);
        }
        table
    }

    /// Lets a table hear all the rest; returns how many updates that were.
    pub fn replay(&self, table: &mut Table) -> usize {
        self.rest.iter().map(|heard| apply(table, &self.schema, heard)).sum()
    }

    /// Updates of entities in what [`Recording::replay`] lets hear.
    #[must_use]
    pub const fn updates(&self) -> u64 {
        self.updates
    }

    /// What changed between one state and the next that the client held of the same slot.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Its size in a sentence.
    #[must_use]
    pub fn summary(&self) -> String {
        let Self { rest, updates, bytes, .. } = self;
        format!("{} messages of {bytes} bytes with {updates} updates", rest.len())
    }
}

/// Who is in a slot, and the newest state that the table holds of it.
fn state(table: &Table, slot: Slot) -> Option<(EntityId, Knot)> {
    let view = table.entity(slot)?;
    match view.state {
        State::Knot(knot) => Some((view.entity, *knot)),
        State::Fix(_) => None,
    }
}

fn heard_by_first(scene: &Scene) -> Vec<Heard> {
    let (out, conn) = (scene.out(), scene.conn(0));
    let bulks = out.writes.iter().filter(|w| w.conn == conn && w.stream == StreamKind::Bulk);
    let bulks = bulks.flat_map(|write| bulks_in(&out.arena[write.bytes.clone()]));
    let datagrams = out.datagrams.iter().filter(|datagram| datagram.conn == conn);
    let datagrams = datagrams.map(|d| Heard::Datagram(out.arena[d.bytes.clone()].to_vec()));
    datagrams.chain(bulks).collect()
}

/// A write of the world is made of whole frames.
fn bulks_in(bytes: &[u8]) -> Vec<Heard> {
    let mut frames = Frames::new(MESSAGE_BYTES_MAX);
    frames.push(bytes);
    let mut all = Vec::new();
    while let Some(body) = frames.next_frame().expect("the world writes frames") {
        all.push(Heard::Bulk(codec::decode(body).expect("the world writes messages")));
    }
    all
}

fn apply(table: &mut Table, schema: &Schema, heard: &Heard) -> usize {
    let applied = match heard {
        Heard::Datagram(bytes) => table.apply(schema, bytes),
        Heard::Bulk(message) => table.apply_bulk(schema, message),
    };
    applied.expect("the world writes what tables take").updated().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_heard_again_says_the_same() {
        let recording = Recording::take(Cast::walk(400, 20, 80), 80);
        let mut table = recording.table();
        assert_eq!(recording.replay(&mut table) as u64, recording.updates());
        assert!(recording.updates() > 100, "{}", recording.summary());
        assert!(recording.changes().len() > 50, "{}", recording.changes().len());
    }
}
