//! P4 to P7, P10 and P16 against a sequential model: random publishers and subscribers over a store
//! that commits late, in groups or not at all, with crashes that keep any part of what was on its
//! way, lost connections, slow links, a store that is behind, and rows that go bad. A failure names its
//! seed.

mod session_stage;

use session_stage::dice::Dice;
use session_stage::line::Line;
use session_stage::{Guest, Stage, message};
use starling_protocol::close::{CloseCode, Retry};
use starling_protocol::message::control::ResumeAnswer;
use starling_protocol::message::events::*;
use starling_protocol::units::{ChannelKey, ChannelPosition, Epoch, MessageId, Offset};
use starling_world::journal::{Health, News, Table};
use starling_world::namespace::{Keep, Namespace, Namespaces};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

const SEEDS: Range<u64> = 0..40;
const STEPS: usize = 1_500;
const CLIENTS: usize = 4;
/// The last one is in memory.
const CHANNELS: [&str; 4] = ["kept/a", "kept/b", "short/c", "memory"];
const DURABLE: usize = 3;

type Message = (usize, MessageId);
type Place = (usize, Epoch, u64);

/// What is known of the one true order: learned from every receipt and delivery, never changed.
#[derive(Default)]
struct Oracle {
    places: BTreeMap<Place, Message>,
    messages: BTreeMap<Message, Place>,
    acknowledged: BTreeSet<Place>,
    /// Events on stable storage by the channel's name in keys, whether kept still or not.
    stored: BTreeSet<(u64, u64)>,
    /// Channels of which a row is bad, and which.
    bad: BTreeMap<usize, u64>,
}

impl Oracle {
    fn learn(&mut self, channel: usize, at: ChannelPosition, who: Message, id: Option<u64>) {
        let place = (channel, at.epoch, at.offset.0);
        let known = *self.places.entry(place).or_insert(who);
        assert_eq!(known, who, "P4: two messages at {place:?}");
        let stands = *self.messages.entry(who).or_insert(place);
        if channel < DURABLE {
            assert_eq!(stands, place, "P7: one message at two places");
            let stored = id.is_some_and(|id| self.stored.contains(&(id, at.offset.0)));
            assert!(stored, "P5: {place:?} was told before it was stored");
        }
    }
}

struct Client {
    line: Line,
    places: BTreeMap<usize, ChannelPosition>,
    wanted: BTreeSet<usize>,
    unacknowledged: BTreeMap<MessageId, Publish>,
    next_id: u64,
}

struct Run {
    stage: Stage,
    clients: Vec<Client>,
    oracle: Oracle,
    dice: Dice,
    crashes: u64,
    gaps: u64,
    read_behind: u64,
    goes_bad: bool,
}

fn key_of(channel: usize) -> ChannelKey {
    ChannelKey(channel as u32 + 1)
}

