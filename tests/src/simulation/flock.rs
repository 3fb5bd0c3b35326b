//! Clients that move, talk and signal, and tell the witness all they hear.

use super::dice::Dice;
use super::hearing::Hearing;
use super::lobby::Lobby;
use super::orbit::Orbit;
use super::witness::{CueReach, RADIUS_M, Told, Witness};
use starling_client::net::{ClientIndex, Pilot};
use starling_client::{
    ClientEvent, Cue, CueTo, OwnKey, Pose, Publication, Sampling, Session, SessionState, SpawnSpec,
    SubscribeOptions,
};
use starling_protocol::close::CloseCode;
use starling_protocol::message::control::ResumeAnswer;
use starling_protocol::message::events::{Answer, Scope};
use starling_protocol::message::interest::{Interest, Shape};
use starling_protocol::units::{
    ChannelKey, ChannelPosition, EntityId, Epoch, MessageId, Nanos, Offset, SessionId, Slot,
};
use std::collections::{BTreeMap, BTreeSet};

/// The channels that everyone subscribes to.
pub(crate) const CHANNELS: [&str; 3] = ["chat/all", "chat/red", "scores"];
/// Those that outlive the server, where there is a store.
pub(crate) const DURABLE: [&str; 2] = ["chat/red", "scores"];
/// The one that keeps little.
pub(crate) const BRIEF: &str = "chat/all";
/// Of so many actions one takes a client in or out of the lobby, too.
const LOBBY_TURNS: u64 = 8;
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
    pub(crate) lobby: Lobby,
    /// The life of the world that its session is of.
    epoch: Epoch,
    /// It breaks the protocol: what it says it was told is of no account.
    rogue: bool,
    /// It is in, and has been for long enough to hear what is for everyone.
    pub(crate) listens: bool,
    /// The life of the world that it came into last.
    joined: Option<Epoch>,
    /// It has heard something since this was last set to false: its path works.
    pub(crate) hears: bool,
}

impl Bird {
    fn new(orbit: Orbit, dice: Dice, rogue: bool) -> Self {
        Self {
            orbit,
            dice,
            me: None,
            channels: BTreeMap::new(),
            publishes: BTreeMap::new(),
            hearing: Hearing::default(),
            lobby: Lobby::default(),
            epoch: Epoch::default(),
            rogue,
            listens: false,
            joined: None,
            hears: false,
        }
    }
}

/// All clients, and what they heard.
#[derive(Debug)]
pub(crate) struct Flock {
    pub(crate) birds: Vec<Bird>,
    pub(crate) witness: Witness,
    /// Most bytes that an event has beside its number.
    pub(crate) weight: u64,
    /// What clients were told since this was last emptied, as numbers.
    pub(crate) told: Vec<(usize, u64)>,
}

impl Flock {
    /// So many clients, of which the last ones are rogues.
    pub(crate) fn new(clients: usize, rogues: usize, seed: u64) -> Self {
        let mut dice = Dice::lane(seed, 3);
        let birds = (0..clients + rogues).map(|i| {
            let orbit = Orbit::draw(&mut dice.fork(i as u64));
            Bird::new(orbit, dice.fork(1_000 + i as u64), i >= clients)
        });
        let birds = birds.collect();
        Self { birds, witness: Witness::default(), weight: 0, told: Vec::new() }
    }

    /// What a client asks for when it is made.
    pub(crate) fn outfit(&mut self, client: usize, session: &mut Session) {
        let bird = &mut self.birds[client];
        let start = bird.orbit.at(0.0);
        self.witness.sampled(client, start);
        let kind = if bird.rogue { "rogue" } else { "bird" };
        let spec = SpawnSpec::at(Pose::at(start)).named(format!("{kind}/{client}"));
        bird.me = Some(session.spawn(spec).expect("a new session takes a spawn"));
        let shape = Shape::Around { entity: None, radius_m: RADIUS_M as f32 };
        session.set_interest(0, Interest::new(shape)).expect("a sound area of interest");
        for channel in CHANNELS {
            let key = session.subscribe(channel, SubscribeOptions::default());
            bird.channels.insert(key.expect("a sound subscription"), channel.into());
        }
        bird.lobby = Lobby::open(session);
    }

    /// One more client comes, to read durable channels from their first event; `false` where there
    /// is none.
    pub(crate) fn admit_auditor(&mut self, session: &mut Session) -> bool {
        let client = self.birds.len();
        let mut bird = Bird::new(self.birds[0].orbit.clone(), self.birds[0].dice.clone(), false);
        for channel in DURABLE {
            let Some(epoch) = self.witness.durable_life(channel) else { continue };
            let begin = ChannelPosition { epoch, offset: Offset(0) };
            let options = SubscribeOptions { resume: Some(begin), ..SubscribeOptions::default() };
            let key = session.subscribe(channel, options).expect("a sound subscription");
            self.witness.starts(client, key, channel, begin);
            bird.channels.insert(key, channel.into());
        }
        let comes = !bird.channels.is_empty();
        self.birds.push(bird);
        comes
    }

