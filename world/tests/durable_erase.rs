//! P10: what is erased is erased on disk, behind what memory holds, on its way there, and after a
//! restart in the middle of it.

mod session_stage;

use session_stage::disk::Disk;
use session_stage::{Guest, Stage, message, place};
use starling_protocol::close::CloseCode;
use starling_protocol::limits::CHANNEL_EVENTS_MAX;
use starling_protocol::message::events::*;
use starling_protocol::units::{ChannelKey, MessageId, Offset};
use starling_world::World;
use starling_world::executor::Serial;
use starling_world::grants::Grants;
use starling_world::journal::{Health, News, Table};
use starling_world::namespace::{Keep, Namespace, Namespaces};
use starling_world::recording::{Entry, FRAME_HEAD_BYTES, How, Reader, Recorder, Replay};
use std::cell::RefCell;
use std::collections::BTreeMap;

const CHAT: &str = "kept/chat";
const MANY: u64 = CHANNEL_EVENTS_MAX as u64 + 300;
const SECRET: &[u8] = b"what ann said";

fn admin(stage: &mut Stage) -> Guest {
    let mut attach = stage.knock();
    attach.principal.subject = "admin".into();
    attach.principal.grants = Grants { admin: true, ..Grants::open() };
    stage.enter(attach).expect("everyone is let in")
}

fn offer(stage: &mut Stage, guest: &Guest, publish: Publish) {
    stage.event(guest.conn, EventUp::Publish(Box::new(publish)));
}

/// Ann and Bob speak in turn; Ann says what nobody is to know.
fn talk(stage: &mut Stage, ids: std::ops::RangeInclusive<u64>) {
    let both = [stage.guest_named("bob"), stage.guest_named("ann")];
    for id in ids {
        let who = &both[id as usize % 2];
        let payload = if id % 2 == 1 { SECRET.to_vec() } else { b"hello".to_vec() };
        let publish = Publish { payload, ..message(CHAT, id) };
        loop {
            offer(stage, who, publish.clone());
            stage.commit();
            match &stage.events(who.conn)[..] {
                [EventDown::Published { .. }] => break,
                [EventDown::PublishRefused { code: CloseCode::RATE_LIMITED, .. }] => {
                    both.iter().for_each(|who| stage.breathe(who.conn));
                    stage.tick();
                }
                other => panic!("{id}: {other:?}"),
            }
        }
    }
    both.iter().for_each(|who| drop(stage.events(who.conn)));
    both.iter().for_each(|who| stage.detach(who.conn));
}

fn ask(stage: &mut Stage, admin: &Guest) {
    stage.events(admin.conn);
    stage.event(admin.conn, EventUp::Erase { request: 9, subject: "ann".into() });
}

/// The disk does what it is asked until the answer is there.
fn wait(stage: &mut Stage, admin: &Guest) -> Result<u64, CloseCode> {
    for _ in 0..100 {
        stage.breathe(admin.conn);
        stage.tick();
        stage.answer();
        stage.commit();
        for event in stage.events(admin.conn) {
            match event {
                EventDown::Erased { request: 9, events } => return Ok(events),
                EventDown::RequestRefused { request: 9, code, .. } => return Err(code),
                _ => {}
            }
        }
    }
    panic!("no answer")
}

/// No row has the secret.
fn nothing_is_left(stage: &Stage) {
    let has = |value: &[u8]| value.windows(SECRET.len()).any(|part| part == SECRET);
    let left = stage.disk.rows.iter().filter(|(_, value)| has(value)).count();
    assert_eq!(left, 0, "rows with what was erased");
}