fn channel_of(key: ChannelKey) -> usize {
    key.0 as usize - 1
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut stage = Stage::durable_with(|config| {
            let keep = Keep { events: 60, ..Keep::DURABLE };
            let short = Namespace { keep, ..Namespace::new("short").durable() };
            let kept = Namespace::new("kept").durable();
            config.namespaces = Namespaces::of(vec![kept, short, Namespace::new("")]);
        });
        let clients = (0..CLIENTS).map(|who| Client::new(enter(&mut stage, who))).collect();
        let (oracle, dice, goes_bad) = (Oracle::default(), Dice::new(seed), seed % 4 == 3);
        Self { stage, clients, oracle, dice, crashes: 0, gaps: 0, read_behind: 0, goes_bad }
    }

    fn play(&mut self) {
        let who = self.dice.roll(CLIENTS as u64) as usize;
        match self.dice.roll(1_000) {
            0..480 => self.publish(who),
            480..540 => self.follow(who),
            540..570 => self.lose(who),
            570..640 => self.come_back(who),
            640..700 => self.narrow(who),
            700..790 => self.commit(),
            790..850 => drop(self.stage.answer_one()),
            850..865 => self.feel(),
            865..869 => self.crash(),
            _ => self.stage.tick(),
        }
        self.listen();
        let words = self.dice.roll(30);
        self.read(who, words);
    }

    fn publish(&mut self, who: usize) {
        let channel = self.dice.roll(CHANNELS.len() as u64) as usize;
        let size = if self.dice.roll(4) == 0 { 12_000 } else { 10 };
        let picky = self.dice.roll(8) == 0;
        let client = &mut self.clients[who];
        let id = client.next_id;
        client.next_id += 1;
        let mut publish = message(CHANNELS[channel], id);
        publish.payload.resize(size, who as u8);
        let known = client.places.get(&channel).map(|at| at.offset);
        publish.expected = known.filter(|_| picky && channel < DURABLE);
        client.unacknowledged.insert(publish.message, publish.clone());
        self.offer(who, publish);
        if self.dice.roll(10) == 0 {
            self.repeat(who);
        }
    }

    fn offer(&mut self, who: usize, publish: Publish) {
        if self.clients[who].line.online {
            self.stage
                .event(self.clients[who].line.guest.conn, EventUp::Publish(Box::new(publish)));
            self.listen();
        }
    }

    fn repeat(&mut self, who: usize) {
        let again: Vec<_> = self.clients[who].unacknowledged.values().cloned().collect();
        again.into_iter().for_each(|publish| self.offer(who, publish));
    }

    fn follow(&mut self, who: usize) {
        let channel = self.dice.roll(CHANNELS.len() as u64) as usize;
        let client = &mut self.clients[who];
        if client.line.online && client.wanted.insert(channel) {
            self.subscribe(who, channel);
        }
    }

    fn subscribe(&mut self, who: usize, channel: usize) {
        let client = &self.clients[who];
        let (resume, channel, key) =
            (client.places.get(&channel).copied(), CHANNELS[channel].into(), key_of(channel));
        let ask = EventUp::Subscribe { key, channel, resume, presence: false };
        self.stage.event(client.line.guest.conn, ask);
    }

    fn narrow(&mut self, who: usize) {
        let bytes = [0, 500, 20_000, 200_000, 1_000_000];
        self.clients[who].line.narrow(&mut self.stage, &mut self.dice, &bytes);
    }

    fn lose(&mut self, who: usize) {
        self.clients[who].line.lose(&mut self.stage, &mut self.dice);
    }

    fn come_back(&mut self, who: usize) {
        self.listen();
        let client = &mut self.clients[who];
        if client.line.online {
            return;
        }
        let seen: Vec<_> = client.places.iter().map(|(c, at)| (key_of(*c), *at)).collect();
        let mut attach = self.stage.knock_again(&client.line.guest, &seen);
        attach.principal.subject = subject(who);
        client.line.again(self.stage.enter(attach).expect("nobody is refused"));
        self.note_stored(); // its Welcome may have waited for that
        let client = &mut self.clients[who];
        if client.line.guest.welcome.resumed != ResumeAnswer::Resumed {
            let wanted = client.wanted.clone();
            wanted.into_iter().for_each(|channel| self.subscribe(who, channel));
        }
        self.repeat(who);
    }

    fn commit(&mut self) {
        let batches = self.dice.roll(20) as usize;
        self.stage.disk.commit(batches);
        self.note_stored();
        self.stage.commit_some(0);
    }

    /// What is on stable storage now.
    fn note_stored(&mut self) {
        let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().expect("eight"));
        let keys = self.stage.disk.keys(Table::Event);
        let keys = keys.iter().map(|key| (number(&key[..8]), number(&key[8..])));
        self.oracle.stored.extend(keys);
    }

    /// The channel's name in keys: the number after the version of its row.
    fn id_of(&self, channel: usize) -> Option<u64> {
        let row = self.stage.disk.rows.get(&(Table::Channel, CHANNELS[channel].into()))?;
        Some(row[1].into())
    }

    fn feel(&mut self) {
        let health = [Health::Behind, Health::Full, Health::Well, Health::Well];
        self.stage.news(News::Health(health[self.dice.roll(4) as usize]));
    }

    /// The process dies; any part of what was on its way is on the disk.
    fn crash(&mut self) {
        self.crashes += 1;
        self.read_behind += self.stage.world.counters().events_read;
        let batches = self.dice.roll(self.stage.disk.waiting.len() as u64 + 1) as usize;
        self.stage.disk.commit(batches);
        self.note_stored();
        if self.goes_bad && self.crashes == 3 {
            self.spoil();
        }
        self.stage.crash(0);
        self.note_stored();
        self.clients.iter_mut().for_each(|client| client.line.cut());
    }

    /// A row of one channel goes bad.
    fn spoil(&mut self) {
        let Some(id) = self.id_of(1) else { return };
        let keys = self.stage.disk.keys(Table::Event);
        let own: Vec<_> = keys.into_iter().filter(|key| key[..8] == id.to_be_bytes()).collect();
        if !own.is_empty() {
            let key = &own[self.dice.roll(own.len() as u64) as usize];
            self.stage.disk.damage(Table::Event, key);
            let offset = u64::from_be_bytes(key[8..].try_into().expect("eight"));
            self.oracle.bad.insert(1, offset);
        }
    }

    fn listen(&mut self) {
        for client in &mut self.clients {
            client.line.listen(&mut self.stage);
        }
    }

    fn read(&mut self, who: usize, words: u64) {
        for _ in 0..words {
            let Some(event) = self.clients[who].line.unread.pop_front() else { return };
            self.take(who, event);
        }
    }

    fn take(&mut self, who: usize, event: EventDown) {
        match event {
            EventDown::Subscribed { key, answer, .. } => self.begin(who, channel_of(key), answer),
            EventDown::Gap { key, from, to } => {
                let place = self.place(who, channel_of(key));
                assert_eq!(from.0, place.offset.0 + 1, "P6: a gap starts where we are");
                place.offset = to;
                self.gaps += 1;
                let durable = channel_of(key) < DURABLE;
                assert!(!durable || channel_of(key) == 2, "P6: within retention nothing is gone");
            }
            EventDown::Deliver(event) if event.key.0 > 0 => self.hear(who, &event),
            EventDown::Published { message, receipt } => self.acknowledge(who, message, receipt),
            EventDown::PublishRefused { message, code, .. } => self.refused(who, message, code),
            EventDown::Unsubscribed { key: ChannelKey(u32::MAX), .. } => {} // a sign of life
            // Followed just before the process died, so that the session was kept without it.
            EventDown::Unsubscribed { key, code: CloseCode::LOST } => {
                self.subscribe(who, channel_of(key));
            }
            EventDown::Unsubscribed { key, code } => {
                assert_eq!(code, CloseCode::STORE_DAMAGED);
                self.give_up(who, channel_of(key));
            }
            EventDown::Tops { .. } => {}
            other => panic!("not expected here: {other:?}"),
        }
    }

    fn place(&mut self, who: usize, channel: usize) -> &mut ChannelPosition {
        self.clients[who].places.get_mut(&channel).expect("its start was told")
    }

    fn begin(&mut self, who: usize, channel: usize, answer: Answer) {
        let before = self.clients[who].places.get(&channel).copied();
        match answer {
            Answer::Resumed => assert!(before.is_some(), "it goes on from where it was"),
            Answer::Reset(to) => {
                // A durable channel in which nothing ever was has nothing to go on with.
                let durable = |at: &ChannelPosition| channel < DURABLE && at.offset > Offset(0);
                let same = before.filter(|at| at.epoch == to.epoch || durable(at));
                assert!(
                    same.is_none_or(|same| same == to),
                    "P6: in {channel} after {} crashes {same:?} is followed by {to:?}",
                    self.crashes
                );
                self.clients[who].places.insert(channel, to);
            }
            Answer::Denied(code) => {
                assert_eq!(code, CloseCode::STORE_DAMAGED);
                self.give_up(who, channel);
            }
        }
    }

    /// P16: a damaged channel stands still.
    fn give_up(&mut self, who: usize, channel: usize) {
        assert!(self.oracle.bad.contains_key(&channel), "{channel} has no bad row");
        self.clients[who].wanted.remove(&channel);
        self.clients[who].places.remove(&channel);
    }

    fn hear(&mut self, who: usize, event: &Event) {
        let channel = channel_of(event.key);
        let place = self.place(who, channel);
        assert_eq!(event.offset.0, place.offset.0 + 1, "P4: contiguous in {channel}");
        place.offset = event.offset;
        let at = *place;
        let publisher = event.publisher.as_ref().expect("a client published it");
        let author = publisher.subject.parse().expect("subjects are numbers");
        assert_eq!(event.payload[..8], event.message.0.to_le_bytes(), "P16: as it was published");
        let id = self.id_of(channel);
        self.oracle.learn(channel, at, (author, event.message), id);
        let bad = self.oracle.bad.get(&channel).is_some_and(|bad| *bad == event.offset.0);
        assert!(!bad, "P16: a bad row was told");
    }

    fn acknowledge(&mut self, who: usize, message: MessageId, receipt: Receipt) {
        let Some(publish) = self.clients[who].unacknowledged.remove(&message) else { return };
        let (Scope::Channel(name), Receipt::Channel(at)) = (&publish.scope, receipt) else {
            panic!("a channel's receipt: {receipt:?}");
        };
        let channel = CHANNELS.iter().position(|c| c == name).expect("one of ours");
        let id = self.id_of(channel);
        self.oracle.learn(channel, at, (who, message), id);
        self.oracle.acknowledged.insert((channel, at.epoch, at.offset.0));
        if let Some(expected) = publish.expected {
            assert_eq!(at.offset.0, expected.0 + 1, "P4: it follows what it expected");
        }
    }

    fn refused(&mut self, who: usize, message: MessageId, code: CloseCode) {
        if code.retry() == Retry::Never {
            let publish = self.clients[who].unacknowledged.remove(&message);
            let known = matches!(code, CloseCode::CONFLICT | CloseCode::STORE_DAMAGED);
            assert!(known, "{code} for {publish:?}");
            let told = self.oracle.messages.get(&(who, message));
            assert!(told.is_none() || code == CloseCode::STORE_DAMAGED, "P7: refused and there");
        }
    }

    /// Faults stop: everyone comes back, everything is committed and read.
    fn settle(&mut self) {
        self.stage.news(News::Health(Health::Well));
        for round in 0..300 {
            for who in 0..CLIENTS {
                self.come_back(who);
                self.stage.allow(self.clients[who].line.guest.conn, 5_000_000);
                self.stage.breathe(self.clients[who].line.guest.conn);
                if round % 10 == 0 {
                    self.repeat(who);
                }
            }
            self.stage.tick();
            self.stage.disk.commit(usize::MAX);
            self.note_stored();
            self.stage.commit();
            self.stage.answer();
            self.listen();
            (0..CLIENTS).for_each(|who| self.read(who, u64::MAX));
        }
        for client in &self.clients {
            assert!(client.unacknowledged.is_empty(), "every publish is answered in the end");
        }
    }

    /// P5, P10: one who was never here reads it all, and finds what was acknowledged.
    fn read_all(&mut self) {
        self.clients.push(Client::new(enter(&mut self.stage, CLIENTS)));
        for channel in 0..DURABLE {
            if self.oracle.bad.contains_key(&channel) {
                continue;
            }
            let Some((_, epoch, _)) = self.oracle.places.keys().find(|(c, ..)| *c == channel)
            else {
                continue;
            };
            let start = ChannelPosition { epoch: *epoch, offset: Offset(0) };
            self.clients[CLIENTS].places.insert(channel, start);
            self.subscribe(CLIENTS, channel);
        }
        for _ in 0..200 {
            let conn = self.clients[CLIENTS].line.guest.conn;
            self.stage.allow(conn, 5_000_000);
            self.stage.breathe(conn);
            self.stage.tick();
            self.stage.answer();
            self.listen();
            self.read(CLIENTS, u64::MAX);
        }
        for (channel, epoch, offset) in self.oracle.acknowledged.iter().copied() {
            if let Some(at) = self.clients[CLIENTS].places.get(&channel) {
                let place = (epoch, offset);
                assert!(at.epoch == epoch && offset <= at.offset.0, "P5: {place:?} of {channel}");
            }
        }
        for (channel, at) in &self.clients[CLIENTS].places {
            let newest =
                self.oracle.places.keys().filter(|(c, ..)| c == channel).map(|p| p.2).max();
            assert_eq!(Some(at.offset.0), newest, "P10: it read to the top");
        }
    }
}