    /// Has it come to the end of all that is kept?
    pub(crate) fn has_read(&self, client: usize) -> bool {
        let mut channels = self.birds[client].channels.iter();
        channels.all(|(key, channel)| self.witness.has_reached(client, *key, channel))
    }

    /// Something random that a client does, a few times a second.
    pub(crate) fn act(&mut self, client: usize, session: &mut Session) {
        let listeners = (0..self.birds.len()).filter(|i| self.birds[*i].listens).collect();
        let bird = &mut self.birds[client];
        // So large that nobody hits upon it who spoils the bytes of another.
        let id = bird.dice.next();
        let payload = id.to_le_bytes();
        let weight = id.checked_rem(self.weight).unwrap_or(0) as usize;
        let heavy = [&payload[..], &vec![0; weight]].concat();
        if id.is_multiple_of(LOBBY_TURNS) {
            bird.lobby.turn(session);
        }
        match bird.dice.below(8) {
            0..=3 => {
                let channel = CHANNELS[bird.dice.below(CHANNELS.len() as u64) as usize];
                // Too many in flight on a bad link is a documented answer, not a loss.
                if let Ok(message) = session.publish(Publication::to_channel(channel, heavy)) {
                    bird.publishes.insert(message, channel.into());
                    if !bird.rogue {
                        self.witness.says(channel, message, payload);
                    }
                }
            }
            4 => drop(session.publish(Publication::near_mine(30.0, heavy))),
            5 => drop(session.publish(Publication::new(Scope::World, heavy))),
            _ => {
                let Some(me) = bird.me else { return };
                let (to, reach) = if bird.dice.chance(0.5) {
                    (CueTo::NearMine(me, RADIUS_M as f32), CueReach::Near)
                } else {
                    (CueTo::World, CueReach::World)
                };
                // A session that is not live says so; then there is no cue.
                let sent = session.send_cue(to, 7, CUE_LIFE, &payload).is_ok();
                if sent && !bird.rogue {
                    self.witness.cue_sent(client, id, reach, listeners);
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

    /// P8, at the end: everyone knows who is in the lobby. `sessions` are those of honest clients.
    pub(crate) fn judge_lobby(&mut self, sessions: &[SessionId]) {
        let all = sessions.iter().zip(&self.birds);
        let all: Vec<_> = all.map(|(id, bird)| (*id, bird.lobby.seat.is_some())).collect();
        for (client, bird) in self.birds[..sessions.len()].iter().enumerate() {
            self.witness.checks.lobbies += 1;
            if let Some(words) = bird.lobby.judge(&all) {
                self.witness.broken.push(format!("{words}, client {client} knows"));
            }
        }
    }

    /// Looks for what was acknowledged, at the end of a run.
    pub(crate) fn end(&mut self) {
        for (client, bird) in self.birds.iter().enumerate().filter(|(_, bird)| !bird.rogue) {
            for (key, channel) in &bird.channels {
                self.witness.reached_top(client, *key, channel);
            }
        }
        self.witness.end();
    }

    fn note(&mut self, client: usize, number: u64) {
        self.told.push((client, number));
    }

    /// What a client was told is judged: it is honest, and of the life of the world that runs.
    fn judges(&self, client: usize) -> bool {
        let Bird { rogue, epoch, .. } = self.birds[client];
        !rogue && epoch == self.witness.epoch()
    }

    /// Which life of the world a client's session is of.
    fn enters(&mut self, client: usize, session: &Session) {
        let epoch = session.welcome().map_or_else(Epoch::default, |welcome| welcome.epoch);
        let bird = &mut self.birds[client];
        if epoch != bird.epoch {
            bird.epoch = epoch;
            bird.hearing = Hearing::default();
            // It is not kept, and begins anew with the server.
            self.witness.forgets_inbox(client);
        }
    }

    /// A client is in, again or for the first time.
    fn joined(&mut self, client: usize, session: &Session, resumed: bool) {
        self.witness.reconnected(client);
        self.enters(client, session);
        // Within a life of the world nothing is lost that a resume would need.
        let Bird { epoch, joined, .. } = &mut self.birds[client];
        if joined.replace(*epoch) == Some(*epoch) && !resumed {
            let words = format!("P11 client {client} has another session in {epoch:?}");
            self.witness.broken.push(words);
        }
        if !resumed {
            self.witness.forgets_inbox(client);
        }
        self.note(client, 7);
    }

    /// I14: why an honest client's connection ended.
    fn ended(&mut self, client: usize, code: CloseCode) {
        let fine = [
            CloseCode::LOST,
            CloseCode::GOING_AWAY,
            CloseCode::SLOW_CONSUMER,
            CloseCode::HELLO_TIMEOUT,
            CloseCode::OVERLOADED,
            CloseCode::GOODBYE,
        ];
        if !self.birds[client].rogue && !fine.contains(&code) {
            self.witness.broken.push(format!("I14 client {client} was closed with {code}"));
        }
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
        let client = client.0;
        self.enters(client, session);
        self.birds[client].hears = true;
        self.note(client, at.0 ^ u64::from(heard.tick.0) << 40);
        if !self.judges(client) {
            return;
        }
        self.birds[client].hearing.hear(heard.tick);
        let Some(table) = session.view().table() else { return };
        let mut view = BTreeSet::<EntityId>::new();
        let mut sum = 0;
        for entity in table.slots().filter_map(|slot| table.entity(slot)) {
            // Of what a narrow link left out nothing was said.
            let said = table.covered(entity.slot).is_some_and(|covered| covered >= heard.tick);
            if said {
                view.insert(entity.entity);
            }
            let Some(copy) = table.position(entity.slot, heard.tick) else { continue };
            let state = entity.state.tick();
            if said {
                self.witness.position(client, entity.entity, heard.tick, state, copy);
            }
            sum ^= copy
                .0
                .iter()
                .fold(0, |sum: u64, c| sum.rotate_left(5) ^ u64::from(c.cast_unsigned()));
        }
        self.note(client, sum);
        self.witness.set(client, heard.tick, &view);
    }

    fn event(&mut self, client: ClientIndex, session: &mut Session, event: ClientEvent) {
        let client = client.0;
        if self.birds[client].rogue {
            return self.note(client, 1);
        }
        let bird = &mut self.birds[client];
        if let Some(wrong) = bird.lobby.hear(session, &event) {
            let told = wrong.into_iter().map(|words| format!("{words}, client {client} was told"));
            self.witness.broken.extend(told);
            return self.note(client, 4);
        }
        match event {
            ClientEvent::Subscribed { key, answer: Answer::Reset(position) } => {
                // What a server said last may be heard when the next one runs.
                let late = bird.epoch != self.witness.epoch();
                let channel = bird.channels.get(&key).map_or("", String::as_str);
                if late {
                    self.witness.starts_late(client, key, position);
                } else {
                    self.witness.starts(client, key, channel, position);
                }
            }
            ClientEvent::Delivered(event) => {
                let inbox = format!("inbox of {client} in life {}", bird.epoch.0);
                let channel = bird.channels.get(&event.key).unwrap_or(&inbox).clone();
                self.witness.delivered(client, &channel, &event);
                self.note(client, event.offset.0 << 8 | 2);
            }
            ClientEvent::Gap { key, from, to } => {
                let channel = bird.channels.get(&key).map_or("", String::as_str);
                self.witness.gap(client, key, channel, from, to);
            }
            ClientEvent::Published { message, receipt } => {
                if let Some(channel) = bird.publishes.remove(&message) {
                    self.witness.published(&channel, message, receipt);
                }
            }
            ClientEvent::Connected { .. } => self.joined(client, session, false),
            ClientEvent::Reconnected { answer, .. } => {
                self.joined(client, session, answer == ResumeAnswer::Resumed);
            }
            ClientEvent::Reconnecting { code, .. } => self.ended(client, code),
            ClientEvent::Closed { error } => {
                self.witness.broken.push(format!("client {client} ended: {error}"));
            }
            _ => self.note(client, 3),
        }
    }

    fn cue(&mut self, client: ClientIndex, _: &mut Session, cue: Cue) {
        let client = client.0;
        let id = cue.payload().try_into().map_or(0, u64::from_le_bytes);
        self.note(client, id);
        let of_rogue = !self.witness.knows_cue(id) && self.birds.iter().any(|bird| bird.rogue);
        if !self.judges(client) || of_rogue {
            return;
        }
        let newest = self.birds[client].hearing.on_arrival();
        let told = Told { tick: cue.tick, place: cue.position.unwrap_or_default() };
        self.witness.cue(client, id, &told, newest, u32::from(CUE_LIFE));
    }
}

/// One seat of the flock: a client that has its transport to itself is the first on it.
pub(crate) struct Seated<'a> {
    pub(crate) flock: &'a mut Flock,
    pub(crate) client: ClientIndex,
}

impl Pilot for Seated<'_> {
    fn sample(&mut self, _: ClientIndex, session: &mut Session, sampling: Sampling) {
        self.flock.sample(self.client, session, sampling);
    }

    fn heard(&mut self, _: ClientIndex, session: &mut Session, at: Nanos) {
        self.flock.heard(self.client, session, at);
    }

    fn event(&mut self, _: ClientIndex, session: &mut Session, event: ClientEvent) {
        self.flock.event(self.client, session, event);
    }

    fn cue(&mut self, _: ClientIndex, session: &mut Session, cue: Cue) {
        self.flock.cue(self.client, session, cue);
    }
}