/// Every event of the channel, as a follower from the beginning gets it.
fn listen(stage: &mut Stage) -> BTreeMap<u64, (Action, Vec<u8>)> {
    let eve = stage.guest_named("eve");
    let Answer::Reset(top) = stage.subscribe(eve.conn, 1, CHAT) else { panic!("from now") };
    stage.subscribe_with(eve.conn, 1, CHAT, Some(place(top.epoch, 0)), false);
    let mut told = BTreeMap::new();
    while told.len() < top.offset.0 as usize {
        stage.answer();
        stage.allow(eve.conn, 1_000_000);
        stage.breathe(eve.conn);
        stage.tick();
        for event in stage.events(eve.conn) {
            match event {
                EventDown::Deliver(e) if e.key == ChannelKey(1) => {
                    told.insert(e.offset.0, (e.action, e.payload));
                }
                EventDown::Gap { .. } => panic!("a hole"),
                _ => {}
            }
        }
    }
    told
}

fn is_erased(told: &BTreeMap<u64, (Action, Vec<u8>)>, last: u64) {
    assert!(told.keys().copied().eq(1..=last));
    for (offset, (action, payload)) in told {
        match offset % 2 {
            1 => assert_eq!((action, payload.as_slice()), (&Action::Tombstone, &b""[..])),
            _ => assert_eq!((action, payload.as_slice()), (&Action::Message, &b"hello"[..])),
        }
    }
}

#[test]
fn memory_and_disk_keep_numbers_and_nothing_else_also_after_a_restart() {
    let mut stage = Stage::durable();
    talk(&mut stage, 1..=MANY);
    let admin = admin(&mut stage);
    ask(&mut stage, &admin);
    assert_eq!(wait(&mut stage, &admin), Ok(MANY / 2));
    nothing_is_left(&stage);
    is_erased(&listen(&mut stage), MANY);
    stage.crash(0);
    nothing_is_left(&stage);
    is_erased(&listen(&mut stage), MANY);
}

#[test]
fn the_answer_comes_when_it_is_on_stable_storage_and_not_before() {
    let mut stage = Stage::durable();
    talk(&mut stage, 1..=6);
    let admin = admin(&mut stage);
    ask(&mut stage, &admin);
    for _ in 0..5 {
        stage.breathe(admin.conn);
        stage.tick();
        assert!(stage.events(admin.conn).is_empty());
    }
    assert_eq!(wait(&mut stage, &admin), Ok(3));
}

#[test]
fn a_restart_in_the_middle_ends_what_was_begun() {
    let mut stage = Stage::durable();
    talk(&mut stage, 1..=MANY);
    let admin = admin(&mut stage);
    ask(&mut stage, &admin);
    stage.tick();
    stage.commit();
    stage.crash(0);
    for _ in 0..50 {
        stage.tick();
        stage.answer();
        stage.commit();
    }
    assert_eq!(stage.world.counters().erasures, 1);
    nothing_is_left(&stage);
    is_erased(&listen(&mut stage), MANY);
    stage.crash(usize::MAX);
    stage.ticks(3);
    assert_eq!(stage.world.counters().erasures, 0, "once is enough");
}

#[test]
fn what_is_on_its_way_to_the_disk_gets_there_as_a_tombstone() {
    let mut stage = Stage::durable();
    let (ann, bob) = (stage.guest_named("ann"), stage.guest_named("bob"));
    let admin = admin(&mut stage);
    let set = |id, value: &[u8]| Publish {
        key: Some("door".into()),
        payload: value.to_vec(),
        ..message(CHAT, id)
    };
    offer(&mut stage, &bob, set(1, b"shut"));
    stage.commit();
    offer(&mut stage, &bob, set(2, b"open"));
    offer(&mut stage, &ann, set(3, SECRET));
    offer(&mut stage, &ann, Publish { payload: SECRET.to_vec(), ..message(CHAT, 4) });
    ask(&mut stage, &admin);
    stage.tick();
    assert_eq!(wait(&mut stage, &admin), Ok(2));
    nothing_is_left(&stage);
    assert_eq!(stage.disk.keys(Table::State).len(), 1, "Bob's value stands");
    let told = stage.events(ann.conn);
    let published = |event: &&EventDown| matches!(event, EventDown::Published { .. });
    assert_eq!(told.iter().filter(published).count(), 2, "they were accepted");
    stage.crash(0);
    let eve = stage.guest_named("eve");
    stage.subscribe(eve.conn, 1, CHAT);
    let values = stage.events(eve.conn).into_iter().find_map(|event| match event {
        EventDown::State { entries, .. } => Some(entries),
        _ => None,
    });
    let values = values.expect("values");
    assert_eq!((values.len(), values[0].payload.as_slice()), (1, &b"open"[..]));
}

