//! Keyed state: a value per key, told whole to whoever cannot go on, then followed; compare and
//! set; values that end by themselves; bounds. P4 and P6 hold for its events as for all others.

mod session_stage;

use session_stage::dice::Dice;
use session_stage::{Guest, Stage, message};
use starling_protocol::close::CloseCode;
use starling_protocol::limits::{EVENT_BYTES_MAX, STATE_KEYS_MAX};
use starling_protocol::message::events::*;
use starling_protocol::units::{ChannelKey, ChannelPosition, Offset, Tick};
use std::collections::BTreeMap;

const DOORS: &str = "doors";

fn set(id: u64, key: &str, value: &[u8]) -> Publish {
    Publish { key: Some(key.into()), payload: value.to_vec(), ..message(DOORS, id) }
}

fn clear(id: u64, key: &str) -> Publish {
    Publish { key: Some(key.into()), action: Action::Clear, ..message(DOORS, id) }
}

/// What a follower makes of what it is told.
#[derive(Default)]
struct Copy {
    values: BTreeMap<String, (Offset, Vec<u8>)>,
    at: ChannelPosition,
    /// Pages are under way.
    paging: bool,
    resets: usize,
    pages: usize,
}

impl Copy {
    fn hear(&mut self, event: EventDown) {
        match event {
            EventDown::Subscribed { answer: Answer::Reset(at), .. } => {
                (self.at, self.paging) = (at, false);
                self.values.clear();
                self.resets += 1;
            }
            EventDown::Subscribed { answer, .. } => {
                assert_eq!(answer, Answer::Resumed);
                assert!(!self.paging, "who lacks pages starts anew");
            }
            EventDown::State { entries, last, .. } => {
                let value = |e: StateEntry| (e.key, (e.offset, e.payload));
                assert!(entries.iter().all(|e| e.offset <= self.at.offset), "as of the position");
                self.values.extend(entries.into_iter().map(value));
                self.paging = !last;
                self.pages += 1;
            }
            EventDown::Deliver(event) => self.apply(*event),
            EventDown::Gap { .. } => panic!("a channel with state starts anew instead"),
            _ => {}
        }
    }

    fn apply(&mut self, event: Event) {
        assert!(!self.paging, "events follow the last page");
        assert_eq!(event.offset.0, self.at.offset.0 + 1, "a contiguous run");
        self.at.offset = event.offset;
        match (event.state_key, event.action) {
            (Some(key), Action::Message) => {
                self.values.insert(key, (event.offset, event.payload));
            }
            (Some(key), Action::Clear) => {
                self.values.remove(&key);
            }
            _ => {}
        }
    }
}

fn listen(stage: &mut Stage, guest: &Guest, copy: &mut Copy) {
    stage.events(guest.conn).into_iter().for_each(|event| copy.hear(event));
}

fn offset(receipt: Result<Receipt, CloseCode>) -> u64 {
    match receipt {
        Ok(Receipt::Channel(at)) => at.offset.0,
        other => panic!("not in the channel: {other:?}"),
    }
}

#[test]
fn who_comes_later_is_told_all_values_and_then_what_changes() {
    let mut stage = Stage::new();
    let (ann, bob) = (stage.guest(), stage.guest());
    for (id, key) in [(1, "front"), (2, "back"), (3, "front")] {
        stage.publish(ann.conn, set(id, key, &[id as u8])).expect("accepted");
    }
    stage.subscribe(bob.conn, 1, DOORS);
    stage.publish(ann.conn, clear(4, "back")).expect("accepted");
    let mut copy = Copy::default();
    let told = stage.events(bob.conn);
    assert!(matches!(told[1], EventDown::State { last: true, .. }), "right after the answer");
    assert_eq!(told.len(), 3);
    told.into_iter().for_each(|event| copy.hear(event));
    assert_eq!(copy.values, BTreeMap::from([("front".into(), (Offset(3), vec![3]))]));
    assert_eq!((copy.resets, copy.pages), (1, 1));
}

