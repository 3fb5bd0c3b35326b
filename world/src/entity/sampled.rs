//! The columns that samples change, in pieces that lie side by side: threads share them.

use super::{Accepted, Entities, EntityIdx};
use crate::simd;
use starling_protocol::units::Tick;

/// What samples change of entities that lie side by side from row `first` on.
#[derive(Debug)]
pub(crate) struct SampledRows<'a> {
    first: usize,
    accepted: &'a mut [Accepted],
    labels: &'a mut [Tick],
    sequences: &'a mut [Option<u16>],
    contacts: &'a mut [Tick],
    is_fresh: &'a mut [bool],
}

impl Entities {
    /// Samples of its owner go on after this one.
    pub(crate) fn go_on_from(&mut self, idx: EntityIdx, sequence: Option<u16>) {
        self.sequences[idx.at()] = sequence;
    }

    /// So many ticks were no silence of anyone's.
    pub(crate) fn forgive(&mut self, ticks: u32) {
        self.contacts.iter_mut().for_each(|contact| *contact = *contact + ticks);
    }

    /// All rows in pieces of so many.
    pub(crate) fn sampled(&mut self, size: usize) -> impl Iterator<Item = SampledRows<'_>> {
        let Self { accepted, labels, sequences, contacts, is_fresh, .. } = self;
        let columns = accepted.chunks_mut(size).zip(labels.chunks_mut(size));
        let columns = columns.zip(sequences.chunks_mut(size)).zip(contacts.chunks_mut(size));
        let columns = columns.zip(is_fresh.chunks_mut(size)).enumerate();
        columns.map(move |(piece, ((((accepted, labels), sequences), contacts), is_fresh))| {
            SampledRows { first: piece * size, accepted, labels, sequences, contacts, is_fresh }
        })
    }

    /// Takes over whose position the pieces accepted.
    pub(crate) fn freshen(&mut self, fresh: &[EntityIdx]) {
        self.fresh.extend_from_slice(fresh);
    }
}

impl SampledRows<'_> {
    fn row(&self, entity: EntityIdx) -> usize {
        entity.at() - self.first
    }

    /// Begins to bring what a sample of an entity changes.
    #[inline]
    pub(crate) fn fetch(&self, entity: EntityIdx) {
        let row = &self.accepted[self.row(entity)];
        simd::fetch_row(std::slice::from_ref(row), size_of::<Accepted>());
    }

    /// Its accepted state.
    pub(crate) fn accepted(&self, entity: EntityIdx) -> &Accepted {
        &self.accepted[self.row(entity)]
    }

    /// The owner gave a sign of life with this sequence; `false` when a newer one is known.
    pub(crate) fn hear(&mut self, entity: EntityIdx, sequence: u16, now: Tick) -> bool {
        let row = self.row(entity);
        self.contacts[row] = now;
        let known = &mut self.sequences[row];
        let newer = known.is_none_or(|known| starling_protocol::units::newer16(sequence, known));
        if newer {
            *known = Some(sequence);
        }
        newer
    }

    /// Replaces its accepted state by one that was sampled for the tick `label`; `true` for the
    /// first of this tick.
    pub(crate) fn accept(&mut self, entity: EntityIdx, accepted: Accepted, label: Tick) -> bool {
        let row = self.row(entity);
        self.accepted[row] = accepted;
        self.labels[row] = label;
        !std::mem::replace(&mut self.is_fresh[row], true)
    }
}
