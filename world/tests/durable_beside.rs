//! P5: values, versions, notes and receipts of durable channels are there after a restart, as they
//! were when the disk last knew.

mod session_stage;

use session_stage::{Guest, Stage, message};
use starling_protocol::close::CloseCode;
use starling_protocol::codec;
use starling_protocol::limits::EVENT_BYTES_MAX;
use starling_protocol::message::events::*;
use starling_protocol::units::{ChannelKey, MessageId, Offset};
use starling_world::journal::Table;
use std::collections::BTreeMap;

const ROOM: &str = "kept/room";

fn set(id: u64, key: &str, value: &[u8]) -> Publish {
    Publish { key: Some(key.into()), payload: value.to_vec(), ..message(ROOM, id) }
}

/// Offers it, lets the disk have it, and returns the answer.
fn kept(stage: &mut Stage, guest: &Guest, publish: Publish) -> Result<u64, CloseCode> {
    stage.events(guest.conn);
    stage.event(guest.conn, EventUp::Publish(Box::new(publish)));
    answer_of(stage, guest)
}

fn noted(stage: &mut Stage, guest: &Guest, note: Annotate) -> Result<u64, CloseCode> {
    stage.events(guest.conn);
    stage.event(guest.conn, EventUp::Annotate(Box::new(note)));
    answer_of(stage, guest)
}

fn answer_of(stage: &mut Stage, guest: &Guest) -> Result<u64, CloseCode> {
    stage.commit();
    let answers = stage.events(guest.conn).into_iter().filter_map(|event| match event {
        EventDown::Published { receipt: Receipt::Channel(at), .. } => Some(Ok(at.offset.0)),
        EventDown::PublishRefused { code, .. } => Some(Err(code)),
        _ => None,
    });
    let answers: Vec<_> = answers.collect();
    assert_eq!(answers.len(), 1, "exactly one answer");
    answers[0]
}

/// The values that a new follower is told.
fn values(stage: &mut Stage) -> BTreeMap<String, (u64, Vec<u8>, bool)> {
    let eve = stage.guest_named("eve");
    values_told(stage, &eve)
}

fn values_told(stage: &mut Stage, eve: &Guest) -> BTreeMap<String, (u64, Vec<u8>, bool)> {
    stage.subscribe(eve.conn, 1, ROOM);
    let entries = stage.events(eve.conn).into_iter().filter_map(|event| match event {
        EventDown::State { entries, .. } => Some(entries),
        _ => None,
    });
    let value = |e: StateEntry| (e.key, (e.offset.0, e.payload, e.ttl_ms.is_some()));
    entries.flatten().map(value).collect()
}

fn heart(id: u64) -> Annotate {
    Annotate {
        message: MessageId(id),
        channel: ROOM.into(),
        target: Offset(1),
        rule: NoteRule::Distinct,
        kind: "reaction".into(),
        name: "heart".into(),
        count: 1,
        remove: false,
    }
}

#[test]
fn values_are_those_that_the_disk_knew_of() {
    let mut stage = Stage::durable();
    let (ann, eve) = (stage.guest_named("ann"), stage.guest_named("eve"));
    assert_eq!(kept(&mut stage, &ann, set(1, "door", b"open")), Ok(1));
    let brief = Publish { ttl_ms: Some(5_000), ..set(2, "lamp", b"on") };
    assert_eq!(kept(&mut stage, &ann, brief), Ok(2));
    assert_eq!(kept(&mut stage, &ann, set(3, "gone", b"x")), Ok(3));
    let clear = Publish { action: Action::Clear, ..set(4, "gone", b"") };
    assert_eq!(kept(&mut stage, &ann, clear), Ok(4));
    stage.event(ann.conn, EventUp::Publish(Box::new(set(5, "door", b"lost"))));
    assert_eq!(
        values_told(&mut stage, &eve)["door"].1,
        b"open",
        "not before it is on stable storage"
    );
    stage.crash(0);
    let before = BTreeMap::from([
        ("door".into(), (1, b"open".to_vec(), false)),
        ("lamp".into(), (2, b"on".to_vec(), true)),
    ]);
    assert_eq!(values(&mut stage), before);
    let ann = stage.guest_named("ann");
    let stale = Publish { expected: Some(Offset(5)), ..set(6, "door", b"no") };
    assert_eq!(kept(&mut stage, &ann, stale), Err(CloseCode::CONFLICT));
    let over = Publish { expected: Some(Offset(1)), ..set(7, "door", b"shut") };
    assert_eq!(kept(&mut stage, &ann, over), Ok(5));
    for _ in 0..130 {
        stage.ticks_with(1, &[ann.conn]);
        stage.commit();
    }
    assert_eq!(values(&mut stage).into_keys().collect::<Vec<_>>(), ["door"]);
    assert_eq!(stage.world.counters().state_ended, 1, "once, although it took a commit");
}

