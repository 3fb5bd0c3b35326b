//! What is written stays within a link's allowance, is shared fairly, and a session that cannot
//! keep up is closed with its state parked (P13).

mod session_stage;

use session_stage::{Stage, message, spawn_at};
use starling_protocol::close::CloseCode;
use starling_protocol::message::control::{ControlDown, ControlUp, ResumeAnswer};
use starling_protocol::message::events::{EventDown, Publish};
use starling_protocol::units::Handle;

#[test]
fn a_link_that_takes_nothing_gets_nothing_until_it_does() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.guest(), stage.guest());
    stage.subscribe(bob.conn, 1, "chat");
    stage.allow(bob.conn, 0);
    stage.tick();
    let before = stage.bytes(bob.conn);
    assert!((0..20).all(|id| stage.say(alice.conn, "chat", id).is_ok()));
    stage.ticks(3);
    assert_eq!(stage.bytes(bob.conn), before);
    stage.allow(bob.conn, 1_000_000);
    stage.tick();
    assert_eq!(stage.delivered(bob.conn, 1).len(), 20);
}

#[test]
fn a_tick_exceeds_its_allowance_by_less_than_one_frame() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.guest(), stage.guest());
    stage.subscribe(bob.conn, 1, "chat");
    stage.allow(bob.conn, 500);
    stage.tick();
    for id in 0..40 {
        let publish = Publish { payload: vec![0; 80], ..message("chat", id) };
        stage.publish(alice.conn, publish).expect("within the rate");
    }
    let mut delivered = stage.delivered(bob.conn, 1).len();
    let mut ticks = 0;
    while delivered < 40 {
        let before = stage.bytes(bob.conn);
        stage.tick();
        let written = stage.bytes(bob.conn) - before;
        assert!((1..500 + 120).contains(&written), "{written} bytes in one tick");
        delivered += stage.delivered(bob.conn, 1).len();
        ticks += 1;
    }
    assert!(ticks > 3, "it took several ticks");
}

#[test]
fn channels_share_a_narrow_link() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.guest(), stage.guest());
    for key in 1..=4 {
        stage.subscribe(bob.conn, key, &format!("c{key}"));
    }
    stage.allow(bob.conn, 0);
    stage.tick();
    for id in 0..40u64 {
        let channel = format!("c{}", id % 4 + 1);
        let publish = Publish { payload: vec![0; 4_000], ..message(&channel, id) };
        stage.publish(alice.conn, publish).expect("within the rate");
    }
    stage.allow(bob.conn, 34_000);
    stage.tick();
    let mut by_key = [0; 5];
    for event in stage.events(bob.conn) {
        if let EventDown::Deliver(event) = event {
            by_key[event.key.0 as usize] += 1;
        }
    }
    assert!(by_key[1..].iter().all(|count| (2..=3).contains(count)), "{by_key:?}");
}

#[test]
fn a_session_that_takes_no_event_for_five_seconds_is_closed_and_may_resume() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.guest(), stage.guest());
    stage.subscribe(bob.conn, 1, "chat");
    stage.allow(bob.conn, 0);
    stage.ticks(10);
    stage.say(alice.conn, "chat", 1).expect("accepted");
    stage.ticks(100);
    assert_eq!(stage.closed(bob.conn), None);
    stage.ticks(2);
    assert_eq!(stage.closed(bob.conn), Some(CloseCode::SLOW_CONSUMER));
    assert_eq!(stage.world.counters().closes[&CloseCode::SLOW_CONSUMER], 1);
    let back = stage.resume(&bob, &[]);
    assert_eq!(back.welcome.resumed, ResumeAnswer::Resumed);
    assert_eq!(stage.delivered(back.conn, 1).len(), 1, "nothing was lost");
    assert_eq!(stage.closed(alice.conn), None, "others are unaffected");
}

#[test]
fn answers_beyond_their_bound_close_the_session() {
    let mut stage = Stage::new();
    let guest = stage.guest();
    stage.allow(guest.conn, 0);
    stage.tick();
    let mut sent = 0;
    while stage.closed(guest.conn).is_none() {
        stage.send(guest.conn, ControlUp::Despawn { handle: Handle(9) });
        sent += 1;
        assert!(sent < 1_000_000, "a bound holds");
    }
    assert_eq!(stage.closed(guest.conn), Some(CloseCode::SLOW_CONSUMER));
}

#[test]
fn a_gateway_may_spawn_two_thousand_at_once() {
    let mut stage = Stage::new();
    let guest = stage.guest();
    stage.allow(guest.conn, 20_000);
    stage.tick();
    for i in 0..2_000 {
        let spawn = spawn_at(&format!("vehicle with a rather long name {i}"), [0.; 3]);
        stage.send(guest.conn, ControlUp::Spawn(Box::new(spawn)));
    }
    stage.ticks(20);
    let control = stage.control(guest.conn);
    let spawned = control.iter().filter(|m| matches!(m, ControlDown::Spawned { .. })).count();
    assert_eq!((spawned, stage.closed(guest.conn)), (2_000, None));
}
