//! Ten clients that move, talk and signal, and tell the witness all they hear.

use crate::dice::Dice;
use crate::hearing::Hearing;
use crate::orbit::Orbit;
use crate::witness::{CueReach, RADIUS_M, Told, Witness};
use starling_client::net::{ClientIndex, Pilot};
use starling_client::{
    ClientEvent, Cue, CueTo, OwnKey, Pose, Publication, Sampling, Session, SessionState, SpawnSpec,
    SubscribeOptions,
};
use starling_protocol::message::events::{Answer, Scope};
use starling_protocol::message::interest::{Interest, Shape};
use starling_protocol::units::{ChannelKey, EntityId, MessageId, Nanos, Slot};
use std::collections::{BTreeMap, BTreeSet};

/// The channels that everyone subscribes to.
pub(crate) const CHANNELS: [&str; 3] = ["chat/all", "chat/red", "scores"];
/// Ticks for which a cue of the simulation lives.
const CUE_LIFE: u8 = 4;

/// One client as the simulation knows it.
#[derive(Debug)]
pub(crate) struct Bird {
    orbit: Orbit,
    dice: Dice,
    pub(crate) me: Option<OwnKey>,
    channels: BTreeMap<ChannelKey, String>,
    publishes: BTreeMap<MessageId, String>,
    hearing: Hearing,
    /// Its session was lost for good at some time, so that it may have missed events.
    pub(crate) was_reset: bool,
}

/// All clients, and what they heard.
#[derive(Debug)]
pub(crate) struct Flock {
    pub(crate) birds: Vec<Bird>,
    pub(crate) witness: Witness,
    next_id: u64,
    /// Rolling hash of all that was heard, in order.
    pub(crate) trace: u64,
}

impl Flock {
    pub(crate) fn new(clients: usize, dice: &mut Dice) -> Self {
        let bird = |i: usize, dice: &mut Dice| Bird {
            orbit: Orbit::draw(&mut dice.fork(i as u64)),
            dice: dice.fork(1_000 + i as u64),
            me: None,
            channels: BTreeMap::new(),
            publishes: BTreeMap::new(),
            hearing: Hearing::default(),
            was_reset: false,
        };
        Self {
            birds: (0..clients).map(|i| bird(i, dice)).collect(),
            witness: Witness::default(),
            next_id: 1,
            trace: 0xcbf2_9ce4_8422_2325,
        }
    }

    /// What a client asks for when it is made.
    pub(crate) fn outfit(&mut self, client: usize, session: &mut Session) {
        let bird = &mut self.birds[client];
        let start = bird.orbit.at(0.0);
        self.witness.sampled(client, start);
        let spec = SpawnSpec::at(Pose::at(start)).named(format!("bird/{client}"));
        bird.me = Some(session.spawn(spec).expect("a new session takes a spawn"));
        let shape = Shape::Around { entity: None, radius_m: RADIUS_M as f32 };
        session.set_interest(0, Interest::new(shape)).expect("a sound area of interest");
        for channel in CHANNELS {
            let key = session.subscribe(channel, SubscribeOptions::default());
            bird.channels.insert(key.expect("a sound subscription"), channel.into());
        }
    }

    /// Something random that a client does, a few times a second.
    pub(crate) fn act(&mut self, client: usize, session: &mut Session) {
        let id = self.next_id;
        self.next_id += 1;
        let bird = &mut self.birds[client];
        let payload = id.to_le_bytes();
        match bird.dice.below(8) {
            0..=3 => {
                let channel = CHANNELS[bird.dice.below(CHANNELS.len() as u64) as usize];
                // Too many in flight on a bad link is a documented answer, not a loss.
                if let Ok(message) = session.publish(Publication::to_channel(channel, payload)) {
                    bird.publishes.insert(message, channel.into());
                }
            }
            4 => drop(session.publish(Publication::near_mine(30.0, payload))),
            5 => drop(session.publish(Publication::new(Scope::World, payload))),
            _ => {
                let Some(me) = bird.me else { return };
                let (to, reach) = if bird.dice.chance(0.5) {
                    (CueTo::NearMine(me, RADIUS_M as f32), CueReach::Near)
                } else {
                    (CueTo::World, CueReach::World)
                };
                // A session that is not live says so; then there is no cue.
                if session.send_cue(to, 7, CUE_LIFE, &payload).is_ok() {
                    self.witness.cue_sent(client, id, reach);
                }
            }
        }
    }

    /// A step of all clients begins.
    pub(crate) fn begin_step(&mut self) {
        self.birds.iter_mut().for_each(|bird| bird.hearing.begin_step());
    }