#[test]
fn notes_and_versions_go_on_from_what_they_came_to() {
    let mut stage = Stage::durable();
    let (ann, bob) = (stage.guest_named("ann"), stage.guest_named("bob"));
    assert_eq!(kept(&mut stage, &ann, message(ROOM, 1)), Ok(1));
    assert_eq!(kept(&mut stage, &ann, message(ROOM, 2)), Ok(2));
    assert_eq!(noted(&mut stage, &ann, heart(3)), Ok(3));
    let delete = Publish { action: Action::Delete(Offset(2)), ..message(ROOM, 4) };
    assert_eq!(kept(&mut stage, &ann, delete), Ok(4));
    drop(bob);
    stage.crash(0);
    let (ann, bob) = (stage.guest_named("ann"), stage.guest_named("bob"));
    stage.subscribe(bob.conn, 1, ROOM);
    assert_eq!(noted(&mut stage, &ann, heart(5)), Ok(4), "it is set: nothing new");
    assert_eq!(noted(&mut stage, &bob, heart(6)), Ok(5));
    stage.subscribe_with(bob.conn, 1, ROOM, None, false);
    let gone = Annotate { target: Offset(2), ..heart(7) };
    assert_eq!(noted(&mut stage, &bob, gone), Err(CloseCode::CONFLICT));
    assert_eq!(noted(&mut stage, &bob, Annotate { remove: true, ..heart(8) }), Ok(6));
    stage.subscribe(ann.conn, 1, ROOM);
    assert_eq!(noted(&mut stage, &ann, Annotate { name: "fish".into(), ..heart(9) }), Ok(7));
    let told = stage.delivered(bob.conn, 1);
    let last: Noted = codec::decode(&told.last().expect("told").payload).expect("a Noted");
    assert_eq!((last.summary.total, last.summary.users), (2, 1));
}

/// What is on its way to the disk counts as done for what comes after it (P4).
#[test]
fn a_message_is_deleted_once_although_the_first_is_on_its_way_still() {
    let mut stage = Stage::durable();
    let ann = stage.guest_named("ann");
    assert_eq!(kept(&mut stage, &ann, message(ROOM, 1)), Ok(1));
    let delete = |id| Publish { action: Action::Delete(Offset(1)), ..message(ROOM, id) };
    stage.event(ann.conn, EventUp::Publish(Box::new(delete(2))));
    assert!(stage.events(ann.conn).is_empty(), "it waits for the disk");
    let refused = |stage: &mut Stage, said: EventUp| {
        stage.event(ann.conn, said);
        stage.events(ann.conn).into_iter().find_map(|event| match event {
            EventDown::PublishRefused { code, .. } => Some(code),
            _ => None,
        })
    };
    let update = Publish { action: Action::Update(Offset(1)), ..message(ROOM, 4) };
    let answer = Publish { parent: Some(Offset(1)), ..message(ROOM, 5) };
    for late in [delete(3), update, answer] {
        let code = refused(&mut stage, EventUp::Publish(Box::new(late)));
        assert_eq!(code, Some(CloseCode::CONFLICT));
    }
    let note = EventUp::Annotate(Box::new(heart(6)));
    assert_eq!(refused(&mut stage, note), Some(CloseCode::CONFLICT));
    assert_eq!(answer_of(&mut stage, &ann), Ok(2));
}

