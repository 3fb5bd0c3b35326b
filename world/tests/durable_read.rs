//! P6, P10, P16 behind what memory holds: a reader gets what is on disk in pages, in order, with
//! what expired told first, and nothing of what is damaged.

mod session_stage;

use session_stage::disk::Disk;
use session_stage::{Guest, Stage, message, place};
use starling_protocol::close::CloseCode;
use starling_protocol::limits::CHANNEL_EVENTS_MAX;
use starling_protocol::message::events::*;
use starling_protocol::units::{ChannelKey, ChannelPosition, Epoch};
use starling_world::journal::Table;
use starling_world::namespace::{Keep, Namespace, Namespaces};

const CHAT: &str = "kept/chat";
const MANY: u64 = CHANNEL_EVENTS_MAX as u64 * 2;

/// Publishes so many events, each committed at once.
fn talk(stage: &mut Stage, who: &Guest, channel: &str, ids: std::ops::RangeInclusive<u64>) {
    for id in ids {
        loop {
            stage.events(who.conn);
            stage.event(who.conn, EventUp::Publish(Box::new(message(channel, id))));
            stage.commit();
            match &stage.events(who.conn)[..] {
                [EventDown::Published { .. }] => break,
                [EventDown::PublishRefused { code: CloseCode::RATE_LIMITED, .. }] => {
                    stage.breathe(who.conn);
                    stage.tick();
                }
                other => panic!("{id}: {other:?}"),
            }
        }
    }
}

/// What a follower is told until nothing comes any more.
fn listen(stage: &mut Stage, who: &Guest) -> (Vec<(u64, u64)>, Vec<u64>) {
    let (mut gaps, mut offsets) = (Vec::new(), Vec::new());
    loop {
        let told = stage.events(who.conn);
        if told.is_empty() && stage.answer() == 0 {
            return (gaps, offsets);
        }
        for event in told {
            match event {
                EventDown::Deliver(event) if event.key == ChannelKey(1) => {
                    offsets.push(event.offset.0);
                }
                EventDown::Gap { from, to, .. } => match gaps.last_mut() {
                    Some((_, last)) if *last + 1 == from.0 => *last = to.0,
                    _ => gaps.push((from.0, to.0)),
                },
                _ => {}
            }
        }
        stage.allow(who.conn, 1_000_000);
        stage.breathe(who.conn);
        stage.tick();
    }
}

/// Where the channel stands; it is not followed.
fn top(stage: &mut Stage, who: &Guest) -> ChannelPosition {
    let answer = stage.subscribe(who.conn, 1, CHAT);
    stage.event(who.conn, EventUp::Unsubscribe { key: ChannelKey(1) });
    match answer {
        Answer::Reset(at) => at,
        other => panic!("from now: {other:?}"),
    }
}

fn follow(stage: &mut Stage, who: &Guest, at: ChannelPosition) -> Answer {
    stage.subscribe_with(who.conn, 1, CHAT, Some(at), false)
}

#[test]
fn who_is_behind_memory_gets_everything_in_order_while_more_is_published() {
    let mut stage = Stage::durable();
    let (alice, bob) = (stage.guest_named("alice"), stage.guest_named("bob"));
    let at = top(&mut stage, &alice);
    talk(&mut stage, &alice, CHAT, 1..=MANY);
    assert_eq!(follow(&mut stage, &bob, place(at.epoch, 3)), Answer::Resumed);
    assert!(stage.disk.queries.len() == 1, "one page at a time");
    talk(&mut stage, &alice, CHAT, MANY + 1..=MANY + 20);
    let (gaps, offsets) = listen(&mut stage, &bob);
    assert_eq!((gaps, offsets), (vec![], (4..=MANY + 20).collect()));
    assert!(stage.world.counters().events_read >= MANY - CHANNEL_EVENTS_MAX as u64 - 3);
    assert_eq!(stage.world.stats().reads_under_way, 0);
}

#[test]
fn a_resume_while_a_page_is_under_way_repeats_nothing_and_leaves_nothing_out() {
    let mut stage = Stage::durable();
    let (alice, bob) = (stage.guest_named("alice"), stage.guest());
    let at = top(&mut stage, &alice);
    talk(&mut stage, &alice, CHAT, 1..=MANY);
    follow(&mut stage, &bob, place(at.epoch, 0));
    let late = stage.disk.queries.pop_front().expect("it asks");
    stage.detach(bob.conn);
    let bob = stage.resume(&bob, &[(ChannelKey(1), place(at.epoch, 7))]);
    stage.disk.queries.push_back(late);
    let (gaps, offsets) = listen(&mut stage, &bob);
    assert_eq!(gaps, []);
    assert!(offsets.into_iter().eq(8..=MANY));
}