    /// Judges the view of a client while there are no faults.
    pub(crate) fn judge(&mut self, client: usize, session: &Session, arrived: bool) {
        let state = session.state();
        let live = state == SessionState::Live;
        let Some(table) = session.view().table().filter(|_| live) else {
            return self.witness.broken.push(format!("P3 client {client} is {state:?}"));
        };
        let entities = table.slots().filter_map(|slot| Some((table.entity(slot)?.entity, slot)));
        let slots: BTreeMap<EntityId, Slot> = entities.collect();
        let view = slots.keys().copied().collect();
        self.witness.view(client, arrived, &view, |entity, tick| {
            table.position(*slots.get(&entity)?, tick)
        });
    }

    /// Looks for what was acknowledged, at the end of a run. Who was reset may have missed some.
    pub(crate) fn end(&mut self) {
        for (client, bird) in self.birds.iter().enumerate().filter(|(_, bird)| !bird.was_reset) {
            for (key, channel) in &bird.channels {
                self.witness.reached_top(client, *key, channel);
            }
        }
        if self.birds.iter().all(|bird| !bird.was_reset) {
            self.witness.end();
        }
    }

    fn note(&mut self, number: u64) {
        self.trace = (self.trace ^ number).wrapping_mul(0x0100_0000_01b3).rotate_left(17);
    }
}

impl Pilot for Flock {
    fn sample(&mut self, client: ClientIndex, session: &mut Session, sampling: Sampling) {
        let bird = &self.birds[client.0];
        let Some(me) = bird.me else { return };
        let (at, soon) = (sampling.at.as_secs_f64(), 0.001);
        let (here, next) = (bird.orbit.at(at), bird.orbit.at(at + soon));
        let velocity = std::array::from_fn(|axis| (next[axis] - here[axis]) / soon);
        self.witness.sampled(client.0, here);
        // Before the entity stands there is nothing to move.
        let _ = session.set_pose(me, Pose::at(here).moving(velocity));
    }

    fn heard(&mut self, client: ClientIndex, session: &mut Session, at: Nanos) {
        let heard = session.view().heard().clone();
        self.birds[client.0].hearing.hear(heard.tick);
        self.note(at.0 ^ u64::from(heard.tick.0) << 40);
        let Some(table) = session.view().table() else { return };
        let mut view = BTreeSet::<EntityId>::new();
        for entity in table.slots().filter_map(|slot| table.entity(slot)) {
            view.insert(entity.entity);
            let Some(copy) = table.position(entity.slot, heard.tick) else { continue };
            let state = entity.state.tick();
            self.witness.position(client.0, entity.entity, heard.tick, state, copy);
            self.trace ^= copy.0.iter().fold(0, |sum, c| sum * 31 + *c as u64);
        }
        self.witness.set(client.0, heard.tick, &view);
    }

    fn event(&mut self, client: ClientIndex, _: &mut Session, event: ClientEvent) {
        let bird = &mut self.birds[client.0];
        match event {
            ClientEvent::Subscribed { key, answer: Answer::Reset(position) } => {
                self.witness.starts(client.0, key, position.offset);
            }
            ClientEvent::Delivered(event) => {
                let inbox = format!("inbox of {}", client.0);
                let channel = bird.channels.get(&event.key).unwrap_or(&inbox).clone();
                self.witness.delivered(client.0, &channel, &event);
                self.note(event.offset.0 << 8 | client.0 as u64);
            }
            ClientEvent::Gap { key, from, to } => self.witness.gap(client.0, key, from, to),
            ClientEvent::Published { message, receipt } => {
                if let Some(channel) = bird.publishes.remove(&message) {
                    self.witness.published(&channel, message, receipt);
                }
            }
            ClientEvent::Reconnected { answer, .. } => {
                use starling_protocol::message::control::ResumeAnswer;
                bird.was_reset |= answer != ResumeAnswer::Resumed;
                self.witness.reconnected(client.0);
                self.note(7);
            }
            ClientEvent::Closed { error } => {
                self.witness.broken.push(format!("client {} ended: {error}", client.0));
            }
            _ => self.note(3),
        }
    }

    fn cue(&mut self, client: ClientIndex, _: &mut Session, cue: Cue) {
        let id = cue.payload().try_into().map_or(0, u64::from_le_bytes);
        let newest = self.birds[client.0].hearing.on_arrival();
        let told = Told { tick: cue.tick, place: cue.position.unwrap_or_default() };
        self.witness.cue(client.0, id, &told, newest, u32::from(CUE_LIFE));
        self.note(id);
    }
}