#[test]
fn a_value_is_set_only_over_the_one_that_is_expected() {
    let mut stage = Stage::new();
    let ann = stage.guest();
    let expecting = |publish, offset| Publish { expected: Some(Offset(offset)), ..publish };
    let mut offer = |publish| stage.publish(ann.conn, publish);
    assert_eq!(offset(offer(set(1, "other", b"x"))), 1);
    assert_eq!(offer(expecting(set(2, "door", b"a"), 1)), Err(CloseCode::CONFLICT));
    assert_eq!(offset(offer(expecting(set(3, "door", b"a"), 0))), 2, "0 where there is none");
    assert_eq!(offer(expecting(set(4, "door", b"b"), 0)), Err(CloseCode::CONFLICT));
    assert_eq!(offset(offer(expecting(set(5, "door", b"b"), 2))), 3);
    assert_eq!(offer(expecting(clear(6, "door"), 2)), Err(CloseCode::CONFLICT));
    assert_eq!(offset(offer(expecting(clear(7, "door"), 3))), 4);
    assert_eq!(offset(offer(expecting(set(8, "door", b"c"), 0))), 5, "and 0 again once removed");
}

#[test]
fn a_value_with_a_life_is_removed_by_the_server_unless_it_is_set_anew() {
    let mut stage = Stage::new();
    let ann = stage.guest();
    stage.subscribe(ann.conn, 1, DOORS);
    let brief = |id, key| Publish { ttl_ms: Some(1_000), ..set(id, key, b"open") };
    stage.publish(ann.conn, brief(1, "front")).expect("accepted");
    stage.publish(ann.conn, brief(2, "back")).expect("accepted");
    stage.ticks_with(10, &[ann.conn]);
    stage.publish(ann.conn, brief(3, "front")).expect("accepted");
    stage.ticks_with(10, &[ann.conn]);
    let told = stage.delivered(ann.conn, 1);
    let last = told.last().expect("one has ended");
    assert_eq!((last.action, last.state_key.as_deref()), (Action::Clear, Some("back")));
    assert_eq!((last.offset, &last.publisher), (Offset(4), &None));
    let late = stage.guest();
    stage.subscribe(late.conn, 1, DOORS);
    let told = stage.events(late.conn);
    let left = told.iter().find_map(|event| match event {
        EventDown::State { entries, .. } => Some(entries.clone()),
        _ => None,
    });
    let left = left.expect("there is a value");
    assert_eq!((left.len(), left[0].ttl_ms), (1, Some(500)));
    stage.ticks_with(10, &[ann.conn]);
    let last = stage.delivered(ann.conn, 1).pop().expect("the other has ended");
    assert_eq!((last.action, last.state_key.as_deref()), (Action::Clear, Some("front")));
    assert_eq!(stage.world.counters().state_ended, 2);
}

#[test]
fn what_makes_no_sense_is_refused_with_its_code() {
    let mut stage = Stage::new();
    let ann = stage.guest();
    let refused = [
        (Publish { key: None, ..clear(1, "x") }, CloseCode::BAD_NAME),
        (Publish { key: Some(String::new()), ..message(DOORS, 2) }, CloseCode::BAD_NAME),
        (Publish { ttl_ms: Some(5), ..message(DOORS, 3) }, CloseCode::CONFLICT),
        (Publish { ttl_ms: Some(5), ..clear(4, "x") }, CloseCode::CONFLICT),
        (Publish { ttl_ms: Some(u32::MAX), ..set(5, "x", b"") }, CloseCode::LIMIT),
        (Publish { action: Action::Update(Offset(1)), ..set(6, "x", b"") }, CloseCode::CONFLICT),
        (
            Publish { action: Action::Change(MemberState::Here), ..message(DOORS, 7) },
            CloseCode::FORBIDDEN,
        ),
    ];
    for (publish, code) in refused {
        assert_eq!(stage.publish(ann.conn, publish.clone()), Err(code), "{publish:?}");
    }
}

