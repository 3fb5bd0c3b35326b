//! P12: what is revoked is told no more, from the very step on, and cannot be taken up again.

mod session_stage;

use session_stage::{Guest, Stage};
use starling_protocol::close::CloseCode;
use starling_protocol::message::control::ResumeAnswer;
use starling_protocol::message::events::*;
use starling_world::input::{Command, Whom};
use starling_world::output::Note;

fn revoke(stage: &mut Stage, whom: Whom) {
    stage.step(Command::Revoke(whom));
}

fn hears(stage: &mut Stage, guest: &Guest, from: &Guest, id: u64) -> bool {
    stage.say(from.conn, "chat", id).expect("accepted");
    !stage.delivered(guest.conn, 1).is_empty()
}

#[test]
fn a_revoked_session_is_closed_and_told_nothing_that_waited() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.guest(), stage.guest());
    stage.subscribe(bob.conn, 1, "chat");
    assert!(hears(&mut stage, &bob, &alice, 1));
    stage.allow(bob.conn, 0);
    stage.tick();
    stage.say(alice.conn, "chat", 2).expect("accepted");
    let before = stage.bytes(bob.conn);
    revoke(&mut stage, Whom::Session(bob.session()));
    assert_eq!(stage.closed(bob.conn), Some(CloseCode::REVOKED));
    assert_eq!(stage.bytes(bob.conn), before, "the event that waited is not told");
    assert_eq!(stage.closed(alice.conn), None);
    let token = String::new();
    assert!(stage.notes.contains(&Note::Revoked { session: bob.session(), token }));
}

#[test]
fn every_session_of_a_subject_goes_and_those_of_others_stay() {
    let mut stage = Stage::new();
    let eve = [stage.guest_named("eve"), stage.guest_named("eve")];
    let eva = stage.guest_named("eva");
    revoke(&mut stage, Whom::Subject("eve".into()));
    assert!(eve.iter().all(|guest| stage.closed(guest.conn) == Some(CloseCode::REVOKED)));
    assert_eq!(stage.closed(eva.conn), None);
    revoke(&mut stage, Whom::Under("ev".into()));
    assert_eq!(stage.closed(eva.conn), Some(CloseCode::REVOKED));
}

#[test]
fn a_parked_session_that_was_revoked_cannot_be_resumed() {
    let mut stage = Stage::new();
    let bob = stage.guest();
    stage.detach(bob.conn);
    revoke(&mut stage, Whom::Everyone);
    let attach = stage.knock_again(&bob, &[]);
    let again = stage.enter(attach).expect("the shell judges tokens");
    assert_eq!(again.welcome.resumed, ResumeAnswer::Reset, "nothing of it is left");
}

#[test]
fn those_who_watch_hear_at_once_that_it_left() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.guest(), stage.guest());
    stage.subscribe(alice.conn, 1, "presence/");
    stage.events(alice.conn);
    revoke(&mut stage, Whom::Session(bob.session()));
    let left = stage.delivered(alice.conn, 1);
    assert_eq!(left.iter().map(|event| event.action).collect::<Vec<_>>(), [Action::Leave]);
}
