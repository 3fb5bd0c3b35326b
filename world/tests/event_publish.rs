//! P7 and every refusal of a publish: what is accepted is accepted once, what is not is named.

mod session_stage;

use session_stage::{Stage, message, patterns, place, scoped};
use starling_protocol::close::CloseCode;
use starling_protocol::limits::{EVENT_BYTES_MAX, SUBSCRIPTIONS_MAX};
use starling_protocol::message::events::*;
use starling_protocol::message::interest::Target;
use starling_protocol::units::{EntityId, Epoch, Offset, SessionId};
use starling_world::grants::Grants;

#[test]
fn a_repeated_publish_creates_one_event_and_returns_the_same_number() {
    let mut stage = Stage::new();
    let guest = stage.guest();
    stage.subscribe(guest.conn, 1, "chat");
    let first = stage.say(guest.conn, "chat", 5);
    stage.say(guest.conn, "chat", 6).expect("accepted");
    assert_eq!(stage.say(guest.conn, "chat", 5), first);
    assert_eq!(stage.delivered(guest.conn, 1).len(), 2);
    assert_eq!(stage.world.counters().events_repeated, 1);
}

#[test]
fn a_publish_is_recognised_after_a_resume_and_for_ten_minutes() {
    let mut stage = Stage::new();
    let guest = stage.guest();
    let first = stage.say(guest.conn, "chat", 5);
    stage.detach(guest.conn);
    let guest = stage.resume(&guest, &[]);
    assert_eq!(stage.say(guest.conn, "chat", 5), first, "its acknowledgement may have been lost");
    stage.world.skip(600 * 20);
    stage.breathe(guest.conn);
    assert_eq!(stage.say(guest.conn, "chat", 5), first);
    stage.world.skip(1);
    assert_ne!(stage.say(guest.conn, "chat", 5), first, "the window is over");
}

#[test]
fn another_publisher_may_use_the_same_message_id() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.guest(), stage.guest());
    let (first, second) = (stage.say(alice.conn, "chat", 5), stage.say(bob.conn, "chat", 5));
    assert!(first.is_ok() && second.is_ok() && first != second);
}

#[test]
fn a_publish_that_was_refused_may_be_tried_again_under_the_same_id() {
    let mut stage = Stage::new();
    let guest = stage.guest();
    let mut publish = message("chat", 1);
    publish.expected = Some(Offset(9));
    assert_eq!(stage.publish(guest.conn, publish.clone()), Err(CloseCode::CONFLICT));
    publish.expected = Some(Offset(0));
    assert!(stage.publish(guest.conn, publish).is_ok());
}

#[test]
fn an_expected_offset_that_is_not_the_top_is_a_conflict() {
    let mut stage = Stage::new();
    let guest = stage.guest();
    stage.say(guest.conn, "doc", 1).expect("accepted");
    let expecting = |id, offset| Publish { expected: Some(Offset(offset)), ..message("doc", id) };
    assert_eq!(stage.publish(guest.conn, expecting(2, 0)), Err(CloseCode::CONFLICT));
    assert!(stage.publish(guest.conn, expecting(3, 1)).is_ok());
    assert_eq!(stage.publish(guest.conn, expecting(4, 1)), Err(CloseCode::CONFLICT));
}

#[test]
fn what_is_too_large_or_badly_named_is_refused() {
    let mut stage = Stage::new();
    let conn = stage.guest().conn;
    let large = Publish { payload: vec![0; EVENT_BYTES_MAX + 1], ..message("a", 1) };
    assert_eq!(stage.publish(conn, large), Err(CloseCode::TOO_LARGE));
    let largest = Publish { payload: vec![0; EVENT_BYTES_MAX], ..message("a", 2) };
    assert!(stage.publish(conn, largest).is_ok());
    assert_eq!(stage.say(conn, "", 3), Err(CloseCode::BAD_NAME));
    assert_eq!(stage.say(conn, "line\nbreak", 4), Err(CloseCode::BAD_NAME));
    let key = Publish { key: Some("k".repeat(200)), ..message("a", 5) };
    assert_eq!(stage.publish(conn, key), Err(CloseCode::BAD_NAME));
}

#[test]
fn what_the_server_writes_clients_do_not() {
    let mut stage = Stage::new();
    let guest = stage.guest();
    assert_eq!(stage.say(guest.conn, "presence/chat", 1), Err(CloseCode::UNKNOWN_CHANNEL));
    assert_eq!(stage.say(guest.conn, "session/1", 2), Err(CloseCode::UNKNOWN_CHANNEL));
    let noted = Action::Annotate(Offset(1));
    for action in [Action::Join, Action::Leave, Action::Tombstone, noted] {
        let forged = Publish { action, ..message("chat", 3) };
        assert_eq!(stage.publish(guest.conn, forged), Err(CloseCode::FORBIDDEN));
    }
}