fn subject(who: usize) -> String {
    who.to_string()
}

fn enter(stage: &mut Stage, who: usize) -> Guest {
    stage.guest_named(&subject(who))
}

impl Client {
    fn new(guest: Guest) -> Self {
        Self {
            line: Line::of(guest),
            places: BTreeMap::new(),
            wanted: BTreeSet::new(),
            unacknowledged: BTreeMap::new(),
            next_id: 1,
        }
    }
}

/// Says which seed it was, also when it fails.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}", self.0);
        }
    }
}

fn whole(seed: u64) -> Run {
    let _named = Named(seed);
    let mut run = Run::new(seed);
    (0..STEPS).for_each(|_| run.play());
    run.settle();
    run.read_all();
    run
}

#[test]
fn nothing_acknowledged_is_lost_doubled_disordered_or_told_too_early() {
    let (mut crashes, mut gaps, mut behind, mut bad) = (0, 0, 0, 0);
    for seed in SEEDS {
        let run = whole(seed);
        crashes += run.crashes;
        gaps += run.gaps;
        behind += run.read_behind + run.stage.world.counters().events_read;
        bad += run.oracle.bad.len();
        assert!(run.oracle.acknowledged.len() > 100, "seed {seed}: too little happened");
    }
    let happened = (crashes, gaps, behind, bad);
    let enough = crashes > 60 && gaps > 5 && behind > 1_000 && bad > 3;
    assert!(enough, "crashes, gaps, events read from the disk, rows gone bad: {happened:?}");
}

#[test]
fn the_same_seed_gives_the_same_world() {
    let play = |seed| {
        let mut run = Run::new(seed);
        (0..STEPS).for_each(|_| run.play());
        (run.stage.world.checksum(), run.stage.world.counters().clone(), run.oracle.places)
    };
    assert_eq!(play(11), play(11));
}
