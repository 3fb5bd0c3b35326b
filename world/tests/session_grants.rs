//! P12 and P14: what a session gets, it gets by a grant that is valid now; and how a server leaves.

mod session_stage;

use session_stage::{Guest, Stage, patterns, scoped, spawn_at};
use starling_protocol::close::CloseCode;
use starling_protocol::message::control::*;
use starling_protocol::message::events::{Answer, EventDown, Scope};
use starling_protocol::message::interest::{Interest, Shape};
use starling_protocol::units::ChannelKey;
use starling_world::grants::{Grants, Principal};
use starling_world::input::{Command, ConnId};

fn regrant(stage: &mut Stage, guest: &Guest, grants: Grants, expires_us: Option<u64>) {
    let principal = Principal { grants, expires_us, ..Principal::default() };
    stage.step(Command::Regrant { conn: guest.conn, principal });
}

fn refused(stage: &mut Stage, conn: ConnId) -> Vec<(RequestKind, CloseCode)> {
    let control = stage.control(conn).into_iter().filter_map(|message| match message {
        ControlDown::RequestRefused { request, code } => Some((request, code)),
        _ => None,
    });
    control.collect()
}

#[test]
fn a_narrower_grant_ends_subscriptions_at_once() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.guest(), stage.guest());
    stage.subscribe(bob.conn, 1, "open");
    stage.subscribe(bob.conn, 2, "closed");
    stage.subscribe(bob.conn, 3, "presence/open");
    stage.events(bob.conn);
    let narrow = Grants { subscribe: patterns(&["open"]), ..Grants::open() };
    regrant(&mut stage, &bob, narrow, None);
    assert_eq!(stage.control(bob.conn), [ControlDown::TokenAccepted]);
    let code = CloseCode::FORBIDDEN;
    let ended = |key| EventDown::Unsubscribed { key: ChannelKey(key), code };
    assert_eq!(stage.events(bob.conn), [ended(2), ended(3)]);
    stage.say(alice.conn, "closed", 1).expect("alice may");
    stage.say(alice.conn, "open", 2).expect("alice may");
    let got = stage.events(bob.conn);
    assert!(matches!(&got[..], [EventDown::Deliver(event)] if event.key == ChannelKey(1)));
}

#[test]
fn grants_are_checked_anew_when_a_session_resumes() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.guest(), stage.guest());
    stage.subscribe(bob.conn, 1, "chat");
    stage.detach(bob.conn);
    stage.say(alice.conn, "chat", 1).expect("accepted");
    let mut attach = stage.knock_again(&bob, &[]);
    attach.principal.grants.subscribe.clear();
    let back = stage.enter(attach).expect("resumed");
    let events = stage.events(back.conn);
    assert!(!events.iter().any(|event| matches!(event, EventDown::Deliver(_))), "{events:?}");
    assert!(
        events
            .contains(&EventDown::Unsubscribed { key: ChannelKey(1), code: CloseCode::FORBIDDEN })
    );
}

#[test]
fn without_the_grant_to_publish_or_move_the_next_request_is_refused() {
    let mut stage = Stage::new();
    let guest = stage.guest();
    let (handle, _) = stage.spawn(guest.conn, spawn_at("a", [0.; 3])).expect("room");
    let none = Grants { r#move: false, see: false, publish: Vec::new(), ..Grants::open() };
    regrant(&mut stage, &guest, none, None);
    stage.control(guest.conn);
    assert_eq!(stage.say(guest.conn, "chat", 1), Err(CloseCode::FORBIDDEN));
    stage.send(guest.conn, ControlUp::SetFields { handle, fields: Vec::new() });
    let shape = Shape::Point { center: [0.; 3], radius_m: 1.0 };
    let interest = Some(Interest::new(shape));
    stage.send(guest.conn, ControlUp::SetInterest { id: 0, interest });
    let expected = [
        (RequestKind::Fields(handle), CloseCode::FORBIDDEN),
        (RequestKind::Interest(0), CloseCode::FORBIDDEN),
    ];
    assert_eq!(refused(&mut stage, guest.conn), expected);
}

#[test]
fn a_fresh_token_is_of_the_same_subject() {
    let mut stage = Stage::new();
    let guest = stage.guest_named("alice");
    regrant(&mut stage, &guest, Grants::open(), None);
    let other = (RequestKind::Token, CloseCode::FORBIDDEN);
    assert_eq!(refused(&mut stage, guest.conn), [other], "an empty subject is another one");
}

#[test]
fn a_session_whose_token_ends_is_closed_after_ten_seconds_and_may_come_back() {
    let mut stage = Stage::new();
    let mut attach = stage.knock();
    attach.principal.expires_us = Some(5_000_000);
    let guest = stage.enter(attach).expect("valid for five seconds");
    stage.ticks_with(299, &[guest.conn]);
    assert_eq!(stage.closed(guest.conn), None);
    stage.tick();
    assert_eq!(stage.closed(guest.conn), Some(CloseCode::EXPIRED));
    let back = stage.resume(&guest, &[]);
    assert_eq!(back.welcome.resumed, ResumeAnswer::Resumed);
}

#[test]
fn a_fresh_token_in_time_keeps_the_session() {
    let mut stage = Stage::new();
    let mut attach = stage.knock();
    attach.principal.expires_us = Some(5_000_000);
    let guest = stage.enter(attach).expect("valid for five seconds");
    stage.ticks_with(120, &[guest.conn]);
    regrant(&mut stage, &guest, Grants::open(), Some(60_000_000));
    assert_eq!(stage.control(guest.conn), [ControlDown::TokenAccepted]);
    stage.ticks_with(400, &[guest.conn]);
    assert_eq!(stage.closed(guest.conn), None);
}

#[test]
fn on_drain_everyone_is_told_and_nobody_is_let_in() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.guest(), stage.guest());
    stage.step(Command::Drain { deadline_ms: 30_000, jitter_ms: 5_000 });
    let told = ControlDown::GoingAway { deadline_ms: 30_000, jitter_ms: 5_000 };
    for guest in [&alice, &bob] {
        assert_eq!(stage.control(guest.conn), std::slice::from_ref(&told));
    }
    for attach in [stage.knock(), stage.knock_again(&alice, &[])] {
        let refused = stage.enter(attach).expect_err("nobody is let in");
        assert_eq!(refused.code, CloseCode::GOING_AWAY);
    }
    assert!(stage.say(alice.conn, "chat", 1).is_ok(), "what is accepted is still delivered");
    assert!(matches!(stage.subscribe(bob.conn, 1, "chat"), Answer::Reset(_)));
}