#[test]
fn a_change_names_an_event_that_is_kept_and_comes_from_its_publisher() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.guest_named("alice"), stage.guest_named("bob"));
    stage.say(alice.conn, "chat", 1).expect("accepted");
    let change = |id, action| Publish { action, ..message("chat", id) };
    let to = Offset(1);
    assert!(stage.publish(alice.conn, change(2, Action::Update(to))).is_ok());
    assert_eq!(stage.publish(bob.conn, change(1, Action::Delete(to))), Err(CloseCode::FORBIDDEN));
    let note = change(2, Action::Annotate(to));
    assert_eq!(stage.publish(bob.conn, note), Err(CloseCode::FORBIDDEN), "the server makes those");
    let nothing = change(3, Action::Append(Offset(99)));
    assert_eq!(stage.publish(alice.conn, nothing), Err(CloseCode::CONFLICT));
}

#[test]
fn a_publish_beyond_the_rate_is_refused_with_the_time_to_wait() {
    let mut stage = Stage::new();
    let conn = stage.guest().conn;
    assert!((0..50).all(|id| stage.say(conn, "chat", id).is_ok()));
    stage.events(conn);
    assert_eq!(stage.say(conn, "chat", 50), Err(CloseCode::RATE_LIMITED));
    let refused = stage.events(conn);
    let [EventDown::PublishRefused { retry_after_ms: Some(wait), .. }] = refused[..] else {
        panic!("a wait is named: {refused:?}");
    };
    assert!((1..=50).contains(&wait));
    assert!(stage.say(conn, "chat", 3).is_ok(), "a repeat costs nothing");
    stage.tick();
    assert!(stage.say(conn, "chat", 50).is_ok(), "after that time it is accepted");
}

#[test]
fn without_a_grant_a_channel_that_exists_and_one_that_does_not_look_the_same() {
    let mut stage = Stage::new();
    let owner = stage.guest();
    stage.say(owner.conn, "secret", 1).expect("accepted");
    let grants =
        Grants { publish: patterns(&["mine"]), subscribe: patterns(&["mine"]), ..Grants::open() };
    let other = stage.guest_with(grants);
    for (id, channel) in [(1, "secret"), (2, "nothing")] {
        assert_eq!(stage.say(other.conn, channel, id), Err(CloseCode::FORBIDDEN));
        let denied = Answer::Denied(CloseCode::FORBIDDEN);
        assert_eq!(stage.subscribe(other.conn, 1, channel), denied);
        assert_eq!(stage.subscribe(other.conn, 1, &format!("presence/{channel}")), denied);
    }
    let tops = |event: &EventDown| {
        matches!(event, EventDown::Subscribed { key, top, .. }
        if key.0 == 1 && *top != place(Epoch(0), 0))
    };
    assert!(!stage.events(other.conn).iter().any(tops), "a denial says nothing of the channel");
    assert!(stage.say(other.conn, "mine", 3).is_ok());
    let world = scoped(Scope::World, 4);
    assert_eq!(stage.publish(other.conn, world), Err(CloseCode::FORBIDDEN));
}

#[test]
fn a_scope_that_leads_nowhere_is_refused() {
    let mut stage = Stage::new();
    let conn = stage.guest().conn;
    let nobody = Target::Id(EntityId { index: 7, generation: 1 });
    let cases = [
        (Scope::Session(SessionId(999)), CloseCode::UNKNOWN_CHANNEL),
        (Scope::Watchers(nobody), CloseCode::UNKNOWN_ENTITY),
        (Scope::NearMine { entity: None, radius_m: 5.0 }, CloseCode::UNKNOWN_ENTITY),
        (Scope::Near { center: [f64::NAN, 0., 0.], radius_m: 5.0 }, CloseCode::BAD_POSITION),
        (Scope::Near { center: [0.; 3], radius_m: f32::INFINITY }, CloseCode::BAD_POSITION),
        (Scope::Near { center: [0.; 3], radius_m: -1.0 }, CloseCode::BAD_POSITION),
    ];
    for (id, (scope, code)) in cases.into_iter().enumerate() {
        assert_eq!(stage.publish(conn, scoped(scope, id as u64)), Err(code));
    }
    let expecting = Publish { expected: Some(Offset(0)), ..scoped(Scope::World, 99) };
    assert_eq!(stage.publish(conn, expecting), Err(CloseCode::CONFLICT));
}

#[test]
fn ten_thousand_subscriptions_end_at_the_limit_and_others_go_on() {
    let mut stage = Stage::new();
    let (greedy, other) = (stage.guest(), stage.guest());
    stage.allow(greedy.conn, 1_000_000);
    stage.tick();
    let denied = (0..10_000u32).filter(|i| {
        stage.subscribe(greedy.conn, i + 1, &format!("c{i}")) == Answer::Denied(CloseCode::LIMIT)
    });
    assert_eq!(denied.count(), 10_000 - SUBSCRIPTIONS_MAX);
    assert!(matches!(stage.subscribe(other.conn, 1, "c1"), Answer::Reset(_)));
    assert_eq!(stage.closed(greedy.conn), None);
}

#[test]
fn subscribing_on_and_on_is_limited_in_rate() {
    let mut stage = Stage::new();
    let conn = stage.guest().conn;
    let answers = (0..300).map(|_| stage.subscribe(conn, 1, "same")).collect::<Vec<_>>();
    let limited = Answer::Denied(CloseCode::RATE_LIMITED);
    assert_eq!(answers.iter().filter(|a| **a == limited).count(), 300 - SUBSCRIPTIONS_MAX);
    stage.tick();
    assert!(matches!(stage.subscribe(conn, 1, "same"), Answer::Reset(_)));
}
