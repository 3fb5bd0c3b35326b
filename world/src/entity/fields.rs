//! Typed fields and the opaque block of one entity, each with the tick of its last change.

use starling_protocol::close::CloseCode;
use starling_protocol::limits::BLOCK_BYTES_MAX;
use starling_protocol::schema::Kind;
use starling_protocol::units::Tick;

/// Values of one entity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldState {
    values: Box<[u32]>,
    changed: Box<[Tick]>,
    block: Box<[u8]>,
    block_changed: Tick,
    newest: Tick,
}

impl FieldState {
    /// Zero everywhere but in `values`.
    ///
    /// # Errors
    /// `BAD_FIELD` when a value or the block does not fit the kind.
    pub(super) fn new(
        kind: &Kind,
        values: &[(u8, u32)],
        block: &[u8],
        now: Tick,
    ) -> Result<Self, CloseCode> {
        if block.len() > BLOCK_BYTES_MAX || (!kind.block && !block.is_empty()) {
            return Err(CloseCode::BAD_FIELD);
        }
        let mut state = Self {
            values: vec![0; kind.fields.len()].into(),
            changed: vec![now; kind.fields.len()].into(),
            block: block.into(),
            block_changed: now,
            newest: now,
        };
        state.set(kind, values, now)?;
        Ok(state)
    }

    pub(super) fn set(
        &mut self,
        kind: &Kind,
        values: &[(u8, u32)],
        at: Tick,
    ) -> Result<(), CloseCode> {
        let fits = |&(index, raw): &(u8, u32)| {
            kind.fields.get(usize::from(index)).is_some_and(|field| field.ty.allows(raw))
        };
        if !values.iter().all(fits) {
            return Err(CloseCode::BAD_FIELD);
        }
        for &(index, raw) in values {
            let index = usize::from(index);
            if self.values[index] != raw {
                self.values[index] = raw;
                self.changed[index] = at;
                self.newest = at;
            }
        }
        Ok(())
    }

    pub(super) fn set_block(&mut self, block: &[u8], at: Tick) {
        if *self.block != *block {
            if self.block.len() == block.len() {
                self.block.copy_from_slice(block);
            } else {
                self.block = block.into();
            }
            self.block_changed = at;
            self.newest = at;
        }
    }

    /// Raw values, in the order of the schema.
    #[must_use]
    pub fn values(&self) -> &[u32] {
        &self.values
    }

    /// The opaque block.
    #[must_use]
    pub fn block(&self) -> &[u8] {
        &self.block
    }

    /// The tick that first carries the present value of a field.
    #[must_use]
    pub fn changed(&self, field: usize) -> Tick {
        self.changed[field]
    }

    /// The tick that first carries the present block.
    #[must_use]
    pub fn block_changed(&self) -> Tick {
        self.block_changed
    }

    /// The newest of all these ticks.
    #[must_use]
    pub fn newest(&self) -> Tick {
        self.newest
    }
}
