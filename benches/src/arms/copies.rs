//! What one client of an arm holds, told to the swarm tick by tick.

use starling_client_sim::space::Position;
use starling_client_sim::target::{
    Accepted, ClientNo, ClientPlan, EntityNo, Frame, Held, Known, Received,
};

/// Frames that are made up for ticks of which nothing came, at most.
const MISSED_MAX: u32 = 32;

/// The copies of one client.
#[derive(Debug)]
pub(super) struct Copies {
    pub(super) client: ClientNo,
    /// The one entity that it owns.
    pub(super) own: EntityNo,
    judged: bool,
    held: Vec<Held>,
    /// By entity: the tick in which it was told last, and where it was then.
    last: Vec<(u32, Position)>,
    frame_tick: Option<u32>,
    known: Option<u32>,
    taken: u32,
}

impl Copies {
    /// Of a client that owns one entity and looks round it.
    pub(super) fn of(plan: &ClientPlan) -> Option<Self> {
        let own = plan.entities.first()?.entity;
        Some(Self {
            client: plan.client,
            own,
            judged: plan.judged,
            held: Vec::new(),
            last: Vec::new(),
            frame_tick: None,
            known: None,
            taken: 0,
        })
    }

    /// The newest tick that was decoded.
    pub(super) const fn tick(&self) -> Option<u32> {
        self.frame_tick
    }

    /// What `tick` brought: everything in sight, the server's word of this tick.
    pub(super) fn see(
        &mut self,
        tick: u32,
        at_ns: u64,
        seen: impl Iterator<Item = (EntityNo, Position)>,
        into: &mut Received,
    ) {
        let first = self.frame_tick.map_or(tick, |last| last + 1).max(tick - MISSED_MAX.min(tick));
        for missed in first..tick {
            self.frame(missed, at_ns, false, into);
        }
        let before = self.frame_tick;
        self.held.clear();
        for (entity, position) in seen {
            let index = entity.0 as usize;
            if self.last.len() <= index {
                self.last.resize(index + 1, (0, [f64::NAN; 3]));
            }
            let last = &mut self.last[index];
            let changed = before != Some(last.0) || last.1 != position;
            *last = (tick, position);
            self.held.push(Held { entity, position, state_tick: tick, changed, told: true });
        }
        self.frame(tick, at_ns, true, into);
        self.frame_tick = Some(tick);
    }

    fn frame(&self, tick: u32, at_ns: u64, decoded: bool, into: &mut Received) {
        let first = into.copies.len();
        if self.judged && decoded {
            into.copies.extend_from_slice(&self.held);
        } else if self.judged {
            let guessed = |held: &Held| Held { changed: false, told: false, ..*held };
            into.copies.extend(self.held.iter().map(guessed));
        }
        let (visible, len) = (self.held.len() as u32, into.copies.len() - first);
        let client = self.client;
        into.frames.push(Frame { client, tick, at_ns, decoded, visible, first, len });
    }

    /// The server says that at `tick` the newest sample that it has taken is this one.
    pub(super) fn took(&mut self, tick: u32, number: u32, into: &mut Received) {
        let exact = self.known.is_none_or(|known| known + 1 == tick);
        if number > self.taken {
            self.taken = number;
            into.accepted.push(Accepted { entity: self.own, tick, exact, number });
        }
        into.known.push(Known { client: self.client, from: tick, to: tick });
        self.known = Some(tick);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use starling_client_sim::target::EntityPlan;

    fn copies() -> Copies {
        let entities = vec![EntityPlan { entity: EntityNo(3), name: "me".into() }];
        let plan = ClientPlan {
            client: ClientNo(3),
            entities,
            areas: Vec::new(),
            channels: Vec::new(),
            judged: true,
        };
        Copies::of(&plan).expect("it owns an entity")
    }

    #[test]
    fn a_tick_that_was_missed_repeats_what_was_held_and_is_not_decoded() {
        let (mut copies, mut into) = (copies(), Received::default());
        copies.see(10, 1, [(EntityNo(1), [0.0; 3])].into_iter(), &mut into);
        copies.see(12, 2, [(EntityNo(1), [0.0; 3])].into_iter(), &mut into);
        let ticks: Vec<_> = into.frames.iter().map(|f| (f.tick, f.decoded)).collect();
        assert_eq!(ticks, [(10, true), (11, false), (12, true)]);
        let told: Vec<_> = into.copies.iter().map(|c| (c.told, c.changed)).collect();
        assert_eq!(told, [(true, true), (false, false), (true, false)]);
    }

    #[test]
    fn a_sample_is_taken_once_and_not_exactly_after_a_gap() {
        let (mut copies, mut into) = (copies(), Received::default());
        for (tick, number) in [(5, 1), (6, 1), (8, 3)] {
            copies.took(tick, number, &mut into);
        }
        let taken: Vec<_> = into.accepted.iter().map(|a| (a.tick, a.number, a.exact)).collect();
        assert_eq!(taken, [(5, 1, true), (8, 3, false)]);
        assert_eq!(into.known.len(), 3);
    }
}
