//! P11: no client has a token that a loss of power would make worthless. In a world with a store a
//! Welcome goes when its session is on stable storage, and nothing else goes before it.

mod session_stage;

use session_stage::{Guest, Stage};
use starling_protocol::message::control::*;
use starling_protocol::units::ChannelKey;
use starling_world::input::{Attach, Command, ConnId};
use starling_world::journal::{Health, News};

const NEWS: &str = "kept/news";

fn attach(stage: &mut Stage, attach: Attach) -> ConnId {
    let conn = attach.conn;
    stage.step(Command::Attach(Box::new(attach)));
    conn
}

fn welcome(stage: &mut Stage, conn: ConnId) -> Option<Guest> {
    stage.control(conn).into_iter().find_map(|message| match message {
        ControlDown::Welcome(welcome) => Some(Guest { conn, welcome: *welcome }),
        _ => None,
    })
}

/// A Welcome of what is in the world, at once.
fn welcomed(stage: &mut Stage) -> Guest {
    let conn = stage.knock();
    let conn = attach(stage, conn);
    welcome(stage, conn).expect("it waits for nothing")
}

#[test]
fn a_welcome_goes_with_the_commit_that_has_its_session() {
    let mut stage = Stage::durable();
    let knock = stage.knock();
    let conn = attach(&mut stage, knock);
    stage.ticks(3);
    assert_eq!(stage.control(conn), []);
    assert_eq!(stage.world.sessions().len(), 1, "it is there, and not told so");
    stage.commit();
    assert!(welcome(&mut stage, conn).is_some_and(|g| g.welcome.resumed == ResumeAnswer::New));
    assert_eq!(stage.world.counters().welcomes_unkept, 0);
}

/// The power may go at any commit between a resume and its Welcome: the one token that the client knows
/// of opens its session, whichever it is.
#[test]
fn whenever_the_power_goes_the_token_that_the_client_has_opens_its_session() {
    for batches in 0..4 {
        let mut stage = Stage::durable();
        let mut ann = stage.guest();
        stage.subscribe(ann.conn, 1, NEWS);
        stage.commit();
        for _ in 0..2 {
            let again = stage.knock_again(&ann, &[]);
            let conn = attach(&mut stage, again);
            stage.tick();
            stage.commit_some(batches);
            if let Some(newer) = welcome(&mut stage, conn) {
                ann = newer;
                stage.breathe(ann.conn);
            }
        }
        stage.crash(0);
        let back = stage.resume(&ann, &[]);
        let answer = (back.welcome.resumed, back.session());
        assert_eq!(answer, (ResumeAnswer::Resumed, ann.session()), "after {batches} batches");
    }
}

#[test]
fn nothing_overtakes_a_welcome_that_waits_and_everything_comes_behind_it() {
    let mut stage = Stage::durable();
    let (ann, bob) = (stage.guest(), stage.guest());
    let at = match stage.subscribe(ann.conn, 1, "chat") {
        starling_protocol::message::events::Answer::Reset(at) => at,
        other => panic!("from now: {other:?}"),
    };
    let again = stage.knock_again(&ann, &[(ChannelKey(1), at)]);
    let conn = attach(&mut stage, again);
    stage.say(bob.conn, "chat", 1).expect("a channel in memory waits for no disk");
    stage.ticks(2);
    assert!(stage.control(conn).is_empty() && stage.events(conn).is_empty());
    stage.commit();
    assert!(welcome(&mut stage, conn).is_some());
    assert_eq!(stage.delivered(conn, 1).len(), 1);
}

#[test]
fn nobody_waits_for_a_store_that_takes_nothing() {
    for health in [Health::Full, Health::Failed] {
        let mut stage = Stage::durable();
        let knock = stage.knock();
        let conn = attach(&mut stage, knock);
        stage.news(News::Health(health));
        assert!(welcome(&mut stage, conn).is_some(), "{health:?}");
        assert_eq!(stage.world.counters().welcomes_unkept, 1);
        welcomed(&mut stage);
    }
}

#[test]
fn nobody_waits_longer_than_two_seconds_for_a_store_that_hangs() {
    let mut stage = Stage::durable();
    let knock = stage.knock();
    let conn = attach(&mut stage, knock);
    stage.ticks(40);
    assert_eq!(stage.control(conn), []);
    stage.ticks(2);
    assert!(welcome(&mut stage, conn).is_some());
    assert_eq!(stage.world.counters().welcomes_unkept, 1);
    assert_eq!(stage.closed(conn), None, "it was not called slow meanwhile");
}

#[test]
fn a_connection_that_is_gone_when_the_commit_comes_takes_no_ones_welcome() {
    let mut stage = Stage::durable();
    let ann = stage.guest();
    let first = stage.knock_again(&ann, &[]);
    let first = attach(&mut stage, first);
    stage.detach(first);
    let second = stage.knock_again(&ann, &[]);
    let second = attach(&mut stage, second);
    stage.commit_some(1);
    assert!(welcome(&mut stage, first).is_none() && welcome(&mut stage, second).is_none());
    stage.commit();
    assert!(welcome(&mut stage, first).is_none());
    let back = welcome(&mut stage, second).expect("its turn has come");
    assert_eq!(back.welcome.resumed, ResumeAnswer::Resumed);
}