#[test]
fn a_value_is_gone_from_the_disk_too() {
    let mut stage = Stage::durable();
    let ann = stage.guest_named("ann");
    let payload = SECRET.to_vec();
    offer(&mut stage, &ann, Publish { key: Some("door".into()), payload, ..message(CHAT, 1) });
    stage.commit();
    let admin = admin(&mut stage);
    ask(&mut stage, &admin);
    assert_eq!(wait(&mut stage, &admin), Ok(1));
    nothing_is_left(&stage);
    assert!(stage.disk.keys(Table::State).is_empty());
}

#[test]
fn what_was_read_before_is_not_told_after() {
    let mut stage = Stage::durable();
    talk(&mut stage, 1..=MANY);
    let eve = stage.guest_named("eve");
    let Answer::Reset(top) = stage.subscribe(eve.conn, 1, CHAT) else { panic!("from now") };
    stage.subscribe_with(eve.conn, 1, CHAT, Some(place(top.epoch, 0)), false);
    let late = stage.disk.queries.pop_front();
    assert!(late.is_some(), "a page is under way");
    let before = stage.disk.clone();
    let admin = admin(&mut stage);
    ask(&mut stage, &admin);
    assert_eq!(wait(&mut stage, &admin), Ok(MANY / 2));
    if let Some(query) = late {
        // The store had read these rows before they were written anew.
        let (ticket, rows) = (query.ticket, before.find(&query.rows));
        stage.news(News::Found { ticket, rows });
    }
    let mut told = BTreeMap::new();
    for _ in 0..100 {
        stage.answer();
        stage.allow(eve.conn, 1_000_000);
        stage.breathe(eve.conn);
        stage.tick();
        for event in stage.events(eve.conn) {
            if let EventDown::Deliver(e) = event {
                told.insert(e.offset.0, (e.action, e.payload));
            }
        }
    }
    is_erased(&told, MANY);
}

/// A disk without room, and an admin whose request waits for some.
fn asked_without_room() -> (Stage, Guest) {
    let mut stage = Stage::durable();
    talk(&mut stage, 1..=6);
    let admin = admin(&mut stage);
    stage.news(News::Health(Health::Full));
    ask(&mut stage, &admin);
    stage.ticks_with(5, &[admin.conn]);
    stage.commit();
    assert!(stage.events(admin.conn).is_empty());
    (stage, admin)
}

#[test]
fn a_store_that_takes_nothing_is_waited_for() {
    let (mut stage, admin) = asked_without_room();
    stage.news(News::Health(Health::Well));
    assert_eq!(wait(&mut stage, &admin), Ok(3));
}

/// A store that failed takes nothing until a restart: whoever waits hears so, and whoever asks.
#[test]
fn where_the_store_has_failed_nobody_waits_for_an_answer() {
    let (mut stage, admin) = asked_without_room();
    stage.news(News::Health(Health::Failed));
    assert_eq!(wait(&mut stage, &admin), Err(CloseCode::STORE_BUSY));
    ask(&mut stage, &admin);
    assert_eq!(wait(&mut stage, &admin), Err(CloseCode::STORE_BUSY));
}

/// What is on stable storage needs nothing more of the store.
#[test]
fn an_erasure_that_is_committed_is_answered_although_the_store_takes_nothing() {
    let mut stage = Stage::durable();
    talk(&mut stage, 1..=6);
    let admin = admin(&mut stage);
    ask(&mut stage, &admin);
    stage.ticks_with(5, &[admin.conn]);
    assert!(stage.events(admin.conn).is_empty());
    stage.news(News::Health(Health::Full));
    stage.commit();
    assert_eq!(wait(&mut stage, &admin), Ok(3));
}

