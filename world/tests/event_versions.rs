//! Edits, removals, additions and answers: by whom they may be, of what, and how long.

mod session_stage;

use session_stage::{Guest, Stage, message};
use starling_protocol::close::CloseCode;
use starling_protocol::limits::EVENT_BYTES_MAX;
use starling_protocol::message::events::*;
use starling_protocol::units::Offset;
use starling_world::grants::{Grants, Pattern};

const ROOM: &str = "room";

fn change(id: u64, action: Action, bytes: usize) -> Publish {
    Publish { action, payload: vec![b'x'; bytes], ..message(ROOM, id) }
}

fn room() -> (Stage, Guest, Guest) {
    let mut stage = Stage::new();
    let (ann, bob) = (stage.guest_named("ann"), stage.guest_named("bob"));
    stage.say(ann.conn, ROOM, 1).expect("accepted");
    (stage, ann, bob)
}

#[test]
fn one_changes_what_is_ones_own_and_others_only_with_the_right_to() {
    let (mut stage, ann, bob) = room();
    let any = || vec![Pattern("*".into())];
    let editor = stage.guest_with(Grants { update_any: any(), ..Grants::open() });
    let warden = stage.guest_with(Grants { delete_any: any(), ..Grants::open() });
    let (update, delete) = (Action::Update(Offset(1)), Action::Delete(Offset(1)));
    let mut id = 10;
    let mut offer = |guest: &Guest, action| {
        id += 1;
        stage.publish(guest.conn, change(id, action, 3)).err()
    };
    assert_eq!(offer(&ann, update), None);
    assert_eq!(offer(&bob, update), Some(CloseCode::FORBIDDEN));
    assert_eq!(offer(&bob, Action::Append(Offset(1))), Some(CloseCode::FORBIDDEN));
    assert_eq!(offer(&bob, delete), Some(CloseCode::FORBIDDEN));
    assert_eq!(offer(&editor, update), None);
    assert_eq!(offer(&editor, delete), Some(CloseCode::FORBIDDEN));
    assert_eq!(offer(&warden, update), Some(CloseCode::FORBIDDEN));
    assert_eq!(offer(&warden, delete), None);
    assert_eq!(offer(&ann, update), Some(CloseCode::CONFLICT), "what is deleted stays so");
}

#[test]
fn only_a_message_that_is_kept_can_be_changed_or_answered() {
    let (mut stage, ann, _) = room();
    let keyed = Publish { key: Some("k".into()), ..message(ROOM, 2) };
    stage.publish(ann.conn, keyed).expect("accepted");
    stage.publish(ann.conn, change(3, Action::Update(Offset(1)), 1)).expect("accepted");
    let bad = [Action::Update(Offset(9)), Action::Update(Offset(2)), Action::Delete(Offset(3))];
    for (id, action) in (10..).zip(bad) {
        let answer = stage.publish(ann.conn, change(id, action, 1));
        assert_eq!(answer, Err(CloseCode::CONFLICT), "{action:?}");
    }
    let answer = |id, parent| Publish { parent: Some(Offset(parent)), ..message(ROOM, id) };
    assert!(stage.publish(ann.conn, answer(20, 1)).is_ok());
    assert_eq!(stage.publish(ann.conn, answer(21, 9)), Err(CloseCode::CONFLICT));
    assert_eq!(stage.publish(ann.conn, answer(22, 3)), Err(CloseCode::CONFLICT));
    let both = Publish { parent: Some(Offset(1)), ..change(23, Action::Update(Offset(1)), 1) };
    assert_eq!(stage.publish(ann.conn, both), Err(CloseCode::CONFLICT));
    stage.publish(ann.conn, change(24, Action::Delete(Offset(1)), 0)).expect("it is hers");
    assert_eq!(stage.publish(ann.conn, answer(25, 1)), Err(CloseCode::CONFLICT));
}

#[test]
fn a_message_grows_no_longer_than_an_event_may_be() {
    let (mut stage, ann, _) = room();
    let append = |id, bytes| change(id, Action::Append(Offset(1)), bytes);
    stage.publish(ann.conn, append(2, EVENT_BYTES_MAX - 8)).expect("it just fits");
    assert_eq!(stage.publish(ann.conn, append(3, 1)), Err(CloseCode::TOO_LARGE));
    stage.publish(ann.conn, change(4, Action::Update(Offset(1)), 1)).expect("made short");
    stage.publish(ann.conn, append(5, 1)).expect("room again");
}

#[test]
fn equal_words_make_equal_worlds_and_others_do_not() {
    let run = |second: Action| {
        let (mut stage, ann, _) = room();
        stage.publish(ann.conn, change(2, second, 8)).expect("accepted");
        stage.world.checksum()
    };
    assert_eq!(run(Action::Append(Offset(1))), run(Action::Append(Offset(1))));
    assert_ne!(run(Action::Append(Offset(1))), run(Action::Update(Offset(1))));
}
