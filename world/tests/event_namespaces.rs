//! Namespaces: what a channel is like follows from the beginning of its name, and every refusal has
//! its code.

mod session_stage;

use session_stage::{Stage, message, patterns};
use starling_protocol::close::CloseCode;
use starling_protocol::message::events::*;
use starling_protocol::units::{ChannelKey, Offset};
use starling_world::grants::Grants;
use starling_world::namespace::{Access, Keep, Namespace, Namespaces};

fn stage(namespaces: Vec<Namespace>) -> Stage {
    Stage::with(|config| config.namespaces = Namespaces::of(namespaces))
}

fn denied(code: CloseCode) -> Answer {
    Answer::Denied(code)
}

#[test]
fn a_channel_of_no_namespace_does_not_exist() {
    let mut stage = stage(vec![Namespace::new("chat")]);
    let guest = stage.guest();
    let unknown = CloseCode::UNKNOWN_CHANNEL;
    assert_eq!(stage.subscribe(guest.conn, 1, "orders"), denied(unknown));
    assert_eq!(stage.subscribe(guest.conn, 1, "presence/orders"), denied(unknown));
    assert_eq!(stage.say(guest.conn, "orders", 1), Err(unknown));
    assert_eq!(stage.say(guest.conn, "chatter", 2), Err(unknown));
    assert!(stage.say(guest.conn, "chat/lobby", 3).is_ok());
    assert!(matches!(stage.subscribe(guest.conn, 1, "presence/"), Answer::Reset(_)));
}

#[test]
fn members_state_and_size_are_as_the_namespace_says() {
    let bare =
        Namespace { presence: false, state: false, payload_bytes_max: 8, ..Namespace::new("bare") };
    let mut stage = stage(vec![bare]);
    let guest = stage.guest();
    let forbidden = CloseCode::FORBIDDEN;
    let with_presence = stage.subscribe_with(guest.conn, 1, "bare", None, true);
    assert_eq!(with_presence, denied(forbidden));
    let list = stage.subscribe(guest.conn, 1, "presence/bare");
    assert_eq!(list, denied(CloseCode::UNKNOWN_CHANNEL));
    let keyed = Publish { key: Some("k".into()), ..message("bare", 1) };
    assert_eq!(stage.publish(guest.conn, keyed), Err(forbidden));
    let long = Publish { payload: vec![0; 9], ..message("bare", 2) };
    assert_eq!(stage.publish(guest.conn, long), Err(CloseCode::TOO_LARGE));
    assert!(stage.say(guest.conn, "bare", 3).is_ok(), "eight bytes fit");
}

#[test]
fn a_namespace_has_a_rate_of_its_own_and_says_how_long_to_wait() {
    let slow = Namespace { publishes_per_second: Some(2), ..Namespace::new("slow") };
    let mut stage = stage(vec![Namespace::new(""), slow]);
    let guest = stage.guest();
    assert!(stage.say(guest.conn, "slow/a", 1).is_ok());
    assert!(stage.say(guest.conn, "slow/b", 2).is_ok());
    stage.events(guest.conn);
    let publish = Box::new(message("slow/a", 3));
    stage.event(guest.conn, EventUp::Publish(publish));
    let told = stage.events(guest.conn);
    let code = CloseCode::RATE_LIMITED;
    let refused = |event: &EventDown| {
        matches!(event, EventDown::PublishRefused { code: c, retry_after_ms: Some(500), .. }
            if *c == code)
    };
    assert!(told.iter().any(refused), "{told:?}");
    assert!(stage.say(guest.conn, "fast", 4).is_ok(), "others are not held up");
    stage.ticks(10);
    assert!(stage.say(guest.conn, "slow/a", 5).is_ok());
}

