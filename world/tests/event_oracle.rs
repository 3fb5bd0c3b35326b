//! P4, P6 and P7 against a sequential model: random publishers and subscribers that lose their
//! connection, and with it a random part of what was under way, and take their session up again.

mod session_stage;

use session_stage::dice::Dice;
use session_stage::line::Line;
use session_stage::{Guest, Stage, message, scoped};
use starling_protocol::message::control::{INBOX, ResumeAnswer};
use starling_protocol::message::events::*;
use starling_protocol::units::{ChannelKey, ChannelPosition, Epoch, MessageId, Offset, SessionId};
use std::collections::BTreeMap;

const SEEDS: u64 = 60;
const CLIENTS: usize = 5;
const CHANNELS: [&str; 3] = ["small", "other", "large"];
const STEPS: usize = 700;

/// Which message stands at which place: learned from every receipt and delivery, and never changed.
#[derive(Default)]
struct Model {
    places: BTreeMap<(String, Epoch, u64), (SessionId, MessageId)>,
    messages: BTreeMap<(SessionId, MessageId), (String, Epoch, u64)>,
    tops: BTreeMap<String, u64>,
}

impl Model {
    fn learn(&mut self, channel: &str, at: ChannelPosition, who: SessionId, id: MessageId) {
        let place = (channel.to_string(), at.epoch, at.offset.0);
        let known = *self.places.entry(place.clone()).or_insert((who, id));
        assert_eq!(known, (who, id), "two messages at {place:?}");
        let stands = self.messages.entry((who, id)).or_insert_with(|| place.clone());
        assert_eq!(*stands, place, "one message at two places");
        let top = self.tops.entry(channel.into()).or_default();
        *top = (*top).max(at.offset.0);
    }
}

struct Client {
    line: Line,
    /// What it knows of each channel that it follows.
    places: BTreeMap<ChannelKey, ChannelPosition>,
    wanted: BTreeMap<ChannelKey, usize>,
    unacknowledged: BTreeMap<MessageId, Publish>,
    next_id: u64,
    gaps: u64,
}

struct Run {
    stage: Stage,
    clients: Vec<Client>,
    model: Model,
    dice: Dice,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut stage = Stage::new();
        let clients = (0..CLIENTS).map(|_| Client::new(stage.guest())).collect();
        Self { stage, clients, model: Model::default(), dice: Dice::new(seed) }
    }

    fn play(&mut self) {
        let who = self.dice.roll(CLIENTS as u64) as usize;
        match self.dice.roll(100) {
            0..45 => self.publish(who),
            45..55 => self.follow(who),
            55..60 => self.lose(who),
            60..70 => self.resume(who),
            70..80 => self.narrow(who),
            _ => self.stage.tick(),
        }
        self.listen();
        let words = self.dice.roll(30);
        self.read(who, words);
    }

    fn publish(&mut self, who: usize) {
        let session = self.clients[self.dice.roll(CLIENTS as u64) as usize].line.guest.session();
        let (channel, large) = match self.dice.roll(6) {
            0 => (None, 0),
            c @ 1..=2 => (Some(CHANNELS[c as usize - 1]), 0),
            _ => (Some(CHANNELS[2]), 15_000),
        };
        let client = &mut self.clients[who];
        let id = client.next_id;
        client.next_id += 1;
        let mut publish = match channel {
            Some(channel) => message(channel, id),
            None => scoped(Scope::Session(session), id),
        };
        publish.payload.resize(8 + large, 0);
        client.unacknowledged.insert(publish.message, publish.clone());
        self.offer(who, publish);
    }

    fn offer(&mut self, who: usize, publish: Publish) {
        if self.clients[who].line.online {
            self.stage
                .event(self.clients[who].line.guest.conn, EventUp::Publish(Box::new(publish)));
        }
    }

    fn follow(&mut self, who: usize) {
        let channel = self.dice.roll(CHANNELS.len() as u64) as usize;
        let key = ChannelKey(channel as u32 + 1);
        let client = &mut self.clients[who];
        if client.line.online && !client.wanted.contains_key(&key) {
            client.wanted.insert(key, channel);
            self.subscribe(who, key, channel);
        }
    }

    fn subscribe(&mut self, who: usize, key: ChannelKey, channel: usize) {
        let resume = self.clients[who].places.get(&key).copied();
        let channel = CHANNELS[channel].to_string();
        let ask = EventUp::Subscribe { key, channel, resume, presence: key.0 == 1 };
        self.stage.event(self.clients[who].line.guest.conn, ask);
    }

    fn narrow(&mut self, who: usize) {
        let bytes = [0, 200, 3_000, 40_000, 1_000_000];
        self.clients[who].line.narrow(&mut self.stage, &mut self.dice, &bytes);
    }

    /// The connection breaks; what was not read is lost.
    fn lose(&mut self, who: usize) {
        self.clients[who].line.lose(&mut self.stage, &mut self.dice);
    }

    fn resume(&mut self, who: usize) {
        self.listen();
        let client = &mut self.clients[who];
        if client.line.online {
            return;
        }
        let seen: Vec<_> = client.places.iter().map(|(k, p)| (*k, *p)).collect();
        client.line.again(self.stage.resume(&client.line.guest, &seen));
        assert_eq!(client.line.guest.welcome.resumed, ResumeAnswer::Resumed);
        let again: Vec<_> = client.unacknowledged.values().cloned().collect();
        again.into_iter().for_each(|publish| self.offer(who, publish));
    }

    /// Takes what was written; a connection that the world closed is lost.
    fn listen(&mut self) {
        for client in &mut self.clients {
            client.line.listen(&mut self.stage);
        }
    }

    fn read(&mut self, who: usize, words: u64) {
        for _ in 0..words {
            let Some(event) = self.clients[who].line.unread.pop_front() else { return };
            self.clients[who].take(event, &mut self.model);
        }
    }

    /// Faults stop: everyone comes back, everything is read.
    fn settle(&mut self) {
        for round in 0..400 {
            for who in 0..CLIENTS {
                self.resume(who);
                self.stage.allow(self.clients[who].line.guest.conn, 5_000_000);
                if round % 20 == 0 {
                    let again: Vec<_> =
                        self.clients[who].unacknowledged.values().cloned().collect();
                    again.into_iter().for_each(|publish| self.offer(who, publish));
                }
            }
            self.stage.tick();
            self.listen();
            (0..CLIENTS).for_each(|who| self.read(who, u64::MAX));
        }
        for client in &self.clients {
            assert!(client.unacknowledged.is_empty(), "every publish is acknowledged in the end");
            for (key, channel) in &client.wanted {
                let top = self.model.tops.get(CHANNELS[*channel]).copied().unwrap_or(0);
                assert_eq!(client.places[key].offset.0, top, "everyone has read to the top");
            }
        }
    }
}

