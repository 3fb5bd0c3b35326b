//! P12: what is for a user goes to that user alone, and what the server makes nobody else makes.

mod session_stage;

use session_stage::{Guest, Stage, message, patterns, scoped};
use starling_protocol::close::CloseCode;
use starling_protocol::message::events::*;
use starling_protocol::units::{ChannelKey, MessageId, Offset};
use starling_world::grants::Grants;

fn named(stage: &mut Stage, subject: &str, subscribe: &[&str], publish: &[&str]) -> Guest {
    let mut attach = stage.knock();
    attach.principal.subject = subject.into();
    let (subscribe, publish) = (patterns(subscribe), patterns(publish));
    attach.principal.grants = Grants { subscribe, publish, ..Grants::open() };
    stage.enter(attach).expect("everyone is let in")
}

fn to_user(subject: &str, id: u64) -> Publish {
    scoped(Scope::User(subject.into()), id)
}

#[test]
fn what_is_for_a_user_goes_to_that_users_sessions_and_nobody_else() {
    let mut stage = Stage::new();
    let alice = named(&mut stage, "alice", &[], &["user/*"]);
    let bobs = [0; 2].map(|_| named(&mut stage, "bob", &[], &[]));
    let eve = named(&mut stage, "eve", &["*"], &["*"]);
    for bob in &bobs {
        assert!(matches!(stage.subscribe(bob.conn, 1, "user/bob"), Answer::Reset(_)));
    }
    let denied = Answer::Denied(CloseCode::FORBIDDEN);
    assert_eq!(stage.subscribe(eve.conn, 1, "user/bob"), denied, "all channels are no mail");
    let receipt = stage.publish(alice.conn, to_user("bob", 7));
    assert!(matches!(receipt, Ok(Receipt::Channel(at)) if at.offset == Offset(1)), "{receipt:?}");
    for bob in &bobs {
        assert_eq!(stage.delivered(bob.conn, 1).len(), 1, "each session of the user");
    }
    for (other, key) in [(&alice, 0), (&eve, 0), (&eve, 1)] {
        assert!(stage.delivered(other.conn, key).is_empty());
    }
}

#[test]
fn mail_waits_for_a_user_who_is_not_there() {
    let mut stage = Stage::new();
    let alice = named(&mut stage, "alice", &[], &["user/bob"]);
    let Ok(Receipt::Channel(at)) = stage.publish(alice.conn, to_user("bob", 7)) else {
        panic!("it is granted")
    };
    let bob = named(&mut stage, "bob", &[], &[]);
    let before = session_stage::place(at.epoch, 0);
    let answer = stage.subscribe_with(bob.conn, 1, "user/bob", Some(before), false);
    assert_eq!(answer, Answer::Resumed);
    assert_eq!(stage.delivered(bob.conn, 1).len(), 1);
}

#[test]
fn another_reads_it_only_by_a_grant_that_says_so() {
    let mut stage = Stage::new();
    let support = named(&mut stage, "support", &["user/bob"], &[]);
    assert!(matches!(stage.subscribe(support.conn, 1, "user/bob"), Answer::Reset(_)));
    let denied = Answer::Denied(CloseCode::FORBIDDEN);
    assert_eq!(stage.subscribe(support.conn, 2, "user/eve"), denied);
}

#[test]
fn writing_to_a_user_needs_the_grant_by_either_name() {
    let mut stage = Stage::new();
    let alice = named(&mut stage, "alice", &[], &["@world", "chat/*"]);
    assert_eq!(stage.publish(alice.conn, to_user("bob", 1)), Err(CloseCode::FORBIDDEN));
    assert_eq!(stage.say(alice.conn, "user/bob", 2), Err(CloseCode::FORBIDDEN));
}

#[test]
fn where_nobody_has_a_name_there_are_no_users() {
    let mut stage = Stage::new();
    let guest = stage.guest();
    assert_eq!(stage.publish(guest.conn, to_user("bob", 1)), Err(CloseCode::UNKNOWN_CHANNEL));
    let denied = Answer::Denied(CloseCode::FORBIDDEN);
    assert_eq!(stage.subscribe(guest.conn, 1, "user/bob"), denied);
    assert_eq!(stage.publish(guest.conn, to_user("", 2)), Err(CloseCode::BAD_NAME));
}

#[test]
fn what_the_server_makes_clients_do_not() {
    let mut stage = Stage::new();
    let guest = stage.guest();
    stage.say(guest.conn, "room", 1).expect("open");
    let made = [
        Action::Join,
        Action::Leave,
        Action::Tombstone,
        Action::Change(MemberState::Away),
        Action::Annotate(Offset(1)),
    ];
    for (action, id) in made.into_iter().zip(2..) {
        let publish = Publish { action, ..message("room", id) };
        assert_eq!(stage.publish(guest.conn, publish), Err(CloseCode::FORBIDDEN), "{action:?}");
    }
}

#[test]
fn a_request_that_nothing_answers_is_refused_and_the_session_goes_on() {
    let mut stage = Stage::new();
    let guest = stage.guest();
    stage.event(guest.conn, annotate(4));
    stage.event(guest.conn, EventUp::Erase { request: 5, subject: "bob".into() });
    let told = stage.events(guest.conn);
    let refused = |event: &&EventDown| {
        matches!(event, EventDown::PublishRefused { message: MessageId(4), .. })
            || matches!(event, EventDown::RequestRefused { request: 5, .. })
    };
    assert_eq!(told.iter().filter(refused).count(), 2, "{told:?}");
    assert_eq!(stage.closed(guest.conn), None);
    assert!(matches!(stage.subscribe(guest.conn, 1, "room"), Answer::Reset(_)));
}

fn annotate(message: u64) -> EventUp {
    EventUp::Annotate(Box::new(Annotate {
        message: MessageId(message),
        channel: "nowhere".into(),
        target: Offset(1),
        rule: NoteRule::Total,
        kind: "mood".into(),
        name: "+1".into(),
        count: 1,
        remove: false,
    }))
}

#[test]
fn mail_of_a_user_has_no_members() {
    let mut stage = Stage::new();
    let bob = named(&mut stage, "bob", &[], &[]);
    let denied = Answer::Denied(CloseCode::FORBIDDEN);
    assert_eq!(stage.subscribe_with(bob.conn, 1, "user/bob", None, true), denied);
    stage.event(bob.conn, EventUp::Unsubscribe { key: ChannelKey(1) });
}