#[test]
fn a_value_beyond_the_bounds_is_refused_and_none_makes_room() {
    let mut stage = Stage::new();
    let ann = stage.guest();
    let (mut id, mut kept) = (0, 0);
    let large = vec![7; EVENT_BYTES_MAX];
    let refused = loop {
        id += 1;
        stage.tick();
        match stage.publish(ann.conn, set(id, &format!("k{id}"), &large)) {
            Ok(_) => kept += 1,
            Err(code) => break code,
        }
    };
    assert_eq!(refused, CloseCode::LIMIT);
    assert!((200..256).contains(&kept), "four megabytes of sixteen kilobytes each: {kept}");
    stage.tick();
    stage.publish(ann.conn, set(id + 1, "k1", b"small")).expect("another value for a key fits");
    stage.tick();
    stage.publish(ann.conn, set(id + 2, "new", b"small")).expect("and so does what it freed");
    let bob = stage.guest();
    stage.subscribe(bob.conn, 1, DOORS);
    let mut copy = Copy::default();
    for _ in 0..100 {
        stage.breathe(bob.conn);
        stage.tick();
        listen(&mut stage, &bob, &mut copy);
    }
    assert_eq!(copy.values.len(), kept + 1, "none made room for another");
    assert!(copy.pages > 100 && !copy.paging);
}

#[test]
fn keys_are_bounded_too() {
    let mut stage = Stage::new();
    let ann = stage.guest();
    for id in 0..STATE_KEYS_MAX as u64 {
        if id % 2 == 0 {
            stage.tick();
        }
        stage.publish(ann.conn, set(id, &format!("k{id}"), b"")).expect("room");
    }
    stage.ticks(2);
    assert_eq!(stage.publish(ann.conn, set(9_000, "more", b"")), Err(CloseCode::LIMIT));
    stage.publish(ann.conn, clear(9_001, "k7")).expect("accepted");
    stage.publish(ann.conn, set(9_002, "more", b"")).expect("room again");
}

#[test]
fn a_resume_goes_on_without_the_values_and_one_cut_off_amid_the_pages_gets_them_anew() {
    let mut stage = Stage::new();
    let (ann, bob) = (stage.guest(), stage.guest());
    for id in 0..40 {
        stage.tick();
        stage.publish(ann.conn, set(id, &format!("k{id}"), &[1; 8_000])).expect("room");
    }
    let Answer::Reset(at) = stage.subscribe(bob.conn, 1, DOORS) else { panic!("from now") };
    stage.detach(bob.conn);
    let bob = stage.resume(&bob, &[(ChannelKey(1), at)]);
    let mut copy = Copy::default();
    for _ in 0..20 {
        stage.breathe(bob.conn);
        stage.tick();
        listen(&mut stage, &bob, &mut copy);
    }
    assert_eq!((copy.resets, copy.values.len()), (1, 40), "the pages were not all written");
    stage.publish(ann.conn, set(98, "k1", b"new")).expect("room");
    listen(&mut stage, &bob, &mut copy);
    stage.detach(bob.conn);
    stage.publish(ann.conn, set(99, "k0", b"new")).expect("room");
    let bob = stage.resume(&bob, &[(ChannelKey(1), copy.at)]);
    listen(&mut stage, &bob, &mut copy);
    assert_eq!((copy.resets, copy.pages > 1), (1, true), "resumed, with no page");
    assert_eq!(copy.values["k0"].1, b"new");
}

