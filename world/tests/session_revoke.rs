//! P12: what is revoked is told no more, from the very step on, and cannot be taken up again.

mod session_stage;

use session_stage::{Guest, Stage};
use starling_protocol::close::CloseCode;
use starling_protocol::message::control::ResumeAnswer;
use starling_protocol::message::events::*;
use starling_protocol::units::SessionId;
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

/// The tokens that the server is told to bar by their names.
fn tokens(stage: &Stage) -> Vec<&str> {
    let named = stage.notes.iter().filter_map(|note| match note {
        Note::Revoked { token, .. } => Some(token.as_str()),
        _ => None,
    });
    named.collect()
}

/// A guest whose token has a name, in a world with a store.
fn with_token(stage: &mut Stage, subject: &str, token: &str) -> Guest {
    let mut attach = stage.knock();
    (attach.principal.subject, attach.principal.token) = (subject.into(), token.into());
    stage.enter(attach).expect("let in")
}

#[test]
fn tokens_of_a_tenant_are_barred_as_such_and_not_one_by_one() {
    for whom in [Whom::Everyone, Whom::Under("e".into()), Whom::Subject("eve".into())] {
        let mut stage = Stage::new();
        with_token(&mut stage, "eve", "eve-1");
        revoke(&mut stage, whom);
        assert_eq!(tokens(&stage), [""]);
    }
}

#[test]
fn a_session_of_an_earlier_life_knows_its_newest_token() {
    for fresh in [false, true] {
        let mut stage = Stage::durable();
        let eve = with_token(&mut stage, "eve", "eve-1");
        if fresh {
            let mut principal = stage.knock().principal;
            (principal.subject, principal.token) = ("eve".into(), "eve-2".into());
            stage.step(Command::Regrant { conn: eve.conn, principal });
        }
        stage.commit();
        stage.crash(usize::MAX);
        let gone = [eve.session(), SessionId(3)].into();
        revoke(&mut stage, Whom::Sessions(gone));
        assert_eq!(tokens(&stage), [if fresh { "eve-2" } else { "eve-1" }]);
        assert_eq!(stage.world.sessions().len(), 0);
        stage.commit();
        stage.crash(usize::MAX);
        assert_eq!(stage.world.sessions().len(), 0, "nor in the next life");
    }
}
