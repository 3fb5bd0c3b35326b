//! Questions about a world, put from outside and answered by its room after the next tick.

use starling_protocol::message::interest::Target;
use starling_protocol::units::SessionId;
use starling_world::World;
use starling_world::why::{Why, WhyError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot::{self, Receiver, Sender};

/// Questions that may wait at once.
const WAITING_MAX: usize = 16;

/// What a room is asked.
#[derive(Debug, Default)]
pub struct Questions {
    waiting: Mutex<Vec<Question>>,
}

/// Why a session is told of an entity, or not.
#[derive(Debug)]
struct Question {
    session: SessionId,
    entity: Target,
    answer: Sender<Result<Why, WhyError>>,
}

impl Questions {
    /// Asks why a session is told of an entity; `None` when too many questions wait. The answer
    /// never comes when the room ends before.
    pub fn why(
        &self,
        session: SessionId,
        entity: Target,
    ) -> Option<Receiver<Result<Why, WhyError>>> {
        let mut waiting = self.lock();
        waiting.retain(|question| !question.answer.is_closed());
        if waiting.len() >= WAITING_MAX {
            return None;
        }
        let (answer, receiver) = oneshot::channel();
        waiting.push(Question { session, entity, answer });
        Some(receiver)
    }

    /// Answers what was asked.
    pub(super) fn answer(&self, world: &mut World) {
        for question in self.lock().drain(..) {
            let why = world.why(question.session, &question.entity);
            // Who does not wait any more need not hear.
            let _ = question.answer.send(why);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Question>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use starling_protocol::space::Space;
    use starling_world::config::{Profile, WorldConfig};

    #[test]
    fn so_many_wait_at_most_and_who_left_does_not_count() {
        let questions = Questions::default();
        let ask = || questions.why(SessionId(1), Target::Name("a".into()));
        let mut waiting: Vec<_> = (0..WAITING_MAX).map(|_| ask().expect("room")).collect();
        assert!(ask().is_none());
        waiting.pop();
        waiting.push(ask().expect("one left"));
        let mut world = World::new(WorldConfig::new("a", Space::Metric, Profile::Game));
        questions.answer(&mut world);
        for answer in &mut waiting {
            assert_eq!(answer.try_recv(), Ok(Err(WhyError::UnknownSession)));
        }
    }
}
