//! P5, P10 against a sequential model: random changes, answers and notes on messages in memory and on
//! disk only, over a store that commits and answers late, with crashes that keep any part of what was
//! on its way. What followers are told is folded by a model written apart; history must show the same.
//! A failure names its seed.

mod session_stage;

use session_stage::dice::Dice;
use session_stage::{Stage, message};
use starling_protocol::close::CloseCode;
use starling_protocol::codec;
use starling_protocol::message::events::*;
use starling_protocol::units::{ChannelKey, ChannelPosition, MessageId, Offset};
use starling_world::input::ConnId;
use std::collections::{BTreeMap, BTreeSet};

const ROOM: &str = "kept/room";
const STEPS: usize = 700;
const NAMES: [&str; 3] = ["ann", "bob", "cat"];
const RULES: [NoteRule; 5] =
    [NoteRule::Total, NoteRule::Flag, NoteRule::Distinct, NoteRule::Unique, NoteRule::Multiple];

/// A message as the events say that it stands.
#[derive(Default)]
struct Message {
    author: String,
    content: Vec<u8>,
    versions: u32,
    deleted: bool,
    parent: Option<u64>,
    answers: BTreeSet<u64>,
    notes: BTreeMap<String, Kind>,
}

#[derive(Default)]
struct Kind {
    added: u64,
    by_user: BTreeMap<(String, String), u64>,
}

impl Kind {
    fn take(&mut self, user: &str, rule: NoteRule, noted: &Noted) {
        let key = (user.to_owned(), noted.name.clone());
        let count = u64::from(noted.count);
        match rule {
            NoteRule::Total => self.added += count,
            NoteRule::Multiple if noted.remove => {
                let had = self.by_user.remove(&key).expect("taken back of what is there");
                self.by_user.extend((had > count).then(|| (key, had - count)));
            }
            NoteRule::Multiple => *self.by_user.entry(key).or_default() += count,
            _ if noted.remove => assert!(self.by_user.remove(&key).is_some(), "it was set"),
            _ => {
                if rule == NoteRule::Unique {
                    self.by_user.retain(|(other, _), _| other != user);
                }
                assert_eq!(self.by_user.insert(key, 1), None, "it was not set");
            }
        }
    }

    fn total(&self) -> u64 {
        self.added + self.by_user.values().sum::<u64>()
    }

    fn users(&self) -> usize {
        self.by_user.keys().map(|(user, _)| user).collect::<BTreeSet<_>>().len()
    }
}

/// The channel, as its events in order say that it is.
#[derive(Default)]
struct Model(BTreeMap<u64, Message>);

impl Model {
    fn take(&mut self, event: &Event) {
        let author = event.publisher.as_ref().expect("a client's").subject.clone();
        let payload = &event.payload;
        match event.action {
            Action::Message => {
                let (parent, content) = (event.parent.map(|p| p.0), payload.clone());
                if let Some(parent) = parent {
                    let parent = self.standing(parent);
                    parent.answers.insert(event.offset.0);
                }
                let message =
                    Message { author, content, parent, versions: 1, ..Message::default() };
                self.0.insert(event.offset.0, message);
            }
            Action::Update(to) | Action::Append(to) | Action::Delete(to) => {
                let message = self.standing(to.0);
                assert_eq!(message.author, author, "one's own");
                message.versions += 1;
                match event.action {
                    Action::Update(_) => message.content.clone_from(payload),
                    Action::Append(_) => message.content.extend(payload),
                    _ => {
                        message.content.clear();
                        (message.deleted, message.notes) = (true, BTreeMap::new());
                        if let Some(parent) = message.parent {
                            let parent = self.0.get_mut(&parent).expect("it is kept");
                            parent.answers.remove(&to.0);
                        }
                    }
                }
            }
            Action::Annotate(to) => {
                let noted: Noted = codec::decode(payload).expect("a Noted");
                let kinds = &mut self.standing(to.0).notes;
                let kind = kinds.entry(noted.summary.kind.clone()).or_default();
                kind.take(&author, noted.summary.rule, &noted);
                let told = (noted.summary.total, noted.summary.users as usize);
                assert_eq!(told, (kind.total(), kind.users()), "at {:?}", event.offset);
                if kind.total() == 0 {
                    kinds.remove(&noted.summary.kind);
                }
            }
            other => panic!("not expected: {other:?}"),
        }
    }