#[test]
fn who_may_do_what_can_be_said_for_everyone_or_nobody() {
    let news = Namespace {
        subscribe: Access::Everyone,
        publish: Access::Nobody,
        ..Namespace::new("news")
    };
    let closed = Namespace { subscribe: Access::Nobody, ..Namespace::new("closed") };
    let mut stage = stage(vec![news, closed]);
    let nothing = stage.guest_with(Grants::default());
    let all = stage.guest();
    assert!(matches!(stage.subscribe(nothing.conn, 1, "news"), Answer::Reset(_)));
    assert_eq!(stage.say(all.conn, "news", 1), Err(CloseCode::FORBIDDEN));
    assert_eq!(stage.subscribe(all.conn, 1, "closed"), denied(CloseCode::FORBIDDEN));
    assert_eq!(stage.subscribe(nothing.conn, 2, "closed"), denied(CloseCode::FORBIDDEN));
}

#[test]
fn memory_keeps_what_the_namespace_says() {
    let keep = Keep { events: 2, ..Keep::MEMORY };
    let mut stage = stage(vec![Namespace { keep, ..Namespace::new("short") }]);
    let guest = stage.guest();
    let Answer::Reset(start) = stage.subscribe(guest.conn, 1, "short") else {
        panic!("a new subscription starts now")
    };
    stage.event(guest.conn, EventUp::Unsubscribe { key: ChannelKey(1) });
    (1..=3).for_each(|id| assert!(stage.say(guest.conn, "short", id).is_ok()));
    stage.events(guest.conn);
    let answer = stage.subscribe_with(guest.conn, 1, "short", Some(start), false);
    assert_eq!(answer, Answer::Resumed);
    let gap = EventDown::Gap { key: ChannelKey(1), from: Offset(1), to: Offset(1) };
    assert!(stage.events(guest.conn).contains(&gap));
}

#[test]
fn a_conflated_channel_says_so() {
    let latest = Namespace { class: DeliveryClass::Conflated, ..Namespace::new("latest") };
    let mut stage = stage(vec![latest]);
    let guest = stage.guest();
    stage.subscribe(guest.conn, 1, "latest/prices");
    let told = stage.events(guest.conn);
    let conflated = |event: &EventDown| {
        matches!(event, EventDown::Subscribed { class: DeliveryClass::Conflated, .. })
    };
    assert!(told.iter().any(conflated), "{told:?}");
}

#[test]
fn events_of_others_are_changed_by_whom_the_token_lets() {
    let mut stage = stage(vec![Namespace::new("")]);
    let (alice, bob) = (stage.guest(), stage.guest());
    let moderator = Grants { delete_any: patterns(&["chat/*"]), ..Grants::open() };
    let moderator = stage.guest_with(moderator);
    stage.say(alice.conn, "chat/a", 1).expect("accepted");
    let act = |action, id| Publish { action, ..message("chat/a", id) };
    let refused = Err(CloseCode::FORBIDDEN);
    assert_eq!(stage.publish(bob.conn, act(Action::Delete(Offset(1)), 2)), refused);
    assert_eq!(stage.publish(moderator.conn, act(Action::Update(Offset(1)), 3)), refused);
    assert!(stage.publish(moderator.conn, act(Action::Delete(Offset(1)), 4)).is_ok());
}

#[test]
fn the_right_to_see_members_is_one_of_its_own_where_it_is_named() {
    let mut stage = stage(vec![Namespace::new("")]);
    let narrow = Grants { presence: Some(patterns(&["open/*"])), ..Grants::open() };
    let guest = stage.guest_with(narrow);
    let forbidden = denied(CloseCode::FORBIDDEN);
    assert_eq!(stage.subscribe(guest.conn, 1, "presence/closed/a"), forbidden);
    assert_eq!(stage.subscribe_with(guest.conn, 1, "closed/a", None, true), forbidden);
    assert_eq!(stage.subscribe(guest.conn, 1, "presence/"), forbidden);
    assert!(matches!(stage.subscribe(guest.conn, 1, "closed/a"), Answer::Reset(_)));
    assert!(matches!(stage.subscribe(guest.conn, 2, "presence/open/a"), Answer::Reset(_)));
    let member = stage.subscribe_with(guest.conn, 3, "open/a", None, true);
    assert!(matches!(member, Answer::Reset(_)));
}