#[test]
fn a_crowd_that_comes_back_reads_within_a_bound_and_everyone_gets_everything() {
    let mut stage = Stage::durable();
    let alice = stage.guest_named("alice");
    let at = top(&mut stage, &alice);
    talk(&mut stage, &alice, CHAT, 1..=MANY);
    let crowd: Vec<_> = (0..150).map(|n| stage.guest_named(&format!("fan {n}"))).collect();
    for fan in &crowd {
        assert_eq!(follow(&mut stage, fan, place(at.epoch, 0)), Answer::Resumed);
    }
    let mut got = vec![Vec::new(); crowd.len()];
    for _ in 0..400 {
        assert!(stage.world.stats().reads_under_way <= 64);
        stage.answer();
        for (fan, got) in crowd.iter().zip(&mut got) {
            got.extend(stage.delivered(fan.conn, 1).iter().map(|event| event.offset.0));
            stage.breathe(fan.conn);
        }
        stage.tick();
    }
    assert!(got.iter().all(|got| got.iter().copied().eq(1..=MANY)));
}

fn keeping(events: u64) -> Stage {
    Stage::durable_with(|config| {
        let keep = Keep { events, ..Keep::DURABLE };
        let kept = Namespace { keep, ..Namespace::new("kept").durable() };
        config.namespaces = Namespaces::of(vec![kept, Namespace::new("")]);
    })
}

#[test]
fn what_is_kept_no_longer_is_told_as_a_gap_and_is_gone_from_the_disk() {
    let mut stage = keeping(100);
    let (alice, bob) = (stage.guest_named("alice"), stage.guest_named("bob"));
    let at = top(&mut stage, &alice);
    talk(&mut stage, &alice, CHAT, 1..=300);
    assert_eq!(follow(&mut stage, &bob, place(at.epoch, 3)), Answer::Resumed);
    let (gaps, offsets) = listen(&mut stage, &bob);
    let [(4, to)] = gaps[..] else { panic!("one gap, first: {gaps:?}") };
    assert_eq!(offsets, (to + 1..=300).collect::<Vec<_>>());
    assert!((100..=102).contains(&offsets.len()), "{}", offsets.len());
    stage.commit();
    assert_eq!(stage.disk.keys(Table::Event).len(), offsets.len());
    assert_eq!(stage.world.counters().events_expired, to);
}

#[test]
fn events_expire_by_age_with_the_clock_of_the_world_and_the_channel_with_them() {
    let mut stage = Stage::durable_with(|config| {
        let keep = Keep { age_ms: 5_000, ..Keep::DURABLE };
        let kept = Namespace { keep, ..Namespace::new("kept").durable() };
        config.namespaces = Namespaces::of(vec![kept, Namespace::new("")]);
    });
    let alice = stage.guest_named("alice");
    talk(&mut stage, &alice, CHAT, 1..=5);
    stage.ticks_with(90, &[alice.conn]);
    assert_eq!(stage.disk.keys(Table::Event).len(), 5);
    stage.ticks_with(30, &[alice.conn]);
    stage.commit();
    assert_eq!(stage.disk.keys(Table::Event).len(), 0);
    assert_eq!(stage.disk.keys(Table::Channel).len(), 0, "nothing holds it any more");
}

#[test]
fn retention_that_overtakes_a_reader_is_told_and_is_no_damage() {
    let mut stage = keeping(2_000);
    let (alice, bob) = (stage.guest_named("alice"), stage.guest_named("bob"));
    let at = top(&mut stage, &alice);
    talk(&mut stage, &alice, CHAT, 1..=1_900);
    follow(&mut stage, &bob, place(at.epoch, 0));
    let late = stage.disk.queries.pop_front().expect("it asks");
    talk(&mut stage, &alice, CHAT, 1_901..=2_500);
    stage.disk.queries.push_front(late);
    let (gaps, offsets) = listen(&mut stage, &bob);
    let [(1, to)] = gaps[..] else { panic!("one gap, first: {gaps:?}") };
    assert_eq!(offsets, (to + 1..=2_500).collect::<Vec<_>>());
    assert_eq!(stage.world.counters().channels_damaged, 0);
}