    /// A message that may be changed: P4, nothing comes after its end.
    fn standing(&mut self, offset: u64) -> &mut Message {
        let message = self.0.get_mut(&offset).expect("it is a message");
        assert!(!message.deleted, "{offset} was deleted before");
        message
    }

    fn check(&self, entries: &[Entry]) {
        assert!(entries.iter().map(|e| e.event.offset.0).eq(self.0.keys().copied()));
        for (entry, message) in entries.iter().zip(self.0.values()) {
            let at = entry.event.offset;
            assert_eq!(entry.event.payload, message.content, "{at:?}");
            assert_eq!(entry.replies as usize, message.answers.len(), "{at:?}");
            let version = entry.version.as_ref().map_or((1, false), |v| (v.count, v.deleted));
            assert_eq!(version, (message.versions, message.deleted), "{at:?}");
            let told = entry.notes.iter().map(|n| (n.kind.clone(), n.total, n.users as usize));
            let notes = message.notes.iter();
            let notes = notes.map(|(name, kind)| (name.clone(), kind.total(), kind.users()));
            assert!(told.eq(notes), "{at:?}: {:?}", entry.notes);
        }
    }
}

struct Run {
    stage: Stage,
    dice: Dice,
    people: Vec<ConnId>,
    id: u64,
    /// No message is beyond it.
    top: u64,
    accepted: usize,
    read_again: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut stage = Stage::durable();
        let people = NAMES.map(|name| stage.guest_named(name).conn).to_vec();
        let dice = Dice::new(seed);
        Self { stage, dice, people, id: 0, top: 0, accepted: 0, read_again: 0 }
    }

    fn play(&mut self) {
        match self.dice.roll(100) {
            0..70 => self.speak(),
            70..80 => {
                let batches = self.dice.roll(4) as usize;
                self.stage.commit_some(batches);
            }
            80..90 => drop(self.stage.answer_one()),
            90..98 => self.tick(),
            98 => self.stage.commit(),
            _ => self.crash(),
        }
        self.listen();
    }

    fn tick(&mut self) {
        self.people.iter().for_each(|conn| self.stage.breathe(*conn));
        self.stage.tick();
    }

    fn crash(&mut self) {
        self.read_again += self.stage.world.counters().events_read;
        let batches = self.dice.roll(self.stage.disk.waiting.len() as u64 + 1) as usize;
        self.stage.crash(batches);
        self.people = NAMES.map(|name| self.stage.guest_named(name).conn).to_vec();
    }

    fn speak(&mut self) {
        self.id += 1;
        let who = self.people[self.dice.roll(3) as usize];
        let target = Offset(self.dice.roll(self.top.max(1)) + 1);
        let say = |action, size| {
            let payload = vec![self.id as u8; size];
            Publish { action, payload, ..message(ROOM, self.id) }
        };
        let said = match self.dice.roll(12) {
            0..3 => say(Action::Message, 12_000),
            3 => Publish { parent: Some(target), ..say(Action::Message, 9) },
            4 => say(Action::Update(target), 20),
            5 => say(Action::Append(target), 30),
            6 => say(Action::Delete(target), 0),
            _ => return self.note(who, target),
        };
        self.stage.event(who, EventUp::Publish(Box::new(said)));
    }

    fn note(&mut self, who: ConnId, target: Offset) {
        let rule = RULES[self.dice.roll(5) as usize];
        let named = !matches!(rule, NoteRule::Total | NoteRule::Flag);
        let name = if named { ["x", "y"][self.dice.roll(2) as usize] } else { "" };
        let remove = rule != NoteRule::Total && self.dice.roll(3) == 0;
        let (kind, name, channel) = (format!("{rule:?}"), name.to_owned(), ROOM.into());
        let message = MessageId(self.id);
        let said = Annotate { message, channel, target, rule, kind, name, count: 1, remove };
        self.stage.event(who, EventUp::Annotate(Box::new(said)));
    }

    fn listen(&mut self) {
        for conn in self.people.clone() {
            for event in self.stage.events(conn) {
                match event {
                    EventDown::Published { receipt: Receipt::Channel(at), .. } => {
                        self.top = self.top.max(at.offset.0);
                        self.accepted += 1;
                    }
                    EventDown::PublishRefused { code, .. } => {
                        let known = [
                            CloseCode::CONFLICT,
                            CloseCode::FORBIDDEN,
                            CloseCode::RATE_LIMITED,
                            CloseCode::STORE_BUSY,
                        ];
                        assert!(known.contains(&code), "{code}");
                    }
                    _ => {}
                }
            }
        }
    }

    /// Everything is committed and answered; the model takes in all events from the first.
    fn settle(&mut self) -> Model {
        for _ in 0..30 {
            self.stage.answer();
            self.stage.commit();
            self.tick();
            self.listen();
        }
        let eve = self.stage.guest_named("eve").conn;
        let Answer::Reset(top) = self.stage.subscribe(eve, 1, ROOM) else { panic!("from now") };
        self.stage.event(eve, EventUp::Unsubscribe { key: ChannelKey(1) });
        let start = ChannelPosition { offset: Offset(0), ..top };
        self.stage.subscribe_with(eve, 1, ROOM, Some(start), false);
        let (mut model, mut next) = (Model::default(), 1);
        for _ in 0..400 {
            for event in self.stage.delivered(eve, 1) {
                assert_eq!(event.offset.0, next, "P4: contiguous");
                next += 1;
                model.take(&event);
            }
            self.stage.answer();
            self.stage.allow(eve, 1_000_000);
            self.stage.breathe(eve);
            self.tick();
        }
        assert_eq!(next, top.offset.0 + 1, "all of them");
        model
    }

    /// History from the first event to the last.
    fn read(&mut self) -> Vec<Entry> {
        let reader = self.stage.guest_named("reader").conn;
        let (mut from, mut entries) = (Offset(1), Vec::new());
        loop {
            let range = HistoryRange::Offsets { from, to: Offset(u64::MAX) };
            let (request, channel) = (7, ROOM.into());
            let query = HistoryQuery { request, channel, range, thread: None, limit: 200 };
            self.stage.event(reader, EventUp::History(Box::new(query)));
            for _ in 0..6 {
                self.stage.answer();
                self.stage.allow(reader, 1_000_000);
                self.stage.breathe(reader);
                self.tick();
            }
            let told = self.stage.events(reader).into_iter().find_map(|event| match event {
                EventDown::History(page) => Some(*page),
                _ => None,
            });
            let page = told.expect("a page");
            entries.extend(page.entries);
            let Some(next) = page.next else { return entries };
            from = next;
        }
    }
}

#[test]
fn history_shows_what_a_model_makes_of_the_events() {
    let (mut accepted, mut read_again) = (0, 0);
    for seed in 0..16 {
        let mut run = Run::new(seed);
        for _ in 0..3 {
            (0..STEPS).for_each(|_| run.play());
            let model = run.settle();
            model.check(&run.read());
        }
        run.stage.crash(0);
        run.people.clear();
        let model = run.settle();
        model.check(&run.read());
        accepted += run.accepted;
        read_again += run.read_again;
    }
    assert!(accepted > 3_000 && read_again > 300, "{accepted} accepted, {read_again} read again");
}
