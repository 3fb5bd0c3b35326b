//! Areas of interest that this session wants, numbered, and sent again after every reconnect.

use crate::error::RequestError;
use crate::session::own::{OwnKey, Owned};
use starling_protocol::limits::INTERESTS_MAX;
use starling_protocol::message::control::ControlUp;
use starling_protocol::message::interest::{Interest, Shape};

#[derive(Clone, Debug, Default)]
struct Wanted {
    interest: Option<Interest>,
    /// The entity of mine that it is centred on, whose handle may change with a new session.
    around: Option<OwnKey>,
    told: bool,
    ever: bool,
}

/// The areas of interest of one session.
#[derive(Debug, Default)]
pub(crate) struct Interests {
    wanted: [Wanted; INTERESTS_MAX],
}

impl Interests {
    pub(crate) fn set(
        &mut self,
        id: u8,
        interest: Option<Interest>,
        around: Option<OwnKey>,
    ) -> Result<(), RequestError> {
        let place = self.wanted.get_mut(usize::from(id)).ok_or(RequestError::Limit)?;
        *place = Wanted { interest, around, told: false, ever: true };
        Ok(())
    }

    pub(crate) fn get(&self, id: u8) -> Option<&Interest> {
        self.wanted.get(usize::from(id))?.interest.as_ref()
    }

    /// Nothing is known to have arrived: all that is wanted is told again.
    pub(crate) fn forget_told(&mut self) {
        for wanted in &mut self.wanted {
            wanted.told = !wanted.ever;
        }
    }

    /// The next message, once the entity that it is about stands.
    pub(crate) fn next(&mut self, owned: &Owned) -> Option<ControlUp> {
        for (id, wanted) in self.wanted.iter_mut().enumerate() {
            if wanted.told || !wanted.ever {
                continue;
            }
            let mut interest = wanted.interest.clone();
            if let Some(key) = wanted.around {
                let Some(handle) = owned.handle(key) else { continue };
                if let Some(Interest { shape: Shape::Around { entity, .. }, .. }) = &mut interest {
                    *entity = Some(handle);
                }
            }
            wanted.told = true;
            return Some(ControlUp::SetInterest { id: id as u8, interest });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pose::Pose;
    use crate::session::own::SpawnSpec;
    use starling_protocol::units::{EntityId, Handle};

    fn around() -> Interest {
        Interest::new(Shape::Around { entity: None, radius_m: 50.0 })
    }

    #[test]
    fn an_interest_round_an_entity_waits_until_it_stands() {
        let (mut interests, mut owned) = (Interests::default(), Owned::default());
        let key = owned.want(SpawnSpec::at(Pose::default())).expect("room");
        interests.set(2, Some(around()), Some(key)).expect("in range");
        assert_eq!(interests.next(&owned), None);
        owned.stands(key, Handle(7), EntityId { index: 1, generation: 0 });
        let Some(ControlUp::SetInterest { id: 2, interest: Some(told) }) = interests.next(&owned)
        else {
            panic!("it is told now")
        };
        assert_eq!(told.shape, Shape::Around { entity: Some(Handle(7)), radius_m: 50.0 });
        assert_eq!(interests.next(&owned), None);
    }

    #[test]
    fn all_that_was_ever_set_or_cleared_is_told_again() {
        let (mut interests, owned) = (Interests::default(), Owned::default());
        interests.set(0, Some(around()), None).expect("in range");
        interests.set(1, None, None).expect("in range");
        assert!(interests.next(&owned).is_some() && interests.next(&owned).is_some());
        interests.forget_told();
        let again = std::iter::from_fn(|| interests.next(&owned)).count();
        assert_eq!(again, 2);
        assert_eq!(interests.set(INTERESTS_MAX as u8, None, None), Err(RequestError::Limit));
    }
}
