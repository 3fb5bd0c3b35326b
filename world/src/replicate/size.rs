//! About how many bits the news of a slot will take, where a choice must be made before writing.

use super::Scene;
use super::codes::newest_state;
use super::write::Reader;
use crate::entity::EntityIdx;
use starling_protocol::bits::{gamma_bits, signed_bits};
use starling_protocol::motion::KNOT_GRID;
use starling_protocol::sample::Orientation;
use starling_protocol::schema::Kind;
use starling_protocol::snapshot::State;
use starling_protocol::units::Tick;

/// A slot's part in the lists of its page.
pub(super) const LISTED_BITS: usize = 8;
/// Grid indices of a fix: latitude, longitude and altitude on average.
const FIX_BITS: usize = 3 * 27;
/// The fix before it, and the ticks between.
const FIX_BEFORE_BITS: usize = 3 * 12 + 9;

/// About the bits of what changed of an entity since `own`.
pub(super) fn change_bits(scene: &Scene<'_>, entity: EntityIdx, own: Tick) -> usize {
    let moved = scene.tracks.newest(entity) > own;
    let code = moved.then(|| scene.code(entity, own));
    let motion = match code {
        None => 0,
        Some(Some(code)) => 8 + code.len() as usize,
        Some(None) => LISTED_BITS + state_bits(scene, entity),
    };
    let fields = scene.entities.fields(entity);
    motion + if fields.newest() > own { fields_bits(scene, entity) } else { 0 }
}

/// About the bits of an enter record.
pub(super) fn enter_bits(scene: &Scene<'_>, reader: &Reader, entity: EntityIdx) -> usize {
    let id = scene.entities.id(entity);
    let id_bits = 5 + 32 - id.index.leading_zeros() as usize;
    let name = if reader.names { 6 + 8 * scene.entities.name(entity).len() } else { 0 };
    let fixed = LISTED_BITS + 1 + 6 + 1;
    fixed
        + id_bits
        + gamma_bits(u64::from(id.generation) + 1)
        + name
        + fields_bits(scene, entity)
        + state_bits(scene, entity)
}

fn fields_bits(scene: &Scene<'_>, entity: EntityIdx) -> usize {
    let kind = scene.entities.schema().kind(scene.entities.kind(entity));
    kind.map_or(0, |kind| all_fields_bits(kind, scene.entities.fields(entity).block().len()))
}

fn all_fields_bits(kind: &Kind, block_bytes: usize) -> usize {
    let values: usize = kind.fields.iter().map(|field| 1 + usize::from(field.ty.bits())).sum();
    LISTED_BITS + values + if kind.block { 9 + 8 * block_bytes } else { 0 }
}

fn state_bits(scene: &Scene<'_>, entity: EntityIdx) -> usize {
    let state = newest_state(scene.tracks, entity);
    let lag = scene.now.since(state.tick()).unwrap_or(0);
    let lag_bits = gamma_bits(u64::from(lag) + 1);
    let place = match state {
        State::Knot(knot) => {
            let position: usize = knot.pos.iter().map(|c| signed_bits(c / KNOT_GRID)).sum();
            let velocity: usize = knot.vel.iter().map(|v| signed_bits(i32::from(*v))).sum();
            let line = velocity + gamma_bits(u64::from(knot.run) + 1);
            let spins = matches!(knot.orientation, Orientation::Quaternion(_));
            let spin: usize = knot.spin.iter().map(|v| signed_bits(i32::from(*v))).sum();
            let spin = if knot.spin == [0; 3] { 0 } else { spin };
            position + 1 + if knot.rests() { 0 } else { line } + usize::from(spins) + spin
        }
        State::Fix(_) => FIX_BITS + 1 + FIX_BEFORE_BITS,
    };
    let turn = match state.orientation(state.tick()) {
        Orientation::None => 0,
        Orientation::Heading(_) => 8,
        Orientation::Look { .. } => 23,
        Orientation::Quaternion(_) => 32,
    };
    lag_bits + place + turn
}