#[test]
fn a_drained_server_lets_nobody_in_yet_keeps_those_who_are_there() {
    let mut stage = Stage::new();
    let alice = stage.guest();
    stage.step(Command::Drain { deadline_ms: 1, jitter_ms: 1 });
    stage.ticks_with(100, &[alice.conn]);
    assert_eq!(stage.closed(alice.conn), None, "the shell closes connections, at its deadline");
}

#[test]
fn what_waits_of_a_channel_is_not_told_once_its_grant_is_narrowed() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.guest(), stage.guest());
    stage.allow(bob.conn, 0);
    stage.tick();
    stage.subscribe_unanswered(bob.conn, 1, "closed");
    stage.subscribe_unanswered(bob.conn, 2, "open");
    stage.say(alice.conn, "closed", 1).expect("accepted");
    stage.say(alice.conn, "open", 2).expect("accepted");
    let narrow = Grants { subscribe: patterns(&["open"]), ..Grants::open() };
    regrant(&mut stage, &bob, narrow, None);
    stage.allow(bob.conn, 64 * 1024);
    stage.tick();
    let told = stage.events(bob.conn);
    let of = |key: u32| {
        let key = ChannelKey(key);
        told.iter()
            .filter(|event| match event {
                EventDown::Subscribed { key: k, .. } => *k == key,
                EventDown::Deliver(event) => event.key == key,
                _ => false,
            })
            .count()
    };
    assert_eq!((of(1), of(2)), (0, 2), "{told:?}");
}

#[test]
fn a_session_whose_token_has_ended_is_told_nothing_until_it_shows_a_fresh_one() {
    let mut stage = Stage::new();
    let alice = stage.guest();
    let mut attach = stage.knock();
    attach.principal.expires_us = Some(1_000_000);
    let bob = stage.enter(attach).expect("valid for a second");
    stage.subscribe(bob.conn, 1, "chat");
    stage.ticks_with(19, &[alice.conn, bob.conn]);
    stage.say(alice.conn, "chat", 1).expect("accepted");
    assert_eq!(stage.delivered(bob.conn, 1).len(), 1, "in its last tick it is told");
    stage.tick();
    stage.say(alice.conn, "chat", 2).expect("accepted");
    let to_bob = scoped(Scope::Session(bob.session()), 3);
    stage.publish(alice.conn, to_bob).expect("accepted");
    stage.subscribe_unanswered(bob.conn, 2, "presence/");
    stage.ticks_with(150, &[alice.conn, bob.conn]);
    assert_eq!(stage.events(bob.conn), [], "no event, no page, no answer");
    regrant(&mut stage, &bob, Grants::open(), Some(60_000_000));
    stage.tick();
    let told = stage.events(bob.conn);
    let delivered = told.iter().filter(|event| matches!(event, EventDown::Deliver(_))).count();
    assert_eq!(delivered, 2, "nothing is missing: {told:?}");
    assert!(told.iter().any(|event| matches!(event, EventDown::Members { .. })), "{told:?}");
    assert_eq!(stage.closed(bob.conn), None, "it was no slow reader");
}
