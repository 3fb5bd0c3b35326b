//! P8 against a model: sessions come, go, say that they are away, fall silent and return at random,
//! and the server itself stands still now and then; a watcher's list is at every tick what a plain
//! rule says, joins and leaves alternate, and a change is one.

mod session_stage;

use session_stage::dice::Dice;
use session_stage::{Guest, Stage};
use starling_protocol::message::control::ControlUp;
use starling_protocol::message::events::*;
use starling_protocol::units::{ChannelKey, SessionId};
use std::collections::BTreeMap;

const SEEDS: u64 = 20;
const STEPS: usize = 1_500;
const ACTORS: usize = 6;
/// Ticks of presence: short, so that much of it happens.
const PRESENCE: u32 = 10;
/// Three quarters of it, in whole quarters.
const QUIET: u32 = 6;

struct Actor {
    guest: Guest,
    online: bool,
    contact: u32,
    follows: bool,
    said: MemberState,
}

struct Run {
    stage: Stage,
    watcher: Guest,
    actors: Vec<Actor>,
    lists: BTreeMap<ChannelKey, BTreeMap<SessionId, MemberState>>,
    pauses: u32,
    dice: Dice,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut stage = Stage::with(|config| config.presence_ms = PRESENCE * 50);
        let watcher = stage.guest();
        for (key, list) in [(1, "presence/"), (2, "presence/room")] {
            stage.event(
                watcher.conn,
                EventUp::Subscribe {
                    key: ChannelKey(key),
                    channel: list.into(),
                    resume: None,
                    presence: false,
                },
            );
        }
        let actors = (0..ACTORS).map(|_| Actor::new(&mut stage)).collect();
        Self { stage, watcher, actors, lists: BTreeMap::new(), pauses: 0, dice: Dice::new(seed) }
    }

    fn play(&mut self) {
        let who = self.dice.roll(ACTORS as u64) as usize;
        let actor = &mut self.actors[who];
        let now = self.stage.world.now().0;
        match self.dice.roll(22) {
            0 if actor.online => {
                self.stage.send(actor.guest.conn, ControlUp::Goodbye);
                *actor = Actor::new(&mut self.stage);
            }
            1..=2 if actor.online => {
                self.stage.detach(actor.guest.conn);
                actor.online = false;
            }
            3..=5 if !actor.online => {
                actor.guest = self.stage.resume(&actor.guest, &[]);
                (actor.online, actor.contact) = (true, now);
            }
            6..=7 if actor.online => {
                let (key, channel) = (ChannelKey(1), "room".into());
                let ask = match actor.follows {
                    true => EventUp::Unsubscribe { key },
                    false => EventUp::Subscribe { key, channel, resume: None, presence: true },
                };
                self.stage.event(actor.guest.conn, ask);
                (actor.follows, actor.contact) = (!actor.follows, now);
            }
            8..=10 if actor.online => {
                self.stage.breathe(actor.guest.conn);
                actor.contact = now;
            }
            11 if actor.online => {
                let state =
                    if self.dice.roll(2) == 0 { MemberState::Here } else { MemberState::Away };
                self.stage.event(actor.guest.conn, EventUp::Presence { state, data: Vec::new() });
                (actor.said, actor.contact) = (state, now);
            }
            12 if self.dice.roll(5) == 0 => self.pause(),
            _ => {
                self.stage.breathe(self.watcher.conn);
                self.stage.tick();
            }
        }
        self.read();
        self.compare();
    }

    /// The server has no time for a while, in which nobody can be heard.
    fn pause(&mut self) {
        let ticks = 1 + self.dice.roll(30) as u32;
        self.stage.world.skip(ticks);
        self.actors.iter_mut().for_each(|actor| actor.contact += ticks);
        self.pauses += 1;
        self.stage.breathe(self.watcher.conn);
        self.stage.tick();
    }

    fn read(&mut self) {
        for event in self.stage.events(self.watcher.conn) {
            match event {
                EventDown::Members { key, members, .. } => {
                    let members = members.iter().map(|m| (m.session, m.state));
                    self.lists.entry(key).or_default().extend(members);
                }
                EventDown::Deliver(event) => {
                    let list = self.lists.get_mut(&event.key).expect("members came first");
                    let who = event.publisher.expect("a member").session;
                    let alternates = match event.action {
                        Action::Join => list.insert(who, MemberState::Here).is_none(),
                        Action::Leave => list.remove(&who).is_some(),
                        Action::Change(state) => {
                            list.insert(who, state).is_some_and(|before| before != state)
                        }
                        other => panic!("not on a presence list: {other:?}"),
                    };
                    assert!(alternates, "{:?} of {who:?} twice", event.action);
                }
                _ => {}
            }
        }
    }

    fn compare(&self) {
        let now = self.stage.world.now().0;
        let here = |actor: &&Actor| now - actor.contact <= PRESENCE;
        let state = |actor: &Actor| match now - actor.contact > QUIET {
            true => (actor.guest.session(), MemberState::Quiet),
            false => (actor.guest.session(), actor.said),
        };
        let present = self.actors.iter().filter(here);
        let mut world: BTreeMap<_, _> = present.clone().map(state).collect();
        world.insert(self.watcher.session(), MemberState::Here);
        let room: BTreeMap<_, _> = present.filter(|actor| actor.follows).map(state).collect();
        assert_eq!(self.lists[&ChannelKey(1)], world, "the world's list at tick {now}");
        assert_eq!(self.lists[&ChannelKey(2)], room, "the room's list at tick {now}");
    }
}

impl Actor {
    fn new(stage: &mut Stage) -> Self {
        let guest = stage.guest();
        Self {
            guest,
            online: true,
            contact: stage.world.now().0,
            follows: false,
            said: MemberState::Here,
        }
    }
}

#[test]
fn joins_and_leaves_alternate_and_follow_the_last_sign_of_life() {
    for seed in 0..SEEDS {
        let mut run = Run::new(seed);
        run.read();
        (0..STEPS).for_each(|_| run.play());
        let changes = run.stage.world.counters().presence_leaves;
        assert!(changes > 20 && run.pauses > 3, "seed {seed}: too little happened");
        assert!(run.stage.world.counters().presence_changes > 40, "seed {seed}");
    }
}