/// P6: retention by age goes by when each event came, also in the next life, whose disk was told
/// only now and then where events lie.
#[test]
fn a_restart_takes_no_event_before_its_time() {
    let mut stage = Stage::durable_with(|config| {
        let keep = Keep { age_ms: 60_000, ..Keep::DURABLE };
        let kept = Namespace { keep, ..Namespace::new("kept").durable() };
        config.namespaces = Namespaces::of(vec![kept, Namespace::new("")]);
    });
    let first_ms = 1_700_000_040_000;
    stage.clock(first_ms);
    stage.tick();
    let alice = stage.guest_named("alice");
    for id in 1..=350 {
        talk(&mut stage, &alice, CHAT, id..=id);
        stage.ticks_with(4, &[alice.conn]); // 200 ms
    }
    let there = stage.disk.keys(Table::Event).len();
    assert!((300..=303).contains(&there), "what is too old is gone in this life: {there}");
    stage.crash(usize::MAX);
    stage.clock(first_ms + 75_000);
    let alice = stage.guest_named("alice");
    stage.ticks_with(20, &[alice.conn]);
    stage.commit();
    let there = stage.disk.keys(Table::Event).len();
    assert!((265..=280).contains(&there), "{there}");
}

/// The key of an event of the only durable channel.
fn row(stage: &Stage, at: usize) -> Vec<u8> {
    stage.disk.keys(Table::Event)[at].clone()
}

#[test]
fn a_damaged_row_that_a_reader_meets_stops_its_channel_and_no_other() {
    let mut stage = Stage::durable();
    let (alice, bob) = (stage.guest_named("alice"), stage.guest_named("bob"));
    let at = top(&mut stage, &alice);
    talk(&mut stage, &alice, CHAT, 1..=MANY);
    let bad = row(&stage, 50);
    stage.disk.damage(Table::Event, &bad);
    assert_eq!(follow(&mut stage, &bob, place(at.epoch, 0)), Answer::Resumed);
    stage.events(bob.conn);
    stage.answer();
    let stopped = EventDown::Unsubscribed { key: ChannelKey(1), code: CloseCode::STORE_DAMAGED };
    assert_eq!(stage.events(bob.conn), [stopped]);
    stage.events(alice.conn);
    assert_eq!(stage.say(alice.conn, CHAT, 9_999), Err(CloseCode::STORE_DAMAGED));
    let denied = Answer::Denied(CloseCode::STORE_DAMAGED);
    assert_eq!(follow(&mut stage, &bob, place(at.epoch, 0)), denied);
    talk(&mut stage, &alice, "kept/other", 10_000..=10_001);
    assert_eq!(stage.world.counters().channels_damaged, 1);
}

#[test]
fn a_row_that_is_missing_amid_others_is_damage_and_never_passed_over() {
    for at in [20, 127, 128] {
        let mut stage = Stage::durable();
        let (alice, bob) = (stage.guest_named("alice"), stage.guest_named("bob"));
        let start = top(&mut stage, &alice);
        talk(&mut stage, &alice, CHAT, 1..=MANY);
        let missing = row(&stage, at);
        stage.disk.rows.remove(&(Table::Event, missing));
        follow(&mut stage, &bob, place(start.epoch, 0));
        let (gaps, offsets) = listen(&mut stage, &bob);
        assert_eq!(gaps, []);
        assert!(offsets.iter().copied().eq(1..=offsets.len() as u64) && offsets.len() <= at);
        assert_eq!(stage.world.counters().channels_damaged, 1);
    }
}

fn restarted(disk: Disk) -> (Stage, Guest) {
    let config = Stage::durable().world.config().clone();
    let mut stage = Stage::on_disk(config, disk);
    let guest = stage.guest_named("alice");
    (stage, guest)
}

#[test]
fn after_a_restart_channels_go_on_in_their_epochs_and_nothing_is_lost() {
    let mut stage = Stage::durable();
    let alice = stage.guest_named("alice");
    let at = top(&mut stage, &alice);
    talk(&mut stage, &alice, CHAT, 1..=MANY);
    stage.event(alice.conn, EventUp::Publish(Box::new(message(CHAT, MANY + 1))));
    let before = stage.world.config().epoch;
    stage.crash(0);
    assert!(stage.world.config().epoch > before);
    let (alice, bob) = (stage.guest_named("alice"), stage.guest_named("bob"));
    assert_eq!(top(&mut stage, &alice), place(at.epoch, MANY));
    assert_eq!(follow(&mut stage, &bob, place(at.epoch, 5)), Answer::Resumed);
    talk(&mut stage, &alice, CHAT, MANY + 1..=MANY + 3);
    let (gaps, offsets) = listen(&mut stage, &bob);
    assert_eq!((gaps, offsets), (vec![], (6..=MANY + 3).collect()));
}