/// What was to be erased expired while the store had no room, and the channel was forgotten.
#[test]
fn a_channel_that_is_forgotten_while_it_waits_to_be_read_is_passed_over() {
    let mut stage = Stage::durable_with(|config| {
        let keep = Keep { age_ms: 60_000, ..Keep::DURABLE };
        let kept = Namespace { keep, ..Namespace::new("kept").durable() };
        config.namespaces = Namespaces::of(vec![kept, Namespace::new("")]);
    });
    talk(&mut stage, 1..=MANY);
    let admin = admin(&mut stage);
    stage.news(News::Health(Health::Full));
    ask(&mut stage, &admin);
    stage.news(News::Health(Health::Well));
    while stage.disk.queries.is_empty() {
        stage.ticks_with(1, &[admin.conn]);
    }
    stage.news(News::Health(Health::Full));
    assert!(stage.answer_one(), "the first page");
    assert!(stage.events(admin.conn).is_empty());
    stage.ticks_with(2_000, &[admin.conn]);
    assert_eq!(stage.world.counters().channels_forgotten, 1);
    stage.news(News::Health(Health::Well));
    wait(&mut stage, &admin).expect("the rest has expired");
}

/// P16: a channel that cannot be read cannot be erased, and whoever asked for it hears so.
#[test]
fn a_damaged_channel_is_told_and_the_others_are_erased() {
    let mut stage = Stage::durable();
    talk(&mut stage, 1..=MANY);
    let ann = stage.guest_named("ann");
    offer(&mut stage, &ann, Publish { payload: SECRET.to_vec(), ..message("kept/other", 9_999) });
    stage.commit();
    let key = stage.disk.keys(Table::Event)[1].clone();
    stage.disk.damage(Table::Event, &key);
    let admin = admin(&mut stage);
    ask(&mut stage, &admin);
    assert_eq!(wait(&mut stage, &admin), Err(CloseCode::STORE_DAMAGED));
    let eve = stage.guest_named("eve");
    let channel = "kept/other".into();
    let range = HistoryRange::Offsets { from: Offset(1), to: Offset(9) };
    let query = HistoryQuery { request: 7, channel, range, thread: None, limit: 9 };
    stage.event(eve.conn, EventUp::History(Box::new(query)));
    let told = stage.events(eve.conn);
    let shown = told.iter().find_map(|event| match event {
        EventDown::History(page) => Some(page.entries[0].event.action),
        _ => None,
    });
    assert_eq!(shown, Some(Action::Tombstone), "{told:?}");
}

#[test]
fn a_message_id_that_was_used_is_still_known() {
    let mut stage = Stage::durable();
    let ann = stage.guest_named("ann");
    let publish = Publish { payload: SECRET.to_vec(), ..message(CHAT, 5) };
    offer(&mut stage, &ann, publish.clone());
    stage.commit();
    let admin = admin(&mut stage);
    ask(&mut stage, &admin);
    assert_eq!(wait(&mut stage, &admin), Ok(1));
    stage.events(ann.conn);
    offer(&mut stage, &ann, publish);
    stage.commit();
    let told = stage.events(ann.conn);
    let again = |event: &EventDown| {
        matches!(event, EventDown::Published { message: MessageId(5), receipt: Receipt::Channel(at) }
            if at.offset == Offset(1))
    };
    assert!(told.iter().any(again), "P7: {told:?}");
}