#[test]
fn appends_on_their_way_count_for_how_long_a_message_may_be() {
    let mut stage = Stage::durable();
    let ann = stage.guest_named("ann");
    assert_eq!(kept(&mut stage, &ann, message(ROOM, 1)), Ok(1));
    let half = vec![0; EVENT_BYTES_MAX / 2];
    for id in 2..=3 {
        let (action, payload) = (Action::Append(Offset(1)), half.clone());
        let append = Publish { action, payload, ..message(ROOM, id) };
        stage.event(ann.conn, EventUp::Publish(Box::new(append)));
    }
    let told = stage.events(ann.conn);
    let code = CloseCode::TOO_LARGE;
    let late = EventDown::PublishRefused { message: MessageId(3), code, retry_after_ms: None };
    assert_eq!(told, [late], "before the first is on the disk");
}

#[test]
fn receipts_are_kept_for_users_with_a_name() {
    let mut stage = Stage::durable();
    let (ann, bob) = (stage.guest_named("ann"), stage.guest_named("bob"));
    for id in 1..=4 {
        assert_eq!(kept(&mut stage, &ann, message(ROOM, id)), Ok(id));
    }
    stage.subscribe(bob.conn, 1, ROOM);
    stage.event(bob.conn, EventUp::Read { key: ChannelKey(1), offset: Offset(3) });
    stage.ticks_with(10, &[ann.conn, bob.conn]);
    stage.commit();
    stage.crash(0);
    let bob = stage.guest_named("bob");
    let channels = vec![ROOM.to_string()];
    stage.event(bob.conn, EventUp::CountUnread { request: 7, channels });
    let unread = Unread { count: 1, read: Offset(3), top: Offset(4) };
    let told = stage.events(bob.conn);
    assert!(told.contains(&EventDown::Unread { request: 7, channels: vec![unread] }), "{told:?}");
}

/// P16 holds for what lies beside events, too.
#[test]
fn a_damaged_value_stops_its_channel() {
    let mut stage = Stage::durable();
    let ann = stage.guest_named("ann");
    assert_eq!(kept(&mut stage, &ann, set(1, "door", b"open")), Ok(1));
    let rows = stage.disk.keys(Table::State);
    stage.disk.damage(Table::State, &rows[0]);
    stage.crash(0);
    let ann = stage.guest_named("ann");
    assert_eq!(kept(&mut stage, &ann, set(2, "door", b"shut")), Err(CloseCode::STORE_DAMAGED));
    let answer = stage.subscribe(ann.conn, 1, ROOM);
    assert_eq!(answer, Answer::Denied(CloseCode::STORE_DAMAGED));
}

/// P5: history tells sums of notes that are on stable storage.
#[test]
fn a_note_is_told_in_history_when_it_is_on_stable_storage() {
    let mut stage = Stage::durable();
    let (ann, bob) = (stage.guest_named("ann"), stage.guest_named("bob"));
    assert_eq!(kept(&mut stage, &ann, message(ROOM, 1)), Ok(1));
    let hearts = |stage: &mut Stage| {
        let (channel, range) = (ROOM.into(), HistoryRange::Newest);
        let query = HistoryQuery { request: 7, channel, range, thread: None, limit: 200 };
        stage.events(bob.conn);
        stage.event(bob.conn, EventUp::History(Box::new(query)));
        stage.ticks_with(3, &[ann.conn, bob.conn]);
        let told = stage.events(bob.conn).into_iter().find_map(|event| match event {
            EventDown::History(page) => Some(page.entries),
            _ => None,
        });
        told.expect("a page")[0].notes.iter().map(|sum| sum.total).collect::<Vec<_>>()
    };
    stage.event(ann.conn, EventUp::Annotate(Box::new(heart(2))));
    assert_eq!(hearts(&mut stage), []);
    stage.commit();
    assert_eq!(hearts(&mut stage), [1]);
    stage.event(bob.conn, EventUp::Annotate(Box::new(heart(3))));
    stage.event(ann.conn, EventUp::Annotate(Box::new(Annotate { remove: true, ..heart(4) })));
    assert_eq!(hearts(&mut stage), [1]);
    stage.commit_some(1);
    assert_eq!(hearts(&mut stage), [2]);
    stage.commit();
    assert_eq!(hearts(&mut stage), [1]);
}

