//! What stays in the store of worlds that a Hello made and that stand no more.

use crate::store::{Books, StoreError};
use crate::tenant::WorldKey;
use starling_protocol::units::Nanos;
use std::collections::{BTreeMap, BTreeSet};

/// How long sessions can come back to such a world, in another life of it: as long as they stay parked
/// unless a world says otherwise.
pub const LEFT_NS: u64 = 600 * Nanos::SECOND;

/// Such worlds by what they are kept as, and when nobody can come back to one any more: from then on
/// nothing of it is kept unless it has durable channels.
#[derive(Debug, Default)]
pub(super) struct Left {
    due: BTreeMap<String, Nanos>,
}

impl Left {
    /// Worlds of an earlier life of the server count as left now.
    pub(super) fn take_over<'a>(
        &mut self,
        books: &Books,
        listed: impl Iterator<Item = &'a WorldKey>,
        now: Nanos,
    ) -> Result<(), StoreError> {
        let listed: BTreeSet<_> = listed.map(WorldKey::kept_as).collect();
        let left = books.worlds()?.into_iter().filter(|name| !listed.contains(name));
        self.due.extend(left.map(|name| (name, now + LEFT_NS)));
        Ok(())
    }

    /// A world stands no more.
    pub(super) fn insert(&mut self, key: &WorldKey, now: Nanos) {
        self.due.insert(key.kept_as(), now + LEFT_NS);
    }

    /// It stands again.
    pub(super) fn remove(&mut self, key: &WorldKey) {
        self.due.remove(&key.kept_as());
    }

    /// One that was left long ago.
    pub(super) fn pop_due(&mut self, now: Nanos) -> Option<String> {
        let name = self.due.iter().find(|(_, due)| **due <= now).map(|(name, _)| name.clone())?;
        self.due.remove(&name);
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Verified;
    use crate::config::Templates;
    use crate::room::directory::{Counting, Directory, EMPTY_NS, Lives};
    use crate::stepped::Rooms;
    use crate::store::memory::Memory;
    use crate::store::{Group, Grouping, Keeper, Store};
    use starling_protocol::space::Space;
    use starling_protocol::units::Epoch;
    use starling_world::journal::{Change, Table};
    use std::sync::Arc;

    const START: Nanos = Nanos(5 * Nanos::SECOND);

    /// A server on this store, in which one world is listed.
    fn server(memory: &Memory) -> (Directory, Rooms, Keeper) {
        let keeper = Keeper::new(Arc::new(memory.clone()), Grouping::default());
        let lives = Lives { epochs: Box::new(Counting(Epoch(7))), seed: 1 };
        let directory = Directory::new(true, Templates::default(), lives, None);
        let mut directory = directory.keeping(Some(Books::of(&keeper)));
        let mut rooms = Rooms::default();
        let listed = Templates::default().created("listed", Space::Metric);
        directory.list(listed, None, START, &mut rooms);
        directory.take_over(START).expect("it can be read");
        (directory, rooms, keeper)
    }

    fn row(memory: &Memory, world: &WorldKey, table: Table) {
        let change = Change::Put { table, key: b"k".to_vec(), value: b"v".to_vec() };
        let group = Group { world: world.kept_as().into(), changes: vec![change] };
        memory.commit(&[group]).expect("it is well");
    }

    /// Whether anything is kept of it once the keeper has written what waits.
    fn is_kept(memory: &Memory, keeper: &mut Keeper, world: &WorldKey) -> bool {
        for ms in 0..10 {
            let now = Nanos(10_000 * Nanos::SECOND + ms * Nanos::MILLISECOND);
            keeper.poll(now, &|| now);
        }
        Books::of(keeper).worlds().expect("it can be read").contains(&world.kept_as())
            && memory.commits() > 0
    }

    #[test]
    fn what_a_hello_made_is_kept_while_somebody_can_come_back_and_then_only_what_is_durable() {
        for (durable, kept) in [(false, false), (true, true)] {
            let memory = Memory::new();
            let (mut directory, mut rooms, mut keeper) = server(&memory);
            let name = Verified::default().scope("made");
            let made = directory.enter(&name, Some(Space::Metric), START, &mut rooms);
            let made = made.expect("a new world");
            row(&memory, &made.key, Table::Session);
            if durable {
                row(&memory, &made.key, Table::Channel);
            }
            directory.leave(&made.key, made.id, START);
            directory.sweep(START + EMPTY_NS, &mut rooms);
            directory.sweep(START + (EMPTY_NS + LEFT_NS - 1), &mut rooms);
            assert!(is_kept(&memory, &mut keeper, &made.key), "somebody may come back");
            directory.sweep(START + (EMPTY_NS + LEFT_NS), &mut rooms);
            assert_eq!(is_kept(&memory, &mut keeper, &made.key), kept);
        }
    }

    #[test]
    fn what_earlier_lives_of_the_server_left_goes_too_and_listed_worlds_stay() {
        let memory = Memory::new();
        let [gone, back, listed] = ["gone", "back", "listed"]
            .map(|name| WorldKey::meant(&Verified::default().scope(name))[0].clone());
        for world in [&gone, &back, &listed] {
            row(&memory, world, Table::Session);
        }
        let (mut directory, mut rooms, mut keeper) = server(&memory);
        let name = Verified::default().scope("back");
        directory.enter(&name, Some(Space::Metric), START, &mut rooms).expect("it is made again");
        for round in 0..3 {
            directory.sweep(START + (LEFT_NS + round), &mut rooms);
        }
        assert!(!is_kept(&memory, &mut keeper, &gone));
        assert!(is_kept(&memory, &mut keeper, &back) && is_kept(&memory, &mut keeper, &listed));
    }
}
