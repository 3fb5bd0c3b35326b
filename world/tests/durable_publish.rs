//! P5: what a durable channel takes is acknowledged and delivered when it is on stable storage, and
//! not before; and what a publisher is told meanwhile.

mod session_stage;

use session_stage::{Guest, Stage, message, place};
use starling_protocol::close::CloseCode;
use starling_protocol::message::control::ControlDown;
use starling_protocol::message::events::*;
use starling_protocol::units::{ChannelKey, ChannelPosition, MessageId, Offset};
use starling_world::World;
use starling_world::input::Command;
use starling_world::journal::{Health, News, Table};
use starling_world::namespace::{Keep, Namespace, Namespaces};

const CHAT: &str = "kept/chat";

/// Receipts by message, as they were told.
fn receipts(told: &[EventDown]) -> Vec<(u64, u64)> {
    let told = told.iter().filter_map(|event| match event {
        EventDown::Published { message, receipt: Receipt::Channel(at) } => {
            Some((message.0, at.offset.0))
        }
        _ => None,
    });
    told.collect()
}

fn deliveries(told: &[EventDown]) -> Vec<(u64, u64)> {
    let told = told.iter().filter_map(|event| match event {
        EventDown::Deliver(event) => Some((event.offset.0, event.message.0)),
        _ => None,
    });
    told.collect()
}

fn refusals(told: &[EventDown]) -> Vec<(CloseCode, Option<u32>)> {
    let told = told.iter().filter_map(|event| match event {
        EventDown::PublishRefused { code, retry_after_ms, .. } => Some((*code, *retry_after_ms)),
        _ => None,
    });
    told.collect()
}

fn start(stage: &mut Stage, who: &Guest, key: u32) -> ChannelPosition {
    match stage.subscribe(who.conn, key, CHAT) {
        Answer::Reset(at) => at,
        other => panic!("from now: {other:?}"),
    }
}

#[test]
fn a_publish_is_acknowledged_and_delivered_when_it_is_on_stable_storage() {
    let mut stage = Stage::durable();
    let (alice, bob) = (stage.guest_named("alice"), stage.guest_named("bob"));
    start(&mut stage, &bob, 1);
    stage.events(bob.conn);
    assert_eq!(stage.offer(&alice, CHAT, 5), []);
    stage.ticks(3);
    assert_eq!((stage.events(alice.conn), stage.events(bob.conn)), (vec![], vec![]));
    assert_eq!(stage.world.stats().events_pending, 1);
    stage.commit();
    assert_eq!(receipts(&stage.events(alice.conn)), [(5, 1)]);
    assert_eq!(deliveries(&stage.events(bob.conn)), [(1, 5)]);
    assert_eq!(stage.world.stats().events_pending, 0);
    assert_eq!(stage.world.counters().events_committed, 1);
}

#[test]
fn commits_in_groups_show_what_they_cover_and_no_more() {
    let mut stage = Stage::durable();
    let (alice, bob) = (stage.guest_named("alice"), stage.guest_named("bob"));
    start(&mut stage, &bob, 1);
    stage.commit();
    (1..=5).for_each(|id| drop(stage.offer(&alice, CHAT, id)));
    stage.events(bob.conn);
    stage.commit_some(2);
    assert_eq!(deliveries(&stage.events(bob.conn)), [(1, 1), (2, 2)]);
    stage.commit_some(0);
    assert_eq!(stage.events(bob.conn), []);
    stage.commit_some(9);
    assert_eq!(deliveries(&stage.events(bob.conn)), [(3, 3), (4, 4), (5, 5)]);
    assert_eq!(receipts(&stage.events(alice.conn)).len(), 5);
}

#[test]
fn nothing_tells_of_what_is_not_on_stable_storage() {
    let mut stage = Stage::durable();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| stage.guest_named(name));
    let at = start(&mut stage, &bob, 1);
    stage.offer(&alice, CHAT, 1);
    stage.commit();
    stage.events(bob.conn);
    (2..=4).for_each(|id| drop(stage.offer(&alice, CHAT, id)));
    assert_eq!(start(&mut stage, &carol, 1), place(at.epoch, 1));
    let resumed = stage.subscribe_with(carol.conn, 1, CHAT, Some(place(at.epoch, 0)), false);
    assert_eq!(resumed, Answer::Resumed);
    stage.ticks_with(150, &[bob.conn, carol.conn]);
    let told = stage.events(carol.conn);
    assert_eq!(deliveries(&told), [(1, 1)]);
    let tops = stage.events(bob.conn).into_iter().chain(told).filter_map(|event| match event {
        EventDown::Tops { tops } => Some(tops),
        EventDown::Subscribed { key, top, .. } => Some(vec![(key, top.offset)]),
        _ => None,
    });
    let tops: Vec<_> = tops.flatten().filter(|(key, _)| *key == ChannelKey(1)).collect();
    assert!(tops.len() >= 4 && tops.iter().all(|(_, top)| *top == Offset(1)), "{tops:?}");
}

