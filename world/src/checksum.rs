//! One number for all state that matters: two worlds with the same number are the same.
//!
//! What is only kept for speed (the index, codes, working space) is left out.

use crate::World;
use crate::entity::EntityIdx;
use crate::replicate::newest_state;
use starling_protocol::sample::Orientation;
use starling_protocol::space::IPos;

impl World {
    /// One number for the state of the world: equal worlds have equal numbers.
    #[must_use]
    pub fn checksum(&self) -> u64 {
        let mut sum = Checksum::new();
        sum.add(self.now.0);
        for entity in self.entities.iter() {
            self.add_entity_to(entity, &mut sum);
        }
        self.replication.add_to(&mut sum);
        self.add_sessions_to(&mut sum);
        sum.value()
    }

    fn add_entity_to(&self, entity: EntityIdx, sum: &mut Checksum) {
        let id = self.entities.id(entity);
        let (traits, accepted) = (self.entities.traits(entity), self.entities.accepted(entity));
        sum.add(id.index).add(id.generation).add_bytes(self.entities.name(entity).as_bytes());
        sum.add(traits.owner).add(traits.avatar_of).add(traits.kind.0).add(traits.team);
        sum.add(traits.audience as u8).add_position(accepted.position).add(accepted.tick.0);
        for axis in accepted.velocity.iter().flatten() {
            sum.add_signed(i64::from(*axis));
        }
        sum.add(turn(accepted.orientation));
        sum.add(self.entities.sequence(entity).map_or(0, |sequence| u64::from(sequence) + 1));
        sum.add(self.entities.contact(entity).0);
        for raw in self.entities.fields(entity).values() {
            sum.add(*raw);
        }
        sum.add_bytes(self.entities.fields(entity).block());
        if self.tracks.has(entity) {
            let state = newest_state(&self.tracks, entity);
            sum.add(state.tick().0).add_position(state.position(self.now));
        }
    }
}

/// An orientation as a number.
fn turn(orientation: Orientation) -> u64 {
    match orientation {
        Orientation::None => 0,
        Orientation::Heading(heading) => 1 << 32 | u64::from(heading),
        Orientation::Look { yaw, pitch } => 2 << 32 | u64::from(yaw) << 16 | u64::from(pitch),
        Orientation::Quaternion(packed) => 3 << 32 | u64::from(packed),
    }
}

/// A running FNV-1a sum of 64 bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checksum(u64);

impl Checksum {
    pub(crate) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Adds a number.
    pub(crate) fn add(&mut self, value: impl Into<u64>) -> &mut Self {
        for byte in value.into().to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self
    }

    /// Adds a signed number.
    pub(crate) fn add_signed(&mut self, value: i64) -> &mut Self {
        self.add(value.cast_unsigned())
    }

    /// Adds a position.
    pub(crate) fn add_position(&mut self, pos: IPos) -> &mut Self {
        for axis in pos.0 {
            self.add_signed(i64::from(axis));
        }
        self
    }

    /// Adds bytes and how many they are.
    pub(crate) fn add_bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.add(bytes.len() as u64);
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self
    }

    pub(crate) const fn value(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_boundaries_matter() {
        let sum = |parts: &[&[u8]]| {
            let mut sum = Checksum::new();
            for part in parts {
                sum.add_bytes(part);
            }
            sum.value()
        };
        assert_ne!(sum(&[b"ab", b"c"]), sum(&[b"a", b"bc"]));
        assert_ne!(sum(&[b"a", b"b"]), sum(&[b"b", b"a"]));
        assert_eq!(sum(&[b"a", b"b"]), sum(&[b"a", b"b"]));
    }
}
