//! Names of entities: unique in the world, at most 64 bytes.

use super::EntityIdx;
use starling_protocol::close::CloseCode;
use starling_protocol::limits::ENTITY_NAME_BYTES_MAX;
use starling_protocol::units::EntityId;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Names {
    rows: Vec<String>,
    by_name: BTreeMap<String, EntityIdx>,
}

impl Names {
    pub(super) fn check(&self, name: &str) -> Result<(), CloseCode> {
        let fits = (1..=ENTITY_NAME_BYTES_MAX).contains(&name.len());
        if !fits || self.by_name.contains_key(name) {
            return Err(CloseCode::BAD_NAME);
        }
        Ok(())
    }

    /// Names a row; a missing name is drawn from the world's seed and the entity's id.
    pub(super) fn insert(&mut self, idx: EntityIdx, name: Option<String>, id: EntityId, seed: u64) {
        let name = name.unwrap_or_else(|| self.draw(id, seed));
        if self.rows.len() <= idx.at() {
            self.rows.resize(idx.at() + 1, String::new());
        }
        self.rows[idx.at()].clone_from(&name);
        self.by_name.insert(name, idx);
    }

    pub(super) fn remove(&mut self, idx: EntityIdx) {
        let name = std::mem::take(&mut self.rows[idx.at()]);
        self.by_name.remove(&name);
    }

    pub(super) fn find(&self, name: &str) -> Option<EntityIdx> {
        self.by_name.get(name).copied()
    }

    pub(super) fn of(&self, idx: EntityIdx) -> &str {
        self.rows.get(idx.at()).map_or("", String::as_str)
    }

    fn draw(&self, id: EntityId, seed: u64) -> String {
        let mut state = seed ^ (u64::from(id.index) << 32 | u64::from(id.generation));
        loop {
            state = splitmix(state);
            let name = format!("e-{:012x}", state >> 16);
            if !self.by_name.contains_key(&name) {
                return name;
            }
        }
    }
}

/// One step of splitmix64: the seed's only use is that names differ.
const fn splitmix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