#[test]
fn a_repeat_while_it_is_pending_waits_and_is_answered_alike() {
    let mut stage = Stage::durable();
    let [alice, laptop] = [(); 2].map(|()| stage.guest_named("alice"));
    stage.offer(&alice, CHAT, 5);
    assert_eq!(stage.offer(&alice, CHAT, 5), []);
    assert_eq!(stage.offer(&laptop, CHAT, 5), []);
    stage.commit();
    assert_eq!(receipts(&stage.events(alice.conn)), [(5, 1)]);
    assert_eq!(receipts(&stage.events(laptop.conn)), [(5, 1)], "every session that waits");
    assert_eq!(receipts(&stage.offer(&alice, CHAT, 5)), [(5, 1)]);
    assert_eq!(stage.world.counters().events_accepted, 1);
    assert_eq!(stage.world.counters().events_repeated, 3);
}

#[test]
fn a_publisher_that_resumed_meanwhile_is_answered_on_its_new_connection() {
    let mut stage = Stage::durable();
    let alice = stage.guest();
    stage.offer(&alice, CHAT, 5);
    stage.detach(alice.conn);
    let again = stage.resume(&alice, &[]);
    stage.commit();
    assert_eq!(receipts(&stage.events(again.conn)), [(5, 1)]);
    assert_eq!(stage.events(alice.conn), []);
}

#[test]
fn an_id_that_is_used_again_for_something_else_is_refused_and_not_swallowed() {
    let mut stage = Stage::durable();
    let alice = stage.guest_named("alice");
    let other = Publish { payload: b"something else".to_vec(), ..message(CHAT, 5) };
    stage.offer(&alice, CHAT, 5);
    assert_eq!(stage.publish(alice.conn, other.clone()), Err(CloseCode::CONFLICT), "pending");
    stage.crash(usize::MAX);
    let alice = stage.guest_named("alice");
    assert_eq!(stage.publish(alice.conn, other), Err(CloseCode::CONFLICT), "kept");
    assert_eq!(stage.publish(alice.conn, message("kept/b", 5)), Err(CloseCode::CONFLICT));
    assert!(stage.say(alice.conn, CHAT, 5).is_ok(), "the same is a repeat");
}

#[test]
fn an_expected_offset_counts_what_is_pending() {
    let mut stage = Stage::durable();
    let alice = stage.guest_named("alice");
    stage.offer(&alice, CHAT, 1);
    let expecting = |id, top| Publish { expected: Some(Offset(top)), ..message(CHAT, id) };
    assert_eq!(stage.publish(alice.conn, expecting(2, 0)), Err(CloseCode::CONFLICT));
    stage.event(alice.conn, EventUp::Publish(Box::new(expecting(3, 1))));
    assert_eq!(stage.publish(alice.conn, expecting(4, 1)), Err(CloseCode::CONFLICT));
    stage.commit();
    assert_eq!(receipts(&stage.events(alice.conn)), [(1, 1), (3, 2)]);
}

#[test]
fn a_store_that_is_behind_full_or_failed_refuses_durable_channels_alone() {
    let mut stage = Stage::durable();
    let alice = stage.guest_named("alice");
    for (id, (health, code)) in [
        (Health::Behind, CloseCode::STORE_BUSY),
        (Health::Full, CloseCode::STORE_FULL),
        (Health::Failed, CloseCode::STORE_BUSY),
    ]
    .into_iter()
    .enumerate()
    {
        stage.news(News::Health(health));
        let told = stage.offer(&alice, CHAT, 9);
        let [(refused, Some(wait))] = refusals(&told)[..] else { panic!("{told:?}") };
        assert!(refused == code && wait > 0, "{health:?}");
        assert!(stage.say(alice.conn, "memory", id as u64).is_ok(), "memory goes on");
        stage.events(alice.conn);
    }
    stage.news(News::Health(Health::Well));
    assert_eq!(stage.offer(&alice, CHAT, 9), []);
    stage.commit();
    assert_eq!(receipts(&stage.events(alice.conn)), [(9, 1)]);
    assert_eq!(stage.world.counters().events_refused[&CloseCode::STORE_FULL], 1);
}

