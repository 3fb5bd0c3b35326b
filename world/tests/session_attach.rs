//! A connection gets its session with everything it needs to know, or is refused with a code.

mod session_stage;

use session_stage::{Stage, game, patterns};
use starling_protocol::close::CloseCode;
use starling_protocol::message::control::*;
use starling_protocol::motion::TrackKind;
use starling_protocol::space::Space;
use starling_protocol::units::{Epoch, Tick};
use starling_protocol::version;
use starling_world::World;
use starling_world::grants::Grants;
use starling_world::input::Command;
use starling_world::output::{Note, Output};

#[test]
fn a_welcome_says_everything_about_the_world() {
    let mut stage = Stage::with(|config| config.epoch = Epoch(4));
    stage.ticks(3);
    let attach = stage.knock();
    let token = attach.token;
    let mut out = Output::default();
    stage.world.step(1_234, &mut vec![Command::Attach(Box::new(attach))], &mut out);
    let mut frames = starling_protocol::frame::Frames::new(65_536);
    frames.push(&out.arena[out.writes[0].bytes.clone()]);
    let body = frames.next_frame().expect("well formed").expect("whole");
    let ControlDown::Welcome(w) = starling_protocol::codec::decode(body).expect("control") else {
        panic!("a Welcome comes first");
    };
    let config = game();
    assert_eq!((w.version, w.tables), (version::VERSION, version::TABLES));
    assert_eq!((w.world.as_str(), w.space, w.track), ("test", Space::Metric, TrackKind::Knots));
    assert_eq!((w.authority, w.epoch, w.tick), (Authority::Client, Epoch(4), Tick(3)));
    assert_eq!((w.tick_rate.hz(), w.server_time_us), (20, 1_234));
    assert_eq!((w.error_bound_mm, w.hysteresis_permille), (40, 1_125));
    assert_eq!((w.presence_ms, w.park_ms, w.heartbeat_ticks), (10_000, 600_000, 100));
    assert_eq!((w.schema, w.resumed), (config.schema, ResumeAnswer::New));
    assert_eq!(w.resume_token, token);
    assert!(w.entities.is_empty());
}

#[test]
fn a_client_built_for_another_schema_is_refused() {
    let mut stage = Stage::new();
    let mut attach = stage.knock();
    let conn = attach.conn;
    attach.schema_hash = Some(1);
    let refused = stage.enter(attach).expect_err("another schema");
    assert_eq!(refused.code, CloseCode::SCHEMA_MISMATCH);
    assert_eq!(stage.closed(conn), Some(CloseCode::SCHEMA_MISMATCH));
    assert!(stage.notes.contains(&Note::Refused { conn, code: CloseCode::SCHEMA_MISMATCH }));
    assert_eq!(stage.world.counters().attaches_refused[&CloseCode::SCHEMA_MISMATCH], 1);
    let mut attach = stage.knock();
    attach.schema_hash = Some(game().schema.hash());
    assert!(stage.enter(attach).is_ok());
}

#[test]
fn a_full_world_refuses_with_a_time_to_wait_until_a_session_has_left() {
    let mut stage = Stage::with(|config| config.sessions_max = 2);
    let (first, second) = (stage.guest(), stage.guest());
    let attach = stage.knock();
    let refused = stage.enter(attach).expect_err("full");
    assert_eq!(refused.code, CloseCode::WORLD_FULL);
    assert!(refused.retry_after_ms.is_some());
    stage.detach(first.conn);
    let attach = stage.knock();
    assert!(stage.enter(attach).is_err(), "it may still come back as if nothing had happened");
    stage.ticks_with(202, &[second.conn]);
    let attach = stage.knock();
    assert!(stage.enter(attach).is_ok(), "parked and not here any more: it makes room");
    assert!(stage.world.sessions().by_id(first.session()).is_none());
    assert!(stage.world.sessions().by_id(second.session()).is_some());
}

#[test]
fn a_token_that_has_expired_already_is_refused() {
    let mut stage = Stage::new();
    stage.ticks(40);
    let mut attach = stage.knock();
    attach.principal.expires_us = Some(1_000_000);
    assert_eq!(stage.enter(attach).map(|_| ()).map_err(|r| r.code), Err(CloseCode::EXPIRED));
}

#[test]
fn only_a_grant_makes_a_host_and_only_where_the_world_has_one() {
    let hosting = |authority, host, subject: &str, stage: &mut Stage| {
        let mut attach = stage.knock();
        attach.capabilities = Capabilities::HOST;
        attach.principal.subject = subject.into();
        attach.principal.grants = Grants { host, ..Grants::open() };
        assert_eq!(stage.world.config().authority, authority);
        stage.enter(attach).map_err(|refused| refused.code)
    };
    let mut plain = Stage::new();
    let refused = hosting(Authority::Client, true, "h", &mut plain);
    assert_eq!(refused.map(|_| ()), Err(CloseCode::WRONG_AUTHORITY));
    let mut stage = Stage::with(|config| config.authority = Authority::Host);
    let refused = hosting(Authority::Host, false, "h", &mut stage);
    assert_eq!(refused.map(|_| ()), Err(CloseCode::FORBIDDEN));
    let first = hosting(Authority::Host, true, "h", &mut stage).expect("granted");
    let other = hosting(Authority::Host, true, "other", &mut stage);
    assert_eq!(other.map(|_| ()), Err(CloseCode::LIMIT), "the world has a host");
    hosting(Authority::Host, true, "h", &mut stage).expect("the same host comes back");
    assert_eq!(stage.closed(first.conn), Some(CloseCode::REPLACED));
}

#[test]
fn a_connection_attaches_once_and_says_hello_once() {
    let mut stage = Stage::new();
    let guest = stage.guest();
    let mut again = stage.knock();
    again.conn = guest.conn;
    stage.step(Command::Attach(Box::new(again)));
    assert_eq!(stage.closed(guest.conn), Some(CloseCode::PROTOCOL_ERROR));
    assert_eq!(stage.world.sessions().len(), 1);
    let other = stage.guest();
    let hello = Hello {
        versions: vec![1],
        world: "test".into(),
        create: None,
        token: String::new(),
        resume: None,
        schema_hash: None,
        capabilities: 0,
    };
    stage.send(other.conn, ControlUp::Hello(Box::new(hello)));
    assert_eq!(stage.closed(other.conn), Some(CloseCode::PROTOCOL_ERROR));
}

#[test]
fn commands_of_unknown_connections_are_counted_and_ignored() {
    let mut stage = Stage::new();
    let nobody = stage.knock().conn;
    stage.send(nobody, ControlUp::Goodbye);
    stage.detach(nobody);
    assert_eq!(stage.world.counters().commands_unknown, 1);
}

#[test]
fn sessions_of_another_life_of_the_world_have_other_names() {
    let id = |epoch| {
        let mut config = game();
        config.epoch = Epoch(epoch);
        Stage::of(World::new(config)).guest().session()
    };
    assert_ne!(id(1), id(2));
}

#[test]
fn no_grant_is_needed_to_be_here_and_none_is_given_by_default() {
    let mut stage = Stage::new();
    let guest = stage.guest_with(Grants { subscribe: patterns(&["a"]), ..Grants::default() });
    assert!(stage.world.sessions().by_conn(guest.conn).is_some());
}