#[test]
fn what_was_committed_and_not_acknowledged_is_recognised_after_a_restart() {
    let mut stage = Stage::durable();
    let alice = stage.guest_named("alice");
    let at = top(&mut stage, &alice);
    stage.commit();
    for id in 1..=3 {
        stage.event(alice.conn, EventUp::Publish(Box::new(message(CHAT, id))));
    }
    stage.crash(2);
    let alice = stage.guest_named("alice");
    for id in 1..=2 {
        let stands = Ok(Receipt::Channel(place(at.epoch, id)));
        assert_eq!(stage.say(alice.conn, CHAT, id), stands, "answered at once");
    }
    stage.events(alice.conn);
    assert_eq!(stage.offer(&alice, CHAT, 3), [], "this one never was there");
    stage.commit();
    let told = stage.events(alice.conn);
    let receipt = Receipt::Channel(place(at.epoch, 3));
    assert!(matches!(&told[..], [EventDown::Published { receipt: r, .. }] if *r == receipt));
    assert_eq!(stage.world.counters().events_repeated, 2);
}

#[test]
fn message_ids_are_forgotten_after_ten_minutes_on_disk_too() {
    let mut stage = Stage::durable();
    let first_ms = 1_700_000_040_000;
    stage.clock(first_ms);
    stage.tick();
    let alice = stage.guest_named("alice");
    talk(&mut stage, &alice, CHAT, 1..=1);
    stage.crash(usize::MAX);
    stage.clock(first_ms + 600_000);
    stage.tick();
    let alice = stage.guest_named("alice");
    assert!(stage.say(alice.conn, CHAT, 1).is_ok(), "still known");
    stage.world.skip(20 * 60);
    stage.breathe(alice.conn);
    stage.tick();
    stage.commit();
    assert_eq!(stage.disk.keys(Table::Seen).len(), 0);
    stage.events(alice.conn);
    assert_eq!(stage.offer(&alice, CHAT, 1), [], "it is a new one");
}

#[test]
fn each_damaged_row_at_the_beginning_stops_its_channel_only() {
    let mut stage = Stage::durable();
    let alice = stage.guest_named("alice");
    talk(&mut stage, &alice, CHAT, 1..=5);
    talk(&mut stage, &alice, "kept/other", 6..=7);
    let disk = stage.disk.clone();
    let (last, first_seen) = (row(&stage, 4), disk.keys(Table::Seen)[0].clone());
    for (table, key) in [(Table::Event, last), (Table::Channel, CHAT.into())] {
        let mut disk = disk.clone().after_crash(0);
        disk.damage(table, &key);
        let (mut stage, alice) = restarted(disk);
        assert_eq!(stage.say(alice.conn, CHAT, 99), Err(CloseCode::STORE_DAMAGED), "{table:?}");
        let denied = Answer::Denied(CloseCode::STORE_DAMAGED);
        assert_eq!(stage.subscribe(alice.conn, 1, CHAT), denied);
        talk(&mut stage, &alice, "kept/other", 8..=8);
        talk(&mut stage, &alice, "kept/new", 100..=100);
        let keys = stage.disk.keys(Table::Event);
        let ids = keys.iter().map(|key| key[..8].to_vec());
        let ids: std::collections::BTreeSet<_> = ids.collect();
        assert_eq!(ids.len(), 3, "{table:?}: no channel has the rows of another");
    }
    let mut disk = disk.after_crash(0);
    disk.damage(Table::Seen, &first_seen);
    let (mut stage, alice) = restarted(disk);
    assert_eq!(stage.say(alice.conn, CHAT, 1), Err(CloseCode::STORE_DAMAGED), "who knows?");
    talk(&mut stage, &alice, CHAT, 50..=50);
}

#[test]
fn one_of_two_rows_says_which_life_was_last_and_without_both_nothing_begins() {
    let stage = Stage::durable();
    let epoch = stage.world.config().epoch;
    let config = stage.world.config().clone();
    let mut disk = stage.disk.clone().after_crash(0);
    disk.damage(Table::World, b"life/0");
    let next = starling_world::World::open(config.clone(), &disk).expect("one is left");
    assert_eq!(next.config().epoch, Epoch(epoch.0 + 1));
    disk.damage(Table::World, b"life/1");
    assert!(starling_world::World::open(config, &disk).is_err());
}

#[test]
fn memory_channels_and_inboxes_are_reset_by_a_restart() {
    let mut stage = Stage::durable();
    let alice = stage.guest_named("alice");
    stage.say(alice.conn, "memory", 1).expect("accepted");
    let Answer::Reset(at) = stage.subscribe(alice.conn, 2, "memory") else { panic!("from now") };
    stage.crash(usize::MAX);
    let alice = stage.guest_named("alice");
    let answer = stage.subscribe_with(alice.conn, 2, "memory", Some(at), false);
    assert!(matches!(answer, Answer::Reset(place) if place.epoch != at.epoch));
}
