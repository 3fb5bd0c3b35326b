//! Leases: told to those who follow the channel, once a tick and the newest of each; over by
//! themselves, with the subscription and with the session.

mod session_stage;

use session_stage::{Guest, Stage, patterns};
use starling_protocol::close::CloseCode;
use starling_protocol::limits::{LEASE_DATA_BYTES_MAX, LEASE_MS_MAX, LEASES_MAX};
use starling_protocol::message::control::ControlUp;
use starling_protocol::message::events::*;
use starling_protocol::units::ChannelKey;
use starling_world::grants::Grants;

fn lease(name: &str, ttl_ms: u32) -> Lease {
    Lease { key: ChannelKey(1), name: name.into(), ttl_ms, data: b"...".to_vec() }
}

fn says(stage: &mut Stage, guest: &Guest, lease: Lease) {
    stage.event(guest.conn, EventUp::Lease(Box::new(lease)));
}

/// Two who follow a channel.
fn pair() -> (Stage, Guest, Guest) {
    let mut stage = Stage::new();
    let (ann, bob) = (stage.guest(), stage.guest());
    for guest in [&ann, &bob] {
        stage.subscribe(guest.conn, 1, "room");
    }
    stage.events(ann.conn);
    stage.events(bob.conn);
    (stage, ann, bob)
}

/// Names and times of the leases told since the last look.
fn told(stage: &mut Stage, guest: &Guest) -> Vec<(String, u32)> {
    let leases = stage.events(guest.conn).into_iter().filter_map(|event| match event {
        EventDown::Leases { leases, .. } => Some(leases),
        _ => None,
    });
    leases.flatten().map(|lease| (lease.name, lease.ttl_ms)).collect()
}

fn refused(stage: &mut Stage, guest: &Guest) -> Vec<CloseCode> {
    let codes = stage.events(guest.conn).into_iter().filter_map(|event| match event {
        EventDown::RequestRefused { request: 1, code, .. } => Some(code),
        _ => None,
    });
    codes.collect()
}

fn typing(ttl_ms: u32) -> Vec<(String, u32)> {
    vec![("typing".into(), ttl_ms)]
}

#[test]
fn others_are_told_of_it_and_of_its_end() {
    let (mut stage, ann, bob) = pair();
    says(&mut stage, &ann, lease("typing", 500));
    stage.tick();
    let events = stage.events(bob.conn);
    let [EventDown::Leases { key: ChannelKey(1), leases }] = &events[..] else {
        panic!("one message: {events:?}");
    };
    assert_eq!((leases[0].who.session, &leases[0].data[..]), (ann.session(), &b"..."[..]));
    stage.ticks(8);
    assert_eq!(told(&mut stage, &bob), [], "nothing new");
    stage.ticks(2);
    assert_eq!(told(&mut stage, &bob), typing(0), "it has ended by itself");
    assert_eq!(told(&mut stage, &ann), [], "nobody is told of one's own");
}

#[test]
fn it_lasts_as_long_as_it_is_renewed_and_is_ended_by_a_word() {
    let (mut stage, ann, bob) = pair();
    for _ in 0..5 {
        says(&mut stage, &ann, lease("typing", 500));
        stage.ticks(8);
    }
    let renewals = told(&mut stage, &bob);
    assert_eq!(renewals.len(), 5);
    assert!(renewals.iter().all(|(_, ttl_ms)| *ttl_ms > 0), "{renewals:?}");
    says(&mut stage, &ann, lease("typing", 0));
    stage.tick();
    assert_eq!(told(&mut stage, &bob), typing(0));
    says(&mut stage, &ann, lease("typing", 0));
    stage.tick();
    assert_eq!(told(&mut stage, &bob), [], "what has ended does not end again");
}

#[test]
fn it_ends_with_the_subscription_and_with_the_session() {
    let (mut stage, ann, bob) = pair();
    says(&mut stage, &ann, lease("typing", 60_000));
    stage.tick();
    stage.event(ann.conn, EventUp::Unsubscribe { key: ChannelKey(1) });
    stage.tick();
    assert_eq!(told(&mut stage, &bob).last(), typing(0).last());
    stage.subscribe(ann.conn, 1, "room");
    says(&mut stage, &ann, lease("typing", 60_000));
    stage.tick();
    told(&mut stage, &bob);
    stage.send(ann.conn, ControlUp::Goodbye);
    stage.tick();
    assert_eq!(told(&mut stage, &bob), typing(0));
}

#[test]
fn who_comes_later_is_told_what_is_held_and_the_newest_of_each_is_told_once_a_tick() {
    let (mut stage, ann, bob) = pair();
    for at in 0..20_u8 {
        says(&mut stage, &ann, Lease { data: vec![at], ..lease("cursor", 1_000) });
    }
    stage.tick();
    let cursor = |events: Vec<EventDown>| match &events[..] {
        [EventDown::Leases { leases, .. }] => (leases.len(), leases[0].data.clone()),
        other => panic!("one message: {other:?}"),
    };
    assert_eq!(cursor(stage.events(bob.conn)), (1, vec![19]));
    let eve = stage.guest();
    stage.subscribe(eve.conn, 1, "room");
    let mut events = stage.events(eve.conn);
    assert_eq!(cursor(events.split_off(1)), (1, vec![19]));
}

#[test]
fn what_cannot_be_held_is_refused_and_leaves_nothing() {
    let (mut stage, ann, bob) = pair();
    let large = vec![0; LEASE_DATA_BYTES_MAX + 1];
    let bad = [
        (lease("", 1), CloseCode::BAD_NAME),
        (lease(&"x".repeat(33), 1), CloseCode::BAD_NAME),
        (lease("typing", LEASE_MS_MAX + 1), CloseCode::LIMIT),
        (Lease { data: large, ..lease("typing", 1) }, CloseCode::TOO_LARGE),
    ];
    for (lease, code) in bad {
        says(&mut stage, &ann, lease);
        assert_eq!(refused(&mut stage, &ann), [code]);
    }
    for number in 0..=LEASES_MAX {
        says(&mut stage, &ann, lease(&format!("l{number}"), 1_000));
    }
    assert_eq!(refused(&mut stage, &ann), [CloseCode::LIMIT]);
    stage.tick();
    assert_eq!(told(&mut stage, &bob).len(), LEASES_MAX);
    stage.subscribe(ann.conn, 2, "presence/room");
    stage.events(ann.conn);
    says(&mut stage, &ann, Lease { key: ChannelKey(2), ..lease("typing", 1) });
    let told = stage.events(ann.conn);
    let code = |event: &EventDown| match event {
        EventDown::RequestRefused { request: 2, code, .. } => Some(*code),
        _ => None,
    };
    assert_eq!(told.iter().find_map(code), Some(CloseCode::FORBIDDEN));
}

#[test]
fn who_may_not_speak_in_a_channel_holds_no_lease_there() {
    let mut stage = Stage::new();
    let mute = stage.guest_with(Grants { subscribe: patterns(&["*"]), ..Grants::default() });
    stage.subscribe(mute.conn, 1, "room");
    says(&mut stage, &mute, lease("typing", 1_000));
    assert_eq!(refused(&mut stage, &mute), [CloseCode::FORBIDDEN]);
}
