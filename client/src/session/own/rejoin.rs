//! What becomes of entities of mine when a session is taken up again.

use super::{OwnKey, OwnState, Owned};
use starling_protocol::message::control::OwnEntity;
use starling_protocol::planted::{self, Bug};
use starling_protocol::units::{Handle, newer16};
use std::collections::BTreeMap;

/// The entities that the server still has, by what they are known by here.
struct Standing<'a> {
    by_entity: BTreeMap<(u32, u32), usize>,
    by_name: BTreeMap<&'a str, usize>,
    /// Where the server was restarted, ids are new, and handles are as they were.
    by_handle: Option<BTreeMap<Handle, usize>>,
}

impl<'a> Standing<'a> {
    fn new(standing: &'a [OwnEntity], same_life: bool) -> Self {
        let id = |own: &OwnEntity| (own.entity.index, own.entity.generation);
        let by_entity = standing.iter().enumerate().map(|(place, own)| (id(own), place));
        let by_name = standing.iter().enumerate().map(|(place, own)| (own.name.as_str(), place));
        let by_handle = || standing.iter().enumerate().map(|(place, own)| (own.handle, place));
        Self {
            by_entity: by_entity.collect(),
            by_name: by_name.collect(),
            by_handle: (!same_life).then(|| by_handle().collect()),
        }
    }
}

impl Owned {
    /// After a Welcome: those that the server still has stand, the others are asked for again.
    /// Returns the handles that nobody here knows. Where this is another life of the world, entities
    /// are known by the handles that they had.
    pub(crate) fn rejoin(&mut self, entities: &[OwnEntity], same_life: bool) -> Vec<Handle> {
        let keys: Vec<OwnKey> = self.keys().collect();
        let standing = Standing::new(entities, same_life);
        let mut known = vec![false; entities.len()];
        for key in keys {
            let found = self.find(key, &standing).filter(|place| !known[*place]);
            if self.get(key).is_some_and(|own| own.doomed) {
                self.remove(key);
                continue;
            }
            match found {
                Some(place) => {
                    known[place] = true;
                    let OwnEntity { handle, entity, sequence, .. } = entities[place];
                    self.set_state(key, OwnState::Stands { handle, entity });
                    self.continue_from(key, sequence);
                }
                None => self.set_state(key, OwnState::Wanted),
            }
        }
        let unknown = entities.iter().zip(known).filter(|(_, known)| !known);
        unknown.map(|(own, _)| own.handle).collect()
    }

    fn find(&self, key: OwnKey, standing: &Standing<'_>) -> Option<usize> {
        let own = self.get(key).filter(|_| !planted::is(Bug::SpawnTwice))?;
        match own.state {
            OwnState::Stands { handle, entity } => match &standing.by_handle {
                Some(by_handle) => by_handle.get(&handle).copied(),
                None => standing.by_entity.get(&(entity.index, entity.generation)).copied(),
            },
            OwnState::Asked => standing.by_name.get(own.spec.name.as_deref()?).copied(),
            OwnState::Wanted => None,
        }
    }

    /// Sequences go on after both the newest that the server folded and the newest given here.
    fn continue_from(&mut self, key: OwnKey, sequence: u16) {
        let Some(own) = self.get_mut(key) else { return };
        if newer16(sequence, own.sequence) {
            own.sequence = sequence;
        }
        own.fresh = own.sample.is_some();
        own.sequence = own.sequence.wrapping_add(u16::from(own.fresh));
        own.sent = None;
        own.untold = [!own.spec.fields.is_empty(), !own.spec.block.is_empty()];
        self.untold |= own.untold != [false; 2];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pose::Pose;
    use crate::session::own::SpawnSpec;
    use starling_protocol::units::EntityId;

    fn own(handle: u16, index: u32, name: &str) -> OwnEntity {
        let entity = EntityId { index, generation: 0 };
        OwnEntity { handle: Handle(handle), entity, name: name.into(), sequence: 40 }
    }

    fn named(owned: &mut Owned, name: &str) -> OwnKey {
        owned.want(SpawnSpec::at(Pose::default()).named(name)).expect("room")
    }

    #[test]
    fn what_stands_is_known_by_its_id_and_what_was_asked_for_by_its_name() {
        let mut owned = Owned::default();
        let (a, b, c) = (named(&mut owned, "a"), named(&mut owned, "b"), named(&mut owned, "c"));
        owned.stands(a, Handle(0), EntityId { index: 5, generation: 0 });
        owned.set_state(b, OwnState::Asked);
        owned.set_state(c, OwnState::Asked);
        let unknown = owned.rejoin(&[own(7, 5, "renamed"), own(8, 6, "b"), own(9, 9, "x")], true);
        assert_eq!(unknown, [Handle(9)]);
        assert_eq!((owned.handle(a), owned.handle(b)), (Some(Handle(7)), Some(Handle(8))));
        assert_eq!(owned.state(c), Some(OwnState::Wanted));
        assert_eq!(owned.sequence(a), Some(40), "after the newest that was folded");
        assert_eq!(owned.by_handle(Handle(0)), None);
    }

    #[test]
    fn after_a_restart_what_stands_is_known_by_its_handle() {
        let mut owned = Owned::default();
        let (a, b) = (named(&mut owned, "a"), named(&mut owned, "b"));
        owned.stands(a, Handle(3), EntityId { index: 5, generation: 0 });
        owned.stands(b, Handle(4), EntityId { index: 6, generation: 0 });
        let unknown = owned.rejoin(&[own(4, 5, "b"), own(9, 6, "x")], false);
        assert_eq!(unknown, [Handle(9)]);
        assert_eq!((owned.handle(b), owned.state(a)), (Some(Handle(4)), Some(OwnState::Wanted)));
    }

    #[test]
    fn what_was_given_up_before_its_answer_does_not_come_back() {
        let mut owned = Owned::default();
        let key = named(&mut owned, "a");
        owned.set_state(key, OwnState::Asked);
        assert_eq!(owned.give_up(key), Ok(None));
        assert_eq!(owned.rejoin(&[own(3, 5, "a")], true), [Handle(3)]);
        assert_eq!(owned.state(key), None);
        assert_eq!(owned.len(), 0);
    }
}