impl Client {
    fn new(guest: Guest) -> Self {
        let start = ChannelPosition { epoch: guest.welcome.epoch, offset: Offset(0) };
        Self {
            line: Line::of(guest),
            places: BTreeMap::from([(INBOX, start)]),
            wanted: BTreeMap::new(),
            unacknowledged: BTreeMap::new(),
            next_id: 1,
            gaps: 0,
        }
    }

    fn channel(&self, key: ChannelKey) -> String {
        match key {
            INBOX => format!("inbox of {}", self.line.guest.session().0),
            key => CHANNELS[key.0 as usize - 1].into(),
        }
    }

    fn take(&mut self, event: EventDown, model: &mut Model) {
        match event {
            EventDown::Subscribed { key, answer: Answer::Resumed, .. } => {
                assert!(self.places.contains_key(&key), "it goes on from where it was");
            }
            EventDown::Subscribed { key, answer: Answer::Reset(to), .. } => self.reset(key, to),
            EventDown::Subscribed { answer, .. } => panic!("nothing is denied here: {answer:?}"),
            EventDown::Gap { key, from, to } => {
                assert_eq!(from.0, self.places[&key].offset.0 + 1, "a gap starts where we are");
                self.gaps += 1;
                self.places.entry(key).and_modify(|place| place.offset = to);
            }
            EventDown::Deliver(event) => {
                let key = event.key;
                let channel = self.channel(key);
                let place = self.places.get_mut(&key).expect("its start was told");
                assert_eq!(event.offset.0, place.offset.0 + 1, "contiguous in {channel}");
                place.offset = event.offset;
                let publisher = event.publisher.expect("a client published it");
                // An id may be used for one message to a channel or to an inbox, never for two.
                model.learn(&channel, *place, publisher.session, event.message);
            }
            EventDown::Published { message, receipt } => {
                let publish = self.unacknowledged.remove(&message);
                if let (
                    Some(Publish { scope: Scope::Channel(channel), .. }),
                    Receipt::Channel(at),
                ) = (publish, receipt)
                {
                    model.learn(&channel, at, self.line.guest.session(), message);
                }
            }
            EventDown::PublishRefused { .. } | EventDown::Tops { .. } => {}
            other => panic!("not expected here: {other:?}"),
        }
    }

    /// A channel goes on in the same life only where we are, or where we have not been told.
    fn reset(&mut self, key: ChannelKey, to: ChannelPosition) {
        let before = self.places.insert(key, to).filter(|before| before.epoch == to.epoch);
        assert!(before.is_none_or(|before| before == to), "{before:?} is followed by {to:?}");
    }
}

#[test]
fn no_event_is_lost_repeated_or_out_of_order_and_every_gap_is_told() {
    let mut gaps = 0;
    for seed in 0..SEEDS {
        let mut run = Run::new(seed);
        (0..STEPS).for_each(|_| run.play());
        run.settle();
        gaps += run.clients.iter().map(|client| client.gaps).sum::<u64>();
        assert!(run.model.places.len() > 50, "seed {seed}: too little happened");
    }
    assert!(gaps > 0, "some channel went on without some subscriber");
}

#[test]
fn the_same_seed_gives_the_same_events() {
    let play = |seed| {
        let mut run = Run::new(seed);
        (0..STEPS).for_each(|_| run.play());
        (run.stage.world.counters().clone(), run.model.places)
    };
    assert_eq!(play(11), play(11));
}