/// What was recorded runs again bit for bit, with everything that was read from the disk.
#[test]
fn a_recorded_erasure_runs_again_to_the_same_sums() {
    let mut config = session_stage::game();
    config.namespaces = Namespaces::of(vec![Namespace::new("kept").durable(), Namespace::new("")]);
    let how = How { game: false, kept: true };
    let recorder = RefCell::new(Recorder::begin(&config, how, "test"));
    let reader = Disk::default();
    let world = World::open(config, &Reader::new(&reader, Some(&recorder))).expect("a fresh disk");
    let mut tape = recorder.into_inner();
    tape.opened();
    let mut stage = Stage::of(world);
    stage.tape = Some(tape);
    stage.tick();
    stage.commit();
    talk(&mut stage, 1..=MANY);
    let admin = admin(&mut stage);
    ask(&mut stage, &admin);
    assert_eq!(wait(&mut stage, &admin), Ok(MANY / 2));
    stage.tick();
    let frames = stage.tape.take().expect("it was recorded").take();
    assert!(ticks_again(&frames) > 20);
}

/// How many ticks of a recording came to the same as then.
fn ticks_again(frames: &[u8]) -> usize {
    let (mut began, mut read, mut replay) = (None, Vec::new(), None::<Replay>);
    let (mut rest, mut ticks) = (frames, 0);
    while let Some((head, body)) = rest.split_first_chunk::<FRAME_HEAD_BYTES>() {
        let length = Entry::len_of(*head).expect("a frame of ours");
        let (bytes, next) = body.split_at(length);
        rest = next;
        match (Entry::read(*head, bytes).expect("an entry of ours"), &mut replay) {
            (Entry::Begin(begin), None) => began = Some(begin),
            (Entry::Read(answer), None) => read.push(answer),
            (Entry::Opened, None) => {
                let began = began.take().expect("it begins");
                let read = std::mem::take(&mut read);
                replay = Some(Replay::begin(began, read, None).expect("it stands"));
            }
            (entry, Some(replay)) => {
                let done = replay.take(entry, &Serial).expect("it goes on");
                assert!(done.is_none_or(|tick| tick.is_exact()), "tick {ticks}");
                ticks += usize::from(done.is_some());
            }
            (entry, None) => panic!("before it stands: {entry:?}"),
        }
    }
    ticks
}

/// The notes of others make the same sums in the next life as in this one.
#[test]
fn a_kind_that_an_erasure_emptied_may_be_made_anew_and_is_there_after_a_restart() {
    let mut stage = Stage::durable();
    let (ann, bob) = (stage.guest_named("ann"), stage.guest_named("bob"));
    offer(&mut stage, &bob, message(CHAT, 1));
    stage.commit();
    let note = |stage: &mut Stage, who: &Guest, id: u64, rule: NoteRule, remove: bool| {
        let (message, channel, target) = (MessageId(id), CHAT.to_string(), Offset(1));
        let (kind, name) = ("mood".to_string(), "glad".to_string());
        let said = Annotate { message, channel, target, rule, kind, name, count: 1, remove };
        stage.events(who.conn);
        stage.event(who.conn, EventUp::Annotate(Box::new(said)));
        stage.commit();
        let told = stage.events(who.conn);
        assert!(matches!(told[..], [EventDown::Published { .. }]), "{told:?}");
    };
    note(&mut stage, &bob, 2, NoteRule::Distinct, false);
    note(&mut stage, &ann, 3, NoteRule::Distinct, false);
    note(&mut stage, &bob, 4, NoteRule::Distinct, true);
    let admin = admin(&mut stage);
    ask(&mut stage, &admin);
    assert_eq!(wait(&mut stage, &admin), Ok(1));
    note(&mut stage, &bob, 5, NoteRule::Unique, false);
    stage.crash(usize::MAX);
    let eve = stage.guest_named("eve");
    let (channel, range) = (CHAT.into(), HistoryRange::Newest);
    let query = HistoryQuery { request: 7, channel, range, thread: None, limit: 200 };
    stage.event(eve.conn, EventUp::History(Box::new(query)));
    stage.ticks_with(3, &[eve.conn]);
    let told = stage.events(eve.conn);
    let [EventDown::History(page)] = &told[..] else { panic!("no page: {told:?}") };
    let notes: Vec<_> = page.entries[0].notes.iter().map(|n| (n.rule, n.total)).collect();
    assert_eq!(notes, [(NoteRule::Unique, 1)]);
}