/// Values, compare and set, and lives against a sequential model, with followers that lose their
/// connection and links that carry little.
struct Run {
    stage: Stage,
    dice: Dice,
    author: Guest,
    followers: Vec<(Guest, Copy, bool)>,
    values: BTreeMap<String, (Offset, Vec<u8>, Option<Tick>)>,
    top: u64,
    id: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut stage = Stage::new();
        let author = stage.guest();
        let followers = (0..3).map(|_| {
            let guest = stage.guest();
            stage.subscribe(guest.conn, 1, DOORS);
            (guest, Copy::default(), true)
        });
        let followers = followers.collect();
        let (dice, values) = (Dice::new(seed), BTreeMap::new());
        Self { stage, dice, author, followers, values, top: 0, id: 0 }
    }

    fn play(&mut self) {
        match self.dice.roll(20) {
            0..10 => self.write(),
            10..14 => self.tick(),
            14..16 => self.cut_or_mend(),
            _ => self.narrow(),
        }
        self.listen();
    }

    fn write(&mut self) {
        let key = format!("k{}", self.dice.roll(6));
        self.id += 1;
        let value = vec![self.id as u8; self.dice.roll(3) as usize * 4_000];
        let life = (self.dice.roll(3) == 0).then(|| 50 * (1 + self.dice.roll(8) as u32));
        let stands = self.values.get(&key).map_or(Offset(0), |value| value.0);
        let expected = match self.dice.roll(4) {
            0 => Some(stands),
            1 => Some(Offset(self.dice.roll(self.top + 1))),
            _ => None,
        };
        let gone = self.dice.roll(4) == 0;
        let publish = if gone { clear(self.id, &key) } else { set(self.id, &key, &value) };
        let publish = Publish { expected, ttl_ms: life.filter(|_| !gone), ..publish };
        let answer = self.stage.publish(self.author.conn, publish);
        if answer == Err(CloseCode::RATE_LIMITED) {
            return;
        }
        if expected.is_some_and(|expected| expected != stands) {
            return assert_eq!(answer, Err(CloseCode::CONFLICT));
        }
        self.top += 1;
        assert_eq!(offset(answer), self.top);
        if gone {
            self.values.remove(&key);
        } else {
            let ends = life.map(|ms| self.stage.world.now() + ms / 50);
            self.values.insert(key, (Offset(self.top), value, ends));
        }
    }

    fn tick(&mut self) {
        self.stage.tick();
        let now = self.stage.world.now();
        let before = self.values.len();
        self.values.retain(|_, (.., ends)| ends.is_none_or(|end| end > now));
        self.top += (before - self.values.len()) as u64;
    }

    fn cut_or_mend(&mut self) {
        let who = self.dice.roll(3) as usize;
        let (guest, copy, online) = &mut self.followers[who];
        if *online {
            self.stage.detach(guest.conn);
        } else {
            let seen = [(ChannelKey(1), copy.at)];
            let seen = if copy.resets == 0 { &[][..] } else { &seen[..] };
            *guest = self.stage.resume(guest, seen);
        }
        *online = !*online;
    }

    fn narrow(&mut self) {
        let who = self.dice.roll(3) as usize;
        let bytes = [0, 1, 5_000, 60_000][self.dice.roll(4) as usize];
        self.stage.allow(self.followers[who].0.conn, bytes);
    }

    fn listen(&mut self) {
        for (guest, copy, online) in &mut self.followers {
            let told = self.stage.events(guest.conn);
            if *online {
                told.into_iter().for_each(|event| copy.hear(event));
            }
        }
    }

    fn settle(&mut self) {
        for who in 0..self.followers.len() {
            if !self.followers[who].2 || self.stage.closed(self.followers[who].0.conn).is_some() {
                self.followers[who].2 = false;
                self.mend(who);
            }
        }
        for _ in 0..30 {
            for who in 0..self.followers.len() {
                let conn = self.followers[who].0.conn;
                self.stage.allow(conn, 1 << 20);
                self.stage.breathe(conn);
            }
            self.tick();
            self.listen();
        }
    }

    fn mend(&mut self, who: usize) {
        let (guest, copy, online) = &mut self.followers[who];
        let seen = [(ChannelKey(1), copy.at)];
        let seen = if copy.resets == 0 { &[][..] } else { &seen[..] };
        *guest = self.stage.resume(guest, seen);
        *online = true;
    }
}

#[test]
fn every_follower_ends_with_the_values_of_a_sequential_model() {
    for seed in 0..60 {
        let mut run = Run::new(seed);
        (0..400).for_each(|_| run.play());
        run.settle();
        let model: BTreeMap<_, _> =
            run.values.iter().map(|(k, (o, v, _))| (k.clone(), (*o, v.clone()))).collect();
        for (_, copy, _) in &run.followers {
            assert_eq!((&copy.values, copy.at.offset.0), (&model, run.top), "seed {seed}");
        }
    }
}