#[test]
fn what_waits_for_the_disk_is_bounded_and_taken_again_when_it_got_there() {
    let mut stage = Stage::durable();
    let guests: Vec<_> = (0..40).map(|n| stage.guest_named(&n.to_string())).collect();
    let large = |id| Publish { payload: vec![0; 16_384], ..message(CHAT, id) };
    let mut refused = 0;
    for id in 0..60 {
        for guest in &guests {
            stage.event(guest.conn, EventUp::Publish(Box::new(large(id))));
            refused += refusals(&stage.events(guest.conn))
                .iter()
                .filter(|(code, _)| *code == CloseCode::STORE_BUSY)
                .count();
        }
        stage.tick();
    }
    let taken = stage.world.stats().events_pending;
    assert!(refused > 0 && taken * 16_384 < 33 << 20, "{taken} wait, {refused} refused");
    stage.commit();
    stage.events(guests[0].conn);
    assert_eq!(stage.offer(&guests[0], CHAT, 999), []);
}

#[test]
fn a_commit_of_what_was_never_handed_out_shows_nothing() {
    let mut stage = Stage::durable();
    let alice = stage.guest_named("alice");
    stage.offer(&alice, CHAT, 1);
    stage.commit();
    stage.events(alice.conn);
    stage.news(News::Committed { changes: 1 << 40 });
    assert_eq!(stage.offer(&alice, CHAT, 2), []);
    assert_eq!(stage.events(alice.conn), []);
}

#[test]
fn a_message_to_a_memory_channel_or_an_inbox_is_acknowledged_at_once() {
    let mut stage = Stage::durable();
    let (alice, bob) = (stage.guest_named("alice"), stage.guest_named("bob"));
    stage.say(bob.conn, "memory", 9).expect("accepted");
    stage.commit();
    assert!(stage.say(alice.conn, "memory", 1).is_ok());
    let whisper = session_stage::scoped(Scope::Session(bob.session()), 2);
    assert_eq!(stage.publish(alice.conn, whisper), Ok(Receipt::Inboxes(1)));
    assert_eq!(stage.delivered(bob.conn, 0)[0].message, MessageId(2));
    assert!(stage.disk.waiting.is_empty(), "nothing of it goes to the disk");
}

#[test]
fn nobody_is_let_in_before_the_epoch_is_on_stable_storage() {
    let disk = Stage::durable().disk.clone().after_crash(0);
    let world = World::open(session_stage::game(), &disk).expect("readable");
    let mut stage = Stage::of(world);
    let (first, gone) = (stage.knock(), stage.knock());
    let conns = [first.conn, gone.conn];
    for attach in [first, gone] {
        stage.step(Command::Attach(Box::new(attach)));
    }
    stage.ticks(3);
    stage.detach(conns[1]);
    assert!(conns.iter().all(|conn| stage.control(*conn).is_empty()));
    stage.commit();
    assert!(stage.control(conns[0]).is_empty(), "and its session is to be on stable storage too");
    stage.commit();
    assert_eq!(stage.control(conns[0]).len(), 1);
    assert!(stage.control(conns[1]).is_empty(), "it went before the door was opened");
    assert!(stage.world.config().epoch > session_stage::game().epoch);
}

/// What was accepted before the first tick told the time counted as old as the calendar: its ids were
/// forgotten and its events went with the next mark. On the real binary a reader from the beginning was told
/// that the first four of 244 acknowledged events were gone (P5, P7).
#[test]
fn nobody_is_let_in_before_the_time_is_known() {
    let mut config = Stage::durable().world.config().clone();
    let keep = Keep { events: 100, ..Keep::DURABLE };
    let kept = Namespace { keep, ..Namespace::new("kept").durable() };
    config.namespaces = Namespaces::of(vec![kept, Namespace::new("")]);
    let world = World::open(config, &session_stage::disk::Disk::default()).expect("readable");
    let mut stage = Stage::of(world);
    let attach = stage.knock();
    let conn = attach.conn;
    stage.clock(1_800_000_000_000);
    stage.step(Command::Attach(Box::new(attach)));
    stage.commit();
    assert!(stage.control(conn).is_empty(), "committed, but at what time?");
    stage.tick();
    stage.commit();
    let Some(ControlDown::Welcome(welcome)) = stage.control(conn).pop() else {
        panic!("no Welcome")
    };
    let alice = Guest { conn, welcome: *welcome };
    for id in 1..=9 {
        stage.offer(&alice, CHAT, id);
        stage.ticks(40);
    }
    stage.commit();
    assert_eq!(receipts(&stage.events(conn)).len(), 9);
    assert_eq!(stage.disk.keys(Table::Event).len(), 9, "all of them are kept");
    assert_eq!(receipts(&stage.offer(&alice, CHAT, 1)), [(1, 1)], "and known");
}