/// A note that is set already is answered when that is on stable storage, whatever else is on its way.
#[test]
fn a_note_that_changes_nothing_is_answered_when_what_it_rests_on_is_kept() {
    let mut stage = Stage::durable();
    let ann = stage.guest_named("ann");
    assert_eq!(kept(&mut stage, &ann, message(ROOM, 1)), Ok(1));
    assert_eq!(noted(&mut stage, &ann, heart(2)), Ok(2));
    stage.event(ann.conn, EventUp::Publish(Box::new(message(ROOM, 3))));
    stage.event(ann.conn, EventUp::Annotate(Box::new(heart(4))));
    let receipts = |stage: &mut Stage| {
        let told = stage.events(ann.conn).into_iter().filter_map(|event| match event {
            EventDown::Published { message, receipt: Receipt::Channel(at) } => {
                Some((message.0, at.offset.0))
            }
            EventDown::PublishRefused { code, .. } => panic!("{code}"),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    assert_eq!(receipts(&mut stage), [(4, 2)], "it is kept, another event is not");
    let flag = |id| Annotate {
        rule: NoteRule::Flag,
        kind: "flag".into(),
        name: String::new(),
        ..heart(id)
    };
    stage.event(ann.conn, EventUp::Annotate(Box::new(flag(5))));
    stage.event(ann.conn, EventUp::Annotate(Box::new(flag(6))));
    stage.event(ann.conn, EventUp::Annotate(Box::new(flag(6))));
    assert_eq!(receipts(&mut stage), []);
    stage.commit();
    assert_eq!(receipts(&mut stage), [(3, 3), (5, 4), (6, 4)]);
    stage.crash(0);
    let ann = stage.guest_named("ann");
    assert_eq!(noted(&mut stage, &ann, flag(6)), Ok(4), "P7: known also by the next life");
}

/// Values that are on their way to the disk take room, and make it where they remove one.
#[test]
fn values_on_their_way_count_for_what_a_channel_may_hold() {
    let mut stage = Stage::durable();
    let ann = stage.guest_named("ann");
    let mut refused = Vec::new();
    let mut say = |stage: &mut Stage, publish| {
        stage.event(ann.conn, EventUp::Publish(Box::new(publish)));
        refused.extend(stage.events(ann.conn).into_iter().filter_map(|event| match event {
            EventDown::PublishRefused { message, code, .. } => Some((message.0, code)),
            _ => None,
        }));
        stage.breathe(ann.conn);
        stage.tick();
        refused.clone()
    };
    let large = vec![7; EVENT_BYTES_MAX];
    let fit = (1..300).find(|id| !say(&mut stage, set(*id, &format!("k{id}"), &large)).is_empty());
    let over = fit.expect("there is a bound");
    assert!((200..257).contains(&over), "four megabytes of sixteen kilobytes each: {over}");
    let clear = Publish { action: Action::Clear, ..set(301, "k1", b"") };
    assert_eq!(say(&mut stage, clear).len(), 1);
    assert_eq!(say(&mut stage, set(302, "new", &large)), [(over, CloseCode::LIMIT)]);
    assert_eq!(say(&mut stage, set(303, "more", &large)).len(), 2);
    stage.commit();
    assert_eq!(stage.disk.keys(Table::State).len() as u64, over - 1);
}
